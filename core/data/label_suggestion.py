# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Which column, or columns, hold the labels, of what kind they are, and why: a guess for a person to correct."""

import re
from dataclasses import dataclass

import duckdb

from core.data.column_facts import (
    BESIDE_NAMES,
    ID_NAMES,
    LABEL_NAMES,
    LANGUAGE_NAMES,
    LIKELY_NAMES,
    TEXT_NAMES,
    ColumnFacts,
    is_named,
    name_pieces,
    name_rank,
)
from core.data.database import parquet_rows
from core.data.expressions import cell_sql
from core.data.label_guess import (
    Several,
    cell_classes,
    flag_columns,
    one_each,
    part_columns,
    probability_columns,
    several_classes,
)
from core.data.table import Table
from core.schema import LabelKind

MOST_CLASSES = 1000
LONGEST_CELL = 300
"""Characters on average; longer cells are text, not classes."""
MOST_SAYINGS = 6
"""Different cells of a column that says yes or no, in several ways; also of one that names the parts of the data."""
MOST_GRADES = 20
"""Different numbers of a column of stars or scores that are classes."""


@dataclass(frozen=True)
class LabelGuess:
    kind: LabelKind
    label: str | None
    reasons: list[str]
    label_columns: tuple[str, ...] = ()
    separator: str = ";"
    beside: tuple[str, ...] = ()
    """Columns of classes that were not chosen; no text either."""


def guess_labels(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    facts: list[ColumnFacts],
    kind: LabelKind | None,
    by_columns: bool | None,
) -> LabelGuess:
    """The labels. A column that is named like one of single classes goes before what holds several.

    kind and by_columns (whether each of several classes has a column of its own): None where nobody has said it.
    """
    several = _several(database, table, facts) if kind in (None, "single", "multi") else []
    held = tuple(found.column for found in several)
    short = [fact.column.name for fact in facts if fact.distinct <= MOST_SAYINGS and fact.mean_length <= 5]
    flags = flag_columns(database, table, short) if kind != "soft" else ()
    numbers = [fact.column.name for fact in facts if fact.column.type in ("number", "integer") and fact.filled]
    shares = probability_columns(database, table, numbers) if kind in (None, "soft") else ()
    few = [fact.column.name for fact in facts if fact.column.type == "text" and 2 <= fact.distinct <= MOST_SAYINGS]
    parts = part_columns(database, table, few)
    single = _label([fact for fact in facts if fact.column.name not in (*held, *shares)], parts)
    if single is None and kind == "single":
        single = _label(facts, parts)
    if kind == "single" or (
        kind is None and single is not None and _goes_first(database, table, single, several, flags)
    ):
        return _single_guess(single, several, flags, shares)
    if kind == "soft" or shares:
        return LabelGuess("soft", None, _soft_reasons(shares), shares, beside=held)
    if several and not by_columns:
        chosen = several[0]
        return LabelGuess(
            "multi", chosen.column, [_several_words(chosen)], separator=chosen.separator or ";", beside=held
        )
    if by_columns is False:
        return LabelGuess("multi", None, _flag_reasons((), False))
    if flags or kind == "multi":
        exclusive = bool(flags) and one_each(database, table, flags)
        return LabelGuess("multi", None, _flag_reasons(flags, exclusive), flags, beside=held)
    return _single_guess(single, [], (), ())


def _several(database: duckdb.DuckDBPyConnection, table: Table, facts: list[ColumnFacts]) -> list[Several]:
    """Columns whose cells hold several classes, the most tellingly named first."""
    asked = [
        fact.column.name
        for fact in facts
        if fact.column.type in ("text", "list")
        and fact.distinct >= 2
        and fact.mean_length <= LONGEST_CELL
        and fact.filled >= 0.5 * max(other.filled for other in facts)
        and not ID_NAMES.search(fact.column.name)
        and not is_named(fact, TEXT_NAMES)
    ]
    found = [held for name in asked if (held := several_classes(database, table, name))]
    return sorted(found, key=lambda held: name_rank(_singular(held.column), LABEL_NAMES))


def _goes_first(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    single: ColumnFacts,
    several: list[Several],
    flags: tuple[str, ...],
) -> bool:
    """Whether a column of single classes is a better guess than one that holds several, or than columns of 0 and 1."""
    name = single.column.name
    rank = name_rank(name, LABEL_NAMES)
    if not is_named(single, LABEL_NAMES):
        return not several and not flags
    if name in flags:
        return rank == int(rank)  # label_toxic is one of several, label alone is not
    if several and name_rank(_singular(several[0].column), LABEL_NAMES) < rank:
        return _is_one_of(database, table, name, several[0])
    return True


