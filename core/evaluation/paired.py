"""Whether one set of predictions is better than another on the same rows, and how sure that is.

Accuracy: McNemar's exact test on the rows that only one of the two has right (McNemar 1947). Macro F1, which no such
test covers: a paired bootstrap, the same samples of rows for both (Koehn 2004, "Statistical significance tests for
machine translation evaluation"; Efron and Tibshirani 1993, chapter 13, for the percentile interval). Several tests
against one: Holm (1979). Both tests speak of other rows like these, not of another training of the same model.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from core.evaluation.metrics import CONFIDENCE

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SIGNIFICANT = 0.05
RESAMPLES = 2000
ROUGHLY = 200
SEED = 42
DRAWN_AT_ONCE = 4_000_000
"""Numbers of a block of bootstrap samples: 32 MB, whatever the rows."""

Classes = npt.NDArray[Any]
"""int64 [rows], one class a row; or bool [rows, classes], several."""
Outcome = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class RightRows:
    """McNemar's exact test of two sets of predictions."""

    first_only: int
    """Rows that the first alone has right."""
    second_only: int
    p_value: float
    """How probable a difference at least this large is if both are equally good."""
    outcome: Outcome
    """Of the first; `unclear` where the difference may be chance (p >= 0.05)."""


@dataclass(frozen=True)
class Difference:
    """Paired bootstrap of a figure: that of the first less that of the second."""

    difference: float
    interval: list[float]
    """From, to: where the difference lies with 95 % confidence."""
    p_value: float
    outcome: Outcome


def mcnemar(first_right: npt.NDArray[np.bool_], second_right: npt.NDArray[np.bool_]) -> RightRows:
    """bool [rows] each: whether the same rows are right. If both were equally good, each row that they differ in would
    be a coin's toss."""
    first_only = int((first_right & ~second_right).sum())
    second_only = int((second_right & ~first_right).sum())
    different = first_only + second_only
    # Imported here: it takes a second, and pages that only read verdicts need none of it.
    from scipy.stats import binomtest

    p_value = float(binomtest(first_only, different).pvalue) if different else 1.0
    return RightRows(first_only, second_only, p_value, outcome_of(p_value, first_only - second_only))


def outcome_of(p_value: float, difference: float) -> Outcome:
    if p_value >= SIGNIFICANT:
        return "unclear"
    return "better" if difference > 0 else "worse"


def macro_f1_interval(true: Classes, given: Classes, classes: int) -> list[float]:
    """Where macro F1 lies with 95 % confidence: the percentiles of RESAMPLES bootstrap samples of the rows."""
    (drawn,) = resampled_macro_f1(true, [given], classes)
    return _percentiles(drawn)


def standard_error(metric: str, true: Classes, given: Classes, classes: int) -> float:
    """How far a figure of predictions of one class a row scatters over other rows like these.

    Of macro F1 by bootstrap; of accuracy, which is micro F1 here, by the binomial distribution, also for weighted F1,
    which lies near it.
    """
    if metric == "macro_f1":
        (drawn,) = resampled_macro_f1(true, [given], classes, ROUGHLY)
        return float(drawn.std())
    right = float((true == given).mean())
    return math.sqrt(right * (1 - right) / len(true))


def macro_f1_difference(true: Classes, first: Classes, second: Classes, classes: int) -> Difference:
    """p is twice the share of the samples in which the one that is better in all is not."""
    drawn = resampled_macro_f1(true, [first, second], classes)
    differences: npt.NDArray[np.float64] = drawn[0] - drawn[1]
    # As many numbers as classes: their sums round, and equal predictions must differ by nothing at all.
    differences[np.abs(differences) < 1e-12] = 0.0
    difference = _macro_f1(true, first, classes) - _macro_f1(true, second, classes)
    p_value = bootstrap_p_value(differences)
    return Difference(difference, _percentiles(differences), p_value, outcome_of(p_value, difference))


def bootstrap_p_value(differences: npt.NDArray[np.float64]) -> float:
    not_better = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    # One more on both sides: so many samples cannot show that something never happens.
    return min(1.0, 2 * (not_better + 1) / (len(differences) + 1))


