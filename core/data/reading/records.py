"""The forgiving reader: Python's csv module, with a way back where a stray quote would swallow the lines after it.

A record is doubtful where the strict parser objects to its quoting, or where it runs over several lines that look like
rows themselves. Then the readings that are left are tried, from a quote taken literally to the line taken
by itself, and the one with the right number of cells and the fewest quotes left over is kept.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from core.data.reading.ragged import ColumnShape, fit, fitted, has_rows
from core.data.reading.result import Dialect
from core.data.reading.transcoding import BYTE_ORDER_MARK

LONGEST_RECORD = 2**25
"""Characters after which a quoted cell that does not end is taken to be a stray quote."""
TRIED_QUOTES = 40
"""Quotes of a doubtful record that are tried, one at a time, as plain characters."""
TRIED_LINES = 50
"""Lines that a doubtful record may run over."""

OTHERS = ",;\t|"
"""Delimiters of which a single row may have another than the rest of its file."""

_PLAIN_QUOTE = "\ue000"
"""Stands for a quote that is no quote while csv reads a line; from the private use area, so no text holds it."""
_STAND_IN = "\ue001"
"""Stands for a delimiter of several characters, or for none: csv knows neither."""

csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True, slots=True)
class Record:
    line: int
    """1-based line on which it begins."""
    cells: list[str]
    doubtful: bool
    """Its quoting was not as it should be."""
    guessed: bool
    """And doubling the quotes within its cells did not mend that."""
    delimiter: str = ""
    """What divides it, where that is not what divides the others."""


class _UnendedError(Exception):
    """A record longer than LONGEST_RECORD."""


@dataclass
class Comments:
    """Lines that begin with this character are no records, unless they stand inside a quoted cell."""

    character: str = ""
    guessed: bool = False
    """Then lines with as many cells as a row are rows: a text may begin with the character, too."""
    count: int = 0
    """How many were left out so far."""
    marks: int = 0
    """Records so far that began with a byte order mark: another file began there."""


class _Lines:
    """Lines with their number, and a way to put some back."""

    def __init__(self, lines: Iterable[str], delimiter: str, skipped: int, comments: Comments) -> None:
        self._lines = iter(lines)
        self._delimiter = delimiter
        self._comments = comments
        self.is_row: Callable[[str], bool] = lambda line: False
        """Whether a line that begins as comments do is none."""
        self._back: deque[str] = deque()
        self.number = skipped
        self.ended = False
        self.taken: list[str] = []
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._next()
        while not self.taken:
            if line.startswith(BYTE_ORDER_MARK):
                self._comments.marks += 1
                line = line.lstrip(BYTE_ORDER_MARK)
            if not self._is_comment(line):
                break
            self._comments.count += 1
            line = self._next()
        self.taken.append(line)
        self._size += len(line)
        if self._size > LONGEST_RECORD and len(self.taken) > 1:
            raise _UnendedError
        return line

    def _is_comment(self, line: str) -> bool:
        character = self._comments.character
        return bool(character) and line.startswith(character) and not self.is_row(line)

    def _next(self) -> str:
        if self._back:
            line = self._back.popleft()
        else:
            try:
                line = next(self._lines)
            except StopIteration:
                self.ended = True
                raise
            if len(self._delimiter) > 1:
                line = line.replace(self._delimiter, _STAND_IN)
        self.number += 1
        return line

    def begin(self) -> None:
        """The lines taken so far are done with."""
        self.taken = []
        self._size = 0

    def put_back(self, kept: int) -> None:
        """Give back all lines of this record but the first `kept`."""
        back = self.taken[kept:]
        self._back.extendleft(reversed(back))
        self.number -= len(back)
        del self.taken[kept:]


def read_records(
    lines: Iterable[str],
    dialect: Dialect,
    width: int = 0,
    shapes: tuple[ColumnShape, ...] = (),
    cut: bool = False,
    skipped: int = 0,
    comments: Comments | None = None,
) -> Iterator[Record]:
    """Records of a file; blank lines and comments are none.

    lines: with their line ends. width: cells that a record should have, 0 where that is not known yet: then doubtful
    records are only told, not mended. shapes: what whole rows look like, empty where that is not known.
    cut: the lines are the start of a longer file, so the last record may lack its end. skipped: lines of the file
    before `lines`, for the numbers of the others. comments: counted as the records are read.
    """
    source = _Lines(lines, dialect.delimiter, skipped, comments or Comments())
    reading = _Reading(dialect, width, shapes)
    if comments and comments.guessed and width > 1:
        source.is_row = reading.is_row
    reader = reading.reader(source, strict=True)
    while True:
        source.begin()
        guessed = False
        try:
            cells = next(reader)
            doubtful = len(source.taken) > 1 and reading.has_swallowed(cells, source.taken)
        except StopIteration:
            return
        except (csv.Error, _UnendedError):
            if cut and source.ended and len(source.taken) < 0.3 * source.number:
                return
            doubtful = True
        if doubtful:
            cells, guessed = reading.recovered(source)
        if len(dialect.delimiter) > 1:
            cells = [cell.replace(_STAND_IN, dialect.delimiter) for cell in cells]
        if cells:
            other, cells = reading.divided_otherwise(cells, source.taken)
            yield Record(source.number - len(source.taken) + 1, cells, doubtful, guessed, other)


class _Reading:
    def __init__(self, dialect: Dialect, width: int, shapes: tuple[ColumnShape, ...]) -> None:
        self.delimiter = dialect.delimiter if len(dialect.delimiter) == 1 else _STAND_IN
        self.quote = dialect.quote
        self.escape = dialect.escape
        self.width = width
        self.shapes = shapes
        self.skip_blanks = dialect.skip_blanks
        self.inner_quotes = inner_quotes(self.delimiter, self.quote) if self.quote else None

    def reader(self, lines: Iterable[str], strict: bool, quoting: bool = True) -> Iterator[list[str]]:
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote if quoting and self.quote else None,
            escapechar=self.escape or None,
            doublequote=True,
            quoting=csv.QUOTE_MINIMAL if quoting and self.quote else csv.QUOTE_NONE,
            skipinitialspace=self.skip_blanks,
            strict=strict,
        )

    def has_swallowed(self, cells: list[str], lines: list[str]) -> bool:
        """Whether a record of several lines is rows that a stray quote drew together, not a cell with line breaks."""
        if len(cells) == self.width:
            return has_rows(self.shapes, [self.strictly(line) for line in lines[1:][:TRIED_LINES]])
        return bool(self.width) and all(len(self.plain(line)) == self.width for line in lines[:TRIED_LINES])

    def recovered(self, source: _Lines) -> tuple[list[str], bool]:
        """The best reading of the record that begins with the first line taken; lines that it leaves are put back.

        And whether it is a guess: always, unless doubling quotes within cells mended it.
        """
        first = source.taken[0]
        if not self.width:
            mended = next(self.inner_doubled(source), None)
            cells, used = mended or (self.alone(first), 1)
            source.put_back(used)
            return cells, mended is None
        mended = next(self.inner_doubled(source), None)
        if mended and len(mended[0]) == self.width and not any(self.begins_or_ends(cell) for cell in mended[0]):
            source.put_back(mended[1])
            return mended[0], False
        tried = [(self.plain(first), 1), *([mended] if mended else []), *self.attempts(source)]
        fitting = [(cells, used) for cells, used in tried if len(cells) == self.width]
        if fitting:
            cells, used = min(
                fitting, key=lambda reading: (-fit(reading[0], self.shapes), self.literal_quotes(reading[0]))
            )
        else:
            used = 1
            cells = max(self.alone(first), self.plain(first), key=self.mended_fit)
        source.put_back(used)
        return cells, True

    def divided_otherwise(self, cells: list[str], lines: list[str]) -> tuple[str, list[str]]:
        """The delimiter, and the cells, where too few cells are a whole row once another delimiter divides it.

        Two cells prove nothing: a text may hold one semicolon.
        """
        if self.width < 3 or len(cells) >= self.width or self.delimiter not in OTHERS or len(lines) > TRIED_LINES:
            return "", cells
        for other in OTHERS.replace(self.delimiter, ""):
            reader = csv.reader(lines, delimiter=other, quotechar=self.quote or '"', skipinitialspace=True, strict=True)
            try:
                found = next(reader) if any(other in line for line in lines) else []
            except (csv.Error, StopIteration):
                continue
            if len(found) == self.width and next(reader, None) is None:
                return other, found
        return "", cells

    def mended_fit(self, cells: list[str]) -> float:
        """How well cells that are too few or too many will look once they are put together."""
        return fit(fitted(cells, self.shapes, self.delimiter)[0], self.shapes) if self.shapes else 0.0

    def attempts(self, source: _Lines) -> Iterator[tuple[list[str], int]]:
        """Strict readings, and the lines each takes: each quote in turn taken as a plain character."""
        if not self.quote:
            return
        lines = source.taken[:TRIED_LINES]
        quote = re.compile(re.escape(self.quote))
        places = [(number, match.start()) for number, line in enumerate(lines) for match in quote.finditer(line)]
        for number, place in places[:TRIED_QUOTES]:
            mended = lines[number][:place] + _PLAIN_QUOTE + lines[number][place + 1 :]
            yield from self.attempt(source, _with_line(number, mended))

    def inner_doubled(self, source: _Lines) -> Iterator[tuple[list[str], int]]:
        """The strict reading with quotes within cells doubled, as they should have been."""
        if self.inner_quotes is not None and not self.escape:
            inner = self.inner_quotes
            yield from self.attempt(source, lambda line, _: inner.sub(_evened, line))

    def attempt(self, source: _Lines, mend: Callable[[str, int], str]) -> Iterator[tuple[list[str], int]]:
        """One strict reading of the lines as `mend(line, number of the line)` makes them; nothing where it fails."""
        source.put_back(1)
        used = 0

        def mended() -> Iterator[str]:
            nonlocal used
            line: str | None = source.taken[0]
            while line is not None and used < TRIED_LINES:
                used += 1
                yield mend(line, used - 1)
                line = next(source, None)

        try:
            cells = next(self.reader(mended(), strict=True), [])
        except (csv.Error, _UnendedError):
            return
        if used == 1 or not self.has_swallowed(cells, source.taken[:used]):
            yield [cell.replace(_PLAIN_QUOTE, self.quote) for cell in cells], used

    def alone(self, line: str) -> list[str]:
        """The line read by itself and leniently."""
        return next(self.reader([line.rstrip("\r\n")], strict=False), [])

    def strictly(self, line: str) -> list[str]:
        """The line read by itself, if its quotes come in pairs as in a whole row; else no cells."""
        if self.quote and line.count(self.quote) % 2:
            return []
        try:
            return next(self.reader([line], strict=True), [])
        except csv.Error:
            return []

    def is_row(self, line: str) -> bool:
        return len(self.strictly(line) or self.plain(line)) >= self.width

    def plain(self, line: str) -> list[str]:
        """The line split at every delimiter, quotes being plain characters."""
        return next(self.reader([line.rstrip("\r\n")], strict=False, quoting=False), [])

    def begins_or_ends(self, cell: str) -> bool:
        return cell.startswith(self.quote) or cell.endswith(self.quote)

    def literal_quotes(self, cells: list[str]) -> int:
        return sum(cell.count(self.quote) for cell in cells) if self.quote else 0


def inner_quotes(delimiter: str, quote: str) -> re.Pattern[str]:
    """Runs of quotes that neither begin nor end a cell of a line."""
    ends = re.escape(delimiter[0]) + r"\r\n" + re.escape(quote)
    return re.compile(rf"(?<=[^{ends}]){re.escape(quote)}+(?=[^{ends}])")


def _with_line(wanted: int, mended: str) -> Callable[[str, int], str]:
    """Puts `mended` in the place of one line."""
    return lambda line, number: mended if number == wanted else line


def _evened(match: re.Match[str]) -> str:
    run = match.group()
    return run + run[0] if len(run) % 2 else run