def _is_one_of(database: duckdb.DuckDBPyConnection, table: Table, single: str, several: Several) -> bool:
    """Whether a column holds one of the classes that stand in another: its first, or its main one."""
    rows = database.execute(
        f"SELECT {cell_sql(single)}, {cell_sql(several.column)} FROM {parquet_rows(table.parquet)} LIMIT 2000"
    ).fetchall()
    inside = [one in cell_classes(cell, several.separator or ",") for one, cell in rows if one and cell]
    return bool(inside) and sum(inside) >= 0.95 * len(inside)


def _single_guess(
    single: ColumnFacts | None, several: list[Several], flags: tuple[str, ...], shares: tuple[str, ...]
) -> LabelGuess:
    """One class a row, and in words what else could be learned."""
    if single is None:
        return LabelGuess("single", None, [])
    name = single.column.name
    reasons = [f"'{name}' is the label: {single.distinct} different values in {single.filled:,} rows."]
    if several:
        reasons.append(
            f"'{several[0].column}' holds several classes a row ({several[0].per_row:.1f} on average). '{name}' was "
            f"chosen since it holds just one, which any model can learn; choose several classes a row to learn all."
        )
    beside = tuple(column for column in flags if column != name)
    if shares:
        reasons.append(f"{_columns_words(shares)} hold probabilities; they can be learned in place of '{name}'.")
    elif len(beside) > 1:
        reasons.append(
            f"{_columns_words(beside)} hold only 0 and 1. If each is a class, choose several classes a row to "
            "learn them."
        )
    return LabelGuess("single", name, reasons, beside=tuple(held.column for held in several))


def _several_words(held: Several) -> str:
    how = "in lists" if not held.separator else "with blanks between" if held.separator == " " else (
        f"with '{held.separator}' between"
    )  # fmt: skip
    return (
        f"'{held.column}' holds several classes a row, {how}: {held.classes:,} classes, {held.per_row:.1f} a row on "
        f"average."
    )


def _flag_reasons(flags: tuple[str, ...], exclusive: bool) -> list[str]:
    if not flags:
        return ["No column looks as if it held several classes: choose it, or the columns of the classes."]
    reasons = [f"{_columns_words(flags)} hold only 0 and 1: each is taken for a class, and a row may have several."]
    if exclusive:
        reasons.append(
            "Exactly one of them is 1 in every row. If no text ever has two, choose probabilities: the answer is then "
            "always one class."
        )
    return reasons


def _soft_reasons(shares: tuple[str, ...]) -> list[str]:
    if not shares:
        return ["No columns look like probabilities, numbers that sum to 1 in a row: choose those of the classes."]
    return [f"{_columns_words(shares)} hold a probability for each class: their numbers sum to 1 in a row."]


def _columns_words(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return shown + (f" and {len(names) - 5:,} more columns" if len(names) > 5 else "")


def _singular(name: str) -> str:
    return re.sub(r"ies$", "y", name) if name.endswith("ies") else re.sub(r"(?<=[a-rt-z])s$", "", name)


def _label(facts: list[ColumnFacts], parts: tuple[str, ...]) -> ColumnFacts | None:
    """The column with few values that repeat; a telling name first, then fewer and shorter values.

    parts: columns that divide the data. They, and what has the name of such a thing, are taken where nothing else is
    left; a language before them.
    """
    possible = [
        fact
        for fact in facts
        if fact.column.type in {"text", "integer", "boolean", "number"}
        and 2 <= fact.distinct <= MOST_CLASSES
        and fact.distinct <= max(2, 0.5 * fact.filled)
        and fact.filled >= 0.5 * max(other.filled for other in facts)
        and not ID_NAMES.search(fact.column.name)
    ]
    last = [fact for fact in possible if fact.column.name in parts or _is_beside(fact, BESIDE_NAMES)]
    languages = [fact for fact in possible if fact not in last and _is_beside(fact, LANGUAGE_NAMES)]
    usual = [fact for fact in possible if fact not in last and fact not in languages]
    graded = [fact for fact in usual if fact.column.type not in ("integer", "number") or fact.distinct <= MOST_GRADES]
    for names, among in ((LABEL_NAMES, usual), (LIKELY_NAMES, graded)):
        named = [fact for fact in among if is_named(fact, names)]
        named = [fact for fact in named if fact.distinct <= 0.1 * fact.filled] or named
        if named:
            return min(named, key=lambda fact: name_rank(fact.column.name, names))
    for among in ([fact for fact in usual if not is_named(fact, TEXT_NAMES)], languages, last, usual):
        short = [fact for fact in among if fact.mean_length <= 60 and fact.column.type != "number"]
        if short:
            return min(short, key=lambda fact: (fact.distinct / max(fact.filled, 1), fact.mean_length))
    return None


def _is_beside(fact: ColumnFacts, names: tuple[str, ...]) -> bool:
    """Whether the column's name ends with one of these (label_source), or begins so and says nothing of a label."""
    pieces = name_pieces(fact.column.name)
    return pieces[-1] in names or (pieces[0] in names and not is_named(fact, LABEL_NAMES + LIKELY_NAMES))
