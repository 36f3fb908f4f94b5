"""How much a run computes, from sizes and settings alone. Light: no torch.

In floating point operations of the linear layers and of attention, a multiplication and an addition counted as two; a
pass backward costs twice a pass forward through what learns (Kaplan et al., arXiv 2001.08361, section 2.1). What is
left out (norms, activations, the optimiser's step) is in the measured seconds by which this is multiplied.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.epochs import epochs_of
from core.models.layers import work_of_a_step
from core.models.sizes import Sizes
from core.schema import ADAPTER_METHODS, Method, RunSpec

if TYPE_CHECKING:  # a GPU machine that only measures has no DuckDB
    from core.data.amount import Amount

MOST_VOTING = 20_000
"""Train rows that vote as nearest neighbours at most."""
WORK_SHARE = 0.15
"""Of the passes over rows that training makes, at most so many are made for nearest neighbours."""
PASSES: dict[Method, int] = {"full": 3, "lora": 3, "freeze": 2, "head": 1}
"""What a training row costs, in passes forward: going backward costs two, where it goes all the way."""
ALWAYS_READ = 2000
"""Rows that are read for nearest neighbours in any case: a matter of seconds."""
LEAST_SHARE = 0.01
"""Of a whole pass forward: what a head alone costs at least."""
SAMPLES = 8
"""Answers to conversations that are written before and after training."""


@dataclass(frozen=True)
class Work:
    """Of a whole run, each fold counted."""

    token: float
    """Operations for a training token, forward and backward."""
    tokens: float
    """Training tokens in all."""
    steps: int
    """Of the optimiser."""
    evaluation: float
    """Operations of one pass over the validation part."""
    evaluations: float
    """Such passes while it trains."""
    once: float
    """Operations of passes forward that are made once: test and validation at the end, what frozen layers say, nearest
    neighbours, and a language model before it is trained."""
    baseline_tokens: int
    """That TF-IDF reads; 0 without baselines."""
    written_rows: int
    """That a language model answers freely, before and after."""

    @property
    def training(self) -> float:
        return self.token * self.tokens

    @property
    def forward(self) -> float:
        return self.evaluation * self.evaluations + self.once


def work_of(spec: RunSpec, sizes: Sizes, amount: "Amount", cached: bool) -> Work:
    """spec: with the number of its frozen layers. cached: whether what frozen layers say is kept."""
    rows, tokens = amount.rows, amount.tokens
    length = tokens["train"] / max(1, rows["train"])
    forward = forward_operations(sizes, length)
    token = _training_share(spec, sizes, cached) * forward
    seen, steps, epochs = _training_length(spec, amount)
    evaluations = steps / spec.training.evaluate_every_steps if spec.training.evaluate_every_steps else epochs
    above = work_of_a_step(sizes.layers, frozen_layers(spec, sizes)).cached if cached else 1.0
    share = max(LEAST_SHARE, above)
    answers = 0.0 if spec.task == "classify" else _answer_operations(sizes, amount)
    folds = max(1, spec.split.folds)
    return Work(
        token + 3 * answers / max(1.0, length),
        folds * seen * length,
        folds * steps,
        share * forward * tokens["validation"],
        folds * math.ceil(evaluations),
        folds * forward * _once_tokens(spec, amount, share, cached),
        folds * sum(tokens.values()) if spec.evaluation.baselines and spec.task != "chat" else 0,
        _written_rows(spec, rows),
    )


def forward_operations(sizes: Sizes, length: float) -> float:
    """For one token of a text of `length` tokens."""
    return sizes.layers * (2 * sizes.linear_weights + 4 * length * sizes.heads * sizes.head_size)


def frozen_layers(spec: RunSpec, sizes: Sizes) -> int:
    if spec.model.method == "head":
        return sizes.layers
    return min(spec.model.frozen_layers, sizes.layers) if spec.model.method == "freeze" else 0


def _training_share(spec: RunSpec, sizes: Sizes, cached: bool) -> float:
    """Operations of a training token, in passes forward."""
    again = 1.0 if spec.training.gradient_checkpointing else 0.0
    if spec.model.method in ADAPTER_METHODS:
        return 2 + again
    work = work_of_a_step(sizes.layers, frozen_layers(spec, sizes))
    return max(LEAST_SHARE, 3 * (work.cached if cached else work.plain) + again * work.cached)


def _answer_operations(sizes: Sizes, amount: "Amount") -> float:
    """The vocabulary's scores of the tokens of an answer, in a row."""
    return 2.0 * sizes.hidden_size * sizes.vocabulary * amount.answer_tokens


def _training_length(spec: RunSpec, amount: "Amount") -> tuple[float, int, float]:
    """Rows seen, steps, and passes over the rows."""
    training, rows = spec.training, max(1, amount.rows["train"])
    batch: float = training.batch_size
    if training.batch_tokens is not None:
        batch = max(1.0, min(batch, training.batch_tokens / max(1.0, amount.tokens["train"] / rows)))
    steps_an_epoch = math.ceil(math.ceil(rows / batch) / training.gradient_accumulation)
    if training.max_steps is not None:
        epochs = training.max_steps / steps_an_epoch
        return epochs * rows, training.max_steps, epochs
    classes = amount.classes if spec.mapping.kind == "single" else 0
    epochs = epochs_of(training, rows, classes)
    return epochs * rows, math.ceil(steps_an_epoch * epochs), epochs


def _once_tokens(spec: RunSpec, amount: "Amount", share: float, cached: bool) -> float:
    """Tokens that go through all layers, or as many as come to the same."""
    rows, tokens = amount.rows, amount.tokens
    held_out = tokens["validation"] + tokens["test"]
    found = share * held_out
    if cached:
        found += (1 - share) * sum(tokens.values())
    if spec.task != "classify":
        return found + (tokens["test"] if spec.evaluation.untuned else 0)
    if spec.evaluation.baselines and spec.model.family == "encoder":
        classes = amount.classes if spec.mapping.kind == "single" else 0
        voting = min(rows["train"], voting_rows_affordable(spec, rows, classes))
        found += held_out + voting * tokens["train"] / max(1, rows["train"])
    return found


def _written_rows(spec: RunSpec, rows: Mapping[str, int]) -> int:
    if spec.task == "classify":
        return 0
    asked = SAMPLES if spec.task == "chat" else spec.evaluation.generated_rows
    return min(asked, rows["test"]) * (2 if spec.evaluation.untuned else 1)


def voting_rows_affordable(spec: RunSpec, rows: Mapping[str, int], classes: int) -> int:
    """How many train rows can vote as nearest neighbours so that the whole stays a small share of the training.

    rows: of each part. classes: one a row; 0 where a row has several.
    """
    training = spec.training
    learned = rows["train"] * epochs_of(training, rows["train"], classes)
    if training.max_steps is not None:
        learned = min(learned, training.max_steps * training.batch_size * training.gradient_accumulation)
    read = max(ALWAYS_READ, WORK_SHARE * PASSES[spec.model.method] * learned)
    return min(MOST_VOTING, max(0, int(read) - rows["validation"] - rows["test"]))
