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
from core.data.reading.members import read_file
from core.data.reading.profile import Column, profile
from core.data.reading.result import Dialect, Reading, RejectedLine
from core.data.reading.sources import existing_file, fingerprint, sha256_of
from core.data.reading.stacked import Piece, stack
from core.errors import UserError
from core.files import replacing
from core.schema import TableFile, shown_name
from core.workspace import Workspace

__all__ = [
    "Column",
    "RejectedLine",
    "Table",
    "file_facts",
    "label_counts",
    "open_table",
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

    @property
    def title(self) -> str:
        """What was read, for people: `reviews.zip: train.csv`, `a.csv and 2 more`."""
        return shown_name(self.file)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def open_table(file: TableFile, workspace: Workspace) -> Table:
    """Read a file into the workspace, once for each state of the file and choice of reading options.

    A file that names columns and holds no rows is a Table of 0 rows. Raises UserError for a file that is missing,
    empty, damaged, no table, or changed while it was read.
    """
    path = existing_file(file)
    mark = fingerprint(path, file)
    parquet = workspace.tables / f"{mark}.parquet"
    description = workspace.tables / f"{mark}.json"
    if parquet.exists() and description.exists():
        return _from_description(file, path, parquet, json.loads(description.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory(prefix="reading-", dir=workspace.tables) as folder, replacing(parquet) as target:
        with connection(Path(folder)) as database:
            reading = _read(database, path, file, workspace, target, Path(folder))
            rows, columns = profile(database, target, reading)
        if fingerprint(path, file) != mark:
            raise UserError(f"{path.name} changed while it was read.", path.name, "Open it again once it is complete.")
    content = {"rows": rows, "columns": [asdict(column) for column in columns], "reading": asdict(reading)}
    with replacing(description) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return _from_description(file, path, parquet, content)


def _read(
    database: duckdb.DuckDBPyConnection, path: Path, file: TableFile, workspace: Workspace, target: Path, folder: Path
) -> Reading:
    if not file.more:
        return read_file(database, path, file, target, folder)
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


def label_counts(table: Table, column: str, limit: int | None = None) -> list[tuple[str, int]]:
    """Values of a column without white space around them, and rows each; most frequent first, empty ones not counted.

    Raises UserError for an unknown column.
    """
    require_columns(table, (column,))
    with connection(table.parquet.parent) as database:
        counted = database.execute(
            f"SELECT label, count(*) AS n FROM (SELECT {label_sql(column)} AS label "
            f"FROM {parquet_rows(table.parquet)}) WHERE label <> '' GROUP BY label ORDER BY n DESC, label "
            f"{f'LIMIT {int(limit)}' if limit else ''}"
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
        "notes": list(table.notes),
        "sheet": table.sheet,
        "sheets": list(table.sheets),
        "member": table.member,
        "members": list(table.members),
        "more": list(table.file.more),
        "parquet": str(table.parquet),
    }
