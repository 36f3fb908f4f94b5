"""Learning something else where a run fits no other way: shorter texts, or another method. Light: no torch.

The best first, by what is usually learned with it: a rule of thumb, not a measured order.
"""

from collections.abc import Iterator
from dataclasses import replace

from core.models.layers import work_of_a_step
from core.schema import ModelSpec, RunSpec
from core.step_sizes import shorter_lengths
from core.training.memory import Device, Workload
from core.training.memory_choices import Choice, applied, change_of, choice_of, passes


def other_ways_to_learn(
    spec: RunSpec, workload: Workload, device: Device, usual_tokens: int
) -> Iterator[tuple[Choice, ...]]:
    """As asked, then of shorter texts where `training.shorten_to_fit` allows it, then by other methods.

    usual_tokens: 99 of 100 rows have no more.
    """
    model = spec.model
    lengths: list[tuple[Choice, ...]] = [()]
    if spec.training.shorten_to_fit:
        longest = min(usual_tokens, workload.tokens)
        lengths += [(_shorter(model, length),) for length in shorter_lengths(model.max_length) if length < longest]
    for method in [(), *((choice,) for choice in _methods(spec, workload.sizes.layers, device))]:
        for length in lengths:
            yield (*method, *length)


def _shorter(model: ModelSpec, length: int) -> Choice:
    words = f"As you allowed it, texts are cut at {length:,} tokens, which more than one of 100 exceeds."
    return choice_of([change_of(model, "model", "max_length", length, words)])


def _methods(spec: RunSpec, layers: int, device: Device) -> list[Choice]:
    """Other methods, those that learn most first."""
    model = spec.model
    if model.family == "causal":
        words = (
            "Nothing else fits: small adapters learn in place of all weights. They usually want a learning rate about "
            f"ten times as high as that of all weights ({spec.training.learning_rate:g} now)."
        )
        return [_method(spec, layers, device, "lora", words)] if model.method == "full" else []
    found = []
    if model.method in ("full", "freeze"):
        now = model.frozen_layers if model.method == "freeze" else 0
        found += [
            _frozen(spec, layers, device, count)
            for count in sorted({layers * n // 4 for n in (1, 2, 3)})
            if count > now
        ]
    if model.method == "full":
        words = (
            "Nothing else fits: small adapters learn in place of the layers. They usually want a learning rate about "
            f"ten times as high ({spec.training.learning_rate:g} now)."
        )
        found.append(_method(spec, layers, device, "lora", words))
    if model.method != "head":
        words = "Nothing else fits: the head alone learns, which is usually less good than a model that learns whole."
        found.append(_method(spec, layers, device, "head", words))
    return found


def _frozen(spec: RunSpec, layers: int, device: Device, count: int) -> Choice:
    words = f"Nothing else fits: the embeddings and the lowest {count} of {layers} layers stay as they are."
    model = spec.model
    more = change_of(model, "model", "frozen_layers", count, f"The upper {layers - count} learn, and the head.")
    if model.method == "freeze":
        changes = [replace(more, words=words)]
        if model.choose_frozen_layers:
            chosen = "Their number is chosen by memory, not by the rows."
            changes.append(change_of(model, "model", "choose_frozen_layers", False, chosen))
        now = work_of_a_step(layers, min(model.frozen_layers, layers)).plain
        return choice_of(changes, work_of_a_step(layers, count).plain / now)
    choice = _method(spec, layers, device, "freeze", words)
    return replace(choice, changes=(choice.changes[0], more, *choice.changes[1:]))


def _method(spec: RunSpec, layers: int, device: Device, method: str, words: str) -> Choice:
    changes = [change_of(spec.model, "model", "method", method, words)]
    if method in ("freeze", "head") and spec.training.prefix_cache in ("auto", "memory") and device.kind == "cpu":
        kept = "What frozen layers say is kept on disk, as memory is short."
        changes.append(change_of(spec.training, "training", "prefix_cache", "disk", kept))
    time = passes(applied(spec, [choice_of(changes)]), layers) / passes(spec, layers)
    return choice_of(changes, time)
