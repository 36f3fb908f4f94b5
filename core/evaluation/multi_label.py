"""Figures of multi-label predictions, and the probability from which on a row is given a class.

Equal to scikit-learn's on the same predictions (tests/unit/test_multi_label.py holds that), and in numpy alone for the
reason that metrics.py gives. A row is given every class whose probability reaches that class's threshold; it may be
given none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.evaluation.metrics import CALIBRATION_BINS, CONFIDENCE, Floats, wilson_interval

Thresholds = npt.NDArray[np.float64]
Yes = npt.NDArray[np.bool_]

USUAL_THRESHOLD = 0.5
LEAST_THRESHOLD, MOST_THRESHOLD = 0.05, 0.95
"""A threshold beyond these comes from one or two odd rows of validation, and gives a class to everyone or to no one."""
RESAMPLES = 2000
SEED = 42


@dataclass(frozen=True)
class RowCounts:
    """What a row's given classes come to, int64 [rows] each."""

    right: npt.NDArray[np.int64]
    """Classes given that it has."""
    given: npt.NDArray[np.int64]
    had: npt.NDArray[np.int64]


def tuned_thresholds(true: Floats, probabilities: Floats) -> Thresholds:
    """For each class the threshold with the best F1 on these rows (validation): float64 [classes].

    true: [rows, classes], 1 or 0; probabilities likewise, 0 to 1. Tried are the middles between neighbouring
    probabilities, from LEAST_ to MOST_THRESHOLD; of equally good ones the nearest to 0.5. 0.5 where a class has no row.

    One threshold a class, each by itself, is SCut (Yang 2001, "A study of thresholding strategies for text
    categorization", SIGIR); where probabilities are calibrated the best one is half the F1 that it reaches, so below
    0.5 (Lipton et al. 2014, arXiv:1402.1892). Fan and Lin (2007) describe how it overfits on classes with few rows,
    which is why it is kept off the extremes.
    """
    classes = true.shape[1]
    return np.array([_tuned(true[:, number] > 0, probabilities[:, number]) for number in range(classes)], np.float64)


def _tuned(has: Yes, probabilities: Floats) -> float:
    if not has.any():
        return USUAL_THRESHOLD
    everyone = np.sort(probabilities.astype(np.float64))
    theirs = np.sort(probabilities[has].astype(np.float64))
    distinct = np.unique(everyone)
    middles = (distinct[:-1] + distinct[1:]) / 2
    inside = middles[(middles > LEAST_THRESHOLD) & (middles < MOST_THRESHOLD)]
    tried = np.concatenate((inside, [LEAST_THRESHOLD, USUAL_THRESHOLD, MOST_THRESHOLD]))
    right = len(theirs) - np.searchsorted(theirs, tried)
    given = len(everyone) - np.searchsorted(everyone, tried)
    f1 = 2 * right / (given + len(theirs))
    best = tried[f1 >= f1.max() - 1e-12]
    return float(best[np.abs(best - USUAL_THRESHOLD).argmin()])


def given_classes(probabilities: Floats, thresholds: Thresholds) -> Yes:
    """Which classes each row is given: bool [rows, classes]."""
    return probabilities >= thresholds


def row_counts(true: Floats, given: Yes) -> RowCounts:
    """true: [rows, classes], 1 or 0; given: bool likewise."""
    has = true > 0
    return RowCounts((has & given).sum(axis=1), given.sum(axis=1), has.sum(axis=1))


