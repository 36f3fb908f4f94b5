"""Making an export in a process of its own, which lives on when the page closes. Light: no torch.

A job is a folder as core.job_processes has it, WORKSPACE/runs/RUN/exports/JOB/, with the export in it once it is whole.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import UserError
from core.export_formats import Wish, checked
from core.job_processes import State, bury, gone_error, job_folders, launch, new_job, read_json, stop, write_json
from core.model_facts import MODEL_FACTS_FILE
from core.workspace import RunFolder, Workspace


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
    request = ExportRequest(wish, f"{name}.zip" if wish.zipped else name, time.time())
    with new_job(workspace, folder.exports, f"Making the {wish.format}") as job:
        write_json(job / "job.json", asdict(request))
        write_export_status(job, "running")
        launch(job, ["-m", "core.export.make"])
    return job.name


def export_jobs(workspace: Workspace, run_id: str) -> list[ExportJob]:
    """Every export of a run, the newest first."""
    folder = workspace.run(run_id)
    return [_job(folder, place) for place in job_folders(folder.exports)]


def stop_exports(workspace: Workspace, run_id: str) -> None:
    """End those that are being made, and remove what they have half written."""
    folder = workspace.run(run_id)
    for job in export_jobs(workspace, run_id):
        place = folder.exports / job.id
        if job.state == "running" and stop(place):
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
    if bury(place, request.created):
        write_export_status(place, "failed", error=gone_error(place, "It"))
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
