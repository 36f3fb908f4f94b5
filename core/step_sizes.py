"""How the rows of a step divide into batches, and how short texts may get, where memory is short. Light.

What make_it_fit chooses from before a run begins, and what the memory ladder climbs down when memory was short.
"""

from typing import Any

from core.schema import TrainingSpec

SHORTEST_TOKENS = 64
"""Texts are never cut below this to save memory."""
MOST_BATCHES = 4096
"""In a step: the bound of training.gradient_accumulation."""


def batch_sizes(training: TrainingSpec) -> list[int]:
    """Greatest first, from the batch as it is: each divides the rows of a step, so that these stay the same."""
    rows = training.batch_size * training.gradient_accumulation
    found = {size for size in range(1, training.batch_size + 1) if rows % size == 0 and rows // size <= MOST_BATCHES}
    return sorted(found | {training.batch_size}, reverse=True)


def with_batch(training: TrainingSpec, size: int) -> dict[str, Any]:
    """Settings by name for a batch of so many rows and the same rows a step."""
    settings: dict[str, Any] = {
        "batch_size": size,
        "gradient_accumulation": training.batch_size * training.gradient_accumulation // size,
    }
    if training.batch_tokens is not None:
        settings["batch_tokens"] = max(8, training.batch_tokens * size // training.batch_size)
    return settings


def evaluation_batch(size: int) -> int:
    """The next smaller one."""
    return max(1, size // 2)


def shorter_lengths(length: int) -> list[int]:
    """Half, a quarter and so on, down to SHORTEST_TOKENS; none where it is no longer than that."""
    found = []
    while length > SHORTEST_TOKENS:
        length = max(SHORTEST_TOKENS, length // 2)
        found.append(length)
    return found