def multi_label_metrics(
    true: Floats, probabilities: Floats, thresholds: Thresholds, labels: Sequence[str]
) -> dict[str, Any]:
    """Every figure of the report for one part.

    true: [rows, classes], rows >= 1, 1 or 0. probabilities likewise, each by itself from 0 to 1. thresholds: float64
    [classes]. Shares are 0 to 1; what would be divided by zero is 0.

    accuracy: share of rows whose classes are exactly right (subset accuracy). micro_f1: all pairs of row and class
    together. macro_f1: mean over the classes that occur in truth or prediction (scikit-learn with zero_division=nan).
    samples_f1: mean over the rows; 1 for one that has no class and is given none (zero_division=1). hamming_loss: share
    of pairs that are wrong. log_loss: mean over pairs, nats. calibration: pairs by their probability; its accuracy is
    the share of them that are so. only_prediction: the classes that every row is given, where it is the same for all
    although the truth is not, else null.
    """
    has, given = true > 0, given_classes(probabilities, thresholds)
    counts = row_counts(true, given)
    right, wanted, predicted = (has & given).sum(axis=0), has.sum(axis=0), given.sum(axis=0)
    precision, recall, f1 = _share(right, predicted), _share(right, wanted), _share(2 * right, wanted + predicted)
    present = (wanted + predicted) > 0
    exact = int((has == given).all(axis=1).sum())
    calibration = _calibration(has, probabilities)
    return {
        "rows": len(true),
        "accuracy": exact / len(true),
        "accuracy_interval": list(wilson_interval(exact, len(true))),
        "micro_f1": micro_f1(counts),
        "micro_f1_interval": list(micro_f1_interval(counts)),
        "macro_f1": float(f1[present].mean()) if present.any() else 0.0,
        "samples_f1": float(_samples_f1(counts).mean()),
        "weighted_f1": float((f1 * wanted).sum() / max(1, wanted.sum())),
        "micro_precision": float(right.sum() / max(1, predicted.sum())),
        "micro_recall": float(right.sum() / max(1, wanted.sum())),
        "macro_precision": float(precision[present].mean()) if present.any() else 0.0,
        "macro_recall": float(recall[present].mean()) if present.any() else 0.0,
        "weighted_precision": float((precision * wanted).sum() / max(1, wanted.sum())),
        "weighted_recall": float((recall * wanted).sum() / max(1, wanted.sum())),
        "hamming_loss": float((has != given).mean()),
        "log_loss": binary_log_loss(has, probabilities),
        "calibration_error": float(
            sum(step["rows"] * abs(step["confidence"] - step["accuracy"]) for step in calibration) / has.size
        ),
        "calibration": calibration,
        "classes_a_row": {"true": float(counts.had.mean()), "predicted": float(counts.given.mean())},
        "rows_without_class": {"true": int((counts.had == 0).sum()), "predicted": int((counts.given == 0).sum())},
        "only_prediction": _only_prediction(has, given, labels),
        "per_class": [
            {
                "label": label,
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "f1": float(f1[number]),
                "support": int(wanted[number]),
                "predicted": int(predicted[number]),
                "threshold": float(thresholds[number]),
                # Of the rows that have the class, how many were given it: in tables a class's accuracy.
                "accuracy": float(recall[number]),
                "missed": int(wanted[number] - right[number]),
                "added": int(predicted[number] - right[number]),
            }
            for number, label in enumerate(labels)
        ],
    }


def micro_f1(counts: RowCounts) -> float:
    """2 x right / (given + had), over all rows; 0 where nothing is given or had."""
    return 2 * int(counts.right.sum()) / max(1, int(counts.given.sum() + counts.had.sum()))


def micro_f1_interval(counts: RowCounts) -> tuple[float, float]:
    """Where micro F1 lies with 95 % confidence: the percentiles of RESAMPLES bootstrap samples of the rows."""
    (drawn,) = resampled_micro_f1([counts])
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def resampled_micro_f1(predictions: Sequence[RowCounts]) -> npt.NDArray[np.float64]:
    """Micro F1 of several predictions of the same rows on the same bootstrap samples: [predictions, RESAMPLES]."""
    columns = [column for counts in predictions for column in (counts.right, counts.given + counts.had)]
    # Rows that come to the same are one kind, and a sample is how many it holds of each: small, whatever the rows.
    kinds, rows = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(rows.sum(), rows / rows.sum(), size=RESAMPLES)
    sums = (drawn @ kinds).T
    return 2 * sums[0::2] / np.maximum(1, sums[1::2])


def binary_log_loss(true: Yes, probabilities: Floats) -> float:
    """Mean of -log of what was said of each pair, in nats; kept off 0 by the type's precision."""
    said = np.where(true, probabilities, 1 - probabilities)
    smallest = np.finfo(probabilities.dtype).eps
    return float(-np.log(np.clip(said, smallest, 1 - smallest).astype(np.float64)).mean())


def joined_labels(labels: Sequence[str], separator: str) -> str:
    """Classes as one cell, in class order: `cs.CL; cs.LG`. The same separator parts them again when a file is read."""
    return f"{separator} ".join(labels) if separator.strip() else separator.join(labels)


def _calibration(has: Yes, probabilities: Floats) -> list[dict[str, Any]]:
    """As metrics.calibration_table's, of all pairs of row and class: from, to, rows (pairs), confidence, accuracy."""
    said, so = probabilities.ravel().astype(np.float64), has.ravel()
    step = np.clip(np.ceil(said * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    pairs = np.bincount(step, minlength=CALIBRATION_BINS)
    sums = np.bincount(step, said, minlength=CALIBRATION_BINS)
    were = np.bincount(step, so, minlength=CALIBRATION_BINS)
    return [
        {
            "from": number / CALIBRATION_BINS,
            "to": (number + 1) / CALIBRATION_BINS,
            "rows": int(pairs[number]),
            "confidence": float(sums[number] / pairs[number]),
            "accuracy": float(were[number] / pairs[number]),
        }
        for number in range(CALIBRATION_BINS)
        if pairs[number]
    ]


def _samples_f1(counts: RowCounts) -> npt.NDArray[np.float64]:
    both = counts.given + counts.had
    return np.where(both == 0, 1.0, 2 * counts.right / np.maximum(1, both))


def _only_prediction(has: Yes, given: Yes, labels: Sequence[str]) -> list[str] | None:
    if (given != given[0]).any() or (has == has[0]).all():
        return None
    return [label for label, is_given in zip(labels, given[0], strict=True) if is_given]


def _share(numerator: npt.NDArray[np.int64], denominator: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return numerator / np.maximum(1, denominator)
