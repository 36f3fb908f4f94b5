"""The Parquet files that tables are kept in: written whole under another name, then renamed."""

from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from core.data.database import literal

GROUP_ROWS = 20_480
"""Rows a row group: few enough for long texts to stay small in memory and for a page of rows to be found fast."""


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
