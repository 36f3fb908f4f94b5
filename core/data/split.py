# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""The frozen division of a run's data into train, validation and test, with the texts and labels themselves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.data.chat_split import write_chat_split
from core.data.checks import check_data
from core.data.class_steps import class_steps, taught
from core.data.cleaning import applied_steps, clean_train, left_out_by
from core.data.database import connection, literal, parquet_rows
from core.data.division import NOT_USED, divide
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
    DROPPED,
    NOT_IN_TRAIN,
    RARE,
    REASONS,
    RowLabels,
    keep_classes,
    read_labels,
)
from core.data.mapping import mapped_text_sql, natural_order
from core.data.reading.write import write_batches
from core.data.same_rows import left_out_rows, rows_of_run, taken_over
from core.data.table import Table, file_facts, open_tables, require_columns
from core.errors import UserError
from core.files import replacing
from core.prompts import prompt_columns, prompt_problems
from core.schema import LabelKind, MappingSpec, RunSpec
from core.workspace import RunFolder, Workspace

__all__ = ["DataFacts", "read_data_facts", "read_examples", "write_split"]

BATCH = 8192
"""Rows at once when texts are written."""
ALWAYS_COUNTED = ("empty_text", "empty_label", "label_not_in_train")
"""Reasons to leave rows out that are told also where there are none."""


@dataclass(frozen=True)
class _File:
    """A file's rows: which labels and which part (index into PARTS, -1 for none) each has."""

    role: str
    table: Table
    labels: RowLabels
    parts: npt.NDArray[np.int8]


def write_split(spec: RunSpec, workspace: Workspace, folder: RunFolder, fold: int = 1) -> DataFacts:
    """Divide the data and write split.parquet, examples.parquet and data.json; an existing split is never redrawn.

    split.parquet: file (train, validation or test), row (int64, 0-based row of that file), part. examples.parquet:
    row_id (int64, 0 to n - 1), file, row, part, text, label, and the columns that the run's prompt names; and of rows
    for test of one class each that train does not have outside.parquet, likewise; of
    conversations see core.data.chat_split. fold: which is tested, from 1 to split.folds. Raises UserError where the
    checks find an error.
    """
    if folder.split.exists():
        return read_data_facts(folder)
    if spec.task == "chat":
        return write_chat_split(spec, workspace, folder)
    tables = open_tables(spec.data, workspace)
    findings = check_data(
        tables["train"], tables.get("validation"), tables.get("test"), spec.mapping, spec.split, spec.data.cleaning
    )
    raise_errors(findings)
    also = _prompt_columns(spec, tables)
    labels = {role: read_labels(table, spec.mapping) for role, table in tables.items()}
    labels["train"] = clean_train(tables, labels["train"], spec.mapping, spec.data.cleaning)
    cleaning = applied_steps(spec.data.cleaning, left_out_by(labels["train"]))
    steps = class_steps(labels["train"].counts(), spec.mapping)
    raw = labels
    labels = {role: taught(found, steps) for role, found in labels.items()}
    same_rows, about_rows = taken_over(spec, tables, workspace)
    files = _files(spec, tables, labels, workspace.run(same_rows) if same_rows else None, fold)
    divided = files
    if spec.mapping.kind != "soft":
        files = _without_unknown_labels(files)
    _require_rows(files)
    outside = _outside(divided, files, raw) if spec.mapping.kind == "single" else []
    folder.root.mkdir(parents=True, exist_ok=True)
    with replacing(folder.examples) as target:
        fields = [*list(EXAMPLES)[:-1], pa.field("label", LABEL_TYPES[spec.mapping.kind])]
        schema = pa.schema([*fields, *((EXTRA_COLUMN.format(name), pa.string()) for name in also)])
        write_batches(schema, _examples(files, spec.mapping, also, schema), target)
    if any((file.parts != NOT_USED).any() for file in outside):
        # Its numbers go on where those of the examples end, so that no two rows have the same.
        first = sum(int((file.parts != NOT_USED).sum()) for file in files)
        with replacing(folder.outside) as target:
            write_batches(schema, _examples(outside, spec.mapping, also, schema, first), target)
    facts = _facts(files, spec.mapping, steps.rare, [*findings, *about_rows], folder)
    write_data_facts(folder, replace(facts, same_rows=same_rows, steps=cleaning))
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


def _files(
    spec: RunSpec, tables: dict[str, Table], labels: dict[str, RowLabels], other: RunFolder | None, fold: int
) -> list[_File]:
    """The files with a part for each row that can be used. other: the run whose rows are taken over.

    The training file is shared out, others are one part.
    """
    # A column that names the parts gives the same rows by itself.
    if other is not None and spec.split.by != "column":
        counts = {role: table.rows for role, table in tables.items()}
        taken = rows_of_run(other, fold, counts, left_out_rows(spec, read_data_facts(other)))
        return [_File(role, table, labels[role], taken[role]) for role, table in tables.items()]
    given = [role for role in tables if role != "train"]
    drawn = divide(tables["train"], labels["train"], spec.split, given, fold)
    files = [_File("train", tables["train"], drawn.labels, drawn.parts)]
    for role in given:
        part = np.where(labels[role].used, PARTS.index(role), NOT_USED).astype(np.int8)
        files.append(_File(role, tables[role], labels[role], part))
    return files


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


def _outside(divided: list[_File], files: list[_File], raw: dict[str, RowLabels]) -> list[_File]:
    """The files with a part for those rows alone that were for test and have a class which train does not.

    Of a test file that is also what the mapping drops or finds too rare. raw: labels before the mapping's steps.
    """
    test = PARTS.index("test")
    found = []
    for before, after in zip(divided, files, strict=True):
        if before.role == "test":
            alone = np.isin(after.labels.left_out, (NOT_IN_TRAIN, DROPPED, RARE))
        else:
            alone = (before.parts == test) & (after.labels.left_out == NOT_IN_TRAIN)
        labels = raw[before.role] if before.role == "test" else before.labels
        found.append(replace(before, labels=labels, parts=np.where(alone, test, NOT_USED).astype(np.int8)))
    return found


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
    files: list[_File], mapping: MappingSpec, also: tuple[str, ...], schema: pa.Schema, row_id: int = 0
) -> Iterator[pa.RecordBatch]:
    """row_id: of the first row."""
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
    files: list[_File],
    mapping: MappingSpec,
    rare: frozenset[str],
    findings: list[Finding],
    folder: RunFolder,
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
    told = {*ALWAYS_COUNTED}
    if mapping.rare_below and mapping.rare_classes == "drop":
        told.add("rare_class")
    counts_left_out = {
        reason: sum(int((file.labels.left_out == number).sum()) for file in files)
        for number, reason in enumerate(REASONS)
        if number
    }
    return DataFacts(
        labels=labels,
        files={file.role: file_facts(file.table) for file in files},
        parts={part: sum(int((file.parts == number).sum()) for file in files) for number, part in enumerate(PARTS)},
        class_counts={part: {label: counts[part].get(label, 0) for label in labels} for part in PARTS},
        left_out={reason: rows for reason, rows in counts_left_out.items() if rows or reason in told},
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
