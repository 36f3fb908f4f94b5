"""Work in a process of its own that lives on when the page closes: a folder says what is asked and how it goes.

job.json (what is asked), process.json (who does it), status.json (how it goes), log.txt. So any process can look after
it. What each kind of job asks, tells and leaves half written is its own; status.json always holds `state` and `error`.
Light: no torch.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import psutil

from core.errors import UserError
from core.files import new_folder, replacing
from core.runs.supervisor import PROJECT, worker_environment
from core.workspace import Workspace, new_id

State = Literal["running", "finished", "failed", "stopped"]

PARTIALS = "*.partial*"
"""Names of what a job's process has half written, unless its kind has others."""
START_GRACE_SECONDS = 60
END_GRACE_SECONDS = 5
LOGINS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_DISABLE_PROGRESS_BARS")


@contextmanager
def new_job(workspace: Workspace, jobs: Path, what: str) -> Iterator[Path]:
    """A new folder inside `jobs`; within, what is asked and its first status are written to it, and it is launched.

    what: that begins, for people. Raises UserError, and leaves nothing, where the file system refuses any of it.
    """
    job = jobs / new_id()
    try:
        with new_folder(job):
            yield job
    except OSError as error:
        raise UserError(
            f"{what} could not be started ({error.strerror}).",
            str(workspace.root),
            "Free some space or choose another workspace with --workspace DIR.",
        ) from error


def job_folders(jobs: Path) -> list[Path]:
    """Those that have a status, the newest first."""
    return [status.parent for status in sorted(jobs.glob("*/status.json"), reverse=True)]


def launch(job: Path, words: Sequence[str], secret: str = "") -> None:
    """Start `python WORDS JOB` for a job's folder. Raises OSError where the folder cannot be written.

    secret: what the process reads from its standard input, so that it stands in no file, argument or environment; a
    process with one gets no login of the hub from the environment.
    """
    environment = worker_environment()
    if secret:
        environment = {name: value for name, value in environment.items() if name not in LOGINS}
    with (job / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, *words, str(job)],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE if secret else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if child.stdin is not None:
        # A process that is over already is found by whoever looks at the job.
        with suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(secret.encode())
    # Someone has to read its exit code, or it stays in the process table.
    threading.Thread(target=child.wait, name=f"job {job.name}", daemon=True).start()
    try:
        started = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:
        started = time.time()  # it is over already; no process will match
    write_json(job / "process.json", {"pid": child.pid, "started": started})


def bury(job: Path, created: float, partials: str = PARTIALS) -> bool:
    """Where a job's process is gone without a last word, remove what it had half written.

    created: of the job, seconds since 1970. partials: a pattern of names. Returns whether it is gone, for the caller to
    write to its status (`gone_error`).
    """
    # Its status is read again: the last word may have come meanwhile.
    if not _is_running(job) or _is_alive(job, created) or not _is_running(job):
        return False
    _remove_partials(job, partials)
    return True


def gone_error(
    job: Path,
    what: str,
    todo: str = "Start it again. If it ends again, close other programs, as memory may be short.",
) -> dict[str, str]:
    """The parts of the UserError of a job whose process is gone. what: that it did, for people."""
    log = job / "log.txt"
    return UserError(
        f"{what} ended without a word: its process is gone.", str(log), f"{todo} The log is {log}."
    ).parts()


def stop(job: Path, partials: str = PARTIALS) -> bool:
    """End a job's process if it runs, and remove what it has half written.

    partials: a pattern of names. Returns whether it was cut short, for the caller to write to its status.
    """
    _end(job)
    _remove_partials(job, partials)
    return _is_running(job)


def _remove_partials(job: Path, partials: str) -> None:
    for partial in job.glob(partials):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _is_running(job: Path) -> bool:
    """Whether its status says so."""
    return read_json(job / "status.json")["state"] == "running"


def _is_alive(job: Path, created: float) -> bool:
    """Whether a job's process runs, or is about to."""
    if not (job / "process.json").exists():
        # Between making the job and noting its process, or it died there.
        return time.time() - created < START_GRACE_SECONDS
    return _process(job) is not None


def _end(job: Path) -> None:
    """End a job's process, and those it started; nothing happens where it has ended."""
    process = _process(job)
    if process is None:
        return
    for one in [process, *process.children(recursive=True)]:
        one.terminate()
        try:
            one.wait(END_GRACE_SECONDS)
        except psutil.TimeoutExpired:
            one.kill()
            one.wait(END_GRACE_SECONDS)
        except psutil.NoSuchProcess:
            continue


def _process(job: Path) -> psutil.Process | None:
    """The job's process while it runs. A later process that was given the same pid is told by its start time."""
    if not (job / "process.json").exists():
        return None
    noted = read_json(job / "process.json")
    try:
        process = psutil.Process(noted["pid"])
        if abs(process.create_time() - noted["started"]) > 5 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
