"""Labelling a file in a process of its own, which lives on when the page closes. Light: no torch.

A job is a folder, WORKSPACE/runs/RUN/predictions/JOB/: job.json (what is asked), process.json (who does it),
status.json (how it goes), log.txt, and the labelled file once it is whole. So any process can look after it.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import UserError
from core.job_processes import State, bury, gone_error, job_folders, launch, new_job, read_json, stop, write_json
from core.model_facts import require_classes, run_model_facts
from core.schema import Part, TableFile
from core.workspace import Workspace


class JobRequest(Part):
    """job.json."""

    file: TableFile
    name: str
    """The file's name, for people."""
    output: str
    """Name of the labelled file, beside job.json."""
    top_k: int = 1
    text_columns: tuple[str, ...] = ()
    """Empty: those the model was trained on."""
    spreadsheet_safe: bool = True
    visitor: str = ""
    """The guest's session that asked; empty: the owner."""
    most_rows: int | None = None
    """A file with more is refused."""
    created: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class LabelJob:
    id: str
    state: State
    name: str
    """The name of the file that is labelled."""
    created: float
    """Seconds since 1970."""
    done: int
    """Rows labelled so far."""
    total: int
    """Rows in all; 0 while the file is being read."""
    seconds_left: float | None
    output: Path | None
    """The labelled file of a finished job."""
    error: dict[str, str] | None
    """The parts of a UserError (what, where, todo) of a failed job."""
    notes: tuple[str, ...]
    """What to know of a finished job's file."""
    visitor: str = ""
    """The guest's session that asked; empty: the owner."""


def start_label_job(
    workspace: Workspace,
    run_id: str,
    file: TableFile,
    file_format: Literal["csv", "parquet"] = "csv",
    top_k: int = 1,
    *,
    text_columns: Sequence[str] = (),
    spreadsheet_safe: bool = True,
    visitor: str = "",
    most_rows: int | None = None,
) -> str:
    """Start labelling a file with a run's model. Returns the job's id. visitor and most_rows: see JobRequest.

    Raises UserError where the run has no model or the job cannot be written or started.
    """
    folder = workspace.run(run_id)
    require_classes(run_model_facts(folder))
    name = Path(file.path).name
    stem = re.sub(r"[^\w-]+", "_", name.split(".")[0])[:80] or "table"
    request = JobRequest(
        file=file,
        name=name,
        output=f"{stem}_labelled.{file_format}",
        top_k=top_k,
        text_columns=tuple(text_columns),
        spreadsheet_safe=spreadsheet_safe,
        visitor=visitor,
        most_rows=most_rows,
        created=time.time(),
    )
    with new_job(workspace, folder.predictions, f"Labelling {name}") as job:
        write_json(job / "job.json", request.model_dump(mode="json"))
        write_status(job, "running")
        launch(job, ["-m", "core.predict", "file"])
    return job.name


def label_job(workspace: Workspace, run_id: str, job_id: str) -> LabelJob:
    """How a job stands. Raises UserError where there is none of that id."""
    job = _folder(workspace, run_id, job_id)
    request = job_folder_request(job)
    if bury(job, request.created):
        write_status(job, "failed", error=gone_error(job, "Labelling"))
    status = read_json(job / "status.json")
    return LabelJob(
        id=job.name,
        state=status["state"],
        name=request.name,
        created=request.created,
        done=status["done"],
        total=status["total"],
        seconds_left=status["seconds_left"],
        output=job / request.output if status["state"] == "finished" else None,
        error=status["error"],
        notes=tuple(status["notes"]),
        visitor=request.visitor,
    )


def label_jobs(workspace: Workspace, run_id: str) -> list[LabelJob]:
    """Every job of a run, the newest first."""
    return [label_job(workspace, run_id, job.name) for job in job_folders(workspace.run(run_id).predictions)]


def cancel_label_job(workspace: Workspace, run_id: str, job_id: str) -> None:
    """End a running job and remove what it has half written; a job that has ended is left as it is."""
    job = _folder(workspace, run_id, job_id)
    if stop(job):
        write_status(job, "stopped")


def job_folder_request(job: Path) -> JobRequest:
    return JobRequest.model_validate_json((job / "job.json").read_text(encoding="utf-8"))


def write_status(
    job: Path,
    state: State,
    *,
    done: int = 0,
    total: int = 0,
    seconds_left: float | None = None,
    error: dict[str, str] | None = None,
    notes: Sequence[str] = (),
) -> None:
    content = {
        "state": state,
        "done": done,
        "total": total,
        "seconds_left": seconds_left,
        "error": error,
        "notes": list(notes),
    }
    write_json(job / "status.json", content)


def _folder(workspace: Workspace, run_id: str, job_id: str) -> Path:
    # Taken from what is there, so that no id can name a place elsewhere.
    found = [job for job in job_folders(workspace.run(run_id).predictions) if job.name == job_id]
    if not found:
        raise UserError(f"Run {run_id} has no labelling '{job_id}'.", "job", "Reload the page to see those it has.")
    return found[0]
