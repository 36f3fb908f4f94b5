"""Labels and probabilities from a run's model, for texts and for whole files.

Heavy: imports torch and transformers. The page never imports this; it talks to `python -m core.predict serve MODEL_DIR`
through core.prediction_service, and labels files with `python -m core.predict file JOB_DIR`.
"""

import argparse
import errno
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.data.database import identifier
from core.data.table import Table
from core.decision import is_sure, shown_share, tempered
from core.errors import UserError
from core.files import refuse_to_overwrite, replacing
from core.label_jobs import job_folder_request, write_status
from core.labelled_files import (
    check_output,
    gives_sets,
    labelled_file,
    result_arrays,
    result_columns,
    result_types,
)
from core.masking import mask_output, masked_error
from core.model_facts import ModelText, require_classes, run_model_facts
from core.model_input import model_text_columns, open_like_training, read_chunks
from core.predictor import Predictor, chat_answers, load_predictor, predict_probabilities
from core.schema import TableFile, data_files
from core.spec_files import read_spec
from core.workspace import RunFolder, Workspace
from core.yielding import yield_to_others

__all__ = ["LabelResult", "Predictor", "label_file", "label_path", "load_predictor", "predict_probabilities"]

IDLE_SECONDS = 300.0

OnProgress = Callable[[int, int, float | None], None]
"""Gets rows done, rows in all, and seconds left (None at first)."""


@dataclass(frozen=True)
class LabelResult:
    output: Path
    rows: int
    """Rows written, as many as the table has."""
    labelled: int
    """Rows that got a label: those with text that the model is sure enough of."""
    columns: tuple[str, ...]
    """Names of the new columns, in order."""
    formula_cells: int
    """CSV cells that got a single quote in front; see core.labelled_files."""
    notes: tuple[str, ...]
    """What a person should know of the file, each a plain sentence."""
    seconds: float


def label_file(
    predictor: Predictor,
    table: Table,
    output: Path,
    top_k: int = 1,
    on_progress: OnProgress | None = None,
    *,
    text_columns: Sequence[str] | None = None,
    spreadsheet_safe: bool = True,
    separator: str = ";",
) -> LabelResult:
    """Write the table with the `top_k` most likely labels and their probabilities, as .csv or .parquet by `output`.

    Where rows may have several classes those that reach their thresholds come first, joined by `separator`; of soft
    labels the probability of every class comes last. Of one class a row the model's saved decision holds
    (core.decision): a row that it is not sure enough of gets no label, and a column `labels` holds each row's set of
    likely classes. Every column stays the text it was; a row without text gets no label. The result stands under its
    name only when it is whole. `spreadsheet_safe` puts a single quote before CSV cells that could run as formulas, and
    counts them. Raises UserError for absent text columns, an output that cannot be written, a full disk.
    """
    started = time.monotonic()
    columns = model_text_columns(predictor.facts, table, text_columns)
    check_output(output, table.path)
    if top_k < 1:
        raise UserError(f"top-k is {top_k}.", "top_k", "Ask for one label or more.")
    facts = predictor.facts
    ranks = min(top_k, len(facts.labels))
    added = result_columns(table.names, ranks, facts.label_kind, facts.labels, sets=gives_sets(facts))
    types = [pa.string()] * len(table.names) + result_types(facts, ranks)
    progress = timed_progress(table.rows, on_progress)
    written = labelled = unsure = 0
    try:
        with (
            replacing(output) as partial,
            labelled_file(partial, output.suffix, [*table.names, *added], types, spreadsheet_safe) as file,
        ):
            for texts, cells in read_chunks(table, facts, columns, list(map(identifier, table.names))):
                said = filled_probabilities(predictor, texts, progress, written)
                filled = np.array([bool(text) for text in texts])
                new = result_arrays(facts, said, filled, ranks, separator)
                file.write([*cells, *new])
                written += len(texts)
                left = int((~is_sure(said, facts.decision)).sum()) if facts.label_kind == "single" else 0
                labelled += int(filled.sum()) - left
                unsure += left
                progress(written)
    except OSError as error:
        raise _not_written(error, output) from error
    notes = _notes(table, added, (top_k, ranks), written - labelled - unsure, file.formula_cells)
    if unsure:
        notes = (_unsure_words(unsure, facts.decision.abstain_below), *notes)
    return LabelResult(output, written, labelled, tuple(added), file.formula_cells, notes, time.monotonic() - started)


