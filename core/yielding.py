"""Letting every other process go first: somebody who tries a model must not slow down what is being trained."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

NICE = 10
"""A tenth of the processor where another process wants all of it, all of it where none does."""
AUTOGROUP = Path("/proc/self/autogroup")


def yield_to_others() -> None:
    """Lower this process's priority for good."""
    if sys.platform == "win32":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        return
    os.nice(NICE)
    if AUTOGROUP.exists():
        _yield_as_session()


def _yield_as_session() -> None:
    """Linux may weigh whole sessions against each other, and priorities within one only (sched(7), "autogroup").

    A worker has a session of its own; this process, in that of the page's server, would yield to the page alone.
    """
    if os.getpgid(0) != os.getpid():
        os.setsid()
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # the kernel takes few changes a second
            AUTOGROUP.write_text(str(NICE), encoding="ascii")
