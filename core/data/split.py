# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""The frozen division of a run's data into train, validation and test, with the texts and labels themselves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.data.allocation import allocate, allocate_multi
from core.data.chat_split import write_chat_split
from core.data.checks import check_data
from core.data.cleaning import applied_steps, clean_train, left_out_by
from core.data.database import connection, literal, parquet_rows
from core.data.examples import (
    EXAMPLES,
    EXTRA_COLUMN,
    LABEL_TYPES,
    PARTS,
    DataFacts,
    read_data_facts,
    read_examples,
    write_data_facts,
)
from core.data.expressions import cell_sql
from core.data.findings import Finding, kept_of, raise_errors
from core.data.labels import (
    NOT_IN_TRAIN,
    RARE,
    REASONS,
    RowLabels,
    keep_classes,
    rare_classes,
    read_labels,
    without_rare,
)
from core.data.mapping import mapped_text_sql, natural_order
from core.data.reading.write import write_batches
from core.data.table import Table, file_facts, open_table, require_columns
from core.errors import UserError
from core.files import replacing
from core.prompts import prompt_columns, prompt_problems
from core.schema import LabelKind, MappingSpec, RunSpec
from core.workspace import RunFolder, Workspace

__all__ = ["DataFacts", "read_data_facts", "read_examples", "write_split"]

NOT_USED = -1
BATCH = 8192
"""Rows at once when texts are written."""


@dataclass(frozen=True)
class _File:
    """A file's rows: which labels and which part (index into PARTS, -1 for none) each has."""

    role: str
    table: Table
    labels: RowLabels
    parts: npt.NDArray[np.int8]


def write_split(spec: RunSpec, workspace: Workspace, folder: RunFolder) -> DataFacts:
    """Divide the data and write split.parquet, examples.parquet and data.json; an existing split is never redrawn.

    split.parquet: file (train, validation or test), row (int64, 0-based row of that file), part. examples.parquet:
    row_id (int64, 0 to n - 1), file, row, part, text, label, and the columns that the run's prompt names; of
    conversations see core.data.chat_split. Raises UserError where the checks find an error.
    """
    if folder.split.exists():
        return read_data_facts(folder)
    if spec.task == "chat":
        return write_chat_split(spec, workspace, folder)
    tables = {"train": open_table(spec.data.train, workspace)}
    for role, file in (("validation", spec.data.validation), ("test", spec.data.test)):
        if file is not None:
            tables[role] = open_table(file, workspace)
    findings = check_data(
        tables["train"], tables.get("validation"), tables.get("test"), spec.mapping, spec.split, spec.data.cleaning
    )
    raise_errors(findings)
    also = _prompt_columns(spec, tables)
    labels = {role: read_labels(table, spec.mapping) for role, table in tables.items()}
    labels["train"] = clean_train(tables, labels["train"], spec.mapping, spec.data.cleaning)
    steps = applied_steps(spec.data.cleaning, left_out_by(labels["train"]))
    rare = rare_classes(labels["train"].counts(), spec.mapping)
    files = [
        _divided(role, table, without_rare(labels[role], rare, spec.mapping.rare_classes), tables, spec)
        for role, table in tables.items()
    ]
    if spec.mapping.kind != "soft":
        files = _without_unknown_labels(files)
    _require_rows(files)
    folder.root.mkdir(parents=True, exist_ok=True)
    with replacing(folder.examples) as target:
        fields = [*list(EXAMPLES)[:-1], pa.field("label", LABEL_TYPES[spec.mapping.kind])]
        schema = pa.schema([*fields, *((EXTRA_COLUMN.format(name), pa.string()) for name in also)])
        write_batches(schema, _examples(files, spec.mapping, also, schema), target)
    write_data_facts(folder, replace(_facts(files, spec.mapping, rare, findings, folder), steps=steps))
    # Written last: where split.parquet stands, the two others are whole.
    with replacing(folder.split) as target:
        write_batches(pa.schema([EXAMPLES.field(name) for name in ("file", "row", "part")]), _split(files), target)
    return read_data_facts(folder)


def _prompt_columns(spec: RunSpec, tables: dict[str, Table]) -> tuple[str, ...]:
    """The columns that the prompt names, which every file must have. Raises UserError, also for a faulty prompt."""
    if spec.task != "answer":
        return ()
    names = tables["train"].names
    for problem in prompt_problems(spec.prompt, names, spec.mapping.label):
        raise problem
    also = prompt_columns(spec.prompt, names)
    for table in tables.values():
        require_columns(table, also)
    return also


def _divided(role: str, table: Table, labels: RowLabels, tables: dict[str, Table], spec: RunSpec) -> _File:
    """The file with a part for each row that can be used: train is shared out, other files are one part."""
    parts = np.full(len(labels.left_out), NOT_USED, dtype=np.int8)
    used = np.flatnonzero(labels.used)
    if role != "train":
        parts[used] = PARTS.index(role)
        return _File(role, table, labels, parts)
    split = spec.split
    shares = {
        name: share for name, share in (("test", split.test), ("validation", split.validation)) if name not in tables
    }
    classes, sizes = labels.of_rows(used), labels.sizes[used]
    if spec.mapping.kind == "multi" and split.stratified:
        numbers = allocate_multi(np.concatenate(([0], np.cumsum(sizes))), classes, shares, split.seed)
    else:
        one_each = classes if spec.mapping.kind != "multi" else np.zeros(len(used), dtype=np.int64)
        numbers = allocate(one_each, shares, split.stratified, split.seed)
    part_of_number = np.array([PARTS.index(name) for name in ("train", *shares)], dtype=np.int8)
    parts[used] = part_of_number[numbers]
    return _File(role, table, labels, parts)


