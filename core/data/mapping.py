# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Which columns are text, which is the label: guesses for a person to correct, and class names from a file."""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from core.data.database import connection, identifier, parquet_rows
from core.data.expressions import cell_sql, label_sql, text_sql
from core.data.table import Column, Table, label_counts
from core.errors import UserError
from core.schema import MappingSpec

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

JUDGED_ROWS = 20_000
"""Guesses rest on so many rows from the start of the table."""
MOST_CLASSES = 1000

_LABEL_NAMES = (
    *("label", "labels", "class", "classes", "category", "categories", "target", "sentiment", "intent", "topic", "tag"),
    *("y", "emotion", "rating", "stance", "polarity", "genre", "language", "lang", "subject_area", "primary"),
    *("section", "department", "output_label", "ground_truth"),
)
_TEXT_NAMES = (
    *("text", "sentence", "message", "question", "content", "review", "comment", "tweet", "utterance", "query"),
    *("document", "body", "post", "article", "abstract", "description", "news", "input"),
)
_TITLE_NAMES = ("title", "headline", "subject", "summary", "heading")
_ID_NAMES = re.compile(r"(^|[_ -])(id|ids|uuid|guid|index|url|link|uri|date|time|timestamp)$", re.IGNORECASE)


@dataclass(frozen=True)
class Suggestion:
    text: tuple[str, ...]
    """Empty where no column looks like text."""
    label: str | None
    class_names: dict[str, str]
    """Label value -> name, from a `classes.txt` beside the file; else empty."""
    backslash_is_space: bool
    reasons: tuple[str, ...]
    """Why, a sentence for each choice."""


@dataclass(frozen=True)
class _Facts:
    """What the guesses rest on, over the first rows."""

    column: Column
    distinct: int
    filled: int
    """Cells that are not empty."""
    mean_length: float
    """Characters of the filled cells."""
    spaced: float
    """Share of the filled cells with a space inside or more than 15 characters that are not ASCII letters or digits."""


def mapped_text_sql(mapping: MappingSpec) -> str:
    return text_sql(mapping.text, mapping.joiner, mapping.backslash_is_space)


def mapping_from(suggestion: Suggestion) -> MappingSpec | None:
    """The suggestion as a MappingSpec; None where text or label could not be guessed."""
    if not suggestion.text or suggestion.label is None:
        return None
    return MappingSpec(
        text=suggestion.text,
        label=suggestion.label,
        class_names=suggestion.class_names,
        backslash_is_space=suggestion.backslash_is_space,
    )


def suggest_mapping(table: Table) -> Suggestion:
    """Guess text columns, label column, and class names from a `classes.txt` beside the file."""
    with connection(table.parquet.parent) as database:
        facts = [_facts(database, table, column) for column in table.columns]
        label = _label(facts)
        text = _text(database, table, [fact for fact in facts if fact is not label])
        chosen = tuple(fact.column.name for fact in text)
        backslash = bool(chosen) and _backslash_share(database, table, chosen) >= 0.02
    reasons = []
    if label:
        reasons.append(
            f"'{label.column.name}' is the label: {label.distinct} different values in {label.filled:,} rows."
        )
    if text:
        words = " and ".join(f"'{fact.column.name}'" for fact in text)
        lengths = " and ".join(f"{fact.mean_length:.0f}" for fact in text)
        reasons.append(f"{words} {'is' if len(text) == 1 else 'are'} the text: {lengths} characters on average.")
    if backslash:
        reasons.append("Backslashes stand between words, as in the AG News files; they are read as spaces.")
    names: dict[str, str] = {}
    if label and label.column.type == "integer":
        names, told = _names_beside(table, label.column.name)
        reasons += told
    return Suggestion(chosen, label.column.name if label else None, names, backslash, tuple(reasons))


def class_names_from_lines(lines: list[str], labels: list[str]) -> dict[str, str]:
    """Names from a class-names file: line 1 for the smallest label, and so on; empty lines do not count.

    Raises UserError where there are not as many names as labels.
    """
    names = [line.strip() for line in lines if line.strip()]
    ordered = natural_order(list(dict.fromkeys(labels)))
    if len(names) != len(ordered):
        raise UserError(
            f"There are {len(names)} class names for {len(ordered)} labels.",
            "mapping.class_names",
            "Give one name a line, the first for the smallest label.",
        )
    return dict(zip(ordered, names, strict=True))


