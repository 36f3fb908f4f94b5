"""How many rows, and which, go to validation and test: seeded, stratified, the same on every machine and version."""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def quotas(counts: Integers, share: float, most: Integers) -> Integers:
    """Rows that each class gives so that `share` of all rows is given, by largest remainder.

    counts: int64 [classes], rows a class has. most: int64 [classes], the most it may give. Returns int64 [classes].
    """
    wanted = counts * share
    given = np.minimum(np.floor(wanted).astype(np.int64), most)
    missing = round(float(counts.sum()) * share) - int(given.sum())
    # Largest remainder first; stable, so that ties go to the class that comes first.
    for place in np.argsort(-(wanted - given), kind="stable"):
        if missing <= 0:
            break
        if given[place] < most[place]:
            given[place] += 1
            missing -= 1
    return given


def allocate(classes: Integers, shares: dict[str, float], stratified: bool, seed: int) -> npt.NDArray[np.int8]:
    """Part of each row: 0 where it stays, i + 1 where it goes to the i-th of `shares`.

    classes: int64 [rows], 0-based class of each row. shares: part name -> share of all rows, each above 0.
    Stratified, a class with one row stays, and each class keeps at least one row. int8 [rows].
    """
    parts = np.zeros(len(classes), dtype=np.int8)
    if len(classes) == 0:
        return parts
    # The raw output of a bit generator is the one stream that numpy promises never to change.
    order = np.argsort(np.random.PCG64(seed).random_raw(len(classes)), kind="stable")
    if not stratified:
        start = 0
        for number, share in enumerate(shares.values(), start=1):
            taken = min(round(len(classes) * share), len(classes) - 1 - start)
            parts[order[start : start + taken]] = number
            start += taken
        return parts
    counts = np.bincount(classes).astype(np.int64)
    by_class = order[np.argsort(classes[order], kind="stable")]
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    used = np.zeros_like(counts)
    for number, share in enumerate(shares.values(), start=1):
        given = quotas(counts, share, np.maximum(counts - 1 - used, 0))
        for first, count in zip(starts + used, given, strict=True):
            parts[by_class[first : first + count]] = number
        used += given
    return parts


def pairs_of(starts: Integers, rows: Integers) -> Integers:
    """Where the classes of these rows stand, where row i has those from starts[i] to starts[i + 1]; row after row."""
    sizes = starts[rows + 1] - starts[rows]
    before = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum()), dtype=np.int64) + np.repeat(starts[rows] - before, sizes)


def allocate_multi(starts: Integers, classes: Integers, shares: dict[str, float], seed: int) -> npt.NDArray[np.int8]:
    """Part of each row, as allocate() says it, where a row may have several classes: stratified by its rarest.

    Row i has `classes[starts[i]:starts[i + 1]]`. Classes are dealt out from the rarest on, as in iterative
    stratification (Sechidis and others, 2011): a class's rows that rarer ones have not placed yet go where it lacks
    most. A class with more rows than there are shares gets one in every part, as far as rarer ones leave it free.
    """
    parts = np.full(len(starts) - 1, -1, dtype=np.int8)
    counts = np.bincount(classes)
    have = np.zeros((len(shares) + 1, len(counts)), dtype=np.int64)
    rows = np.repeat(np.arange(len(parts)), np.diff(starts))
    order = np.lexsort((np.random.PCG64(seed).random_raw(len(parts))[rows], classes))
    ends = np.cumsum(counts)
    for number in np.argsort(counts, kind="stable"):
        of_class = rows[order[ends[number] - counts[number] : ends[number]]]
        free = of_class[parts[of_class] < 0]
        # One stays for train where it has none yet.
        most = len(free) - int(have[0, number] == 0)
        for part, share in enumerate(shares.values(), start=1):
            wanted = max(round(float(counts[number]) * share), int(counts[number] > len(shares)))
            given = max(0, min(wanted - int(have[part, number]), most))
            parts[free[:given]] = part
            have[part] += np.bincount(classes[pairs_of(starts, free[:given])], minlength=len(counts))
            free, most = free[given:], most - given
        parts[free] = 0
        have[0] += np.bincount(classes[pairs_of(starts, free)], minlength=len(counts))
    without = np.flatnonzero(parts < 0)
    parts[without] = allocate(np.zeros(len(without), dtype=np.int64), shares, False, seed)
    return parts
