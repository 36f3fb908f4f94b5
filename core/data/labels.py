# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""The cells of a table as labels of rows: one class, several, or a probability for each; rare ones merged or dropped.

A file is read in batches and only class numbers are kept: memory grows with the rows' classes, not with their texts.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from core.data.allocation import pairs_of
from core.data.database import connection, parquet_rows
from core.data.expressions import classes_sql, empty_list_sql, flag_sql, label_values_sql, probability_sql
from core.data.mapping import mapped_text_sql, natural_order
from core.data.table import Table, label_counts, require_columns
from core.schema import MappingSpec

OTHER = "Other"
"""The class that rare ones become."""
USED, EMPTY_TEXT, EMPTY_LABEL, NOT_IN_TRAIN, RARE, DROPPED, NO_PART = range(7)
TOO_SHORT, OTHER_SCRIPT, IN_OTHER_FILE, CONFLICTING_LABEL, COPY = range(7, 12)
REASONS = (
    *("", "empty_text", "empty_label", "label_not_in_train", "rare_class", "dropped_class", "no_part"),
    *("too_short", "other_script", "in_other_file", "conflicting_label", "copy"),
)
"""Why a row is left out, by the numbers above."""
SUM_TOLERANCE = 1e-3 + 1e-9
"""How far from 1 numbers may sum; 0.333 three times is near enough, whatever its floating point says."""
BATCH = 8192

_WHOLE_NUMBER = re.compile(r"^([+-]?[0-9]+)\.0+$")

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowLabels:
    """The labels of a file's rows, in row order."""

    names: list[str]
    """Classes, after class names, as people sort: those that occur; of columns of probabilities all."""
    starts: Integers
    """[rows + 1]: row i has `classes[starts[i]:starts[i + 1]]`; nothing where it is left out."""
    classes: Integers
    """[pairs], indices into names: one a row (single), any number (multi), the likeliest (soft)."""
    left_out: npt.NDArray[np.int8]
    """[rows]: USED, or why not."""
    probabilities: npt.NDArray[np.float32] | None = None
    """Of soft labels: [rows, classes], rows sum to 1; 0 where a row is left out."""
    bad_sums: int = 0
    """Of soft labels: rows whose numbers did not sum to 1 and were divided by their sum."""

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        return self.left_out == USED

    @property
    def sizes(self) -> Integers:
        """[rows]: classes of each row."""
        return np.diff(self.starts)

    def counts(self) -> dict[str, int]:
        """Class -> rows that have it, in the order of names."""
        found = np.bincount(self.classes, minlength=len(self.names)).tolist()
        return dict(zip(self.names, found, strict=True))

    def of_rows(self, rows: Integers) -> Integers:
        """The classes of these rows, one after the other."""
        return self.classes[pairs_of(self.starts, rows)]


def label_columns(mapping: MappingSpec) -> tuple[str, ...]:
    """The columns that hold the labels. Where both are named, columns of classes go before a label column."""
    by_columns = mapping.kind == "soft" or (mapping.kind == "multi" and mapping.label_columns)
    return mapping.label_columns if by_columns else (mapping.label,)


def has_label_columns(mapping: MappingSpec) -> bool:
    """Whether each class has a column of its own."""
    return mapping.kind == "soft" or (mapping.kind == "multi" and bool(mapping.label_columns))


def read_labels(table: Table, mapping: MappingSpec) -> RowLabels:
    """The labels of every row; rows without text or label are marked. Rare classes are as in the file."""
    if mapping.kind == "soft":
        return _probabilities(table, mapping)
    return _flags(table, mapping) if has_label_columns(mapping) else _values(table, mapping)


def value_counts(table: Table, mapping: MappingSpec) -> list[tuple[str, int]]:
    """Label values as they stand in the file (or the columns of classes), and rows each; most frequent first.

    Before class names and rare classes, whether or not a row has text. Of probabilities: rows that have the class as
    their likeliest. Raises UserError for an unknown column.
    """
    if mapping.kind == "single":
        return label_counts(table, mapping.label)
    counts = dict.fromkeys(mapping.label_columns, 0) if has_label_columns(mapping) else {}
    counts |= whatever_the_text(table, mapping.model_copy(update={"class_names": {}})).counts()
    return most_frequent_first(counts)


def whatever_the_text(table: Table, mapping: MappingSpec) -> RowLabels:
    """The labels of all rows that have some, quickly: the text is not looked at."""
    columns = label_columns(mapping)
    require_columns(table, columns)
    return read_labels(table, mapping.model_copy(update={"text": columns, "joiner": " ", "text_template": ""}))


