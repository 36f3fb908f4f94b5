# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Single rows of a table as a prompt reads them, for the page: by number, the neighbours, the longest, any one.

A row counts where it has text and label, as in a split. The file is read row by row on disk, never held in memory.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from core.data.database import connection, parquet_rows
from core.data.expressions import cell_sql, label_sql, text_sql
from core.data.labels import name_of
from core.data.mapping import mapped_text_sql
from core.data.table import Table, require_columns
from core.errors import UserError
from core.schema import MappingSpec

NEAR = 1000
"""Rows looked at on either side before the whole file is."""


@dataclass(frozen=True)
class SampleRow:
    number: int
    """0-based place among the file's rows."""
    values: dict[str, str | None]
    """`text`, the mapped text, and the columns that were asked for."""
    label: str
    """The class's name."""


def sample_row(table: Table, mapping: MappingSpec, number: int, columns: Sequence[str] = ()) -> SampleRow:
    """The row of this number; where it has no text or label the next one that has, round past the end.

    Raises UserError for columns that the table does not have, and where no row has text and label.
    """
    require_columns(table, (*mapping.text, mapping.label, *columns))
    with connection(table.parquet.parent) as database:
        row = _row(database, table, mapping, f"file_row_number = {int(number)}", columns)
        if row is None:
            number = _beside(database, table, mapping, number, False)
            row = _row(database, table, mapping, f"file_row_number = {number}", columns)
    if row is None:
        raise RuntimeError("the number is that of a row")
    return row


def text_of_row(table: Table, columns: Sequence[str], template: str, number: int = 0) -> str:
    """The text that a template makes of one row's columns; '' where there is no such row."""
    with connection(table.parquet.parent) as database:
        found = database.execute(
            f"SELECT {text_sql(tuple(columns), ' ', template=template)} FROM {parquet_rows(table.parquet)} "
            f"WHERE file_row_number = {int(number)}"
        ).fetchone()
    return str(found[0]) if found else ""


def row_beside(table: Table, mapping: MappingSpec, number: int, *, back: bool = False) -> int:
    """The number of the next row with text and label, or of the one before; round past the ends."""
    with connection(table.parquet.parent) as database:
        return _beside(database, table, mapping, number, back)


def longest_row(table: Table, mapping: MappingSpec) -> int:
    """The number of the row with the longest text, in characters; the first of several."""
    with connection(table.parquet.parent) as database:
        found = _number(database, table, mapping, "true", "length(text) DESC, number")
    return _needed(found)


def random_row(table: Table, mapping: MappingSpec) -> int:
    """The number of a row with text and label, any one."""
    return row_beside(table, mapping, random.randrange(-1, max(table.rows - 1, 0)))  # noqa: S311


def _row(
    database: duckdb.DuckDBPyConnection, table: Table, mapping: MappingSpec, where: str, columns: Sequence[str]
) -> SampleRow | None:
    # Named by number: a column may be called text or label.
    more = "".join(f", {cell_sql(name)} AS also{place}" for place, name in enumerate(columns))
    found = database.execute(
        f"SELECT file_row_number, {mapped_text_sql(mapping)}, {label_sql(mapping.label)}{more} "
        f"FROM {parquet_rows(table.parquet)} WHERE {where}"
    ).fetchone()
    if found is None or not found[1] or not found[2]:
        return None
    number, text, label, *cells = found
    values = {**dict(zip(columns, cells, strict=True)), "text": text}
    return SampleRow(int(number), values, name_of(mapping)(label))


def _beside(database: duckdb.DuckDBPyConnection, table: Table, mapping: MappingSpec, number: int, back: bool) -> int:
    """First among the rows close by, which takes a moment whatever the file's size, then among all."""
    close = f"{number - NEAR} AND {number - 1}" if back else f"{number + 1} AND {number + NEAR}"
    order = "number DESC" if back else "number"
    found = _number(database, table, mapping, f"file_row_number BETWEEN {close}", order)
    if found is None:
        round_the_end = f"number {'>=' if back else '<='} {number}"
        found = _number(database, table, mapping, "true", f"{round_the_end}, {order}")
    return _needed(found)


def _number(
    database: duckdb.DuckDBPyConnection, table: Table, mapping: MappingSpec, where: str, order: str
) -> int | None:
    """The first row with text and label in this order, among those of `where`."""
    found = database.execute(
        f"SELECT number FROM (SELECT file_row_number AS number, {mapped_text_sql(mapping)} AS text, "
        f"{label_sql(mapping.label)} AS label FROM {parquet_rows(table.parquet)} WHERE {where}) "
        f"WHERE text <> '' AND label <> '' ORDER BY {order} LIMIT 1"
    ).fetchone()
    return None if found is None else int(found[0])


def _needed(number: int | None) -> int:
    if number is None:
        raise UserError("No row has both a text and a label.", "Data", "Choose other columns on the Data step.")
    return number
