"""How far forecasts were from what runs then took, and by what memory is corrected for it. Light: no torch."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from core.runs.store import Store
from core.training.speed import Measurement, measurements

LAST = 200
"""Runs that are told of."""
CORRECTED_BY = 8
"""The newest runs of a kind that a correction rests on."""
FEWEST = 3
"""With fewer nothing is corrected."""
LOWEST, HIGHEST = 0.95, 1.25
"""Limits of the correction: what is forecast too low stops a run, what is forecast too high costs some speed."""


@dataclass(frozen=True)
class Errors:
    """Forecast to actual, less one, of each run, the newest first: 0.04 is 4 % too high."""

    shares: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.shares)

    @property
    def highest(self) -> float:
        return max(self.shares)

    @property
    def lowest(self) -> float:
        return min(self.shares)

    @property
    def words(self) -> str:
        """`12 runs, median 4 % too high, largest 9 % too low`."""
        if not self.shares:
            return "no run yet"
        largest = max(self.shares, key=abs)
        if len(self.shares) == 1:
            return f"1 run, {_words(largest)}"
        return f"{len(self.shares)} runs, median {_words(self.median)}, largest {_words(largest)}"


@dataclass(frozen=True)
class PastForecasts:
    memory: Errors
    time: Errors


def past_forecasts(store: Store) -> PastForecasts:
    found = measurements(store, limit=LAST)
    return PastForecasts(
        Errors(tuple(one.forecast_bytes / one.bytes - 1 for one in found if one.forecast_bytes and one.bytes)),
        Errors(tuple(one.forecast_seconds / one.seconds - 1 for one in found if one.forecast_seconds and one.seconds)),
    )


def memory_ratio(store: Store, kind: str, family: str) -> float:
    """By what a forecast for this kind of device and family of models is multiplied: 1 without enough runs."""
    alike = [one for one in measurements(store) if one.kind == kind and one.manner.family == family]
    return ratio_of(alike)


def ratio_of(newest_first: Sequence[Measurement]) -> float:
    """The median of actual to forecast, within limits.

    Forecasts that were corrected themselves count as they were before that, so that a correction does not undo itself.
    """
    told = [one.bytes / one.uncorrected_bytes for one in newest_first if one.bytes and one.uncorrected_bytes]
    if len(told) < FEWEST:
        return 1.0
    return min(HIGHEST, max(LOWEST, statistics.median(told[:CORRECTED_BY])))


def _words(share: float) -> str:
    if abs(share) < 0.005:
        return "exact"
    return f"{abs(share) * 100:.0f} % too {'high' if share >= 0 else 'low'}"
