"""DuckDB, bounded: a connection that spills to the workspace and never takes more memory than it is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

MEMORY_LIMIT = "512MB"
THREADS = 4


@contextmanager
def connection(temporary: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that spills into the folder `temporary` and downloads nothing."""
    database = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(temporary / "duckdb"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    try:
        database.execute(f"SET threads = {min(THREADS, int(_setting(database, 'threads')))}")
        database.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        yield database
    finally:
        database.close()


def _setting(database: duckdb.DuckDBPyConnection, name: str) -> str:
    row = database.execute("SELECT current_setting(?)", [name]).fetchone()
    if row is None:
        raise RuntimeError("a query without FROM gives one row")
    return str(row[0])


def identifier(name: str) -> str:
    """A column name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def parquet_rows(path: Path) -> str:
    """A Parquet file as a SQL table with its 0-based `file_row_number`."""
    return f"read_parquet({literal(str(path))}, file_row_number = true)"
