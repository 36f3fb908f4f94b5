# ruff: noqa: S608  (column names become SQL through identifier() alone)
"""One file as the mapping sees it, in figures: what the checks speak of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb
import numpy as np

from core.data.database import parquet_rows
from core.data.expressions import label_sql
from core.data.labels import EMPTY_LABEL, EMPTY_TEXT, OTHER, RARE, RowLabels, rare_classes, read_labels, without_rare
from core.data.mapping import mapped_text_sql
from core.data.table import Table
from core.schema import MappingSpec


@dataclass(frozen=True)
class Part:
    name: str
    """train, validation or test."""
    table: Table
    labels: dict[str, int]
    """Class (after class names, and after rare ones were merged or dropped) -> rows that have it and a text."""
    as_in_file: dict[str, int]
    """The same with rare classes as they are in the file."""
    usable: int
    """Rows with a text and a label; of labels of several classes those with no class count too."""
    empty_text: int
    empty_label: int
    """Rows with a text but no label."""
    only_rare: int
    """Rows that are left out since all their classes were dropped."""
    longest: int
    """Characters of the longest text."""
    rows: RowLabels | None = None
    """The rows one by one; None of another file than train with labels of one class: the counts above say all."""


def read_parts(
    database: duckdb.DuckDBPyConnection, tables: Mapping[str, Table], mapping: MappingSpec, train: RowLabels
) -> tuple[dict[str, Part], frozenset[str]]:
    """The files by role, train first, and the classes that are rare in train. train: the labels of its rows."""
    parts = {"train": _by_rows(database, "train", tables["train"], mapping, train)}
    for name, table in tables.items():
        if name != "train":
            single = mapping.kind == "single"
            parts[name] = (
                _single(database, name, table, mapping)
                if single
                else _by_rows(database, name, table, mapping, read_labels(table, mapping))
            )
    rare = rare_classes(parts["train"].as_in_file, mapping)
    return {name: _without_rare(part, rare, mapping) for name, part in parts.items()}, rare


def _single(database: duckdb.DuckDBPyConnection, name: str, table: Table, mapping: MappingSpec) -> Part:
    rows = (
        f"(SELECT {mapped_text_sql(mapping)} AS text, {label_sql(mapping.label)} AS label "
        f"FROM {parquet_rows(table.parquet)})"
    )
    found = database.execute(
        f"SELECT label, count(*) FROM {rows} WHERE text <> '' AND label <> '' GROUP BY label"
    ).fetchall()
    labels: dict[str, int] = {}
    for value, count in found:
        shown = mapping.class_names.get(value, value)
        labels[shown] = labels.get(shown, 0) + int(count)
    row = database.execute(
        "SELECT count(*) FILTER (text = ''), count(*) FILTER (text <> '' AND label = ''), max(length(text)) "
        f"FROM {rows}"
    ).fetchone()
    empty_text, empty_label, longest = row or (0, 0, 0)
    usable = sum(labels.values())
    return Part(name, table, labels, labels, usable, int(empty_text), int(empty_label), 0, int(longest or 0))


def _by_rows(
    database: duckdb.DuckDBPyConnection, name: str, table: Table, mapping: MappingSpec, found: RowLabels
) -> Part:
    row = database.execute(
        f"SELECT max(length({mapped_text_sql(mapping)})) FROM {parquet_rows(table.parquet)}"
    ).fetchone()
    longest = int((row or (0,))[0] or 0)
    empty_text, empty_label = (int((found.left_out == reason).sum()) for reason in (EMPTY_TEXT, EMPTY_LABEL))
    counts = found.counts()
    return Part(
        name, table, counts, counts, int(found.used.sum()), empty_text, empty_label, 0, longest, found
    )  # fmt: skip


def _without_rare(part: Part, rare: frozenset[str], mapping: MappingSpec) -> Part:
    here = {name: rows for name, rows in part.labels.items() if name in rare}
    if not here:
        return part
    if part.rows is not None:
        rows = without_rare(part.rows, rare, mapping.rare_classes)
        lost = int((rows.left_out == RARE).sum())
        return replace(part, rows=rows, labels=rows.counts(), usable=part.usable - lost, only_rare=lost)
    others = {name: rows for name, rows in part.labels.items() if name not in rare}
    count = sum(here.values())
    if mapping.rare_classes == "drop":
        return replace(part, labels=others, usable=part.usable - count, only_rare=count)
    return replace(part, labels=others | {OTHER: others.get(OTHER, 0) + count})


def rows_with_unknown(part: Part, known: set[str]) -> tuple[int, int]:
    """Rows with a class that is not among these, and how many of them have no other."""
    if part.rows is None:
        rows = sum(count for label, count in part.labels.items() if label not in known)
        return rows, rows
    is_unknown = np.array([name not in known for name in part.rows.names], dtype=bool)[part.rows.classes]
    rows_of = np.repeat(np.arange(len(part.rows.sizes)), part.rows.sizes)
    unknown = np.bincount(rows_of[is_unknown], minlength=len(part.rows.sizes))
    return int((unknown > 0).sum()), int(((unknown > 0) & (unknown == part.rows.sizes)).sum())
