"""What a run may change to take less memory, and what each change costs in time. Light: no torch.

The one list of steps: make_it_fit (core/training/fit.py) searches it before a run begins, the memory ladder
(core/runs/memory_ladder.py) climbs down it where memory was short after all.

Times are relative to the run as it is, so that they hold on a machine where nothing was measured yet. They are counted
or taken from what others published, each with its source; docs/decisions/0011-memory.md says how far they can be off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.schema import ADAPTER_METHODS, FOUR_BIT_METHODS, ModelSpec, Part, RunSpec, TrainingSpec
from core.step_sizes import batch_sizes, evaluation_batch, with_batch
from core.training.memory import Device, Workload

MEAN_OF_USUAL = 0.5
"""A text's mean length, as a share of what 99 of 100 texts do not exceed: lengths are skewed."""
HALF_SPEED_TOKENS = {"cuda": 200, "cpu": 10}
"""Tokens of a batch at which a device computes at half its speed, as it waits for the weights to be read as long as it
computes with them (the roofline model, Williams et al. 2009): a token takes 2 operations a weight of 2 bytes, so as
many tokens as operations a byte of memory traffic. Of cards by their data sheets 142 (RTX 3060), 153 (A100), 165
(RTX 4090), 295 (H100); of processors, in float32, about 10."""
FOUR_BITS_TIME = 1.39
"""Of QLoRA against LoRA in 16 bits (S. Raschka, "Finetuning LLMs with LoRA and QLoRA: Insights from Hundreds of
Experiments", 2023: a third less memory, 39 % more time), as weights are unpacked in every pass."""
PCIE_AGAINST_COMPUTING = 110.0
"""Of a layer's input, moved to main memory and back over PCIe 4.0 (4 bytes a unit of width at 25 GB/s), against its own
three passes (72 operations a unit of width squared at 50 TFLOPS): so much divided by the width, at most, as the copies
go on beside the computation."""
EMBEDDINGS_TIME = 1.02
"""A lookup in main memory, and the states of one layer sent to the GPU."""
EIGHT_BITS_TIME = 1.01
"""Of an 8-bit step of the optimiser, which is about as fast (Dettmers et al., arXiv 2110.02861)."""
PAGING_AGAINST_COMPUTING = 1300.0
"""Of 8-bit averages that move to main memory and back in each step (4 bytes a number at 25 GB/s), against the step (6
operations a number and token at 50 TFLOPS): divided by the tokens of a step, and at most, where all have to move."""
LEAST_PAGING = 0.01
ADAPTER_SHARE = 0.02
"""Of a model's numbers, in its adapter: rank 16 to 32."""
DISK_TIME = 1.05
"""Where what frozen layers say is read from disk."""
DOUBLE_QUANTIZATION_TIME = 1.01
CUT_PRICE = 1.1
"""That one text of a hundred is cut has to be worth a tenth of the time."""
DROPOUT_PRICE = 1.15
"""So has to be, by half as much again, that the model learns without a dropout that was asked for."""
EVALUATION_SHARE = 0.05
"""Of a run's time: forward passes over a part that is a tenth of the rows."""


@dataclass(frozen=True)
class Change:
    key: str
    """Dotted, e.g. `training.batch_size`."""
    before: Any
    after: Any
    words: str
    """Why, in a sentence."""


@dataclass(frozen=True)
class Choice:
    """Settings that change together; none where all stays as it is."""

    changes: tuple[Change, ...] = ()
    time: float = 1.0
    """Of the run, relative to what it is without."""
    price: float = 1.0
    """What choices are ranked by: the time, and more where something is learned otherwise."""


AS_IT_IS = Choice()


def applied(spec: RunSpec, choices: Sequence[Choice]) -> RunSpec:
    """The spec with these changes. Not validated: every choice here is within the bounds of the schema."""
    for change in (change for choice in choices for change in choice.changes):
        spec = _with(spec, change.key.split("."), change.after)
    return spec


def _with(part: Any, path: Sequence[str], value: Any) -> Any:
    inner = value if len(path) == 1 else _with(part.__dict__[path[0]], path[1:], value)
    return part.model_copy(update={path[0]: inner})


