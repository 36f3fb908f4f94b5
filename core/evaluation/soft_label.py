"""Figures of predictions where the truth is a probability for each class, not one class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.evaluation.metrics import Floats, classification_metrics


def soft_metrics(true: Floats, probabilities: Floats, labels: Sequence[str]) -> dict[str, Any]:
    """classification_metrics of the likeliest class of truth and prediction, and how far the probabilities are off.

    true and probabilities: [rows, classes], rows >= 1, each row summing to 1; of equally likely classes the first
    counts. kl_divergence, cross_entropy: see there. brier: mean over the rows of the squared distances summed over the
    classes, 0 to 2 (Brier 1950).
    """
    return {
        **classification_metrics(true.argmax(axis=1), probabilities, labels),
        "kl_divergence": kl_divergence(true, probabilities),
        "cross_entropy": cross_entropy(true, probabilities),
        "brier": float(((true.astype(np.float64) - probabilities) ** 2).sum(axis=1).mean()),
    }


def kl_divergence(true: Floats, probabilities: Floats) -> float:
    """Mean over the rows of KL(true || predicted), in nats: 0 where every distribution is met."""
    return cross_entropy(true, probabilities) - cross_entropy(true, true)


def cross_entropy(true: Floats, probabilities: Floats) -> float:
    """Mean over the rows of -sum(true x log(predicted)), in nats: the loss where soft labels are learned.

    Predicted probabilities are kept off 0 by their type's precision.
    """
    smallest = np.finfo(probabilities.dtype).eps
    said = np.log(np.clip(probabilities, smallest, 1).astype(np.float64))
    return float(-(true.astype(np.float64) * said).sum(axis=1).mean())
