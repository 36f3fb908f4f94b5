"""What ended a worker, in plain words, as far as its log, its exit code and the system's own counters tell.

For workers that could not say so themselves: killed by the kernel, by a lost driver, by a full disk under a mapped
file. The words that torch, CUDA and the hub use are looked for; what is not known is called not known. Light: no torch.
"""

import re
import shutil
import signal
from pathlib import Path

import psutil

from core.errors import UserError
from core.runs.store import Run
from core.workspace import RunFolder

LAST_LINES = 50
LEAST_FREE_BYTES = 64 * 2**20
_KILL, _BUS, _TERM = 9, 7, 15
RESUME = "then resume: it goes on from its last checkpoint."

GPU_MEMORY = "The GPU ran out of memory."
MEMORY = "The computer ran out of memory."
DRIVER = "The GPU or its driver stopped answering."

# Of each cause what torch, CUDA, the C library and the hub say, then the sentence, the place, and what to do.
_WORDS: tuple[tuple[str, tuple[str, str, str]], ...] = (
    (
        r"CUDA out of memory|CUDA (?:driver )?error: out of memory|torch\.OutOfMemoryError|"
        r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED",
        (
            GPU_MEMORY,
            "training.batch_size",
            f"Choose a smaller batch size or max_length, or close other programs that use the GPU; {RESUME}",
        ),
    ),
    (
        r"^MemoryError|DefaultCPUAllocator|can't allocate memory|not enough memory|std::bad_alloc|"
        r"Cannot allocate memory",
        (
            MEMORY,
            "training.batch_size",
            f"Close other programs, or choose a smaller batch size or max_length; {RESUME}",
        ),
    ),
    (
        r"No space left on device|Disk quota exceeded|database or disk is full",
        ("The disk of the workspace is full.", "the disk of the workspace", f"Free some space, {RESUME}"),
    ),
    (
        r"Read-only file system|readonly database",
        (
            "The workspace cannot be written any more: its disk became read-only.",
            "the disk of the workspace",
            f"Look at what the system says of that disk, make it writable, {RESUME}",
        ),
    ),
    (
        # With full memory, too, torch says where cudaErrorMemoryAllocation is explained.
        r"CUDA error|cudaError(?!MemoryAllocation)|CUDA driver|NVML|Driver/library version mismatch|HIP error|"
        r"fallen off the bus|No CUDA GPUs are available|Found no NVIDIA driver",
        (
            DRIVER,
            "GPU",
            f"`python launch.py doctor` says whether it is back; if not, restart the computer, {RESUME}",
        ),
    ),
    (
        r"GatedRepoError|gated repo|RepositoryNotFoundError|401 Client Error|403 Client Error|Invalid user token",
        (
            "The model hub refused the model.",
            "model.source",
            "See on the hub that the model exists and that you may have it, log in with `hf auth login`, then resume.",
        ),
    ),
    (
        r"couldn't connect to|LocalEntryNotFoundError|Max retries exceeded|Name or service not known|ConnectTimeout|"
        r"429 Client Error|50[0-9] Server Error",
        (
            "The model hub did not answer.",
            "model.source",
            "Look at the network, or choose a model that is on this computer, then resume.",
        ),
    ),
)


def cause_in_words(text: str) -> UserError | None:
    """The cause that these lines of a log, or an error's own words, name; the last one that they name."""
    found: tuple[int, tuple[str, str, str]] | None = None
    for pattern, told in _WORDS:
        for match in re.finditer(pattern, text, re.MULTILINE):
            if found is None or match.start() > found[0]:
                found = (match.start(), told)
    return UserError(*found[1]) if found else None


def out_of_memory_kills() -> int | None:
    """How many processes the kernel has ended for want of memory, here and in this container; None if not told."""
    counts = [count for count in (_counter(path) for path in _counters()) if count is not None]
    return sum(counts) if counts else None


def _counters() -> list[Path]:
    files = [Path("/proc/vmstat")]
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return files
    groups = [line.partition("::")[2] for line in lines if line.startswith("0::")]
    return files + [Path("/sys/fs/cgroup") / group.lstrip("/") / "memory.events" for group in groups]


def _counter(path: Path) -> int | None:
    try:
        found = re.search(r"^oom_kill (\d+)$", path.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def was_killed_for_memory(exit_code: int | None, kills_before: int | None) -> bool:
    """Whether the kernel ended a worker to free memory, as far as its counters tell: they do not say whom it ended.

    exit_code and kills_before: as of `silent_end`.
    """
    kills = out_of_memory_kills()
    return kills is not None and kills_before is not None and kills > kills_before and exit_code in (None, -_KILL)


def silent_end(run: Run, folder: RunFolder, exit_code: int | None, lines: str, kills_before: int | None) -> UserError:
    """Why a worker has ended that did not say it.

    exit_code: negative for a signal; None where this process did not start the worker. lines: the end of the log.
    kills_before: what `out_of_memory_kills` said when the worker was started.
    """
    if was_killed_for_memory(exit_code, kills_before):
        return UserError(
            f"{MEMORY} The system ended the run to free some.",
            "memory",
            f"Close other programs, or choose a smaller batch size, a shorter max_length or a smaller model; {RESUME}",
        )
    named = cause_in_words(lines)
    if named is not None:
        return named
    if shutil.disk_usage(folder.workspace.root).free < LEAST_FREE_BYTES:
        return UserError("The disk of the workspace is full.", str(folder.root), f"Free some space, {RESUME}")
    if exit_code is not None and exit_code > 0:
        last = lines.splitlines()[-1] if lines else ""
        return UserError(
            f"The worker ended with code {exit_code}. {last}".strip(),
            "log.txt",
            "The log holds the details. Resume goes on from the last checkpoint.",
        )
    if run.started is not None and psutil.boot_time() > run.started:
        return UserError(
            "The computer was restarted while the run was at work.", "the computer", "Resume: nothing is lost but "
            "the steps since its last checkpoint.",
        )  # fmt: skip
    return _by_signal(-exit_code if exit_code else None)


def _by_signal(number: int | None) -> UserError:
    if number is None:
        return UserError(
            "The worker ended without a word: its process is gone.",
            "the worker",
            "Resume goes on from the last checkpoint; nothing before it is lost.",
        )
    name = signal.Signals(number).name
    if number == _KILL:
        return UserError(
            f"The worker ended without a word (killed by {name}): someone, or the system, ended its process.",
            "the worker",
            "If nobody did, memory was short: close other programs or choose a smaller batch size. Resume goes on from "
            "the last checkpoint.",
        )
    if number == _BUS:
        return UserError(
            f"The worker lost a file that it was reading (killed by {name}), as happens on a full or failing disk.",
            "the disk of the workspace",
            f"Look at the disk, {RESUME}",
        )
    if number in (_TERM, 1, 2):
        return UserError(
            f"The worker was told to end from outside ({name}), as when the computer shuts down.",
            "the worker",
            "Resume goes on from the last checkpoint; nothing before it is lost.",
        )
    return UserError(
        f"The worker crashed inside a library (killed by {name}).",
        "the worker",
        "Resume goes on from the last checkpoint. If it crashes there again, `python launch.py doctor` looks at the "
        "installation.",
    )
