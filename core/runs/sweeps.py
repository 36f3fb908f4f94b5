"""Sweeps: a group of queued runs that try several settings, kept in the store.

Whoever supervises takes them on: makes the runs that the search wants next, stops hopeless ones, and notices the end.
That can be the page's server, a command line that waits, or the next start of either; two at once make no run twice,
since a trial's number is taken in one transaction. A trial's outcome is its run's, read anew each time: a stopped run
that is resumed counts again.
"""

import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from core.runs.store import ACTIVE, Run, Store, open_store
from core.runs.sweep_files import changing
from core.runs.sweep_search import Outcome, Tries, is_hopeless, next_settings
from core.schema import RunSpec, short_name
from core.spec_files import parse_spec
from core.sweep_spec import (
    SweepSpec,
    check_sweep,
    figure_words,
    is_greater_better,
    metric_of,
    parse_sweep,
    settings_words,
    with_settings,
)
from core.workspace import Workspace, new_id

ABANDONED_SECONDS = 60
"""A trial whose run was not submitted after so long lost its maker; another makes it."""
OUT_OF_QUEUE = "The sweep was stopped before it started."
Submit = Callable[[Workspace, RunSpec, str], object]
"""Puts a run with this id into the queue; raises UserError where it cannot be written."""


@dataclass(frozen=True)
class Sweep:
    id: str
    name: str
    state: str
    """searching, stopped, finished."""
    reason: str
    created: float
    ended: float | None
    base: RunSpec
    plan: SweepSpec

    @property
    def metric(self) -> str:
        """The validation figure that runs are compared by."""
        return metric_of(self.base)


@dataclass(frozen=True)
class Trial:
    number: int
    run_id: str
    settings: dict[str, Any]
    submitted: bool
    made: float
    judged: int
    pruned: str
    run: Run | None
    """None where it was deleted, or is not in the queue yet."""
    figures: tuple[float, ...]
    """The validation figure at each evaluation."""
    steps: tuple[int, ...]

    @property
    def is_open(self) -> bool:
        return self.run.state in ("queued", *ACTIVE) if self.run is not None else not self.submitted

    @property
    def outcome(self) -> Outcome:
        if self.is_open:
            return "open"
        if self.run is not None and self.run.state == "finished":
            return "done"
        return "pruned" if self.pruned else "failed"


def start_sweep(workspace: Workspace, base: RunSpec, plan: SweepSpec) -> str:
    """Keep a sweep; a supervisor makes its runs. Returns its id. Raises UserError where it makes no sense."""
    check_sweep(base, plan)
    sweep_id, store = new_id(), open_store(workspace)
    name = base.name or f"{short_name(base.data.train)}, {base.preset}"
    with changing(store, sweep_id) as connection:
        connection.execute(
            "INSERT INTO sweeps (id, name, state, created, base, plan) VALUES (?,?,'searching',?,?,?)",
            (sweep_id, name, time.time(), base.model_dump_json(), plan.model_dump_json()),
        )
    return sweep_id


def sweeps(store: Store) -> list[Sweep]:
    """The newest first. One with a setting that this version no longer has is left out; its runs are there."""
    found = []
    for row in _rows(store):
        with suppress(UserError):
            found.append(_sweep(row))
    return found


def find_sweep(store: Store, sweep_id: str) -> Sweep | None:
    return next((found for found in sweeps(store) if found.id == sweep_id), None)


def sweep(store: Store, sweep_id: str) -> Sweep:
    """Raises UserError where there is no such sweep."""
    found = find_sweep(store, sweep_id)
    if found is None:
        raise UserError(f"There is no sweep '{sweep_id}'.", "sweep", "Take an id from `python launch.py sweeps`.")
    return found


def sweep_of_runs(store: Store) -> dict[str, str]:
    """Run -> the sweep that it belongs to."""
    with store.connection() as connection:
        return dict(connection.execute("SELECT run, sweep FROM trials"))


def trials(store: Store, found: Sweep) -> list[Trial]:
    """By number, with their runs as they are now."""
    with store.connection() as connection:
        rows = connection.execute(
            "SELECT number, run, settings, submitted, made, judged, pruned FROM trials WHERE sweep = ? ORDER BY number",
            (found.id,),
        ).fetchall()
        points = connection.execute(
            "SELECT run, step, value FROM metrics WHERE run IN (SELECT run FROM trials WHERE sweep = ?) AND name = ? "
            "AND step > 0 ORDER BY run, step",
            (found.id, f"validation/{found.metric}"),
        ).fetchall()
    runs = store.runs_of([row[1] for row in rows])
    reached: dict[str, list[tuple[int, float]]] = {}
    for run_id, step, value in points:
        reached.setdefault(run_id, []).append((step, value))
    return [
        Trial(
            number, run_id, json.loads(settings), bool(submitted), made, judged, pruned, runs.get(run_id),
            tuple(value for _, value in reached.get(run_id, ())), tuple(step for step, _ in reached.get(run_id, ())),
        )
        for number, run_id, settings, submitted, made, judged, pruned in rows
    ]  # fmt: skip


