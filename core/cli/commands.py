"""Every command that works inside the environment: read the request, call the same core functions as the page.

The heavy modules are imported where they are used, so that `runs` or `settings` answers at once.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from core.cli.answer import WRONG_REQUEST, Answer, note, table_file
from core.errors import UserError
from core.files import refuse_to_overwrite, replacing
from core.schema import TableFile
from core.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from core.data.table import Table


def main(request: argparse.Namespace) -> int:
    """Carry out a request from core.cli.arguments. Prints the answer; returns the exit code."""
    try:
        workspace = open_workspace(request.workspace)
        answer = _function_of(request.command)(request, workspace)
    except UserError as error:
        note(f"{error.what}\n  where: {error.where}\n  what to do: {error.todo}")
        if request.json:
            print(json.dumps({"error": error.parts()}))
        return WRONG_REQUEST
    if request.json:
        print(json.dumps(answer.content))
    elif answer.text:
        print(answer.text)
    return answer.code


# Listings


def runs(request: argparse.Namespace, workspace: Workspace) -> Answer:
    if request.check:
        from core.cli.store import check

        return check(request, workspace)
    from core.runs.store import open_store

    store = open_store(workspace)
    found = store.runs(limit=store.count_runs())
    content = {
        "runs": [
            {
                "run": run.id,
                "name": run.name,
                "status": run.state,
                "reason": run.reason,
                "preset": run.preset,
                "data": run.data_name,
                "created": run.created,
                "seconds": round(run.seconds, 1),
                "shared": run.shared,
                "peak_bytes": run.summary.get("peak_bytes"),
                "forecast": run.summary.get("forecast"),
                "metrics": {
                    name: run.summary[name] for name in ("test", "untuned", "baselines") if name in run.summary
                },
            }
            for run in found
        ]
    }
    if not found and any(workspace.runs.iterdir()):
        words = "The store knows no runs, and there are folders of runs: `python launch.py runs --check --repair`."
        return Answer(words, content)
    if not found:
        return Answer("No runs yet. `python launch.py demo` makes one in about two minutes.", content)
    lines = [f"{'run':<26}{'state':<13}{'accuracy':>9}  name"]
    for run in found:
        lines.append(f"{run.id:<26}{run.state:<13}{_figure(run.summary):>9}  {run.name}")
    return Answer("\n".join(lines), content)


def _figure(summary: dict[str, Any]) -> str:
    """The accuracy; of conversations, which have none, the loss on the test part."""
    if not summary:
        return ""
    test = summary["test"]
    return f"loss {test['loss']:.2f}" if summary.get("task") == "chat" else f"{test['accuracy']:.3f}"


def presets(_request: argparse.Namespace, _workspace: Workspace) -> Answer:
    from core.presets import load_presets

    found = load_presets()
    lines = [f"{preset.name:<22}{preset.title}\n{'':<22}{preset.purpose}" for preset in found.values()]
    return Answer("\n".join(lines), {"presets": [preset.model_dump(mode="json") for preset in found.values()]})


def settings(_request: argparse.Namespace, _workspace: Workspace) -> Answer:
    from core.schema import RunSpec
    from core.spec_settings import settings

    content, lines = [], []
    for leaf in settings(RunSpec):
        kind = "one of " + ", ".join(leaf.choices) if leaf.choices else _type_name(leaf.type)
        content.append({
            "key": leaf.key, "type": kind, "default": leaf.default, "unit": leaf.unit, "minimum": leaf.minimum,
            "maximum": leaf.maximum, "essential": leaf.essential, "description": leaf.description,
        })  # fmt: skip
        bounds = [f"from {leaf.minimum:g}"] if leaf.minimum is not None else []
        bounds += [f"to {leaf.maximum:g}"] if leaf.maximum is not None else []
        facts = [kind, leaf.unit, " ".join(bounds), f"default {_default_text(leaf.default)}"]
        lines.append(f"{leaf.key}\n    {leaf.description}\n    ({'; '.join(fact for fact in facts if fact)})")
    return Answer("\n".join(lines), {"settings": content})


def _type_name(annotation: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names[annotation] if annotation in names else "a list" if get_origin(annotation) is tuple else "key: value"


def _default_text(value: object) -> str:
    return "empty" if value in (None, "", (), {}) else str(value).lower() if isinstance(value, bool) else str(value)


# Data and models


def inspect(request: argparse.Namespace, workspace: Workspace) -> Answer:
    from core.cli.checking import Told, told_of_data, wants_checks
    from core.cli.mapping import reading_options
    from core.data.conversations import likely_chat
    from core.data.given import files_given
    from core.data.mapping import suggest_mapping
    from core.data.reading.progress import Progress
    from core.data.table import open_table, table_json

    given = files_given(request.data, workspace, reading_options(request), note)
    table = given.table
    if request.whole:
        table = open_table(table.file, workspace, Progress(_tell_share))
    facts = {
        "encoding": table.encoding, "delimiter": table.delimiter, "quote": table.quote, "escape": table.escape,
        "header": table.header, "lines skipped": table.skipped, "comment": table.comment, "decimal": table.decimal,
    }  # fmt: skip
    known = ", ".join(f"{name} {value!r}" for name, value in facts.items() if value is not None)
    lines = [f"{table.title}: {table.rows:,} rows, {table.rejected:,} rejected lines, {table.format}", known]
    if table.rows_in_all is not None:
        lines.append(
            f"Only the start of the file was read (about {table.rows_in_all:,} rows in all); --whole reads all of it."
        )
    for column in table.columns:
        empty = f"{100 * column.empty_share:.1f} % empty"
        lines.append(f"  {column.name:<24}{column.type:<12}{column.distinct:>10,} different, {empty}")
    lines += [f"  line {bad.line}: {bad.reason}" for bad in table.rejected_lines[:10]]
    if request.lines_to:
        lines.append(_write_lines(table, Path(request.lines_to)))
    suggestion = suggest_mapping(table)
    form = likely_chat(table, suggestion)
    parts = {role: file.model_dump(mode="json", exclude_defaults=True) for role, file in given.files.items()}
    guess = asdict(suggestion) if form is None else {"kind": "none", "chat": form.model_dump(), "reasons": []}
    reasons = suggestion.reasons if form is None else ("It looks like conversations to learn from.",)
    lines += [*given.said, *table.notes, *(f"Guess: {reason}" for reason in reasons)]
    told = told_of_data(request, given.files, workspace) if wants_checks(request) else Told([], {})
    content = table_json(table) | {"suggestion": guess, "parts": parts} | told.content
    return Answer("\n".join([*lines, *told.lines]), content)


def _write_lines(table: "Table", output: Path) -> str:
    """Copy the list of lines left out and rows mended. Raises UserError where that cannot be written."""
    if table.lines_file is None:
        return "No line was left out and no row mended, so there is nothing to write."
    refuse_to_overwrite(output, (table.file.path, *table.file.more))
    try:
        with replacing(output) as partial:
            shutil.copyfile(table.lines_file, partial)
    except OSError as error:
        raise UserError(
            f"{output} cannot be written ({error.strerror}).", str(output), "Choose another place."
        ) from error
    return f"Lines left out and rows mended: {output}"


def _tell_share(share: float) -> None:
    sys.stderr.write(f"\r{100 * share:.0f} % read   ")
    sys.stderr.flush()


def predict(request: argparse.Namespace, workspace: Workspace) -> Answer:
    from core.predict import label_path

    output = Path(request.output)
    source = _input(request.input, request.read)
    result = label_path(workspace, request.run, source, output, request.top_k, _tell_rows, text_columns=request.text)
    note("")
    content = {
        "run": request.run,
        "output": str(output.absolute()),
        "rows": result.rows,
        "labelled": result.labelled,
        "columns": list(result.columns),
        "notes": list(result.notes),
        "seconds": round(result.seconds, 1),
    }
    text = f"{result.labelled:,} of {result.rows:,} rows labelled in {output} ({', '.join(result.columns)})."
    return Answer("\n".join([text, *result.notes]), content)


def _input(path: str, read: list[str]) -> Path | TableFile:
    return table_file(path, read) if read else Path(path)


def evaluate(request: argparse.Namespace, workspace: Workspace) -> Answer:
    from core.evaluate_run import evaluate_file

    file = _input(request.file, request.read)
    content = evaluate_file(
        workspace, request.run, file, _tell_rows, text_columns=request.text, label_column=request.label
    )
    note("")
    metrics = content["metrics"]
    lines = [
        _evaluated(content),
        *content["notes"],
        "",
        f"{'class':<30}{'precision':>10}{'recall':>10}{'F1':>10}{'rows':>8}",
    ]
    for row in metrics["per_class"]:
        shown = [f"{row[name]:>10.3f}" for name in ("precision", "recall", "f1")]
        lines.append(f"{row['label'][:29]:<30}{''.join(shown)}{row['support']:>8}")
    return Answer("\n".join(lines), content)


def _evaluated(content: dict[str, Any]) -> str:
    metrics, rows = content["metrics"], f"{content['scored']:,} rows"
    low, high = metrics["accuracy_interval"]
    if content["kind"] == "multi":
        bounds = " to ".join(f"{bound:.3f}" for bound in metrics["micro_f1_interval"])
        return (
            f"Micro F1 {metrics['micro_f1']:.3f} on {rows} (95 % sure: {bounds}), macro F1 {metrics['macro_f1']:.3f}; "
            f"all classes right on {100 * metrics['accuracy']:.1f} %."
        )
    soft = f", KL divergence {metrics['kl_divergence']:.3f}" if content["kind"] == "soft" else ""
    return (
        f"Right on {100 * metrics['accuracy']:.1f} % of {rows} "
        f"(95 % sure: {100 * low:.1f} to {100 * high:.1f}), macro F1 {metrics['macro_f1']:.3f}{soft}."
    )


def _tell_rows(done: int, total: int, seconds_left: float | None) -> None:
    left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
    sys.stderr.write(f"\r{done:,} of {total:,} rows{left}   ")
    sys.stderr.flush()


Command = Callable[[argparse.Namespace, Workspace], Answer]


def _function_of(command: str) -> Command:
    if command in ("export", "open"):
        from core.cli import taking_away

        return taking_away.export if command == "export" else taking_away.open_model
    if command == "decide":
        from core.cli.deciding import decide

        return decide
    if command == "queue":
        from core.cli.queueing import queue

        return queue
    if command == "sweeps":
        from core.cli.sweeping import list_sweeps

        return list_sweeps
    if command in ("train", "sweep", "demo", "resume", "stop"):
        from core.cli import training

        of_runs: dict[str, Command] = {
            "train": training.train, "sweep": training.sweep, "demo": training.demo,
            "resume": training.resume, "stop": training.stop,
        }  # fmt: skip
        return of_runs[command]
    if command == "plan":
        from core.cli.planning import plan

        return plan
    if command in ("share", "token", "limits"):
        from core.cli import sharing

        of_sharing: dict[str, Command] = {"share": sharing.share, "token": sharing.token, "limits": sharing.limits}
        return of_sharing[command]
    if command in ("mistakes", "correct"):
        from core.cli.mistakes import correct, mistakes

        return correct if command == "correct" else mistakes
    if command == "leaderboard":
        from core.cli.leaderboard import leaderboard

        return leaderboard
    if command == "compare":
        from core.cli.comparing import compare

        return compare
    others: dict[str, Command] = {
        "runs": runs, "presets": presets, "settings": settings, "inspect": inspect,
        "predict": predict, "evaluate": evaluate,
    }  # fmt: skip
    return others[command]
