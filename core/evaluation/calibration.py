"""Temperature scaling: how sure a model says it is, brought to how often it is right. For one class a row.

One number for the whole model, fitted on the validation part by least log loss (Guo, Pleiss, Sun, Weinberger 2017, "On
Calibration of Modern Neural Networks", arXiv:1706.04599). It divides the logits, so it never changes which class is the
likeliest, and accuracy stays what it was. What it cannot do: mend a model that is too sure of one class and not sure
enough of another.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.decision import scaled_logarithms
from core.evaluation.calibration_interval import calibration_error_interval
from core.evaluation.metrics import Floats, Integers, calibration_error, calibration_table, log_loss

LEAST_ROWS = 50
"""Validation rows below which a temperature would say more of the draw than of the model."""
LEAST_MISTAKES = 3
"""Without mistakes the best temperature is none at all: as sure as can be."""
LOWEST, HIGHEST = 0.1, 10.0
LEAST_GAIN = 1e-4
"""Nats of log loss; less is rounding."""


@dataclass(frozen=True)
class Temperature:
    """The temperature of a model, and what it was fitted on."""

    value: float
    """1 where it was left as it is."""
    reason: str
    """Why it was left, a sentence; '' where it was fitted."""
    rows: int
    """Validation rows."""
    log_loss_before: float
    """On validation, nats."""
    log_loss_after: float


def fitted_temperature(true: Integers, probabilities: Floats) -> Temperature:
    """The temperature with the least log loss on these rows (validation), from LOWEST to HIGHEST.

    true: int64 [rows], indices of classes. probabilities: [rows, classes], each row summing to 1; they stand for the
    logits, which differ from their logarithms by a constant a row.
    """
    rows = len(true)
    before = _loss_at(true, probabilities, 1.0) if rows else 0.0

    def left(reason: str) -> Temperature:
        return Temperature(1.0, reason, rows, before, before)

    if rows < LEAST_ROWS:
        return left(f"The validation part has {rows:,} rows; fewer than {LEAST_ROWS} are too few to fit one on.")
    mistakes = int((probabilities.argmax(axis=1) != true).sum())
    if mistakes < LEAST_MISTAKES:
        return left(f"The model is wrong on {mistakes} of {rows:,} validation rows; that is too few to fit one on.")
    value = _best(true, probabilities)
    after = _loss_at(true, probabilities, value)
    if after > before - LEAST_GAIN:
        return left("No temperature lowers the log loss on validation: it is as sure as it should be.")
    return Temperature(value, "", rows, before, after)


def _best(true: Integers, probabilities: Floats) -> float:
    """Searched in its logarithm, where the loss has one valley; to four decimals."""
    # The page reads this module, and importing scipy.optimize takes a second.
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda power: _loss_at(true, probabilities, math.exp(power)),
        bounds=(math.log(LOWEST), math.log(HIGHEST)),
        method="bounded",
    )
    return round(math.exp(found.x), 4)


def _loss_at(true: Integers, probabilities: Floats, temperature: float) -> float:
    """Mean log loss at this temperature, nats."""
    powers = scaled_logarithms(probabilities, 1 / temperature)
    of_true: npt.NDArray[np.float64] = powers[np.arange(len(true)), true]
    return float((np.log(np.exp(powers).sum(axis=1)) - of_true).mean())


def calibration_figures(fitted: Temperature, true: Integers, before: Floats, after: Floats) -> dict[str, Any]:
    """What report.json holds as `calibration`.

    {"temperature": {value, reason, rows, log_loss_before, log_loss_after}, of the fit on validation; "before" and
    "after", of the test part: {"calibration_error" (0 to 1), "calibration_error_interval", "log_loss" (nats), "bins"}}.
    bins are those of metrics.calibration_table: {"from", "to", "rows", "confidence", "accuracy"}, at most ten, empty
    ones left out.
    before, after: [rows, classes], the test part's probabilities as the model gave them and tempered.
    """
    return {
        "temperature": asdict(fitted),
        "before": _measured(true, before),
        "after": _measured(true, after),
    }


def _measured(true: Integers, probabilities: Floats) -> dict[str, Any]:
    bins = calibration_table(true, probabilities)
    return {
        "calibration_error": calibration_error(bins, len(true)),
        "calibration_error_interval": calibration_error_interval("single", true, probabilities),
        "log_loss": log_loss(true, probabilities),
        "bins": bins,
    }


def calibration_words(calibration: Mapping[str, Any]) -> list[str]:
    """What the temperature came to, a sentence each, of report.json's `calibration`."""
    fitted = calibration["temperature"]
    before, after = (calibration[name]["calibration_error"] * 100 for name in ("before", "after"))
    # Reports of before it was measured have no interval.
    bounds = calibration["after"].get("calibration_error_interval")
    sure = f"95 % sure: {bounds[0] * 100:.1f} to {bounds[1] * 100:.1f}" if bounds else ""
    if fitted["reason"]:
        return [
            f"How sure it says it is differs from how often it is right by {before:.1f} % on average (expected "
            f"calibration error"
            f"{f'; {sure}' if sure else ''}).",
            f"Its probabilities are as the model gives them. {fitted['reason']}",
        ]
    nature = "too sure of itself" if fitted["value"] > 1 else "not sure enough of itself"
    moved = "down" if after < before else "up"
    return [
        f"On the {fitted['rows']:,} validation rows it was {nature}; temperature {fitted['value']:.2f} puts that right "
        "without changing one answer.",
        f"On the test part the expected calibration error goes {moved} from {before:.1f} % to {after:.1f} %"
        f"{f' ({sure})' if sure else ''}.",
    ]