def batch_choices(training: TrainingSpec, mean_tokens: float, device: Device) -> list[Choice]:
    """Fewer rows at once. mean_tokens: of a row."""
    rows = training.batch_size * training.gradient_accumulation
    found = [AS_IT_IS]
    for size in batch_sizes(training)[1:]:
        words = {
            "batch_size": f"{_rows(size)} at once in place of {training.batch_size:,}: less is kept of a batch.",
            "gradient_accumulation": f"{rows // size:,} batches a step, so that a step is {_rows(rows)} as before.",
            "batch_tokens": f"As much less as there are fewer rows in a batch of {_rows(size)}.",
        }
        time = _batch_time(size, mean_tokens, device) / _batch_time(training.batch_size, mean_tokens, device)
        settings = with_batch(training, size)
        found.append(
            choice_of([change_of(training, "training", key, settings[key], words[key]) for key in settings], time)
        )
    return found


def mean_of(workload: Workload, usual_tokens: int) -> float:
    """Tokens of a row, about."""
    return MEAN_OF_USUAL * min(usual_tokens, workload.tokens)


def evaluation_choices(training: TrainingSpec) -> list[Choice]:
    """Fewer rows at once in evaluation, which comes to the same figures."""
    found, size = [AS_IT_IS], training.evaluation_batch_size
    while size > 1:
        size = evaluation_batch(size)
        words = f"{_rows(size)} at once in evaluation in place of {training.evaluation_batch_size:,}: same figures."
        change = change_of(training, "training", "evaluation_batch_size", size, words)
        found.append(choice_of([change], 1 + EVALUATION_SHARE * (1 - size / training.evaluation_batch_size)))
    return found


def axes_of(spec: RunSpec, workload: Workload, device: Device, usual_tokens: int) -> list[list[Choice]]:
    """Each way to save memory beside the batch, with the run as it is first; they can be chosen independently."""
    mean_tokens = mean_of(workload, usual_tokens)
    cuda = device.kind == "cuda"
    return [
        _four_bits(spec.model),
        _double_quantization(spec.model),
        _embeddings(spec.model) if cuda else [AS_IT_IS],
        _checkpointing(spec, workload, cuda),
        _optimizer(spec, workload, mean_tokens) if cuda else [AS_IT_IS],
        _usual_length(spec.model, workload, usual_tokens),
        _dropouts(spec.model),
        _cache(spec.training, workload),
    ]


def passes(spec: RunSpec, layers: int) -> float:
    """Forward passes that a training step comes to: one forward, one back to the activations, and one more where the
    weights learn."""
    if spec.model.method in ADAPTER_METHODS:
        return 2 * (FOUR_BITS_TIME if spec.model.method in FOUR_BIT_METHODS else 1)
    return 1 + 2 * _learning_share(spec, layers)


def _learning_share(spec: RunSpec, layers: int) -> float:
    """Of the layers those with something in or below them that learns. Gradient checkpointing runs these once more
    (Chen et al., arXiv 1604.06174)."""
    if spec.model.method == "head":
        return 0
    return 1 - min(spec.model.frozen_layers, layers) / layers if spec.model.method == "freeze" else 1


def _four_bits(model: ModelSpec) -> list[Choice]:
    if model.family != "causal" or model.method != "lora":
        return [AS_IT_IS]
    words = "Layers that do not learn are kept in 4 bits (QLoRA), a quarter of the memory; they round a little."
    return [AS_IT_IS, choice_of([change_of(model, "model", "method", "qlora", words)], FOUR_BITS_TIME)]


def _double_quantization(model: ModelSpec) -> list[Choice]:
    if model.method not in FOUR_BIT_METHODS or model.double_quantization:
        return [AS_IT_IS]
    words = "The scales of the 4-bit layers are kept in 8 bits too."
    change = change_of(model, "model", "double_quantization", True, words)
    return [AS_IT_IS, choice_of([change], DOUBLE_QUANTIZATION_TIME)]


def _embeddings(model: ModelSpec) -> list[Choice]:
    if model.embeddings_on_cpu or model.method == "full" or model.lora.train_embeddings:
        return [AS_IT_IS]
    words = "Token embeddings that do not learn wait in main memory; the GPU gets those of a batch alone."
    return [AS_IT_IS, choice_of([change_of(model, "model", "embeddings_on_cpu", True, words)], EMBEDDINGS_TIME)]


