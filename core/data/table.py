# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""A Table: a file that was read and profiled. Its rows stand in a Parquet file of texts, so it is never held in memory.

Row identity: a row's number is its 0-based place among the file's data rows, the same in every reading of that file.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from core.data.database import connection, identifier, parquet_rows
from core.data.expressions import label_sql, text_sql
from core.data.reading.delimited import read_delimited
from core.data.reading.line_log import LineLog
from core.data.reading.members import is_plain, read_file
from core.data.reading.profile import Column, profile
from core.data.reading.progress import Progress, no_progress
from core.data.reading.result import Dialect, Reading, RejectedLine
from core.data.reading.sources import existing_file, fingerprint, format_of, sha256_of
from core.data.reading.stacked import Piece, stack
from core.data.reading.start import is_big, start_of
from core.errors import UserError
from core.files import replacing
from core.schema import DataSpec, TableFile, shown_name
from core.workspace import Workspace

__all__ = [
    "Column",
    "RejectedLine",
    "Table",
    "file_facts",
    "first_look",
    "label_counts",
    "open_table",
    "open_tables",
    "preview",
    "require_columns",
    "table_json",
    "text_lengths",
]


@dataclass(frozen=True)
class Table:
    file: TableFile
    path: Path
    """The file itself, absolute; the first of several; or a folder."""
    format: str
    """csv, parquet, json, jsonl, excel or texts."""
    rows: int
    columns: tuple[Column, ...]
    encoding: str | None
    delimiter: str | None
    quote: str | None
    """'' where no character quotes."""
    escape: str | None
    """'' where a quote inside a quoted cell is doubled."""
    header: bool | None
    skipped: int | None
    """Lines before the table: before the names of its columns, or before its first row where there are none."""
    comment: str | None
    """Lines that begin with it were left out; '' where none were."""
    decimal: str | None
    """What numbers have before their decimals; types are judged by it, cells stay as they are."""
    rejected: int
    rejected_lines: tuple[RejectedLine, ...]
    """The first 1000."""
    repaired: int
    """Rows kept that had too few or too many cells, or quotes that do not match."""
    repaired_lines: tuple[RejectedLine, ...]
    """The first 1000."""
    notes: tuple[str, ...]
    """What was assumed or changed in reading, each a plain sentence."""
    sheet: str | None
    sheets: tuple[str, ...]
    """Of a workbook: all of its sheets."""
    member: str | None
    members: tuple[str, ...]
    """Of an archive, a folder or a JSON file that holds several tables: all of them."""
    parquet: Path
    """Its rows in order, every column as text; empty cells of a CSV file are null."""
    lines_file: Path | None
    """A CSV file of the lines left out and the rows mended; None where there are none."""
    rows_in_all: int | None = None
    """Where only the start of a big file was read: about how many rows it has. `rows` and all else is of the start."""

    @property
    def title(self) -> str:
        """What was read, for people: `reviews.zip: train.csv`, `a.csv and 2 more`."""
        return shown_name(self.file)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def open_table(file: TableFile, workspace: Workspace, progress: Progress = no_progress) -> Table:
    """Read a file into the workspace, once for each state of the file and choice of reading options.

    A file that names columns and holds no rows is a Table of 0 rows. Raises UserError for a file that is missing,
    empty, damaged, no table, or changed while it was read.
    """
    path = existing_file(file)
    mark = fingerprint(path, file)
    parquet = workspace.tables / f"{mark}.parquet"
    known = _cached(file, path, parquet)
    if known is not None:
        return known
    with tempfile.TemporaryDirectory(prefix="reading-", dir=workspace.tables) as folder, replacing(parquet) as target:
        log = LineLog(Path(folder) / "lines.csv")
        with connection(workspace.tables) as database:
            reading = _read(database, path, file, workspace, target, log, progress.part(0.0, 0.85))
            rows, columns = profile(database, target, reading, progress.part(0.85, 1.0))
        log.close()
        if fingerprint(path, file) != mark:
            raise UserError(f"{path.name} changed while it was read.", path.name, "Open it again once it is complete.")
        if log.path.exists():
            log.path.replace(parquet.with_suffix(".lines.csv"))
    return _described(file, path, parquet, rows, columns, reading, None)


def open_tables(data: DataSpec, workspace: Workspace) -> dict[str, Table]:
    """The files of a run by role: train, and validation and test where they are given. Raises UserError."""
    files = {"train": data.train, "validation": data.validation, "test": data.test}
    return {role: open_table(file, workspace) for role, file in files.items() if file is not None}


