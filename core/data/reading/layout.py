"""Where the table begins: lines before it, rows of names, and the first row of data."""

import re
from collections import Counter
from dataclasses import dataclass

from core.data.reading.cells import kind
from core.data.reading.names import ROW_NUMBER, distinct_names, numbered_names
from core.data.reading.records import Record
from core.errors import UserError
from core.schema import TableFile

JUDGED = 500
"""Records from which rows of names are told."""
MOST_BEFORE = 50
"""Records that may stand before the table."""
MOST_HEADERS = 4
LONG = 60
"""Characters; a longer cell is no column's name."""

KNOWN_NAME = re.compile(
    r"(?:.*[_ -])?(?:text|label|labels|class|category|title|id|name|date|message|sentence|review|comment|content|"
    r"target|topic|description|score|rating|url|source|type|sentiment|intent|question|answer|summary|author|time|value)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Layout:
    width: int
    header: bool
    names: tuple[str, ...]
    before: int
    """Records before the first row of data: lines that are no part of the table, then rows of names."""
    first_line: int
    """1-based line on which the first row of data begins; 0 where there is none in the sample."""
    skipped: int
    """Lines before the table: before its rows of names, or before its first row where there are none."""
    notes: tuple[str, ...]
    name_rows: tuple[tuple[str, ...], ...] = ()
    """The rows of names as they are written."""

    def is_names(self, cells: list[str]) -> bool:
        """Whether a row of data repeats the names. In a table of one column a row may well be the name's own word."""
        return self.width > 1 and tuple(cells) in self.name_rows


def lay_out(records: list[Record], width: int, file: TableFile, shown: str, narrows: bool = True) -> Layout:
    """Raises UserError where `file` gives another number of column names than there are columns."""
    rows = [record.cells for record in records[: JUDGED + MOST_BEFORE]]
    skipped = _before(rows, width) if file.skip_lines is None else 0
    body = rows[skipped:]
    notes = [_skipped_note(records[:skipped])] if skipped else []
    headers = 0
    if file.header is True:
        headers = 1
    elif file.header is None and body and _is_header(body[0], body[1 : JUDGED + 1]):
        headers = _header_rows(body, width)
    cells = body[:headers]
    if headers:
        width = _full_width(cells[0], body[headers:], width) if narrows else max(width, len(cells[0]))
        names, told = distinct_names(_joined(cells, width, body[headers:] if narrows else []))
        notes += told
        if headers > 1:
            notes.append(f"The first {headers} rows are names; they were joined.")
    else:
        names = numbered_names(width)
        notes.append(f"There is no row of names; the columns are called {', '.join(names[:3])}{', ...' * (width > 3)}.")
    if file.column_names:
        names, notes = _given(file.column_names, width, shown), [note for note in notes if "name" not in note]
    first = skipped + headers
    first_line = records[first].line if first < len(records) else 0
    lines_before = records[skipped].line - 1 if skipped < len(records) else 0
    name_rows = tuple(map(tuple, cells))
    return Layout(width, headers > 0, names, first, first_line, lines_before, tuple(notes), name_rows)


def _given(names: tuple[str, ...], width: int, shown: str) -> tuple[str, ...]:
    if len(names) != width:
        raise UserError(
            f"{len(names)} column names ({', '.join(names)}) were given for the {width} columns of {shown}.",
            "column_names",
            "Give one name for each column, in order, or none.",
        )
    distinct, _ = distinct_names(list(names))
    if distinct != names:
        raise UserError(
            f"Two of the given column names are the same, one is empty, or one is '{ROW_NUMBER}', which is taken.",
            "column_names",
            "Give each column a name of its own; case and blanks at the ends do not count.",
        )
    return names


def _before(rows: list[list[str]], width: int) -> int:
    """How many records stand before the table: with at most one filled cell, or too few, where the table has more."""
    if width < 2:
        return 0
    for place, cells in enumerate(rows[: MOST_BEFORE + 1]):
        filled = sum(bool(cell.strip()) for cell in cells)
        if len(cells) >= width and (filled > 1 or width == 2):
            return place
        if len(cells) > max(1, width // 2) and filled > 1:
            return place
    return 0


def _skipped_note(records: list[Record]) -> str:
    shown = " / ".join(" ".join(record.cells).strip()[:80] for record in records[:3])
    lines = "1 line stands" if len(records) == 1 else f"{len(records)} lines stand"
    return f"{lines} before the table and {'was' if len(records) == 1 else 'were'} left out: {shown}"


def _is_header(first: list[str], body: list[list[str]]) -> bool:
    """Whether the first row names the columns, by how it differs from the rows below; yes where nothing tells."""
    if not body:
        return True
    if any(len(cell.strip()) > LONG * 2 for cell in first):
        return False
    votes = 0.0
    body = [row for row in body if row != first] or body
    for column, cell in enumerate(first):
        below = [row[column].strip() for row in body if column < len(row) and row[column].strip()]
        votes += _vote(cell.strip(), below)
    duplicates = [cell.strip().casefold() for cell in first if cell.strip()]
    votes -= 0.5 * (len(duplicates) - len(set(duplicates)))
    return votes >= 0


def _vote(cell: str, below: list[str]) -> float:
    """Above 0 where the cell names the column whose other cells are `below`; under 0 where it is one of them."""
    if not cell or not below:
        return 0.0
    own = kind(cell)
    counts = Counter(kind(value) for value in below)
    commonest, count = counts.most_common(1)[0]
    known = 1.5 if KNOWN_NAME.fullmatch(cell) else 0.0
    if commonest != "text" and count >= 0.8 * len(below):
        return 1.0 + known if own == "text" and cell not in below else -1.5
    if own != "text":
        return -1.0
    if len(below) >= 5 and len(set(below)) <= 0.5 * len(below):
        return known + 0.5 if cell not in below else -2.0
    if cell in below and len(below) > 1:
        return -1.0
    length = sum(map(len, below)) / len(below)
    if length > 30:
        return known + 1.0 if len(cell) <= 30 and len(cell.split()) <= 4 else -1.5
    return known + (0.25 if len(cell) <= LONG and len(cell.split()) <= 5 else -0.5)


def _header_rows(body: list[list[str]], width: int) -> int:
    """Rows of names: the first, and those after it that repeat it or have words where the rows below have numbers."""
    count = 1
    while count < min(MOST_HEADERS, len(body) - 1):
        row, below = body[count], body[count + 1 :]
        repeats = [cell.strip() for cell in row] == [cell.strip() for cell in body[0]]
        if not repeats and not _is_second_header(row, below, width):
            break
        count += 1
    return count


def _is_second_header(row: list[str], below: list[list[str]], width: int) -> bool:
    if len(below) < 2 or len(row) < width or any(kind(cell) not in {"", "text"} for cell in row):
        return False
    words = 0
    for column, cell in enumerate(row[:width]):
        values = [values[column] for values in below if column < len(values) and values[column].strip()]
        counts = Counter(kind(value) for value in values)
        if cell.strip() and values and counts["text"] <= 0.2 * len(values):
            words += 1
        elif cell.strip() and cell in values:
            return False
    return words >= 2


def _full_width(header: list[str], body: list[list[str]], width: int) -> int:
    """The header may be wider than most rows (cells left off at their ends), or one less wide than rows that all end
    in a delimiter."""
    if len(header) > width:
        return len(header)
    if len(header) == width - 1 and body and all(len(row) < width or not row[width - 1].strip() for row in body):
        return width - 1
    return width


def _joined(headers: list[list[str]], width: int, body: list[list[str]]) -> list[str]:
    """A name for each column: the different words of its header cells, from top to bottom.

    body: the rows below, where a header may lack the name of the first column.
    """
    names = []
    for column in range(width):
        words = [row[column].strip() for row in headers if column < len(row) and row[column].strip()]
        names.append(" ".join(dict.fromkeys(words)))
    if len(headers) == 1 and len(headers[0]) == width - 1 and body:
        # As R writes tables: row names come first and have no name.
        first = [row[0] for row in body if len(row) == width]
        if first and len(set(first)) == len(first):
            names = ["", *names[:-1]]
    return names
