"""From the probabilities of the classes to what is answered: temperature, rows left without a label, sets of labels.

Of runs with one class a row. The choice is kept in tunedesk.json (`decision`) and goes with every export. Light: numpy
alone.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
LabelSet = Literal["one", "sum", "top"]

SMALLEST = float(np.finfo(np.float32).tiny)
"""What a probability of 0 counts as where its logarithm is asked for: the smallest that is kept whole."""
ROUNDING = 1e-6
"""What adding up probabilities may be off; it does not call for one more class."""

FINE_FROM = 0.95
"""Where the thresholds of good models lie close together."""


@dataclass(frozen=True)
class Decision:
    """What is made of a row's probabilities."""

    temperature: float = 1.0
    """Their logarithms are divided by it: above 1 it calls itself less sure. The likeliest class stays the same."""
    abstain_below: float = 0.0
    """A row whose likeliest class is less probable gets no label; 0: every row gets one."""
    label_set: LabelSet = "one"
    """one: a label alone. sum: beside it the likeliest classes, as few as reach `label_set_sum` together. top: beside
    it the `label_set_size` likeliest classes."""
    label_set_sum: float = 0.9
    label_set_size: int = 3


AS_IT_IS = Decision()
"""Every row gets its likeliest class, and probabilities are as the model gives them."""


def tempered(probabilities: Floats, temperature: float) -> npt.NDArray[np.float32]:
    """softmax(log p / temperature), each row: float32 [rows, classes]. The likeliest class stays the likeliest.

    The same as dividing the logits, which differ from log p by a constant of the row. 1 changes nothing.
    """
    if temperature == 1:
        return probabilities.astype(np.float32, copy=False)
    powers = scaled_logarithms(probabilities, 1 / temperature)
    shares = np.exp(powers)
    found = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    rows, best = np.arange(len(found)), probabilities.argmax(axis=1)
    # Rounding can make two classes equal, and of equal ones the first is taken.
    lost = found.argmax(axis=1) != best
    found[rows[lost], best[lost]] = np.nextafter(found[lost].max(axis=1), np.float32(2))
    return found


def scaled_logarithms(probabilities: Floats, factor: float) -> npt.NDArray[np.float64]:
    """factor x log p, less the greatest of its row: float64 [rows, classes], 0 at the likeliest class."""
    logarithms = factor * np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))
    scaled: npt.NDArray[np.float64] = logarithms - logarithms.max(axis=1, keepdims=True)
    return scaled


def confidence_of(probabilities: Floats) -> npt.NDArray[np.float64]:
    """The probability of the likeliest class: float64 [rows]."""
    return probabilities.max(axis=1).astype(np.float64)


def is_sure(probabilities: Floats, decision: Decision) -> npt.NDArray[np.bool_]:
    """Which rows get a label: bool [rows]. probabilities: tempered already."""
    return confidence_of(probabilities) >= decision.abstain_below


def likeliest_until(probabilities: Floats, total: float) -> npt.NDArray[np.bool_]:
    """For each row the likeliest classes, as few as sum to `total` (0 to 1): bool [rows, classes], at least one."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    chosen = np.zeros(probabilities.shape, dtype=np.bool_)
    np.put_along_axis(chosen, order, within_sum(np.take_along_axis(probabilities, order, axis=1), total), axis=1)
    return chosen


def within_sum(ordered: Floats, total: float) -> npt.NDArray[np.bool_]:
    """Which of a row's probabilities, the likeliest first, are needed to sum to `total`: bool [rows, classes]."""
    sums = ordered.astype(np.float64)
    before = np.cumsum(sums, axis=1) - sums
    within: npt.NDArray[np.bool_] = before < total - ROUNDING
    within[:, 0] = True
    return within


def likeliest_few(probabilities: Floats, size: int) -> npt.NDArray[np.bool_]:
    """For each row its `size` likeliest classes, all where there are fewer: bool [rows, classes]."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :size]
    chosen = np.zeros(probabilities.shape, dtype=np.bool_)
    np.put_along_axis(chosen, order, values=True, axis=1)
    return chosen


def label_sets(probabilities: Floats, decision: Decision) -> npt.NDArray[np.bool_]:
    """The set of classes that each row is given: bool [rows, classes]. probabilities: tempered already."""
    if decision.label_set == "sum":
        return likeliest_until(probabilities, decision.label_set_sum)
    return likeliest_few(probabilities, decision.label_set_size if decision.label_set == "top" else 1)


def decision_sentences(decision: Decision) -> list[str]:
    """What holds, in plain words, a sentence each; the temperature last, where there is one."""
    said = ["Every row gets a label."]
    if decision.abstain_below > 0:
        said = [f"A row gets no label where its likeliest class has less than {shown_share(decision.abstain_below)}."]
    if decision.label_set == "sum":
        said.append(f"Beside it stand the likeliest classes until they sum to {shown_share(decision.label_set_sum)}.")
    if decision.label_set == "top":
        size = decision.label_set_size
        said.append("Beside it stands the likeliest class." if size == 1 else f"Beside it stand the {size} likeliest.")
    if decision.temperature != 1:
        said.append(f"Probabilities are those at temperature {decision.temperature:.2f}.")
    return said


def shown_share(share: float) -> str:
    """A threshold in percent, finer near 100 %, and never taken for it: `83.1 %`, `98.42 %`, `99.997 %`."""
    fewest = 1 if share < FINE_FROM else 2
    decimals = next((places for places in range(fewest, 4) if round(share * 100, places) < 100), 4)
    return f"{min(share * 100, 99.9999):.{decimals}f} %" if share < 1 else "100 %"