def _without_unknown_labels(files: list[_File]) -> list[_File]:
    """Without classes that no row of the train part has; rows that have no other lose their part."""
    train = files[0]
    rows = np.flatnonzero(train.parts == PARTS.index("train"))
    known = {train.labels.names[number] for number in np.unique(train.labels.of_rows(rows))}
    kept = []
    for file in files:
        labels = keep_classes(file.labels, known, NOT_IN_TRAIN)
        kept.append(replace(file, labels=labels, parts=np.where(labels.used, file.parts, NOT_USED).astype(np.int8)))
    return kept


def _require_rows(files: list[_File]) -> None:
    for number, part in enumerate(PARTS):
        if not any((file.parts == number).any() for file in files):
            raise UserError(
                f"No row is left for {part}.", f"split.{part}", f"Give more rows, a larger share, or a file for {part}."
            )


def _split(files: list[_File]) -> Iterator[pa.RecordBatch]:
    for file in files:
        rows = np.flatnonzero(file.parts != NOT_USED)
        parts = pa.DictionaryArray.from_arrays(pa.array(file.parts[rows]), pa.array(PARTS)).cast(pa.string())
        yield pa.record_batch({"file": pa.array([file.role] * len(rows), pa.string()), "row": rows, "part": parts})


def _examples(
    files: list[_File], mapping: MappingSpec, also: tuple[str, ...], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    row_id = 0
    # Named by number: a column may be called row or text.
    more = "".join(f", {cell_sql(name)} AS also{number}" for number, name in enumerate(also))
    for file in files:
        with connection(file.table.parquet.parent) as database:
            reader = database.sql(
                f"SELECT file_row_number AS row, {mapped_text_sql(mapping)} AS text{more} "
                f"FROM {parquet_rows(file.table.parquet)} ORDER BY file_row_number"
            ).to_arrow_reader(BATCH)
            for batch in reader:
                rows = batch.column("row").to_numpy()
                kept = np.flatnonzero(file.parts[rows] != NOT_USED)
                rows = rows[kept]
                yield pa.record_batch(
                    [
                        np.arange(row_id, row_id + len(rows), dtype=np.int64),
                        pa.array([file.role] * len(rows), pa.string()),
                        rows,
                        pa.DictionaryArray.from_arrays(pa.array(file.parts[rows]), pa.array(PARTS)).cast(pa.string()),
                        batch.column("text").take(pa.array(kept)),
                        _label_column(file.labels, rows, mapping.kind),
                        *(batch.column(f"also{number}").take(pa.array(kept)) for number in range(len(also))),
                    ],
                    schema=schema,
                )
                row_id += len(rows)


def _label_column(labels: RowLabels, rows: npt.NDArray[np.int64], kind: LabelKind) -> pa.Array:
    """The column `label` of examples.parquet for these rows."""
    if labels.probabilities is not None:
        values, sizes = pa.array(labels.probabilities[rows].ravel()), np.full(len(rows), len(labels.names))
    else:
        values, sizes = pa.array(labels.names, pa.string()).take(pa.array(labels.of_rows(rows))), labels.sizes[rows]
    if kind == "single":
        return values
    return pa.ListArray.from_arrays(pa.array(np.concatenate(([0], np.cumsum(sizes))), pa.int32()), values)


def _facts(
    files: list[_File], mapping: MappingSpec, rare: frozenset[str], findings: list[Finding], folder: RunFolder
) -> DataFacts:
    counts: dict[str, dict[str, int]] = {part: {} for part in PARTS}
    for file in files:
        for number, part in enumerate(PARTS):
            rows = np.flatnonzero(file.parts == number)
            found = np.bincount(file.labels.of_rows(rows), minlength=len(file.labels.names))
            for name, count in zip(file.labels.names, found.tolist(), strict=True):
                if count or mapping.kind == "soft":
                    counts[part][name] = counts[part].get(name, 0) + count
    labels = natural_order(list(counts["train"]))
    reasons = [
        name for number, name in enumerate(REASONS)
        if 0 < number < RARE or (number == RARE and mapping.rare_below and mapping.rare_classes == "drop")
        or (number > RARE and (files[0].labels.left_out == number).any())
    ]  # fmt: skip
    return DataFacts(
        labels=labels,
        files={file.role: file_facts(file.table) for file in files},
        parts={part: sum(int((file.parts == number).sum()) for file in files) for number, part in enumerate(PARTS)},
        class_counts={part: {label: counts[part].get(label, 0) for label in labels} for part in PARTS},
        left_out={
            reason: sum(int((file.labels.left_out == REASONS.index(reason)).sum()) for file in files)
            for reason in reasons
        },
        lengths=_lengths(folder.examples),
        findings=[kept_of(finding) for finding in findings],
        kind=mapping.kind,
        rare=natural_order(list(rare)),
    )


def _lengths(examples: Path) -> dict[str, float]:
    """Percentiles, in characters, of the train part's texts."""
    with connection(examples.parent) as database:
        found = database.execute(
            "SELECT quantile_disc(length(text), 0.5), quantile_disc(length(text), 0.9), "
            "quantile_disc(length(text), 0.99), max(length(text)), avg(length(text)) "
            f"FROM read_parquet({literal(str(examples))}) WHERE part = 'train'"
        ).fetchone()
    return {name: float(value) for name, value in zip(("p50", "p90", "p99", "max", "mean"), found or (), strict=True)}
