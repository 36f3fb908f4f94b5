# ruff: noqa: S608  (column names become SQL through identifier() alone)
"""One file as the mapping sees it, in figures: what the checks speak of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb
import numpy as np

from core.data.class_steps import ClassSteps, class_steps, counts_after, taught
from core.data.database import parquet_rows
from core.data.expressions import label_sql
from core.data.labels import DROPPED, EMPTY_LABEL, EMPTY_TEXT, RARE, RowLabels, name_of, read_labels
from core.data.mapping import mapped_text_sql
from core.data.table import Table
from core.schema import MappingSpec


@dataclass(frozen=True)
class Part:
    name: str
    """train, validation or test."""
    table: Table
    labels: dict[str, int]
    """Class (after class names and all of core.data.class_steps) -> rows that have it and a text."""
    as_in_file: dict[str, int]
    """The same with class names alone."""
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
    only_dropped: int = 0
    """Rows that are left out since all their classes are left out by name."""


def read_parts(
    database: duckdb.DuckDBPyConnection, tables: Mapping[str, Table], mapping: MappingSpec, train: RowLabels
) -> tuple[dict[str, Part], frozenset[str]]:
    """The files by role, train first, and the classes that are rare in train. train: the labels of its rows."""
    parts = {"train": _by_rows(database, "train", tables["train"], mapping, train)}
    for name, table in tables.items():
        if name == "train":
            continue
        if mapping.kind == "single":
            parts[name] = _single(database, name, table, mapping)
        else:
            parts[name] = _by_rows(database, name, table, mapping, read_labels(table, mapping))
    steps = class_steps(parts["train"].as_in_file, mapping)
    return {name: _after(part, steps) for name, part in parts.items()}, steps.rare


def _single(database: duckdb.DuckDBPyConnection, name: str, table: Table, mapping: MappingSpec) -> Part:
    rows = (
        f"(SELECT {mapped_text_sql(mapping)} AS text, {label_sql(mapping.label)} AS label "
        f"FROM {parquet_rows(table.parquet)})"
    )
    found = database.execute(
        f"SELECT label, count(*) FROM {rows} WHERE text <> '' AND label <> '' GROUP BY label"
    ).fetchall()
    labels: dict[str, int] = {}
    name_of_value = name_of(mapping)
    for value, count in found:
        shown = name_of_value(value)
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


def _after(part: Part, steps: ClassSteps) -> Part:
    """The part after the steps that the mapping takes."""
    if part.rows is not None:
        rows = taught(part.rows, steps)
        dropped, rare = (int((rows.left_out == reason).sum()) for reason in (DROPPED, RARE))
        labels = rows.counts()
        usable = part.usable - dropped - rare
        return replace(part, rows=rows, labels=labels, usable=usable, only_rare=rare, only_dropped=dropped)
    labels = counts_after(part.labels, steps)
    dropped = sum(rows for name, rows in part.labels.items() if steps.drops(name))
    usable = sum(labels.values())
    return replace(part, labels=labels, usable=usable, only_rare=part.usable - dropped - usable, only_dropped=dropped)


def rows_with_unknown(part: Part, known: set[str]) -> tuple[int, int]:
    """Rows with a class that is not among these, and how many of them have no other."""
    if part.rows is None:
        rows = sum(count for label, count in part.labels.items() if label not in known)
        return rows, rows
    is_unknown = np.array([name not in known for name in part.rows.names], dtype=bool)[part.rows.classes]
    rows_of = np.repeat(np.arange(len(part.rows.sizes)), part.rows.sizes)
    unknown = np.bincount(rows_of[is_unknown], minlength=len(part.rows.sizes))
    return int((unknown > 0).sum()), int(((unknown > 0) & (unknown == part.rows.sizes)).sum())
