"""Rows through a model some at a time, fewer where the GPU's memory does not hold so many. Imports torch.

For passes without a way back, which need nothing of one another: evaluation, predictions, answers. In training the
worker begins anew with a smaller batch (core/runs/memory_ladder.py), since the optimiser's steps depend on it. On a
processor nothing can be done here: the system ends a process that takes too much.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from core.models.device import gpu_is_full

Rows = Sequence[int] | npt.NDArray[np.integer[Any]]


def in_batches(
    rows: Rows, batch_size: int, compute: Callable[[Any], None], on_progress: Callable[[int, int], None] | None = None
) -> None:
    """Call `compute` with all of `rows`, at most `batch_size` at a time, in their order; `on_progress` gets (rows done,
    rows in all).

    Where the GPU is full, the same rows come again, half as many at a time, and so do all that follow. Raises what
    `compute` raised where it is something else, or one row alone is too much.
    """
    done = 0
    while done < len(rows):
        chosen = rows[done : done + batch_size]
        if _fits(compute, chosen):
            done += len(chosen)
            if on_progress is not None:
                on_progress(done, len(rows))
        else:
            batch_size = len(chosen) // 2
            torch.cuda.empty_cache()
            print(f"The GPU's memory does not hold {len(chosen):,} rows at once: {batch_size:,} are tried")


def _fits(compute: Callable[[Any], None], chosen: Rows) -> bool:
    """Whether the GPU held these rows. The error is gone when it returns, and with it what the pass had taken."""
    try:
        compute(chosen)
    except RuntimeError as error:
        if len(chosen) == 1 or not gpu_is_full(error):
            raise
        return False
    return True
