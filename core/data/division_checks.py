# ruff: noqa: S608  (column names become SQL through identifier() alone)
"""What keeps rows from being divided as asked, and what is worth knowing of how they are."""

from collections.abc import Mapping

import duckdb

from core.data.database import parquet_rows
from core.data.division import PART_WORDS, shares_of, time_sql
from core.data.expressions import cell_sql
from core.data.findings import Finding, counted, example, listed
from core.data.labels import label_columns
from core.data.table import Table
from core.schema import MappingSpec, SplitSpec

LEAST_READ = 0.95
"""Share of a column's cells that must be times."""
GROUPS_SHOWN = 5


def division_column(split: SplitSpec) -> tuple[str, ...]:
    """The column that the division needs, as a tuple of one or none."""
    return (split.column,) if split.by != "chance" else ()


def about_division(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    mapping: MappingSpec,
    split: SplitSpec,
    files: Mapping[str, Table],
    usable: int,
) -> list[Finding]:
    """table: that of the training file, which has the column. files: of the parts with a file of their own."""
    findings = _about_folds(table, split, files, usable) + _about_rows(table, split, files, usable)
    if split.by != "chance" and split.column in label_columns(mapping):
        told = f"'{split.column}' is the label: each class would stand in one part alone."
        return [*findings, _error(table, told, "Choose another column to divide by.", "divided_by_label")]
    if split.by == "group":
        findings += _about_groups(database, table, split, files)
        for part, other in files.items():
            if split.column in other.names:
                findings += _about_shared_groups(database, table, other, split.column, part)
    if split.by == "time":
        findings += _about_times(database, table, split.column)
    if split.by == "column":
        findings += _about_named(database, table, split.column, files)
    return findings


def _error(table: Table, what: str, todo: str, kind: str, count: int = 1) -> Finding:
    return Finding("error", what, table.path.name, todo, count, kind)


def _about_folds(table: Table, split: SplitSpec, files: Mapping[str, Table], usable: int) -> list[Finding]:
    if not split.folds:
        return []
    if split.by in ("time", "column"):
        how = "by time" if split.by == "time" else "as a column says"
        told = f"Rows are divided {how}, which is one division; cross-validation needs {split.folds} of them."
        return [_error(table, told, "Divide by chance or by groups, or set the folds to 0.", "folds_differ")]
    if "test" in files:
        told = "With cross-validation every row is tested once, so a test file of its own would not be used."
        return [_error(table, told, "Take the test file out, or set the folds to 0.", "folds_and_file")]
    if 0 < usable < 2 * split.folds:
        told = f"{usable} rows are too few for {split.folds} folds."
        return [_error(table, told, "Give more rows, or take fewer folds.", "few_rows_for_folds")]
    return []


def _about_rows(table: Table, split: SplitSpec, files: Mapping[str, Table], usable: int) -> list[Finding]:
    """Where a number of rows is asked for that leaves train none, or less than the parts that it is measured with."""
    asked = {
        part: rows
        for part, rows in (("validation", split.validation_rows), ("test", split.test_rows))
        if rows is not None and part not in files and not (part == "test" and split.folds)
    }
    shares = shares_of(split, usable, files)
    total = round(usable * sum(shares.values()))
    if not usable or not asked or total < usable:
        return []
    named = " and ".join(
        f"{asked[part]:,} for {part}" if part in asked else f"{shares[part]:.0%} for {part}" for part in shares
    )
    told = f"{named} are asked for, and only {counted(usable, 'row', 'rows')} can be used: none is left to learn from."
    return [_error(table, told, "Ask for fewer rows.", "too_many_rows", total)]


def _about_groups(
    database: duckdb.DuckDBPyConnection, table: Table, split: SplitSpec, files: Mapping[str, Table]
) -> list[Finding]:
    cell = cell_sql(split.column)
    row = database.execute(
        f"SELECT count(DISTINCT {cell}) FILTER ({cell} <> ''), count(*) FILTER ({cell} = '') "
        f"FROM {parquet_rows(table.parquet)}"
    ).fetchone()
    groups, empty = row or (0, 0)
    if groups <= 1 and not empty:
        told = f"'{split.column}' has the same value in every row, so there is one group: it cannot be divided."
        return [_error(table, told, "Choose the column that names the groups.", "one_group")]
    needed = max(split.folds, 1 + sum(part not in files for part in ("validation", "test")))
    if groups + empty < needed:
        told = f"'{split.column}' has {groups + empty} different values; {needed} parts need a group each."
        return [_error(table, told, "Choose another column, or give a file for a part.", "few_groups")]
    if not empty:
        return []
    told = f"{counted(empty, 'row has', 'rows have')} nothing in '{split.column}': each is taken for a group by itself."
    return [Finding("note", told, table.path.name, "Fill them in if they belong together.", empty, "no_group")]


