# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Files of separated cells that are written cleanly: DuckDB reads all rows of them, held to the dialect, or none."""

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from core.data.database import identifier, literal, parquet_rows
from core.data.reading.layout import Layout
from core.data.reading.opening import Opening
from core.data.reading.progress import Progress
from core.data.reading.ragged import ColumnShape, has_rows
from core.data.reading.records import read_records
from core.data.reading.result import Dialect
from core.data.reading.transcoding import BYTE_ORDER_MARK
from core.data.reading.write import write_parquet
from core.schema import TableFile

LONGEST_LINE = 4 * 2**20
"""Bytes of the longest line that DuckDB reads, here and below; longer ones the forgiving reader does."""
LINE_BREAK_CELLS = 2000
"""Cells with line breaks that are looked at for rows that a stray quote drew together."""
LINE_BREAK_CHARACTERS = 20_000
"""Of each of them."""
FEW_COLUMNS = 20


def is_clean(opening: Opening) -> bool:
    """Whether the first lines are written so cleanly that DuckDB may read the file: it knows no exceptions."""
    layout, dialect = opening.layout, opening.trial.dialect
    rows = opening.trial.records[layout.before :]
    clean = all(
        len(record.cells) == layout.width and not record.doubtful and not layout.is_names(record.cells)
        for record in rows
    )
    # DuckDB's comments may also begin in the midst of a line.
    usual = not (opening.labels_first or opening.wrapped or opening.comments.character or dialect.skip_blanks)
    return clean and usual and bool(layout.first_line) and layout.width > 1


def read_clean(
    database: duckdb.DuckDBPyConnection,
    source: Path,
    opening: Opening,
    lines: list[str],
    more: bool,
    file: TableFile,
    target: Path,
    progress: Progress,
) -> bool:
    """Whether DuckDB, held to the dialect, read all of the file into `target`."""
    layout, dialect = opening.layout, opening.trial.dialect
    if _ends_of_lines(lines) != 1:
        return False
    nulls = ", ".join(map(literal, ("", *file.null_words)))
    names = [f"c{number}" for number in range(layout.width)]
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    selected = ", ".join(
        f"CASE WHEN {name} NOT IN ({nulls}) THEN {name} END AS {identifier(new)}"
        for name, new in zip(names, layout.names, strict=True)
    )
    query = (
        f"SELECT {selected} FROM read_csv({literal(str(source))}, auto_detect = false, header = false, "
        f"skip = {layout.first_line - 1}, delim = {literal(dialect.delimiter)}, quote = {literal(dialect.quote)}, "
        f"escape = {literal(dialect.escape or dialect.quote)}, columns = {{{columns}}}, strict_mode = true, "
        f"null_padding = false, max_line_size = {LONGEST_LINE})"
    )
    try:
        with progress.of_query(database):
            write_parquet(database, query, target)
    except duckdb.Error:
        # Whatever it is that DuckDB objects to, the forgiving reader says what becomes of it.
        return False
    rows = pq.read_metadata(target).num_rows
    expected = len(opening.trial.records) - layout.before
    if rows < expected - 1 or (rows != expected and not more):
        return False
    return not _has_other_file(database, target, layout, file) and not _has_swallowed_rows(
        database, target, layout, dialect, opening.shapes
    )


def _has_other_file(database: duckdb.DuckDBPyConnection, parquet: Path, layout: Layout, file: TableFile) -> bool:
    """Whether another file was appended to this one: rows repeat the names, or begin with a byte order mark."""
    columns = [identifier(name) for name in layout.names]
    found = [f"starts_with({columns[0]}, {literal(BYTE_ORDER_MARK)})"]
    for names in layout.name_rows:
        if len(names) == layout.width:
            alike = [
                f"{column} IS NULL" if name in ("", *file.null_words) else f"{column} = {literal(name)}"
                for column, name in zip(columns, names, strict=True)
            ]
            found.append(f"({' AND '.join(alike)})")
    (count,) = database.execute(f"SELECT count(*) FROM {parquet_rows(parquet)} WHERE {' OR '.join(found)}").fetchall()[
        0
    ]
    return bool(count)


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
    columns = [identifier(name) for name in layout.names]
    broken = " UNION ALL ".join(
        f"(SELECT left({name}, {LINE_BREAK_CHARACTERS}) FROM {parquet_rows(parquet)} WHERE contains({name}, chr(10)) "
        f"LIMIT {LINE_BREAK_CELLS})"
        for name in columns
    )
    if layout.width > FEW_COLUMNS:
        # One look at all columns takes longer than one at each, but a query of thousands of parts takes longest.
        shortened = ", ".join(f"left({name}, {LINE_BREAK_CHARACTERS})" for name in columns)
        broken = (
            f"SELECT unnest(list_filter([{shortened}], lambda cell: contains(cell, chr(10)))) "
            f"FROM {parquet_rows(parquet)} LIMIT {LINE_BREAK_CELLS}"
        )
    cells = database.execute(broken).fetchall()
    inner = (cell.splitlines()[1:-1] for (cell,) in cells)
    return any(has_rows(shapes, [record.cells for record in read_records(lines, dialect)]) for lines in inner)
