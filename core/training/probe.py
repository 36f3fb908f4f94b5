"""A few real steps of a run before it begins: what it takes at its peak, and how long a step is. Worker only.

The run's own code does it, on the run's own rows in a scratch folder: the batch with the most tokens first, and once
more when the optimiser has its averages; then batches of the lengths that the data has; then one batch of evaluation.
No checkpoint is written. Limits: what comes after training (free answers, exports) is not tried. Of a model that learns
whole, MOST_ROWS rows decide which tokens occur.
"""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.data.examples import PARTS, DataFacts
from core.data.split import write_split
from core.epochs import epochs_of
from core.models.known import known_of
from core.models.layers import plan_states, with_chosen_layers
from core.schema import RunSpec
from core.training.job import Job
from core.training.machine import peak_memory
from core.training.worker import backend_of, labelled_texts, train_model
from core.workspace import RunFolder, Workspace

STEPS = 5
MOST_ACCUMULATED = 2
"""Batches of a step: more are alike, and are reckoned with."""
STEP_SECONDS = 40.0
"""After so long no further step is begun."""
MOST_ROWS = 20_000
CHARACTERS_A_TOKEN = 4


class ProbeOverError(Exception):
    """All that is to be known is known."""


@dataclass(frozen=True)
class Probed:
    peak_bytes: int
    """The most that torch held on the GPU; without one, the most that the process held, its libraries included."""
    on_gpu: bool
    least_free_bytes: int | None
    """Of the GPU, as its driver tells."""
    process_bytes: int | None
    """The most that the process held of the computer's memory."""
    batches: int
    """That were timed."""
    seconds_a_step: float
    """As the run's own steps are, of as many batches as it accumulates."""
    steps: int
    """Of the whole run."""
    evaluation_seconds: float
    """Of the whole run, while it trains and at its end."""


@dataclass(frozen=True)
class _Kept:
    """What the scratch folder was cut down to."""

    rows: dict[str, int]
    shares: dict[str, float]
    """Characters of all rows of a part to those of the kept ones."""


def probe(job: Job, workspace: Workspace, tell: Callable[[int, int], None]) -> Probed:
    """Take the steps. job: of a run in a scratch workspace. workspace: where its tables are. tell: of steps done, and
    in all. Raises what training raises: UserError, StopRequestedError, and where memory is short what torch says."""
    job.enter("reading data")
    facts = write_split(job.spec, workspace, job.folder)
    spec, more = _as_the_run_will_be(job, facts)
    kept = _keep_some(job.folder, spec)
    watch = _Watch(spec, facts, kept, tell)
    _train(replace(job, spec=_short_run(spec), prepare=watch.begin), facts)
    share = 1 - sum(kept.rows.values()) / sum(facts.parts.values())
    return watch.result(round(more * share))


def _as_the_run_will_be(job: Job, facts: DataFacts) -> tuple[RunSpec, int]:
    """The spec as all rows call for it, not the few that are kept; and the bytes of what frozen layers say of all rows,
    where these are kept in memory."""
    spec = job.spec
    known = known_of(spec.model)
    if spec.model.family != "encoder" or spec.model.method not in ("freeze", "head") or known.sizes is None:
        return spec, 0
    model = with_chosen_layers(spec.model, known.sizes.layers, facts.parts["train"])
    frozen = known.sizes.layers if model.method == "head" else model.frozen_layers
    length = min(model.max_length, facts.lengths["mean"] / CHARACTERS_A_TOKEN)
    plan = plan_states(
        known.sizes.layers,
        known.sizes.hidden_size,
        frozen,
        spec.training,
        {part: round(rows * length) for part, rows in facts.parts.items()},
        facts.parts["train"],
        psutil.virtual_memory().available,
        shutil.disk_usage(job.folder.root).free,
    )
    training = spec.training.model_copy(update={"prefix_cache": "off" if plan.place is None else "memory"})
    in_memory = plan.bytes if plan.place == "memory" and not torch.cuda.is_available() else 0
    return spec.model_copy(update={"model": model, "training": training}), in_memory


