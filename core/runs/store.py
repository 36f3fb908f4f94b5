"""The store: what every process knows of every run (SQLite in WAL mode).

A worker writes metrics while pages read them, so each operation opens its own short connection: no connection crosses
a thread or a fork, and a killed process leaves nothing locked. `synchronous=NORMAL` can lose the last commits when the
power fails, never when a process dies, and never corrupts the file (https://www.sqlite.org/wal.html). `busy_timeout`
lets a writer wait for another instead of failing.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.runs.migrations import MIGRATIONS
from core.workspace import Workspace, new_id

BUSY_TIMEOUT_SECONDS = 30
ACTIVE = ("running", "stopping")
RESUMABLE = ("stopped", "interrupted", "failed")
ENDED = ("stopped", "interrupted", "failed", "finished")


@dataclass(frozen=True)
class Best:
    name: str
    value: float
    step: int
    epoch: float


@dataclass(frozen=True)
class Progress:
    phase: str
    """reading data, baselines, loading model, tokenising, training, evaluating, saving."""
    step: int = 0
    total_steps: int = 0
    epoch: float = 0.0
    epochs: float = 0.0
    seconds_left: float | None = None
    best: Best | None = None


@dataclass(frozen=True)
class Run:
    id: str
    name: str
    state: str
    reason: str
    preset: str
    model: str
    data_name: str
    created: float
    started: float | None
    ended: float | None
    seconds: float
    pid: int | None
    pid_started: float | None
    progress: Progress | None
    error: dict[str, str] | None
    """The parts of a UserError (what, where, todo) of a failed run."""
    summary: dict[str, Any]
    """Headline figures of a finished run: test, baselines, labels, rows, seconds."""


@dataclass(frozen=True)
class MetricPoint:
    step: int
    name: str
    value: float
    time: float


@dataclass(frozen=True)
class Event:
    time: float
    kind: str
    detail: dict[str, Any]


_RUN_COLUMNS = ", ".join(field.name for field in fields(Run))


def open_store(workspace: Workspace) -> "Store":
    """Open the workspace's store and bring its schema up to date."""
    store = Store(workspace.database)
    with store._transaction() as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise UserError(
                f"The workspace {workspace.root} was written by a newer Tunedesk.",
                str(workspace.database),
                "Update Tunedesk, or choose another folder with --workspace DIR.",
            )
        for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
            # executescript would commit first; statement by statement keeps the migration in one transaction.
            for statement in filter(str.strip, migration.split(";\n")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
    return store


@dataclass(frozen=True)
class Store:
    path: Path

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it happens, or nothing."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    # Runs

    def add_run(self, run_id: str, name: str, preset: str, model: str, data_name: str) -> None:
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO runs (id, name, state, preset, model, data_name, created) VALUES (?,?,'queued',?,?,?,?)",
                (run_id, name, preset, model, data_name, time.time()),
            )
            _add_event(connection, run_id, "queued", {})

    def run(self, run_id: str) -> Run:
        """Raises UserError where there is no such run."""
        with self._connection() as connection:
            row = connection.execute(f"SELECT {_RUN_COLUMNS} FROM runs WHERE id = ?", (run_id,)).fetchone()  # noqa: S608
        if row is None:
            raise UserError(
                f"There is no run '{run_id}'.", "run", "Take an id from `python launch.py runs` or the Runs page."
            )
        return _run(row)

    def runs(self, limit: int = 50, offset: int = 0, states: Iterable[str] = ()) -> list[Run]:
        """The newest first; of these states only, where any are named."""
        wanted = tuple(states)
        where = f"WHERE state IN ({','.join('?' * len(wanted))})" if wanted else ""
        query = f"SELECT {_RUN_COLUMNS} FROM runs {where} ORDER BY created DESC, id DESC LIMIT ? OFFSET ?"  # noqa: S608
        with self._connection() as connection:
            return [_run(row) for row in connection.execute(query, (*wanted, limit, offset))]

    def count_runs(self) -> int:
        with self._connection() as connection:
            (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        return int(count)

    def rename_run(self, run_id: str, name: str) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET name = ? WHERE id = ?", (name, run_id))

    def delete_run(self, run_id: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    # States

    def claim_next(self) -> Run | None:
        """Take the oldest queued run if nothing is running. Two processes that ask at once never both get one."""
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM runs WHERE state IN ('running', 'stopping')").fetchone():
                return None
            row = connection.execute(
                "SELECT id FROM runs WHERE state = 'queued' ORDER BY created, id LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE runs SET state='running', reason='', started=?, ended=NULL, pid=NULL, pid_started=NULL, "
                "error=NULL, progress=NULL WHERE id=?",
                (time.time(), row[0]),
            )
            _add_event(connection, row[0], "running", {})
        return self.run(row[0])

    def set_process(self, run_id: str, pid: int, pid_started: float) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET pid = ?, pid_started = ? WHERE id = ?", (pid, pid_started, run_id))

    def move(
        self,
        run_id: str,
        from_states: Iterable[str],
        state: str,
        reason: str = "",
        *,
        error: dict[str, str] | None = None,
        summary: dict[str, Any] | None = None,
    ) -> bool:
        """Change a run's state with its reason in one transaction; False if it was in none of `from_states`."""
        allowed = tuple(from_states)
        now = time.time()
        with self._transaction() as connection:
            row = connection.execute("SELECT state, started FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None or row[0] not in allowed:
                return False
            connection.execute("UPDATE runs SET state = ?, reason = ? WHERE id = ?", (state, reason, run_id))
            if state in ENDED or (state == "queued" and row[0] in ACTIVE):
                ran = now - row[1] if row[0] in ACTIVE and row[1] is not None else 0.0
                connection.execute(
                    "UPDATE runs SET ended = ?, seconds = seconds + ?, pid = NULL, pid_started = NULL WHERE id = ?",
                    (now, ran, run_id),
                )
            if error is not None:
                connection.execute("UPDATE runs SET error = ? WHERE id = ?", (json.dumps(error), run_id))
            if summary is not None:
                connection.execute("UPDATE runs SET summary = ? WHERE id = ?", (json.dumps(summary), run_id))
            _add_event(connection, run_id, state, {"reason": reason} if reason else {})
        return True

    def set_progress(self, run_id: str, progress: Progress) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET progress = ? WHERE id = ?", (json.dumps(asdict(progress)), run_id))

    def stop_requested(self, run_id: str) -> bool:
        with self._connection() as connection:
            row = connection.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone()
        return row is None or row[0] == "stopping"

    # Metrics and events

    def add_metrics(self, run_id: str, step: int, values: dict[str, float]) -> None:
        now = time.time()
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO metrics (run, name, step, value, time) VALUES (?,?,?,?,?)",
                [(run_id, name, step, value, now) for name, value in values.items()],
            )

    def metrics(self, run_id: str, names: Iterable[str] = ()) -> list[MetricPoint]:
        """Ordered by name, then step; only `names` where any are given."""
        wanted = tuple(names)
        chosen = f"AND name IN ({','.join('?' * len(wanted))})" if wanted else ""
        query = f"SELECT step, name, value, time FROM metrics WHERE run = ? {chosen} ORDER BY name, step"  # noqa: S608
        with self._connection() as connection:
            return [MetricPoint(*row) for row in connection.execute(query, (run_id, *wanted))]

    def forget_metrics_after(self, run_id: str, step: int) -> None:
        """Drop what a resumed run will measure again, so that each step is counted once."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM metrics WHERE run = ? AND step > ?", (run_id, step))

    def add_event(self, run_id: str, kind: str, detail: dict[str, Any]) -> None:
        with self._transaction() as connection:
            _add_event(connection, run_id, kind, detail)

    def events(self, run_id: str, kind: str | None = None) -> list[Event]:
        query = "SELECT time, kind, detail FROM events WHERE run = ? AND kind = coalesce(?, kind) ORDER BY id"
        with self._connection() as connection:
            return [
                Event(moment, found, json.loads(detail))
                for moment, found, detail in connection.execute(query, (run_id, kind))
            ]

    # Drafts: half-made runs

    def save_draft(self, draft_id: str | None, content: dict[str, Any]) -> str:
        """Keep a half-made run; a new id is made where none is given. Returns the id."""
        kept = draft_id or new_id()
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO drafts (id, changed, content) VALUES (?,?,?)",
                (kept, time.time(), json.dumps(content)),
            )
        return kept

    def draft(self, draft_id: str) -> dict[str, Any] | None:
        with self._connection() as connection:
            row = connection.execute("SELECT content FROM drafts WHERE id = ?", (draft_id,)).fetchone()
        return None if row is None else json.loads(row[0])

    def drafts(self) -> list[tuple[str, float, dict[str, Any]]]:
        """(id, seconds since 1970 of the last change, content), the newest first."""
        with self._connection() as connection:
            rows = connection.execute("SELECT id, changed, content FROM drafts ORDER BY changed DESC").fetchall()
        return [(draft_id, changed, json.loads(content)) for draft_id, changed, content in rows]

    def delete_draft(self, draft_id: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM drafts WHERE id = ?", (draft_id,))


def _add_event(connection: sqlite3.Connection, run_id: str, kind: str, detail: dict[str, Any]) -> None:
    connection.execute(
        "INSERT INTO events (run, time, kind, detail) VALUES (?,?,?,?)", (run_id, time.time(), kind, json.dumps(detail))
    )


def _run(row: tuple[Any, ...]) -> Run:
    values = dict(zip((field.name for field in fields(Run)), row, strict=True))
    progress = json.loads(values["progress"]) if values["progress"] else None
    if progress is not None:
        best = progress.pop("best")
        progress = Progress(**progress, best=Best(**best) if best else None)
    return Run(
        **{
            **values,
            "progress": progress,
            "error": json.loads(values["error"]) if values["error"] else None,
            "summary": json.loads(values["summary"]) if values["summary"] else {},
        }
    )
