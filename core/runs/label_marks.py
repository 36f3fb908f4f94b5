"""Marks on labels in the store: they belong to the data, and outlive runs. core/correcting says what they mean.

They are written to a file beside the store as well (core/runs/mark_log.py), so that a lost store gets them back.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from core.runs import mark_log
from core.runs.store import Store


@dataclass(frozen=True)
class LabelMark:
    """What a person said of the label of one row of a file."""

    data: str
    """Which file, see core.correcting.marks.data_key."""
    row: int
    verdict: Literal["wrong", "ambiguous", "right"]
    """right: an earlier mark is taken back."""
    classes: tuple[str, ...] = ()
    """What is right where the label is wrong: one class, or where a row may have several any number."""
    run: str = ""
    """Where it was marked."""


def add_mark(store: Store, mark: LabelMark) -> None:
    values = (mark.data, mark.row, mark.verdict, json.dumps(mark.classes), mark.run, time.time())
    with store.transaction() as connection:
        connection.execute(
            "INSERT INTO label_marks (data, row, verdict, classes, run, time) VALUES (?,?,?,?,?,?)", values
        )
        mark_log.tell(store, connection, values)


def marks_on(store: Store, data: Iterable[str]) -> list[LabelMark]:
    """Of each marked row of these files the newest mark, in the order they were made; rows taken back are not."""
    keys = tuple(data)
    query = (
        "SELECT data, row, verdict, classes, run FROM label_marks WHERE id IN "  # noqa: S608
        f"(SELECT max(id) FROM label_marks WHERE data IN ({','.join('?' * len(keys))}) GROUP BY data, row) "
        "AND verdict <> 'right' ORDER BY id"
    )
    with store.connection() as connection:
        return [
            LabelMark(found, row, verdict, tuple(json.loads(classes)), run)
            for found, row, verdict, classes, run in connection.execute(query, keys)
        ]


def undo_mark(store: Store, data: Iterable[str]) -> LabelMark | None:
    """Forget the newest mark on these files, so that the one before it counts; returns it, None where none is."""
    keys = tuple(data)
    with store.transaction() as connection:
        found = connection.execute(
            "SELECT id, data, row, verdict, classes, run, time FROM label_marks "  # noqa: S608
            f"WHERE data IN ({','.join('?' * len(keys))}) ORDER BY id DESC LIMIT 1",
            keys,
        ).fetchone()
        if found is None:
            return None
        connection.execute("DELETE FROM label_marks WHERE id = ?", (found[0],))
        mark_log.tell(store, connection, found[1:], undone=True)
    return LabelMark(found[1], found[2], found[3], tuple(json.loads(found[4])), found[5])
