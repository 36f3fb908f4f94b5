# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""What stands in each column: type, empty share, distinct values, an example."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from core.data.database import parquet_rows
from core.data.expressions import cell_sql
from core.data.reading.decimals import number_sql
from core.data.reading.result import Reading

TYPED_ROWS = 100_000
"""Types of CSV columns are judged from so many rows; cells stay text whatever the type."""
EXACT_CELLS = 5_000_000
"""Up to so many cells distinct values are counted exactly, beyond that to about 2 %."""
EXAMPLE = 200
"""Characters of an example."""

_PATTERNS = (
    ("integer", "regexp_full_match(cell, '[+-]?[0-9]+')"),
    ("number", "{number}"),
    ("boolean", "lower(cell) IN ('true', 'false', 'yes', 'no')"),
    ("date", "regexp_full_match(cell, '[0-9]{4}-[0-9]{2}-[0-9]{2}') AND TRY_CAST(cell AS DATE) IS NOT NULL"),
    (
        "timestamp",
        "regexp_matches(cell, '^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]') AND TRY_CAST(cell AS TIMESTAMPTZ) IS NOT NULL",
    ),
)


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    """text, integer, number, boolean, date, time, timestamp, list, object or binary."""
    empty_share: float
    """0 to 1."""
    distinct: int
    """Values other than empty; approximate where the table has more than 5 million cells."""
    example: str
    """The first value that is not empty, cut to 200 characters; '' where there is none."""


def profile(database: duckdb.DuckDBPyConnection, parquet: Path, reading: Reading) -> tuple[int, tuple[Column, ...]]:
    """Rows and columns of a Parquet file of texts.

    The cells are turned into one long column first, so that the query is as short for a thousand columns as for one.
    """
    rows = int(_one(database, f"SELECT count(*) FROM {parquet_rows(parquet)}")[0])
    numbered = ", ".join(f"{cell_sql(name)} AS c{number}" for number, name in enumerate(reading.names))
    columns = ", ".join(f"c{number}" for number in range(len(reading.names)))
    exact = rows * len(reading.names) <= EXACT_CELLS
    number = number_sql("cell", reading.decimal or ".")
    tests = ", ".join(
        f"count(*) FILTER (row < {TYPED_ROWS} AND {test.replace('{number}', number)})" for _, test in _PATTERNS
    )
    found = database.execute(
        f"SELECT name, count(*), {'count(DISTINCT' if exact else 'approx_count_distinct('} hashed), "
        f"arg_min(cell, row), count(*) FILTER (row < {TYPED_ROWS}), {tests} "
        f"FROM (SELECT row, name, hash(cell) AS hashed, left(cell, {EXAMPLE}) AS cell FROM ("
        f"  UNPIVOT (SELECT file_row_number AS row, {numbered} FROM {parquet_rows(parquet)}) "
        f"  ON {columns} INTO NAME name VALUE cell) WHERE cell <> '') GROUP BY name"
    ).fetchall()
    facts = {row[0]: row[1:] for row in found}
    return rows, tuple(
        _column(name, stated, rows, facts.get(f"c{number}"))
        for number, (name, stated) in enumerate(zip(reading.names, reading.types, strict=True))
    )


def _column(name: str, stated: str, rows: int, facts: Any) -> Column:
    """facts: filled cells, distinct ones, an example, cells judged, and how many of those each pattern fits."""
    if facts is None:
        return Column(name=name, type=stated or "text", empty_share=1.0, distinct=0, example="")
    filled, distinct, example, judged, *fitting = facts
    types = (kind for (kind, _), count in zip(_PATTERNS, fitting, strict=True) if judged and count == judged)
    return Column(
        name=name,
        type=stated or next(types, "text"),
        empty_share=round(1 - filled / rows, 6),
        distinct=int(distinct),
        example=example,
    )


def _one(database: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = database.execute(query).fetchone()
    if row is None:
        raise RuntimeError("aggregates give one row")
    return row
