# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""What stands in each column: type, empty share, distinct values, an example."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from core.data.database import identifier, parquet_rows
from core.data.expressions import AT_A_TIME, cell_sql
from core.data.reading.decimals import number_sql
from core.data.reading.progress import Progress, no_progress
from core.data.reading.result import Reading

TYPED_ROWS = 100_000
"""Types of CSV columns are judged from so many rows; cells stay text whatever the type."""
EXACT_CELLS = 5_000_000
"""Up to so many cells distinct values are counted exactly, beyond that to about 2 %."""
COLUMNS_AT_ONCE = 200
"""With more columns than this a pass over each would be too many."""
SHORT = 64
"""Bytes; a longer cell does not consist of white space."""
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


def profile(
    database: duckdb.DuckDBPyConnection, parquet: Path, reading: Reading, progress: Progress = no_progress
) -> tuple[int, tuple[Column, ...]]:
    """Rows and columns of a Parquet file of texts.

    The cells of some columns at a time are turned into one long column first, so that what is asked of each stands in
    the query once; of a long table of few columns only those of its first rows, and one pass over each column counts
    the rest.
    """
    rows = int(_one(database, f"SELECT count(*) FROM {parquet_rows(parquet)}")[0])
    exact = rows * len(reading.names) <= EXACT_CELLS
    long = not exact and len(reading.names) <= COLUMNS_AT_ONCE
    where = f"WHERE file_row_number < {TYPED_ROWS}" if long else ""
    facts: dict[str, tuple[Any, ...]] = {}
    for start in range(0, len(reading.names), AT_A_TIME):
        facts |= _facts(database, parquet, reading, range(len(reading.names))[start : start + AT_A_TIME], exact, where)
    if long:
        with progress.of_query(database):
            facts = _of_all_rows(database, parquet, reading.names, facts)
    return rows, tuple(
        _column(name, stated, rows, facts.get(f"c{number}"))
        for number, (name, stated) in enumerate(zip(reading.names, reading.types, strict=True))
    )


def _facts(
    database: duckdb.DuckDBPyConnection, parquet: Path, reading: Reading, numbers: range, exact: bool, where: str
) -> dict[str, tuple[Any, ...]]:
    """What `_column` wants of each of these columns that is not empty, by its number: c0, c1, ..."""
    numbered = ", ".join(f"{cell_sql(reading.names[number])} AS c{number}" for number in numbers)
    columns = ", ".join(f"c{number}" for number in numbers)
    number = number_sql("cell", reading.decimal or ".")
    tests = ", ".join(
        f"count(*) FILTER (row < {TYPED_ROWS} AND {test.replace('{number}', number)})" for _, test in _PATTERNS
    )
    found = database.execute(
        f"SELECT name, count(*), {'count(DISTINCT' if exact else 'approx_count_distinct('} hashed), "
        f"arg_min(cell, row), count(*) FILTER (row < {TYPED_ROWS}), {tests} "
        f"FROM (SELECT row, name, hash(cell) AS hashed, left(cell, {EXAMPLE}) AS cell FROM ("
        f"  UNPIVOT (SELECT file_row_number AS row, {numbered} FROM {parquet_rows(parquet)} {where}) "
        f"  ON {columns} INTO NAME name VALUE cell) WHERE cell <> '') GROUP BY name"
    ).fetchall()
    return {row[0]: row[1:] for row in found}


def _of_all_rows(
    database: duckdb.DuckDBPyConnection, parquet: Path, names: tuple[str, ...], facts: dict[str, tuple[Any, ...]]
) -> dict[str, tuple[Any, ...]]:
    """`facts` of the first rows with what is counted over all rows in place of what was counted over those."""
    whole = dict(facts)
    for number, name in enumerate(names):
        column = identifier(name)
        # A long cell is not empty, and looking at its ends takes longer than all else here.
        filled = f"CASE WHEN strlen({column}) > {SHORT} THEN true ELSE {cell_sql(name)} <> '' END"
        count, distinct, example = _one(
            database,
            f"SELECT count(*) FILTER ({filled}), approx_count_distinct({column}) FILTER ({filled}), "
            f"any_value(left({column}, {EXAMPLE})) FILTER ({filled}) FROM {parquet_rows(parquet)}",
        )
        if count:
            known = facts.get(f"c{number}", (0, 0, example, 0, *[0] * len(_PATTERNS)))
            whole[f"c{number}"] = (count, distinct, *known[2:])
    return whole


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
