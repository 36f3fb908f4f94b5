"""Brings a store's schema up to date, one numbered step after the other, with a copy of the older store kept beside it.

Two processes may open an old store at once: the second waits for the first, and finds nothing left to do.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from core.files import replacing
from core.runs.migrations import MIGRATIONS

BACKUPS_KEPT = 3


def upgrade(connection: sqlite3.Connection, backups: Path) -> None:
    """All steps that are missing, in one transaction. Raises sqlite3.Error and OSError; the store is then as it was."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version:
        _back_up(connection, backups, version)
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
            # executescript would commit first; statement by statement keeps the migration in one transaction.
            for statement in filter(str.strip, migration.split(";\n")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _back_up(connection: sqlite3.Connection, backups: Path, version: int) -> None:
    """SQLite's own backup: whole even while others write. The oldest copies go."""
    backups.mkdir(exist_ok=True)
    target = backups / f"tunedesk-version-{version}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.db"
    with replacing(target) as partial, closing(sqlite3.connect(partial)) as copy:
        connection.backup(copy)
    kept = sorted(backups.glob("tunedesk-version-*.db"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-BACKUPS_KEPT]:
        old.unlink(missing_ok=True)
