"""A model's weights on disk, read one tensor at a time, whatever they weigh together. Heavy: imports torch.

Weights that bitsandbytes keeps in 4 bits come back in 16.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

ONE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PACKED = ".quant_state.bitsandbytes__"
_AUXILIARY = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")


@dataclass(frozen=True)
class Stored:
    """One tensor: where it lies, what it is when it is read, and how to read it."""

    name: str
    file: Path
    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], torch.Tensor]

    @property
    def numbers(self) -> int:
        return torch.Size(self.shape).numel()


def stored_tensors(folder: Path) -> list[Stored]:
    """Every weight in a model's folder, in the order of its files. Only their headers are read."""
    found = []
    for file in weight_files(folder):
        # pread and not a map of the file: pages of a map count as this process's memory, however large the file.
        with safe_open(file, framework="pt", backend="pread") as opened:
            names = list(opened.keys())
            packed = {name.partition(_PACKED)[0] for name in names if _PACKED in name}
            for name in names:
                ending = _ending(name)
                if _PACKED in name or (ending and name.removesuffix(ending) in packed):
                    continue
                if name in packed:
                    found.append(_four_bit(file, name))
                else:
                    part = opened.get_slice(name)
                    sample = opened.get_tensor(name) if not part.get_shape() else part[:0]
                    found.append(_plain(file, name, tuple(part.get_shape()), sample.dtype))
    return found


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, each once, in the order in which its index names them."""
    index = folder / INDEX
    if not index.is_file():
        return [folder / ONE_FILE]
    names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / name for name in dict.fromkeys(names)]


def _ending(name: str) -> str:
    return next((ending for ending in _AUXILIARY if name.endswith(ending)), "")


def _plain(file: Path, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Stored:
    def read() -> torch.Tensor:
        with safe_open(file, framework="pt", backend="pread") as opened:
            return opened.get_tensor(name)

    return Stored(name, file, shape, dtype, read)


def _four_bit(file: Path, name: str) -> Stored:
    def quantised() -> tuple[torch.Tensor, Any]:
        from bitsandbytes.functional import QuantState

        with safe_open(file, framework="pt", backend="pread") as opened:
            parts = {
                key.removeprefix(f"{name}."): opened.get_tensor(key)
                for key in opened.keys()  # noqa: SIM118  no mapping, though it has keys
                if key.startswith(f"{name}.")
            }
            return opened.get_tensor(name), QuantState.from_dict(parts, torch.device("cpu"))

    def read() -> torch.Tensor:
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(*quantised())

    _, state = quantised()
    return Stored(name, file, tuple(state.shape), state.dtype, read)
