"""Publishing in a process of its own, which lives on when the page closes or the server restarts. Light: no torch.

A job is a folder, WORKSPACE/runs/RUN/publications/JOB/: publication.json (what is asked), process.json (who does it),
status.json (how it goes), log.txt. The token goes to the process through its standard input and stays in its memory:
it is in no file, no argument and no environment. So a job that is cut off cannot go on by itself; publishing again
sends only what is missing.
"""

import re
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import ValidationError

from core.errors import UserError, from_validation
from core.export.hub_errors import masked
from core.export.publish import Publication, publication_problem, publish, published_wish
from core.job_processes import end, is_alive, launch, read_json, write_json
from core.workspace import Workspace, new_id

State = Literal["running", "finished", "failed", "stopped"]
TELL_SECONDS = 0.5
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


def publication_of(**content: Any) -> Publication:
    """A checked request. Raises UserError."""
    try:
        asked = Publication(**content)
    except ValidationError as error:
        raise from_validation(error, "the publication") from error
    problem = publication_problem(asked)
    if problem is not None:
        raise problem
    return asked


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
        _write_status(job, "running", words="Starting")
        launch(job, ["-m", "core.export.publish_job"], secret=token)
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
        _write_status(job, "stopped", words="Stopped; what arrived is not sent again.")


def _bury(job: Path) -> None:
    error = UserError(
        "Publishing ended without a word: its process is gone.",
        str(job / "log.txt"),
        "Publish again: what arrived is not sent twice.",
    )
    _clear(job)
    _write_status(job, "failed", error=error.parts())


def _clear(job: Path) -> None:
    for folder in job.glob("publish.*"):
        shutil.rmtree(folder, ignore_errors=True)


def _created(job: Path) -> float:
    return (job / "publication.json").stat().st_mtime


def _write_status(job: Path, state: State, **content: Any) -> None:
    usual = {"words": "", "done": 0, "total": 0, "seconds_left": None, "error": None, "files": [], "results": []}
    write_json(job / "status.json", {"state": state, **usual, **content})


def _folder(workspace: Workspace, run_id: str, job_id: str) -> Path:
    job = workspace.run(run_id).publications / job_id
    if not _ID.fullmatch(job_id) or not (job / "status.json").exists():
        raise UserError(f"Run {run_id} has no publication '{job_id}'.", "job", "Reload the page to see those it has.")
    return job


# In the process


class Pace:
    """Bytes done in all -> how long it will take, from those that this process sent in its last half minute."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def left(self, done: int, total: int, now: float) -> float | None:
        self.seen = [each for each in self.seen if now - each[0] < 30] + [(now, done)]
        (began, first), sent = self.seen[0], done - self.seen[0][1]
        return (total - done) * (now - began) / sent if sent > 0 and first >= 0 and now > began else None


class _Masking:
    """A stream without the token, whatever is printed to it."""

    def __init__(self, stream: TextIO, token: str) -> None:
        self.stream, self.token = stream, token

    def write(self, text: str) -> int:
        self.stream.write(masked(text, self.token))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return False


def main(place: str) -> None:
    """Do the job in this folder; the token comes on standard input."""
    job = Path(place)
    token = sys.stdin.read().strip()
    sys.stdout = sys.stderr = _Masking(sys.stderr, token)
    asked = Publication.model_validate_json((job / "publication.json").read_text(encoding="utf-8"))
    workspace = Workspace(job.parents[3])
    pace, last = Pace(), 0.0
    files: list[tuple[str, int]] = []

    def tell(done: int, total: int, words: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > TELL_SECONDS or not done:
            last = now
            left = pace.left(done, total, now) if done else None
            _write_status(job, "running", words=words, done=done, total=total, seconds_left=left, files=files)

    try:
        results = [
            {"kind": done.kind, "repository": done.repository, **vars(done.pushed)}
            for done in publish(workspace, asked, token, tell, files.extend, room=job)
        ]
    except UserError as error:
        parts = {name: masked(words, token) for name, words in error.parts().items()}
        print(f"{parts['what']}\n  where: {parts['where']}\n  what to do: {parts['todo']}", flush=True)
        _write_status(job, "failed", error=parts)
    except Exception:
        unknown = UserError(
            "Publishing failed in a way that this program does not know.",
            str(job / "log.txt"),
            "Read the end of the log, and publish again.",
        )
        _write_status(job, "failed", error=unknown.parts())
        raise
    else:
        _write_status(job, "finished", words="Published", files=files, results=results)


if __name__ == "__main__":
    main(sys.argv[1])
