"""Which library a worker will train with on a device, and in which number format, told without importing any.

Light: no torch. core.models.causal and core.training.trainers decide; this says what they would.
"""

import platform
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from core.models.parameters import Place
from core.schema import FOUR_BIT_METHODS, RunSpec

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "svebf16"}
"""Of processors that multiply bfloat16 themselves, as Linux names them in /proc/cpuinfo."""


def uses_unsloth(spec: RunSpec, place: Place) -> bool:
    """As core.models.causal.choose_backend, where Unsloth can be imported and takes the model."""
    model = spec.model
    if place == "cpu" or model.family == "encoder" or model.method in ("head-on-llm", "full"):
        return False
    if model.lora.train_embeddings or spec.training.precision != "auto":
        return False
    if "embed_tokens" in model.lora.target_modules:
        return False
    if model.method in FOUR_BIT_METHODS and not model.double_quantization:
        return False
    return _unsloth_is_installed()


@lru_cache(maxsize=1)
def _unsloth_is_installed() -> bool:
    return find_spec("unsloth") is not None


def product_bytes(spec: RunSpec, place: Place) -> int:
    """Of a number in products: 2 or 4 (core.training.trainers)."""
    precision = spec.training.precision
    if precision != "auto":
        return 4 if precision == "float32" else 2
    if place == "cuda" or (spec.model.family == "encoder" and processor_has_bfloat16()):
        return 2
    return 4


@lru_cache(maxsize=1)
def processor_has_bfloat16() -> bool:
    """On Linux alone; elsewhere it is taken not to, so that rather too much memory is forecast than too little."""
    if platform.system() != "Linux":
        return False
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return bool(_BFLOAT16_FLAGS & set(line.split()))
