"""What the phases of a run hand to each other. Light: no torch."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.evaluation.predictions import Predictions
from core.runs.store import Progress, Store
from core.schema import RunSpec
from core.workspace import RunFolder


class StopRequestedError(Exception):
    """The store says stop; what was learned is in a checkpoint."""


@dataclass(frozen=True)
class LabelledTexts:
    """One part of the split: row_ids int64 [rows], texts [rows], labels int64 [rows]."""

    row_ids: npt.NDArray[np.int64]
    texts: list[str]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """What the best checkpoint says about validation and test, and how training went."""

    validation: Predictions
    test: Predictions
    facts: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What every phase needs. With `finish_only` no step is trained: the best checkpoint so far becomes the model."""

    spec: RunSpec
    folder: RunFolder
    store: Store
    finish_only: bool = False

    def enter(self, phase: str, rows: int = 0, done: int = 0) -> None:
        """Say which phase begins. Raises StopRequestedError where the person asked to stop meanwhile."""
        if self.store.stop_requested(self.folder.id):
            raise StopRequestedError
        print(f"{time.strftime('%H:%M:%S')} {phase}", flush=True)
        self.store.set_progress(self.folder.id, Progress(phase, step=done, total_steps=rows))
