"""The commands for a run's errors: `mistakes` lists rows as the Mistakes tab does, `correct` writes corrected data."""

import argparse
import csv
from pathlib import Path
from typing import Any

from core.cli.answer import Answer
from core.errors import UserError
from core.workspace import RunFolder, Workspace


def mistakes(request: argparse.Namespace, workspace: Workspace) -> Answer:
    from core.correcting.marks import run_marks
    from core.data.examples import read_data_facts
    from core.evaluation.mistakes import count_rows, page_of_rows, places_of
    from core.evaluation.row_filter import RowFilter
    from core.evaluation.suspicious import count_held_out, why_not_judged
    from core.runs.store import open_store

    folder = _measured(workspace, request.run)
    _require_possible(request, read_data_facts(folder))
    if request.suspicious and why_not_judged(folder):
        raise UserError(why_not_judged(folder), request.run, "Leave --suspicious out.")
    wanted = RowFilter(
        shown="suspicious" if request.suspicious else "all" if request.all else "mistakes",
        true=request.true,
        predicted=request.predicted,
        search=request.search or "",
        least=request.least,
        most=request.most,
        order=request.order or ("suspicion" if request.suspicious else "confidence"),
    )
    total = count_rows(folder, wanted)
    rows = page_of_rows(folder, wanted, request.offset, request.limit)
    marks = run_marks(open_store(workspace), folder)
    found = []
    for row in rows:
        file, number = places_of(folder, row["fold"], [row["row_id"]])[row["row_id"]]
        mark = marks.get((file, number))
        said = None if mark is None else {"verdict": mark.verdict, "classes": list(mark.classes)}
        found.append({"file": file, "row": number, **row, "said_of_label": said})
    among = f" of {count_held_out(folder):,} held-out rows" if request.suspicious else ""
    lines = [f"{total:,} {'rows fit' if total != 1 else 'row fits'}{among}; {len(found):,} shown."]
    lines += [_line(row) for row in found]
    return Answer("\n".join(lines), {"run": folder.id, "total": total, "offset": request.offset, "rows": found})


def _require_possible(request: argparse.Namespace, facts: Any) -> None:
    """Raises UserError for what no row can be: rather than an empty list, which reads as no mistakes."""
    from core.correcting.marks import check_class

    for name in (request.true, request.predicted):
        # Suspicious rows are of every fold, and another fold may know other classes.
        if name is not None and not request.suspicious:
            check_class(facts, name)
    if not 0 <= request.least <= request.most <= 1:
        raise UserError(
            f"No confidence is from {request.least:g} to {request.most:g}.",
            "--least, --most",
            "Give numbers from 0 to 1, the smaller one as --least.",
        )
    for option, number in (("--offset", request.offset), ("--limit", request.limit)):
        if number < 0:
            raise UserError(f"{option} is {number}; it is a number of rows.", option, "Give 0 or more.")


def _line(row: dict[str, Any]) -> str:
    said = row.get("suggested") or row["predicted"]
    mark = "" if row["said_of_label"] is None else f"  [{row['said_of_label']['verdict']}]"
    text = " ".join(row["text"].split())
    place = f"{row['file']} {row['row']}"
    return f"{place:<16}{row['confidence']:>7.1%}  {row['true'] or '-'} -> {said or '-'}{mark}  {text[:80]}"


