"""From whatever ended a worker to the sentence a person can act on. Worker only: imports torch."""

import errno
import shutil
from pathlib import Path

from core.errors import UserError
from core.models.causal import BackendRefusedError
from core.models.device import gpu_is_full
from core.runs.causes import LEAST_FREE_BYTES, MEMORY, cause_in_words
from core.runs.memory_ladder import AnotherWay, Memory, is_before_the_model, next_step
from core.schema import RunSpec


def another_way(error: BaseException, spec: RunSpec, phase: str = "training") -> AnotherWay | None:
    """The next step of the memory ladder where memory was short; no Unsloth where it refuses the model."""
    if isinstance(error, BackendRefusedError):
        return AnotherWay("backend_refused", {"reason": str(error)}, f"{error} It is trained without Unsloth.")
    memory = short_memory(error)
    return None if memory is None or is_before_the_model(phase) else next_step(spec, memory)


def short_memory(error: BaseException) -> Memory | None:
    """Which memory did not suffice, if one did not.

    A processor's allocator raises a RuntimeError with these words.
    """
    if gpu_is_full(error):
        return "GPU"
    words = str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in words or "not enough memory" in words or "std::bad_alloc" in words)
    ):
        return "computer"
    return None


def explain(error: BaseException, folder: Path) -> UserError:
    """The cause of a failed run in plain words; the traceback is in its log."""
    if isinstance(error, UserError):
        return error
    memory = short_memory(error)
    if memory == "GPU":
        return UserError(
            "The GPU ran out of memory.",
            "training.batch_size",
            "Even one row at a time does not fit: shorten max_length, choose a smaller model or qlora, or close other "
            "programs that use the GPU; then resume.",
        )
    if memory == "computer":
        return UserError(
            MEMORY,
            "training.batch_size",
            "Close other programs, or choose a smaller model or max_length; then resume.",
        )
    if _is_disk_full(error, folder):
        return UserError(
            f"The disk that holds {folder} is full.",
            str(folder),
            "Free some space and resume; the run goes on from its last whole checkpoint.",
        )
    named = cause_in_words(f"{type(error).__name__}: {error}")
    if named is not None:
        return named
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
