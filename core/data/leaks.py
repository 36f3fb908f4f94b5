"""The same text in two places: what was learned by heart in one looks like skill in the other, or says two things."""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from core.data.characters import Rows, RowTexts, texts_of
from core.data.cleaning import conflicting, copies
from core.data.findings import EXAMPLES_SHOWN, Example, Finding, Fix, counted, example
from core.data.labels import RowLabels, label_marks
from core.data.similar import joined, similar_pairs, sketches
from core.data.table import Table
from core.schema import MappingSpec

SAMPLED_ROWS = 50_000
"""Rows of a file that are compared for likeness; of a larger one, about so many drawn from all over it."""
GRAVE_LEAK = 0.01
"""From this share of a file's texts on, a leak makes its figures doubtful."""
GRAVE_CONFLICTS = 0.02
INFLATED = "A model that has learned a text by heart knows its answer, so the figures look better than they are."


@dataclass(frozen=True)
class TrainRows:
    """The training file as these checks see it: what cleaning leaves of it."""

    table: Table
    mapping: MappingSpec
    texts: RowTexts
    labels: RowLabels

    def label_of(self, row: int) -> str:
        classes = self.labels.of_rows(np.array([row]))[:3]
        return ", ".join(self.labels.names[number][:40] for number in classes)

    def examples(self, database: duckdb.DuckDBPyConnection, rows: Rows) -> tuple[Example, ...]:
        """The texts of these rows with their labels."""
        found = texts_of(database, self.table, self.mapping, rows)
        return tuple(example(found[int(row)], f"row {row + 1:,}, {self.label_of(int(row))}") for row in rows)


def shared_texts(
    database: duckdb.DuckDBPyConnection, train: TrainRows, other: Table, texts: RowTexts, part: str
) -> list[Finding]:
    """Texts of another file that stand in train too; texts: of that file; part: what it is for."""
    used = train.labels.used
    alike = np.intersect1d(train.texts.alike[used], texts.alike[texts.alike != 0])
    if not len(alike):
        return []
    same = len(np.intersect1d(train.texts.same[used], texts.same[texts.same != 0]))
    rest = f" ({len(alike) - same} of them but for case or spacing)" if len(alike) > same else ""
    rows = np.flatnonzero(used & np.isin(train.texts.alike, alike))
    theirs = np.isin(texts.alike, alike).sum()
    return [
        Finding(
            "warning",
            f"{counted(len(alike), 'text stands', 'texts stand')} both in train and in {other.path.name}{rest}: "
            f"the figures for {part} will look better than they are.",
            other.path.name,
            f"Leave {'it' if len(alike) == 1 else 'them'} out of train ({counted(len(rows), 'row', 'rows')}).",
            len(alike),
            "shared_text",
            INFLATED,
            train.examples(database, _one_each(train.texts.alike, rows)),
            Fix("Leave them out of train", {"data.cleaning.leaked_rows": "drop"}),
            asks=bool(theirs >= GRAVE_LEAK * (texts.alike != 0).sum()),
        )
    ]


def similar_texts(
    database: duckdb.DuckDBPyConnection, train: TrainRows, other: Table, texts: RowTexts, part: str
) -> list[Finding]:
    """Texts of another file that are nearly, but not wholly, the same as one of train."""
    sampled = [max(1, round(table.rows / SAMPLED_ROWS)) for table in (train.table, other)]
    against = joined(list(sketches(database, train.table, train.mapping, sampled[0])))
    theirs = joined(list(sketches(database, other, train.mapping, sampled[1])))
    pairs = similar_pairs(against, theirs)
    ours, its = against.rows[pairs[:, 0]], theirs.rows[pairs[:, 1]]
    known = np.isin(texts.alike[its], train.texts.alike[train.labels.used])
    fresh = train.labels.used[ours] & ~known
    ours, its = ours[fresh], its[fresh]
    if not len(its):
        return []
    of_sample = f" (seen in a sample: {_sample_words(train.table, sampled[0], other, sampled[1])})"
    shown = slice(0, EXAMPLES_SHOWN)
    our_texts = texts_of(database, train.table, train.mapping, ours[shown])
    its_texts = texts_of(database, other, train.mapping, its[shown])
    return [
        Finding(
            "warning" if len(its) >= GRAVE_LEAK * len(theirs.rows) else "note",
            f"{counted(len(its), 'further text', 'further texts')} of {other.path.name} "
            f"{'is' if len(its) == 1 else 'are'} nearly the same as one in train"
            f"{of_sample if max(sampled) > 1 else ''}.",
            other.path.name,
            "Look at them: where they say the same, leave them out of train.",
            len(its),
            "similar_text",
            f"At least 80 % of their pieces of five characters are the same. {INFLATED}",
            tuple(
                Example(
                    example(its_texts[int(row)]).text,
                    f"row {row + 1:,} of {part}; train, row {mine + 1:,}: {example(our_texts[int(mine)]).text}",
                )
                for mine, row in zip(ours[shown], its[shown], strict=True)
            ),
            Fix("Leave these out of train too", {"data.cleaning.leaked_rows": "drop_similar"}),
        )
    ]