def _about_shared_groups(
    database: duckdb.DuckDBPyConnection, train: Table, other: Table, column: str, part: str
) -> list[Finding]:
    cell = cell_sql(column)
    found = database.execute(
        "SELECT cell, rows, count(*) OVER (), (sum(rows) OVER ())::BIGINT FROM ("
        f"  SELECT cell, count(*) AS rows FROM (SELECT {cell} AS cell FROM {parquet_rows(train.parquet)}) "
        f"  WHERE cell <> '' AND cell IN (SELECT {cell} FROM {parquet_rows(other.parquet)}) GROUP BY cell"
        f") ORDER BY rows DESC, cell LIMIT {GROUPS_SHOWN}"
    ).fetchall()
    if not found:
        return []
    groups, rows = found[0][2:]
    told = (
        f"{counted(groups, f'group of {column!r} stands', f'groups of {column!r} stand')} both in train and in "
        f"{other.path.name}, with {counted(rows, 'row', 'rows')} of train."
    )
    return [
        Finding(
            "warning",
            told,
            train.path.name,
            f"Leave them out of one of the files, or take a share of {train.path.name} for {part}.",
            rows,
            "shared_groups",
            f"What is learned of a group helps with its other rows: the figures on {part} look better than they are.",
            tuple(example(group, f"{counted(count, 'row', 'rows')} of train") for group, count, *_ in found),
        )
    ]


def _about_times(database: duckdb.DuckDBPyConnection, table: Table, column: str) -> list[Finding]:
    way, share, either = time_sql(table, column)
    row = database.execute(
        f"SELECT count(*) FILTER ({way} IS NULL), count(DISTINCT {way}), "
        f"first({cell_sql(column)}) FILTER ({way} IS NULL AND {cell_sql(column)} <> '') "
        f"FROM {parquet_rows(table.parquet)}"
    ).fetchone()
    unread, different, example = row or (0, 0, None)
    if share < LEAST_READ:
        told = f"'{column}' does not hold dates or numbers (such as '{(example or '')[:40]}'): it cannot be ordered."
        return [_error(table, told, "Choose a column of dates, written like 2024-12-31, or of numbers.", "no_times")]
    if either:
        told = f"In '{column}' it cannot be told whether the day or the month comes first."
        return [_error(table, told, "Write the dates like 2024-12-31.", "day_or_month")]
    if different < 2:
        told = f"'{column}' has the same time in every row: nothing is older or newer."
        return [_error(table, told, "Choose another column.", "one_time")]
    if not unread:
        return []
    told = f"{counted(unread, 'row has', 'rows have')} no time in '{column}': these are for training."
    return [Finding("warning", told, table.path.name, "Fill them in if they should be ordered.", unread, "no_time")]


def _about_named(
    database: duckdb.DuckDBPyConnection, table: Table, column: str, files: Mapping[str, Table]
) -> list[Finding]:
    counts = database.execute(
        f"SELECT {cell_sql(column)} AS cell, count(*) AS n FROM {parquet_rows(table.parquet)} "
        "GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1000"
    ).fetchall()
    named = {PART_WORDS[cell.lower()] for cell, _ in counts if cell.lower() in PART_WORDS}
    others = {cell: int(rows) for cell, rows in counts if cell.lower() not in PART_WORDS}
    if "train" not in named:
        told = f"No row of '{column}' says train: it holds {listed(list(others)) or 'nothing'}."
        return [_error(table, told, "Choose the column that holds train, validation (or dev) and test.", "no_train")]
    twice = sorted(named & set(files))
    if twice:
        told = f"Both '{column}' and a file of its own say which rows are for {' and '.join(twice)}."
        return [_error(table, told, "Take the file out, or divide by chance.", "part_twice")]
    findings = []
    if others:
        rows = sum(others.values())
        told = (
            f"{counted(rows, 'row names', 'rows name')} no part in '{column}' ({listed(list(others))}) and "
            f"{'is' if rows == 1 else 'are'} left out."
        )
        todo = "Write train, validation or test there if they should count."
        findings.append(Finding("warning", told, table.path.name, todo, rows, "no_part"))
    absent = [part for part in ("validation", "test") if part not in named and part not in files]
    if absent:
        told = f"'{column}' names no rows for {' and '.join(absent)}: they are drawn from those for train."
        findings.append(Finding("note", told, table.path.name, "", len(absent), "part_not_named"))
    return findings
