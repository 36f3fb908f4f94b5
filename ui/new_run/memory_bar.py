"""What a run will take, as markup: memory by part as one bar against the card, a verdict in words, and the time.

The parts keep their colours and their places in the legend, so that nothing jumps while settings are changed.
"""

from collections.abc import Sequence
from html import escape
from typing import Literal, get_args

from core.durations import rough
from core.training.fit import MARGIN
from core.training.forecast import Forecast
from core.training.memory import Device, MemoryForecast, MemoryPart, PartName
from ui.words import size

PART_WORDS: dict[PartName, str] = {
    "weights": "Model",
    "adapter": "Adapter",
    "gradients": "Gradients",
    "optimizer": "Optimiser",
    "activations": "Activations",
    "logits": "Word scores",
    "cache": "Frozen layers' states",
    "framework": "Libraries",
}
Verdict = Literal["fits", "tight", "too much"]
FIT = "press Make it fit"


def verdict_of(memory: MemoryForecast, device: Device) -> Verdict:
    """tight: there is room, but less is left than a forecast may be wrong by."""
    if memory.bytes > device.free_bytes:
        return "too much"
    return "fits" if memory.bytes <= (1 - MARGIN) * device.free_bytes else "tight"


def verdict_words(memory: MemoryForecast, device: Device, is_here: bool, advice: str = FIT) -> str:
    """is_here: the device is this computer's own, whose free memory is known. advice: what to do where it is too
    much."""
    verdict, needed = verdict_of(memory, device), gigabytes(memory.bytes)
    if verdict == "too much":
        return f"Too much by {gigabytes(memory.bytes - device.free_bytes)} for {place(device, is_here)}: {advice}"
    start = "Fits" if verdict == "fits" else "Only just fits"
    if not is_here:
        return f"{start}: {needed} on {place(device, is_here)}"
    free = f"{memory.bytes / 1e9:.1f} of {gigabytes(device.free_bytes)} free"
    return f"{start}: {free} {'on ' if device.kind == 'cuda' else 'in '}{place(device, is_here)}"


def place(device: Device, is_here: bool) -> str:
    if device.kind == "cpu":
        return "this computer's memory"
    return device.name if is_here else f"the {device.name}"


def gigabytes(count: float) -> str:
    """`3.1 GB`; of less than a tenth of one `40 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 0.1e9 or not count else size(count)


def forecast_html(forecast: Forecast, is_here: bool, words: Sequence[str] = (), others: str = "") -> str:
    """words: what is not known, beside what the forecast says itself. others: programs that hold memory of the card."""
    told = [*words, *_rests_on(forecast), *([f"{others} Closing other programs leaves more room."] if others else [])]
    notes = "".join(f"<li>{escape(word)}</li>" for word in dict.fromkeys(told))
    notes = f'<ul class="forecast-notes">{notes}</ul>' if notes else ""
    memory, device = forecast.memory, forecast.device
    if memory is None:
        return f'<p class="verdict unknown" role="status">The memory it takes is not known.</p>{notes}'
    verdict = verdict_of(memory, device)
    kind = {"fits": "good", "tight": "tight", "too much": "over"}[verdict]
    return (
        f'<p class="verdict {kind}" role="status"><b><i aria-hidden="true">{"✓" if verdict == "fits" else "!"}</i> '
        f"{escape(verdict_words(memory, device, is_here))}</b>{_time_html(forecast)}</p>"
        f"{_bar_html(memory, device, is_here)}{_legend_html(memory)}{notes}"
    )


def _rests_on(forecast: Forecast) -> list[str]:
    """Without what is kept of frozen layers: that is said beside them."""
    kept = forecast.cache.words if forecast.cache is not None else None
    return [words for words in forecast.words if kept is None or not words.startswith(kept)]


def _time_html(forecast: Forecast) -> str:
    words = "time not known yet" if forecast.seconds is None else f"about {rough(forecast.seconds)}"
    return f'<span class="takes">{words}</span>'


def _bar_html(memory: MemoryForecast, device: Device, is_here: bool) -> str:
    """As wide as the larger of the card and what is needed; the card is a frame around its share of it."""
    used = device.total_bytes - device.free_bytes
    whole = max(device.total_bytes, used + memory.bytes)
    parts = "".join(
        f'<i class="part-{part.name}" style="width:{part.bytes / whole * 100:.2f}%" title="{escape(_told(part))}"></i>'
        for part in memory.parts
    )
    taken = f'<i class="part-used" style="width:{used / whole * 100:.2f}%" title="In use already"></i>' if used else ""
    frame = f'<u style="width:{device.total_bytes / whole * 100:.2f}%"></u>'
    spoken = escape(_spoken(memory, device, is_here))
    return f'<div class="memory-bar" role="img" aria-label="{spoken}">{taken}{parts}{frame}</div>'


def _told(part: MemoryPart) -> str:
    return f"{PART_WORDS[part.name]}: {size(part.bytes)}. {part.words}"


def _spoken(memory: MemoryForecast, device: Device, is_here: bool) -> str:
    """The bar for those who do not see it."""
    used = device.total_bytes - device.free_bytes
    parts = ", ".join(f"{PART_WORDS[part.name]} {size(part.bytes)}" for part in memory.parts)
    before = f"; {gigabytes(used)} of it are in use already" if used else ""
    return f"{gigabytes(memory.bytes)} of {gigabytes(device.total_bytes)} on {place(device, is_here)}{before}: {parts}."


def _legend_html(memory: MemoryForecast) -> str:
    """Every part that there can be, also one that takes nothing: a place each, whatever is chosen."""
    found = {part.name: part for part in memory.parts}
    items = ""
    for name in get_args(PartName):
        part = found.get(name)
        amount = size(part.bytes) if part else "–"
        words = f' title="{escape(part.words)}"' if part else ' class="nothing"'
        items += f'<li{words}><i class="part-{name}" aria-hidden="true"></i>{PART_WORDS[name]}<b>{amount}</b></li>'
    total = f'<li class="total"><i aria-hidden="true"></i>Together<b>{gigabytes(memory.bytes)}</b></li>'
    return f'<ul class="memory-legend">{items}{total}</ul>'
