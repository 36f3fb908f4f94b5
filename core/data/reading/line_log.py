"""The lines that did not become rows, or had to be mended to become some: counted, the first kept, all written down.

The file is a CSV for people (a line each: number, what was done, why, and what stood there), written as a file is read,
so that no number of bad lines fills the memory. It ends after MOST_WRITTEN lines; the counts go on.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from core.data.reading.result import KEPT_REJECTED_LINES, SHOWN_CONTENT, RejectedLine
from core.formulas import guarded

MOST_WRITTEN = 100_000
LONGEST_CONTENT = 100_000
"""Characters of a line that are written."""
LEFT_OUT, MENDED = "left out", "mended"


@dataclass
class LineLog:
    path: Path
    """Made with the first line."""
    rejected: int = 0
    rejected_lines: list[RejectedLine] = field(default_factory=list)
    repaired: int = 0
    repaired_lines: list[RejectedLine] = field(default_factory=list)
    _file: TextIO | None = None

    def reject(self, line: int, reason: str, content: str) -> None:
        self.rejected += 1
        self._note(self.rejected_lines, LEFT_OUT, line, reason, content)

    def repair(self, line: int, reason: str, content: str) -> None:
        self.repaired += 1
        self._note(self.repaired_lines, MENDED, line, reason, content)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _note(self, kept: list[RejectedLine], done: str, line: int, reason: str, content: str) -> None:
        if len(kept) < KEPT_REJECTED_LINES:
            kept.append(RejectedLine(line, reason, content[:SHOWN_CONTENT]))
        if self.rejected + self.repaired > MOST_WRITTEN:
            return
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(("line", "done", "reason", "content"))
        csv.writer(self._file).writerow((line, done, reason, guarded(content[:LONGEST_CONTENT])))

    def notes(self) -> list[str]:
        """A sentence for each kind."""
        found = []
        for count, lines, done in (
            (self.repaired, self.repaired_lines, MENDED),
            (self.rejected, self.rejected_lines, LEFT_OUT),
        ):
            if count:
                numbers = ", ".join(str(line.line) for line in lines[:5]) + (", ..." if count > 5 else "")
                found.append(f"{count:,} {'row was' if count == 1 else 'rows were'} {done} (line {numbers}).")
        return found
