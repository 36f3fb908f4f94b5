"""A process that yields does so before every other session, and leaves its parent's as it is."""

import subprocess
import sys

import pytest

from core.yielding import AUTOGROUP, NICE
from tests.hostile import PROJECT

SAY = (
    "import os; from core.yielding import AUTOGROUP, yield_to_others; yield_to_others()\n"
    "print(os.nice(0)); print(AUTOGROUP.read_text() if AUTOGROUP.exists() else '')"
)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has classes of priority instead")
@pytest.mark.parametrize("own_session", [False, True])
def test_a_process_that_yields_does_so_as_a_session_too(own_session: bool) -> None:
    before = AUTOGROUP.read_text() if AUTOGROUP.exists() else ""
    done = subprocess.run(
        [sys.executable, "-c", SAY], cwd=PROJECT, capture_output=True, text=True, check=True,
        start_new_session=own_session,
    )  # fmt: skip
    said = done.stdout.splitlines()
    assert said[0] == str(NICE)
    if before:
        assert said[1].endswith(f" nice {NICE}") and said[1].split()[0] != before.split()[0]
        assert AUTOGROUP.read_text() == before
