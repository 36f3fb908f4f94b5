"""Which parameters learn, tensor by tensor, and what weights and optimiser take: exact, from sizes alone.

Light: no torch. Held in tests/unit/test_parameters.py to models that transformers and PEFT build, and to what
bitsandbytes makes of a layer in 4 bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from core.models.layers import WEIGHT_BYTES, parameter_counts
from core.models.sizes import Linear, Sizes
from core.schema import ADAPTER_METHODS, FOUR_BIT_METHODS, ModelSpec, TrainingSpec

Place = Literal["cuda", "cpu"]
NF4_BLOCK = 64
"""Weights with a scale in common (bitsandbytes.nn.Params4bit)."""
SCALES_BLOCK = 256
"""Of those scales, where they are quantised too."""
NF4_CODE, SCALES_CODE, SCALES_OFFSET = 64, 1024, 4
"""Bytes of the tables that each layer has of its own: 16 and 256 float32 numbers, and one."""
AVERAGES_BLOCK = 256
"""Of an optimiser's 8-bit averages with two float32 scales in common (bitsandbytes.optim.optimizer)."""
LEAST_8_BIT = 4096
"""Numbers of a tensor below which its averages stay float32 (`min_8bit_size`)."""
LEAST_PAGED = 100_000
"""Below which they stay on the GPU (`get_state_buffer`)."""


@dataclass(frozen=True)
class Tensors:
    """Some parameters that learn and are alike."""

    numbers: int
    """Of each."""
    count: int
    full_averages: bool = False
    """Whether an 8-bit optimiser keeps their averages in float32 all the same."""

    @property
    def all(self) -> int:
        return self.numbers * self.count


@dataclass(frozen=True)
class OptimizerBytes:
    held: int
    """Where the model is."""
    paged: int
    """In memory that CUDA moves to the computer's when the GPU is full."""


def number_bytes(model: ModelSpec, place: Place) -> int:
    """Of a pretrained weight that is not in 4 bits (core.models.causal, core.models.encoder)."""
    return 2 if place == "cuda" and model.family == "causal" and model.method != "full" else WEIGHT_BYTES


def learning_tensors(sizes: Sizes, model: ModelSpec, classes: int, used_tokens: int | None = None) -> list[Tensors]:
    """What gradients are computed for. used_tokens: those whose embeddings are trained where an encoder learns as a
    whole (core.models.used_tokens); None: all."""
    if model.method in ADAPTER_METHODS:
        return [*_adapter(sizes, model), *_head(sizes, model, classes)]
    if model.family == "causal":
        # transformers' Trainer has 8-bit optimisers keep whole averages of them; for encoders we make the optimiser.
        embeddings = Tensors(sizes.token_embeddings, 1, full_averages=True)
        return [*_layers(sizes, sizes.layers), embeddings, Tensors(sizes.output, 1)]
    if model.method == "head":
        return _head(sizes, model, classes)
    if model.method == "freeze" and model.frozen_layers:
        return [*_layers(sizes, max(0, sizes.layers - model.frozen_layers)), *_head(sizes, model, classes)]
    below = _embeddings(sizes, used_tokens) if model.method == "full" else []
    return [*_layers(sizes, sizes.layers), *below, *_head(sizes, model, classes)]


def likely_used_tokens(sizes: Sizes, tokens: int) -> int:
    """How many different tokens texts of so many tokens have, rather too many: Heaps' law, from MiniLM's tokenizer on
    TREC (8,500 in 105,000), AG News (14,000 in 216,000) and BBC news (17,700 in 655,000)."""
    return min(sizes.vocabulary, round(10 * tokens**0.6))


def weight_bytes(sizes: Sizes, model: ModelSpec, classes: int, place: Place) -> int:
    """The pretrained model with its new head; of an adapter only the copy that PEFT trains of the head is left out."""
    number = number_bytes(model, place)
    if model.family == "encoder":
        return WEIGHT_BYTES * parameter_counts(sizes, model, classes).all
    whole = sizes.pretrained
    if model.method == "head-on-llm":
        whole += sizes.hidden_size * classes - sizes.output
    if model.method not in FOUR_BIT_METHODS:
        return number * whole
    packed = sizes.layers * sizes.linear_weights
    in_layers = sum(nf4_bytes(linear, double=model.double_quantization) for linear in sizes.linears)
    return sizes.layers * in_layers + number * (whole - packed)


