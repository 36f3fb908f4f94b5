"""Where the expected calibration error lies with 95 % confidence: a bootstrap over the rows.

Resampled rows are always a little worse calibrated than those that they are drawn from, for the noise in each step of
confidence counts as error (Kumar, Liang, Ma 2019, "Verified Uncertainty Calibration", arXiv:1909.10155). What that adds
on average is taken off again, so that the interval lies around the figure itself, which is as much too high on its own
account. Rows are dealt at random into at most GROUPS groups which are drawn whole, so that it takes as long for 100,000
rows as for 2,000.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from core.evaluation.kinds import likeliest
from core.evaluation.metrics import CALIBRATION_BINS, CONFIDENCE, Floats
from core.schema import LabelKind

GROUPS = 2000
RESAMPLES = 2000
SEED = 42


def calibration_error_interval(kind: LabelKind, true: npt.NDArray[Any], probabilities: Floats) -> list[float]:
    """From, to: shares, 0 to 1. true, probabilities: as core.evaluation.predictions.Predictions has them.

    Where a row may have several classes, rows are drawn with all their pairs of row and class, as those are not
    independent.
    """
    gaps = _gaps(kind, true, probabilities)
    rng = np.random.default_rng(SEED)
    groups = min(GROUPS, len(gaps))
    dealt = rng.permutation(len(gaps)) % groups
    sums = np.zeros((groups, CALIBRATION_BINS))
    np.add.at(sums, dealt, gaps)
    pairs = len(true) * (probabilities.shape[1] if kind == "multi" else 1)
    sizes = np.bincount(dealt, minlength=groups) * (pairs / len(gaps))
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=RESAMPLES)
    errors = np.abs(drawn @ sums).sum(axis=1) / (drawn @ sizes)
    error = np.abs(sums.sum(axis=0)).sum() / pairs
    low, high = np.quantile(errors, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) - (errors.mean() - error)
    return [max(0.0, float(min(low, error))), min(1.0, float(max(high, error)))]


def _gaps(kind: LabelKind, true: npt.NDArray[Any], probabilities: Floats) -> npt.NDArray[np.float64]:
    """[rows, steps of confidence]: confidence less being right, summed over what a row has in each step."""
    if kind == "multi":
        said, so = probabilities.astype(np.float64), true > 0
    else:
        said = probabilities.max(axis=1, keepdims=True).astype(np.float64)
        so = (probabilities.argmax(axis=1) == likeliest(kind, true))[:, None]
    step = np.clip(np.ceil(said * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    place = step + CALIBRATION_BINS * np.arange(len(said))[:, None]
    gaps: npt.NDArray[np.float64] = (said - so).ravel()
    sums: npt.NDArray[np.float64] = np.bincount(place.ravel(), gaps, len(said) * CALIBRATION_BINS).astype(np.float64)
    return sums.reshape(len(said), CALIBRATION_BINS)
