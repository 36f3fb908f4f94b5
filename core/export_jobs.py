"""Making an export in a process of its own, which lives on when the page closes. Light: no torch.

A job is a folder as core.job_processes has it, WORKSPACE/runs/RUN/exports/JOB/, with the export in it once it is whole.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from core.errors import UserError
from core.export_formats import Wish, checked
from core.job_processes import end, is_alive, launch, read_json, remove_partials, write_json
from core.model_facts import MODEL_FACTS_FILE
from core.workspace import RunFolder, Workspace, new_id

State = Literal["running", "finished", "failed", "stopped"]


@dataclass(frozen=True)
class ExportRequest:
    """job.json."""

    wish: Wish
    output: str
    """Name of the folder or zip, beside job.json."""
    created: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class ExportProgress:
    words: str = ""
    """What is being done."""
    done: int = 0
    total: int = 0
    """0 where that is not known."""
    seconds_left: float | None = None


@dataclass(frozen=True)
class ExportJob:
    id: str
    state: State
    wish: Wish
    created: float
    """Seconds since 1970."""
    progress: ExportProgress
    output: Path | None
    """The folder or zip of a finished job."""
    is_outdated: bool
    """Whether the model was told to answer otherwise since (core.deciding)."""
    error: dict[str, str] | None
    """The parts of a UserError (what, where, todo) of a failed job."""
    notes: tuple[str, ...]


def start_export(workspace: Workspace, run_id: str, wish: Wish, name: str) -> str:
    """Start making an export called `name`; an older one of the same kind gives way to it. Returns the job's id.

    Raises UserError where the format does not fit, the same is being made already, or the job cannot be started.
    """
    folder = workspace.run(run_id)
    wish = checked(folder, wish)
    for older in export_jobs(workspace, run_id):
        if older.wish == wish and older.state == "running":
            raise UserError("This is being made already.", wish.format, "Wait for it, or stop it first.")
        if older.wish == wish:
            shutil.rmtree(folder.exports / older.id, ignore_errors=True)
    job = folder.exports / new_id()
    request = ExportRequest(wish, f"{name}.zip" if wish.zipped else name, time.time())
    try:
        job.mkdir(parents=True)
        write_json(job / "job.json", asdict(request))
        write_export_status(job, "running")
        launch(job, ["-m", "core.export.make"])
    except OSError as error:
        shutil.rmtree(job, ignore_errors=True)
        raise UserError(
            f"Making the {wish.format} could not be started ({error.strerror}).",
            str(workspace.root),
            "Free some space or choose another workspace with --workspace DIR.",
        ) from error
    return job.name


def export_jobs(workspace: Workspace, run_id: str) -> list[ExportJob]:
    """Every export of a run, the newest first."""
    folder = workspace.run(run_id)
    return [_job(folder, path.parent) for path in sorted(folder.exports.glob("*/status.json"), reverse=True)]


def stop_exports(workspace: Workspace, run_id: str) -> None:
    """End those that are being made, and remove what they have half written."""
    folder = workspace.run(run_id)
    for job in export_jobs(workspace, run_id):
        if job.state == "running":
            place = folder.exports / job.id
            end(place)
            remove_partials(place)
            if read_json(place / "status.json")["state"] == "running":
                write_export_status(place, "stopped")


def export_request(job: Path) -> ExportRequest:
    content = read_json(job / "job.json")
    return ExportRequest(Wish(**content["wish"]), content["output"], content["created"])


def write_export_status(
    job: Path,
    state: State,
    *,
    progress: ExportProgress = ExportProgress(),
    error: dict[str, str] | None = None,
    notes: Sequence[str] = (),
) -> None:
    content = {"state": state, "progress": asdict(progress), "error": error, "notes": list(notes)}
    write_json(job / "status.json", content)


def _job(folder: RunFolder, place: Path) -> ExportJob:
    request = export_request(place)
    if read_json(place / "status.json")["state"] == "running" and not is_alive(place, request.created):
        _bury(place)
    status = read_json(place / "status.json")
    facts = folder.model / MODEL_FACTS_FILE
    return ExportJob(
        id=place.name,
        state=status["state"],
        wish=request.wish,
        created=request.created,
        progress=ExportProgress(**status["progress"]),
        output=place / request.output if status["state"] == "finished" else None,
        is_outdated=facts.exists() and facts.stat().st_mtime > request.created,
        error=status["error"],
        notes=tuple(status["notes"]),
    )


def _bury(job: Path) -> None:
    """Note that a job's process is gone, unless its last word came meanwhile."""
    if read_json(job / "status.json")["state"] != "running":
        return
    remove_partials(job)
    error = UserError(
        "It ended without a word: its process is gone.",
        str(job / "log.txt"),
        "Start it again. If it ends again, close other programs, as memory may be short, and read the log.",
    )
    write_export_status(job, "failed", error=error.parts())
