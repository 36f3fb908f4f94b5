"""Which classes are taken for which: the confusion matrix made small enough to read, and its worst cells."""

from collections.abc import Sequence

import numpy as np

REST = "rest"


def fold_confusion(
    confusion: Sequence[Sequence[int]], labels: Sequence[str], largest: int = 30
) -> tuple[list[list[int]], list[str]]:
    """The matrix and names of the `largest` classes by true rows, all others together as "rest" (last).

    confusion: [classes][classes], rows are the true class. The classes keep their order. Where at most one class would
    be in the rest, nothing is folded: it takes no more room under its own name.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    if len(labels) <= largest + 1:
        return counts.tolist(), list(labels)
    # Of classes with equally many rows the first ones are kept.
    kept = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:largest])
    place = np.full(len(labels), largest)
    place[kept] = np.arange(largest)
    folded = np.zeros((largest + 1, largest + 1), dtype=np.int64)
    np.add.at(folded, (place[:, None], place[None, :]), counts)
    return folded.tolist(), [*(labels[number] for number in kept), REST]


def top_confusions(
    confusion: Sequence[Sequence[int]], labels: Sequence[str], count: int = 10
) -> list[tuple[str, str, int]]:
    """The commonest mistakes as (true, predicted, rows), most rows first, of equal ones in class order."""
    counts = np.array(confusion, dtype=np.int64)
    np.fill_diagonal(counts, 0)
    flat = counts.ravel()
    order = np.argsort(-flat, kind="stable")[:count]
    cells = [(int(cell) // len(labels), int(cell) % len(labels), int(flat[cell])) for cell in order if flat[cell]]
    return [(labels[true], labels[predicted], rows) for true, predicted, rows in cells]
