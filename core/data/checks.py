"""What a careful colleague would say about the data before an hour is spent on it."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.data.allocation import quotas
from core.data.characters import row_texts
from core.data.class_checks import about_class_steps, about_classes
from core.data.cleaning import applied_steps, cleaned, left_out_by
from core.data.database import connection
from core.data.division import shares_of
from core.data.division_checks import about_division, division_column
from core.data.findings import Finding, Fix, counted, errors_first, listed
from core.data.label_checks import about_label_kind, no_label_words, nothing_labelled
from core.data.labelled_part import Part, read_parts, rows_with_unknown
from core.data.labels import has_label_columns, label_columns, read_labels
from core.data.leaks import TrainRows, conflicting_labels, repeated_texts, shared_texts, similar_texts
from core.data.table import Table
from core.data.text_checks import about_texts
from core.schema import CleaningSpec, MappingSpec, SplitSpec

__all__ = ["Checked", "Finding", "check_data", "checked_of", "checking", "to_the_end"]

FEWEST_ROWS = 10
MOST_CLASSES = 1000
GRAVE_LOSS = 0.2
"""Where more than this share of a file's rows is left out, a run is not started without asking."""
LONGEST_TEXT = 1_000_000
"""Characters; a longer one is more likely a slip than a text."""


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
    findings += missing_columns(train, division_column(split)) + _about_columns(mapping, columns)
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
        findings += _about_classes(parts["train"], parts, mapping, split)
        findings += [finding for part in parts.values() for finding in _about_rows(part, mapping)]
        findings += about_label_kind(parts, rare, mapping)
        findings += about_class_steps(parts, mapping) + about_classes(parts["train"], mapping)
        findings += about_division(
            database, train, mapping, split, {r: t for r, t in given.items() if r != "train"}, parts["train"].usable
        )
        rows = TrainRows(train, mapping, texts["train"], labels)
        for name in ("validation", "test"):
            if name in parts:
                findings += _about_labels(parts["train"], parts[name], mapping)
                yield f"Comparing {parts[name].table.path.name} with train"
                findings += shared_texts(database, rows, parts[name].table, texts[name], name)
                if cleaning.leaked_rows != "drop_similar":
                    findings += similar_texts(database, rows, parts[name].table, texts[name], name)
        yield "Looking for texts that stand twice"
        findings += repeated_texts(database, rows, len(parts) < 3)
        if mapping.kind != "soft":
            findings += conflicting_labels(database, rows)
        yield "Looking at the texts themselves"
        findings += about_texts(database, rows)
    findings += _about_names(parts["train"], mapping)
    return Checked(errors_first(findings), applied_steps(cleaning, left_out_by(labels)))


def _about_columns(mapping: MappingSpec, columns: tuple[str, ...]) -> list[Finding]:
    """Errors where a column is both text and label, or named twice."""
    findings = [
        Finding(
            "error",
            f"'{column}' is both the label and a text column: a model would only learn to copy it.",
            "mapping",
            "Take it out of the text columns, or choose another label.",
            1,
            "label_is_text",
        )
        for column in dict.fromkeys(columns)
        if column in mapping.text
    ]
    twice = [column for column in dict.fromkeys(columns) if columns.count(column) > 1]
    if twice:
        findings.append(
            Finding("error", f"Columns of classes are named twice ({listed(twice)}).", "mapping.label_columns",
                    "Name each once.", len(twice), "column_twice")
        )  # fmt: skip
    return findings


def missing_columns(table: Table, columns: tuple[str, ...]) -> list[Finding]:
    """An error for each of `columns` that the table lacks."""
    missing = [column for column in dict.fromkeys(columns) if column not in table.names]
    return [
        Finding(
            "error",
            f"Column '{column}' is not in {table.path.name} (columns: {', '.join(table.names)}).",
            table.path.name,
            "Choose a column that the file has, or give its columns the names of the training file.",
            1,
            "missing_column",
        )
        for column in missing
    ]