def resampled_macro_f1(
    true: Classes, predictions: Sequence[Classes], classes: int, resamples: int = RESAMPLES
) -> npt.NDArray[np.float64]:
    """Macro F1 of several predictions of the same rows on the same bootstrap samples: [predictions, resamples].

    In each sample the mean is over the classes that occur in truth or prediction, as core.evaluation.metrics has it.
    """
    chosen, rows = _kinds([true, *predictions])
    truth = _indicator(true[chosen], classes)
    said = [_indicator(given[chosen], classes) for given in predictions]
    right = [truth.multiply(given).tocsr().T for given in said]
    both = [(truth + given).T for given in said]
    found = np.zeros((len(predictions), resamples))
    start = 0
    for drawn in _blocks(rows, resamples):
        block = slice(start, start + drawn.shape[1])
        for number in range(len(predictions)):
            found[number, block] = _mean_f1(right[number] @ drawn, both[number] @ drawn)
        start = block.stop
    return found


def _blocks(rows: npt.NDArray[np.int64], resamples: int) -> Iterator[npt.NDArray[np.int64]]:
    """Bootstrap samples, some at a time: [kinds, samples], how many rows of each kind a sample holds."""
    rng = np.random.default_rng(SEED)
    at_once = max(1, DRAWN_AT_ONCE // len(rows))
    for start in range(0, resamples, at_once):
        samples = min(at_once, resamples - start)
        yield rng.multinomial(rows.sum(), rows / rows.sum(), size=samples).T


def _kinds(columns: Sequence[Classes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A row of each kind, and how many rows are of it: rows with the same truth and predictions are one kind, so that
    a sample is a few numbers, whatever the rows."""
    together = np.stack(columns, axis=1)
    if together.ndim == 3:
        together = np.packbits(together.reshape(len(together), -1), axis=1)
    _, chosen, rows = np.unique(together, axis=0, return_index=True, return_counts=True)
    return chosen, rows


def _indicator(given: Classes, classes: int) -> "csr_matrix":
    """1 where a row has a class: int64 [rows, classes]."""
    from scipy.sparse import csr_matrix

    if given.ndim == 2:
        return csr_matrix(given.astype(np.int64))
    rows = np.arange(len(given))
    return csr_matrix((np.ones(len(given), np.int64), (rows, given)), shape=(len(given), classes))


def _mean_f1(right: npt.NDArray[np.int64], both: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """right: rows rightly given the class, both: those that have it and those given it, [classes, samples] each."""
    f1 = 2 * right / np.maximum(1, both)
    present = (both > 0).sum(axis=0)
    mean: npt.NDArray[np.float64] = f1.sum(axis=0) / np.maximum(1, present)
    return mean


def _macro_f1(true: Classes, given: Classes, classes: int) -> float:
    chosen, rows = _kinds([true, given])
    truth, said = _indicator(true[chosen], classes), _indicator(given[chosen], classes)
    right, both = truth.multiply(said).tocsr().T, (truth + said).T
    return float(_mean_f1(right @ rows[:, None], both @ rows[:, None])[0])


def _percentiles(drawn: npt.NDArray[np.float64]) -> list[float]:
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return [float(low), float(high)]


def holm(p_values: Sequence[float]) -> list[float]:
    """p values of several tests, raised so that the chance of even one wrong "better" among them stays at 5 %.

    Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = highest
    return adjusted


def p_value_words(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def sure_words(p_value: float) -> str:
    """`p = 0.012: by chance about once in 83 times`."""
    if p_value < 0.001:
        chance = "by chance less than once in 1,000 times"
    elif p_value < SIGNIFICANT:
        chance = f"by chance about once in {round(1 / p_value)} times"
    else:
        chance = f"by chance {p_value * 100:.0f} times in 100"
    return f"p {p_value_words(p_value)}: {chance}"


def compared_words(outcome: Outcome, name: str, p_value: float) -> str:
    """`better than TF-IDF (p < 0.001: ...)`, said only where the test says so."""
    words = {"better": "better than", "worse": "worse than", "unclear": "no clear difference from"}[outcome]
    return f"{words} {name} ({sure_words(p_value)})"
