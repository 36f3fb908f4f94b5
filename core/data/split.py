# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""The frozen division of a run's data into train, validation and test, with the texts and labels themselves."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.data.allocation import allocate
from core.data.chat_split import write_chat_split
from core.data.checks import check_data
from core.data.database import connection, literal, parquet_rows
from core.data.examples import (
    EXAMPLES,
    EXTRA_COLUMN,
    PARTS,
    DataFacts,
    read_data_facts,
    read_examples,
    write_data_facts,
)
from core.data.expressions import cell_sql, label_sql
from core.data.findings import Finding, raise_errors
from core.data.mapping import mapped_text_sql, natural_order
from core.data.reading.write import replacing, write_batches
from core.data.table import Table, file_facts, open_table, require_columns
from core.errors import UserError
from core.prompts import prompt_columns, prompt_problems
from core.schema import MappingSpec, RunSpec, SplitSpec
from core.workspace import RunFolder, Workspace

__all__ = ["DataFacts", "read_data_facts", "read_examples", "write_split"]

NOT_USED = -1
BATCH = 8192
"""Rows at once when texts are written."""


@dataclass(frozen=True)
class _File:
    """A file's rows: which class (index into `names`) and part (index into PARTS) each has; -1 for none."""

    role: str
    table: Table
    names: list[str]
    classes: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int8]
    empty_text: int
    empty_label: int


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
    findings = check_data(tables["train"], tables.get("validation"), tables.get("test"), spec.mapping, spec.split)
    raise_errors(findings)
    also = _prompt_columns(spec, tables)
    files = [_divided(_file(role, table, spec.mapping), tables, spec.split) for role, table in tables.items()]
    files, unknown = _without_unknown_labels(files)
    _require_rows(files)
    folder.root.mkdir(parents=True, exist_ok=True)
    with replacing(folder.examples) as target:
        schema = pa.schema([*EXAMPLES, *((EXTRA_COLUMN.format(name), pa.string()) for name in also)])
        write_batches(schema, _examples(files, spec.mapping, also, schema), target)
    write_data_facts(folder, _facts(files, unknown, findings, folder))
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


def _file(role: str, table: Table, mapping: MappingSpec) -> _File:
    """Classes of the rows, in row order; every row still without a part."""
    with connection(table.parquet.parent) as database:
        rows = database.sql(
            f"SELECT {mapped_text_sql(mapping)} = '' AS empty, {label_sql(mapping.label)} AS label "
            f"FROM {parquet_rows(table.parquet)} ORDER BY file_row_number"
        ).to_arrow_table()
    empty = rows["empty"].to_numpy()
    encoded = rows["label"].combine_chunks().dictionary_encode()
    values: list[str] = encoded.dictionary.to_pylist()
    names = [mapping.class_names.get(value, value) for value in values]
    different = natural_order(list(dict.fromkeys(name for name, value in zip(names, values, strict=True) if value)))
    place = {name: number for number, name in enumerate(different)}
    of_value = np.array(
        [place[name] if value else NOT_USED for name, value in zip(names, values, strict=True)], dtype=np.int64
    )
    classes = of_value[encoded.indices.to_numpy()]
    no_label = (classes == NOT_USED) & ~empty
    classes[empty] = NOT_USED
    parts = np.full(len(classes), NOT_USED, dtype=np.int8)
    return _File(role, table, different, classes, parts, int(empty.sum()), int(no_label.sum()))


def _divided(file: _File, tables: dict[str, Table], split: SplitSpec) -> _File:
    """The file with a part for each row that has text and label: train is shared out, other files are one part."""
    usable = file.classes != NOT_USED
    if file.role != "train":
        file.parts[usable] = PARTS.index(file.role)
        return file
    shares = {
        name: share for name, share in (("test", split.test), ("validation", split.validation)) if name not in tables
    }
    numbers = allocate(file.classes[usable], shares, split.stratified, split.seed)
    part_of_number = np.array([PARTS.index(name) for name in ("train", *shares)], dtype=np.int8)
    file.parts[usable] = part_of_number[numbers]
    return file


def _without_unknown_labels(files: list[_File]) -> tuple[list[_File], int]:
    """Rows of validation and test whose label is not in the train part lose their part; and how many those are."""
    train = files[0]
    known = {train.names[number] for number in np.unique(train.classes[train.parts == PARTS.index("train")])}
    count = 0
    for file in files:
        is_known = np.array([name in known for name in file.names], dtype=bool)
        unknown = (file.parts != NOT_USED) & ~is_known[file.classes]
        file.parts[unknown] = NOT_USED
        count += int(unknown.sum())
    return files, count


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
                names = pa.array(file.names, pa.string())
                yield pa.record_batch(
                    [
                        np.arange(row_id, row_id + len(rows), dtype=np.int64),
                        pa.array([file.role] * len(rows), pa.string()),
                        rows,
                        pa.DictionaryArray.from_arrays(pa.array(file.parts[rows]), pa.array(PARTS)).cast(pa.string()),
                        batch.column("text").take(pa.array(kept)),
                        names.take(pa.array(file.classes[rows])),
                        *(batch.column(f"also{number}").take(pa.array(kept)) for number in range(len(also))),
                    ],
                    schema=schema,
                )
                row_id += len(rows)


def _facts(files: list[_File], unknown: int, findings: list[Finding], folder: RunFolder) -> DataFacts:
    counts: dict[str, dict[str, int]] = {part: {} for part in PARTS}
    for file in files:
        for number, part in enumerate(PARTS):
            found = np.bincount(file.classes[file.parts == number], minlength=len(file.names))
            for name, count in zip(file.names, found, strict=True):
                if count:
                    counts[part][name] = counts[part].get(name, 0) + int(count)
    labels = natural_order(list(counts["train"]))
    return DataFacts(
        labels=labels,
        files={file.role: file_facts(file.table) for file in files},
        parts={part: sum(counts[part].values()) for part in PARTS},
        class_counts={part: {label: counts[part].get(label, 0) for label in labels} for part in PARTS},
        left_out={
            "empty_text": sum(file.empty_text for file in files),
            "empty_label": sum(file.empty_label for file in files),
            "label_not_in_train": unknown,
        },
        lengths=_lengths(folder.examples),
        findings=[asdict(finding) for finding in findings],
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
