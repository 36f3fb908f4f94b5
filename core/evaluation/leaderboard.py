"""The leaderboard: for every set of test rows that runs of the workspace share, one table of those runs, their
baselines, and language models before training, the best first, each tested against the best on the same rows.

The best is the one with the highest accuracy, of several classes a row micro F1. The tests are paired (see paired.py);
their p values are raised by Holm's method, since the best was picked from among those that it is tested against. Runs
over other rows are in other tables, whatever their files are called.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from core.evaluation.multi_verdict import compare_sets
from core.evaluation.paired import Outcome, compared_words, holm, macro_f1_difference, mcnemar, outcome_of, sure_words
from core.evaluation.standing import Contestant, Standing, standing_of, title_of
from core.runs.records import told_apart
from core.runs.store import Run, open_store
from core.workspace import Workspace

MOST_RUNS = 10_000
TESTS_KEPT = 4096


@dataclass(frozen=True)
class AgainstBest:
    """What the paired test says of a row of the table beside the best one."""

    outcome: Outcome
    """Of this row: `worse`, or `unclear` where the difference from the best may be chance."""
    difference: float
    """Accuracy, of several classes a row micro F1, of this row less that of the best."""
    p_value: float
    """Raised by Holm's method over all rows of the table."""
    right_alone: int
    """Rows that this one alone has right."""
    best_alone: int
    macro_f1_difference: float
    """Macro F1 of this row less that of the best."""
    macro_f1_interval: list[float]
    macro_f1_outcome: Outcome
    """Of this row; it may be `better`, since the best is the best by another figure."""
    macro_f1_p_value: float
    """Raised likewise."""
    words: str


@dataclass(frozen=True)
class Entry:
    """A row of the table."""

    title: str
    run: str
    """The run that it is, or with which it was measured."""
    figures: Contestant
    against_best: AgainstBest | None
    """None of the best itself."""


@dataclass(frozen=True)
class Board:
    id: str
    data: str
    rows: int
    classes: int
    several: bool
    """Rows may have several classes: micro F1 decides, not accuracy."""
    sentence: str
    entries: tuple[Entry, ...]
    """The best first."""


@dataclass(frozen=True)
class _Row:
    title: str
    run: str
    figures: Contestant
    standing: Standing
    place: int
    """In the standing's `given`."""


def leaderboard(workspace: Workspace) -> list[Board]:
    """Every board of the workspace's finished runs, that with the newest run first."""
    boards: dict[str, list[tuple[Run, Standing]]] = {}
    for run in open_store(workspace).runs(limit=MOST_RUNS, states=("finished",)):
        standing = standing_of(workspace.run(run.id))
        if standing is not None:
            boards.setdefault(standing.rows_id, []).append((run, standing))
    return [_board(members) for members in map(_told_apart, boards.values())]


def _told_apart(members: Sequence[tuple[Run, Standing]]) -> list[tuple[Run, Standing]]:
    runs = told_apart([run for run, _ in members])
    return list(zip(runs, (standing for _, standing in members), strict=True))


def as_json(boards: Sequence[Board]) -> dict[str, Any]:
    content = []
    for board in boards:
        entries = [
            {**asdict(entry.figures), "title": entry.title, "run": entry.run, "against_best": _tested_json(entry)}
            for entry in board.entries
        ]
        content.append({**asdict(board), "entries": entries})
    return {"boards": content}


def _tested_json(entry: Entry) -> dict[str, Any] | None:
    return None if entry.against_best is None else asdict(entry.against_best)


def _board(members: Sequence[tuple[Run, Standing]]) -> Board:
    standing = members[0][1]
    several = standing.kind == "multi"
    rows = sorted(_rows(members), key=lambda row: _strength(row, several), reverse=True)
    best, others = rows[0], rows[1:]
    found = [tested(row.standing, row.place, best.standing, best.place) for row in others]
    entries = [Entry(best.title, best.run, best.figures, None)]
    entries += [
        Entry(row.title, row.run, row.figures, told)
        for row, told in zip(others, raised(found, "the best"), strict=True)
    ]
    return Board(
        id=standing.rows_id[:12],
        data=standing.data,
        rows=len(standing.true),
        classes=len(standing.labels),
        several=several,
        sentence=_sentence(entries, several),
        entries=tuple(entries),
    )


