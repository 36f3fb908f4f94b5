"""On what a run would train: the GPU that is here, the computer's own memory, or a card chosen from a list.

Light: no torch; nvidia-smi is asked, every GPU_SECONDS at most, as it takes a moment.
"""

import os
import platform
import re
import threading
import time
from functools import lru_cache
from pathlib import Path

import psutil

from core.doctor import Gpu, find_gpus
from core.errors import UserError
from core.training.memory import Device

GPU_SECONDS = 20.0
CARD_SIZES = (6, 8, 12, 16, 24)
"""Of cards that people have, in GB as they are sold: 2**30 bytes each."""
HERE = "here"
_lock = threading.Lock()
_asked: tuple[float, list[Gpu]] | None = None


def gpus_here() -> list[Gpu]:
    """As the driver's own tool names them, at most GPU_SECONDS old."""
    global _asked
    with _lock:
        if _asked is None or time.monotonic() - _asked[0] > GPU_SECONDS:
            _asked = time.monotonic(), find_gpus()[0]
        return _asked[1]


def device_here() -> Device:
    """The GPU that the next run gets, or the computer's own memory where there is none."""
    memory = psutil.virtual_memory()
    gpu = _first(gpus_here())
    if gpu is None:
        return Device("cpu", processor_name(), memory.total, memory.available)
    if not gpu.memory_mb:  # it shares the computer's memory, and nvidia-smi gives no number
        return Device("cuda", gpu.name, memory.total, memory.available)
    return Device("cuda", gpu.name, gpu.memory_mb * 2**20, gpu.free_mb * 2**20)


def device_named(name: str) -> Device:
    """`here`, `cpu`, or a card's memory such as `8GB`. Raises UserError for anything else."""
    if name == HERE:
        return device_here()
    if name == "cpu":
        memory = psutil.virtual_memory()
        return Device("cpu", processor_name(), memory.total, memory.available)
    size = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:gb|gib)?", name.strip().lower())
    if size is None or not float(size[1]):
        raise UserError(
            f"'{name}' is no device.", "--device", "Give a card's memory such as 8GB, or cpu, or leave it out."
        )
    total = round(float(size[1]) * 2**30)
    return Device("cuda", f"{float(size[1]):g} GB card", total, total)


@lru_cache(maxsize=1)
def processor_name() -> str:
    """With its number of cores. Linux names the model only in /proc/cpuinfo; elsewhere platform knows it."""
    cores = psutil.cpu_count() or 1
    return f"{processor() or 'processor'}, {cores} {'core' if cores == 1 else 'cores'}"


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _first(gpus: list[Gpu]) -> Gpu | None:
    """Of several the first that may be used, as CUDA_VISIBLE_DEVICES says where it is set."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return gpus[0] if gpus else None
    first = chosen.split(",")[0].strip()
    if first.isdigit():
        return gpus[int(first)] if int(first) < len(gpus) else None
    return gpus[0] if gpus and first not in ("", "-1") else None
