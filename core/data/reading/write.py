"""The Parquet files that tables are kept in: written whole under another name, then renamed."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from core.data.database import literal

GROUP_ROWS = 20_480
"""Rows a row group: few enough for long texts to stay small in memory and for a page of rows to be found fast."""

BATCH_SIZE = 16 * 2**20
"""Characters after which a batch is written, however few its rows."""


def write_parquet(database: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    """Write the rows of a query in their order."""
    database.execute(
        f"COPY ({query}) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {GROUP_ROWS})"
    )


def write_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch], target: Path) -> None:
    """Write record batches, each as a row group, as they come."""
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def text_schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in names])


def text_batches(
    rows: Iterable[Sequence[str | None]], names: Sequence[str], null_words: frozenset[str] = frozenset()
) -> Iterator[pa.RecordBatch]:
    """Rows with a cell for each name as record batches of texts; empty cells and `null_words` become null."""
    columns: list[list[str | None]] = [[] for _ in names]
    size = 0
    for cells in rows:
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell if cell and cell not in null_words else None)
            size += len(cell or "")
        if len(columns[0]) >= GROUP_ROWS or size >= BATCH_SIZE:
            yield pa.record_batch([pa.array(column, pa.string()) for column in columns], names=list(names))
            columns = [[] for _ in names]
            size = 0
    if columns[0]:
        yield pa.record_batch([pa.array(column, pa.string()) for column in columns], names=list(names))
