"""The real worker on a device that holds at most so many rows a batch: `worker_with_little_memory [ROWS] RUN_DIR`."""

import sys

import torch

from core.training import worker

ROWS = int(sys.argv[1]) if len(sys.argv) > 2 else 4


def install() -> None:
    from core.training import sft

    fits = sft.answer_token_loss

    def loss(model, input_ids, *rest):
        if len(input_ids) > ROWS:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return fits(model, input_ids, *rest)

    sft.answer_token_loss = loss


if __name__ == "__main__":
    install()
    sys.exit(worker.main(sys.argv[-1]))
