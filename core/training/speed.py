"""How fast this computer trains, from the runs that it has finished; and how long the next one will take.

Each finished run adds a Measurement to the store. A forecast is the run's work (core/training/work.py) times the
seconds for a unit of work of the measurements that are most alike, on the same device only; to that come seconds that
do not grow with the data (starting, loading, saving). Light: no torch.
"""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields

from core.models.sizes import Sizes
from core.runs.store import Store
from core.schema import RunSpec
from core.training.memory import Device
from core.training.work import Work, forward_operations

READ = 200
"""Measurements of a device that are looked at, the newest."""
CHOSEN = 5
"""That a forecast rests on at most, the newest of those that are most alike."""
AS_ALIKE = 0.5
"""How much farther than the nearest one these may be."""
FARTHEST = 6.0
"""Beyond this nothing is said: 64 times as large a model, say."""
METHOD, FAMILY, SETTING = 1.5, 3.0, 1.0
"""How far apart another method, family, or precision, checkpointing and the like put two runs."""


@dataclass(frozen=True)
class Manner:
    """What makes two runs alike in speed. Sizes count by factors: twice as large is 1 apart."""

    model: str
    family: str
    method: str
    precision: str
    checkpointing: bool
    cached: bool
    grouped: bool
    operations: float
    """Of a pass forward, for a token."""
    batch_tokens: float
    """In a batch, on average."""
    length: float
    """Tokens of a row, on average."""

    def distance(self, other: "Manner") -> float:
        factors = (
            (1.0, self.operations, other.operations),
            (1.0, self.batch_tokens, other.batch_tokens),
            (0.5, self.length, other.length),
        )
        apart = sum(weight * abs(math.log2(max(1.0, one) / max(1.0, two))) for weight, one, two in factors)
        apart += METHOD * (self.method != other.method) + FAMILY * (self.family != other.family)
        settings = ("precision", "checkpointing", "cached", "grouped")
        mine, theirs = asdict(self), asdict(other)
        return apart + SETTING * sum(mine[name] != theirs[name] for name in settings)


@dataclass(frozen=True)
class Measurement:
    """One finished run on one device. Work as core/training/work.py counts it, of what was really done."""

    device: str
    kind: str
    manner: Manner
    steps: int
    tokens: int
    """That were trained on, without padding."""
    train_seconds: float
    """Of training steps alone."""
    train_work: float
    forward_seconds: float
    """Of evaluations and all other passes forward."""
    forward_work: float
    baseline_seconds: float
    baseline_tokens: int
    writing_seconds: float
    """Of answers that a language model wrote freely."""
    written_rows: int
    fixed_seconds: float
    """All else: starting, loading, saving, the report."""
    seconds: float
    forecast_seconds: float | None
    bytes: int | None
    """The most that it held; on a GPU what torch held there."""
    forecast_bytes: int | None
    """Of the same."""
    uncorrected_bytes: int | None
    """That forecast without what earlier runs corrected of it."""


def manner_of(spec: RunSpec, sizes: Sizes, length: float, cached: bool) -> Manner:
    """length: tokens of a train row, on average."""
    training = spec.training
    rows: float = training.batch_size
    if training.batch_tokens is not None:
        rows = max(1.0, min(rows, training.batch_tokens / max(1.0, length)))
    return Manner(
        spec.model.source.removeprefix("packaged:").rpartition("/")[2],
        spec.model.family,
        spec.model.method,
        training.precision,
        training.gradient_checkpointing,
        cached,
        training.group_by_length,
        forward_operations(sizes, length),
        rows * length,
        length,
    )


def measurements(store: Store, device: str | None = None, limit: int = READ) -> list[Measurement]:
    """The newest first; of this device only, where one is named."""
    query = "SELECT content FROM measurements WHERE device = coalesce(?, device) ORDER BY time DESC, run DESC LIMIT ?"
    with store.connection() as connection:
        rows = connection.execute(query, (device, limit)).fetchall()
    found = (_measurement(json.loads(content)) for (content,) in rows)
    return [one for one in found if one is not None]


def _measurement(content: dict[str, object]) -> Measurement | None:
    """None for one that another version of Tunedesk wrote."""
    names = {field.name for field in fields(Measurement)}
    manner = content.get("manner")
    if not names <= content.keys() or not isinstance(manner, dict):
        return None
    if {field.name for field in fields(Manner)} != manner.keys():
        return None
    return Measurement(**{**{name: content[name] for name in names}, "manner": Manner(**manner)})  # type: ignore[arg-type]


def forecast_seconds(store: Store, work: Work, manner: Manner, device: Device) -> tuple[float | None, str]:
    """Of the whole run, and what that rests on. None where nothing like it was measured on this device."""
    known = [one for one in measurements(store, device.name) if one.train_seconds > 0 and one.train_work > 0]
    chosen = _nearest(known, manner)
    if not chosen:
        return None, f"How long it takes is not known: nothing like it was finished on {device.name} yet."
    return _seconds(work, chosen, known), _words(chosen, manner)


def _nearest(known: Sequence[Measurement], manner: Manner) -> list[Measurement]:
    apart = {id(one): one.manner.distance(manner) for one in known}
    least = min(apart.values(), default=math.inf)
    if least > FARTHEST:
        return []
    return [one for one in known if apart[id(one)] <= least + AS_ALIKE][:CHOSEN]


def _seconds(work: Work, chosen: Sequence[Measurement], known: Sequence[Measurement]) -> float:
    return (
        work.training * _rate(lambda one: (one.train_seconds, one.train_work), chosen, known)
        + work.forward * _rate(lambda one: (one.forward_seconds, one.forward_work), chosen, known)
        + work.baseline_tokens * _rate(lambda one: (one.baseline_seconds, one.baseline_tokens), chosen, known)
        + work.written_rows * _rate(lambda one: (one.writing_seconds, one.written_rows), chosen, known)
        + statistics.median(one.fixed_seconds for one in chosen)
    )


def _rate(
    pair: Callable[[Measurement], tuple[float, float]], chosen: Sequence[Measurement], known: Sequence[Measurement]
) -> float:
    """Seconds for a unit: the median of the chosen, or of all that measured it; 0 where none did."""
    for some in (chosen, known):
        rates = [seconds / units for seconds, units in map(pair, some) if units > 0]
        if rates:
            return statistics.median(rates)
    return 0.0


def _words(chosen: Sequence[Measurement], manner: Manner) -> str:
    models = list(dict.fromkeys(one.manner.model for one in chosen))
    runs = f"{len(chosen)} finished {'run' if len(chosen) == 1 else 'runs'}"
    words = f"Time: from {runs} of {' and '.join(models[:2])} on {chosen[0].device}"
    if manner.model not in models:
        return f"{words}, another model: rough."
    methods = {one.manner.method for one in chosen}
    return f"{words}." if manner.method in methods else f"{words}, with another method: rough."
