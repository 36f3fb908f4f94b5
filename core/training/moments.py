"""The moments of a run at which memory may be fullest, and what comes and goes in each: bytes. Light: no torch.

What is always there (weights, adapter, averages) is none of it. A step: all is kept for the way back; then the loss of
the answers' tokens; then the way back, layer by layer, where gradients grow as what was kept goes. Beside the steps:
evaluation, free answers, and frozen layers computed once.

Limits: loading a model, writing a checkpoint and merging an adapter are left out, as they take less than a step does
wherever a model can train at all; on a processor they count with the process.
"""

from dataclasses import dataclass, replace
from typing import Literal

from core.models.layers import STATE_BYTES
from core.schema import RunSpec
from core.training.activations import (
    FLOAT32,
    Pass,
    backward_bytes,
    casts_bytes,
    forward_bytes,
    kept_bytes,
    key_value_bytes,
    layer_bytes,
)

MomentName = Literal["step", "loss", "gradients", "evaluation", "answers", "frozen layers"]
PROJECTED_AT_ONCE = 512
"""Tokens (core.evaluation.held_out.TOKENS_PROJECTED_AT_ONCE)."""
SCORED_AT_ONCE = 2**25
"""Logits (core.evaluation.scoring.LOGITS_AT_ONCE)."""
ANSWERS_AT_ONCE = 4
"""Rows (core.evaluation.plain_scoring.ANSWERS_AT_ONCE)."""
UNSLOTH_KEEPS_MORE = 513
"""Tokens (KV_CACHE_INCREMENT of unsloth/models/llama.py, and the one being written)."""
UNSLOTH_OFFLOADS_FROM = 512
"""Tokens that the model is loaded for (unsloth/models/_utils.py)."""
FROZEN_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 32_768}
"""core.models.prefix_cache.BATCH_TOKENS, halved there where memory does not suffice."""


@dataclass(frozen=True)
class Moment:
    name: MomentName
    words: str
    activations: int = 0
    activation_words: str = ""
    logits: int = 0
    logit_words: str = ""
    gradients: int = 0

    @property
    def bytes(self) -> int:
        return self.activations + self.logits + self.gradients


def moments_of(
    spec: RunSpec, done: Pass, classes: int, answer_tokens: int, gradients: int, free: int
) -> tuple[Moment, ...]:
    """done: a training step's. gradients: bytes of all. free: bytes beside what is always there."""
    found = [*_step(spec, done, answer_tokens, gradients), _evaluation(spec, done, classes, answer_tokens)]
    if spec.task == "chat" or (spec.task == "answer" and spec.evaluation.generated_rows):
        found.append(_answers(spec, done))
    has_frozen = spec.model.family == "encoder" and done.learning_layers < done.sizes.layers
    if has_frozen and spec.training.prefix_cache != "off":
        found.append(_frozen_layers(done, free))
    return tuple(found)


def _step(spec: RunSpec, done: Pass, answer_tokens: int, gradients: int) -> list[Moment]:
    """With several batches a step, gradients of those before are there all along."""
    training, what = spec.training, f"{done.rows:,} x {done.tokens:,} tokens"
    added_up = gradients if training.gradient_accumulation > 1 else 0
    checkpointing = training.gradient_checkpointing and done.learning_layers > 0
    # Unsloth goes by the length that the model was loaded for, and to score labels it is loaded for far more.
    short = done.unsloth and spec.task == "chat" and spec.model.max_length < UNSLOTH_OFFLOADS_FROM
    offloaded = training.offload_checkpoints and not short
    kept = kept_bytes(done, checkpointing=checkpointing, offloaded=offloaded)
    lowest = layer_bytes(done) + backward_bytes(done)
    if done.learning_layers == 0:
        widest, way = forward_bytes(done), "what a layer needs of a batch"
    elif checkpointing:
        widest = max(lowest, casts_bytes(done) + forward_bytes(done))
        way = "the inputs of each layer, and one layer computed anew"
    else:
        widest, way = backward_bytes(done), "what every layer keeps of a batch for the way back"
    words = f"{what}: {way}."
    tokens = min(done.rows * answer_tokens, PROJECTED_AT_ONCE)
    logits = tokens * done.sizes.vocabulary * (2 * FLOAT32 + (done.number if done.autocast else 0))
    logit_words = f"Scores over the vocabulary for {tokens:,} tokens with loss at once."
    if spec.model.method == "full" and spec.model.family == "causal" and done.autocast:
        logits += done.sizes.token_embeddings * done.number
    longest = "a training step on the longest rows"
    found = [Moment("step", f"{_most_in(longest)}.", kept + widest, words, gradients=added_up)]
    if logits:
        loss = f"{_most_in(longest)}, as its loss is computed."
        states = done.positions * done.sizes.hidden_size * 2 * done.weights
        found.append(Moment("loss", loss, kept + states, words, logits, logit_words, gradients=added_up))
    at_the_end = f"{_most_in('a training step')}, when all gradients are there."
    working = lowest if done.learning_layers and not added_up else 0
    return [*found, Moment("gradients", at_the_end, working, f"{what}: the lowest layer.", gradients=gradients)]


