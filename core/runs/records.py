"""What the store gives back: a run, its progress, its points and events, each as it was when it was read."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any


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
    shared: bool = False
    """Whether guests see it."""
    heartbeat: float | None = None
    """When its worker last said that it lives."""


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


_FIELDS = tuple(field.name for field in fields(Run))
RUN_COLUMNS = ", ".join(_FIELDS)
"""Of the table runs, in the order that `run_of` takes them."""


def run_of(row: tuple[Any, ...]) -> Run:
    values = dict(zip(_FIELDS, row, strict=True))
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
            "shared": bool(values["shared"]),
        }
    )


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """The same runs; where several have one name, each is called by it and by its id."""
    held = Counter(run.name for run in runs)
    return [replace(run, name=f"{run.name} ({run.id})") if held[run.name] > 1 else run for run in runs]
