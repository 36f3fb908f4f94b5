"""DuckDB, bounded: connections that spill to the workspace and together never take more memory than they are given."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import duckdb
import psutil

MEMORY_LIMIT = "512MB"
THREADS = 4


@contextmanager
def connection(temporary: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to this process's in-memory database, which spills into the folder `temporary`.

    Queries name files, and create nothing that another connection could see.
    """
    database = _database(temporary).cursor()
    try:
        database.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        yield database
    finally:
        database.close()


@lru_cache(maxsize=4)
def _database(temporary: Path) -> duckdb.DuckDBPyConnection:
    """Kept open, as opening one takes some 20 ms. It downloads nothing, and keeps nothing of the files it has read."""
    spill = temporary / "duckdb"
    for left in spill.glob("[0-9]*"):
        if not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)
    database = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            # Two processes that spill into one folder would use the same file names.
            "temp_directory": str(spill / str(os.getpid())),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "enable_external_file_cache": False,
        }
    )
    row = database.execute("SELECT current_setting('threads')").fetchone()
    if row is None:
        raise RuntimeError("a query without FROM gives one row")
    database.execute(f"SET threads = {min(THREADS, int(row[0]))}")
    return database


def identifier(name: str) -> str:
    """A column name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def parquet_rows(path: Path) -> str:
    """A Parquet file as a SQL table with its 0-based `file_row_number`."""
    return f"read_parquet({literal(str(path))}, file_row_number = true)"