def _evaluation(spec: RunSpec, done: Pass, classes: int, answer_tokens: int) -> Moment:
    """A pass without a way back; prompts that begin alike keep the beginning's keys and values, and so their own."""
    rows = spec.training.evaluation_batch_size
    at_once = replace(done, rows=rows)
    if done.model.family == "encoder" and not done.cuda:
        at_once = replace(at_once, number=FLOAT32)  # probabilities are computed in float32 there
    passing = forward_bytes(at_once) + (casts_bytes(done) if done.learning_layers else 0)
    words = f"{rows:,} x {done.tokens:,} tokens: what a layer needs of them"
    logits = 0
    if spec.task == "answer":
        # transformers turns the mask into a table of numbers; what the labels' tokens say is scored in pieces.
        passing += 0 if done.unsloth else key_value_bytes(at_once)
        words += "" if done.unsloth else ", and the keys and values of all layers"
        places = 1 + classes * max(0, answer_tokens - 1)
        whole = rows * places * done.sizes.vocabulary
        most = max(SCORED_AT_ONCE, rows * done.sizes.vocabulary)
        logits = min(whole, most) * (2 * FLOAT32 + (done.number if done.autocast else 0))
    elif spec.task == "chat":
        tokens = min(rows * done.tokens, PROJECTED_AT_ONCE)
        logits = tokens * done.sizes.vocabulary * (2 * FLOAT32 + (done.number if done.autocast else 0))
    return Moment(
        "evaluation",
        f"{_most_in('evaluation')}, with {rows:,} rows at once: more than a training step of {done.rows:,}.",
        passing,
        f"{words}.",
        logits,
        "Scores over the vocabulary, some at a time.",
    )


def _answers(spec: RunSpec, done: Pass) -> Moment:
    at_once = replace(done, rows=min(ANSWERS_AT_ONCE, spec.training.evaluation_batch_size))
    kept = key_value_bytes(at_once)
    passing = forward_bytes(at_once) + kept
    if done.unsloth:
        # An answer's first token copies them to where there is room for more, and the first ones wait until it is done.
        passing = max(passing, kept + kept * (done.tokens + UNSLOTH_KEEPS_MORE) // done.tokens)
    return Moment(
        "answers",
        f"{_most_in('free answers')}, {at_once.rows:,} rows at once: their keys and values are kept.",
        passing,
        f"{at_once.rows:,} x {done.tokens:,} tokens: keys and values of all layers, and what a layer needs.",
    )


def _frozen_layers(done: Pass, free: int) -> Moment:
    most = FROZEN_TOKENS_AT_ONCE["cuda" if done.cuda else "cpu"]
    while True:
        rows = max(1, most // max(1, done.tokens))
        at_once = replace(done, rows=rows, number=done.number if done.cuda else FLOAT32)
        passing = forward_bytes(at_once) + at_once.positions * done.sizes.hidden_size * STATE_BYTES["float32"]
        if rows == 1 or not done.cuda or passing <= free:
            words = f"{_most_in('computing what frozen layers say')}, once before training."
            return Moment("frozen layers", words, passing, f"{rows:,} x {done.tokens:,} tokens at once.")
        most //= 2


def _most_in(what: str) -> str:
    return f"The most is taken in {what}"
