"""The two lines that head what a benchmark prints: when, on what machine, with which versions."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path


def heading(*packages: str) -> str:
    """Date, processor and cores; Python and the versions of these packages."""
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    machine = f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    return f"{time.strftime('%Y-%m-%d')}  {machine}\nPython {platform.python_version()}, {versions}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
