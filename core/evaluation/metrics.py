"""Figures of a set of predictions, equal to scikit-learn's on the same ones (tests/unit/test_metrics.py holds that).

Written out in numpy because a run asks for them at every evaluation, and a page may: importing scikit-learn takes
longer than counting.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054
"""Of CONFIDENCE, two-sided."""
CALIBRATION_BINS = 10


def classification_metrics(true: Integers, probabilities: Floats, labels: Sequence[str]) -> dict[str, Any]:
    """Every figure of the report for one part.

    true: int64 [rows], rows >= 1, indices into `labels`. probabilities: [rows, classes], each row summing to 1. The
    predicted class is the most probable one, of equal ones the first. Averages over classes are over those that occur
    in truth or prediction, as scikit-learn's are; what would be divided by zero is 0. Shares are 0 to 1.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(true, predicted, len(labels))
    right = int(np.trace(confusion))
    support, given = confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall, f1 = _per_class(confusion)
    present = (support + given) > 0
    calibration = calibration_table(true, probabilities)
    return {
        "rows": len(true),
        "accuracy": right / len(true),
        "accuracy_interval": list(wilson_interval(right, len(true))),
        "macro_f1": float(f1[present].mean()),
        "micro_f1": right / len(true),
        "weighted_f1": float((f1 * support).sum() / len(true)),
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "weighted_precision": float((precision * support).sum() / len(true)),
        "weighted_recall": right / len(true),
        "log_loss": log_loss(true, probabilities),
        "calibration_error": calibration_error(calibration, len(true)),
        "calibration": calibration,
        "per_class": [
            {
                "label": label,
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "f1": float(f1[number]),
                "support": int(support[number]),
                "predicted": int(given[number]),
                # Of the class's own rows, how many are right: what tables call a class's accuracy is its recall.
                "accuracy": float(recall[number]),
            }
            for number, label in enumerate(labels)
        ],
        "confusion": confusion.tolist(),
    }


def confusion_matrix(true: Integers, predicted: Integers, classes: int) -> Integers:
    """int64 [classes, classes]: rows are the true class, columns the predicted one."""
    counts = np.bincount(true * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def wilson_interval(right: int, rows: int) -> tuple[float, float]:
    """Where the true share lies with 95 % confidence (Wilson 1927, without continuity correction).

    The same as scipy.stats.binomtest(right, rows).proportion_ci(method="wilson"), whose import takes a second.
    """
    share, square = right / rows, NORMAL_QUANTILE**2
    centre = (share + square / (2 * rows)) / (1 + square / rows)
    half = NORMAL_QUANTILE / (1 + square / rows) * (share * (1 - share) / rows + square / (4 * rows**2)) ** 0.5
    low = 0.0 if right == 0 else centre - half
    high = 1.0 if right == rows else centre + half
    return low, high


def log_loss(true: Integers, probabilities: Floats) -> float:
    """Mean of -log of the true class's probability, in nats; probabilities are kept off 0 by their type's precision."""
    of_true = probabilities[np.arange(len(true)), true]
    smallest = np.finfo(probabilities.dtype).eps
    return float(-np.log(np.clip(of_true, smallest, 1 - smallest).astype(np.float64)).mean())


def calibration_table(true: Integers, probabilities: Floats) -> list[dict[str, Any]]:
    """How sure the model was against how often it was right, in ten equal steps of confidence; empty steps left out.

    The rows of a reliability diagram (Guo et al. 2017, arXiv:1706.04599): from, to, rows, confidence (mean), accuracy.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == true
    # A step holds its upper edge, as in the paper.
    step = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    table = []
    for number in np.unique(step):
        inside = step == number
        table.append(
            {
                "from": float(number / CALIBRATION_BINS),
                "to": float((number + 1) / CALIBRATION_BINS),
                "rows": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    return table


def _per_class(confusion: Integers) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Precision, recall and F1, float64 [classes] each; 0 where a class was never predicted or never occurs."""
    right = np.diag(confusion).astype(np.float64)
    support, given = confusion.sum(axis=1), confusion.sum(axis=0)
    precision = _divided(right, given)
    recall = _divided(right, support)
    return precision, recall, _divided(2 * right, support + given)


def _divided(numerator: npt.NDArray[np.float64], denominator: Integers) -> npt.NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def calibration_error(table: Sequence[dict[str, Any]], rows: int) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, weighted by rows."""
    return float(sum(step["rows"] * abs(step["confidence"] - step["accuracy"]) for step in table) / rows)