def timed_progress(total: int, on_progress: OnProgress | None) -> Callable[[int], None]:
    """A function of the rows done that tells `on_progress` also how long the rest will take at the pace so far."""
    started = time.monotonic()

    def tell(done: int) -> None:
        if on_progress is not None:
            left = (time.monotonic() - started) / done * (total - done) if done else None
            on_progress(done, total, left)

    return tell


def filled_probabilities(
    predictor: Predictor, texts: Sequence[ModelText], progress: Callable[[int], None], before: int
) -> npt.NDArray[np.float32]:
    """Probabilities of the texts that are not empty, at the model's temperature: float32 [filled, classes].

    `before` rows are done already.
    """
    filled = [text for text in texts if text]
    said = predict_probabilities(predictor, filled, lambda done, _: progress(before + done))
    return tempered(said, predictor.facts.decision.temperature)


def _unsure_words(rows: int, threshold: float) -> str:
    have = "row is" if rows == 1 else "rows are"
    return f"{rows:,} {have} below the saved threshold of {shown_share(threshold)}: no label, their probability alone."


def _not_written(error: OSError, output: Path) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk filled up while {output.name} was written; nothing of it was kept.",
            str(output.parent),
            "Free some space or choose a folder on another disk, and start again.",
        )
    return UserError(
        f"{output} cannot be written ({os.strerror(error.errno) if error.errno else error}).",
        str(output),
        "Choose another name or folder.",
    )


def _notes(
    table: Table, added: Sequence[str], ranks: tuple[int, int], empty: int, formula_cells: int
) -> tuple[str, ...]:
    """ranks: how many of the likeliest classes were asked for, and how many are given."""
    notes = []
    renamed = [name for name in added if name.startswith("predicted_")]
    if renamed:
        notes.append(f"The file has columns of the usual names, so the new ones are {', '.join(renamed)}.")
    asked, given = ranks
    if asked > given:
        notes.append(f"The model knows {given} classes, so no more than these are given.")
    if empty:
        notes.append(f"{empty:,} {'row has' if empty == 1 else 'rows have'} no text and got no label.")
    if table.rejected:
        notes.append(f"{table.rejected:,} lines of {table.path.name} could not be read and are not in the result.")
    if formula_cells:
        notes.append(
            f"{formula_cells:,} cells begin with a character that a spreadsheet could run as a formula; each got a "
            "single quote (') in front. Parquet keeps such cells as they are."
        )
    return tuple(notes)


def label_path(
    workspace: Workspace,
    run_id: str,
    input_file: Path | TableFile,
    output: Path,
    top_k: int = 1,
    on_progress: OnProgress | None = None,
    *,
    text_columns: Sequence[str] | None = None,
    spreadsheet_safe: bool = True,
    most_rows: int | None = None,
) -> LabelResult:
    """Label a file with a run's model: `launch.py predict RUN IN OUT`.

    Raises UserError, see label_file; also for a file of more than `most_rows` rows.
    """
    folder = workspace.run(run_id)
    facts, spec = run_model_facts(folder), read_spec(folder.spec)
    require_classes(facts)
    file = input_file if isinstance(input_file, TableFile) else TableFile(path=str(input_file))
    table = open_like_training(workspace, folder, file)
    if most_rows is not None and table.rows > most_rows:
        raise UserError(
            f"{table.title} has {table.rows:,} rows; guests may have {most_rows:,} labelled at once.",
            table.title,
            "Cut it into smaller files, or ask the owner to raise the limit.",
        )
    # What can be wrong is told before a large model is loaded.
    check_output(output, table.path)
    refuse_to_overwrite(output, data_files(spec.data))
    model_text_columns(facts, table, text_columns)
    predictor = load_predictor(folder.model)
    return label_file(
        predictor,
        table,
        output,
        top_k,
        on_progress,
        text_columns=text_columns,
        spreadsheet_safe=spreadsheet_safe,
        separator=spec.mapping.label_separator,
    )


