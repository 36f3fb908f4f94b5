"""From whatever ended a worker to the sentence a person can act on. Worker only: imports torch."""

import errno
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.errors import UserError
from core.models.causal import BackendRefusedError
from core.schema import RunSpec

LEAST_FREE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class AnotherWay:
    """How a run can go on after all, in a fresh process, which starts with empty memory."""

    event: str
    """What the store remembers it by: smaller_batch or backend_refused."""
    detail: dict[str, Any]
    """Of smaller_batch the settings that change; of backend_refused its reason."""
    words: str


def another_way(error: BaseException, spec: RunSpec) -> AnotherWay | None:
    """Half the batch and twice the accumulation where the GPU was full; no Unsloth where it refuses the model."""
    if isinstance(error, BackendRefusedError):
        return AnotherWay("backend_refused", {"reason": str(error)}, f"{error} It is trained without Unsloth.")
    training = spec.training
    if not isinstance(error, torch.OutOfMemoryError) or max(training.batch_size, training.evaluation_batch_size) == 1:
        return None
    fewer = max(1, training.batch_size // 2)
    smaller = {
        "batch_size": fewer,
        "gradient_accumulation": math.ceil(training.batch_size * training.gradient_accumulation / fewer),
        "evaluation_batch_size": max(1, training.evaluation_batch_size // 2),
    }
    return AnotherWay(
        "smaller_batch",
        smaller,
        f"The GPU ran out of memory at {training.batch_size} rows a batch. Going on with {fewer} rows a "
        f"batch and {smaller['gradient_accumulation']} batches a step, which learns the same.",
    )


def explain(error: BaseException, folder: Path) -> UserError:
    """The cause of a failed run in plain words; the traceback is in its log."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return UserError(
            "The GPU ran out of memory.",
            "training.batch_size",
            "Even one row at a time does not fit: shorten max_length, choose a smaller model or qlora, or close other "
            "programs that use the GPU; then resume.",
        )
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return UserError(
            "The computer ran out of memory.",
            "training.batch_size",
            "Close other programs, or choose a smaller batch size or max_length; then resume.",
        )
    if _is_disk_full(error, folder):
        return UserError(
            f"The disk that holds {folder} is full.",
            str(folder),
            "Free some space and resume; the run goes on from its last whole checkpoint.",
        )
    return UserError(
        f"Training ended with an error of the program: {type(error).__name__}: {error}",
        "log.txt",
        "The run's log holds the details. Resume tries again from the last checkpoint.",
    )


def _is_disk_full(error: BaseException, folder: Path) -> bool:
    """torch and safetensors report a full disk in errors of their own kinds, so the disk itself is asked too."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left" in str(error) or shutil.disk_usage(folder).free < LEAST_FREE_BYTES
