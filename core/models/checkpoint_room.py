"""How much of the disk a run's checkpoints will take, before it begins. Light: no torch.

Of a model that is trained whole every weight is written, of an adapter what it adds; beside each weight that learns two
averages of AdamW, in float32 whatever the optimiser. With an optimiser in 8 bits it is less.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from core.models.known import known_of
from core.models.layers import WEIGHT_BYTES, parameter_counts
from core.models.parameters import learning_tensors
from core.schema import ADAPTER_METHODS, ModelSpec, RunSpec

AVERAGES = 2
"""AdamW keeps two numbers for each weight that learns."""
CLASSES = 2
"""Assumed: one more makes about a thousand weights among millions."""


@dataclass(frozen=True)
class CheckpointRoom:
    each: int
    """Bytes of one."""
    most: int
    """Bytes of all that are kept at once, with the one that is being written."""
    free: int
    """Bytes that the disk has left."""

    @property
    def words(self) -> str:
        sizes = f"checkpoints of about {_words(self.each)} each, {_words(self.most)} at most"
        if self.most > self.free:
            return (
                f"While it trains it keeps {sizes}, and the disk has {_words(self.free)} left: free some space, or it "
                "will be stopped before the disk is full."
            )
        return f"While it trains it keeps {sizes}, of {_words(self.free)} that are free; they go when it is finished."


def checkpoint_room(spec: RunSpec, folder: Path) -> CheckpointRoom | None:
    """None where the model's size is not known before it is loaded."""
    each = checkpoint_bytes(spec.model)
    if each is None:
        return None
    kept = spec.training.keep_checkpoints + 2
    return CheckpointRoom(each, each * kept, shutil.disk_usage(folder).free)


def checkpoint_bytes(model: ModelSpec) -> int | None:
    sizes = known_of(model).sizes
    if sizes is None:
        return None
    if model.family == "encoder" and model.method not in ADAPTER_METHODS:
        counts = parameter_counts(sizes, model, CLASSES)
        return WEIGHT_BYTES * (counts.all + AVERAGES * counts.learning)
    learning = sum(tensors.all for tensors in learning_tensors(sizes, model, CLASSES))
    return WEIGHT_BYTES * (1 + AVERAGES) * learning


def _words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
