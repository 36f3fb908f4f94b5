"""Locks that die with the process that holds them: one server a workspace, one worker a run.

filelock takes them from the operating system (flock, or LockFileEx on Windows), so that a killed process leaves none
behind and a clock that is put right changes nothing. On a network disk they hold as far as its file system does.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from core.errors import UserError
from core.files import replacing
from core.workspace import RunFolder, Workspace

SECONDS_FOR_A_LOOK = 10
"""A supervisor that looks whether a worker lives holds its lock for an instant."""


@dataclass(frozen=True)
class ServerLock:
    """Held for as long as a server serves the workspace."""

    lock: FileLock
    note: Path

    def tell(self, address: str) -> None:
        """Write down where this server is, for one that is refused."""
        with replacing(self.note) as partial:
            partial.write_text(json.dumps({"pid": os.getpid(), "address": address}), encoding="utf-8")

    def release(self) -> None:
        self.note.unlink(missing_ok=True)
        self.lock.release()


def lock_workspace(workspace: Workspace) -> ServerLock:
    """Become this workspace's server. Raises UserError with the other's address where it has one already."""
    held = ServerLock(FileLock(workspace.root / "server.lock"), workspace.root / "server.json")
    try:
        held.lock.acquire(timeout=0)
    except Timeout as error:
        address, pid = _who(held.note)
        raise UserError(
            f"Tunedesk is open on this workspace already, at {address}.",
            str(workspace.root),
            f"Use that page, end that program first (process {pid}), or choose another folder with --workspace DIR.",
        ) from error
    except OSError as error:
        raise UserError(
            f"The workspace {workspace.root} cannot be written ({error.strerror}).",
            str(workspace.root),
            "Choose another folder with --workspace DIR or TUNEDESK_HOME.",
        ) from error
    held.note.unlink(missing_ok=True)
    return held


def _who(note: Path) -> tuple[str, str]:
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        return str(told["address"]), str(told["pid"])
    except (OSError, ValueError, KeyError):
        return "an address that it has not told yet", "unknown"


def lock_run(folder: RunFolder) -> FileLock:
    """Become this run's worker, for as long as the process lives and what is returned is kept.

    Raises UserError where another process is.
    """
    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=SECONDS_FOR_A_LOOK)
    except Timeout as error:
        raise UserError(
            f"Another process works on run {folder.id}.", str(folder.root), "Wait until it has ended."
        ) from error
    return lock


def has_worker(folder: RunFolder, pid: int | None, started_alike: Callable[[int], bool]) -> bool:
    """Whether a process works on this run.

    started_alike: whether the process of this pid began when the run's did; asked only of one that holds no lock yet,
    as it is still importing.
    """
    if pid is None or not _is_there(pid):
        return False
    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return started_alike(pid)  # the folder cannot be written, or is gone
    lock.release()
    return started_alike(pid)


def _is_there(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
