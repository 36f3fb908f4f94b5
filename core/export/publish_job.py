"""Publishing in a process of its own, which lives on when the page closes or the server restarts. Light: no torch.

A job is a folder, WORKSPACE/runs/RUN/publications/JOB/: publication.json (what is asked), process.json (who does it),
status.json (how it goes), log.txt. The token goes to the process through its standard input and stays in its memory:
it is in no file, no argument and no environment. So a job that is cut off cannot go on by itself; publishing again
sends only what is missing.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import UserError
from core.export.publication import Publication, published_wish
from core.job_processes import end, is_alive, launch, read_json, write_json
from core.workspace import Workspace, new_id

State = Literal["running", "finished", "failed", "stopped"]
_ID = re.compile(r"[a-z0-9-]{1,64}")


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
    job = folder.publications / new_id()
    try:
        job.mkdir(parents=True)
        (job / "publication.json").write_text(asked.model_dump_json(), encoding="utf-8")
        write_status(job, "running", words="Starting")
        launch(job, ["-m", "core.export.publish_process"], secret=token)
    except OSError as error:
        shutil.rmtree(job, ignore_errors=True)
        raise UserError(
            f"Publishing could not be started ({error.strerror}).",
            str(workspace.root),
            "Free some space, or choose another workspace with --workspace DIR.",
        ) from None
    return job.name


def publish_job(workspace: Workspace, run_id: str, job_id: str) -> PublishJob:
    """How a job stands. Raises UserError where there is none of that id."""
    job = _folder(workspace, run_id, job_id)
    status = read_json(job / "status.json")
    if status["state"] == "running" and not is_alive(job, _created(job)):
        # Its last word may have come meanwhile.
        status = read_json(job / "status.json")
        if status["state"] == "running":
            _bury(job)
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
    places = workspace.run(run_id).publications.glob("*/status.json")
    return [
        publish_job(workspace, run_id, name) for name in sorted((path.parent.name for path in places), reverse=True)
    ]


def stop_publishing(workspace: Workspace, run_id: str, job_id: str) -> None:
    """End a running job; what arrived stays on the hub, unseen until a commit names it."""
    job = _folder(workspace, run_id, job_id)
    end(job)
    if read_json(job / "status.json")["state"] == "running":
        _clear(job)
        write_status(job, "stopped", words="Stopped; what arrived is not sent again.")


def _bury(job: Path) -> None:
    error = UserError(
        "Publishing ended without a word: its process is gone.",
        str(job / "log.txt"),
        "Publish again: what arrived is not sent twice.",
    )
    _clear(job)
    write_status(job, "failed", error=error.parts())


def _clear(job: Path) -> None:
    for folder in job.glob("publish.*"):
        shutil.rmtree(folder, ignore_errors=True)


def _created(job: Path) -> float:
    return (job / "publication.json").stat().st_mtime


def write_status(job: Path, state: State, **content: Any) -> None:
    usual = {"words": "", "done": 0, "total": 0, "seconds_left": None, "error": None, "files": [], "results": []}
    write_json(job / "status.json", {"state": state, **usual, **content})


def _folder(workspace: Workspace, run_id: str, job_id: str) -> Path:
    job = workspace.run(run_id).publications / job_id
    if not _ID.fullmatch(job_id) or not (job / "status.json").exists():
        raise UserError(f"Run {run_id} has no publication '{job_id}'.", "job", "Reload the page to see those it has.")
    return job