def _about_classes(train: Part, parts: dict[str, Part], mapping: MappingSpec, split: SplitSpec) -> list[Finding]:
    where = train.table.path.name
    findings = []
    only = next((label for label, count in train.labels.items() if count == train.usable), None)
    if train.usable > 0 and len(train.labels) == 1 and only is not None:
        findings.append(
            Finding(
                "error",
                f"Every row has the same label ('{only}'): there is nothing to tell apart.",
                where,
                "Choose another label column, or add rows of another class.",
                1,
                "one_class",
            )
        )
    elif 0 < train.usable < FEWEST_ROWS:
        findings.append(
            Finding(
                "error",
                f"Only {train.usable} rows have a text and a label.",
                where,
                f"Give at least {FEWEST_ROWS}; a model begins to learn from some hundred.",
                train.usable,
                "few_rows",
            )
        )
    else:
        findings += _about_parts(train, parts, mapping, split)
    single = [label for label, count in train.labels.items() if count == 1]
    # Of several classes, rare ones have a finding of their own; likeliest ones are not all that a row is.
    if single and len(train.labels) > 1 and mapping.kind == "single":
        findings.append(
            Finding(
                "warning",
                f"{counted(len(single), 'class has', 'classes have')} one row only ({listed(single)}): it goes to "
                "train, and nothing can tell how well it was learned.",
                where,
                "Add rows of it, or leave it out." if len(single) == 1 else "Add rows of them, or leave them out.",
                len(single),
                "single_row_class",
                fix=Fix("Leave out classes of one row", {"mapping.rare_below": 2, "mapping.rare_classes": "drop"}),
            )
        )
    if len(train.labels) > MOST_CLASSES:
        findings.append(
            Finding(
                "warning",
                f"There are {len(train.labels):,} classes: training takes more memory and time, and rare ones are "
                "hardly learned.",
                where,
                "Check that the label column is the right one; merge or drop rare classes.",
                len(train.labels),
                "many_classes",
            )
        )
    if train.usable >= 20 and len(train.labels) > 0.5 * train.usable and not has_label_columns(mapping):
        findings.append(
            Finding(
                "warning",
                f"The label column holds {len(train.labels):,} different values in {train.usable:,} rows: it looks "
                "like free text or an id, not like classes.",
                where,
                "Choose the column that holds the class.",
                len(train.labels),
                "label_is_free_text",
                asks=True,
            )
        )
    return findings


def _about_parts(train: Part, parts: dict[str, Part], mapping: MappingSpec, split: SplitSpec) -> list[Finding]:
    """Errors where a share of train would come out empty."""
    # Where a row has several classes, none of them says how many rows a part gets.
    groups = {"": train.usable} if mapping.kind == "multi" else train.labels
    counts = np.array([groups[label] for label in sorted(groups)], dtype=np.int64)
    used = np.zeros_like(counts)
    findings = []
    shares = shares_of(split, train.usable, parts) if split.by == "chance" and train.usable else {}
    for name, share in shares.items():
        if share >= 1:
            return []  # about_division says so
        most = np.maximum(counts - 1 - used, 0) if split.stratified else counts
        given = quotas(counts, share, most)
        used = used + given
        if given.sum() == 0:
            findings.append(
                Finding(
                    "error",
                    f"A share of {share:g} leaves no row for {name}: "
                    f"{train.usable} rows in {len(train.labels)} classes.",
                    train.table.path.name,
                    f"Give more rows, a larger share, or a file for {name}.",
                    0,
                    "empty_part",
                )
            )
    return findings


