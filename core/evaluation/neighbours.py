"""Nearest neighbours on embeddings as a baseline: a row gets the classes of the train rows that are most like it.

Likeness is the cosine. Each of the k nearest train rows votes for its own classes with the weight exp(cosine / 0.07),
as Wu et al. (2018, arXiv:1805.01978) do; k is chosen on validation. Numpy alone: whoever has the model makes the
embeddings. Some thousand numbers at a time, so that memory stays within bounds whatever the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.data.allocation import allocate
from core.evaluation.metrics import log_loss
from core.evaluation.multi_label import (
    Thresholds,
    binary_log_loss,
    given_classes,
    micro_f1,
    row_counts,
    tuned_thresholds,
)
from core.evaluation.soft_label import kl_divergence
from core.schema import LabelKind

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

NAME = "neighbours"
TITLE = "Nearest neighbours on untuned embeddings"
NUMBERS = (1, 5, 15, 45)
"""Values of k that are tried."""
SHARPNESS = 0.07
COSINES_AT_ONCE = 8_000_000
"""32 MB: rows of a block times train rows."""
VOTES_AT_ONCE = 8_000_000
"""32 MB: rows of a block times k times classes."""
SEED = 42


NEAREST_FILE = "neighbours.parquet"
"""In the report folder, see core.training.neighbours."""
KEPT = 5
"""Of the nearest train rows of a row, so many are kept to be shown."""


@dataclass(frozen=True)
class Nearest:
    """The few nearest of each row, the nearest first."""

    rows: Integers
    """[asked rows, KEPT or fewer]: places among the rows that vote."""
    cosines: Floats


@dataclass(frozen=True)
class Neighbours:
    """The train rows that vote."""

    embeddings: Floats
    """[rows, width], each of length 1."""
    votes: Floats
    """[rows, classes]: 1 for the row's classes, or its probabilities."""

    def probabilities(self, asked: Floats, numbers: Sequence[int]) -> list[Floats]:
        """What the k nearest say, for each k of `numbers`: float32 [asked rows, classes] each.

        asked: [asked rows, width], each of length 1. A k beyond the train rows asks all of them.
        """
        return self.said_and_nearest(asked, numbers)[0]

    def said_and_nearest(self, asked: Floats, numbers: Sequence[int]) -> tuple[list[Floats], "Nearest"]:
        """The same, and the few nearest of each row, which are found on the way."""
        kept = min(KEPT, len(self.embeddings))
        most = min(max(*numbers, KEPT), len(self.embeddings))
        classes = self.votes.shape[1]
        rows = max(1, min(COSINES_AT_ONCE // len(self.embeddings), VOTES_AT_ONCE // (most * classes)))
        said = [np.zeros((len(asked), classes), np.float32) for _ in numbers]
        few = Nearest(np.zeros((len(asked), kept), np.int64), np.zeros((len(asked), kept), np.float32))
        for start in range(0, len(asked), rows):
            block = slice(start, start + rows)
            cosines = asked[block] @ self.embeddings.T
            nearest = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
            found = np.take_along_axis(cosines, nearest, axis=1)
            order = np.argsort(-found, axis=1, kind="stable")
            nearest, found = np.take_along_axis(nearest, order, axis=1), np.take_along_axis(found, order, axis=1)
            few.rows[block], few.cosines[block] = nearest[:, :kept], found[:, :kept]
            # Less the largest, which is the first: only what the weights are beside each other matters.
            weights = np.exp((found - found[:, :1]) / SHARPNESS)
            votes = weights[:, :, None] * self.votes[nearest]
            for number, k in enumerate(numbers):
                said[number][block] = votes[:, :k].sum(axis=1) / weights[:, :k].sum(axis=1)[:, None]
        return said, few


@dataclass(frozen=True)
class Chosen:
    """The k that does best on validation."""

    k: int
    probabilities: Floats
    """Of validation: [rows, classes]."""
    thresholds: Thresholds | None
    """Of multi labels, tuned on validation."""
    nearest: Nearest
    """Of validation."""


def choose_k(neighbours: Neighbours, asked: Floats, true: npt.NDArray[Any], kind: LabelKind) -> Chosen:
    """asked: embeddings of validation; true: its labels, as core.evaluation.predictions.Predictions has them.

    By accuracy, of equally good ones the lower loss; by micro F1 with tuned thresholds where a row may have several
    classes; by KL divergence where the truth is a probability for each.
    """
    best: tuple[tuple[float, float], Chosen] | None = None
    every, nearest = neighbours.said_and_nearest(asked, NUMBERS)
    for k, said in zip(NUMBERS, every, strict=True):
        thresholds = tuned_thresholds(true, said) if kind == "multi" else None
        score = _score(kind, true, said, thresholds)
        if best is None or score > best[0]:
            best = score, Chosen(k, said, thresholds, nearest)
    assert best is not None
    return best[1]


def _score(kind: LabelKind, true: npt.NDArray[Any], said: Floats, thresholds: Thresholds | None) -> tuple[float, float]:
    """Higher is better."""
    if kind == "soft":
        return -kl_divergence(true, said), 0.0
    if thresholds is not None:
        return micro_f1(row_counts(true, given_classes(said, thresholds))), -binary_log_loss(true > 0, said)
    return float((said.argmax(axis=1) == true).mean()), -log_loss(true, said)


def voting_rows(labels: npt.NDArray[Any], kind: LabelKind, most: int) -> Integers:
    """Train rows that vote, ascending: all of them, or a sample of about `most` in which no class is lost."""
    if len(labels) <= most:
        return np.arange(len(labels))
    classes = labels if kind == "single" else labels.argmax(axis=1)
    return np.flatnonzero(allocate(classes, {"silent": 1 - most / len(labels)}, stratified=True, seed=SEED) == 0)


def votes_of(labels: npt.NDArray[Any], classes: int) -> Floats:
    """float32 [rows, classes] of labels as core.training.job.LabelledTexts has them."""
    if labels.ndim == 2:
        return labels.astype(np.float32)
    return np.eye(classes, dtype=np.float32)[labels]


def note_words(k: int, voting: int, train_rows: int) -> str:
    """In sentences: how it was made, and what was sampled."""
    tried = ", ".join(map(str, NUMBERS))
    words = (
        f"The model as it was before training, its last states averaged over the tokens; cosine. k = {k}, chosen on "
    )
    sample = "" if voting == train_rows else f" It asks a sample of {voting:,} of the {train_rows:,} train rows."
    return f"{words}validation from {tried}.{sample}"
