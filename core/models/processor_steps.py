"""Training steps on a processor without what PyTorch is slow at there. Worker only: imports torch.

Two of its kernels, as of PyTorch 2.14 (benchmarks/processor_steps.py prints both sides):

- The way back through fused attention in bfloat16 takes longer than the matrix products that it stands for. Here it is
  those products: FlashAttention-2 (arXiv 2307.08691, algorithm 2), over some rows at a time. What the way forward keeps
  is the same.
- Dropout draws its numbers one by one on most processors. Here a draw of 64 bits serves four numbers, 16 bits each;
  of a mask one byte a number is kept, where PyTorch keeps it in the number's own format.

Random numbers come from PyTorch's own generator, so a resumed run draws what it would have drawn.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.library import Library

SCORES_AT_ONCE = 1_000_000
"""Of all heads: 4 MB in float32, so that they stay in the processor's caches between the products."""
_STEPS = 1 << 16


@contextmanager
def quick_steps(model: nn.Module, device: torch.device, *, bfloat16: bool) -> Iterator[None]:
    """Meanwhile training steps on a processor take the ways above; on another device nothing changes.

    bfloat16: whether products are computed in it. In float32 PyTorch's own attention is as fast.
    """
    if device.type != "cpu":
        yield
        return
    swapped = list(_swap_dropouts(model))
    library = Library("aten", "IMPL")
    if bfloat16:
        library.impl(
            "_scaled_dot_product_flash_attention_for_cpu_backward", attention_gradients, "CPU", allow_override=True
        )
    try:
        yield
    finally:
        for parent, name, own in swapped:
            own.train(parent.get_submodule(name).training)
            setattr(parent, name, own)
        # PyTorch's own kernel comes back when the last reference goes.
        del library


def attention_gradients(
    gradient: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attended: torch.Tensor,
    logsumexp: torch.Tensor,
    dropout: float,
    is_causal: bool,
    *,
    attn_mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of query, key and value, each [batch, heads, length, head size] as they are.

    gradient, attended: [batch, heads, query length, head size]. logsumexp: float32 [batch, heads, query length], of the
    scores. attn_mask: added to the scores, of any shape that broadcasts to them. dropout is 0: PyTorch takes no other
    to this kernel.
    """
    rows, heads, queries, size = query.shape
    keys = key.shape[2]
    scale = size**-0.5 if scale is None else scale
    later = torch.ones(queries, keys, dtype=torch.bool).triu(1) if is_causal else None
    mask = None if attn_mask is None else attn_mask.expand(rows, heads, queries, keys)
    # A token that may see none has no sum; its weights are 0 all the same.
    sums = logsumexp.masked_fill(logsumexp == -math.inf, 0).unsqueeze(-1)
    gradients = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
    for part in _parts(rows, heads, queries * keys):
        q, k, v, g = (tensor[part].contiguous() for tensor in (query, key, value, gradient))
        # In float32: a score of 16 is known to 0.06 in bfloat16, its exponential to 6 %.
        weights = (q.float() * scale) @ k.float().mT
        if mask is not None:
            weights += mask[part]
        if later is not None:
            weights.masked_fill_(later, -math.inf)
        weights.sub_(sums[part]).exp_()
        exact = g.float()
        means = (exact * attended[part].float()).sum(-1, keepdim=True)
        of_scores = (exact @ v.float().mT).sub_(means).mul_(weights).to(q.dtype)
        gradients[0][part] = (of_scores @ k).mul_(scale)
        gradients[1][part] = (of_scores.mT @ q).mul_(scale)
        gradients[2][part] = weights.to(q.dtype).mT @ g
    return gradients


def _parts(rows: int, heads: int, scores: int) -> Iterator[tuple[slice, slice]]:
    """Rows, and heads of them, that together have SCORES_AT_ONCE scores at most, or are one head of one row."""
    heads_at_once = min(heads, max(1, SCORES_AT_ONCE // scores))
    rows_at_once = max(1, SCORES_AT_ONCE // (heads * scores))
    for row in range(0, rows, rows_at_once):
        for head in range(0, heads, heads_at_once):
            yield slice(row, row + rows_at_once), slice(head, head + heads_at_once)


class QuickDropout(nn.Module):
    """torch.nn.Dropout with 16 random bits a number. The chance is p to the nearest of 65,536 steps, and what stays is
    scaled by exactly that chance, so that sums keep their expected value."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.dropped = round(p * _STEPS)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return numbers
        drawn = torch.empty(-(-numbers.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
        bits = drawn.view(torch.int16)[: numbers.numel()].view(numbers.shape)
        # 16 bits with a sign: the smallest of them are the dropped.
        stays = bits >= self.dropped - _STEPS // 2
        return torch.where(stays, numbers * (_STEPS / (_STEPS - self.dropped)), 0.0)


def _swap_dropouts(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Dropout]]:
    """Each with its parent and its name there."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout and 0 < round(child.p * _STEPS) < _STEPS:
                quick = QuickDropout(child.p)
                quick.train(child.training)
                setattr(parent, name, quick)
                yield parent, name, child
