"""Puts a run back into the store as its folder tells it."""

import json
from dataclasses import dataclass

from core.runs.journal import Told
from core.runs.store import Store


@dataclass(frozen=True)
class Restored:
    id: str
    told: Told


def restore(store: Store, run: Restored) -> None:
    """All of the run in one transaction. The journal is not written to: it says this already."""
    told = run.told
    values = {
        "id": run.id,
        **told.made,
        "state": told.state,
        "reason": told.reason,
        "created": told.created,
        "started": told.started,
        "ended": told.ended,
        "seconds": told.seconds,
        "shared": told.shared,
        "error": json.dumps(told.error) if told.error else None,
        "summary": json.dumps(told.summary) if told.summary else None,
    }
    points = [(name, step, value, moment) for (name, step), (value, moment) in told.metrics.items()]
    store.put_back_run(values, points, told.events)
