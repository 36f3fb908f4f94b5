"""The leaderboard of a sweep: its runs by what they reached on the validation rows, never on the test rows.

If the test rows chose the settings, the test figure of the chosen run would no longer be one of unseen rows. So it is
told once, of the chosen run, when the sweep is over. The validation figure of the best of many is a little too good for
the same reason.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.runs.store import Store
from core.runs.sweep_search import best_figure
from core.runs.sweeps import Sweep, Trial, trials
from core.schema import RunSpec, shown_name
from core.sweep_spec import figure_words, is_greater_better, planned_trials, settings_words

WHY_VALIDATION = (
    "Runs are compared by the validation rows. If the test rows chose the settings, the test figure would no longer be "
    "about unseen rows; so it is told once, of the best run, when the sweep is over."
)
MOST_MEASURED = 200
"""Finished runs that an estimate looks at."""


@dataclass(frozen=True)
class Entry:
    trial: Trial
    figure: float | None
    """The best validation figure so far; None before the first evaluation."""
    is_best: bool
    """Of the runs that have finished."""

    @property
    def state(self) -> str:
        """finished, running, queued, pruned, stopped, interrupted, failed or deleted."""
        trial = self.trial
        if trial.outcome == "pruned":
            return "pruned"
        if trial.run is None:
            return "deleted" if trial.submitted else "queued"
        return trial.run.state


@dataclass(frozen=True)
class SweepBoard:
    sweep: Sweep
    metric: str
    entries: tuple[Entry, ...]
    """The finished ones first, the best of them at the top; then those stopped early; then the others by number."""
    planned: int
    """Runs at most."""

    @property
    def best(self) -> Entry | None:
        return next((entry for entry in self.entries if entry.is_best), None)

    @property
    def open(self) -> int:
        """Runs that wait or are active."""
        return sum(entry.trial.is_open for entry in self.entries)

    @property
    def test(self) -> dict[str, Any] | None:
        """The test figures of the best run, once nothing can be chosen by them any more."""
        if self.sweep.state == "searching" or self.open or self.best is None or self.best.trial.run is None:
            return None
        found: dict[str, Any] | None = self.best.trial.run.summary.get("test")
        return found

    @property
    def sentence(self) -> str:
        best = self.best
        if best is None or best.figure is None:
            return "" if self.open or self.sweep.state == "searching" else "No run of it finished."
        words = f"Best so far by validation {figure_words(self.metric)}: " if self.test is None else "Best: "
        told = f"{words}{best.figure:.3f} with {settings_words(best.trial.settings)}."
        return f"{told} {_test_words(self.test)}" if self.test is not None else told


def sweep_board(store: Store, found: Sweep) -> SweepBoard:
    """As the store has it now."""
    greater = is_greater_better(found.metric)
    known = trials(store, found)
    figures = {trial.number: best_figure(trial.figures, greater) for trial in known if trial.figures}
    done = [trial for trial in known if trial.outcome == "done" and trial.number in figures]
    done.sort(key=lambda trial: (-figures[trial.number] if greater else figures[trial.number], trial.number))
    pruned = [trial for trial in known if trial.outcome == "pruned"]
    placed = {trial.number for trial in (*done, *pruned)}
    others = [trial for trial in known if trial.number not in placed]
    best = done[0].number if done else None
    entries = [Entry(one, figures.get(one.number), one.number == best) for one in (*done, *pruned, *others)]
    return SweepBoard(found, found.metric, tuple(entries), planned_trials(found.plan))


def estimated_seconds(store: Store, base: RunSpec, rows: int | None = None) -> tuple[float, str] | None:
    """Seconds of one run like this on this machine, and from what that is known; None where nothing alike was run.

    rows: usable rows of the training file. Runs with the same model on the same data come first, else such on other
    data, by their rows. Other epochs or batches than theirs are not reckoned with.
    """
    runs = [run for run in store.runs(limit=MOST_MEASURED, states=("finished",)) if run.model == base.model.source]
    name = shown_name(base.data.train)
    same = [run.seconds for run in runs if run.data_name == name]
    if same:
        count = f"{len(same)} run{'s' if len(same) > 1 else ''}"
        return statistics.median(same), f"measured: {count} with this model on these data"
    a_row = [run.seconds / sum(run.summary["rows"].values()) for run in runs if run.summary.get("rows")]
    if not a_row or not rows:
        return None
    return statistics.median(a_row) * rows, "by the rows, from runs with this model on other data"


def as_json(boards: Sequence[SweepBoard]) -> dict[str, Any]:
    return {"sweeps": [_board_json(board) for board in boards]}


def _board_json(board: SweepBoard) -> dict[str, Any]:
    found, best = board.sweep, board.best
    return {
        "sweep": found.id,
        "name": found.name,
        "status": found.state,
        "reason": found.reason,
        "search": found.plan.search,
        "metric": f"validation {board.metric}",
        "planned": board.planned,
        "best": best.trial.run_id if best is not None else None,
        "test": board.test,
        "runs": [
            {
                "run": entry.trial.run_id,
                "status": entry.state,
                "settings": entry.trial.settings,
                "figure": entry.figure,
                "evaluations": len(entry.trial.figures),
                "reason": entry.trial.pruned or (entry.trial.run.reason if entry.trial.run is not None else ""),
                "seconds": round(entry.trial.run.seconds, 1) if entry.trial.run is not None else None,
            }
            for entry in board.entries
        ],
        "sentence": board.sentence,
    }


def _test_words(test: dict[str, Any]) -> str:
    if "perplexity" in test:
        return f"On the test rows, which chose nothing: perplexity {test['perplexity']:.3g}."
    if "micro_f1" in test:
        return f"On the test rows, which chose nothing: micro F1 {test['micro_f1']:.3f}."
    low, high = test["accuracy_interval"]
    return (
        f"On the test rows, which chose nothing: right on {100 * test['accuracy']:.1f} % "
        f"(95 % sure: {100 * low:.1f} to {100 * high:.1f})."
    )
