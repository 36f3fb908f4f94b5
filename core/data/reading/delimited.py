# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""CSV and its kin: DuckDB reads what is written cleanly, the forgiving reader the rest.

DuckDB is told the dialect and to take nothing that breaks its rules, so it either reads all rows or none. Then every
line is read by Python's csv with recovery, and rows that had to be mended or left out are listed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from core.data.database import identifier, literal, parquet_rows
from core.data.reading.dialects import MOST_COLUMNS, Trial, find_dialect, single_column
from core.data.reading.encodings import as_utf8
from core.data.reading.layout import MOST_BEFORE, Layout, lay_out
from core.data.reading.lines import read_lines, sample_lines
from core.data.reading.ragged import ColumnShape, column_shapes, fitted, has_rows
from core.data.reading.records import Record, read_records
from core.data.reading.result import KEPT_REJECTED_LINES, SHOWN_CONTENT, Dialect, Reading, RejectedLine
from core.data.reading.write import text_batches, text_schema, write_batches, write_parquet
from core.errors import UserError
from core.schema import TableFile

LONGEST_LINE = 4 * 2**20
"""Bytes of the longest line that DuckDB reads, here and below; longer ones the forgiving reader does."""
LINE_BREAK_CELLS = 2000
"""Cells with line breaks that are looked at for rows that a stray quote drew together."""

_LABEL_WORD = re.compile(r"\S*[:_#/=|]\S*|\d+|[A-Z][A-Z0-9]+")


@dataclass
class _Mended:
    """What the forgiving reader had to do; counted as it goes."""

    rejected: int = 0
    rejected_lines: list[RejectedLine] = field(default_factory=list)
    repaired: int = 0
    repaired_lines: list[RejectedLine] = field(default_factory=list)

    def reject(self, record: Record, reason: str, delimiter: str) -> None:
        self.rejected += 1
        _note(self.rejected_lines, record, reason, delimiter)

    def repair(self, record: Record, reason: str, delimiter: str) -> None:
        self.repaired += 1
        _note(self.repaired_lines, record, reason, delimiter)


def _note(lines: list[RejectedLine], record: Record, reason: str, delimiter: str) -> None:
    if len(lines) < KEPT_REJECTED_LINES:
        lines.append(RejectedLine(record.line, reason, delimiter.join(record.cells)[:SHOWN_CONTENT]))


def read_delimited(
    database: duckdb.DuckDBPyConnection, source: Path, shown: str, file: TableFile, target: Path, folder: Path
) -> Reading:
    """Rewrite a file of separated cells as Parquet, every cell as it is written; empty ones become null.

    Raises UserError where the file holds no table.
    """
    decoded = as_utf8(source, shown, file.encoding, folder)
    lines, cut = sample_lines(decoded.path, shown)
    if not "".join(lines).strip():
        raise UserError(f"{shown} holds nothing but blank lines.", shown, "Choose a file that holds rows.")
    trial = find_dialect(lines, cut, file)
    labels_first = file.delimiter is None and _begin_with_labels(lines, of_one_column=trial.width == 1)
    if labels_first:
        trial = single_column(lines, cut, TableFile(path=file.path, quote=""))
        trial = replace(
            trial, dialect=Dialect(" ", "", ""), records=[_at_first_blank(r) for r in trial.records], width=2
        )
    width = max(trial.width, max(len(record.cells) for record in trial.records[:MOST_BEFORE]))
    if width > MOST_COLUMNS:
        raise UserError(
            f"{shown} seems to have {width:,} columns.", shown, "Set the delimiter and the quote character."
        )
    layout = lay_out(trial.records, trial.width, file, shown)
    shapes = column_shapes([record.cells for record in trial.records[layout.before :]], layout.width)
    mended = _Mended()
    if labels_first or not _read_by_duckdb(database, decoded.path, trial, layout, shapes, lines, cut, target):
        rows = _rows(decoded.path, shown, trial.dialect, layout, shapes, labels_first, mended)
        write_batches(text_schema(layout.names), text_batches(rows, layout.names), target)
    notes = [*decoded.notes, *layout.notes, *_mending_notes(mended)]
    if labels_first:
        notes.append("Each line begins with a label word: it is the first column, the rest of the line the second.")
    return Reading(
        format="csv",
        names=layout.names,
        types=("",) * layout.width,
        encoding=decoded.encoding,
        dialect=trial.dialect,
        header=layout.header,
        rejected=mended.rejected,
        rejected_lines=tuple(mended.rejected_lines),
        repaired=mended.repaired,
        repaired_lines=tuple(mended.repaired_lines),
        notes=tuple(notes),
    )


