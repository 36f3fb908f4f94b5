# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""What guesses of columns rest on: how a column is filled, and what its name says."""

import re
from dataclasses import dataclass

import duckdb

from core.data.database import parquet_rows
from core.data.expressions import AT_A_TIME, cell_sql
from core.data.label_guess import JUDGED_ROWS
from core.data.table import Column, Table

LABEL_NAMES = (
    *("label", "labels", "class", "classes", "category", "categories", "target", "sentiment", "intent", "topic", "tag"),
    *("y", "emotion", "rating", "stance", "polarity", "genre", "subject_area", "primary"),
    *("section", "department", "output_label", "ground_truth"),
    *("kategorie", "klasse", "thema", "catégorie", "categorie", "classe", "étiquette", "categoría", "categoria"),
    *("clase", "etiqueta", "etichetta", "kategori", "kategoria", "категория", "класс", "метка"),
    *("标签", "类别", "分类", "カテゴリ", "ラベル"),
)
LIKELY_NAMES = (
    *("type", "stars", "score", "grade", "spam", "hate", "hateful", "toxic", "toxicity", "offensive", "abusive"),
    *("sarcasm", "sarcastic", "irony", "fake", "clickbait", "verdict", "outcome", "severity", "priority", "status"),
    *("kind", "group", "typ", "bewertung", "sterne", "tipo", "estrellas", "puntuacion"),
)
"""What labels are called, and other things too."""
LANGUAGE_NAMES = ("language", "lang", "locale", "sprache", "langue", "idioma")
BESIDE_NAMES = (
    *("split", "fold", "partition", "subset", "set", "annotator", "rater", "coder", "worker", "source", "quelle"),
    *("author", "autor", "user", "username", "date", "datum", "year", "month", "day", "hour"),
    *("verified", "checked", "reviewed", "processed", "done", "bearbeitet"),
)
"""What says how or where a row came about, and hardly ever its class."""
TEXT_NAMES = (
    *("text", "sentence", "message", "question", "content", "review", "comment", "tweet", "utterance", "query"),
    *("document", "body", "post", "article", "abstract", "description", "news", "input"),
)
TITLE_NAMES = ("title", "headline", "subject", "summary", "heading")
ID_NAMES = re.compile(r"(^|[_ -])(id|ids|uuid|guid|index|url|link|uri|date|time|timestamp)$", re.IGNORECASE)


@dataclass(frozen=True)
class ColumnFacts:
    """What the guesses rest on, over the first rows."""

    column: Column
    distinct: int
    filled: int
    """Cells that are not empty."""
    mean_length: float
    """Characters of the filled cells."""
    spaced: float
    """Share of the filled cells with a space inside or more than 15 characters that are not ASCII letters or digits."""


def column_facts(database: duckdb.DuckDBPyConnection, table: Table) -> list[ColumnFacts]:
    """Of each column, in order."""
    return [
        fact
        for start in range(0, len(table.columns), AT_A_TIME)
        for fact in _facts(database, table, table.columns[start : start + AT_A_TIME])
    ]


def _facts(database: duckdb.DuckDBPyConnection, table: Table, columns: tuple[Column, ...]) -> list[ColumnFacts]:
    cells = ", ".join(f"nullif({cell_sql(column.name)}, '') AS c{place}" for place, column in enumerate(columns))
    asked = ", ".join(
        f"count(DISTINCT c{place}), count(c{place}), avg(length(c{place})), "
        f"avg(CASE WHEN contains(c{place}, ' ') THEN 1 WHEN strlen(c{place}) = length(c{place}) THEN 0 "
        f"WHEN length(regexp_replace(c{place}, '[ -~]', '', 'g')) > 15 THEN 1 ELSE 0 END)"
        for place in range(len(columns))
    )
    row = database.execute(
        f"SELECT {asked} FROM (SELECT {cells} FROM {parquet_rows(table.parquet)} LIMIT {JUDGED_ROWS})"
    ).fetchone()
    assert row is not None
    found = [row[4 * place : 4 * place + 4] for place in range(len(columns))]
    return [
        ColumnFacts(column, int(distinct), int(filled), float(mean_length or 0), float(spaced or 0))
        for column, (distinct, filled, mean_length, spaced) in zip(columns, found, strict=True)
    ]


def name_rank(name: str, words: tuple[str, ...]) -> float:
    """Place of the first word that the name is, or half a place behind, ends or begins with (class_label, News Topic).

    len(words) where it is none of them.
    """
    pieces = name_pieces(name)
    whole = [float(rank) for rank, word in enumerate(words) if name.casefold().strip() == word]
    part = [rank + 0.5 for rank, word in enumerate(words) if word in {pieces[-1], pieces[0]}]
    return min(whole or part, default=len(words))


def name_pieces(name: str) -> list[str]:
    return re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).casefold())


def is_named(fact: ColumnFacts, words: tuple[str, ...]) -> bool:
    return name_rank(fact.column.name, words) < len(words)