# The two processes behind the page


def run_job(job: Path) -> int:
    """Label the file that job.json in this folder asks for; how it goes is in status.json. Returns an exit code."""
    request = job_folder_request(job)
    folder = RunFolder(job.parents[1])
    if request.visitor:
        yield_to_others()
    told = [time.monotonic()]

    def on_progress(done: int, total: int, seconds_left: float | None) -> None:
        if time.monotonic() - told[0] > 0.5:
            told[0] = time.monotonic()
            write_status(job, "running", done=done, total=total, seconds_left=seconds_left)

    try:
        result = label_path(
            folder.workspace,
            folder.id,
            request.file,
            job / request.output,
            request.top_k,
            on_progress,
            text_columns=request.text_columns,
            spreadsheet_safe=request.spreadsheet_safe,
            most_rows=request.most_rows,
        )
    except UserError as error:
        write_status(job, "failed", error=masked_error(error).parts())
        return 1
    write_status(job, "finished", done=result.rows, total=result.rows, notes=result.notes)
    return 0


def serve(model: Path, idle_seconds: float) -> None:
    """Answer JSON lines on standard input until they end or none has come for `idle_seconds`.

    First line out: {"ready": true} or {"error": parts}. Then for each {"id", "texts": [ModelText ...]} in, one
    {"id", "probabilities": [[...]]} out, classes as in tunedesk.json; for each {"id", "messages": [{"role", "content"}
    ...], "max_new_tokens"} one {"id", "tuned": text, "untuned": text or null}; for each {"id", "explain": text,
    "label"} one {"id"} with the content of core.evaluation.word_effects.WordEffects; or {"id", "error": parts}.
    """
    yield_to_others()
    # Whatever a library prints goes to the log: standard output carries answers only.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(requests,), daemon=True).start()

    def reply(content: dict[str, object]) -> None:
        replies.write(json.dumps(content) + "\n")
        replies.flush()

    try:
        predictor = load_predictor(model)
    except UserError as error:
        reply({"error": masked_error(error).parts()})
        return
    reply({"ready": True})
    while True:
        try:
            line = requests.get(timeout=idle_seconds)
        except queue.Empty:
            return
        if line is None:
            return
        request = json.loads(line)
        try:
            reply({"id": request["id"], **_answered(predictor, request)})
        except UserError as error:
            reply({"id": request["id"], "error": masked_error(error).parts()})


def _answered(predictor: Predictor, request: dict[str, Any]) -> dict[str, Any]:
    if "explain" in request:
        # Only now: captum takes seconds to import, and most who ask for a prediction never ask this.
        from core.evaluation.word_effects import word_effects

        label = predictor.facts.labels.index(request["label"])
        return asdict(word_effects(predictor.model, predictor.tokenizer, predictor.facts, request["explain"], label))
    if "messages" not in request:
        return {"probabilities": predict_probabilities(predictor, request["texts"]).tolist()}
    tuned, untuned = chat_answers(predictor, request["messages"], request["max_new_tokens"])
    return {"tuned": tuned, "untuned": untuned}


def _read_lines(requests: "queue.Queue[str | None]") -> None:
    with open(0, encoding="utf-8", closefd=False) as lines:
        for line in lines:
            requests.put(line)
    requests.put(None)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m core.predict")
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve")
    server.add_argument("model", type=Path)
    server.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS)
    commands.add_parser("file").add_argument("job", type=Path)
    request = parser.parse_args(words)
    if request.command == "file":
        return run_job(request.job.resolve())
    serve(request.model, request.idle_seconds)
    sys.stderr.flush()
    # The thread that waits for input cannot be woken; an ordinary exit would wait for the lock it holds.
    os._exit(0)


if __name__ == "__main__":
    mask_output()
    sys.exit(main(sys.argv[1:]))
