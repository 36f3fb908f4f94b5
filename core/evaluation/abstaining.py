"""What is gained where the model may say nothing: coverage against accuracy, sets of labels, and rows of no class.

For one class a row. A row is labelled where its confidence, the (tempered) probability of its likeliest class, reaches
a threshold. Thresholds are chosen on validation, and what they come to is told of the test part, which had no say.
Curves are kept at no more than POINTS thresholds, whatever the rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from core.decision import Decision, confidence_of, shown_share, within_sum
from core.evaluation.metrics import Floats, Integers, wilson_interval
from core.evaluation.verdict import counted, percent

POINTS = 200
DECIMALS = 6
"""Of thresholds: as many as labelled CSV files show of probabilities."""
ROWS_AT_ONCE = 4096
LEAST_LABELLED = 20
"""Validation rows that a threshold must leave, or its accuracy is that of a handful."""
SUMS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
SIZES = tuple(range(1, 11))
TARGETS = (0.9, 0.95, 0.97, 0.99)
"""Accuracies that reports name a threshold for."""

Coverage = Mapping[str, Any]
"""`coverage` of report.json, see coverage_figures."""


def coverage_figures(parts: Mapping[str, tuple[Integers, Floats]]) -> dict[str, Any]:
    """What report.json holds as `coverage`.

    parts: `validation` and `test`, each (true, tempered probabilities). {"thresholds": ascending, the first 0; and for
    each part {"rows", "labelled", "right"}: how many rows are labelled at each threshold, and how many of them rightly}
    """
    every = np.concatenate([confidence_of(probabilities) for _, probabilities in parts.values()])
    shares = np.linspace(0, 1, POINTS - 1)
    # Rounded down, so that the row which gave a threshold reaches it.
    found = np.floor(np.quantile(every, shares, method="lower") * 10**DECIMALS) / 10**DECIMALS
    thresholds = np.unique(np.append(found, 0.0))
    return {
        "thresholds": thresholds.tolist(),
        **{name: _labelled(true, said, thresholds) for name, (true, said) in parts.items()},
    }


def _labelled(true: Integers, probabilities: Floats, thresholds: npt.NDArray[np.float64]) -> dict[str, Any]:
    confidence = confidence_of(probabilities)
    right = np.sort(confidence[probabilities.argmax(axis=1) == true])
    return {
        "rows": len(true),
        "labelled": (len(true) - np.searchsorted(np.sort(confidence), thresholds)).tolist(),
        "right": (len(right) - np.searchsorted(right, thresholds)).tolist(),
    }


def threshold_for_accuracy(coverage: Coverage, target: float) -> float | None:
    """The lowest threshold from which on at least `target` (0 to 1) of the labelled validation rows are right.

    None where no threshold that leaves LEAST_LABELLED rows reaches it.
    """
    part = coverage["validation"]
    for threshold, labelled, right in zip(coverage["thresholds"], part["labelled"], part["right"], strict=True):
        if labelled >= LEAST_LABELLED and right >= target * labelled:
            return float(threshold)
    return None


def threshold_for_coverage(coverage: Coverage, target: float) -> float:
    """The highest threshold at which at least `target` (0 to 1) of the validation rows are labelled."""
    part = coverage["validation"]
    enough = [
        threshold
        for threshold, labelled in zip(coverage["thresholds"], part["labelled"], strict=True)
        if labelled >= target * part["rows"]
    ]
    return float(enough[-1])


def best_accuracy(coverage: Coverage) -> float:
    """The highest share of right ones among labelled validation rows, at thresholds that leave LEAST_LABELLED rows."""
    part = coverage["validation"]
    pairs = zip(part["labelled"], part["right"], strict=True)
    return max((right / labelled for labelled, right in pairs if labelled >= LEAST_LABELLED), default=0.0)


def place_of(coverage: Coverage, threshold: float) -> int:
    """The place of the lowest kept threshold that labels no more rows than this one; the last where none does."""
    kept = coverage["thresholds"]
    return min(int(np.searchsorted(kept, threshold)), len(kept) - 1)


def coverage_words(coverage: Coverage, place: int) -> str:
    """`labels 83.0 % of rows at 97.1 % accuracy`, with how sure that is, of the test part at a kept threshold."""
    part = coverage["test"]
    labelled, right, rows = part["labelled"][place], part["right"][place], part["rows"]
    if not labelled:
        return f"labels none of the {counted(rows, 'test row')}"
    low, high = wilson_interval(right, labelled)
    return (
        f"labels {percent(labelled / rows)} of rows at {percent(right / labelled)} accuracy "
        f"(95 % sure: {low * 100:.1f} to {high * 100:.1f})"
    )


def threshold_sentence(coverage: Coverage, place: int) -> str:
    """A whole sentence of what happens from a kept threshold on."""
    if not place:
        return f"Without a threshold it {coverage_words(coverage, 0)}."
    return f"From {shown_share(coverage['thresholds'][place])} on it {coverage_words(coverage, place)}."


def label_set_figures(true: Integers, probabilities: Floats) -> dict[str, Any]:
    """What report.json holds as `label_sets`, of the test part: how often a set of likely classes holds the true one.

    {"sums": [{"sum", "holds", "size"}], "tops": [{"size", "holds"}]}: of sets that sum to `sum`, and of those of the
    `size` likeliest classes. holds: share of rows whose true class is in it, 0 to 1; size: classes in it on average.
    """
    sizes = sorted({min(size, probabilities.shape[1]) for size in SIZES})
    sums = np.zeros((len(SUMS), 2))
    tops = np.zeros(len(sizes))
    # Sorted once, and some rows at a time: with many rows and classes that is most of an evaluation.
    for start in range(0, len(true), ROWS_AT_ONCE):
        of_true, said = true[start : start + ROWS_AT_ONCE, None], probabilities[start : start + ROWS_AT_ONCE]
        order = np.argsort(-said, axis=1, kind="stable")
        ordered = np.take_along_axis(said, order, axis=1)
        rank = (order == of_true).argmax(axis=1)
        tops += [(rank < size).sum() for size in sizes]
        for number, total in enumerate(SUMS):
            held = within_sum(ordered, total).sum(axis=1)
            sums[number] += (rank < held).sum(), held.sum()
    shares = sums / len(true)
    return {
        "sums": [
            {"sum": total, "holds": float(holds), "size": float(size)}
            for total, (holds, size) in zip(SUMS, shares, strict=True)
        ],
        "tops": [
            {"holds": float(held / len(true)), "size": float(size)} for held, size in zip(tops, sizes, strict=True)
        ],
    }


def label_set_words(sets: Mapping[str, Sequence[Mapping[str, float]]], decision: Decision) -> str:
    """What a decision's sets come to on the test part, of report.json's `label_sets`; '' where that was not counted."""
    wanted = {
        "one": [],
        "sum": [one for one in sets["sums"] if one["sum"] == decision.label_set_sum],
        "top": [one for one in sets["tops"] if one["size"] == decision.label_set_size],
    }[decision.label_set]
    if not wanted:
        return ""
    (found,) = wanted
    held = f"The true class is among them in {percent(found['holds'])} of test rows"
    return f"{held}." if decision.label_set == "top" else f"{held}; they are {found['size']:.2f} on average."


def outside_figures(known: Floats, outside: Floats, threshold: float) -> dict[str, Any]:
    """How well confidence parts rows of the model's classes from rows of none of them (out of scope).

    known, outside: probabilities, [rows, classes] each, at least one row. Returns {"rows": of outside, "separation":
    the chance that a row of its classes is surer than one of none (area under the ROC curve; 0.5 is none at all),
    "left_out": share of outside below the threshold, "known_left_out": the same of known}.
    """
    ours, theirs = np.sort(confidence_of(known)), confidence_of(outside)
    below, upto = (np.searchsorted(ours, theirs, side=side) for side in ("left", "right"))
    surer = (len(ours) - upto) + (upto - below) / 2
    return {
        "rows": len(theirs),
        "separation": float(surer.mean() / len(ours)),
        "left_out": float((theirs < threshold).mean()),
        "known_left_out": float((ours < threshold).mean()),
    }


def outside_words(figures: Mapping[str, Any], threshold: float) -> str:
    """A sentence on outside_figures, with what the threshold does where there is one."""
    said = (
        f"{counted(figures['rows'], 'row')} of none of its classes: in {percent(figures['separation'])} of pairs it is "
        "surer of a row of its classes than of one of these (50 % would be chance)"
    )
    if threshold <= 0:
        return f"{said}; without a threshold each of these gets a label all the same."
    return (
        f"{said}; the saved threshold leaves {percent(figures['left_out'])} of these without a label, and "
        f"{percent(figures['known_left_out'])} of its own."
    )
