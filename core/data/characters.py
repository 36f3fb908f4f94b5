# ruff: noqa: S608  (column names become SQL through identifier() alone)
"""The texts of a table as arrays: what is compared, counted or told apart by characters is done for many at once.

Hashes are DuckDB's own: good within one process, not to be kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from core.data.database import parquet_rows
from core.data.mapping import mapped_text_sql
from core.data.table import Table
from core.schema import MappingSpec

BATCH = 8192

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowTexts:
    """What is known of each row's text, in row order."""

    same: npt.NDArray[np.uint64]
    """[rows]: a hash of the text; 0 where there is none."""
    alike: npt.NDArray[np.uint64]
    """[rows]: the same where neither case nor runs of white space count."""
    lengths: npt.NDArray[np.int64]
    """[rows], characters."""


@dataclass(frozen=True)
class Characters:
    """Some texts as code points, one after the other."""

    rows: Rows
    """[texts], 0-based rows of the file."""
    points: npt.NDArray[np.uint32]
    starts: Rows
    """[texts + 1]: text i is `points[starts[i]:starts[i + 1]]`."""

    @staticmethod
    def of(texts: Sequence[str]) -> "Characters":
        """These texts as they are."""
        starts = np.concatenate(([0], np.cumsum([len(text) for text in texts]))).astype(np.int64)
        points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        return Characters(np.arange(len(texts)), points, starts)


def row_texts(database: duckdb.DuckDBPyConnection, table: Table, mapping: MappingSpec) -> RowTexts:
    """Of every row; 24 bytes a row."""
    text = mapped_text_sql(mapping)
    found = database.execute(
        f"SELECT CASE WHEN text = '' THEN 0 ELSE hash(text) END AS same, "
        f"CASE WHEN text = '' THEN 0 ELSE hash({alike_sql('text')}) END AS alike, length(text) AS length "
        f"FROM (SELECT {text} AS text, file_row_number AS number FROM {parquet_rows(table.parquet)}) ORDER BY number"
    ).fetchnumpy()
    same, alike = (np.asarray(found[name], dtype=np.uint64) for name in ("same", "alike"))
    return RowTexts(same, alike, np.asarray(found["length"], dtype=np.int64))


def alike_sql(text: str) -> str:
    """SQL for a text without what does not count when texts are compared: case and runs of white space."""
    return f"lower(regexp_replace({text}, '\\s+', ' ', 'g'))"


def characters(
    database: duckdb.DuckDBPyConnection, table: Table, mapping: MappingSpec, longest: int, every: int = 1
) -> Iterator[Characters]:
    """The first `longest` characters of each text, as alike_sql makes it; of about one row in `every`."""
    sampled = f"WHERE hash(number) % {int(every)} = 0" if every > 1 else ""
    # A cursor of its own: others may ask between two batches.
    reader = (
        database.cursor()
        .sql(
            f"SELECT number, left({alike_sql('text')}, {int(longest)}) AS text "
            f"FROM (SELECT {mapped_text_sql(mapping)} AS text, file_row_number AS number "
            f"FROM {parquet_rows(table.parquet)}) {sampled} ORDER BY number"
        )
        .to_arrow_reader(BATCH)
    )
    for batch in reader:
        texts = batch.column("text")
        starts = np.concatenate(([0], np.cumsum(pc.utf8_length(texts).to_numpy()))).astype(np.int64)
        # Half a surrogate pair cannot stand in a Parquet file, so every character is one code point.
        points = np.frombuffer("".join(texts.to_pylist()).encode("utf-32-le"), dtype=np.uint32)
        yield Characters(batch.column("number").to_numpy(), points, starts)


def texts_of(database: duckdb.DuckDBPyConnection, table: Table, mapping: MappingSpec, rows: Rows) -> dict[int, str]:
    """The texts of a few rows, by row."""
    wanted = ", ".join(str(int(row)) for row in rows) or "-1"
    found = database.execute(
        f"SELECT file_row_number, {mapped_text_sql(mapping)} FROM {parquet_rows(table.parquet)} "
        f"WHERE file_row_number IN ({wanted})"
    ).fetchall()
    return {int(row): str(text) for row, text in found}
