"""How many layers to freeze, and what that saves, from sizes alone. Light: the page asks too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.epochs import epochs_of
from core.models.sizes import Sizes
from core.schema import ModelSpec, TrainingSpec

FEW_ROWS = ((2_000, 4), (8_000, 8))
"""Below so many train rows at most so many of the upper layers learn. With 300 and 1,500 questions a MiniLM of which
four of six layers learn was as good as the whole, and with two less good (benchmarks/results/few_rows.txt). Deeper
models were not measured; validation decides."""
WEIGHT_BYTES = 4
"""Weights and gradients are float32 whatever the arithmetic."""
STATE_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
MEMORY_SHARE = 0.25
"""Of the free memory that kept states may take before they go to disk."""
DISK_LEFT = 2 * 10**9
"""Bytes of the disk that are left free."""


@dataclass(frozen=True)
class Work:
    """Of a step, as shares of what it is with nothing frozen."""

    plain: float
    """Where the frozen layers are run for every batch."""
    cached: float
    """Where what they say is kept."""

    @property
    def saved(self) -> float:
        """Of each epoch, by keeping it."""
        return 1 - self.cached / self.plain


@dataclass(frozen=True)
class Parameters:
    learning: int
    all: int


@dataclass(frozen=True)
class CachePlan:
    """Whether and where states are kept, and why, in a sentence."""

    place: Literal["memory", "disk"] | None
    bytes: int
    words: str


def suggested_frozen_layers(layers: int, rows: int) -> int:
    """Lower layers to freeze, of `layers`, for so many train rows; 0 where there are rows enough for all."""
    for most_rows, learning in FEW_ROWS:
        if rows < most_rows:
            return max(0, layers - learning)
    return 0


def with_chosen_layers(spec: ModelSpec, layers: int, rows: int) -> ModelSpec:
    """The spec with `frozen_layers` for a model of so many layers and so many train rows, if it is to be chosen."""
    if spec.method != "freeze" or not spec.choose_frozen_layers:
        return spec
    return spec.model_copy(
        update={"frozen_layers": suggested_frozen_layers(layers, rows), "choose_frozen_layers": False}
    )


def suggestion_words(layers: int, rows: int) -> str:
    """What `suggested_frozen_layers` comes to, and why."""
    frozen = suggested_frozen_layers(layers, rows)
    for most_rows, learning in FEW_ROWS:
        if rows < most_rows:
            count = f"at most {learning}" if learning < layers else f"all {layers}"
            return f"{frozen} of {layers} layers: with fewer than {most_rows:,} train rows {count} learn."
    return f"0 of {layers} layers: {most_rows:,} train rows are enough for all to learn."


def work_of_a_step(layers: int, frozen: int) -> Work:
    """A layer's forward pass costs 1, its backward pass 2; head and embeddings are left out."""
    learning = layers - frozen
    return Work((frozen + 3 * learning) / (3 * layers), learning / layers)


def parameter_counts(sizes: Sizes, model: ModelSpec, classes: int) -> Parameters:
    """Of an encoder with a head for so many classes, with the method freeze, head or full.

    The lowest layer may differ from the others, so layers are counted from the top.
    """
    if model.head == "model":
        head, pooler = sizes.head + (sizes.hidden_size + 1) * classes, sizes.pooler
    else:
        head, pooler = _own_head(sizes.hidden_size, model, classes), 0
    total = sizes.body + pooler + head
    if model.method == "head":
        return Parameters(pooler + head, total)
    if model.method == "freeze" and model.frozen_layers:
        upper = (sizes.layers - model.frozen_layers) * sizes.layer + sizes.final
        return Parameters(upper + pooler + head, total)
    return Parameters(total - (sizes.embeddings if model.method == "freeze" else 0), total)


def _own_head(hidden_size: int, model: ModelSpec, classes: int) -> int:
    width = hidden_size * (2 if model.pooling == "both" else 1)
    if model.head == "linear":
        return (width + 1) * classes
    return (width + 1) * model.head_size + (model.head_size + 1) * classes


def plan_states(
    layers: int,
    hidden_size: int,
    frozen: int | None,
    training: TrainingSpec,
    tokens: Mapping[str, int],
    rows: int,
    free_memory: int,
    free_disk: int,
) -> CachePlan:
    """Decide from what is frozen (None: not even the embeddings), how often the rows are read, and the room for them.

    tokens: in each of train, validation and test. rows: to train on. free_memory, free_disk: bytes.
    """
    if training.prefix_cache == "off":
        return CachePlan(None, 0, "Frozen layers are computed for every batch: the cache is switched off.")
    if not frozen:
        return CachePlan(None, 0, "No layer is frozen, so none is kept.")
    epochs = _epochs(training, rows)
    if training.prefix_cache == "auto" and _passes_saved(tokens, epochs) <= sum(tokens.values()):
        return CachePlan(None, 0, f"Keeping what frozen layers say would not pay in {epochs:g} epochs.")
    size = sum(tokens.values()) * hidden_size * STATE_BYTES[training.cache_format]
    saved = work_of_a_step(layers, frozen).saved
    share = "nearly all" if saved == 1 else f"about {saved * 100:.0f} %"
    words = (
        f"What {frozen} of {layers} layers say is computed once and kept: {size / 1e6:,.0f} MB in {{place}}, saves "
        f"{share} of each epoch."
    )
    if training.prefix_cache != "disk" and size <= MEMORY_SHARE * free_memory:
        return CachePlan("memory", size, words.format(place="memory"))
    if training.prefix_cache == "memory":
        return CachePlan(None, size, f"What frozen layers say, {size / 1e6:,.0f} MB, does not fit in memory.")
    if size > min(training.cache_disk_limit * 1e9, free_disk - DISK_LEFT):
        where = "on disk" if training.prefix_cache == "disk" else "in memory or on disk"
        return CachePlan(None, size, f"There is no room {where} for what frozen layers say, {size / 1e6:,.0f} MB.")
    return CachePlan("disk", size, words.format(place="the run's folder"))


def _epochs(training: TrainingSpec, rows: int) -> float:
    if training.max_steps is None:
        return epochs_of(training, rows)
    return training.max_steps * training.batch_size * training.gradient_accumulation / max(rows, 1)


def _passes_saved(tokens: Mapping[str, int], epochs: float) -> float:
    """Tokens that the frozen layers need not read: train in each epoch, validation after each, and both at the end."""
    return epochs * (tokens["train"] + tokens["validation"]) + tokens["validation"] + tokens["test"]