def _mending_notes(mended: _Mended) -> list[str]:
    notes = []
    for count, lines, done in (
        (mended.repaired, mended.repaired_lines, "mended"),
        (mended.rejected, mended.rejected_lines, "left out"),
    ):
        if count:
            numbers = ", ".join(str(line.line) for line in lines[:5]) + (", ..." if count > 5 else "")
            notes.append(f"{count:,} {'row was' if count == 1 else 'rows were'} {done} (line {numbers}).")
    return notes


def _read_by_duckdb(
    database: duckdb.DuckDBPyConnection,
    source: Path,
    trial: Trial,
    layout: Layout,
    shapes: tuple[ColumnShape, ...],
    lines: list[str],
    cut: bool,
    target: Path,
) -> bool:
    """Whether DuckDB, held to the dialect, read all of the file into `target`."""
    dialect = trial.dialect
    clean = all(len(record.cells) == layout.width and not record.doubtful for record in trial.records[layout.before :])
    if not clean or dialect.skip_blanks or not layout.first_line or layout.width < 2 or _ends_of_lines(lines) != 1:
        return False
    names = [f"c{number}" for number in range(layout.width)]
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    selected = ", ".join(
        f"nullif({name}, '') AS {identifier(new)}" for name, new in zip(names, layout.names, strict=True)
    )
    query = (
        f"SELECT {selected} FROM read_csv({literal(str(source))}, auto_detect = false, header = false, "
        f"skip = {layout.first_line - 1}, delim = {literal(dialect.delimiter)}, quote = {literal(dialect.quote)}, "
        f"escape = {literal(dialect.escape or dialect.quote)}, columns = {{{columns}}}, strict_mode = true, "
        f"null_padding = false, max_line_size = {LONGEST_LINE})"
    )
    try:
        write_parquet(database, query, target)
    except duckdb.Error:
        # Whatever it is that DuckDB objects to, the forgiving reader says what becomes of it.
        return False
    rows = pq.read_metadata(target).num_rows
    expected = len(trial.records) - layout.before
    if rows < expected - 1 or (rows != expected and not cut):
        return False
    return not _has_swallowed_rows(database, target, layout, dialect, shapes)


def _ends_of_lines(lines: list[str]) -> int:
    """How many ways lines end."""
    return len({line[len(line.rstrip("\r\n")) :] for line in lines if line.strip("\r\n")} - {""}) or 1


def _has_swallowed_rows(
    database: duckdb.DuckDBPyConnection,
    parquet: Path,
    layout: Layout,
    dialect: Dialect,
    shapes: tuple[ColumnShape, ...],
) -> bool:
    """Whether cells with line breaks hold lines that are whole rows: a stray quote drew them together."""
    if not dialect.quote:
        return False
    columns = ", ".join(f"left({identifier(name)}, 20000)" for name in layout.names)
    cells = database.execute(
        f"SELECT unnest(list_filter([{columns}], lambda cell: contains(cell, chr(10)))) "
        f"FROM {parquet_rows(parquet)} LIMIT {LINE_BREAK_CELLS}"
    ).fetchall()
    inner = (cell.splitlines()[1:-1] for (cell,) in cells)
    return any(has_rows(shapes, [record.cells for record in read_records(lines, dialect)]) for lines in inner)


def _rows(
    source: Path,
    shown: str,
    dialect: Dialect,
    layout: Layout,
    shapes: tuple[ColumnShape, ...],
    labels_first: bool,
    mended: _Mended,
) -> Iterator[list[str]]:
    """Rows as the forgiving reader finds them, each with the table's number of cells."""
    reading = Dialect("", "", "") if labels_first else dialect
    for number, found in enumerate(read_records(read_lines(source, shown), reading, layout.width, shapes)):
        if number < layout.before:
            continue
        record = _at_first_blank(found) if labels_first else found
        cells, done = fitted(record.cells, shapes, dialect.delimiter)
        if not cells:
            mended.reject(record, done, dialect.delimiter)
            continue
        if done or record.doubtful:
            mended.repair(record, done or "a quote in it does not match", dialect.delimiter)
        yield cells


def _begin_with_labels(lines: list[str], *, of_one_column: bool) -> bool:
    """Whether lines are `LABEL text`: first words that are few, repeat, and look like labels rather than prose."""
    split = [line.split(maxsplit=1) for line in lines if line.strip()]
    if len(split) < 20 or any(len(words) < 2 for words in split):
        return False
    labels = [words[0] for words in split]
    if all(label.startswith("__label__") for label in labels):
        return True
    if not of_one_column:
        return False
    looks = sum(bool(_LABEL_WORD.fullmatch(label)) for label in labels)
    return len(set(labels)) <= 0.15 * len(labels) and looks > 0.9 * len(labels)


def _at_first_blank(record: Record) -> Record:
    return replace(record, cells=record.cells[0].split(maxsplit=1))
