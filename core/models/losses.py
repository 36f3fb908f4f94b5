"""Losses that the trainer can choose from. Worker only: imports torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Loss = Callable[..., torch.Tensor]


def cross_entropy(label_smoothing: float, class_weights: torch.Tensor | None) -> Loss:
    """Cross-entropy over logits [batch, classes] and labels [batch], as Trainer's compute_loss_func takes it.

    At evaluation it is plain, without smoothing and weights: the mean -log of the true class's probability, so that it
    can be held against the baselines' log loss.

    With gradient accumulation Trainer passes the rows of the whole step, so that the sum over its batches is a mean.
    """

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return functional.cross_entropy(outputs.logits.float(), labels)
        weights = None if class_weights is None else class_weights.to(outputs.logits.device)
        total = functional.cross_entropy(
            outputs.logits.float(), labels, weight=weights, label_smoothing=label_smoothing, reduction="sum"
        )
        rows = len(labels) if num_items_in_batch is None else num_items_in_batch
        return total / rows

    return loss


def balanced_weights(labels: npt.NDArray[np.int64], classes: int) -> torch.Tensor:
    """One weight a class, rows / (classes * rows of the class), scikit-learn's "balanced": [classes]."""
    counts = np.bincount(labels, minlength=classes)
    return torch.from_numpy((len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32))