def most_frequent_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def variant_key(label: str) -> str:
    """The same for labels that differ only in case, white space, forms of a character, invisible characters, or in the
    `.0` of a whole number."""
    seen = "".join(one for one in unicodedata.normalize("NFKC", label) if unicodedata.category(one) != "Cf")
    return _WHOLE_NUMBER.sub(r"\1", " ".join(seen.split()).casefold())


def name_of(mapping: MappingSpec) -> Callable[[str], str]:
    """From a label value to the name of its class; with folding, variants of a value have its name."""
    return name_by(mapping.class_names, mapping.fold_label_variants)


def name_by(names: Mapping[str, str], fold: bool) -> Callable[[str], str]:
    """The same for `class_names` and `fold_label_variants` of a mapping that is not whole yet."""
    if not fold:
        return lambda value: names.get(value, value)
    by_key = {variant_key(value): name for value, name in names.items()}
    return lambda value: names[value] if value in names else by_key.get(variant_key(value), value)


def rare_classes(counts: Mapping[str, int], mapping: MappingSpec) -> frozenset[str]:
    """The classes that are rare by the mapping's rule; counts: class -> rows of the training file."""
    if mapping.kind == "soft":
        return frozenset()
    return frozenset(name for name, rows in counts.items() if 0 < rows < mapping.rare_below)


def without_rare(labels: RowLabels, rare: frozenset[str], how: Literal["merge", "drop"]) -> RowLabels:
    """Rare classes as OTHER, or taken off their rows."""
    if not rare & set(labels.names):
        return labels
    if how == "drop":
        return keep_classes(labels, set(labels.names) - rare, RARE)
    return named(labels, [OTHER if name in rare else name for name in labels.names])


def keep_classes(labels: RowLabels, kept: set[str], reason: int) -> RowLabels:
    """Without all classes but these; rows that had some and now have none are left out for this reason.

    Not for soft labels, whose classes belong together.
    """
    is_kept = np.array([name in kept for name in labels.names], dtype=bool)[labels.classes]
    rows = np.repeat(np.arange(len(labels.sizes)), labels.sizes)[is_kept]
    sizes = np.bincount(rows, minlength=len(labels.sizes))
    left_out = labels.left_out.copy()
    left_out[(labels.sizes > 0) & (sizes == 0)] = reason
    fewer = replace(labels, starts=_starts(sizes), classes=labels.classes[is_kept], left_out=left_out)
    return named(fewer, labels.names)


def without_rows(labels: RowLabels, reasons: npt.NDArray[np.int8]) -> RowLabels:
    """Without the rows that have a reason in `reasons` ([rows], USED for those that stay)."""
    gone = labels.used & (reasons != USED)
    if not gone.any():
        return labels
    sizes = np.where(gone, 0, labels.sizes)
    fewer = replace(
        labels,
        starts=_starts(sizes),
        classes=labels.classes[~np.repeat(gone, labels.sizes)],
        left_out=np.where(gone, reasons, labels.left_out).astype(np.int8),
    )
    if labels.probabilities is not None:
        return replace(fewer, probabilities=np.where(gone[:, None], np.float32(0), labels.probabilities))
    return named(fewer, labels.names)


def label_marks(labels: RowLabels) -> npt.NDArray[np.uint64]:
    """[rows]: a number for each row's set of classes; rows with the same classes have the same one."""
    of_class = np.random.default_rng(0).integers(1, 2**63, len(labels.names), dtype=np.uint64)
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(of_class[labels.classes], dtype=np.uint64)))
    return sums[labels.starts[1:]] - sums[labels.starts[:-1]]


