"""Whether the store and the runs' folders say the same, and putting it right from these: `launch.py runs --check`.

A run's folder is the contract, and its journal holds what the store has of it; sweeps and corrections of labels lie in
files beside the store. So a lost or damaged database is made again from these. Drafts, limits and tokens of programs
are in the store alone, and lost with it. Of a run of an earlier Tunedesk, which has no journal, a finished one comes
back from its report and the others as interrupted, without curves.
"""

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.evaluation.report_file import read_content
from core.evaluation.summary import summary_of
from core.runs import journal
from core.runs.leftovers import remove_leftovers
from core.runs.lifecycle import ACTIVE
from core.runs.locks import has_worker
from core.runs.mark_log import has_marks_without_file, lost_marks, put_back_marks, write_marks
from core.runs.restoring import Restored, restore
from core.runs.store import Run, Store, open_store
from core.runs.sweep_files import lost_sweeps, put_back_sweep, sweeps_without_file, write_missing
from core.schema import RunSpec, shown_name
from core.spec_files import read_spec
from core.workspace import RunFolder, Workspace

LOST_WITH_IT = (
    "Drafts, limits and tokens of programs were in it alone: set the limits again, and give programs new tokens."
)


@dataclass(frozen=True)
class Difference:
    run: str
    """Its id; empty of the store itself."""
    what: str
    todo: str
    """What repairing does, or has done."""
    repairable: bool = True


def check_store(workspace: Workspace, repair: bool = False) -> list[Difference]:
    """What does not fit together; with `repair` it has been put right where that is said.

    Raises UserError where the store cannot be read for another reason than damage.
    """
    found = _check_file(workspace, repair)
    if found and not repair:
        return found
    store = open_store(workspace)
    known = {run.id: run for run in store.runs(limit=store.count_runs() or 1)}
    folders = {path.name: RunFolder(path) for path in sorted(workspace.runs.iterdir()) if path.is_dir()}
    for run_id, folder in folders.items():
        if run_id not in known and folder.spec.exists():
            found.append(_unknown(store, folder, repair))
        elif run_id not in known:
            found.append(Difference(run_id, "A folder without a spec.yaml.", "Look at it, and delete it.", False))
        else:
            found += _compare(store, known[run_id], folder, repair)
    for run_id, run in known.items():
        if run_id not in folders:
            found.append(_without_folder(store, run, repair))
    found += _check_beside(store, repair)
    if found and not known:
        found.insert(0, Difference("", "The store is empty.", LOST_WITH_IT))
    return found


