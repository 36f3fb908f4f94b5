"""How far reading a file is, told as a share of the whole to whoever wants to know."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

EVERY_CHARACTERS = 2**22
"""Read between two reports."""
EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class Progress:
    """A stretch of the whole."""

    tell: Callable[[float], None] | None
    """Takes the share of the whole that is done, 0 to 1; None: nobody asks."""
    start: float = 0.0
    end: float = 1.0
    size: int = 0
    """Bytes that this stretch reads, where it is counted in bytes."""

    def part(self, start: float, end: float) -> "Progress":
        """A stretch of this one, in shares of it."""
        width = self.end - self.start
        return replace(self, start=self.start + start * width, end=self.start + end * width)

    def at(self, share: float) -> None:
        """Say how much of this stretch is done."""
        if self.tell is not None:
            self.tell(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start))

    def of_bytes(self, path: Path) -> "Progress":
        return replace(self, size=path.stat().st_size)

    def counting(self, lines: Iterator[str]) -> Iterator[str]:
        """The lines, with a report after every few million characters."""
        if self.tell is None:
            yield from lines
            return
        done = unreported = 0
        for line in lines:
            unreported += len(line)
            if unreported > EVERY_CHARACTERS:
                done += unreported
                unreported = 0
                self.at(done / max(self.size, 1))
            yield line

    @contextmanager
    def of_query(self, database: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Report how far the query is that runs inside."""
        if self.tell is None:
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(EVERY_SECONDS):
                # Negative until DuckDB can tell; it counts in percent.
                self.at(database.query_progress() / 100)

        watcher = threading.Thread(target=watch, name="reading progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


no_progress = Progress(None)
