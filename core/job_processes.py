"""Work in a process of its own that lives on when the page closes: a folder says what is asked and how it goes.

job.json (what is asked), process.json (who does it), status.json (how it goes), log.txt. So any process can look after
it. Light: no torch.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from core.runs.supervisor import PROJECT, worker_environment

START_GRACE_SECONDS = 60
END_GRACE_SECONDS = 5
LOGINS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_DISABLE_PROGRESS_BARS")


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
        with child.stdin as pipe:
            pipe.write(secret.encode())
    # Someone has to read its exit code, or it stays in the process table.
    threading.Thread(target=child.wait, name=f"job {job.name}", daemon=True).start()
    try:
        started = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:
        started = time.time()  # it is over already; no process will match
    write_json(job / "process.json", {"pid": child.pid, "started": started})


def is_alive(job: Path, created: float) -> bool:
    """Whether a job's process runs, or is about to. created: of the job, seconds since 1970."""
    if not (job / "process.json").exists():
        # Between making the job and noting its process, or it died there.
        return time.time() - created < START_GRACE_SECONDS
    return _process(job) is not None


def end(job: Path) -> None:
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


def remove_partials(job: Path) -> None:
    """What a process that was ended had half written."""
    for partial in job.glob("*.partial*"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


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
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)
