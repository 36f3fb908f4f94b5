"""The figures of a part, whichever kind of label it has: one place that tells the kinds apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from core.evaluation.metrics import classification_metrics
from core.evaluation.multi_label import Thresholds, multi_label_metrics
from core.evaluation.soft_label import soft_metrics
from core.schema import LabelKind

KIND_FIGURES: dict[LabelKind, tuple[str, ...]] = {
    "single": (),
    "multi": ("micro_f1", "micro_f1_interval", "samples_f1", "hamming_loss"),
    "soft": ("kl_divergence", "brier"),
    "none": (),
}
"""What a run's summary holds beside the figures that every kind has."""


def label_metrics(
    kind: LabelKind,
    true: npt.NDArray[Any],
    probabilities: npt.NDArray[np.float32],
    labels: Sequence[str],
    thresholds: Thresholds | None = None,
) -> dict[str, Any]:
    """classification_metrics, multi_label_metrics (which needs `thresholds`) or soft_metrics.

    true and probabilities: as core.evaluation.predictions.Predictions has them.
    """
    if kind == "multi":
        assert thresholds is not None
        return multi_label_metrics(true, probabilities, thresholds, labels)
    if kind == "soft":
        return soft_metrics(true, probabilities, labels)
    return classification_metrics(true, probabilities, labels)


def likeliest(kind: LabelKind, true: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The true class of each row, int64 [rows], of single and soft labels."""
    return true.argmax(axis=1) if kind == "soft" else true
