"""Opening a model of the hub in a process of its own, which lives on when the page closes. Light: no torch.

A job is a folder as core.job_processes has it, WORKSPACE/openings/JOB/, with what was fetched in it until the run has
it. The token goes to the process through its standard input: it is in no file, no argument and no environment.
"""

import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.hub_fetching import OutOfReachError
from core.hub_model import HubModel
from core.job_processes import State, bury, gone_error, job_folders, launch, new_job, read_json, stop, write_json
from core.masking import mask_output, masked_error
from core.opening import Asked, look, open_model
from core.workspace import Workspace

TELL_SECONDS = 0.5
KNOWN_SHARE = 0.02
"""So much has to be there before it is said how long the rest takes: the first small files tell nothing of that."""


@dataclass(frozen=True)
class OpeningJob:
    id: str
    state: State
    asked: Asked
    words: str
    """What is being done."""
    done: int
    total: int
    """Bytes; 0 before the hub has said how many."""
    seconds_left: float | None
    commit: str
    files: tuple[tuple[str, int], ...]
    """What is fetched: names and bytes; empty until it is known."""
    run: str
    """The run that a finished job made."""
    error: dict[str, str] | None
    """The parts of a UserError of a failed job."""


def start_opening(workspace: Workspace, asked: Asked, token: str | None) -> str:
    """Start fetching a repository's model into a run. Returns the job's id; ended ones give way to it.

    Raises UserError where the same is being opened already, or the job cannot be started.
    """
    for older in opening_jobs(workspace):
        if older.state != "running":
            shutil.rmtree(workspace.openings / older.id, ignore_errors=True)
        elif older.asked.model == asked.model:
            raise UserError(f"{asked.model} is being opened already.", asked.model, "Wait for it, or stop it first.")
    with new_job(workspace, workspace.openings, "Opening") as job:
        write_json(job / "job.json", {**asdict(asked), "created": time.time()})
        _write_status(job, "running", words="Asking the hub")
        launch(job, ["-m", "core.opening_jobs"], secret=token or "")
    return job.name


def opening_jobs(workspace: Workspace) -> list[OpeningJob]:
    """Those that run, and what came of the last ones; the newest first."""
    return [_job(place) for place in job_folders(workspace.openings)]


def stop_opening(workspace: Workspace, job_id: str) -> None:
    """End a running job, and remove what it has fetched."""
    for job in opening_jobs(workspace):
        place = workspace.openings / job.id
        if job.id == job_id and job.state == "running" and stop(place):
            _write_status(place, "stopped", words="Stopped; nothing of it was kept.")


def _job(place: Path) -> OpeningJob:
    asked = read_json(place / "job.json")
    created = asked.pop("created")
    if bury(place, created):
        _write_status(place, "failed", error=gone_error(place, "Opening", "Open it again."))
    status = read_json(place / "status.json")
    files = tuple((name, size) for name, size in status.pop("files"))
    return OpeningJob(id=place.name, asked=Asked(**asked), files=files, **status)


def _write_status(job: Path, state: State, **content: Any) -> None:
    usual = {
        "words": "", "done": 0, "total": 0, "seconds_left": None, "commit": "", "files": [], "run": "", "error": None,
    }  # fmt: skip
    write_json(job / "status.json", {"state": state, **usual, **content})


# In the process


def main(place: str) -> None:
    """Do the job in this folder; the token, where there is one, comes on standard input."""
    job = Path(place)
    token = sys.stdin.read().strip() or None
    mask_output(token)
    content = read_json(job / "job.json")
    del content["created"]
    asked, workspace = Asked(**content), Workspace(job.parents[1])
    try:
        known = _looked_up(asked, token)
        _write_status(job, "running", words="Fetching", **known)
        run = open_model(workspace, asked, token, _Telling(job, known), room=job)
    except UserError as error:
        parts = masked_error(error, token).parts()
        print(f"{parts['what']}\n  where: {parts['where']}\n  what to do: {parts['todo']}", flush=True)
        _write_status(job, "failed", error=parts)
    else:
        _write_status(job, "finished", words="Opened", run=run, **known)


def _looked_up(asked: Asked, token: str | None) -> dict[str, Any]:
    """What the page shows of the repository; nothing where the hub is away and its client may have a copy."""
    try:
        found: HubModel = look(asked, token)
    except OutOfReachError:
        return {}
    return {"commit": found.commit, "files": found.files, "total": found.bytes}


class _Telling:
    """Bytes that are there -> status.json, now and then, with how long the rest will take."""

    def __init__(self, job: Path, known: dict[str, Any]) -> None:
        self.job, self.known = job, known
        self.began, self.told = time.monotonic(), 0.0

    def __call__(self, done: int, total: int, words: str) -> None:
        now = time.monotonic()
        if now - self.told > TELL_SECONDS:
            self.told = now
            left = (now - self.began) / done * (total - done) if done > total * KNOWN_SHARE else None
            content = self.known | {"done": done, "total": total, "seconds_left": left}
            _write_status(self.job, "running", words=words.capitalize(), **content)


if __name__ == "__main__":
    main(sys.argv[1])
