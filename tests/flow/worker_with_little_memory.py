"""The real worker on a device that holds at most four rows a batch: `worker_with_little_memory RUN_DIR`."""

import sys
from collections.abc import Callable

import torch

from core.training import worker

ROWS = 4


def loss_of_at_most(rows: int) -> Callable[..., torch.Tensor]:
    """The loss of a training step, for which memory holds so many rows."""
    from core.training import sft

    fits = sft.answer_token_loss

    def loss(model, input_ids, *rest):
        if len(input_ids) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return fits(model, input_ids, *rest)

    return loss


def install() -> None:
    from core.training import sft

    sft.answer_token_loss = loss_of_at_most(ROWS)


if __name__ == "__main__":
    install()
    sys.exit(worker.main(sys.argv[-1]))