def nf4_bytes(linear: Linear, *, double: bool) -> int:
    """Of a layer's weights and their scales; its bias is not among them."""
    blocks = -(-linear.weights // NF4_BLOCK)
    packed = -(-linear.weights // 2) + NF4_CODE
    if not double:
        return packed + 4 * blocks
    return packed + blocks + 4 * -(-blocks // SCALES_BLOCK) + SCALES_CODE + SCALES_OFFSET


def optimizer_bytes(tensors: list[Tensors], training: TrainingSpec, place: Place) -> OptimizerBytes:
    """The two averages of each number that learns. bitsandbytes' optimisers need CUDA; elsewhere it is AdamW."""
    held = paged = 0
    for tensor in tensors:
        averages, scales = 8 * tensor.numbers, 0
        in_8_bits = "8bit" in training.optimizer and tensor.numbers >= LEAST_8_BIT and not tensor.full_averages
        if place == "cuda" and in_8_bits:
            averages, scales = 2 * tensor.numbers, 8 * -(-tensor.numbers // AVERAGES_BLOCK)
        if place == "cuda" and training.optimizer.startswith("paged") and tensor.numbers >= LEAST_PAGED:
            paged += tensor.count * averages
            averages = 0
        held += tensor.count * (averages + scales)
    return OptimizerBytes(held, paged)


def targeted(sizes: Sizes, model: ModelSpec) -> tuple[Linear, ...]:
    """The linear layers of a layer that get an adapter."""
    names = model.lora.target_modules
    return tuple(linear for linear in sizes.linears if not names or linear.name.rpartition(".")[2] in names)


def _adapter(sizes: Sizes, model: ModelSpec) -> Iterator[Tensors]:
    rank = model.lora.rank
    for linear in targeted(sizes, model):
        yield Tensors(rank * linear.inputs, sizes.layers)
        yield Tensors(rank * linear.outputs, sizes.layers)
    if model.family == "encoder":
        return
    for name in ("lm_head", "embed_tokens"):
        if name in model.lora.target_modules:
            yield Tensors(rank * sizes.hidden_size, 1)
            yield Tensors(rank * sizes.vocabulary, 1)
    if model.lora.train_embeddings and model.method != "head-on-llm":
        yield Tensors(sizes.token_embeddings, 1, full_averages=True)
        yield Tensors(sizes.output, 1)


def _layers(sizes: Sizes, count: int) -> Iterator[Tensors]:
    """The upper `count` layers with the norm above them."""
    for linear in sizes.linears:
        yield Tensors(linear.weights, count)
        if linear.bias:
            yield Tensors(linear.outputs, count)
    lacking = sizes.lowest_lacks if count == sizes.layers else 0
    small = sizes.norms * count - lacking + sizes.final if count else 0
    yield Tensors(sizes.hidden_size, small // sizes.hidden_size)
    yield Tensors(small % sizes.hidden_size, 1)


def _embeddings(sizes: Sizes, used_tokens: int | None) -> Iterator[Tensors]:
    tokens = sizes.vocabulary if used_tokens is None else min(used_tokens, sizes.vocabulary)
    yield Tensors(tokens * sizes.hidden_size, 1)
    yield Tensors(sizes.other_embeddings, 1)


def _head(sizes: Sizes, model: ModelSpec, classes: int) -> list[Tensors]:
    """The new head, and the pooler that feeds it."""
    if model.family == "causal":
        return [Tensors(sizes.hidden_size * classes, 1)] if model.method == "head-on-llm" else []
    # Counted as the method that trains nothing else, which names what a head of its own replaces.
    alone = model.model_copy(update={"method": "head"})
    return [Tensors(parameter_counts(sizes, alone, classes).learning, 1)]
