# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Which columns are text, which is the label: guesses for a person to correct, and class names from a file."""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from core.data.column_facts import ID_NAMES, TEXT_NAMES, TITLE_NAMES, ColumnFacts, column_facts, is_named, name_rank
from core.data.database import connection, identifier, parquet_rows
from core.data.expressions import cell_sql, label_sql, text_sql
from core.data.label_guess import JUDGED_ROWS
from core.data.label_suggestion import guess_labels
from core.data.reading.structured import class_label_names
from core.data.table import Table, label_counts
from core.errors import UserError
from core.schema import LabelKind, MappingSpec

__all__ = [
    "Suggestion",
    "class_names_from_lines",
    "label_sql",
    "mapped_text_sql",
    "mapping_from",
    "natural_order",
    "suggest_mapping",
    "text_sql",
]


@dataclass(frozen=True)
class Suggestion:
    text: tuple[str, ...]
    """Empty where no column looks like text."""
    label: str | None
    """None where no column looks like labels, or where each class has a column of its own."""
    class_names: dict[str, str]
    """Label value -> name, from a `classes.txt` beside the file; else empty."""
    backslash_is_space: bool
    reasons: tuple[str, ...]
    """Why, a sentence for each choice."""
    kind: LabelKind = "single"
    label_columns: tuple[str, ...] = ()
    label_separator: str = ";"


def mapped_text_sql(mapping: MappingSpec) -> str:
    return text_sql(mapping.text, mapping.joiner, mapping.backslash_is_space, mapping.text_template)


def mapping_from(suggestion: Suggestion) -> MappingSpec | None:
    """The suggestion as a MappingSpec; None where text or label could not be guessed."""
    if not suggestion.text or (suggestion.label is None and not suggestion.label_columns):
        return None
    return MappingSpec(
        text=suggestion.text,
        label=suggestion.label or "",
        kind=suggestion.kind,
        label_columns=suggestion.label_columns,
        label_separator=suggestion.label_separator,
        class_names=suggestion.class_names,
        backslash_is_space=suggestion.backslash_is_space,
    )


def suggest_mapping(table: Table, kind: LabelKind | None = None, by_columns: bool | None = None) -> Suggestion:
    """Guess text columns, labels, and class names from a `classes.txt` beside the file.

    kind: of the labels, where a person has said it (single, multi or soft); else that is guessed too. by_columns: of
    kind multi, whether each class has a column of its own, where that is said.
    """
    with connection(table.parquet.parent) as database:
        facts = column_facts(database, table)
        found = guess_labels(database, table, facts, kind, by_columns)
        taken = {found.label, *found.label_columns, *found.beside}
        text = _text(database, table, [fact for fact in facts if fact.column.name not in taken])
        chosen = tuple(fact.column.name for fact in text)
        backslash = bool(chosen) and _backslash_share(database, table, chosen) >= 0.02
    reasons = list(found.reasons)
    if text:
        words = " and ".join(f"'{fact.column.name}'" for fact in text)
        lengths = " and ".join(f"{fact.mean_length:.0f}" for fact in text)
        reasons.append(f"{words} {'is' if len(text) == 1 else 'are'} the text: {lengths} characters on average.")
    if backslash:
        reasons.append("Backslashes stand between words, as in the AG News files; they are read as spaces.")
    names: dict[str, str] = {}
    if any(fact.column.name == found.label and fact.column.type == "integer" for fact in facts):
        names, told = names_beside(table, str(found.label))
        reasons += told
    return Suggestion(
        chosen, found.label, names, backslash, tuple(reasons), found.kind, found.label_columns, found.separator
    )


def class_names_from_lines(lines: list[str], labels: list[str]) -> dict[str, str]:
    """Names from a class-names file: line 1 for the smallest label, and so on; empty lines do not count.

    Labels that are whole numbers from 0 or 1 may be fewer than the names: line N is then that number's, also where
    some number has no row. Raises UserError where names and labels do not go together.
    """
    names = [line.strip() for line in lines if line.strip()]
    ordered = natural_order(list(dict.fromkeys(labels)))
    if len(names) == len(ordered):
        return dict(zip(ordered, names, strict=True))
    numbers = [int(label) for label in ordered if re.fullmatch("[0-9]{1,9}", label)]
    if numbers and len(numbers) == len(ordered) < len(names):
        first = 0 if numbers[0] == 0 else 1
        # From 0 or from 1 cannot be told where neither the lowest nor the highest number occurs.
        if numbers[-1] - first < len(names) and (numbers[0] == 0 or numbers[-1] == len(names)):
            return {label: names[number - first] for label, number in zip(ordered, numbers, strict=True)}
    raise UserError(
        f"There are {len(names)} class names for {len(ordered)} labels.",
        "mapping.class_names",
        "Give one name a line, the first for the smallest label.",
    )


