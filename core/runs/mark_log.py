"""Marks on labels as lines of a file beside the store, `label_marks.jsonl`, from which a lost store gets them back.

A line is added for each mark, and for each that is undone, before the store's transaction is committed. As in a run's
journal a line is preceded by its line break, so that what a crash tears is one line, never the next one.
"""

import json
import sqlite3
from typing import Any

from core.runs.store import Store
from core.workspace import Workspace

COLUMNS = ("data", "row", "verdict", "classes", "run", "time")
Mark = tuple[Any, ...]
"""By COLUMNS."""


def tell(store: Store, connection: sqlite3.Connection, mark: Mark, *, undone: bool = False) -> None:
    """Add a mark, or that it is undone, once the store has it. Raises OSError."""
    path = Workspace(store.path.parent).label_marks
    # Without the file it is a store of an earlier Tunedesk, or its first mark of all.
    lines = [_line(mark, undone)] if path.exists() else [_line(one, undone=False) for one in _kept(connection)]
    with path.open("ab") as file:
        file.write("".join(lines).encode())


def _line(mark: Mark, undone: bool) -> str:
    return "\n" + json.dumps(dict(zip(COLUMNS, mark, strict=True)) | ({"undone": True} if undone else {}))


def _kept(connection: sqlite3.Connection) -> list[Mark]:
    """In the order they were made."""
    return connection.execute(f"SELECT {', '.join(COLUMNS)} FROM label_marks ORDER BY id").fetchall()  # noqa: S608


def _told(store: Store) -> list[Mark]:
    """What the file comes to when it is read from its start; a line that is none is left out."""
    path, marks = Workspace(store.path.parent).label_marks, list[Mark]()
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            content = json.loads(line)
            mark = tuple(content[name] for name in COLUMNS)
        except (ValueError, KeyError, TypeError):
            continue
        if not content.get("undone"):
            marks.append(mark)
        elif mark in marks:
            marks.remove(mark)
    return marks


def lost_marks(store: Store) -> int:
    """How many the file has and the store has not."""
    with store.connection() as connection:
        kept = set(_kept(connection))
    return sum(mark not in kept for mark in _told(store))


def has_marks_without_file(store: Store) -> bool:
    if Workspace(store.path.parent).label_marks.exists():
        return False
    with store.connection() as connection:
        return bool(_kept(connection))


def put_back_marks(store: Store) -> None:
    """Every mark that the file has, and the store's own, in the order they were made; the newest of a row counts."""
    told = _told(store)
    with store.transaction() as connection:
        every = sorted({*told, *_kept(connection)}, key=lambda mark: float(mark[-1]))
        connection.execute("DELETE FROM label_marks")
        marks = ", ".join("?" * len(COLUMNS))
        connection.executemany(f"INSERT INTO label_marks ({', '.join(COLUMNS)}) VALUES ({marks})", every)  # noqa: S608


def write_marks(store: Store) -> None:
    """Write the file of a store of an earlier Tunedesk, which has none."""
    with store.transaction() as connection:
        kept = _kept(connection)
        if kept:
            tell(store, connection, kept[-1])
