"""The real worker on a computer whose memory holds ROWS_THAT_FIT rows of a training batch.

One row fits always where gradient checkpointing is on.
"""

import os
import sys

from core.training import worker
from core.training.batches import ClassifierTrainer

if __name__ == "__main__":
    fits = int(os.environ["ROWS_THAT_FIT"])
    plain = ClassifierTrainer.compute_loss

    def compute_loss(self, model, inputs, *rest, **more):
        rows = len(inputs["labels"])
        if rows > fits and not (rows == 1 and self.args.gradient_checkpointing):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
        return plain(self, model, inputs, *rest, **more)

    ClassifierTrainer.compute_loss = compute_loss
    sys.exit(worker.main(sys.argv[1], own_process=True))