def advance(workspace: Workspace, store: Store, submit: Submit, slots: int) -> None:
    """Take every sweep a step further. slots: how many runs can be active at once."""
    for row in _rows(store, "searching"):
        try:
            _advance(workspace, store, _sweep(row), submit, slots)
        except UserError as error:
            _end(store, row[0], "stopped", f"{error.what} {error.todo}")


def stop_sweep(workspace: Workspace, sweep_id: str) -> None:
    """Make no more runs: those that wait leave the queue, one that runs saves a checkpoint and stops.

    Raises UserError where it has ended already.
    """
    store = open_store(workspace)
    found = sweep(store, sweep_id)
    if found.state != "searching":
        raise UserError(
            f"The sweep '{found.name}' is {found.state}.", "sweep", "`python launch.py sweeps` shows which go on."
        )
    _end(store, found.id, "stopped", "Stop was asked for.")
    for trial in trials(store, found):
        if not store.move(trial.run_id, ["queued"], "stopped", OUT_OF_QUEUE):
            store.move(trial.run_id, ["running"], "stopping", "The sweep was stopped.")


def resume_sweep(workspace: Workspace, sweep_id: str) -> None:
    """Go on with a stopped sweep: its stopped and interrupted runs, but no hopeless ones, are queued again.

    Raises UserError where it is not stopped.
    """
    store = open_store(workspace)
    found = sweep(store, sweep_id)
    if found.state != "stopped":
        raise UserError(f"The sweep '{found.name}' is {found.state}.", "sweep", "Only a stopped one can go on.")
    with changing(store, sweep_id) as connection:
        connection.execute("UPDATE sweeps SET state='searching', reason='', ended=NULL WHERE id = ?", (sweep_id,))
    for trial in trials(store, found):
        if not trial.pruned:
            store.move(trial.run_id, ["stopped", "interrupted"], "queued", "The sweep goes on.")


def ungroup(workspace: Workspace, sweep_id: str) -> None:
    """Forget the group; its runs stay, as runs like any other. Raises UserError while it searches."""
    store = open_store(workspace)
    if sweep(store, sweep_id).state == "searching":
        raise UserError("The sweep still makes runs.", "sweep", "Stop it first.")
    with changing(store, sweep_id) as connection:
        connection.execute("DELETE FROM sweeps WHERE id = ?", (sweep_id,))


def _advance(workspace: Workspace, store: Store, found: Sweep, submit: Submit, slots: int) -> None:
    known = trials(store, found)
    _take_over(workspace, store, found, known, submit)
    if found.plan.prune != "none":
        _prune(store, found, known)
    tries = [Tries(trial.settings, trial.outcome, trial.figures) for trial in known]
    waiting = sum(trial.is_open for trial in known)
    # What tpe draws depends on what runs before found, so it makes no more than can run; others are queued at once.
    while found.plan.search != "tpe" or waiting < slots:
        settings = next_settings(found.plan, is_greater_better(found.metric), tries)
        if settings is None:
            break
        if not _make(workspace, store, found, len(tries), settings, submit):
            return  # another process has made it; what there is now, the next look tells
        tries.append(Tries(settings, "open"))
        waiting += 1
    if not waiting:
        _end(store, found.id, "finished", "")


def _make(
    workspace: Workspace, store: Store, found: Sweep, number: int, settings: dict[str, Any], submit: Submit
) -> bool:
    """Make a trial and its run; False where another process took that number."""
    run_id = f"{found.id}-{number + 1:02d}"
    with changing(store, found.id) as connection:
        (is_searching,) = connection.execute(
            "SELECT state = 'searching' FROM sweeps WHERE id = ?", (found.id,)
        ).fetchone() or (0,)
        if not is_searching:
            return False
        made = connection.execute(
            "INSERT OR IGNORE INTO trials (sweep, number, run, made, settings) VALUES (?,?,?,?,?)",
            (found.id, number, run_id, time.time(), json.dumps(settings)),
        ).rowcount
    if made:
        _submit(workspace, store, found, number, settings, submit)
        if sweep(store, found.id).state == "stopped":  # by somebody who did not see this run yet
            store.move(run_id, ["queued"], "stopped", OUT_OF_QUEUE)
    return bool(made)


