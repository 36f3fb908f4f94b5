"""The real worker on a computer whose clock is put back by two hours while it trains."""

import sys
import time

from core.training import worker
from core.training.callbacks import StoreCallback

BACK_SECONDS = 7200.0

if __name__ == "__main__":
    real, train = time.time, StoreCallback.on_log

    def on_log(self, args, state, control, **told):
        if state.global_step == 20:
            time.time = lambda: real() - BACK_SECONDS
        return train(self, args, state, control, **told)

    StoreCallback.on_log = on_log
    sys.exit(worker.main(sys.argv[1], own_process=True))