def correct(request: argparse.Namespace, workspace: Workspace) -> Answer:
    from core.correcting.corrected_file import corrected_targets, write_corrected
    from core.correcting.marks import run_marks
    from core.correcting.plan import plan_corrections, require_labels
    from core.data.examples import read_data_facts
    from core.files import refuse_to_overwrite, replacing
    from core.runs.store import open_store
    from core.spec_files import spec_yaml

    folder = workspace.run(request.run)
    open_store(workspace).run(request.run)
    require_labels(folder, read_data_facts(folder))
    marks = run_marks(open_store(workspace), folder)
    if request.corrections:
        marks |= _marks_of_file(folder, Path(request.corrections))
    plan = plan_corrections(folder, marks, leave_out_ambiguous=not request.keep_ambiguous)
    if not plan.changes and request.corrections:
        raise UserError(
            f"Nothing in {request.corrections} changes a row of this run's files.",
            request.corrections,
            f"Compare its rows and classes with those of `python launch.py mistakes {request.run}`.",
        )
    if not plan.changes:
        raise UserError(
            "There is nothing to correct.",
            request.run,
            "Mark labels as wrong on the page under Mistakes, or give --corrections FILE.",
        )
    targets = corrected_targets(plan, Path(request.to))
    if request.corrections:
        for target in targets.values():
            refuse_to_overwrite(target, [request.corrections])
    spec = write_corrected(plan, targets)
    spec_path = Path(request.to).with_suffix(".yaml")
    with replacing(spec_path) as partial:
        partial.write_text(spec_yaml(spec), encoding="utf-8")
    changes = [
        {"file": one.role, "row": one.row, "text": one.text, "old": list(one.old),
         "new": None if one.new is None else list(one.new)}
        for one in plan.changes
    ]  # fmt: skip
    lines = [f"{old} -> {new}: {rows:,}" for old, new, rows in plan.pairs()]
    lines += [f"Written: {path}" for path in targets.values()]
    lines.append(f"Train on it, with the same rows in each part: python launch.py train {spec_path}")
    if plan.unusable:
        lines.append(f"{plan.unusable:,} marks are on rows, or with classes, that this run does not use.")
    content = {
        "run": folder.id,
        "files": {role: str(path.absolute()) for role, path in targets.items()},
        "spec": str(spec_path.absolute()),
        "changes": changes,
        "left_out": sum(one.new is None for one in plan.changes),
        "unusable": plan.unusable,
    }
    return Answer("\n".join(lines), content)


def _marks_of_file(folder: RunFolder, path: Path) -> Any:
    """Marks from a CSV file with the columns row and label, and file where not all are of the training file.

    An empty label is an ambiguous one; several classes are parted as in the data. Raises UserError.
    """
    from core.correcting.marks import check_classes
    from core.data.examples import read_data_facts
    from core.runs.label_marks import LabelMark
    from core.spec_files import read_spec

    facts, separator = read_data_facts(folder), read_spec(folder.spec).mapping.label_separator
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            lines = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).", str(path), "Give a CSV file in UTF-8.") from error
    marks = {}
    for number, line in enumerate(lines, start=2):
        where = f"{path.name}, line {number}"
        file, row, label = (
            (line.get("file") or "").strip() or "train",
            (line.get("row") or "").strip(),
            line.get("label"),
        )
        if not row.isdecimal() or label is None:
            todo = "Give the columns row (a number, as `launch.py mistakes` shows it) and label."
            raise UserError("A correction needs a row and a label.", where, todo)
        if file not in facts.files:
            raise UserError(f"The run has no {file} file.", where, f"Write one of {', '.join(facts.files)}.")
        parts = label.split(separator.strip() or separator) if facts.kind == "multi" else [label]
        classes = tuple(part.strip() for part in parts if part.strip())
        if classes:
            try:
                check_classes(facts, classes)
            except UserError as error:
                raise UserError(error.what, where, error.todo) from error
        verdict = "wrong" if classes else "ambiguous"
        marks[file, int(row)] = LabelMark("", int(row), verdict, classes, folder.id)  # type: ignore[arg-type]
    return marks


def _measured(workspace: Workspace, run_id: str) -> RunFolder:
    """Raises UserError for a run that has no predictions."""
    from core.runs.store import open_store

    folder = workspace.run(run_id)
    open_store(workspace).run(run_id)
    if not (folder.report / "predictions.parquet").exists():
        raise UserError(
            f"Run {run_id} has no predictions.", run_id, "Wait until it has finished; conversations have no mistakes."
        )
    return folder