def _short_run(spec: RunSpec) -> RunSpec:
    """STEPS steps and one evaluation, and nothing beside; all layers learn from the first step."""
    training = {
        "max_steps": STEPS,
        "evaluate_every_steps": STEPS,
        "gradient_accumulation": min(MOST_ACCUMULATED, spec.training.gradient_accumulation),
        "gradual_unfreezing": False,
        "early_stopping_patience": 0,
        "trackers": (),
    }
    evaluation = {"baselines": False, "untuned": False, "generated_rows": 0}
    return spec.model_copy(
        update={
            "training": spec.training.model_copy(update=training),
            "evaluation": spec.evaluation.model_copy(update=evaluation),
            "split": spec.split.model_copy(update={"folds": 0}),
        }
    )


def _keep_some(folder: RunFolder, spec: RunSpec) -> _Kept:
    """Of each part the longest rows, and some of all lengths, by characters."""
    training = spec.training
    wanted = training.batch_size * (1 + STEPS * min(MOST_ACCUMULATED, training.gradient_accumulation))
    if spec.model.family == "encoder" and spec.model.method == "full":
        wanted = max(wanted, MOST_ROWS // training.batch_size * training.batch_size)
    longest = {"train": training.batch_size}
    table = pq.read_table(folder.examples)
    part_of = np.array(table["part"].to_pylist())
    lengths = pc.utf8_length(table["text"]).to_numpy()
    places, rows, shares = [], {}, {}
    for part in PARTS:
        own = np.flatnonzero(part_of == part)
        many = wanted if part == "train" else training.evaluation_batch_size
        chosen = own[_chosen(lengths[own], longest.get(part, many), many)]
        places.append(chosen)
        rows[part] = len(chosen)
        shares[part] = float(lengths[own].sum() / max(1, lengths[chosen].sum()))
    pq.write_table(table.take(np.sort(np.concatenate(places))), folder.examples)
    folder.outside.unlink(missing_ok=True)
    return _Kept(rows, shares)


def _chosen(lengths: npt.NDArray[Any], longest: int, many: int) -> npt.NDArray[np.int64]:
    """Places of the longest, and of as many others of all lengths as make `many`."""
    order = np.argsort(lengths, kind="stable")
    if len(order) <= many:
        return order
    others, top = order[: len(order) - longest], order[len(order) - longest :]
    spread = np.linspace(0, len(others) - 1, many - len(top)).astype(np.int64)
    return np.concatenate([others[np.unique(spread)], top])


def _train(job: Job, facts: DataFacts) -> None:
    try:
        if job.spec.task == "chat":
            job.enter("loading model")
            backend = backend_of(job)
            from core.training.chat import train_chat

            train_chat(job, backend)
        else:
            parts = {part: labelled_texts(job.folder, part, facts) for part in PARTS}
            job.enter("loading model")
            train_model(job, facts, parts)
    except ProbeOverError:
        return
    raise AssertionError("the evaluation after the last step ends a probe")


class _Watch(TrainerCallback):
    """Chooses the batches, times them, and ends it."""

    def __init__(self, spec: RunSpec, facts: DataFacts, kept: _Kept, tell: Callable[[int, int], None]) -> None:
        self.spec, self.facts, self.kept, self.tell = spec, facts, kept, tell
        self.accumulated = min(MOST_ACCUMULATED, spec.training.gradient_accumulation)
        self.rows_a_batch = float(spec.training.batch_size)
        self.batches: list[float] = []
        """Seconds of each."""
        self.began = self.mark = 0.0
        self.evaluation = 0.0
        self.least_free: int | None = None

    def begin(self, trainer: Any) -> None:
        """Before the trainer begins."""
        batches = trainer.batches
        real = sorted(batches, key=lambda rows: len(rows) * int(batches.lengths[rows].max()))
        self.rows_a_batch = sum(map(len, real)) / len(real)
        batches.fixed = _order(real, self.accumulated)
        trainer.add_callback(self)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self.began:
            self.began = self.mark = time.perf_counter()

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._lap()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._lap()
        self.tell(state.global_step, STEPS)
        if self.mark - self.began > STEP_SECONDS:
            control.should_evaluate = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        now = time.perf_counter()
        self.evaluation = now - self.mark
        self._see()
        raise ProbeOverError

    def _lap(self) -> None:
        self._see()
        now = time.perf_counter()
        self.batches.append(now - self.mark)
        self.mark = now

    def _see(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            free = torch.cuda.mem_get_info()[0]
            self.least_free = free if self.least_free is None else min(free, self.least_free)

    def result(self, more_bytes: int) -> Probed:
        """more_bytes: that the whole run keeps in memory beside what was measured."""
        seconds, timed = self._seconds_a_step()
        steps, epochs = self._steps()
        peak = peak_memory()
        on_gpu = peak["peak_gpu_memory_bytes"] is not None
        process = peak["peak_memory_bytes"]
        return Probed(
            peak_bytes=(peak["peak_gpu_memory_bytes"] or process or 0) + more_bytes,
            on_gpu=on_gpu,
            least_free_bytes=self.least_free,
            process_bytes=process,
            batches=timed,
            seconds_a_step=seconds,
            steps=steps,
            evaluation_seconds=self._evaluations(steps, epochs) * self.evaluation,
        )

    def _seconds_a_step(self) -> tuple[float, int]:
        """And the batches that it is told from: without the first step, in which libraries warm up, and the longest
        batch after it, where there are others."""
        size = self.accumulated
        steps = [self.batches[start : start + size] for start in range(0, len(self.batches), size)]
        timed = [step for step in steps if len(step) == size]
        typical = timed[2:] or timed[1:] or timed
        last = sum(step[-1] for step in typical) / len(typical)
        others = self.spec.training.gradient_accumulation - 1
        plain = sum(sum(step[:-1]) for step in typical) / (len(typical) * (size - 1)) if size > 1 else 0.0
        return last + others * plain, len(typical) * size

    def _steps(self) -> tuple[int, float]:
        """Steps of the whole run, and epochs."""
        spec, training, rows = self.spec, self.spec.training, self.facts.parts["train"]
        steps_an_epoch = math.ceil(math.ceil(rows / self.rows_a_batch) / training.gradient_accumulation)
        if training.max_steps is not None:
            return training.max_steps, training.max_steps / steps_an_epoch
        classes = len(self.facts.labels) if spec.mapping.kind == "single" else 0
        epochs = epochs_of(training, rows, classes)
        return math.ceil(steps_an_epoch * epochs), epochs

    def _evaluations(self, steps: int, epochs: float) -> float:
        """How often the run makes an evaluation as long as the one that was timed."""
        training, shares = self.spec.training, self.kept.shares
        every = training.evaluate_every_steps
        times = steps // every if every else math.ceil(epochs)
        test = shares["test"] * self.kept.rows["test"] / max(1, self.kept.rows["validation"])
        untuned = self.spec.task != "classify" and self.spec.evaluation.untuned
        return (times + 1) * shares["validation"] + (2 if untuned else 1) * test


def _order(real: list[list[int]], accumulated: int) -> list[list[int]]:
    """Batches of STEPS steps, of those sorted by size: the largest first in the first two steps, then of all sizes."""
    largest, many = real[-1], STEPS * accumulated - 2
    places = (np.arange(many) + 0.5) / many * len(real)
    others = [real[int(place)] for place in np.random.default_rng(0).permutation(places)]
    return [largest, *others[: accumulated - 1], largest, *others[accumulated - 1 :]]
