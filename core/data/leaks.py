# ruff: noqa: S608  (column names become SQL through identifier() alone)
"""The same text in two parts: what was learned by heart there looks like skill here."""

import duckdb

from core.data.database import parquet_rows
from core.data.findings import Finding, counted
from core.data.mapping import mapped_text_sql
from core.data.table import Table
from core.schema import MappingSpec


def shared_texts(
    database: duckdb.DuckDBPyConnection, train: Table, other: Table, part: str, mapping: MappingSpec
) -> list[Finding]:
    """Texts of another file that stand in train too; `part` is what that file is for."""
    same = _shared(database, train, other, mapping, normalised=False)
    alike = _shared(database, train, other, mapping, normalised=True)
    if not alike:
        return []
    rest = f" ({alike - same} of them but for case or spacing)" if alike > same else ""
    return [
        Finding(
            "warning",
            f"{counted(alike, 'text stands', 'texts stand')} both in train and in {other.path.name}{rest}: "
            f"the figures for {part} will look better than they are.",
            other.path.name,
            "Remove them from one of the two.",
            alike,
            "shared_text",
        )
    ]


def repeated_texts(database: duckdb.DuckDBPyConnection, train: Table, mapping: MappingSpec) -> list[Finding]:
    """Texts that occur more than once in train, where train is divided: copies may fall into different parts."""
    row = database.execute(
        f"SELECT count(*) FROM (SELECT text FROM ({_texts(mapping, train, normalised=True)}) "
        "GROUP BY text HAVING count(*) > 1)"
    ).fetchone()
    repeated = int(row[0]) if row else 0
    if not repeated:
        return []
    return [
        Finding(
            "warning",
            f"{counted(repeated, 'text occurs', 'texts occur')} more than once in {train.path.name}; copies may fall "
            "into different parts and make the figures look better than they are.",
            train.path.name,
            "Remove the copies.",
            repeated,
            "repeated_text",
        )
    ]


def _shared(
    database: duckdb.DuckDBPyConnection, train: Table, other: Table, mapping: MappingSpec, *, normalised: bool
) -> int:
    """Distinct texts that stand in both."""
    row = database.execute(
        f"SELECT count(*) FROM (({_texts(mapping, train, normalised=normalised)}) INTERSECT "
        f"({_texts(mapping, other, normalised=normalised)}))"
    ).fetchone()
    return int(row[0]) if row else 0


def _texts(mapping: MappingSpec, table: Table, *, normalised: bool) -> str:
    """SQL for a hash of each text of a table; normalised, case and runs of white space do not count."""
    text = mapped_text_sql(mapping)
    compared = f"lower(regexp_replace({text}, '\\s+', ' ', 'g'))" if normalised else text
    return f"SELECT hash({compared}) AS text FROM {parquet_rows(table.parquet)} WHERE {text} <> ''"
