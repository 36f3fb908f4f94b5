"""On a processor, memory that steps have freed goes back to the system every few of them. Worker only.

Batches of unlike lengths leave glibc's heap in pieces that the next batch cannot use, so that it grows for a whole run.
benchmarks/processor_memory.py prints what this saves and what it costs.
"""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.training.freed_memory import give_back_pieces

STEPS_BETWEEN = 10


class Trimming(TrainerCallback):
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step % STEPS_BETWEEN == 0:
            give_back_pieces()
