"""The store: what every process knows of every run (SQLite in WAL mode).

A worker writes metrics while pages read them, so each operation opens its own short connection: no connection crosses
a thread or a fork, and a killed process leaves nothing locked. `synchronous=NORMAL` can lose the last commits when the
power fails, never when a process dies, and never corrupts the file (https://www.sqlite.org/wal.html). `FULL` would sync
at every commit, which a step of a small model would wait for; what the power takes, the journal in the run's folder or
the last checkpoint brings back. `busy_timeout` lets a writer wait for another instead of failing: a minute, as nothing
here holds a lock for longer than a backup or a cleaning of the file from outside takes.

States, metrics and events also go to the journal in the run's folder (core/runs/journal.py) before they are committed.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.runs import journal
from core.runs.lifecycle import ACTIVE as ACTIVE
from core.runs.lifecycle import ENDED as ENDED
from core.runs.lifecycle import RESUMABLE as RESUMABLE
from core.runs.lifecycle import may_follow
from core.runs.metric_points import put_points, thinned_points
from core.runs.migrations import MIGRATIONS
from core.runs.records import RUN_COLUMNS, run_of
from core.runs.records import Best as Best
from core.runs.records import Event as Event
from core.runs.records import MetricPoint as MetricPoint
from core.runs.records import Progress as Progress
from core.runs.records import Run as Run
from core.runs.upgrade import upgrade
from core.workspace import RunFolder, Workspace, new_id, no_run

BUSY_TIMEOUT_SECONDS = 60


def open_store(workspace: Workspace) -> "Store":
    """Open the workspace's store and bring its schema up to date, with a copy of an older one beside it.

    Raises UserError where it was written by a newer Tunedesk, is damaged, or cannot be written.
    """
    store = Store(workspace.database)
    try:
        with store.connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise UserError(
                    f"The workspace {workspace.root} was written by a newer Tunedesk.",
                    str(workspace.database),
                    "Update Tunedesk, or choose another folder with --workspace DIR.",
                )
            if version < len(MIGRATIONS):
                upgrade(connection, workspace.backups)
    except (sqlite3.DatabaseError, OSError) as error:
        raise _unusable(workspace, error) from error
    return store


def _unusable(workspace: Workspace, error: Exception) -> UserError:
    """What to do where the store itself is the trouble."""
    where = str(workspace.database)
    if isinstance(error, OSError | sqlite3.OperationalError):
        return UserError(
            f"The store of the workspace {workspace.root} cannot be used ({error}).",
            where,
            "See that the folder can be written and that its disk has room, or choose another with --workspace DIR.",
        )
    return UserError(
        f"The store of the workspace {workspace.root} is damaged ({error}).",
        where,
        "`python launch.py runs --check --repair` sets it aside and makes it again from the runs' folders.",
    )


@dataclass(frozen=True)
class Store:
    path: Path

    def folder(self, run_id: str) -> RunFolder:
        return RunFolder(self.path.parent / "runs" / run_id)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it happens, or nothing."""
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    # Runs

    def add_run(self, run_id: str, name: str, preset: str, model: str, data_name: str, draft_id: str = "") -> str:
        """Queue a run; the draft that it was made from goes. Returns its id.

        A draft becomes one run, however often it is started at once: who comes second gets the first one's id.
        """
        with self.transaction() as connection:
            origin = {"draft": draft_id} if draft_id else {}
            if draft_id:
                connection.execute("DELETE FROM drafts WHERE id = ?", (draft_id,))
                already = _run_of_draft(connection, draft_id)
                if already:
                    return already
            connection.execute(
                "INSERT INTO runs (id, name, state, preset, model, data_name, created) VALUES (?,?,'queued',?,?,?,?)",
                (run_id, name, preset, model, data_name, time.time()),
            )
            _add_event(connection, run_id, "queued", origin)
            made = {"name": name, "preset": preset, "model": model, "data_name": data_name}
            journal.append(self.folder(run_id), journal.MADE, made)
            journal.append(self.folder(run_id), journal.STATE, {"state": "queued"})
        return run_id

    def add_opened_run(self, run_id: str, name: str, preset: str, model: str, data_name: str, reason: str) -> None:
        """A run that was trained elsewhere: finished from the start, so that no worker takes it."""
        made, now = {"name": name, "preset": preset, "model": model, "data_name": data_name}, time.time()
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO runs (id, name, state, reason, preset, model, data_name, created, ended) "
                "VALUES (?,?,'finished',?,?,?,?,?,?)",
                (run_id, name, reason, preset, model, data_name, now, now),
            )
            _add_event(connection, run_id, "finished", {"reason": reason})
            journal.append(self.folder(run_id), journal.MADE, made)
            journal.append(self.folder(run_id), journal.STATE, {"state": "finished", "reason": reason})

    def run_of_draft(self, draft_id: str) -> str | None:
        """The run that this draft has become, if it was started."""
        with self.connection() as connection:
            return _run_of_draft(connection, draft_id)

    def run(self, run_id: str) -> Run:
        """Raises UserError where there is no such run."""
        with self.connection() as connection:
            row = connection.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE id = ?", (run_id,)).fetchone()  # noqa: S608
        if row is None:
            raise no_run(run_id)
        return run_of(row)

    def runs(self, limit: int = 50, offset: int = 0, states: Iterable[str] = ()) -> list[Run]:
        """The newest first; of these states only, where any are named."""
        wanted = tuple(states)
        where = f"WHERE state IN ({','.join('?' * len(wanted))})" if wanted else ""
        query = f"SELECT {RUN_COLUMNS} FROM runs {where} ORDER BY created DESC, id DESC LIMIT ? OFFSET ?"  # noqa: S608
        with self.connection() as connection:
            return [run_of(row) for row in connection.execute(query, (*wanted, limit, offset))]

    def runs_of(self, run_ids: Sequence[str]) -> dict[str, Run]:
        """Those of these runs that there are, by id."""
        query = f"SELECT {RUN_COLUMNS} FROM runs WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
        with self.connection() as connection:
            found = map(run_of, connection.execute(query, (json.dumps(list(run_ids)),)).fetchall())
        return {run.id: run for run in found}

    def count_runs(self) -> int:
        with self.connection() as connection:
            (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        return int(count)

    def rename_run(self, run_id: str, name: str) -> None:
        with self.transaction() as connection:
            connection.execute("UPDATE runs SET name = ? WHERE id = ?", (name, run_id))
            journal.append(self.folder(run_id), journal.NAME, {"name": name})

    def share_run(self, run_id: str, shared: bool) -> None:
        """Let guests see a run, or no longer. Raises UserError where there is no such run."""
        self.run(run_id)
        with self.transaction() as connection:
            connection.execute("UPDATE runs SET shared = ? WHERE id = ?", (shared, run_id))
            journal.append(self.folder(run_id), journal.SHARED, {"shared": shared})

    def shared_runs(self) -> list[Run]:
        """Those that guests see, the newest first."""
        query = f"SELECT {RUN_COLUMNS} FROM runs WHERE shared ORDER BY created DESC, id DESC"  # noqa: S608
        with self.connection() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def delete_run(self, run_id: str) -> None:
        with self.transaction() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    # States

    def claim_next(self, devices: Sequence[str] = ("",)) -> Run | None:
        """Take the first run of the queue if a device is free. Two processes that ask at once never both get one.

        devices: as core.runs.queue.devices gives them; no more runs are active than there are devices.
        """
        with self.transaction() as connection:
            held = {device for (device,) in connection.execute("SELECT device FROM devices")}
            (active,) = connection.execute(
                "SELECT count(*) FROM runs WHERE state IN ('running', 'stopping')"
            ).fetchone()
            free = [device for device in devices if device not in held]
            row = connection.execute("SELECT run FROM queue ORDER BY place, run LIMIT 1").fetchone()
            if row is None or not free or active >= len(devices):
                return None
            connection.execute(
                "UPDATE runs SET state='running', reason='', started=?, ended=NULL, pid=NULL, pid_started=NULL, "
                "error=NULL, progress=NULL, heartbeat=NULL WHERE id=?",
                (time.time(), row[0]),
            )
            connection.execute("INSERT INTO devices (device, run) VALUES (?,?)", (free[0], row[0]))
            _add_event(connection, row[0], "running", {"device": free[0]} if free[0] else {})
            _tell(self.folder(row[0]), journal.STATE, {"state": "running"})
        return self.run(row[0])

    def set_process(self, run_id: str, pid: int, pid_started: float) -> None:
        with self.transaction() as connection:
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
        events: Sequence[tuple[str, dict[str, Any]]] = (),
    ) -> bool:
        """Change a run's state with its reason in one transaction; False if it was in none of `from_states`.

        events: (kind, detail) that come with the change, before it.

        Raises ValueError where a run may not go from one of these to `state` (core/runs/lifecycle.py).
        """
        allowed = tuple(from_states)
        refused = [before for before in allowed if not may_follow(state, before)]
        if refused:
            raise ValueError(f"a run that is {refused[0]} does not become {state}")
        now = time.time()
        with self.transaction() as connection:
            row = connection.execute("SELECT state, started, seconds FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None or row[0] not in allowed:
                return False
            before, started, seconds = row
            connection.execute("UPDATE runs SET state = ?, reason = ? WHERE id = ?", (state, reason, run_id))
            if state in ENDED or (state == "queued" and before in ACTIVE):
                # A clock that was put back gives no time, rather than less than none.
                seconds += max(0.0, now - started) if before in ACTIVE and started is not None else 0.0
                connection.execute(
                    "UPDATE runs SET ended = ?, seconds = ?, pid = NULL, pid_started = NULL WHERE id = ?",
                    (now, seconds, run_id),
                )
            if error is not None:
                connection.execute("UPDATE runs SET error = ? WHERE id = ?", (json.dumps(error), run_id))
            if summary is not None:
                connection.execute("UPDATE runs SET summary = ? WHERE id = ?", (json.dumps(summary), run_id))
            for kind, detail in events:
                _add_event(connection, run_id, kind, detail)
                _tell(self.folder(run_id), journal.EVENT, {"event": kind, "detail": detail})
            _add_event(connection, run_id, state, {"reason": reason} if reason else {})
            told = {"state": state, "reason": reason, "seconds": seconds, "error": error, "summary": summary}
            _tell(
                self.folder(run_id), journal.STATE, {name: value for name, value in told.items() if value is not None}
            )
        return True

    def beat(self, run_id: str) -> None:
        """The run's worker lives."""
        with self.transaction() as connection:
            connection.execute("UPDATE runs SET heartbeat = ? WHERE id = ?", (time.time(), run_id))

    def set_progress(self, run_id: str, progress: Progress) -> None:
        with self.transaction() as connection:
            connection.execute("UPDATE runs SET progress = ? WHERE id = ?", (json.dumps(asdict(progress)), run_id))

    def stop_requested(self, run_id: str) -> bool:
        with self.connection() as connection:
            row = connection.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone()
        return row is None or row[0] == "stopping"

    # Metrics and events

    def add_metrics(self, run_id: str, step: int, values: dict[str, float]) -> None:
        now = time.time()
        with self.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO metrics (run, name, step, value, time) VALUES (?,?,?,?,?)",
                [(run_id, name, step, value, now) for name, value in values.items()],
            )
            journal.append(self.folder(run_id), journal.METRICS, {"step": step, "values": values})

    def put_back_run(
        self, values: dict[str, Any], points: list[tuple[str, int, float, float]], events: list[Any]
    ) -> None:
        """A run that the store has lost. values: by column. points: (name, step, value, time).

        events: (time, kind, detail).
        """
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        with self.transaction() as connection:
            connection.execute(f"INSERT INTO runs ({columns}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
            put_points(connection, values["id"], points)
            connection.executemany(
                "INSERT INTO events (run, time, kind, detail) VALUES (?,?,?,?)",
                [(values["id"], moment, kind, json.dumps(detail)) for moment, kind, detail in events],
            )

    def put_back_metrics(self, run_id: str, points: list[tuple[str, int, float, float]]) -> None:
        """Points that the store has lost: (name, step, value, time)."""
        with self.transaction() as connection:
            put_points(connection, run_id, points)

    def metrics(self, run_id: str, names: Iterable[str] = ()) -> list[MetricPoint]:
        """Ordered by name, then step; only `names` where any are given."""
        wanted = tuple(names)
        chosen = f"AND name IN ({','.join('?' * len(wanted))})" if wanted else ""
        query = f"SELECT step, name, value, time FROM metrics WHERE run = ? {chosen} ORDER BY name, step"  # noqa: S608
        with self.connection() as connection:
            return [MetricPoint(*row) for row in connection.execute(query, (run_id, *wanted))]

    def curves(self, run_id: str, names: Iterable[str], columns: int = 1000) -> list[MetricPoint]:
        """Metrics as a chart of so many pixels across can show them: of each column its least and greatest point.

        So every spike stays, whatever the number of points. A name with at most two points a column comes whole. The
        first and the last point always come. Ordered by name, then step.
        """
        found: list[MetricPoint] = []
        with self.connection() as connection:
            for name in sorted(set(names)):
                found += thinned_points(connection, run_id, name, columns)
        return found

    def forget_metrics_after(self, run_id: str, step: int) -> None:
        """Drop what a resumed run will measure again, so that each step is counted once."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM metrics WHERE run = ? AND step > ?", (run_id, step))
            journal.append(self.folder(run_id), journal.FORGET, {"step": step})

    def add_event(self, run_id: str, kind: str, detail: dict[str, Any]) -> None:
        with self.transaction() as connection:
            _add_event(connection, run_id, kind, detail)
            journal.append(self.folder(run_id), journal.EVENT, {"event": kind, "detail": detail})

    def events(self, run_id: str, kind: str | None = None) -> list[Event]:
        query = "SELECT time, kind, detail FROM events WHERE run = ? AND kind = coalesce(?, kind) ORDER BY id"
        with self.connection() as connection:
            return [
                Event(moment, found, json.loads(detail))
                for moment, found, detail in connection.execute(query, (run_id, kind))
            ]

    # Drafts: half-made runs

    def save_draft(self, draft_id: str | None, content: dict[str, Any]) -> str:
        """Keep a half-made run; a new id is made where none is given. Returns the id."""
        kept = draft_id or new_id()
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO drafts (id, changed, content) VALUES (?,?,?)",
                (kept, time.time(), json.dumps(content)),
            )
        return kept

    def draft(self, draft_id: str) -> dict[str, Any] | None:
        with self.connection() as connection:
            row = connection.execute("SELECT content FROM drafts WHERE id = ?", (draft_id,)).fetchone()
        return None if row is None else json.loads(row[0])

    def drafts(self) -> list[tuple[str, float, dict[str, Any]]]:
        """(id, seconds since 1970 of the last change, content), the newest first."""
        with self.connection() as connection:
            rows = connection.execute("SELECT id, changed, content FROM drafts ORDER BY changed DESC").fetchall()
        return [(draft_id, changed, json.loads(content)) for draft_id, changed, content in rows]

    def delete_draft(self, draft_id: str) -> None:
        with self.transaction() as connection:
            connection.execute("DELETE FROM drafts WHERE id = ?", (draft_id,))


def _run_of_draft(connection: sqlite3.Connection, draft_id: str) -> str | None:
    row = connection.execute(
        "SELECT run FROM events WHERE kind = 'queued' AND detail = ?", (json.dumps({"draft": draft_id}),)
    ).fetchone()
    return None if row is None else str(row[0])


def _tell(folder: RunFolder, kind: str, told: dict[str, Any]) -> None:
    """Add a state to the run's journal. On a full disk the store's own word has to do: a run must come to its end."""
    with suppress(OSError):
        journal.append(folder, kind, told)


def _add_event(connection: sqlite3.Connection, run_id: str, kind: str, detail: dict[str, Any]) -> None:
    connection.execute(
        "INSERT INTO events (run, time, kind, detail) VALUES (?,?,?,?)", (run_id, time.time(), kind, json.dumps(detail))
    )