def repeated_texts(database: duckdb.DuckDBPyConnection, train: TrainRows, is_divided: bool) -> list[Finding]:
    """Texts that stand more than once in train with the same label; is_divided: whether parts are taken of train."""
    again = copies(train.texts.alike, label_marks(train.labels), train.labels.used)
    rows = np.flatnonzero(again)
    if not len(rows):
        return []
    repeated = len(np.unique(train.texts.alike[rows]))
    what = f"{counted(repeated, 'text occurs', 'texts occur')} more than once in {train.table.path.name}"
    why = "copies may fall into different parts and make the figures look better than they are"
    return [
        Finding(
            "warning" if is_divided else "note",
            f"{what}; {why}." if is_divided else f"{what} with the same label: such texts count for more.",
            train.table.path.name,
            f"Keep the first of each ({counted(len(rows), 'row goes', 'rows go')}).",
            repeated,
            "repeated_text" if is_divided else "copies",
            INFLATED if is_divided else "What stands often weighs more in training.",
            train.examples(database, _one_each(train.texts.alike, rows)),
            Fix("Leave copies out", {"data.cleaning.copies": "drop"}),
            asks=is_divided and len(rows) > 0.1 * int(train.labels.used.sum()),
        )
    ]


def conflicting_labels(database: duckdb.DuckDBPyConnection, train: TrainRows) -> list[Finding]:
    """Texts that stand in train with different labels."""
    found = conflicting(train.texts.alike, label_marks(train.labels), train.labels.used)
    rows = np.flatnonzero(found)
    if not len(rows):
        return []
    in_order = rows[np.argsort(train.texts.alike[rows], kind="stable")]
    count = len(np.unique(train.texts.alike[rows]))
    share = len(rows) / max(int(train.labels.used.sum()), 1)
    return [
        Finding(
            "warning",
            f"{counted(count, 'text stands', 'texts stand')} in {train.table.path.name} with different labels "
            f"({counted(len(rows), 'row', 'rows')}).",
            train.table.path.name,
            "Correct the labels, or leave these rows out.",
            count,
            "conflicting_labels",
            "Whatever the model answers there, it is wrong for one of them; it learns to be unsure.",
            train.examples(database, _whole_groups(train.texts.alike, in_order)),
            Fix("Leave these rows out", {"data.cleaning.conflicting_labels": "drop"}),
            asks=share >= GRAVE_CONFLICTS,
        )
    ]


def _one_each(texts: npt.NDArray[np.uint64], rows: Rows) -> Rows:
    """The first row of each text, as many as are shown, in row order."""
    _, first = np.unique(texts[rows], return_index=True)
    return rows[np.sort(first)[:EXAMPLES_SHOWN]]


def _whole_groups(texts: npt.NDArray[np.uint64], rows: Rows) -> Rows:
    """Two rows, with different places in the file, of each of the first texts; rows: those of one text together."""
    starts = np.flatnonzero(np.concatenate(([True], texts[rows][1:] != texts[rows][:-1])))[:EXAMPLES_SHOWN]
    return np.concatenate([rows[start : start + 2] for start in starts])


def _sample_words(train: Table, ours: int, other: Table, theirs: int) -> str:
    def part(table: Table, every: int) -> str:
        about = f"about {round(table.rows / every, -2):,} of " if every > 1 else "all "
        return f"{about}{table.rows:,} rows of {table.path.name}"

    return f"{part(train, ours)}, {part(other, theirs)}"
