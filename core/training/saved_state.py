"""What a checkpoint holds beside what transformers writes, how it is written whole, and how training goes on from it.

transformers keeps weights, optimiser, scheduler, random states and its own state. Here are added the loss that was not
logged yet, so that the curve goes on as if nothing had happened, and what the rows were when it was written: their
fingerprint and whether frozen layers were kept, in which number format. Worker only: imports transformers.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.files import folder_bytes
from core.training.checkpoints import (
    STATE,
    checkpoint_facts,
    checkpoint_step,
    keep_best_and_last,
    put_in_place,
    read_state,
    staging_folder,
)

RESERVE_BYTES = 256 * 2**20
"""With less than this left on the disk a run is stopped: store, log and trained model want some room too."""
LAST_BYTES = 64 * 2**20
"""Left free beside a checkpoint, the one before such a stop included."""


@dataclass
class CheckpointWriter:
    """Writes a run's checkpoints. folder: where they lie. keep: how many of the last stay beside the best one."""

    folder: Path
    keep: int
    identity: dict[str, Any] = field(default_factory=dict)
    """What the rows are (`rows`), and what is kept of frozen layers (`cache`)."""
    expected_bytes: int = 0
    """Of the next checkpoint."""
    staged: Path | None = None
    refused: str = ""
    """Why the last one was not written, where there was no room."""

    def write(self, trainer: Trainer, save: Callable[[], None]) -> None:
        """Let `save` write aside what transformers writes, add what it lacks, and put it in place. Raises OSError."""
        if not self._has_room(trainer.state):
            return
        self.staged = staging_folder(self.folder)
        staged = self.staged / f"checkpoint-{trainer.state.global_step}"
        try:
            save()
        finally:
            self.staged = None
        state = trainer.state
        if state.best_model_checkpoint is not None:
            state.best_model_checkpoint = str(self.folder / Path(state.best_model_checkpoint).name)
            state.save_to_json(str(staged / STATE))
        unlogged = {"loss": float(trainer._tr_loss.item()), "since": int(trainer._globalstep_last_logged)}
        written = put_in_place(staged, self.folder, {"unlogged": unlogged, **self.identity})
        self.expected_bytes = folder_bytes(written)
        keep_best_and_last(self.folder, state.best_model_checkpoint, self.keep)

    def _has_room(self, state: TrainerState) -> bool:
        needed = self.expected_bytes + LAST_BYTES
        if free_bytes(self.folder) < needed:
            keep_best_and_last(self.folder, state.best_model_checkpoint, 1)
        free = free_bytes(self.folder)
        self.refused = "" if free >= needed else nearly_full_words(free, self.expected_bytes)
        return not self.refused


def free_bytes(folder: Path) -> int:
    """On the disk that holds `folder`, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def nearly_full_words(free: int, checkpoint: int) -> str:
    return (
        f"Stopped, as the disk is nearly full: {free / 1e6:,.0f} MB are left, and a checkpoint takes "
        f"{checkpoint / 1e6:,.0f} MB. Free some space; Resume goes on from the last checkpoint."
    )


class GoingOn(TrainerCallback):
    """Puts back what `CheckpointWriter` added, once transformers has put back the rest."""

    def __init__(self, trainer: Trainer, whole: list[Path], say: Callable[[str], None]) -> None:
        self.trainer = trainer
        self.whole = whole
        self.say = say

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        unlogged = checkpoint_facts(self.whole[-1]).get("unlogged")
        if unlogged is not None:
            self.trainer._tr_loss += unlogged["loss"]
            self.trainer._globalstep_last_logged = unlogged["since"]
        best = [path for path in self.whole if checkpoint_step(path) == state.best_global_step]
        if best:
            # The recorded path is absolute; the run folder may have been moved since.
            state.best_model_checkpoint = str(best[0])
        elif state.best_global_step:
            self.say(f"The best checkpoint (step {state.best_global_step}) is damaged or gone; the best is found anew.")
            state.best_metric = state.best_model_checkpoint = None
            state.best_global_step = 0


def is_over(checkpoint: Path, patience: int) -> bool:
    """Whether training was over at this checkpoint: all steps done, or stopped early by `patience` (0: never)."""
    state = read_state(checkpoint)
    callbacks = state.get("stateful_callbacks", {})
    waited = callbacks.get("EarlyStoppingCallback", {}).get("attributes", {}).get("early_stopping_patience_counter", 0)
    return bool(state["global_step"] >= state["max_steps"] or (patience and waited >= patience))
