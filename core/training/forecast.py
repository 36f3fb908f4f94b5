"""What a run will take before it begins: memory, disk, time. Light: no torch, no weights, nothing is fetched."""

import shutil
from dataclasses import dataclass

import psutil

from core.data.amount import Amount
from core.models.checkpoint_room import CheckpointRoom, checkpoint_room
from core.models.known import known_of
from core.models.layers import CachePlan, plan_states, with_chosen_layers
from core.models.parameters import likely_used_tokens
from core.models.sizes import Sizes
from core.runs.store import Store
from core.schema import RunSpec
from core.training.memory import Device, MemoryForecast, Workload, forecast_memory
from core.training.past_forecasts import memory_ratio
from core.training.speed import Manner, forecast_seconds, manner_of
from core.training.work import Work, frozen_layers, work_of

ESTIMATED = "Tokens are estimated, four characters each: the model's tokenizer is not on this computer."
ANSWER_TOKENS = 8
"""Taken for an answer in words where nothing is known of the classes."""


@dataclass(frozen=True)
class Forecast:
    memory: MemoryForecast | None
    """None where the model's sizes are not known before it is loaded."""
    workload: Workload | None
    device: Device
    seconds: float | None
    """Of training and evaluation together; None where nothing like it was measured on this machine."""
    words: tuple[str, ...]
    """What is not known, and what the figures rest on."""
    spec: RunSpec | None = None
    """With the number of frozen layers that the rows call for, where it is to choose: what `workload` belongs to."""
    usual_tokens: int = 0
    """99 of 100 rows have no more, cut at max_length."""
    disk: CheckpointRoom | None = None
    """For checkpoints, and for what frozen layers say where that is kept on disk."""
    cache: CachePlan | None = None
    """Of what frozen layers say."""
    work: Work | None = None
    manner: Manner | None = None

    @property
    def fits(self) -> bool | None:
        """In the memory that the device has free; None where it is not known."""
        return None if self.memory is None else self.memory.bytes <= self.device.free_bytes


def forecast_run(store: Store, spec: RunSpec, amount: Amount, device: Device) -> Forecast:
    """amount: of the data, as core.training.reading.amount_for tells it, or `amount_of`."""
    folder = store.path.parent
    sizes = known_of(spec.model).sizes
    if sizes is None:
        unknown = f"The sizes of {spec.model.source} are not known before it is loaded."
        return Forecast(None, None, device, None, (unknown,), spec, _usual(spec, amount))
    spec = _with_frozen_layers(spec, sizes, amount.rows["train"])
    cache = _cache(spec, sizes, amount, store)
    on_device = cache.bytes if cache is not None and cache.place == "memory" and device.kind == "cpu" else 0
    workload = Workload(
        sizes,
        amount.classes,
        min(amount.longest or spec.model.max_length, spec.model.max_length),
        _answer_tokens(spec, amount),
        on_device,
        memory_ratio(store, device.kind, spec.model.family),
        likely_used_tokens(sizes, sum(amount.tokens.values())),
    )
    cached = cache is not None and cache.place is not None
    work = work_of(spec, sizes, amount, cached)
    manner = manner_of(spec, sizes, amount.tokens["train"] / max(1, amount.rows["train"]), cached)
    seconds, rests_on = forecast_seconds(store, work, manner, device)
    words = (rests_on, *(() if amount.counted else (ESTIMATED,)), *_cache_words(cache, device))
    return Forecast(
        forecast_memory(spec, workload, device),
        workload,
        device,
        seconds,
        words,
        spec,
        _usual(spec, amount),
        checkpoint_room(spec, folder),
        cache,
        work,
        manner,
    )


def _with_frozen_layers(spec: RunSpec, sizes: Sizes, rows: int) -> RunSpec:
    """The spec with the number of frozen layers that the worker will choose for so many train rows."""
    frozen = with_chosen_layers(spec.model, sizes.layers, rows).frozen_layers
    # It still says that they are to be chosen: what makes a run fit tells that apart (core.training.method_choices).
    return spec.model_copy(update={"model": spec.model.model_copy(update={"frozen_layers": frozen})})


def _usual(spec: RunSpec, amount: Amount) -> int:
    return min(amount.usual or spec.model.max_length, spec.model.max_length)


def _answer_tokens(spec: RunSpec, amount: Amount) -> int:
    if spec.task == "classify":
        return 0
    return amount.answer_tokens or (ANSWER_TOKENS if spec.task == "answer" else spec.model.max_length)


def _cache(spec: RunSpec, sizes: Sizes, amount: Amount, store: Store) -> CachePlan | None:
    """None where the method keeps no layer as it is."""
    if spec.model.family != "encoder" or spec.model.method not in ("freeze", "head"):
        return None
    return plan_states(
        sizes.layers,
        sizes.hidden_size,
        frozen_layers(spec, sizes),
        spec.training,
        amount.tokens,
        amount.rows["train"],
        psutil.virtual_memory().available,
        shutil.disk_usage(store.path.parent).free,
    )


def _cache_words(cache: CachePlan | None, device: Device) -> tuple[str, ...]:
    if cache is None:
        return ()
    beside = " That is the computer's own memory." if cache.place == "memory" and device.kind == "cuda" else ""
    return (cache.words + beside,)
