"""What a run tries, one step after the other, where memory did not suffice: light, no torch.

Half the batch and twice the accumulation, down to one row; then gradient checkpointing; then, on a GPU, what that keeps
in main memory; then, where the person allowed it, shorter texts. The rows of a step stay the same in number: a batch is
only ever divided by what divides the step.
Each step begins a fresh process, which starts with empty memory, from the last checkpoint, but for shorter texts, which
are other rows: these begin again.

A worker that notices says so itself. One that the kernel ended cannot: its supervisor takes the step for it, a few
times, since the memory may be another program's.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import UserError
from core.runs.lifecycle import ENDED
from core.runs.queue import stopped_words
from core.runs.store import Event, Run, Store
from core.schema import RunSpec
from core.spec_files import read_spec
from core.step_sizes import SHORTEST_TOKENS, batch_sizes, evaluation_batch, shorter_lengths, with_batch
from core.workspace import RunFolder

SMALLER_BATCH, CHECKPOINTING, SHORTER = "smaller_batch", "gradient_checkpointing", "shorter_texts"
BEFORE_THE_MODEL = ("reading data", "baselines", "loading model")
"""Phases in which the size of a batch changes nothing."""
KILLED = "killed_for_memory"
KILLS_ANSWERED = 6
"""So often a run that the kernel ended goes on by itself; then it waits for a person, who may resume it."""
Memory = Literal["GPU", "computer"]


@dataclass(frozen=True)
class AnotherWay:
    """How a run can go on after all, in a fresh process."""

    event: str
    """What the store remembers it by: smaller_batch, gradient_checkpointing, shorter_texts, or backend_refused."""
    detail: dict[str, Any]
    """The settings that change; of backend_refused its reason."""
    words: str


def is_before_the_model(phase: str) -> bool:
    """Whether the size of a batch changes nothing in this phase; one of a fold has the fold's number before it."""
    return phase.rpartition(": ")[2] in BEFORE_THE_MODEL


def next_step(spec: RunSpec, memory: Memory) -> AnotherWay | None:
    """What to try after `spec` did not fit; None where nothing is left."""
    training = spec.training
    if len(batch_sizes(training)) > 1 or training.evaluation_batch_size > 1:
        return _smaller_batch(spec, memory)
    if not training.gradient_checkpointing:
        return AnotherWay(
            CHECKPOINTING,
            {"gradient_checkpointing": True},
            f"The {memory} ran out of memory at one row a batch. Going on with gradient checkpointing, which learns "
            "the same and takes about a third longer.",
        )
    if memory == "GPU" and not training.offload_checkpoints:
        return AnotherWay(
            CHECKPOINTING,
            {"offload_checkpoints": True},
            "The GPU ran out of memory at one row a batch with gradient checkpointing. Going on with what that keeps "
            "in main memory, which learns the same and takes a little longer.",
        )
    length = spec.model.max_length
    if training.shorten_to_fit and length > SHORTEST_TOKENS:
        shorter = shorter_lengths(length)[0]
        return AnotherWay(
            SHORTER,
            {"max_length": shorter},
            f"The {memory} ran out of memory at one row of {length:,} tokens a batch. As you allowed it, texts are cut "
            f"at {shorter:,} tokens from here on, and training begins again.",
        )
    return None


def _smaller_batch(spec: RunSpec, memory: Memory) -> AnotherWay:
    training = spec.training
    rows = training.batch_size * training.gradient_accumulation
    sizes = batch_sizes(training)
    # Half or less, as each step begins a fresh process.
    fewer = next((size for size in sizes if 2 * size <= training.batch_size), sizes[-1])
    evaluation = {"evaluation_batch_size": evaluation_batch(training.evaluation_batch_size)}
    changes: dict[str, Any] = with_batch(training, fewer) | evaluation
    same = f"which is {rows:,} rows a step as before: it learns the same"
    if training.batch_tokens is not None:
        same = f"with {changes['batch_tokens']:,} tokens a batch at most, about as many rows a step as before"
    if fewer == training.batch_size:
        same = f"{_rows(changes['evaluation_batch_size'])} at once in evaluation"
        return AnotherWay(SMALLER_BATCH, changes, f"The {memory} ran out of memory. Going on with {same}.")
    return AnotherWay(
        SMALLER_BATCH,
        changes,
        f"The {memory} ran out of memory at {_rows(training.batch_size)} a batch. Going on with {_rows(fewer)} a batch "
        f"and {rows // fewer} batches a step, {same}.",
    )


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def as_it_fits(spec: RunSpec, events: Sequence[Event]) -> RunSpec:
    """The spec with every step that the run has taken so far."""
    for event in events:
        if event.kind in (SMALLER_BATCH, CHECKPOINTING):
            spec = spec.model_copy(update={"training": spec.training.model_copy(update=_settings(event.detail))})
        elif event.kind == SHORTER:
            spec = spec.model_copy(update={"model": spec.model.model_copy(update=_settings(event.detail))})
    return spec


def _settings(detail: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in detail.items() if name != "memory"}


def queue_again(store: Store, folder: RunFolder, *ways: AnotherWay) -> bool:
    """Put a run at work back into the queue, to go on in a fresh process with these ways; the last one says why.

    One that was asked to stop has stopped. False where neither can be: another process has noticed first.
    """
    if any(way.event == SHORTER for way in ways):
        # Rows that are cut otherwise are other rows: their tokens, and with them the checkpoints, do not fit.
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    events = [(way.event, way.detail) for way in ways]
    if store.move(folder.id, ["running"], "queued", ways[-1].words, events=events):
        return True
    return store.move(folder.id, ["stopping"], "stopped", stopped_words(store, folder.id), events=events)


def go_on_after_kill(store: Store, folder: RunFolder, run: Run) -> bool:
    """Whether a run whose worker the kernel ended for want of memory is in the queue again, a step further down.

    Not where batches were no part of it yet, nothing is left to try, or it was ended too often since a person began or
    resumed it. Raises OSError where its log cannot be written.
    """
    way, events = _next_after_kill(store, folder), store.events(folder.id)
    phase = run.progress.phase if run.progress is not None else BEFORE_THE_MODEL[0]
    ended = max((place for place, event in enumerate(events) if event.kind in ENDED), default=-1)
    kills = sum(event.kind == KILLED for event in events[ended + 1 :])
    if way is None or is_before_the_model(phase) or kills >= KILLS_ANSWERED:
        return False
    words = f"The system ended the run to free some memory. {way.words}"
    killed = AnotherWay(KILLED, {"phase": phase, "kills": kills + 1}, words)
    if queue_again(store, folder, killed, AnotherWay(way.event, way.detail, words)):
        with folder.log.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {words}\n")
    return True


def _next_after_kill(store: Store, folder: RunFolder) -> AnotherWay | None:
    try:
        return next_step(as_it_fits(read_spec(folder.spec), store.events(folder.id)), "computer")
    except UserError:
        return None  # somebody has changed spec.yaml meanwhile: the next start says what is wrong with it
