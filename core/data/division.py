# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Which part each row of the training file goes to: by chance, in groups, by time, or as one of its columns says.

Seeded, and the same on every machine. Limits: a group larger than a part's share goes to train; rows without a time
are the oldest; labels of several classes are stratified in groups by what the groups hold, as far as that goes.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.data.allocation import Integers, allocate, allocate_multi
from core.data.database import connection, literal, parquet_rows
from core.data.examples import PARTS
from core.data.expressions import cell_sql
from core.data.group_allocation import allocate_groups
from core.data.labels import NO_PART, RowLabels
from core.data.table import Table
from core.schema import SplitSpec

NOT_USED = -1
PART_WORDS = {
    **dict.fromkeys(("train", "training", "tr", "learn", "fit"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development", "eval"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "held-out"), "test"),
}
"""What cells say, in any case -> the part that they name."""
DATE_FORMATS = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y.%m.%d",
                "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%a %b %d %H:%M:%S %z %Y")  # fmt: skip
EITHER_WAY = ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
"""Which of day and month comes first is told by the days above 12; where there is none, it is not told."""


def shares_of(split: SplitSpec, usable: int, given: Collection[str]) -> dict[str, float]:
    """The parts that the training file gives rows to, and the share of its usable rows that each gets.

    given: parts that have a file of their own, or whose rows a column names.
    """
    asked = {"test": (split.test_rows, split.test), "validation": (split.validation_rows, split.validation)}
    if split.folds:
        asked["test"] = (None, 1 / split.folds)
    return {
        part: rows / max(usable, 1) if rows is not None else share
        for part, (rows, share) in asked.items()
        if part not in given
    }


def part_sizes(table: Table, split: SplitSpec, usable: int, given: Collection[str]) -> dict[str, int]:
    """About how many of the training file's usable rows each part gets; without the parts that have files."""
    sizes: dict[str, int] = {}
    if split.by == "column":
        counts = np.bincount(named_parts(table, split.column) + 1, minlength=4)[1:].tolist()
        sizes = {part: rows for part, rows in zip(PARTS[1:], counts[1:], strict=True) if rows}
        usable, given = sum(counts), {*given, *sizes}
    rest = usable - sum(sizes.values())
    sizes |= {part: round(rest * share) for part, share in shares_of(split, rest, given).items()}
    return {"train": usable - sum(sizes.values()), **sizes}


@dataclass(frozen=True)
class Division:
    parts: npt.NDArray[np.int8]
    """[rows], index into PARTS; NOT_USED where a row is in none."""
    labels: RowLabels
    """Those of the file; rows that a column puts in no part are left out."""


def divide(table: Table, labels: RowLabels, split: SplitSpec, given: Collection[str], fold: int) -> Division:
    """Parts of the training file's rows; `given` parts have files of their own. fold: 1 to split.folds, tested."""
    parts = np.full(len(labels.left_out), NOT_USED, dtype=np.int8)
    if split.by == "column":
        named = named_parts(table, split.column)
        outside = labels.used & (named == NOT_USED)
        labels = _left_out(labels, outside)
        given = {*given, *(part for number, part in enumerate(PARTS) if (named[labels.used] == number).any())} - {
            "train"
        }
        parts[labels.used] = named[labels.used]
        rows = np.flatnonzero(labels.used & (parts == PARTS.index("train")))
    else:
        rows = np.flatnonzero(labels.used)
        parts[rows] = PARTS.index("train")
    shares = shares_of(split, len(rows), given)
    if split.by == "time":
        order = rows[np.argsort(times(table, split.column)[rows], kind="stable")]
        end = len(order)
        for part, share in shares.items():
            start = end - min(round(len(rows) * share), end - 1)
            parts[order[start:end]] = PARTS.index(part)
            end = start
        return Division(parts, labels)
    groups = group_numbers(table, split.column) if split.by == "group" else None
    if split.folds:
        tested = _folds(labels, rows, groups, split) == fold
        parts[rows[tested]] = PARTS.index("test")
        kept = rows[~tested]
        shares = {part: share * len(rows) / max(len(kept), 1) for part, share in shares.items() if part != "test"}
        rows = kept
    drawn = _drawn(labels, rows, groups, shares, split)
    parts[rows] = np.array([PARTS.index(part) for part in ("train", *shares)], dtype=np.int8)[drawn]
    return Division(parts, labels)


def _left_out(labels: RowLabels, outside: npt.NDArray[np.bool_]) -> RowLabels:
    """Without the classes of the rows `outside`, which are in no part."""
    if not outside.any():
        return labels
    sizes = np.where(outside, 0, labels.sizes)
    kept = ~np.repeat(outside, labels.sizes)
    shares = labels.probabilities
    return RowLabels(
        labels.names,
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        labels.classes[kept],
        np.where(outside, NO_PART, labels.left_out).astype(np.int8),
        None if shares is None else np.where(outside[:, None], np.float32(0), shares),
        labels.bad_sums,
    )


def _drawn(
    labels: RowLabels, rows: Integers, groups: Integers | None, shares: dict[str, float], split: SplitSpec
) -> npt.NDArray[np.int8]:
    """Number of each row's part: 0 for train, i + 1 for the i-th of shares."""
    classes, sizes = labels.of_rows(rows), labels.sizes[rows]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    if groups is not None:
        return allocate_groups(groups[rows], starts, classes, shares, split.stratified, split.seed)
    if (sizes == 1).all():
        return allocate(classes, shares, split.stratified, split.seed)
    if split.stratified:
        return allocate_multi(starts, classes, shares, split.seed)
    return allocate(np.zeros(len(rows), dtype=np.int64), shares, False, split.seed)


def _folds(labels: RowLabels, rows: Integers, groups: Integers | None, split: SplitSpec) -> Integers:
    """The fold, from 1 on, in which each row is tested; 0 for a class's only row, which is always learned from."""
    classes, sizes = labels.of_rows(rows), labels.sizes[rows]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    count = split.folds
    if groups is not None:
        equal = {str(fold): 1 / count for fold in range(2, count + 1)}
        return 1 + allocate_groups(groups[rows], starts, classes, equal, split.stratified, split.seed).astype(np.int64)
    drawn = np.argsort(np.random.PCG64(split.seed).random_raw(len(rows)), kind="stable")
    folds = np.zeros(len(rows), dtype=np.int64)
    if split.stratified and len(classes):
        rows_of = np.bincount(classes)
        # A row with several classes is dealt out with those of its rarest; one with none comes last.
        pairs = np.repeat(np.arange(len(rows)), sizes)
        rarest = np.full(len(rows), len(rows_of), dtype=np.int64)
        commonest_first = np.argsort(-rows_of[classes], kind="stable")
        rarest[pairs[commonest_first]] = classes[commonest_first]
        drawn = drawn[np.argsort(rarest[drawn], kind="stable")]
        alone = np.concatenate((rows_of, [2]))[rarest] == 1
        drawn = drawn[~alone[drawn]]
    folds[drawn] = 1 + np.arange(len(drawn)) % count
    return folds


def group_numbers(table: Table, column: str) -> Integers:
    """A number for each row, the same where the cells are; a row with an empty cell is a group of its own."""
    cell = cell_sql(column)
    with connection(table.parquet.parent) as database:
        found = database.sql(
            f"SELECT dense_rank() OVER (ORDER BY {cell}) AS number, {cell} = '' AS empty "
            f"FROM {parquet_rows(table.parquet)} ORDER BY file_row_number"
        ).fetchnumpy()
    numbers, empty = np.asarray(found["number"], dtype=np.int64), np.flatnonzero(np.asarray(found["empty"]))
    numbers[empty] = -1 - np.arange(len(empty))
    return numbers


def named_parts(table: Table, column: str) -> npt.NDArray[np.int8]:
    """The part that each row's cell names, index into PARTS; NOT_USED where it names none."""
    words = " ".join(f"WHEN {literal(word)} THEN {PARTS.index(part)}" for word, part in PART_WORDS.items())
    with connection(table.parquet.parent) as database:
        found = database.sql(
            f"SELECT (CASE lower({cell_sql(column)}) {words} ELSE {NOT_USED} END)::TINYINT AS part "
            f"FROM {parquet_rows(table.parquet)} ORDER BY file_row_number"
        ).fetchnumpy()["part"]
    return np.asarray(found, dtype=np.int8)


def time_sql(table: Table, column: str) -> tuple[str, float, bool]:
    """How to read a column's cells as times that can be compared: SQL of a DOUBLE (null where that fails), the share
    of its filled cells that are read so, and whether day and month could just as well be the other way round."""
    cell = f"nullif({cell_sql(column)}, '')"
    ways = [f"TRY_CAST({cell} AS DOUBLE)", f"epoch(TRY_CAST({cell} AS TIMESTAMPTZ))"]
    ways += [f"epoch(try_strptime({cell}, {literal(form)}))" for form in (*DATE_FORMATS, *EITHER_WAY)]
    counts = ", ".join(f"count({way})" for way in ways)
    with connection(table.parquet.parent) as database:
        row = database.execute(f"SELECT count({cell}), {counts} FROM {parquet_rows(table.parquet)}").fetchone()
    filled, *read = row or (0,) * (len(ways) + 1)
    best = max(range(len(ways)), key=lambda place: (read[place], -place))
    twice = [place for place in range(len(ways) - len(EITHER_WAY), len(ways)) if read[place] == read[best] > 0]
    return ways[best], read[best] / max(filled, 1), best in twice and len(twice) > 1


def times(table: Table, column: str) -> npt.NDArray[np.float64]:
    """The time of each row, later is larger; minus infinity where there is none."""
    way, _, _ = time_sql(table, column)
    with connection(table.parquet.parent) as database:
        found = database.sql(
            f"SELECT coalesce({way}, '-infinity'::DOUBLE) AS time FROM {parquet_rows(table.parquet)} "
            "ORDER BY file_row_number"
        ).fetchnumpy()["time"]
    return np.nan_to_num(np.asarray(found, dtype=np.float64), nan=-np.inf, neginf=-np.inf, posinf=np.inf)
