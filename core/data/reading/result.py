"""What reading a file gives: a Parquet file of texts, and how the file was understood."""

from dataclasses import dataclass

KEPT_REJECTED_LINES = 1000
"""Rejected lines kept with their content; beyond that they are only counted."""
SHOWN_CONTENT = 500
"""Characters of a rejected line that are kept."""


@dataclass(frozen=True)
class RejectedLine:
    """A line that did not become a row, or had to be mended to become one."""

    line: int
    """1-based line of the (unpacked) file on which the record begins."""
    reason: str
    content: str
    """Its first 500 characters."""


@dataclass(frozen=True)
class Dialect:
    """How a file of separated cells is written. '' stands for none."""

    delimiter: str
    quote: str
    escape: str
    """'' where a quote inside a quoted cell is doubled."""
    skip_blanks: bool = False
    """Blanks after a delimiter do not count."""


@dataclass(frozen=True)
class Reading:
    """How a file was understood; its rows stand in the Parquet file that was written."""

    format: str
    """csv, parquet, json, jsonl, excel or texts."""
    names: tuple[str, ...]
    types: tuple[str, ...]
    """The types that the format itself states; '' where it states none (CSV)."""
    encoding: str | None = None
    dialect: Dialect | None = None
    header: bool | None = None
    skipped: int | None = None
    """Lines before the table: before the names of its columns, or before its first row where there are none."""
    comment: str | None = None
    """Lines that begin with it were left out; '' where there are no such lines."""
    decimal: str | None = None
    rejected: int = 0
    rejected_lines: tuple[RejectedLine, ...] = ()
    repaired: int = 0
    """Rows that were kept but had too few or too many cells, or quotes that do not match."""
    repaired_lines: tuple[RejectedLine, ...] = ()
    notes: tuple[str, ...] = ()
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    """Of an Excel or OpenDocument file: all of its sheets; `sheet` is the one that was read."""
    member: str | None = None
    members: tuple[str, ...] = ()
    """Of an archive, a folder or a JSON file: all tables in it; `member` is the one that was read."""
