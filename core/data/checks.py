"""What a careful colleague would say about the data before an hour is spent on it."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from core.data.characters import row_texts
from core.data.class_checks import about_class_steps, about_classes
from core.data.class_steps import before_rare
from core.data.cleaning import applied_steps, cleaned, left_out_by
from core.data.database import connection
from core.data.division_checks import about_division, division_column
from core.data.findings import Finding, errors_first
from core.data.label_checks import about_label_kind
from core.data.labelled_part import read_parts
from core.data.labels import label_columns, read_labels
from core.data.leaks import TrainRows, conflicting_labels, repeated_texts, shared_texts, similar_texts
from core.data.learnable_checks import about_learnable, about_unknown_labels, about_unused_names
from core.data.row_checks import about_columns, about_rows, missing_columns
from core.data.table import Table
from core.data.text_checks import about_texts
from core.schema import CleaningSpec, MappingSpec, SplitSpec

__all__ = ["Checked", "Finding", "check_data", "checked_of", "checking", "to_the_end"]


@dataclass(frozen=True)
class Checked:
    findings: list[Finding]
    """Errors first."""
    steps: list[dict[str, Any]]
    """What cleaning does, as core.data.cleaning.applied_steps tells it."""


def check_data(
    train: Table,
    validation: Table | None,
    test: Table | None,
    mapping: MappingSpec,
    split: SplitSpec,
    cleaning: CleaningSpec | None = None,
) -> list[Finding]:
    """Everything found, errors first. Only errors keep a run from starting."""
    return to_the_end(checking(train, validation, test, mapping, split, cleaning or CleaningSpec())).findings


def to_the_end(steps: Generator[str, None, Checked]) -> Checked:
    """What checking() returns, without what it says meanwhile."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return checked_of(ended)


def checked_of(ended: StopIteration) -> Checked:
    """What checking() returned."""
    result = ended.value
    assert isinstance(result, Checked)
    return result


def checking(
    train: Table,
    validation: Table | None,
    test: Table | None,
    mapping: MappingSpec,
    split: SplitSpec,
    cleaning: CleaningSpec,
) -> Generator[str, None, Checked]:
    """The same step by step: yields what it looks at next, in words. Of train only what cleaning leaves is judged."""
    tables = {"train": train, "validation": validation, "test": test}
    given = {name: table for name, table in tables.items() if table is not None}
    columns = label_columns(mapping)
    findings = [f for table in given.values() for f in missing_columns(table, (*mapping.text, *columns))]
    findings += missing_columns(train, division_column(split)) + about_columns(mapping, columns)
    if findings:
        return Checked(findings, [])
    with connection(train.parquet.parent) as database:
        yield "Reading texts and labels"
        texts = {role: row_texts(database, table, mapping) for role, table in given.items()}
        labels = read_labels(train, mapping)
        if cleaning != CleaningSpec():
            yield "Leaving rows out as you chose"
            labels = cleaned(database, given, texts, labels, mapping, cleaning)
        yield "Counting classes"
        parts, rare = read_parts(database, given, mapping, labels)
        findings += about_learnable(parts["train"], parts, mapping, split)
        findings += [finding for part in parts.values() for finding in about_rows(part, mapping)]
        findings += about_label_kind(parts, rare, mapping)
        findings += about_class_steps(parts, mapping) + about_classes(parts["train"], mapping)
        findings += about_division(
            database, train, mapping, split, {r: t for r, t in given.items() if r != "train"}, parts["train"].usable
        )
        rows = TrainRows(train, mapping, texts["train"], labels)
        for name in ("validation", "test"):
            if name in parts:
                findings += about_unknown_labels(parts["train"], parts[name], mapping)
                yield f"Comparing {parts[name].table.path.name} with train"
                findings += shared_texts(database, rows, parts[name].table, texts[name], name)
                if cleaning.leaked_rows != "drop_similar":
                    findings += similar_texts(database, rows, parts[name].table, texts[name], name)
        yield "Looking for texts that stand twice"
        same = replace(rows, labels=before_rare(labels, mapping))
        findings += repeated_texts(database, same, len(parts) < 3)
        if mapping.kind != "soft":
            findings += conflicting_labels(database, same)
        yield "Looking at the texts themselves"
        findings += about_texts(database, rows)
    findings += about_unused_names(parts["train"], mapping)
    return Checked(errors_first(findings), applied_steps(cleaning, left_out_by(labels)))
