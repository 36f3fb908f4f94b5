"""The settings with which a run fits the memory of a device, and trains fastest in it. Light: no torch.

Every combination of the choices of core/training/memory_choices.py is looked at, the cheapest first, so that nothing is
changed that need not be. What is learned comes before speed: other texts or another method only where nothing else
fits. Rows of a step stay the same in number. Limits: as good as the forecast; the margin is for what it misses.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from math import prod

from core.models.known import known_of
from core.presets import Preset, load_presets
from core.schema import LabelKind, RunSpec, task_of
from core.training.memory import Device, MemoryForecast, Workload, forecast_memory
from core.training.memory_choices import (
    AS_IT_IS,
    Change,
    Choice,
    applied,
    axes_of,
    batch_choices,
    evaluation_choices,
    mean_of,
)
from core.training.method_choices import other_ways_to_learn

__all__ = ["MARGIN", "Change", "Fit", "make_it_fit"]

MARGIN = 0.1
"""Of the free memory that is left free."""
NAMED_PRESETS = 2
"""Of those that would fit."""


@dataclass(frozen=True)
class Fit:
    spec: RunSpec
    changes: tuple[Change, ...]
    forecast: MemoryForecast
    fits: bool
    words: str = ""
    """What came of it, in a sentence or two."""
    time: float = 1.0
    """About how long a step takes, relative to the spec as it was."""
    smaller: tuple[str, ...] = ()
    """Where nothing fits: the presets of the largest models that would."""


@dataclass(frozen=True)
class _Ask:
    """What is asked, the same for all that is tried."""

    spec: RunSpec
    workload: Workload
    device: Device
    usual_tokens: int

    @property
    def budget(self) -> int:
        return int((1 - MARGIN) * self.device.free_bytes)

    def after(self, choices: Sequence[Choice]) -> "_Ask":
        spec = applied(self.spec, choices)
        return replace(self, spec=spec, workload=_workload(self.workload, spec))

    def forecast(self, choices: Sequence[Choice]) -> MemoryForecast:
        spec = applied(self.spec, choices)
        return forecast_memory(spec, _workload(self.workload, spec), self.device)


def make_it_fit(spec: RunSpec, workload: Workload, device: Device, usual_tokens: int) -> Fit:
    """The rows of a step stay the same in number. usual_tokens: 99 of 100 rows have no more; texts are cut below that
    only where `training.shorten_to_fit` allows it."""
    ask = _Ask(spec, workload, device, usual_tokens)
    now, free = forecast_memory(spec, workload, device), device.free_bytes
    if now.bytes <= ask.budget:
        return Fit(spec, (), now, True, f"It fits as it is: {of_words(now.bytes, free)}.")
    least = now.bytes
    for start in other_ways_to_learn(spec, workload, device, usual_tokens):
        ways = _ways(ask.after(start))
        if ways.least <= ask.budget:
            return _fitted(ask, (*start, *_cheapest(ways)), now)
        least = min(least, ways.least)
    return _too_large(ask, now, least)


def _workload(workload: Workload, spec: RunSpec) -> Workload:
    """As it is under other settings."""
    tokens = min(workload.tokens, spec.model.max_length)
    in_memory = spec.model.method in ("freeze", "head") and spec.training.prefix_cache != "disk"
    return replace(
        workload,
        tokens=tokens,
        answer_tokens=min(workload.answer_tokens, tokens),
        cached_bytes=workload.cached_bytes if in_memory else 0,
    )


@dataclass(frozen=True)
class _Ways:
    """To save memory without learning something else."""

    ask: _Ask
    axes: tuple[list[Choice], ...]
    batches: list[Choice]
    evaluations: list[Choice]
    saving: tuple[Choice, ...]
    """With the least memory: every saving at once."""
    least: int
    """Bytes of that."""

    def first_that_fits(self, axis: list[Choice], others: Sequence[Choice]) -> Choice | None:
        """Memory falls along the axis, so it is found by halving; but the first smaller batch may take more than the
        batch as it is, as gradients of several batches are added up."""
        if self._fits(axis[0], others):
            return axis[0]
        place = bisect_left(axis, True, lo=1, key=lambda choice: self._fits(choice, others))
        return axis[place] if place < len(axis) else None

    def _fits(self, choice: Choice, others: Sequence[Choice]) -> bool:
        return self.ask.forecast([*others, choice]).bytes <= self.ask.budget


def _ways(ask: _Ask) -> _Ways:
    batches = batch_choices(ask.spec.training, mean_of(ask.workload, ask.usual_tokens), ask.device)
    evaluations = evaluation_choices(ask.spec.training)
    base = ask.forecast([evaluations[-1]]).bytes
    found = axes_of(ask.spec, ask.workload, ask.device, ask.usual_tokens)
    axes = tuple(_that_save(ask, axis, evaluations[-1], base) for axis in found if len(axis) > 1)
    most = tuple(axis[-1] for axis in axes)
    ends = {batch: ask.forecast([*most, batch, evaluations[-1]]).bytes for batch in (batches[0], batches[-1])}
    batch = min(ends, key=lambda batch: ends[batch])
    return _Ways(ask, axes, batches, evaluations, (*most, batch), ends[batch])


def _that_save(ask: _Ask, axis: list[Choice], evaluation: Choice, base: int) -> list[Choice]:
    """Those of an axis that take less memory than all that are cheaper. base: bytes with none of them."""
    kept, least = [axis[0]], base
    for choice in sorted(axis[1:], key=lambda choice: choice.price):
        size = ask.forecast([choice, evaluation]).bytes
        if size < least:
            kept.append(choice)
            least = size
    return kept


def _cheapest(ways: _Ways) -> tuple[Choice, ...]:
    """What fits at the lowest price; with every saving at once it does."""
    batches, smallest = ways.batches, ways.evaluations[-1]
    best = (*ways.saving, smallest)
    for others in sorted(product(*ways.axes), key=_price):
        if _price(others) >= _price(best):
            break
        batch = ways.first_that_fits(batches, [*others, smallest])
        if batch is None or _price((*others, batch)) >= _price(best):
            continue
        found = (*others, batch, ways.first_that_fits(ways.evaluations, [*others, batch]) or smallest)
        best = min(best, found, key=_price)
    return best


def _price(choices: Sequence[Choice]) -> float:
    return prod(choice.price for choice in choices)


def _fitted(ask: _Ask, chosen: tuple[Choice, ...], now: MemoryForecast) -> Fit:
    """Each change with what it saves beside those before it."""
    used = [choice for choice in chosen if choice is not AS_IT_IS]
    changes: list[Change] = []
    before = now
    for count, choice in enumerate(used, 1):
        after = ask.forecast(used[:count])
        saved = before.bytes - after.bytes
        first, *rest = choice.changes
        more = f" Saves {size_words(saved)}." if saved > 0 else ""
        changes += [replace(first, words=f"{first.words}{more}"), *rest]
        before = after
    time = prod(choice.time for choice in used)
    free = ask.device.free_bytes
    words = (
        f"It fits with {_changes(len(changes))}: {of_words(before.bytes, free)} in place of {size_words(now.bytes)}, "
        f"and {_time_words(time)}."
    )
    return Fit(applied(ask.spec, used), tuple(changes), before, True, words, time)


def _too_large(ask: _Ask, now: MemoryForecast, least: int) -> Fit:
    smaller = list(islice(_smaller_models(ask), NAMED_PRESETS))
    words = (
        f"Nothing fits: with every saving it still takes {size_words(least)}, and of the "
        f"{size_words(ask.device.free_bytes)} that are free on {ask.device.name} a run may take "
        f"{size_words(ask.budget)}."
    )
    if smaller:
        words += (
            f" A smaller model fits: {' or '.join(f'{preset.title} (preset {preset.name})' for preset in smaller)}."
        )
    else:
        words += " No smaller model of the presets fits either: free some memory, or choose another device."
    return Fit(ask.spec, (), now, False, words, smaller=tuple(preset.name for preset in smaller))


def _smaller_models(ask: _Ask) -> Iterator[Preset]:
    """Presets of smaller models that would fit the same data, the largest first."""
    for preset in sorted(load_presets().values(), key=lambda preset: -preset.parameters):
        sizes = known_of(preset.model).sizes
        is_smaller = sizes is not None and sizes.pretrained < ask.workload.sizes.pretrained
        if sizes is None or not is_smaller or not _learns(preset, ask.spec.mapping.kind, ask.device):
            continue
        model = preset.model.model_copy(update={"max_length": min(ask.spec.model.max_length, preset.longest)})
        workload = replace(ask.workload, sizes=sizes, cached_bytes=0)
        other = replace(ask, spec=ask.spec.model_copy(update={"model": model}), workload=workload)
        if _ways(other).least <= ask.budget:
            yield preset


def _learns(preset: Preset, kind: LabelKind, device: Device) -> bool:
    """Whether a preset's model learns labels of this kind on this device."""
    model = preset.model
    if preset.needs_gpu and device.kind != "cuda":
        return False
    if kind == "none":
        return model.family == "causal" and model.method != "head-on-llm"
    return kind == "single" or task_of(kind, model.family, model.method) == "classify"


def of_words(size: int, whole: int) -> str:
    """`3.1 of 7.2 GB`."""
    return f"{size / 1e9:.1f} of {whole / 1e9:.1f} GB"


def size_words(size: int) -> str:
    """`3.1 GB`, below one `310 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _changes(count: int) -> str:
    return "one change" if count == 1 else f"{count} changes"


def _time_words(time: float) -> str:
    if time < 0.95:
        return f"takes about {100 * (1 - time):.0f} % less time"
    return "takes about as long" if time < 1.05 else f"takes about {100 * (time - 1):.0f} % longer"
