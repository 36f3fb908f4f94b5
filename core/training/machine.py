"""What a run was trained on, for the report and the card. Worker only: imports torch."""

import importlib.metadata
import platform
import sys
from typing import Any

import psutil
import torch

from core.training.devices import processor

_PACKAGES = ("torch", "transformers", "peft", "scikit-learn")


def machine_facts() -> dict[str, Any]:
    """Processor, cores, memory (bytes), GPU and the versions that matter."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processor": processor(),
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def peak_memory() -> dict[str, int | None]:
    """peak_memory_bytes, the most that this process held so far, its libraries and baselines included, and
    peak_gpu_memory_bytes, the most that torch held on the GPU; None where there is none."""
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {"peak_memory_bytes": _peak_bytes(), "peak_gpu_memory_bytes": gpu}


def _peak_bytes() -> int:
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in kilobytes elsewhere (getrusage(2) of each).
    return peak if sys.platform == "darwin" else peak * 1024
