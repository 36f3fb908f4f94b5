"""A worker writes down what its run's card does for as long as it lives.

Light: no torch.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from core.gpu_card import MEMORY, WORTH_NAMING, Sample, look, sharing_words
from core.runs.heartbeat import repeating
from core.runs.store import Store

SECONDS_BETWEEN_SAMPLES = 5.0
TOTAL = "gpu/total_bytes"
"""Of the card; once, at step 0."""
SHARED = "card_shared"
"""The event that says which other programs hold memory of the run's card; with none where they are gone."""


@contextmanager
def watching(store: Store, run_id: str) -> Iterator[None]:
    """Within, a thread writes to the store what the run's card does, at the step that the run is at; the most memory
    since the last step, of the rest the newest. Nothing where there is no card."""
    seen = cache(lambda: _Seen(store, run_id))  # first asked in the thread, and where there is a card

    def watch() -> bool:
        sample = look()
        # A store that is locked or full for a while does not end the watch.
        with suppress(sqlite3.OperationalError, OSError):
            if sample is not None:
                seen().take(sample)
        return sample is not None

    with repeating(watch, SECONDS_BETWEEN_SAMPLES, "gpu-watch"):
        yield


class _Seen:
    """What one worker has written down so far."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._step = 0
        self._most = 0.0
        self._has_total = False
        told = store.events(run_id, SHARED)
        self._told = str(told[-1].detail["names"]) if told else ""

    def take(self, sample: Sample) -> None:
        """Samples stand at training steps, as the run's other metrics do: a run that goes on from a checkpoint forgets
        those behind it like the rest."""
        progress = self._store.run(self._run_id).progress
        # Only where epochs are told it counts steps; rows of the test part are none.
        step = progress.step if progress is not None and progress.epochs else self._step
        if step != self._step:
            self._step, self._most = step, 0.0
        values = sample.metrics()
        if MEMORY in values:
            self._most = values[MEMORY] = max(self._most, values[MEMORY])
        self._store.add_metrics(self._run_id, step, values)
        if sample.total_bytes is not None and not self._has_total:
            self._store.add_metrics(self._run_id, 0, {TOTAL: float(sample.total_bytes)})
            self._has_total = True
        self._tell(sample)

    def _tell(self, sample: Sample) -> None:
        """An event where other programs come to take what is worth a word, or go."""
        large = [holder for holder in sample.others if holder.bytes >= WORTH_NAMING]
        names = ", ".join(sorted({holder.name for holder in large}))
        if names != self._told:
            self._told = names
            self._store.add_event(self._run_id, SHARED, {"names": names, "words": sharing_words(tuple(large))})
