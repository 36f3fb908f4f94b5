"""Embeddings moved against the model, for a second pass over a batch. Worker only: imports torch.

Miyato, Dai and Goodfellow (arXiv 1605.07725) move the embeddings of each text by a fixed distance in the direction that
raises its loss most, and learn from both losses. Here the table of embeddings is moved, once for all texts of a batch,
so that a token moves alike wherever it occurs: no layer has to be told, and whatever the architecture it is one step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

NO_DIRECTION = 1e-30
"""A gradient shorter than this moves nothing."""


@dataclass(frozen=True)
class Adversary:
    embeddings: nn.Parameter
    """float32 [tokens, hidden]."""
    distance: float
    """How far it moves them, all together."""


@contextmanager
def moved_against(adversary: Adversary, before: torch.Tensor | None) -> Iterator[None]:
    """Within it the embeddings are moved along the gradient of the last batch, and then as they were, bit for bit.

    before: their gradient without that batch; None: there was none.
    """
    weight = adversary.embeddings
    assert weight.grad is not None
    gradient = weight.grad if before is None else weight.grad - before
    as_it_was = weight.detach().clone()
    with torch.no_grad():
        weight.add_(gradient, alpha=adversary.distance / max(float(gradient.norm()), NO_DIRECTION))
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(as_it_was)
