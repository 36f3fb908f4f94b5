"""A run's own record in its folder, from which the store can be made again: `journal.jsonl`, one JSON object a line.

The store writes a line for each state, metric, event and new name, and for each time that the run is shared or no
longer, before it commits them. A line is preceded by its line break, so that what a crash tears is one line, never the
next one. Nothing is synced: like the store, it can lose its last lines when the power fails, not when a process dies.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.workspace import RunFolder

MADE, STATE, NAME, METRICS, FORGET, EVENT = "made", "state", "name", "metrics", "forget", "event"
SHARED = "shared"


@dataclass
class Told:
    """What a journal comes to when it is read from its start."""

    made: dict[str, Any] = field(default_factory=dict)
    """name, preset, model, data_name; empty where the line is lost."""
    created: float | None = None
    state: str = ""
    reason: str = ""
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    error: dict[str, str] | None = None
    summary: dict[str, Any] | None = None
    shared: bool = False
    """Whether guests see it."""
    metrics: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    """(name, step) to (value, seconds since 1970)."""
    events: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    torn: int = 0
    """Lines that could not be read."""


def append(folder: RunFolder, kind: str, content: dict[str, Any]) -> None:
    """Add a line. Nothing where the run has no folder (yet, or any more). Raises OSError."""
    line = "\n" + json.dumps({"kind": kind, "time": time.time(), **content}, ensure_ascii=False)
    try:
        with folder.journal.open("ab") as file:
            file.write(line.encode())
    except FileNotFoundError:
        return


def read(path: Path) -> Told:
    """Everything that a journal tells; a line that is no JSON object is counted and left out."""
    told = Told()
    if not path.exists():
        return told
    for entry in _entries(path, told):
        _take(told, entry)
    return told


def _entries(path: Path, told: Told) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                yield {**entry, "kind": entry["kind"], "time": float(entry["time"])}
            except (ValueError, TypeError, KeyError):
                told.torn += 1


def _take(told: Told, entry: dict[str, Any]) -> None:
    kind, moment = entry["kind"], entry["time"]
    if kind == MADE:
        told.made = {name: str(entry.get(name, "")) for name in ("name", "preset", "model", "data_name")}
        told.created = moment
    elif kind == NAME:
        told.made["name"] = str(entry.get("name", ""))
    elif kind == SHARED:
        told.shared = bool(entry.get("shared"))
    elif kind == STATE:
        _take_state(told, entry, moment)
    elif kind == METRICS:
        for name, value in entry.get("values", {}).items():
            told.metrics[name, int(entry["step"])] = (float(value), moment)
    elif kind == FORGET:
        told.metrics = {key: value for key, value in told.metrics.items() if key[1] <= entry["step"]}
    elif kind == EVENT:
        told.events.append((moment, str(entry.get("event", "")), entry.get("detail", {})))


def _take_state(told: Told, entry: dict[str, Any], moment: float) -> None:
    told.state, told.reason = str(entry["state"]), str(entry.get("reason", ""))
    told.seconds = float(entry.get("seconds", told.seconds))
    if told.state == "running":
        told.started, told.ended, told.error = moment, None, None
    elif told.state in ("stopped", "interrupted", "failed", "finished"):
        told.ended = moment
    told.error = entry.get("error") or told.error
    told.summary = entry.get("summary") or told.summary
    told.events.append((moment, told.state, {"reason": told.reason} if told.reason else {}))
