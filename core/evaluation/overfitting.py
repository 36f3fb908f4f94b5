"""Overfitting named where the curves of a run show it: validation loss rises while training loss goes on falling.

Each is compared with itself alone, as label smoothing and dropout are in the one and not in the other. It says nothing
of runs that were measured on validation fewer than three times, nor where a rise is within LEAST_CHANGE. Validation
loss may rise while the classes get better still: then the model only grows too sure, which its temperature takes back.
"""

from collections.abc import Sequence

LEAST_POINTS = 3
LEAST_CHANGE = 0.05
"""Share by which validation loss must have risen from its lowest point, and training loss have fallen since."""

Curve = Sequence[tuple[float, float]]
"""(step, value), by step."""


def overfitting_words(training: Curve, validation: Curve) -> str:
    """What the loss curves show of it, in a sentence or two; '' where they show none.

    training: about a point every few steps. validation: a point for each measurement.
    """
    if len(validation) < LEAST_POINTS:
        return ""
    place = min(range(len(validation)), key=lambda point: validation[point][1])
    if place == len(validation) - 1:
        return ""
    (lowest_step, lowest), (last_step, last) = validation[place], validation[-1]
    since_before = validation[place - 1][0] if place else 0.0
    before = _mean(training, since_before, lowest_step)
    after = _mean(training, validation[-2][0], last_step)
    if before is None or after is None:
        return ""
    if last < lowest * (1 + LEAST_CHANGE) or after > before * (1 - LEAST_CHANGE):
        return ""
    return (
        f"Overfitting from step {lowest_step:,.0f} on: validation loss rose from {lowest:.3f} to {last:.3f}, while "
        f"training loss fell from {before:.3f} to {after:.3f}. Fewer epochs, more rows or more frozen layers keep it "
        "smaller."
    )


def _mean(curve: Curve, after: float, until: float) -> float | None:
    """Of the values at steps in (after, until]; None where there are none."""
    values = [value for step, value in curve if after < step <= until]
    return sum(values) / len(values) if values else None