def first_look(file: TableFile, workspace: Workspace) -> Table:
    """The table, as far as the start of a big file tells: `rows_in_all` is None where all of it is known.

    A file that was read before, and one that is not big, is the same Table that open_table gives. Raises UserError as
    that does.
    """
    path = existing_file(file)
    mark = fingerprint(path, file)
    known = _cached(file, path, workspace.tables / f"{mark}.parquet")
    if known is not None or file.more or not is_plain(path) or not is_big(path):
        return known or open_table(file, workspace)
    parquet = workspace.tables / f"{mark}-start.parquet"
    known = _cached(file, path, parquet)
    if known is not None:
        return known
    with tempfile.TemporaryDirectory(prefix="reading-", dir=workspace.tables) as folder, replacing(parquet) as target:
        start, share = start_of(path, Path(folder))
        if format_of(start, path) != "csv":
            return open_table(file, workspace)
        log = LineLog(Path(folder) / "lines.csv")
        with connection(workspace.tables) as database:
            reading = read_delimited(database, start, path.name, file, target, log, cut=True)
            rows, columns = profile(database, target, reading)
        log.close()
        if log.path.exists():
            log.path.replace(parquet.with_suffix(".lines.csv"))
    return _described(file, path, parquet, rows, columns, reading, round(rows / share))


def _cached(file: TableFile, path: Path, parquet: Path) -> Table | None:
    description = parquet.with_suffix(".json")
    if parquet.exists() and description.exists():
        return _from_description(file, path, parquet, json.loads(description.read_text(encoding="utf-8")))
    return None


