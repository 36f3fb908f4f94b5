"""This computer's own device as the next run will find it, and which other programs hold memory of it.

Light: no torch; the driver is asked, every LOOK_SECONDS at most.
"""

import time
from dataclasses import dataclass, replace
from functools import lru_cache

from core.gpu_card import Sample, look, sharing_words
from core.runs.store import ACTIVE, Store
from core.training.devices import HERE, device_here, device_named
from core.training.memory import Device

LOOK_SECONDS = 10


@dataclass(frozen=True)
class Here:
    """This computer's own device."""

    device: Device
    others: str = ""
    """Which other programs hold memory of it, in words."""


def device_asked(name: str, store: Store) -> Here:
    """`here`, `cpu`, or a card's memory such as `8GB`. Raises UserError for anything else."""
    return device_now(store) if name == HERE else Here(device_named(name))


def device_now(store: Store) -> Here:
    """What a run that is training holds counts as free: the next run starts after it."""
    device = device_here()
    if device.kind != "cuda":
        return Here(device)
    runs = frozenset(run.pid for run in store.runs(states=ACTIVE) if run.pid)
    sample = _looked(runs, int(time.monotonic() // LOOK_SECONDS))
    if sample is None:
        return Here(device)
    free = min(device.total_bytes, device.free_bytes + sample.own_bytes)
    return Here(replace(device, free_bytes=free), sharing_words(sample.others))


@lru_cache(maxsize=1)
def _looked(own: frozenset[int], moment: int) -> Sample | None:
    """moment: another one asks the driver again."""
    return look(own=own)
