"""What a model said, as trainers hand it to evaluation. Light: numpy alone, so that GPU tests need no more."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Predictions:
    """What a model said of one part."""

    row_ids: npt.NDArray[np.int64]
    """int64 [rows], as in examples.parquet."""
    true: npt.NDArray[Any]
    """int64 [rows], indices into the labels; or float32 [rows, classes]: 1 or 0 (multi), probabilities (soft)."""
    probabilities: npt.NDArray[np.float32]
    """float32 [rows, classes], each row summing to 1; of multi labels each by itself between 0 and 1."""


@dataclass(frozen=True)
class FreeAnswers:
    """What a language model wrote when it was left to itself: a check beside the scores."""

    rows: int
    """Rows that it was asked."""
    no_label: int
    """Rows whose answer is none of the classes."""
    examples: list[dict[str, str]]
    """Some of those: text, answer, true."""


@dataclass(frozen=True)
class Baseline:
    name: str
    """`majority`, `tfidf` or `neighbours`."""
    title: str
    seconds: float
    """Wall time of fitting and predicting."""
    fit_rows: int
    """Train rows it learned from; fewer than the train part has where it was sampled."""
    note: str
    """How it was made, and what was sampled or left out, in a sentence or two."""
    probabilities: dict[str, npt.NDArray[np.float32]]
    """validation and test: float32 [rows, classes], rows as in the part."""
    thresholds: npt.NDArray[np.float64] | None = None
    """Of multi labels, float64 [classes]: a row is given a class from this probability on."""
    rows_per_second: float | None = None
    """How fast it answers, where that was measured."""


def same_for_all(
    shares: npt.NDArray[np.float32], validation_rows: int, test_rows: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Everyone is given the same shares, float32 [classes]: what Baseline.probabilities holds."""
    return {"validation": np.tile(shares, (validation_rows, 1)), "test": np.tile(shares, (test_rows, 1))}
