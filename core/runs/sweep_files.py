"""Sweeps as files beside the store, `sweeps/ID.json`: what is tried and which run tries what, as the store has it.

So a store that was lost is made again with its groups. A file is replaced whole in the transaction that changes the
sweep, before that is committed: with two writers at once it holds what the later one left.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core.files import replacing
from core.runs.store import Store
from core.workspace import Workspace

SWEEP = ("id", "name", "state", "reason", "created", "ended", "base", "plan")
TRIAL = ("number", "run", "made", "submitted", "settings", "judged", "pruned")
WAITS_NO_LONGER = "The store was made again from what lay beside it, so the sweep waits: resume it."


@dataclass(frozen=True)
class SweepFile:
    sweep: dict[str, Any]
    """By column of the store's table."""
    trials: list[dict[str, Any]]


@contextmanager
def changing(store: Store, sweep_id: str) -> Iterator[sqlite3.Connection]:
    """A write transaction on one sweep, which is written to its file as well; one that is gone has none any more.

    Raises OSError where the file cannot be written; nothing has changed then.
    """
    with store.transaction() as connection:
        yield connection
        _write(store, connection, sweep_id)


def write_missing(store: Store) -> None:
    """Write the files of sweeps that have none, as of an earlier Tunedesk."""
    for sweep_id in sweeps_without_file(store):
        with changing(store, sweep_id):
            pass


def sweeps_without_file(store: Store) -> list[str]:
    folder = Workspace(store.path.parent).sweeps
    with store.connection() as connection:
        return [
            sweep for (sweep,) in connection.execute("SELECT id FROM sweeps") if not (folder / f"{sweep}.json").exists()
        ]


def lost_sweeps(store: Store) -> list[SweepFile]:
    """Those that have a file, and that the store does not know. A file that cannot be read is none."""
    with store.connection() as connection:
        known = {sweep for (sweep,) in connection.execute("SELECT id FROM sweeps")}
    found = []
    for path in sorted(Workspace(store.path.parent).sweeps.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            one = SweepFile(_columns(content, SWEEP), [_columns(trial, TRIAL) for trial in content["trials"]])
        except (ValueError, KeyError, TypeError):
            continue
        if one.sweep["id"] not in known:
            found.append(one)
    return found


def put_back_sweep(store: Store, one: SweepFile) -> None:
    """A sweep that the store has lost; one that was searching waits to be resumed, as its runs do."""
    sweep = dict(one.sweep)
    if sweep["state"] == "searching":
        sweep |= {"state": "stopped", "reason": WAITS_NO_LONGER}
    with changing(store, sweep["id"]) as connection:
        _insert(connection, "sweeps", sweep)
        for trial in one.trials:
            _insert(connection, "trials", {"sweep": sweep["id"], **trial})


def _write(store: Store, connection: sqlite3.Connection, sweep_id: str) -> None:
    folder = Workspace(store.path.parent).sweeps
    path = folder / f"{sweep_id}.json"
    row = connection.execute(f"SELECT {', '.join(SWEEP)} FROM sweeps WHERE id = ?", (sweep_id,)).fetchone()  # noqa: S608
    if row is None:
        path.unlink(missing_ok=True)
        return
    query = f"SELECT {', '.join(TRIAL)} FROM trials WHERE sweep = ? ORDER BY number"  # noqa: S608
    trials = [dict(zip(TRIAL, one, strict=True)) for one in connection.execute(query, (sweep_id,))]
    folder.mkdir(exist_ok=True)
    with replacing(path) as partial:
        content = {**dict(zip(SWEEP, row, strict=True)), "trials": trials}
        partial.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _columns(content: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Raises KeyError where one is missing."""
    return {name: content[name] for name in names}


def _insert(connection: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
