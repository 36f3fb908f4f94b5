"""The states of a run, and which may follow which. The store refuses every other change."""

ACTIVE = ("running", "stopping")
RESUMABLE = ("stopped", "interrupted", "failed")
ENDED = ("stopped", "interrupted", "failed", "finished")

NEXT_STATES: dict[str, frozenset[str]] = {
    "queued": frozenset({"running", "stopped"}),
    # Back to the queue: it goes on in a fresh process, with smaller batches or without Unsloth.
    "running": frozenset({"stopping", "stopped", "interrupted", "failed", "finished", "queued"}),
    # A stop may come when all work is done, or while something fails.
    "stopping": frozenset({"stopped", "interrupted", "failed", "finished", "queued"}),
    "stopped": frozenset({"queued"}),
    "interrupted": frozenset({"queued"}),
    "failed": frozenset({"queued"}),
    "finished": frozenset(),
}


def may_follow(state: str, after: str) -> bool:
    return state in NEXT_STATES[after]