def natural_order(names: list[str]) -> list[str]:
    """Sorted as people sort: numbers by value (2 before 10), text regardless of case."""

    def key(name: str) -> tuple[list[tuple[int, float, str]], str]:
        if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]+)?", name):
            return [(0, float(name), "")], name
        pieces = re.split(r"([0-9]+)", name.casefold())
        return [(1, float(piece[:15]) if piece.isdecimal() else -1.0, piece) for piece in pieces if piece], name

    return sorted(names, key=key)


def _facts(database: duckdb.DuckDBPyConnection, table: Table, column: Column) -> _Facts:
    cell = cell_sql(column.name)
    row = database.execute(
        "SELECT count(DISTINCT cell), count(cell), avg(length(cell)), "
        "avg(CASE WHEN contains(cell, ' ') OR length(regexp_replace(cell, '[ -~]', '', 'g')) > 15 THEN 1 ELSE 0 END) "
        f"FROM (SELECT nullif({cell}, '') AS cell FROM {parquet_rows(table.parquet)} LIMIT {JUDGED_ROWS})"
    ).fetchone()
    distinct, filled, mean_length, spaced = row or (0, 0, 0, 0)
    return _Facts(column, int(distinct), int(filled), float(mean_length or 0), float(spaced or 0))


def _label(facts: list[_Facts]) -> _Facts | None:
    """The column with few values that repeat; a telling name first, then fewer and shorter values."""
    possible = [
        fact
        for fact in facts
        if fact.column.type in {"text", "integer", "boolean", "number"}
        and 2 <= fact.distinct <= MOST_CLASSES
        and fact.distinct <= max(2, 0.5 * fact.filled)
        and fact.filled >= 0.5 * max(other.filled for other in facts)
        and not _ID_NAMES.search(fact.column.name)
    ]
    named = [fact for fact in possible if _is_named(fact, _LABEL_NAMES)]
    named = [fact for fact in named if fact.distinct <= 0.1 * fact.filled] or named
    if named:
        return min(named, key=lambda fact: _name_rank(fact.column.name, _LABEL_NAMES))
    short = [fact for fact in possible if fact.mean_length <= 60 and fact.column.type != "number"]
    return min(short, key=lambda fact: (fact.distinct / max(fact.filled, 1), fact.mean_length), default=None)


def _name_rank(name: str, words: tuple[str, ...]) -> float:
    """Place of the first word that the name is, or half a place behind, ends or begins with (class_label, News Topic).

    len(words) where it is none of them.
    """
    pieces = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold())
    whole = [float(rank) for rank, word in enumerate(words) if name.casefold().strip() == word]
    part = [rank + 0.5 for rank, word in enumerate(words) if word in {pieces[-1], pieces[0]}]
    return min(whole or part, default=len(words))


def _is_named(fact: _Facts, words: tuple[str, ...]) -> bool:
    return _name_rank(fact.column.name, words) < len(words)


def _text(database: duckdb.DuckDBPyConnection, table: Table, facts: list[_Facts]) -> list[_Facts]:
    """The column called text or the like, or the longest; with a title or another long column where that adds words."""
    possible = [
        fact
        for fact in facts
        if fact.column.type == "text"
        and fact.filled
        and fact.spaced >= 0.2
        and not _ID_NAMES.search(fact.column.name)
        and (fact.mean_length >= 15 or _is_named(fact, _TEXT_NAMES + _TITLE_NAMES))
        and (fact.distinct > 0.2 * fact.filled or fact.mean_length > 60)
    ]
    if not possible:
        return []
    named = [fact for fact in possible if _is_named(fact, _TEXT_NAMES)]
    main = (
        min(named, key=lambda fact: _name_rank(fact.column.name, _TEXT_NAMES))
        if named
        else max(possible, key=lambda fact: fact.mean_length)
    )
    beside = [
        fact
        for fact in possible
        if fact is not main
        and (_is_named(fact, _TITLE_NAMES) or (table.header is False and fact.filled >= 0.5 * main.filled))
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


def _names_beside(table: Table, label: str) -> tuple[dict[str, str], list[str]]:
    """Class names from the file `classes.txt` in the table's folder, and what to say of it."""
    beside = Path(table.path).with_name("classes.txt")
    if not beside.is_file():
        return {}, []
    lines = beside.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    try:
        names = class_names_from_lines(lines, [value for value, _ in label_counts(table, label)])
    except UserError as error:
        return {}, [f"classes.txt beside the file was not used: {error.what}"]
    return names, [f"Class names come from classes.txt beside the file: {', '.join(names.values())}."]
