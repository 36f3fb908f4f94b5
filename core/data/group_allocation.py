"""Whole groups of rows to parts: no group (an author, a thread, a patient) stands in two of them."""

import numpy as np
import numpy.typing as npt

from core.data.allocation import Integers


def allocate_groups(
    groups: Integers, starts: Integers, classes: Integers, shares: dict[str, float], stratified: bool, seed: int
) -> npt.NDArray[np.int8]:
    """Part of each row: 0 where it stays in train, i + 1 where it goes to the i-th of `shares`.

    groups: int64 [rows], rows of one group are alike in it. Row i has `classes[starts[i]:starts[i + 1]]`. Groups are
    dealt out, the largest first, to the part that lacks most of what they hold (its classes where stratified, else
    rows); a group that is larger than what a part lacks goes to train. Each part gets a group where there are enough.
    """
    _, number_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    content = _contents(number_of, starts, classes, len(sizes), stratified)
    totals = np.bincount(content[1], weights=content[2]).astype(np.float64)
    wanted = np.array([1 - sum(shares.values()), *shares.values()])
    lacking = np.outer(wanted, totals)
    rows_lacking = wanted * len(groups)
    chance = np.argsort(np.random.PCG64(seed).random_raw(len(sizes)), kind="stable")
    order = chance[np.argsort(-sizes[chance], kind="stable")]
    bounds = np.searchsorted(content[0], np.arange(len(sizes) + 1))
    part_of = np.zeros(len(sizes), dtype=np.int8)
    for group in order:
        held = slice(bounds[group], bounds[group + 1])
        what, count = content[1][held], content[2][held]
        # How much of what it wants each part still lacks, of the group's classes; of two alike the first.
        need = (np.maximum(lacking[:, what], 0) / np.maximum(totals[what], 1) * count).sum(axis=1) / wanted
        need += 1e-6 * rows_lacking / (wanted * len(groups))
        fits = rows_lacking >= sizes[group] - 0.5
        fits[0] = True
        part = int(np.argmax(np.where(fits, need, -1.0)))
        part_of[group] = part
        lacking[part, what] -= count
        rows_lacking[part] -= sizes[group]
    _fill_empty(part_of, sizes, len(shares))
    return part_of[number_of]


def _contents(
    number_of: Integers, starts: Integers, classes: Integers, groups: int, stratified: bool
) -> tuple[Integers, Integers, Integers]:
    """What each group holds: group, class, and rows, ordered by group; one class for all where not stratified."""
    if not stratified or not len(classes):
        counts = np.bincount(number_of, minlength=groups)
        return np.arange(groups), np.zeros(groups, dtype=np.int64), counts
    width = int(classes.max()) + 1
    pairs, counts = np.unique(np.repeat(number_of, np.diff(starts)) * width + classes, return_counts=True)
    return pairs // width, pairs % width, counts


def _fill_empty(part_of: npt.NDArray[np.int8], sizes: Integers, shares: int) -> None:
    """The smallest group of the part that has most, for each part that got none."""
    for part in range(shares + 1):
        if (part_of == part).any():
            continue
        counts = np.bincount(part_of, minlength=shares + 1)
        if counts.max() < 2:
            return
        held = np.flatnonzero(part_of == counts.argmax())
        part_of[held[np.argmin(sizes[held])]] = part
