"""Reading all of a big file in a process of its own, which lives on when the page closes.

What it makes is the table that open_table finds from then on. Beside that stands, while it lasts and where it failed,
MARK-reading.json: who reads, since when, how far. So any process can look after it.
"""

import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from core.data.reading.progress import Progress
from core.data.reading.sources import existing_file, fingerprint
from core.data.table import first_look, open_table
from core.errors import UserError
from core.files import replacing
from core.masking import mask_output, masked_error
from core.schema import TableFile
from core.workspace import Workspace, open_workspace

PROJECT = Path(__file__).resolve().parents[2]
END_GRACE_SECONDS = 5
REPORT_SECONDS = 0.5
CLOCK_SECONDS = 5
"""How far a process's start may seem from when it was noted: a clock that is set moves it."""

State = Literal["none", "running", "done", "stopped", "failed"]


@dataclass(frozen=True)
class ReadingJob:
    state: State
    """none: nobody asked for it. done: open_table answers at once."""
    share: float = 0.0
    """Of the work, 0 to 1."""
    seconds_left: float | None = None
    error: dict[str, str] | None = None
    """The parts of a UserError (what, where, todo) where it failed."""


def start_reading(file: TableFile, workspace: Workspace) -> None:
    """Begin to read all of the file, unless that is done or going on. Raises UserError where there is no such file."""
    if reading_job(file, workspace).state in ("running", "done"):
        return
    log = _note_path(file, workspace).with_suffix(".log")
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "core.data.reading_job", str(workspace.root), file.model_dump_json()],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Someone has to read its exit code, or it stays in the process table.
    threading.Thread(target=child.wait, name="reading job", daemon=True).start()
    # The child notes itself, too; until it does, this tells that it is on its way.
    _write(file, workspace, "running", child.pid, time.time(), 0.0)


def reading_job(file: TableFile, workspace: Workspace) -> ReadingJob:
    """How reading all of a file stands. Raises UserError where there is no such file."""
    if first_look_is_whole(file, workspace):
        return ReadingJob("done", 1.0)
    path = _note_path(file, workspace)
    if not path.exists():
        return ReadingJob("none")
    note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if note["state"] == "running" and _reader(note) is None:
        if first_look_is_whole(file, workspace):
            return ReadingJob("done", 1.0)
        error = UserError(
            "Reading ended without a word: its process is gone.",
            str(path.with_suffix(".log")),
            "Start it again. If it ends again, close other programs, as memory or disk may be short, and read the log.",
        )
        return ReadingJob("failed", error=error.parts())
    share, seconds = note["share"], time.time() - note["began"]
    left = seconds / share * (1 - share) if share > 0.02 else None
    return ReadingJob(note["state"], share, left if note["state"] == "running" else None, note["error"])


def first_look_is_whole(file: TableFile, workspace: Workspace) -> bool:
    return first_look(file, workspace).rows_in_all is None


def cancel_reading(file: TableFile, workspace: Workspace) -> None:
    """End the process that reads; what it had read is gone."""
    if reading_job(file, workspace).state != "running":
        return
    note = json.loads(_note_path(file, workspace).read_text(encoding="utf-8"))
    process = _reader(note)
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
            try:
                process.wait(END_GRACE_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
    _write(file, workspace, "stopped", note["pid"], note["began"], 0.0)


def _reader(note: dict[str, Any]) -> psutil.Process | None:
    """The process that reads, while it is there; a later one may have been given its pid."""
    try:
        process = psutil.Process(note["pid"])
        return process if abs(process.create_time() - note["began"]) < CLOCK_SECONDS else None
    except psutil.NoSuchProcess:
        return None


def _note_path(file: TableFile, workspace: Workspace) -> Path:
    return workspace.tables / f"{fingerprint(existing_file(file), file)}-reading.json"


def _write(
    file: TableFile,
    workspace: Workspace,
    state: State,
    pid: int,
    began: float,
    share: float,
    error: dict[str, str] | None = None,
) -> None:
    content = {"state": state, "pid": pid, "began": began, "share": share, "error": error}
    with replacing(_note_path(file, workspace)) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def main(root: str, content: str) -> int:
    """The process itself."""
    import os
    import signal

    # Leaves through the context managers, which remove what is half written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    workspace, file = open_workspace(root), TableFile.model_validate_json(content)
    began = said = time.time()

    def tell(share: float) -> None:
        nonlocal said
        if time.time() - said > REPORT_SECONDS:
            said = time.time()
            _write(file, workspace, "running", os.getpid(), began, share)

    try:
        open_table(file, workspace, Progress(tell))
    except UserError as error:
        _write(file, workspace, "failed", os.getpid(), began, 0.0, masked_error(error).parts())
        return 1
    _note_path(file, workspace).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    mask_output()
    sys.exit(main(*sys.argv[1:]))
