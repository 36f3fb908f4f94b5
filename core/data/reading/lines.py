"""Lines of a text file, whichever way they end, none without bound."""

from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError

LONGEST_LINE = 2**26
"""Characters; a longer line is no line of a table."""
SAMPLE_LINES = 2000
SAMPLE_SIZE = 2**18
"""Characters of the lines that a dialect is judged from."""


def read_lines(source: Path, shown: str, skip: int = 0) -> Iterator[str]:
    """Lines with their ends (\\n, \\r\\n or \\r) of a file in UTF-8, but the first `skip`.

    Raises UserError for one without end.
    """
    with source.open(encoding="utf-8", errors="replace", newline="") as file:
        for _ in range(skip):
            if not file.readline(LONGEST_LINE):
                return
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise UserError(
                    f"{shown} has a line of more than {LONGEST_LINE // 2**20} million characters.",
                    shown,
                    "Check that it is a table with a row on each line.",
                )
            yield line


def sample_lines(source: Path, shown: str, skip: int = 0) -> tuple[list[str], bool]:
    """The first lines after `skip` others, and whether more follow."""
    lines: list[str] = []
    size = 0
    for line in read_lines(source, shown, skip):
        if len(lines) >= SAMPLE_LINES or (size + len(line) > SAMPLE_SIZE and len(lines) >= 2):
            return lines, True
        lines.append(line)
        size += len(line)
    return lines, False
