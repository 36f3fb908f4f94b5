"""Which classes are taken for which: an order in which such classes stand beside each other, the confusion matrix made
small enough to read, and its worst cells."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

REST = "rest"
LARGEST = 30
"""Classes shown one by one in a matrix; of more, those that are mixed up most, the others together."""
OPTIMAL_UP_TO = 500
"""Classes up to which the leaves are put in the best order: a fifth of a second; it grows with their cube."""
CLUSTERED_UP_TO = 4000
"""Above this the distances of all pairs would take more memory than a matrix nobody can read is worth."""

Counts = Sequence[Sequence[int]] | npt.NDArray[np.int64]


def clustered_order(confusion: Counts) -> list[int]:
    """The classes as indices, those that are taken for each other beside each other.

    confusion: [classes][classes], rows are the true class. Two classes are near where large shares of their rows are
    taken for the other: hierarchical clustering with average linkage (Sokal and Michener 1958), its leaves in the order
    with the least distance between neighbours (Bar-Joseph et al. 2001, as scipy has it).
    """
    counts = np.asarray(confusion, dtype=np.float64)
    classes = len(counts)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    near = (shares + shares.T) / 2
    np.fill_diagonal(near, 0)
    if classes < 3 or classes > CLUSTERED_UP_TO or not near.any():
        return list(range(classes))
    # Imported here: it takes a second, and pages that only read reports need none of it.
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    # The root spreads small shares: most confusions are of a few rows in a hundred.
    distances = squareform(1 - np.sqrt(near / near.max()), checks=False)
    tree = linkage(distances, "average", optimal_ordering=classes <= OPTIMAL_UP_TO)
    return [int(number) for number in leaves_list(tree)]


def fold_confusion(
    confusion: Counts, labels: Sequence[str], largest: int = LARGEST, order: Sequence[int] | None = None
) -> tuple[list[list[int]], list[str]]:
    """The matrix and names of `largest` classes that are mixed up most, all others together as "rest" (last).

    confusion: [classes][classes], rows are the true class. order: the classes as indices, as they are to stand; None:
    as they are. Where at most one class would be in the rest, nothing is folded: it takes no more room under its own
    name.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    placed = np.arange(len(labels)) if order is None else np.asarray(order)
    if len(labels) <= largest + 1:
        return counts[np.ix_(placed, placed)].tolist(), [labels[int(number)] for number in placed]
    kept = placed[np.isin(placed, _mixed_up(counts, largest))]
    place = np.full(len(labels), largest)
    place[kept] = np.arange(largest)
    folded = np.zeros((largest + 1, largest + 1), dtype=np.int64)
    np.add.at(folded, (place[:, None], place[None, :]), counts)
    return folded.tolist(), [*(labels[int(number)] for number in kept), REST]


def _mixed_up(counts: npt.NDArray[np.int64], largest: int) -> npt.NDArray[np.int64]:
    """The classes that are taken for each other most: the worst pair, then again and again the class that shares the
    most mistakes with those chosen; of equal ones the one with more mistakes in all."""
    mutual = counts + counts.T
    np.fill_diagonal(mutual, 0)
    every = mutual.sum(axis=1)
    chosen = [int(np.argmax(mutual.max(axis=1)))]
    shared = mutual[chosen[0]].copy()
    while len(chosen) < largest:
        shared[chosen] = -1
        chosen.append(int(np.lexsort((every, shared))[-1]))
        shared += mutual[chosen[-1]]
    return np.array(chosen)


def folded_words(confusion: Counts, folded: Sequence[Sequence[int]], classes: int) -> str:
    """What the matrix of the worst classes leaves out, in a sentence; '' where it holds every class."""
    shown = len(folded) - 1
    if len(folded) == classes:
        return ""
    counts, small = np.asarray(confusion), np.asarray(folded)
    among = int(small[:-1, :-1].sum() - np.trace(small[:-1, :-1]))
    wrong = int(counts.sum() - np.trace(counts))
    return (
        f"The {shown} classes that are mixed up most, with {among:,} of all {wrong:,} mistakes among them. The other "
        f"{classes - shown:,} are together in the last row and column."
    )


def top_confusions(confusion: Counts, labels: Sequence[str], count: int = 10) -> list[tuple[str, str, int]]:
    """The commonest mistakes as (true, predicted, rows), most rows first, of equal ones in class order."""
    counts = np.array(confusion, dtype=np.int64)
    np.fill_diagonal(counts, 0)
    flat = counts.ravel()
    order = np.argsort(-flat, kind="stable")[:count]
    cells = [(int(cell) // len(labels), int(cell) % len(labels), int(flat[cell])) for cell in order if flat[cell]]
    return [(labels[true], labels[predicted], rows) for true, predicted, rows in cells]