def raised(found: Sequence[AgainstBest], against: str) -> list[AgainstBest]:
    """With p values that allow for the number of tests, what follows from them, and in words.

    against: the name of the one that all were tested against.
    """
    told = []
    p_values, macro = holm([one.p_value for one in found]), holm([one.macro_f1_p_value for one in found])
    for one, p_value, of_macro in zip(found, p_values, macro, strict=True):
        outcome = outcome_of(p_value, one.difference)
        told.append(
            replace(
                one,
                outcome=outcome,
                p_value=p_value,
                macro_f1_outcome=outcome_of(of_macro, one.macro_f1_difference),
                macro_f1_p_value=of_macro,
                words=compared_words(outcome, against, p_value),
            )
        )
    return told


def _rows(members: Iterable[tuple[Run, Standing]]) -> list[_Row]:
    """One row for each contestant; baselines that answer alike, as those of runs that learned from the same rows do,
    are one. Others of the same kind are told apart by the run that they were measured with."""
    rows: list[_Row] = []
    seen: set[tuple[str, bytes]] = set()
    for run, standing in members:
        for place, figures in enumerate(standing.contestants):
            title = title_of(run, figures)
            if figures.rank == "baseline":
                key = (figures.name, np.ascontiguousarray(standing.given[place]).tobytes())
                if key in seen:
                    continue
                title += f" (of {run.name})" if any(name == figures.name for name, _ in seen) else ""
                seen.add(key)
            rows.append(_Row(title, run.id, figures, standing, place))
    return rows


def _strength(row: _Row, several: bool) -> tuple[float, float]:
    return (row.figures.micro_f1 if several else row.figures.accuracy), row.figures.macro_f1


@lru_cache(maxsize=TESTS_KEPT)
def tested(standing: Standing, place: int, best: Standing, best_place: int) -> AgainstBest:
    """Of the answers at these places, before p values are raised. Standings are kept, so they are the same again."""
    true, given, leading = standing.true, standing.given[place], best.given[best_place]
    if standing.kind == "multi":
        sets = compare_sets("", true.astype(np.float32), given, leading)
        macro, p_value, alone = sets.macro_f1, sets.p_value, (sets.model_only, sets.baseline_only)
        difference = sets.difference
    else:
        right = mcnemar(given == true, leading == true)
        macro = macro_f1_difference(true, given, leading, len(standing.labels))
        p_value, alone = right.p_value, (right.first_only, right.second_only)
        difference = (right.first_only - right.second_only) / len(true)
    return AgainstBest(
        "unclear", difference, p_value, *alone, macro.difference, macro.interval, "unclear", macro.p_value, ""
    )


def _sentence(entries: Sequence[Entry], several: bool) -> str:
    """Who leads, and whom it clearly beats."""
    best = entries[0]
    figure = f"micro F1 {best.figures.micro_f1:.3f}" if several else f"right on {best.figures.accuracy * 100:.1f} %"
    said = [f"Best: {best.title}, {figure}."]
    if best.figures.rank == "baseline" and any(entry.figures.rank == "run" for entry in entries):
        said.append("No trained model is ahead of this baseline.")
    beaten = [entry for entry in entries[1:] if entry.against_best and entry.against_best.outcome == "worse"]
    for entry in beaten:
        if entry.figures.name == "tfidf" and entry.against_best and best.figures.rank != "baseline":
            said.append(f"Better than TF-IDF ({sure_words(entry.against_best.p_value)}).")
            break
    unclear = [entry.title for entry in entries[1:] if entry not in beaten]
    if unclear:
        said.append(f"No clear difference from {_some(unclear)}.")
    elif beaten:
        said.append("Clearly better than all others here.")
    ahead = [one.title for one in entries[1:] if one.against_best and one.against_best.macro_f1_outcome == "better"]
    if ahead:
        said.append(f"But over all classes alike, by macro F1, it is clearly behind {_some(ahead)}.")
    return " ".join(said)


def _some(titles: Sequence[str], most: int = 3) -> str:
    more = f" and {len(titles) - most} more" if len(titles) > most else ""
    return ", ".join(titles[:most]) + more