def _checkpointing(spec: RunSpec, workload: Workload, cuda: bool) -> list[Choice]:
    training, share = spec.training, _learning_share(spec, workload.sizes.layers)
    if not share:
        return [AS_IT_IS]
    words = "What checkpointing still keeps of a batch, each layer's input, waits in main memory."
    moved = change_of(training, "training", "offload_checkpoints", True, words)
    moving = 1 + PCIE_AGAINST_COMPUTING / workload.sizes.hidden_size
    if training.gradient_checkpointing:
        return [AS_IT_IS, *([choice_of([moved], moving)] if cuda and not training.offload_checkpoints else [])]
    words = "What a batch's backward pass needs is computed again in place of being kept; it learns the same."
    change = change_of(training, "training", "gradient_checkpointing", True, words)
    now = passes(spec, workload.sizes.layers)
    time = (now + share) / now
    if not cuda or training.offload_checkpoints:
        return [AS_IT_IS, choice_of([change], time)]
    return [AS_IT_IS, choice_of([change], time), choice_of([change, moved], time * moving)]


def _optimizer(spec: RunSpec, workload: Workload, mean_tokens: float) -> list[Choice]:
    training, found = spec.training, [AS_IT_IS]
    eight = "The optimiser's two averages are kept in 8 bits, a quarter of the memory"
    if training.optimizer == "adamw":
        change = change_of(training, "training", "optimizer", "adamw_8bit", f"{eight}.")
        found.append(choice_of([change], EIGHT_BITS_TIME))
    if training.optimizer != "paged_adamw_8bit":
        in_adapter = spec.model.method in ADAPTER_METHODS
        share = ADAPTER_SHARE if in_adapter else _learning_share(spec, workload.sizes.layers)
        tokens = training.batch_size * training.gradient_accumulation * max(1.0, mean_tokens)
        paging = 1 + LEAST_PAGING + share * PAGING_AGAINST_COMPUTING / tokens
        words = f"{eight}, and move to main memory when the GPU is full."
        change = change_of(training, "training", "optimizer", "paged_adamw_8bit", words)
        found.append(choice_of([change], EIGHT_BITS_TIME * paging))
    return found


def _usual_length(model: ModelSpec, workload: Workload, usual_tokens: int) -> list[Choice]:
    """Cut only the one text of a hundred that is longer than the others."""
    length = max(8, usual_tokens)
    if length >= min(model.max_length, workload.tokens):
        return [AS_IT_IS]
    words = f"99 of 100 texts have no more tokens; only the longest are cut, at {length:,}."
    return [AS_IT_IS, choice_of([change_of(model, "model", "max_length", length, words)], price=CUT_PRICE)]


def _dropouts(model: ModelSpec) -> list[Choice]:
    if model.family == "encoder" and model.attention_dropout > 0:
        words = "Attention is computed in one piece, without a table of all pairs of tokens."
        return [AS_IT_IS, choice_of([change_of(model, "model", "attention_dropout", 0.0, words)], price=DROPOUT_PRICE)]
    if model.method in ADAPTER_METHODS and model.lora.dropout > 0:
        words = "Without a dropout each adapter reads what its layer reads, and no copy of it is kept."
        return [AS_IT_IS, choice_of([change_of(model.lora, "model.lora", "dropout", 0.0, words)], price=DROPOUT_PRICE)]
    return [AS_IT_IS]


def _cache(training: TrainingSpec, workload: Workload) -> list[Choice]:
    if not workload.cached_bytes or training.prefix_cache == "disk":
        return [AS_IT_IS]
    words = "What frozen layers say is kept on disk in place of memory."
    return [AS_IT_IS, choice_of([change_of(training, "training", "prefix_cache", "disk", words)], DISK_TIME)]


def choice_of(changes: Sequence[Change], time: float = 1.0, price: float = 0.0) -> Choice:
    """price: the time where none is given."""
    return Choice(tuple(changes), time, price or time)


def change_of(part: Part, prefix: str, name: str, after: Any, words: str) -> Change:
    """Of a part of a RunSpec, which is at `prefix` of it."""
    return Change(f"{prefix}.{name}", part.__dict__[name], after, words)


def _batch_time(size: int, mean_tokens: float, device: Device) -> float:
    """Of a row, relative to one in an endless batch."""
    return 1 + HALF_SPEED_TOKENS[device.kind] / (size * max(1.0, mean_tokens))


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
