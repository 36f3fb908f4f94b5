"""The queue: in which order runs start, on which GPU, and what a run that waits is waiting for.

The order is in the store's `queue` table, which triggers keep (see migrations.py); here it is changed and told. A
device has one run: each GPU one, a computer without any GPU one. What is estimated of runs in the queue themselves,
which nobody has seen run yet, is left out: only how long the run before them still needs is said.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from core.doctor import find_gpus
from core.errors import UserError
from core.runs.store import ACTIVE, Run, Store

ANY_DEVICE = ("",)
"""One run at a time, on whatever its worker finds."""

STOP_ASKED = "Stop was asked for."
"""The reason of a run that a person stops."""
FINISH_REQUESTED = "finish_requested"
"""Kind of event; {"wanted": bool}: whether no step is trained any more."""


@dataclass(frozen=True)
class Waiting:
    """A run in the queue, and what it waits for."""

    run: Run
    before: int
    """Runs of the queue that start before it."""
    blocker: Run | None
    """The active run that will end first as far as is known; None where none is active."""
    active: int
    """Runs that are active."""

    @property
    def seconds_left(self) -> float | None:
        """Until the blocker ends; None where that is not known."""
        progress = self.blocker.progress if self.blocker is not None else None
        return progress.seconds_left if progress is not None else None

    @property
    def words(self) -> str:
        """`waits for 'questions', 62 %, about 4 min left; 2 before it`."""
        first = f"waits for {_blocker_words(self.blocker, self.active)}" if self.blocker else "starts as soon as it can"
        return f"{first}; {self.before} before it" if self.before else first


@lru_cache(maxsize=1)
def devices() -> tuple[str, ...]:
    """Names for CUDA_VISIBLE_DEVICES, one for each run at a time. With one GPU or none ANY_DEVICE.

    What CUDA_VISIBLE_DEVICES lists already is all that is used. Asked of the driver once a process.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        named = tuple(name.strip() for name in chosen.split(",") if name.strip())
    else:
        named = tuple(str(number) for number in range(len(find_gpus()[0])))
    return named if len(named) > 1 else ANY_DEVICE


def device_environment(store: Store, run_id: str) -> dict[str, str]:
    """Variables that keep a run's worker on its GPU; none where it may have whatever it finds."""
    with store.connection() as connection:
        row = connection.execute("SELECT device FROM devices WHERE run = ?", (run_id,)).fetchone()
    if row is None or not row[0]:
        return {}
    # nvidia-smi counts in the order of the bus, CUDA from the fastest on unless told otherwise.
    return {"CUDA_VISIBLE_DEVICES": row[0], "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def queued_ids(store: Store) -> list[str]:
    """Ids of the runs that wait, the next one first."""
    with store.connection() as connection:
        return [run_id for (run_id,) in connection.execute("SELECT run FROM queue ORDER BY place, run")]


def waiting(store: Store) -> list[Waiting]:
    """The queue, the next one first, with what each run waits for."""
    ids = queued_ids(store)
    if not ids:
        return []
    runs = store.runs_of(ids)
    active = store.runs(limit=100, states=ACTIVE)
    blocker = min(active, key=_time_left) if active else None
    found = [runs[run_id] for run_id in ids if run_id in runs]
    return [Waiting(run, place, blocker, len(active)) for place, run in enumerate(found)]


def waiting_words(store: Store, run_id: str) -> str:
    """What a run in the queue waits for; '' where it waits no more."""
    return next((one.words for one in waiting(store) if one.run.id == run_id), "")


def move(store: Store, run_id: str, place: int) -> int:
    """Put a waiting run at a place of the queue, 1 the next to start, past the end the last. Returns its place.

    Raises UserError where it does not wait.
    """
    return _reorder(store, run_id, lambda _now: place - 1)


def move_by(store: Store, run_id: str, places: int) -> int:
    """Move a waiting run so many places, back where negative. Returns its place, 1 the next to start.

    Raises UserError where it does not wait.
    """
    return _reorder(store, run_id, lambda now: now + places)


def _reorder(store: Store, run_id: str, target: Callable[[int], int]) -> int:
    state = store.run(run_id).state
    with store.transaction() as connection:
        order = [found for (found,) in connection.execute("SELECT run FROM queue ORDER BY place, run")]
        if run_id not in order:
            found = "no longer in the queue" if state == "queued" else state
            raise UserError(
                f"Run {run_id} is {found}, so it has no place there.",
                "run",
                "Only a run that waits can be moved; `python launch.py queue` lists those.",
            )
        now = order.index(run_id)
        order.remove(run_id)
        place = min(max(target(now), 0), len(order))
        order.insert(place, run_id)
        connection.executemany(
            "UPDATE queue SET place = ? WHERE run = ?", [(number, found) for number, found in enumerate(order, start=1)]
        )
    return place + 1


def stopped_words(store: Store, run_id: str) -> str:
    """What a run says that was asked to stop, and has: why, where that was not because a person pressed Stop."""
    asked = store.events(run_id, "stopping")
    why = str(asked[-1].detail.get("reason", "")) if asked else ""
    return "Stopped; a checkpoint is kept." if why in ("", STOP_ASKED) else f"{why} A checkpoint is kept."


def _time_left(run: Run) -> tuple[bool, float]:
    """What sorts runs by how soon they end; those of which it is not known come last."""
    left = run.progress.seconds_left if run.progress is not None else None
    return left is None, left or 0.0


def _blocker_words(run: Run, active: int) -> str:
    name = f"'{run.name}'" if active == 1 else f"the first of {active} runs to end, likely '{run.name}'"
    return ", ".join([name, *how_far(run)])


def how_far(run: Run) -> list[str]:
    """`62 %`, `about 4 min left`; or what it does; of a run that has just begun nothing."""
    if run.state == "stopping":
        return ["which is stopping"]
    progress = run.progress
    if progress is None:
        return []
    told = [f"{100 * progress.step // progress.total_steps} %" if progress.total_steps else progress.phase]
    return [*told, about(progress.seconds_left)] if progress.seconds_left is not None else told


def about(seconds: float) -> str:
    """`about 40 s left`, `about 4 min left`, `about 2.5 h left`: as coarse as a forecast is."""
    if seconds < 90:
        return f"about {max(10, 10 * round(seconds / 10))} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min left"
    return f"about {round(seconds / 1800) / 2:g} h left"


def as_json(found: Sequence[Waiting]) -> list[dict[str, object]]:
    return [
        {
            "run": one.run.id,
            "name": one.run.name,
            "place": one.before + 1,
            "waits_for": one.blocker.id if one.blocker is not None else None,
            "seconds_left": one.seconds_left,
            "words": one.words,
        }
        for one in found
    ]
