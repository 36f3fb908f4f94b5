"""Publishing in a process of its own, which lives on when the page closes or the server restarts. Light: no torch.

A job is a folder, WORKSPACE/runs/RUN/publications/JOB/: publication.json (what is asked), process.json (who does it),
status.json (how it goes), log.txt. The token goes to the process through its standard input and stays in its memory:
it is in no file, no argument and no environment. So a job that is cut off cannot go on by itself; publishing again
sends only what is missing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.export.publication import Publication, published_wish
from core.job_processes import State, bury, gone_error, job_folders, launch, new_job, read_json, stop, write_json
from core.workspace import Workspace

ROOMS = "publish.*"
"""Where core.export.publish writes what goes out."""


@dataclass(frozen=True)
class PublishJob:
    id: str
    state: State
    asked: Publication
    created: float
    """Seconds since 1970."""
    words: str
    """What is being done."""
    done: int
    total: int
    """Bytes; 0 before everything is written."""
    files: tuple[tuple[str, int], ...]
    """What goes out, names and bytes, once everything is written."""
    seconds_left: float | None
    error: dict[str, str] | None
    """The parts of a UserError of a failed job."""
    results: tuple[dict[str, Any], ...]
    """Of a finished job, for each repository: kind, repository, url, commit, pull_request, created."""


def start_publishing(workspace: Workspace, asked: Publication, token: str) -> str:
    """Start the process. Returns the job's id. Raises UserError where the run has no model or is being published."""
    folder = workspace.run(asked.run)
    published_wish(folder, asked)
    if any(job.state == "running" for job in publish_jobs(workspace, asked.run)):
        raise UserError("This run is being published just now.", asked.run, "Wait until that is done, or stop it.")
    with new_job(workspace, folder.publications, "Publishing") as job:
        write_json(job / "publication.json", asked.model_dump(mode="json"))
        write_status(job, "running", words="Starting")
        launch(job, ["-m", "core.export.publish_process"], secret=token)
    return job.name


def publish_job(workspace: Workspace, run_id: str, job_id: str) -> PublishJob:
    """How a job stands. Raises UserError where there is none of that id."""
    job = _folder(workspace, run_id, job_id)
    if bury(job, _created(job), ROOMS):
        write_status(
            job, "failed", error=gone_error(job, "Publishing", "Publish again: what arrived is not sent twice.")
        )
    status = read_json(job / "status.json")
    return PublishJob(
        id=job.name,
        asked=Publication.model_validate_json((job / "publication.json").read_text(encoding="utf-8")),
        created=_created(job),
        **{name: status[name] for name in ("state", "words", "done", "total", "seconds_left", "error")},
        files=tuple((name, size) for name, size in status["files"]),
        results=tuple(status["results"]),
    )


def publish_jobs(workspace: Workspace, run_id: str) -> list[PublishJob]:
    """Every job of a run, the newest first."""
    return [publish_job(workspace, run_id, job.name) for job in job_folders(workspace.run(run_id).publications)]


def stop_publishing(workspace: Workspace, run_id: str, job_id: str) -> None:
    """End a running job; what arrived stays on the hub, unseen until a commit names it."""
    job = _folder(workspace, run_id, job_id)
    if stop(job, ROOMS):
        write_status(job, "stopped", words="Stopped; what arrived is not sent again.")


def _created(job: Path) -> float:
    return (job / "publication.json").stat().st_mtime


def write_status(job: Path, state: State, **content: Any) -> None:
    usual = {"words": "", "done": 0, "total": 0, "seconds_left": None, "error": None, "files": [], "results": []}
    write_json(job / "status.json", {"state": state, **usual, **content})


def _folder(workspace: Workspace, run_id: str, job_id: str) -> Path:
    # Taken from what is there, so that no id can name a place elsewhere.
    found = [job for job in job_folders(workspace.run(run_id).publications) if job.name == job_id]
    if not found:
        raise UserError(f"Run {run_id} has no publication '{job_id}'.", "job", "Reload the page to see those it has.")
    return found[0]
