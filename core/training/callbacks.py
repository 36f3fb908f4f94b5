"""What a training step tells the store, and how the store stops it."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.errors import UserError
from core.runs.store import Best, Progress, Store
from core.schema import RunSpec
from core.training.collapse import (
    NAMES,
    NOTICE,
    WITHDRAWN,
    describe,
    evaluations,
    find,
    open_notices,
    still_holds,
)
from core.training.saved_state import RESERVE_BYTES, CheckpointWriter, free_bytes, nearly_full_words

SECONDS_BETWEEN_WRITES = 0.5

# What transformers logs, by the name it has in the store.
_TRAINING_NAMES = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/grad_norm",
}
_EVALUATION_PREFIX = "eval_"
_EVALUATION_OVERHEAD = ("runtime", "samples_per_second", "steps_per_second", "epoch")


class StoreCallback(TrainerCallback):
    """Writes progress and metrics of a run to the store, and ends training when the store says stop."""

    def __init__(self, store: Store, run_id: str, best_metric: str, spec: RunSpec, labels: Sequence[str]) -> None:
        self.store = store
        self.run_id = run_id
        self.best_metric = best_metric
        self.spec = spec
        self.labels = labels
        self.stopped = False
        self.stop_words = ""
        """Why it stopped where nobody asked for it."""
        self.writer: CheckpointWriter | None = None
        self._written = 0.0
        self._first_step = 0
        self._began = 0.0
        self._logged_at = 0.0
        self._logged_epoch = 0.0
        self._logged_tokens = 0
        self._rows = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = self._logged_at = time.monotonic()
        self._first_step = state.global_step
        self._logged_epoch = float(state.epoch or 0)
        self._logged_tokens = int(state.num_input_tokens_seen)
        self._rows = len(kwargs["train_dataloader"].dataset)
        self._write_progress(state, "training")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if time.monotonic() - self._written < SECONDS_BETWEEN_WRITES:
            return
        self._write_progress(state, "training")
        if self.store.stop_requested(self.run_id):
            self._stop(control)
        elif self.writer is not None and free_bytes(self.writer.folder) < RESERVE_BYTES:
            self._stop(control, nearly_full_words(free_bytes(self.writer.folder), self.writer.expected_bytes))

    def _stop(self, control: TrainerControl, words: str = "") -> None:
        """Save and leave. Evaluated is only what is due at this very step: a resumed run would not come by it again."""
        self.stopped = True
        self.stop_words = words
        control.should_save = True
        control.should_training_stop = True
        if words:
            print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)
            self.store.add_event(self.run_id, "disk_nearly_full", {"words": words})

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.writer is not None and self.writer.refused and not self.stop_words:
            self._stop(control, self.writer.refused)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.stopped and not float(state.epoch or 0).is_integer():
            # transformers ends the epoch where training stops, and would evaluate in the middle of it.
            control.should_evaluate = False
            control.should_save = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        logs: dict[str, float] = kwargs["logs"]
        values = {name: float(logs[key]) for key, name in _TRAINING_NAMES.items() if key in logs}
        if not values:
            return
        if not math.isfinite(values["train/loss"]):
            raise UserError(
                f"The loss is no longer a number (step {state.global_step}).",
                "training.learning_rate",
                "Lower the learning rate, or set precision to float32; the last checkpoint is kept.",
            )
        values.update(self._speed(state))
        values["memory/process_mb"] = psutil.Process().memory_info().rss / 2**20
        if torch.cuda.is_available():
            values["memory/gpu_mb"] = torch.cuda.max_memory_allocated() / 2**20
        self.store.add_metrics(self.run_id, state.global_step, _finite(values))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        metrics: dict[str, float] = kwargs["metrics"]
        values = {
            "validation/" + key.removeprefix(_EVALUATION_PREFIX): float(value)
            for key, value in metrics.items()
            if key.startswith(_EVALUATION_PREFIX) and key.removeprefix(_EVALUATION_PREFIX) not in _EVALUATION_OVERHEAD
        }
        self.store.add_metrics(self.run_id, state.global_step, _finite(values))
        if all(f"validation/{name}" in values for name in NAMES):
            self._watch(state)

    def _watch(self, state: TrainerState) -> None:
        """Give notice where the run has stopped learning, once for each finding, and withdraw what no longer holds."""
        seen = evaluations(self.store.metrics(self.run_id, [f"validation/{name}" for name in NAMES]))
        finding = find(seen, state.max_steps, state.num_train_epochs)
        given = {notice.finding for notice in open_notices(self.store.events(self.run_id))}
        for earlier in given - {finding}:
            if finding is not None or not still_holds(earlier, seen[-1]):
                self.store.add_event(self.run_id, WITHDRAWN, {"finding": earlier, "step": state.global_step})
        if finding is not None and finding not in given:
            commonest = self.store.metrics(self.run_id, ["baseline/majority/accuracy"])
            share = commonest[-1].value if commonest and self.spec.mapping.kind != "multi" else None
            notice = describe(finding, seen, self.spec, self.labels.__getitem__, share)
            print(f"{time.strftime('%H:%M:%S')} {notice.what} {notice.todo}", flush=True)
            self.store.add_event(self.run_id, NOTICE, asdict(notice))

    def _speed(self, state: TrainerState) -> dict[str, float]:
        """Rows and tokens a second since the last log; a batch counts as its share of the epoch's rows."""
        now, epoch = time.monotonic(), float(state.epoch or 0)
        seconds = now - self._logged_at
        rows = (epoch - self._logged_epoch) * self._rows
        tokens = int(state.num_input_tokens_seen) - self._logged_tokens
        self._logged_at, self._logged_epoch = now, epoch
        self._logged_tokens = int(state.num_input_tokens_seen)
        return {"train/samples_per_second": rows / seconds, "train/tokens_per_second": tokens / seconds}

    def _write_progress(self, state: TrainerState, phase: str) -> None:
        self._written = time.monotonic()
        done = state.global_step - self._first_step
        rate = (self._written - self._began) / done if done else None
        best = None
        if state.best_metric is not None and state.best_global_step:
            epoch = state.best_global_step / state.max_steps * state.num_train_epochs
            best = Best(self.best_metric, float(state.best_metric), int(state.best_global_step), epoch)
        self.store.set_progress(
            self.run_id,
            Progress(
                phase,
                step=state.global_step,
                total_steps=state.max_steps,
                epoch=float(state.epoch or 0),
                epochs=float(state.num_train_epochs),
                seconds_left=None if rate is None else rate * (state.max_steps - state.global_step),
                best=best,
            ),
        )


def _finite(values: dict[str, float]) -> dict[str, float]:
    """A gradient can overflow in a float16 step that the scaler then skips; such a point is not drawn."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
