"""Lines that are wrapped in quotes as a whole, as Excel saves a table that it holds in a single column."""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO

from core.data.reading.layout import KNOWN_NAME
from core.data.reading.records import OTHERS, TRIED_LINES

QUOTE = '"'
LEAST_LINES = 3
LEAST_WRAPPED = 0.9
"""Share of the lines below the names that are wrapped and hold a whole row."""


def are_wrapped(lines: list[str], delimiter: str | None) -> bool:
    """Whether nearly all lines but the first are one quoted cell that holds as many cells as there are names.

    delimiter: the one between the inner cells; None where any may be.
    """
    records = [(line.rstrip("\r\n"), _inner(line)) for line in _records(lines) if line.strip()]
    body = records[1:]
    wrapped = [inner for _, inner in body if inner is not None]
    if len(body) < LEAST_LINES or len(wrapped) < LEAST_WRAPPED * len(body):
        return False
    first, unwrapped = records[0]
    for inner_delimiter in [delimiter] if delimiter else OTHERS:
        names = _cells(first if unwrapped is None else unwrapped, inner_delimiter)
        rows = sum(len(_cells(inner, inner_delimiter)) == len(names) for inner in wrapped)
        if len(names) < 2 or rows < LEAST_WRAPPED * len(body):
            continue
        # A column of quoted sentences may have as many commas in each; it has neither quoted cells nor such names.
        if unwrapped is None or any(QUOTE in inner for inner in wrapped) or sum(map(_is_name, names)) >= 2:
            return True
    return False


def unwrapped(lines: Iterable[str]) -> Iterator[str]:
    """The lines with what stands inside those that are wrapped; as many as before."""
    for record in _records(lines):
        inner = _inner(record)
        if inner is None:
            yield from StringIO(record, newline="")
        else:
            yield from StringIO(inner + record[len(record.rstrip("\r\n")) :], newline="")


def _records(lines: Iterable[str]) -> Iterator[str]:
    """Each line, with the lines after it where a quote that it begins with ends only there."""
    open_lines: list[str] = []
    quotes = 0
    for line in lines:
        open_lines.append(line)
        quotes += line.count(QUOTE)
        if quotes % 2 and open_lines[0].startswith(QUOTE) and len(open_lines) < TRIED_LINES:
            continue
        yield "".join(open_lines)
        open_lines, quotes = [], 0
    if open_lines:
        yield "".join(open_lines)


def _inner(record: str) -> str | None:
    """What stands inside a record that is one quoted cell; None where it is no such cell."""
    record = record.rstrip("\r\n")
    if len(record) < 2 or not (record.startswith(QUOTE) and record.endswith(QUOTE)):
        return None
    halved = record[1:-1].split(QUOTE * 2)
    return None if any(QUOTE in piece for piece in halved) else QUOTE.join(halved)


def _cells(record: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(StringIO(record, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _is_name(cell: str) -> bool:
    return bool(KNOWN_NAME.fullmatch(cell.strip()))
