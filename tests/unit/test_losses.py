"""The loss that trains may be smoothed and weighted; the one that is shown beside the baselines never is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.evaluation.metrics import log_loss
from core.models.losses import balanced_weights, cross_entropy


def test_the_loss_of_an_evaluation_is_the_baselines_log_loss():
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)) * 3
    labels = torch.arange(50) % 4 % 3
    smoothed = cross_entropy(0.2, balanced_weights(labels.numpy(), 4))
    plain = log_loss(labels.numpy().astype(np.int64), logits.softmax(-1).numpy().astype(np.float32))
    with torch.no_grad():
        assert smoothed(SimpleNamespace(logits=logits), labels).item() == pytest.approx(plain, rel=1e-5)
        # Trainer gives the rows of a step in evaluation too; the mean is of this batch.
        assert smoothed(SimpleNamespace(logits=logits), labels, 400).item() == pytest.approx(plain, rel=1e-5)
    learned = smoothed(SimpleNamespace(logits=logits.requires_grad_()), labels)
    assert learned.requires_grad
    assert abs(learned.item() - plain) > 0.05