def _submit(
    workspace: Workspace, store: Store, found: Sweep, number: int, settings: dict[str, Any], submit: Submit
) -> None:
    spec = with_settings(found.base, settings)
    update: dict[str, Any] = {"name": f"{found.name}: {settings_words(settings)}"[:200]}
    if number and not spec.split.same_as and spec.split.folds == 0:
        # Drawn with the same seed they would be the same rows anyway, unless the file changes meanwhile.
        update["split"] = spec.split.model_copy(update={"same_as": f"{found.id}-01"})
    try:
        submit(workspace, spec.model_copy(update=update), f"{found.id}-{number + 1:02d}")
    except UserError:
        with changing(store, found.id) as connection:
            connection.execute("DELETE FROM trials WHERE sweep = ? AND number = ?", (found.id, number))
        raise
    with changing(store, found.id) as connection:
        connection.execute("UPDATE trials SET submitted = 1 WHERE sweep = ? AND number = ?", (found.id, number))


def _take_over(workspace: Workspace, store: Store, found: Sweep, known: Sequence[Trial], submit: Submit) -> None:
    """Submit the runs of trials whose maker died before it had."""
    for trial in known:
        if trial.submitted or abs(time.time() - trial.made) < ABANDONED_SECONDS:
            continue
        if trial.run is None:
            shutil.rmtree(workspace.run(trial.run_id).root, ignore_errors=True)
            _submit(workspace, store, found, trial.number, trial.settings, submit)
        else:
            with changing(store, found.id) as connection:
                connection.execute("UPDATE trials SET submitted = 1 WHERE run = ?", (trial.run_id,))


def _prune(store: Store, found: Sweep, known: Sequence[Trial]) -> None:
    """Ask of every run that was evaluated since the last look whether it is hopeless, and stop it where it is."""
    tries = [Tries(trial.settings, trial.outcome, trial.figures) for trial in known]
    for place, trial in enumerate(known):
        run = trial.run
        if run is None or run.state != "running" or trial.pruned or len(trial.figures) <= trial.judged:
            continue
        hopeless = is_hopeless(found.plan, is_greater_better(found.metric), tries, place)
        # After the last evaluation there is nothing left to save.
        is_over = run.progress is None or trial.steps[-1] >= run.progress.total_steps
        reason = _why(found, tries, place) if hopeless and not is_over else ""
        with changing(store, found.id) as connection:
            connection.execute(
                "UPDATE trials SET judged = ?, pruned = ? WHERE run = ?", (len(trial.figures), reason, trial.run_id)
            )
        if reason:
            store.move(trial.run_id, ["running"], "stopping", reason)


def _why(found: Sweep, tries: Sequence[Tries], place: int) -> str:
    """Why a run is hopeless, for people."""
    figures, metric = tries[place].figures, figure_words(found.metric)
    others = [one.figures[: len(figures)] for number, one in enumerate(tries) if number != place and one.figures]
    best = max if is_greater_better(found.metric) else min
    middle = statistics.median(best(one) for one in others)
    count = f"{len(figures)} evaluation{'s' if len(figures) > 1 else ''}"
    return (
        f"Stopped early as hopeless: validation {metric} {best(figures):.3f} after {count}, where the other runs of "
        f"the sweep had {middle:.3f} in the middle."
    )


def _end(store: Store, sweep_id: str, state: str, reason: str) -> None:
    with changing(store, sweep_id) as connection:
        connection.execute(
            "UPDATE sweeps SET state = ?, reason = ?, ended = ? WHERE id = ? AND state = 'searching'",
            (state, reason, time.time(), sweep_id),
        )


def _rows(store: Store, state: str = "") -> list[tuple[Any, ...]]:
    """Of one state only, where it is named."""
    with store.connection() as connection:
        return connection.execute(
            "SELECT id, name, state, reason, created, ended, base, plan FROM sweeps "
            "WHERE ? IN ('', state) ORDER BY created DESC, id DESC",
            (state,),
        ).fetchall()


def _sweep(row: tuple[Any, ...]) -> Sweep:
    """Raises UserError where it holds a setting that there is not."""
    sweep_id, name, state, reason, created, ended, base, plan = row
    base_spec, sweep_spec = parse_spec(json.loads(base), "the store"), parse_sweep(json.loads(plan), "the store")
    return Sweep(sweep_id, name, state, reason, created, ended, base_spec, sweep_spec)