def _check_file(workspace: Workspace, repair: bool) -> list[Difference]:
    """The database file itself."""
    if not workspace.database.exists():
        return []
    try:
        with closing(sqlite3.connect(workspace.database)) as connection:
            (word,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        raise UserError(
            f"The store cannot be read ({error}).", str(workspace.database), "See that the folder can be written."
        ) from error
    except sqlite3.DatabaseError as error:
        word = str(error)
    if word == "ok":
        return []
    if repair:
        aside = f"broken-{time.strftime('%Y%m%d-%H%M%S')}"
        for suffix in ("", "-wal", "-shm"):
            path = Path(f"{workspace.database}{suffix}")
            if path.exists():
                path.rename(f"{workspace.database}.{aside}{suffix}")
    todo = f"It is set aside and made again from the runs' folders. {LOST_WITH_IT}"
    return [Difference("", f"The store is damaged: {word}", todo)]


def _check_beside(store: Store, repair: bool) -> list[Difference]:
    """Sweeps and marks on labels, which lie in files beside the store."""
    found = []
    for lost in lost_sweeps(store):
        if repair:
            put_back_sweep(store, lost)
        what = f"The store does not know the sweep '{lost.sweep['name']}'."
        found.append(Difference("", what, f"It comes back with its {len(lost.trials):,} runs."))
    without = sweeps_without_file(store)
    if without:
        if repair:
            write_missing(store)
        found.append(Difference("", f"{len(without):,} sweeps are in the store alone.", "They are written beside it."))
    if marks := lost_marks(store):
        if repair:
            put_back_marks(store)
        found.append(Difference("", f"{marks:,} corrections of labels are not in the store.", "They come back."))
    if has_marks_without_file(store):
        if repair:
            write_marks(store)
        found.append(Difference("", "Corrections of labels are in the store alone.", "They are written beside it."))
    return found


def _unknown(store: Store, folder: RunFolder, repair: bool) -> Difference:
    restored = restored_from(folder)
    if repair:
        restore(store, restored)
    return Difference(
        folder.id,
        "The store does not know this run.",
        f"It comes back as {restored.told.state}, with {len(restored.told.metrics):,} points of its curves.",
    )


def _compare(store: Store, run: Run, folder: RunFolder, repair: bool) -> list[Difference]:
    found = []
    told = journal.read(folder.journal)
    if run.state in ACTIVE and not has_worker(folder, run.pid, lambda _: True):
        if repair:
            store.move(run.id, [run.state], "interrupted", "Its worker is gone.")
        found.append(Difference(run.id, f"It is {run.state}, and no process works on it.", "It becomes interrupted."))
    kept = {(point.name, point.step): (point.value, point.time) for point in store.metrics(run.id)}
    lost = told.metrics.keys() - kept.keys()
    if lost and run.state not in ACTIVE:
        if repair:
            restore_metrics(store, run.id, {key: told.metrics[key] for key in lost})
        found.append(Difference(run.id, f"{len(lost):,} points of its curves are not in the store.", "They come back."))
    if run.shared != told.shared:
        if repair:
            store.share_run(run.id, run.shared)
        found.append(Difference(run.id, "Whether it is shared is in the store alone.", "It is written to its folder."))
    if run.state == "finished":
        found += _finished(run, folder, repair)
    return found


def _finished(run: Run, folder: RunFolder, repair: bool) -> list[Difference]:
    found = []
    parts = {"model": folder.model}
    if run.started is not None:  # an opened model was never trained here, so nothing reports on it
        parts["report"] = folder.report / "report.json"
    for name, path in parts.items():
        if not path.exists():
            todo = "Duplicate the run and train again."
            found.append(Difference(folder.id, f"It is finished, and its {name} is gone.", todo, False))
    if folder.checkpoints.exists():
        if repair:
            remove_leftovers(folder)
        found.append(Difference(folder.id, "It is finished and still has its checkpoints.", "They are deleted."))
    return found


def _without_folder(store: Store, run: Run, repair: bool) -> Difference:
    if run.state in ACTIVE or run.state == "queued":
        if repair:
            store.move(run.id, [run.state], "stopped", "Its folder is gone.")
        return Difference(run.id, f"It is {run.state}, and its folder is gone.", "It becomes stopped.")
    return Difference(run.id, "Its folder is gone.", "Delete it on the Runs page.", False)


def restore_metrics(store: Store, run_id: str, points: dict[tuple[str, int], tuple[float, float]]) -> None:
    store.put_back_metrics(run_id, [(name, step, value, moment) for (name, step), (value, moment) in points.items()])


def restored_from(folder: RunFolder) -> Restored:
    """A run as its folder tells it. A run that was at work comes back as interrupted, unless its worker lives."""
    told = journal.read(folder.journal)
    spec = _spec(folder)
    report = read_content(folder)
    named = {"name": folder.id, "preset": "", "model": "", "data_name": ""}
    if spec is not None:
        named = {
            "name": spec.name,
            "preset": spec.preset,
            "model": spec.model.source,
            "data_name": shown_name(spec.data.train),
        }
    told.made = named | {name: value for name, value in told.made.items() if value}
    told.created = told.created or folder.spec.stat().st_mtime
    if report is not None and (told.state == "finished" or not told.state):
        _finished_by_report(told, report)
    if told.state in (*ACTIVE, ""):
        told.state, told.reason = "interrupted", "The store was made again from the runs' folders."
    elif told.state == "queued":
        told.state, told.reason = "stopped", "The store was made again, so it waits no longer: resume it."
    return Restored(folder.id, told)


def _finished_by_report(told: journal.Told, report: dict[str, Any]) -> None:
    told.state = "finished"
    told.summary = told.summary or summary_of(report)
    training = report.get("training", {})
    told.seconds = told.seconds or float(training.get("seconds", 0.0))
    if not told.metrics:
        history = training.get("history", [])
        told.metrics = {(point["name"], point["step"]): (point["value"], point["time"]) for point in history}


def _spec(folder: RunFolder) -> RunSpec | None:
    """None where the file is damaged: what the journal says has to do."""
    try:
        return read_spec(folder.spec)
    except (UserError, OSError, json.JSONDecodeError):
        return None
