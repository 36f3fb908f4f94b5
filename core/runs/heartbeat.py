"""A worker's sign of life in the store, so that one that hangs (a silent driver) is told from a slow one."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from core.runs.store import ACTIVE, Run, Store

SECONDS_BETWEEN_BEATS = 5.0
SILENT_SECONDS = 60.0


@contextmanager
def beating(store: Store, run_id: str) -> Iterator[None]:
    """Within, a thread tells the store that this process lives. It stops with the process, also where that hangs in
    code that holds Python's lock."""

    def beat() -> bool:
        # A store that is locked or full for a while does not end the beat.
        with suppress(sqlite3.OperationalError):
            store.beat(run_id)
        return True

    with repeating(beat, SECONDS_BETWEEN_BEATS, "heartbeat"):
        yield


@contextmanager
def repeating(act: Callable[[], bool], seconds: float, name: str) -> Iterator[None]:
    """Within, a thread of this name does `act` every so many seconds, until it returns False."""
    over = threading.Event()

    def repeat() -> None:
        while act() and not over.wait(seconds):
            pass

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def silent_seconds(run: Run) -> float:
    """For how long a run at work has given no sign of life; 0 where that is not worth a word."""
    if run.state not in ACTIVE or run.heartbeat is None:
        return 0.0
    silent = time.time() - run.heartbeat
    return silent if silent > SILENT_SECONDS else 0.0
