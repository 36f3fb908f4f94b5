"""What a GPU is doing, by NVIDIA's own library (NVML): memory, use, heat, power, and which other programs hold memory.

Light: no torch. Limits: where a driver does not tell a figure (power on many laptops, a program's memory on Windows),
there is none. In a container programs outside of it cannot be named, and are left out.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml

WORTH_NAMING = 200 * 10**6
"""Bytes of a card below which another program on it is not worth a word: every desktop has some."""
MEMORY, USE, HEAT, POWER = "gpu/memory_bytes", "gpu/utilisation", "gpu/temperature", "gpu/power"
NAMES = (MEMORY, USE, HEAT, POWER)
"""Metrics of a run: bytes in use on the card by all programs, percent of the time, degrees Celsius, watts."""
UNTOLD = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_NoPermission, pynvml.NVMLError_FunctionNotFound)
"""What this card, this driver or this user does not get told; other questions may still be answered."""


@dataclass(frozen=True)
class Holder:
    """Another program with memory of a card."""

    pid: int
    name: str
    bytes: int


@dataclass(frozen=True)
class Sample:
    """A card at one moment; None where the driver does not tell."""

    total_bytes: int | None
    used_bytes: int | None
    """By all programs together."""
    utilisation: int | None
    """Percent of the last moments in which the card computed."""
    temperature: int | None
    """Degrees Celsius."""
    power: float | None
    """Watts."""
    others: tuple[Holder, ...]
    """The largest first."""
    own_bytes: int = 0
    """Held by this process and those that were said to be own."""

    def metrics(self) -> dict[str, float]:
        """By the names in NAMES, as far as they are told."""
        values = zip(NAMES, (self.used_bytes, self.utilisation, self.temperature, self.power), strict=True)
        return {name: float(value) for name, value in values if value is not None}


def look(card: str | None = None, own: frozenset[int] = frozenset()) -> Sample | None:
    """The card now; None where there is none, or no driver. card: as CUDA_VISIBLE_DEVICES names it, usually this
    process's own. own: processes that are not counted among the others, beside this one."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = _handle(_first_visible() if card is None else card)
        return None if handle is None else _sample(handle, own | {os.getpid()})
    except pynvml.NVMLError:  # e.g. the card has fallen off the bus
        return None
    finally:
        pynvml.nvmlShutdown()


def _first_visible() -> str:
    """'' where CUDA_VISIBLE_DEVICES hides every card."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()


def _handle(card: str) -> Any:
    """None where no card is named so. A card is named by its number, or by the beginning of its UUID."""
    count = pynvml.nvmlDeviceGetCount()
    if card.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(card)) if int(card) < count else None
    if card.startswith("MIG-"):
        return pynvml.nvmlDeviceGetHandleByUUID(card)
    handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(count))
    named = (handle for handle in handles if card and pynvml.nvmlDeviceGetUUID(handle).startswith(card))
    return next(named, None)


def _sample(handle: Any, own: frozenset[int]) -> Sample:
    memory = _told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _told(pynvml.nvmlDeviceGetUtilizationRates, handle)
    milliwatts = _told(pynvml.nvmlDeviceGetPowerUsage, handle)
    held = _held(handle)
    return Sample(
        total_bytes=None if memory is None else int(memory.total),
        used_bytes=None if memory is None else int(memory.used),
        utilisation=None if rates is None else int(rates.gpu),
        temperature=_told(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        power=None if milliwatts is None else milliwatts / 1000,
        others=_others(held, own),
        own_bytes=sum(size for pid, size in held.items() if pid in own),
    )


def _told(ask: Callable[..., Any], *about: Any) -> Any:
    try:
        return ask(*about)
    except UNTOLD:
        return None


def _held(handle: Any) -> dict[int, int]:
    """Bytes by process. A program that both computes and draws is listed twice with the same memory."""
    listed = [
        *(_told(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()),
        *(_told(pynvml.nvmlDeviceGetGraphicsRunningProcesses, handle) or ()),
    ]
    return {int(process.pid): int(process.usedGpuMemory) for process in listed if process.usedGpuMemory}


def _others(held: Mapping[int, int], own: frozenset[int]) -> tuple[Holder, ...]:
    named = (Holder(pid, _name(pid), size) for pid, size in held.items() if pid not in own)
    return tuple(sorted((holder for holder in named if holder.name), key=lambda holder: -holder.bytes))


def _name(pid: int) -> str:
    """'' of a process that is gone, or outside of this container."""
    try:
        process = psutil.Process(pid)
        ours = any(word.startswith("core.") for word in process.cmdline())  # python -m core.WHAT
        return "Tunedesk itself" if ours else process.name()
    except psutil.NoSuchProcess:
        return ""
    except psutil.AccessDenied:
        return f"process {pid}"


def sharing_words(others: tuple[Holder, ...]) -> str:
    """`chrome takes 1.1 GB of this card.`; '' where nobody takes what is worth a word."""
    taken: dict[str, int] = {}
    for holder in others:
        taken[holder.name] = taken.get(holder.name, 0) + holder.bytes
    told = [f"{name} takes {size / 1e9:.1f} GB" for name, size in taken.items() if size >= WORTH_NAMING]
    if not told:
        return ""
    return f"{', '.join(told[:-1])}{' and ' if len(told) > 1 else ''}{told[-1]} of this card."
