# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Corrected data as new files: the same rows and columns, corrected label cells. The original is never touched.

A Parquet file becomes a Parquet file of the same column types; whatever else (CSV in any dialect, workbooks, JSON,
several files, archives) becomes one CSV file of the same columns (UTF-8, comma, quotes where needed), or a Parquet file
of texts where a name that ends so was asked for.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.correcting.plan import Change, Plan
from core.data.corrected_from import Origin, write_origin
from core.data.database import connection, identifier, parquet_rows
from core.data.expressions import YES
from core.data.reading.sources import sha256_of
from core.data.table import Table
from core.errors import UserError
from core.files import replacing
from core.schema import RunSpec, TableFile
from core.workspace import Workspace, new_id

BATCH = 8192
SUFFIXES = (".csv", ".parquet")


def corrected_targets(plan: Plan, target: Path) -> dict[str, Path]:
    """Where each file that changes is written: `target`, and beside it NAME_test and NAME_validation.

    Raises UserError for a name of another ending, a folder that is not there, and a file that the run was made from.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{target.name} ends in neither .csv nor .parquet.", str(target), "End its name in one of them."
        )
    if not target.absolute().parent.is_dir():
        raise UserError(f"The folder {target.absolute().parent} does not exist.", str(target), "Make it first.")
    named = {
        role: target if role == "train" else target.with_name(f"{target.stem}_{role}{target.suffix}")
        for role in plan.roles
    }
    if len(named) == 1:
        named = dict.fromkeys(named, target)
    sources = {Path(path).resolve() for table in plan.tables.values() for path in (table.file.path, *table.file.more)}
    for path in named.values():
        if path.resolve() in sources:
            raise UserError(f"{path.name} is a file of the run.", str(path), "Give the corrected file another name.")
    return named


def upload_targets(plan: Plan, workspace: Workspace) -> dict[str, Path]:
    """A place among the workspace's uploads for each file that changes: Parquet stays Parquet, all else is CSV."""
    found = {}
    for role in plan.roles:
        table = plan.tables[role]
        folder = workspace.uploads / new_id()
        folder.mkdir(parents=True)
        suffix = ".parquet" if _is_plain_parquet(table) else ".csv"
        stem = table.path.name.split(".")[0].removesuffix("_corrected") or "data"
        found[role] = folder / f"{stem}_corrected{suffix}"
    return found


def write_corrected(plan: Plan, targets: Mapping[str, Path]) -> RunSpec:
    """Write the files; returns the run's spec over them, with its rows kept. Raises UserError where that fails."""
    data = plan.spec.data
    for role, target in targets.items():
        table = plan.tables[role]
        changes = {change.row: change for change in plan.changes if change.role == role}
        try:
            with replacing(target) as partial:
                if target.suffix.lower() == ".csv":
                    _write_csv(table, changes, partial)
                elif _is_plain_parquet(table):
                    _write_parquet(table, changes, partial)
                else:
                    _write_texts(table, changes, partial)
        except OSError as error:
            raise UserError(
                f"{target} cannot be written ({error.strerror or error}).", str(target), "Choose another place."
            ) from error
        file = _file_of(table, target)
        told = tuple(
            {"row": change.row, "old": list(change.old), "new": None if change.new is None else list(change.new)}
            for change in changes.values()
        )
        source = plan.facts.files[role]["sha256"]
        write_origin(target, Origin(source, sha256_of(file), plan.left_out(role), told))
        data = data.model_copy(update={role: file})
    split = plan.spec.split.model_copy(update={"same_as": plan.folder.id})
    name = f"{plan.spec.name.removesuffix(', corrected') or plan.folder.id}, corrected"[:200]
    return plan.spec.model_copy(update={"name": name, "data": data, "split": split})


def _is_plain_parquet(table: Table) -> bool:
    return table.format == "parquet" and not table.file.more and table.path.suffix.lower() == ".parquet"


def _file_of(table: Table, target: Path) -> TableFile:
    """How the new file is read: nothing is left to be detected."""
    if target.suffix.lower() != ".csv":
        return TableFile(path=str(target.absolute()))
    return TableFile(
        path=str(target.absolute()),
        encoding="utf-8",
        delimiter=",",
        quote='"',
        escape="",
        header=True,
        skip_lines=0,
        comment="",
        decimal=table.file.decimal,
    )


def _rows(table: Table, changes: Mapping[int, Change]) -> Iterator[pa.RecordBatch]:
    """The table's rows as texts, corrected, some thousand at a time."""
    with connection(table.parquet.parent) as database:
        reader = database.sql(
            f"SELECT {', '.join(map(identifier, table.names))} FROM {parquet_rows(table.parquet)} "
            "ORDER BY file_row_number"
        ).to_arrow_reader(BATCH)
        start = 0
        for batch in reader:
            yield _corrected(table.names, batch, start, changes, lambda cell, _: cell)
            start += len(batch)


def _corrected(
    names: Sequence[str], batch: pa.RecordBatch, start: int, changes: Mapping[int, Change], typed: Any
) -> pa.RecordBatch:
    """The batch, whose first row is row `start` of the file. names: of its columns, as they were read; the file may
    call them otherwise. typed(cell, type): a label cell as a value of a type."""
    here = [(row - start, change) for row, change in changes.items() if start <= row < start + len(batch)]
    columns = {column for _, change in here for column in change.cells}
    for column in columns:
        place = names.index(column)
        values = batch.column(place).to_pylist()
        for row, change in here:
            if column in change.cells:
                values[row] = typed(change.cells[column], batch.schema.field(place).type)
        batch = batch.set_column(place, batch.schema.field(place), pa.array(values, batch.schema.field(place).type))
    gone = [row for row, change in here if change.new is None]
    if not gone:
        return batch
    return batch.filter(pc.invert(pc.is_in(pa.array(range(len(batch))), pa.array(gone))))


def _write_csv(table: Table, changes: Mapping[int, Change], target: Path) -> None:
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(table.names)
        for batch in _rows(table, changes):
            writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _write_texts(table: Table, changes: Mapping[int, Change], target: Path) -> None:
    schema = pa.schema([(name, pa.string()) for name in table.names])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in _rows(table, changes):
            writer.write_batch(batch.cast(schema))


def _write_parquet(table: Table, changes: Mapping[int, Change], target: Path) -> None:
    """From the file itself, so that every other column is as it was."""
    with pq.ParquetFile(table.path) as source:
        schema = source.schema_arrow
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            start = 0
            for batch in source.iter_batches(BATCH):
                writer.write_batch(_corrected(table.names, batch, start, changes, _typed))
                start += len(batch)


def _typed(cell: str | None, kind: pa.DataType) -> Any:
    """A label cell as a value of the column's type. Raises UserError for a type that holds no such value."""
    if cell is None:
        return None
    try:
        if pa.types.is_boolean(kind):
            return cell.lower() in YES
        if pa.types.is_integer(kind):
            return int(float(cell)) if "." in cell else int(cell)
        if pa.types.is_floating(kind):
            return float(cell)
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            values: Sequence[str] = json.loads(cell) if cell.startswith("[") else [cell]
            return [_typed(value, kind.value_type) for value in values]
    except ValueError as error:
        raise UserError(
            f"'{cell}' cannot stand in a column of type {kind}.", "label", "Write the corrections to a .csv file."
        ) from error
    return cell