def _about_rows(part: Part, mapping: MappingSpec) -> list[Finding]:
    where = part.table.path.name
    columns = " + ".join(mapping.text)
    rows = part.table.rows
    if rows == 0:
        return [
            Finding(
                "error", f"{where} holds no rows.", where, "Choose a file with a row for each example.", 0, "no_rows"
            )
        ]
    if part.empty_text == rows:
        return [
            Finding(
                "error",
                f"Every row of {where} is empty in the text columns ({columns}).",
                where,
                "Choose the columns that hold the text.",
                rows,
                "all_text_empty",
            )
        ]
    if part.usable == 0 or nothing_labelled(part):
        if part.name == "train" and part.only_dropped and not part.only_rare:
            return []  # about_class_steps says so
        if part.only_rare and part.name == "train":
            return [_all_rare(part, mapping)]
        named = listed(list(label_columns(mapping)))
        return [
            Finding(
                "error",
                f"No row of {where} has a label in {'columns' if has_label_columns(mapping) else 'column'} {named}.",
                where,
                "Choose the column that holds the class.",
                part.empty_label,
                "no_labels",
            )
        ]
    findings = []
    if part.empty_text:
        findings.append(
            Finding(
                "warning",
                f"{counted(part.empty_text, 'row has', 'rows have')} no text ({columns}) and "
                f"{'is' if part.empty_text == 1 else 'are'} left out.",
                where,
                "Fill them in if they should count.",
                part.empty_text,
                "empty_text",
                asks=part.empty_text > GRAVE_LOSS * rows,
            )
        )
    if part.empty_label:
        findings.append(
            Finding(
                "warning",
                no_label_words(part, mapping),
                where,
                "Fill them in if they should count.",
                part.empty_label,
                "empty_label",
                asks=part.empty_label > GRAVE_LOSS * rows,
            )
        )
    if part.longest > LONGEST_TEXT:
        findings.append(
            Finding(
                "warning",
                f"One text has {part.longest:,} characters; only its beginning will be read.",
                where,
                "Look whether a quote is missing there.",
                1,
                "long_text",
            )
        )
    return findings + rejected_lines(part.table)


def _all_rare(part: Part, mapping: MappingSpec) -> Finding:
    return Finding(
        "error",
        f"Every class of {part.table.path.name} has fewer than {mapping.rare_below:,} rows, so no row is left.",
        part.table.path.name,
        "Set the number for rare classes lower, or merge them.",
        part.only_rare,
        "all_rare",
    )


def rejected_lines(table: Table) -> list[Finding]:
    """A warning where lines of the file are no rows."""
    if not table.rejected:
        return []
    return [
        Finding(
            "warning",
            f"{counted(table.rejected, 'line', 'lines')} could not be read as a row "
            f"(the first: line {table.rejected_lines[0].line}, {table.rejected_lines[0].reason}).",
            table.path.name,
            "See the rejected lines on the Data page.",
            table.rejected,
            "rejected_lines",
            asks=table.rejected > GRAVE_LOSS * (table.rows + table.rejected),
        )
    ]


def _about_labels(train: Part, part: Part, mapping: MappingSpec) -> list[Finding]:
    """Labels of another file that train lacks."""
    findings = []
    where = part.table.path.name
    unknown = [label for label in part.labels if label not in train.labels]
    if unknown and len(unknown) == len(part.labels):
        findings.append(
            Finding(
                "error",
                f"No label of {where} ({listed(list(part.labels))}) occurs in train ({listed(list(train.labels))}).",
                where,
                "Choose the file that belongs to this training file, or give the classes the same names.",
                len(unknown),
                "labels_differ",
            )
        )
    elif unknown:
        rows, left_out = rows_with_unknown(part, set(train.labels))
        lost = f"{counted(left_out, 'row is', 'rows are')} left out"
        if mapping.kind == "multi":
            lost = f"{counted(rows, 'row loses', 'rows lose')} them, and {lost}, having no other"
        findings.append(
            Finding(
                "warning",
                f"{counted(len(unknown), 'label', 'labels')} of {where} never "
                f"{'occurs' if len(unknown) == 1 else 'occur'} in train ({listed(list(unknown))}): {lost}.",
                where,
                "Add such rows to train if the model should know them.",
                rows,
                "label_not_in_train",
                asks=left_out > GRAVE_LOSS * part.usable,
            )
        )
    return findings


def _about_names(train: Part, mapping: MappingSpec) -> list[Finding]:
    unused = [value for value, name in mapping.class_names.items() if name not in train.as_in_file]
    if not unused or not train.usable:
        return []
    return [
        Finding(
            "note",
            f"{counted(len(unused), 'class name', 'class names')} for labels that do not occur ({listed(unused)}).",
            "mapping.class_names",
            "Check that the names go with the label values.",
            len(unused),
            "unused_class_names",
        )
    ]