def natural_order(names: list[str]) -> list[str]:
    """Sorted as people sort: numbers by value (2 before 10), text regardless of case."""

    def key(name: str) -> tuple[list[tuple[int, float, str]], str]:
        if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]+)?", name):
            return [(0, float(name), "")], name
        pieces = re.split(r"([0-9]+)", name.casefold())
        return [(1, float(piece[:15]) if piece.isdecimal() else -1.0, piece) for piece in pieces if piece], name

    return sorted(names, key=key)


def _text(database: duckdb.DuckDBPyConnection, table: Table, facts: list[ColumnFacts]) -> list[ColumnFacts]:
    """The column called text or the like, or the longest; with a title or another long column where that adds words."""
    possible = [
        fact
        for fact in facts
        if fact.column.type == "text"
        and fact.filled
        and fact.spaced >= 0.2
        and not ID_NAMES.search(fact.column.name)
        and (fact.mean_length >= 15 or is_named(fact, TEXT_NAMES + TITLE_NAMES))
        and (fact.distinct > 0.2 * fact.filled or fact.mean_length > 60)
    ]
    if not possible:
        return []
    named = [fact for fact in possible if is_named(fact, TEXT_NAMES)]
    main = (
        min(named, key=lambda fact: name_rank(fact.column.name, TEXT_NAMES))
        if named
        else max(possible, key=lambda fact: fact.mean_length)
    )
    beside = [
        fact
        for fact in possible
        if fact is not main
        and (is_named(fact, TITLE_NAMES) or (table.header is False and fact.filled >= 0.5 * main.filled))
        and not _contained(database, table, fact.column.name, main.column.name)
    ]
    return [fact for fact in possible if fact is main or fact in beside]


def _contained(database: duckdb.DuckDBPyConnection, table: Table, part: str, whole: str) -> bool:
    """Whether most filled cells of `part` already stand in `whole`."""
    row = database.execute(
        f"SELECT avg(CASE WHEN contains({cell_sql(whole)}, {cell_sql(part)}) THEN 1 ELSE 0 END) "
        f"FROM (SELECT {identifier(part)}, {identifier(whole)} FROM {parquet_rows(table.parquet)} LIMIT {JUDGED_ROWS}) "
        f"WHERE {cell_sql(part)} <> ''"
    ).fetchone()
    return row is not None and (row[0] or 0) > 0.5


def _backslash_share(database: duckdb.DuckDBPyConnection, table: Table, columns: tuple[str, ...]) -> float:
    """Share of texts with a lone backslash between two words; those of LaTeX do not count."""
    row = database.execute(
        "SELECT avg(CASE WHEN regexp_matches(text, '[[:alnum:].,;:)]\\\\[[:alnum:] (]') "
        "AND NOT regexp_matches(text, '\\\\[a-zA-Z]+[{]|[$][^$]*\\\\') THEN 1 ELSE 0 END) "
        f"FROM (SELECT {text_sql(columns, ' ')} AS text FROM {parquet_rows(table.parquet)} LIMIT {JUDGED_ROWS})"
    ).fetchone()
    return float(row[0] or 0) if row else 0.0


def names_beside(table: Table, label: str) -> tuple[dict[str, str], list[str]]:
    """Class names from the Parquet file's own facts or from `classes.txt` in the table's folder, and what to say."""
    stated = class_label_names(table.path, label) if table.format == "parquet" else ()
    if stated:
        return dict(zip(map(str, range(len(stated))), stated, strict=True)), [
            f"Class names come from the file itself: {', '.join(stated[:10])}{' ...' * (len(stated) > 10)}."
        ]
    beside = Path(table.path).with_name("classes.txt")
    if not beside.is_file():
        return {}, []
    lines = beside.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    try:
        names = class_names_from_lines(lines, [value for value, _ in label_counts(table, label)])
    except UserError as error:
        return {}, [f"classes.txt beside the file was not used: {error.what}"]
    return names, [f"Class names come from classes.txt beside the file: {', '.join(names.values())}."]
