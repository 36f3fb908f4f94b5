"""Losses that the trainer can choose from. Worker only: imports torch.

All of them take logits [batch, classes] and labels as core.training.job.LabelledTexts holds them: int64 [batch], or
float32 [batch, classes] (1 or 0 of multi labels, probabilities of soft ones).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from core.schema import LABEL_LOSSES, LabelKind, LossName, TrainingSpec

Loss = Callable[..., torch.Tensor]
SUREST = 1e-7
"""The least by which a row counts as unsure: a power below 1 has no finite slope at 0."""


def training_loss(
    training: TrainingSpec,
    kind: LabelKind,
    weights: torch.Tensor | None,
    features: "Features | None" = None,
    shares: torch.Tensor | None = None,
) -> Loss:
    """What `training` asks for, as Trainer's compute_loss_func takes it; weights: one a class, [classes]; shares: of
    multi labels the share of train rows with each class, [classes].

    At evaluation it is the plain loss, without smoothing, weights, focus and contrast: of single labels the mean -log
    of the true class's probability, so that it can be held against the baselines' log loss; of soft ones as chosen.

    With gradient accumulation Trainer passes what the labels of the whole step hold, so that the sum over its batches
    is a mean.
    """
    name = loss_name(training, kind)

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None) -> torch.Tensor:
        logits = outputs.logits.float()
        if not torch.is_grad_enabled():
            plain: LossName = "bce" if kind == "multi" else "kl" if name == "kl" else "cross_entropy"
            return row_losses(logits, labels, plain).mean()
        own, common = (None if given is None else given.to(logits.device) for given in (weights, shares))
        each = row_losses(logits, labels, name, training.label_smoothing, own, training.focal_gamma, common)
        items = labels.numel() if num_items_in_batch is None else num_items_in_batch
        rows = items / labels[0].numel()
        total = each.sum() / rows
        if features is not None:
            contrast = supervised_contrast(features.last, labels, training.contrastive_temperature)
            total = total + training.contrastive_alpha * contrast * len(labels) / rows
        return total

    return loss


def loss_name(training: TrainingSpec, kind: LabelKind) -> LossName:
    """The loss that `auto` stands for."""
    return LABEL_LOSSES[kind][0] if training.loss == "auto" else training.loss


def row_losses(
    logits: torch.Tensor,
    labels: torch.Tensor,
    name: LossName,
    smoothing: float = 0.0,
    weights: torch.Tensor | None = None,
    gamma: float = 0.0,
    shares: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of each row, [batch]; of multi labels its mean over the classes.

    Of multi labels smoothing draws towards `shares`, the share of rows with each class (Pereyra et al. 2017, arXiv
    1701.06548, call it unigram); without them towards one half, which makes of a class in a hundred rows one in twenty.

    focal: Lin et al. 2017 (arXiv 1708.02002), of the labels as they are, without smoothing.
    """
    if name == "bce" or (name == "focal" and labels.dim() == 2):
        return _binary(logits, labels, name, smoothing, weights, gamma, shares)
    if labels.dim() == 2:
        return _of_shares(logits, labels, name, smoothing, weights)
    if name == "focal":
        log_probability = functional.log_softmax(logits, dim=-1).gather(1, labels[:, None])[:, 0]
        each = -((1 - log_probability.exp()).clamp(min=SUREST) ** gamma) * log_probability
    else:
        # Not by its `weight`: that weighs what smoothing gives to each class, too, and with rows of one class in plenty
        # the rare one would become the likeliest everywhere.
        each = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return each if weights is None else each * weights[labels]


def _binary(
    logits: torch.Tensor,
    labels: torch.Tensor,
    name: LossName,
    smoothing: float,
    weights: torch.Tensor | None,
    gamma: float,
    shares: torch.Tensor | None,
) -> torch.Tensor:
    usual = 0.5 if shares is None else shares
    targets = labels if name == "focal" else labels * (1 - smoothing) + smoothing * usual
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if weights is not None:
        each = each * torch.where(labels > 0, weights, 1.0)  # of rows with the class alone, smoothed or not
    if name == "focal":
        probability = torch.sigmoid(logits)
        each = each * (labels * (1 - probability) + (1 - labels) * probability).clamp(min=SUREST) ** gamma
    return each.mean(dim=-1)


def _of_shares(
    logits: torch.Tensor, shares: torch.Tensor, name: LossName, smoothing: float, weights: torch.Tensor | None
) -> torch.Tensor:
    targets = shares * (1 - smoothing) + smoothing / shares.shape[-1]
    log_probabilities = functional.log_softmax(logits, dim=-1)
    each = -targets * log_probabilities
    if name == "kl":
        each = each + torch.xlogy(targets, targets)
    return each.sum(dim=-1) if weights is None else each.sum(dim=-1) * (shares * weights).sum(dim=-1)


class Features:
    """What the model's last linear layer read in the pass before: `last`, [batch, hidden]."""

    def __init__(self, output: nn.Module) -> None:
        self.last = torch.empty(0)
        output.register_forward_pre_hook(self._keep)

    def _keep(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.last = inputs[0]


def supervised_contrast(features: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """SupCon, the form with the sum outside the logarithm (Khosla et al. 2020, arXiv 2004.11362): a scalar.

    features: [batch, hidden], brought to length 1 here. Two rows are alike by 1 where they share their class, of multi
    labels by their classes' overlap (Jaccard), of soft ones where the likeliest class is the same. A row that is like
    no other of the batch does not count.
    """
    directions = functional.normalize(features.float(), dim=-1)
    others = ~torch.eye(len(directions), dtype=torch.bool, device=directions.device)
    similarity = (directions @ directions.T / temperature).masked_fill(~others, float("-inf"))
    log_share = similarity - similarity.logsumexp(dim=-1, keepdim=True)
    alike = _likeness(labels) * others
    weight = alike.sum(dim=-1)
    each = -(alike * log_share.masked_fill(~others, 0)).sum(dim=-1) / weight.clamp(min=1e-12)
    counted = weight > 0
    return (each * counted).sum() / counted.sum().clamp(min=1)


def _likeness(labels: torch.Tensor) -> torch.Tensor:
    """float32 [batch, batch], 0 to 1."""
    if labels.dim() == 1:
        return (labels[:, None] == labels[None, :]).float()
    if bool(((labels == 0) | (labels == 1)).all()):
        both = labels @ labels.T
        either = labels.sum(dim=-1)[:, None] + labels.sum(dim=-1)[None, :] - both
        return both / either.clamp(min=1)
    return _likeness(labels.argmax(dim=-1))


def balanced_weights(labels: npt.NDArray[Any], classes: int, kind: LabelKind) -> torch.Tensor:
    """One weight a class, scikit-learn's "balanced": [classes].

    rows / (classes * rows of the class), of soft labels with shares in place of rows; of multi labels rows without the
    class / rows with it, at most 100, which is what pos_weight of binary cross-entropy wants.
    """
    if kind == "multi":
        positive = labels.sum(axis=0)
        return torch.from_numpy(np.clip((len(labels) - positive) / np.maximum(positive, 1), 1, 100).astype(np.float32))
    counts = labels.sum(axis=0) if kind == "soft" else np.bincount(labels, minlength=classes)
    return torch.from_numpy((len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32))