def _described(
    file: TableFile,
    path: Path,
    parquet: Path,
    rows: int,
    columns: tuple[Column, ...],
    reading: Reading,
    rows_in_all: int | None,
) -> Table:
    """Write the description that makes `parquet` count as read."""
    content = {
        "rows": rows,
        "columns": [asdict(column) for column in columns],
        "reading": asdict(reading),
        "rows_in_all": rows_in_all,
    }
    with replacing(parquet.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return _from_description(file, path, parquet, content)


def _read(
    database: duckdb.DuckDBPyConnection,
    path: Path,
    file: TableFile,
    workspace: Workspace,
    target: Path,
    log: LineLog,
    progress: Progress,
) -> Reading:
    if not file.more:
        return read_file(database, path, file, target, log, progress)
    pieces = []
    for one in (file.path, *file.more):
        alone = open_table(file.model_copy(update={"path": one, "more": (), "source_column": None}), workspace)
        pieces.append(Piece(alone.path.name, alone.parquet, _reading(alone)))
    return stack(database, pieces, file.source_column, target)


def _reading(table: Table) -> Reading:
    """How a table's file was understood; types as far as its format states them."""
    states = table.format != "csv" and table.format != "excel"
    dialect = None if table.delimiter is None else Dialect(table.delimiter, table.quote or "", table.escape or "")
    return Reading(
        format=table.format,
        names=table.names,
        types=tuple(column.type if states else "" for column in table.columns),
        encoding=table.encoding,
        dialect=dialect,
        header=table.header,
        skipped=table.skipped,
        comment=table.comment,
        decimal=table.decimal,
        rejected=table.rejected,
        rejected_lines=table.rejected_lines,
        repaired=table.repaired,
        repaired_lines=table.repaired_lines,
        notes=table.notes,
        sheet=table.sheet,
        sheets=table.sheets,
    )


def _from_description(file: TableFile, path: Path, parquet: Path, content: dict[str, Any]) -> Table:
    reading = content["reading"]
    dialect = Dialect(**reading["dialect"]) if reading["dialect"] else None
    return Table(
        file=file,
        path=path,
        format=reading["format"],
        rows=content["rows"],
        columns=tuple(Column(**column) for column in content["columns"]),
        encoding=reading["encoding"],
        delimiter=dialect.delimiter if dialect else None,
        quote=dialect.quote if dialect else None,
        escape=dialect.escape if dialect else None,
        header=reading["header"],
        skipped=reading["skipped"],
        comment=reading["comment"],
        decimal=reading["decimal"],
        rejected=reading["rejected"],
        rejected_lines=tuple(RejectedLine(**line) for line in reading["rejected_lines"]),
        repaired=reading["repaired"],
        repaired_lines=tuple(RejectedLine(**line) for line in reading["repaired_lines"]),
        notes=tuple(reading["notes"]),
        sheet=reading["sheet"],
        sheets=tuple(reading["sheets"]),
        member=reading["member"],
        members=tuple(reading["members"]),
        parquet=parquet,
        lines_file=lines if (lines := parquet.with_suffix(".lines.csv")).exists() else None,
        rows_in_all=content["rows_in_all"],
    )


def require_columns(table: Table, columns: tuple[str, ...]) -> None:
    """Raises UserError, naming the columns that there are, where one of `columns` is not in the table."""
    missing = [column for column in columns if column not in table.names]
    if missing:
        raise UserError(
            f"Column {', '.join(repr(name) for name in missing)} is not in {table.path.name} "
            f"(columns: {', '.join(table.names)}).",
            table.path.name,
            "Choose columns that this file has, or give its columns these names.",
        )


def preview(
    table: Table, offset: int = 0, limit: int = 100, columns: tuple[str, ...] | None = None
) -> list[dict[str, str | None]]:
    """Rows `offset` to `offset + limit` in file order; empty cells are None. Raises UserError for an unknown column."""
    chosen = table.names if columns is None else columns
    require_columns(table, chosen)
    with connection(table.parquet.parent) as database:
        cells = database.execute(
            f"SELECT {', '.join(identifier(name) for name in chosen)} FROM {parquet_rows(table.parquet)} "
            f"WHERE file_row_number >= {int(offset)} AND file_row_number < {int(offset) + int(limit)} "
            "ORDER BY file_row_number"
        ).fetchall()
    return [dict(zip(chosen, row, strict=True)) for row in cells]


def label_counts(table: Table, column: str) -> list[tuple[str, int]]:
    """Values of a column without white space around them, and rows each; most frequent first, empty ones not counted.

    Raises UserError for an unknown column.
    """
    require_columns(table, (column,))
    with connection(table.parquet.parent) as database:
        counted = database.execute(
            f"SELECT label, count(*) AS n FROM (SELECT {label_sql(column)} AS label "
            f"FROM {parquet_rows(table.parquet)}) WHERE label <> '' GROUP BY label ORDER BY n DESC, label"
        ).fetchall()
    return [(str(label), int(count)) for label, count in counted]


def text_lengths(
    table: Table, columns: tuple[str, ...], joiner: str = " ", backslash_is_space: bool = False, template: str = ""
) -> dict[str, float]:
    """Characters of the joined texts that are not empty: p50, p90, p99, max, mean; all 0 where there are none.

    Raises UserError for an unknown column.
    """
    require_columns(table, columns)
    with connection(table.parquet.parent) as database:
        found = database.execute(
            "SELECT quantile_disc(n, 0.5), quantile_disc(n, 0.9), quantile_disc(n, 0.99), max(n), avg(n) FROM "
            f"(SELECT length({text_sql(columns, joiner, backslash_is_space, template)}) AS n "
            f"FROM {parquet_rows(table.parquet)}) WHERE n > 0"
        ).fetchone()
    return {
        name: float(value or 0) for name, value in zip(("p50", "p90", "p99", "max", "mean"), found or (), strict=True)
    }


def file_facts(table: Table) -> dict[str, Any]:
    """What data.json of a run keeps of a file."""
    return {
        "name": table.title,
        "rows": table.rows,
        "rejected": table.rejected,
        "sha256": sha256_of(table.file),
    }


def table_json(table: Table) -> dict[str, Any]:
    """What `launch.py inspect FILE --json` prints."""
    return {
        "path": str(table.path),
        "format": table.format,
        "rows": table.rows,
        "rejected": table.rejected,
        "rejected_lines": [asdict(line) for line in table.rejected_lines],
        "repaired": table.repaired,
        "repaired_lines": [asdict(line) for line in table.repaired_lines],
        "columns": [asdict(column) for column in table.columns],
        "encoding": table.encoding,
        "delimiter": table.delimiter,
        "quote": table.quote,
        "escape": table.escape,
        "header": table.header,
        "skipped": table.skipped,
        "comment": table.comment,
        "decimal": table.decimal,
        "null_words": list(table.file.null_words),
        "ragged_rows": table.file.ragged_rows,
        "rows_in_all": table.rows if table.rows_in_all is None else table.rows_in_all,
        "whole": table.rows_in_all is None,
        "notes": list(table.notes),
        "sheet": table.sheet,
        "sheets": list(table.sheets),
        "member": table.member,
        "members": list(table.members),
        "more": list(table.file.more),
        "parquet": str(table.parquet),
    }