def _batches(table: Table, mapping: MappingSpec, expressions: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """`empty` (whether the text is), then a column for each expression, in row order."""
    text = mapped_text_sql(mapping)
    columns = ", ".join(f"{expression} AS label{number}" for number, expression in enumerate(expressions))
    with connection(table.parquet.parent) as database:
        yield from database.sql(
            f"SELECT {text} = '' AS empty, {columns} FROM {parquet_rows(table.parquet)} ORDER BY file_row_number"
        ).to_arrow_reader(BATCH)


def _values(table: Table, mapping: MappingSpec) -> RowLabels:
    """Of one label column: of its single value, or of the values in it. A cell `[]` is a row with no class."""
    expression = (
        classes_sql(mapping.label, mapping.label_separator)
        if mapping.kind == "multi"
        else label_values_sql(mapping.label)
    )
    place: dict[str, int] = {}
    sizes, classes, left_out = [], [], []
    empty_list = empty_list_sql(mapping.label) if mapping.kind == "multi" else "false"
    for batch in _batches(table, mapping, [expression, empty_list]):
        empty = batch.column("empty").to_numpy(zero_copy_only=False)
        lists = batch.column("label0")
        size = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        encoded = lists.flatten().dictionary_encode()
        known = [place.setdefault(value, len(place)) for value in encoded.dictionary.to_pylist()]
        found = np.array(known, dtype=np.int64)[encoded.indices.to_numpy()]
        no_class = batch.column("label1").to_numpy(zero_copy_only=False)
        left_out.append(np.where(empty, EMPTY_TEXT, np.where((size > 0) | no_class, USED, EMPTY_LABEL)))
        classes.append(found[~np.repeat(empty, size)])
        sizes.append(np.where(empty, 0, size))
    return named(
        RowLabels(list(place), _starts(_joined(sizes)), _joined(classes), _joined(left_out).astype(np.int8)),
        list(map(name_of(mapping), place)),
    )


def _flags(table: Table, mapping: MappingSpec) -> RowLabels:
    """Of a column for each class that says whether a row has it."""
    columns = mapping.label_columns
    sizes, classes, left_out = [], [], []
    for batch in _batches(table, mapping, [flag_sql(name) for name in columns]):
        cells = _matrix(batch, len(columns))
        empty, unreadable = batch.column("empty").to_numpy(zero_copy_only=False), (cells < 0).any(axis=1)
        cells[empty | unreadable] = 0
        left_out.append(np.where(empty, EMPTY_TEXT, np.where(unreadable, EMPTY_LABEL, USED)))
        sizes.append((cells == 1).sum(axis=1))
        classes.append(np.nonzero(cells == 1)[1])
    return named(
        RowLabels(list(columns), _starts(_joined(sizes)), _joined(classes), _joined(left_out).astype(np.int8)),
        [mapping.class_names.get(name, name) for name in columns],
    )


def _probabilities(table: Table, mapping: MappingSpec) -> RowLabels:
    """Of a column for each class with its probability. Columns of one name are added up."""
    shown = [mapping.class_names.get(name, name) for name in mapping.label_columns]
    names = natural_order(list(dict.fromkeys(shown)))
    shares, left_out, bad_sums = [], [], 0
    for batch in _batches(table, mapping, [probability_sql(name) for name in mapping.label_columns]):
        cells = _matrix(batch, len(shown))
        empty = batch.column("empty").to_numpy(zero_copy_only=False)
        sums = cells.sum(axis=1)
        usable = np.isfinite(sums) & (cells >= 0).all(axis=1) & (sums > 0)
        used = usable & ~empty
        bad_sums += int((np.abs(sums[used] - 1) > SUM_TOLERANCE).sum())
        left_out.append(np.where(empty, EMPTY_TEXT, np.where(usable, USED, EMPTY_LABEL)))
        share = np.zeros((len(cells), len(names)), dtype=np.float32)
        for number, name in enumerate(shown):
            share[used, names.index(name)] += (cells[used, number] / sums[used]).astype(np.float32)
        shares.append(share)
    probabilities = np.concatenate([np.zeros((0, len(names)), dtype=np.float32), *shares])
    reasons = _joined(left_out).astype(np.int8)
    return RowLabels(
        names,
        _starts((reasons == USED).astype(np.int64)),
        probabilities[reasons == USED].argmax(axis=1),
        reasons,
        probabilities,
        bad_sums,
    )


def _matrix(batch: pa.RecordBatch, columns: int) -> npt.NDArray[np.float64]:
    """[rows, columns] of the label columns of a batch."""
    cells = [batch.column(f"label{number}").to_numpy(zero_copy_only=False) for number in range(columns)]
    return np.stack(cells, axis=1).astype(np.float64)


def named(labels: RowLabels, names: Sequence[str]) -> RowLabels:
    """The same with other names, in their order; classes of one name are one, classes that do not occur go."""
    occurring = np.unique(labels.classes)
    ordered = natural_order(list(dict.fromkeys(names[number] for number in occurring)))
    place = {name: number for number, name in enumerate(ordered)}
    number_of = np.zeros(len(names), dtype=np.int64)
    number_of[occurring] = [place[names[number]] for number in occurring]
    rows = np.repeat(np.arange(len(labels.sizes)), labels.sizes)
    pairs = np.unique(rows * max(len(ordered), 1) + number_of[labels.classes])
    sizes = np.bincount(pairs // max(len(ordered), 1), minlength=len(labels.sizes))
    return replace(labels, names=ordered, starts=_starts(sizes), classes=pairs % max(len(ordered), 1))


def _starts(sizes: Integers) -> Integers:
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)


def _joined(parts: list[npt.NDArray[np.int64]]) -> Integers:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])
