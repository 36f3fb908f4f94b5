"""What the phases of a run hand to each other. Light: no torch."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from core.evaluation.multi_label import Thresholds
from core.evaluation.predictions import Baseline, FreeAnswers, Predictions
from core.runs.store import Progress, Store
from core.schema import RunSpec
from core.training.freed_memory import give_back_freed
from core.workspace import RunFolder

SECONDS_BETWEEN_WRITES = 0.5
AFTER_TRAINING = ("evaluating", "saving")


class StopRequestedError(Exception):
    """The store says stop, or with words the disk does; what was learned is in a checkpoint."""


OUTSIDE = "outside"
"""Among the parts: rows for test whose class the train part does not have; their `labels` mean nothing."""


@dataclass(frozen=True)
class LabelledTexts:
    """One part of the split: row_ids int64 [rows], texts [rows], and its labels."""

    row_ids: npt.NDArray[np.int64]
    texts: list[str]
    labels: npt.NDArray[Any]
    """int64 [rows], the class; or float32 [rows, classes]: 1 or 0 (multi), probabilities that sum to 1 (soft)."""
    cells: dict[str, list[str]] = field(default_factory=dict)
    """Further columns, those that the run's prompt names: [rows] each."""


@dataclass(frozen=True)
class Trained:
    """What the best checkpoint says about validation and test, and how training went."""

    validation: Predictions
    test: Predictions
    facts: dict[str, Any]
    thresholds: Thresholds | None = None
    """Of several classes a row, as they were put beside the model."""
    untuned: Predictions | None = None
    """What a language model said of the test part before it was trained."""
    free_answers: dict[str, FreeAnswers] = field(default_factory=dict)
    """Of the untuned and the tuned model."""
    baselines: list[Baseline] = field(default_factory=list)
    """Those that need the run's own model before it is trained."""
    outside: Predictions | None = None
    """Of rows for test whose class the train part does not have; their `true` means nothing."""


@dataclass(frozen=True)
class Phase:
    name: str
    began: float
    """time.monotonic()."""


@dataclass(frozen=True)
class Job:
    """What every phase needs. With `finish_only` no step is trained: the best checkpoint so far becomes the model."""

    spec: RunSpec
    folder: RunFolder
    store: Store
    finish_only: bool = False
    prepare: Callable[[Any], None] | None = None
    """What is done with the trainer before it begins, where training is watched closer than a run is (a probe)."""
    phases: list[Phase] = field(default_factory=list)
    """That this process has begun, one after the other."""

    def enter(self, phase: str, rows: int = 0, done: int = 0) -> None:
        """Say which phase begins. Raises StopRequestedError where the person asked to stop meanwhile."""
        if self.store.stop_requested(self.folder.id):
            raise StopRequestedError
        self._begin(phase)
        before = self.store.run(self.folder.id).progress
        if phase in AFTER_TRAINING and before is not None and before.epochs:
            # How far training came, and where it was best, is still to be seen.
            self.store.set_progress(self.folder.id, replace(before, phase=phase, seconds_left=None))
        else:
            self.store.set_progress(self.folder.id, Progress(phase, step=done, total_steps=rows))

    def say(self, words: str) -> None:
        """A line of the run's log."""
        print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)

    def _begin(self, phase: str) -> None:
        self.say(phase)
        give_back_freed()
        self.phases.append(Phase(phase, time.monotonic()))

    def counting(self, phase: str) -> Callable[[int, int], None]:
        """A function of (rows done, rows in all) that tells the store how far the phase is and how long it will take.

        It raises StopRequestedError where the person asked to stop meanwhile.
        """
        self._begin(phase)
        began = time.monotonic()
        before = self.store.run(self.folder.id).progress
        best = before.best if before is not None else None
        told = began - SECONDS_BETWEEN_WRITES

        def tell(done: int, rows: int) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told < SECONDS_BETWEEN_WRITES:
                return
            told = now
            if self.store.stop_requested(self.folder.id):
                raise StopRequestedError
            left = (now - began) / done * (rows - done) if done else None
            progress = Progress(phase, step=done, total_steps=rows, seconds_left=left, best=best)
            self.store.set_progress(self.folder.id, progress)

        return tell
