"""How long training steps and evaluations take, told apart. Worker only: imports transformers."""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.training.measuring import Pace


class Stopwatch(TrainerCallback):
    """An evaluation or a checkpoint follows the end of a step or an epoch; all else of the time is training's."""

    def __init__(self) -> None:
        self._began = self._mark = 0.0
        self._first_step = self._first_tokens = self._evaluations = 0
        self._evaluating = self._saving = 0.0
        self.pace: Pace | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = self._mark = time.monotonic()
        self._first_step, self._first_tokens = state.global_step, int(state.num_input_tokens_seen)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._mark = time.monotonic()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._mark = time.monotonic()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._evaluating += self._lap()
        self._evaluations += 1

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._saving += self._lap()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        steps = state.global_step - self._first_step
        if steps:
            spent = time.monotonic() - self._began - self._evaluating - self._saving
            tokens = int(state.num_input_tokens_seen) - self._first_tokens
            self.pace = Pace(steps, tokens, self._evaluations, spent, self._evaluating)

    def _lap(self) -> float:
        now = time.monotonic()
        lap, self._mark = now - self._mark, now
        return lap
