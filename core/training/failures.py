"""From whatever ended a worker to the sentence a person can act on. Worker only: imports torch."""

import errno
import shutil
from pathlib import Path

import torch

from core.errors import UserError

LEAST_FREE_BYTES = 64 * 2**20


def explain(error: BaseException, folder: Path) -> UserError:
    """The cause of a failed run in plain words; the traceback is in its log."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return UserError(
            "The GPU ran out of memory.",
            "training.batch_size",
            "Halve the batch size and double the gradient accumulation, or shorten max_length; then resume.",
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
