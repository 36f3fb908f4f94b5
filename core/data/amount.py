# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""About how much a run has to read: rows, classes, and tokens, from the tables and before anything is tokenised.

Limits: four characters a token is usual for English; other languages and numbers take more. core.training.reading
knows better where the model's tokenizer is on this computer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.data.class_steps import class_steps, taught
from core.data.conversations import NOT_USED, conversations_of, divided
from core.data.database import connection, parquet_rows
from core.data.division import part_sizes
from core.data.examples import PARTS
from core.data.expressions import cell_sql
from core.data.labels import read_labels
from core.data.mapping import mapped_text_sql
from core.data.table import Table
from core.schema import ChatColumns, MappingSpec, SplitSpec

CHARACTERS_A_TOKEN = 4
SPECIAL_TOKENS = 2
"""Before and after each text."""
USUAL = 0.99
"""Share of the rows that are no longer than the usual ones."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Amount:
    """By part: train, validation, test."""

    rows: dict[str, int]
    tokens: dict[str, int]
    """As far as they are read: each row is cut."""
    classes: int
    longest: int = 0
    """Tokens of the longest row, not cut; 0 where it is not known."""
    usual: int = 0
    """99 of 100 rows have no more tokens, not cut; 0 where it is not known."""
    answer_tokens: int = 0
    """With loss, in the row that has most; 0 where a head gives the class."""
    counted: bool = False
    """By the model's own tokenizer, from some rows, rather than by the characters."""


@dataclass(frozen=True)
class Reading:
    """How a row's characters become tokens."""

    characters_a_token: float = CHARACTERS_A_TOKEN
    fixed_tokens: int = SPECIAL_TOKENS
    """Beside the row's own text, in every row."""
    columns: tuple[str, ...] = ()
    """Read beside the text."""


@dataclass(frozen=True)
class Lengths:
    """How many rows have how many characters; only rows with some."""

    characters: Numbers
    """Ascending."""
    rows: Numbers

    def tokens(self, reading: Reading) -> Numbers:
        """For each entry of `characters`."""
        own = np.ceil(self.characters / reading.characters_a_token).astype(np.int64)
        found: Numbers = own + reading.fixed_tokens
        return found

    def mean_tokens(self, reading: Reading, max_length: int) -> float:
        """Of rows cut at `max_length`; 0 where there is none."""
        if not len(self.rows):
            return 0.0
        return float(np.average(np.minimum(self.tokens(reading), max_length), weights=self.rows))

    def usual_tokens(self, reading: Reading) -> int:
        if not len(self.rows):
            return 0
        place = int(np.searchsorted(np.cumsum(self.rows), USUAL * self.rows.sum()))
        return int(self.tokens(reading)[place])

    def longest_tokens(self, reading: Reading) -> int:
        return int(self.tokens(reading)[-1]) if len(self.rows) else 0


def amount_of(
    tables: Mapping[str, Table],
    mapping: MappingSpec,
    split: SplitSpec,
    max_length: int,
    reading: Reading = Reading(),
) -> Amount:
    """tables: train, and those of validation and test that have a file of their own. Rows are cut at `max_length`."""
    if mapping.kind == "none":
        return _of_conversations(tables, mapping.chat, split, max_length, reading)
    used, classes = usable(tables["train"], mapping)
    own = {part: table.rows for part, table in tables.items() if part != "train"}
    found = part_sizes(tables["train"], split, used, own) | own
    rows = {part: found.get(part, 0) for part in PARTS}
    lengths = {part: row_lengths(table, mapping, reading.columns) for part, table in tables.items()}
    return _amount(rows, lengths, len(classes), max_length, reading)


def usable(table: Table, mapping: MappingSpec) -> tuple[int, tuple[str, ...]]:
    """Rows with text and label, and their classes."""
    return _usable(table, mapping.model_dump_json())


def row_lengths(table: Table, mapping: MappingSpec, columns: tuple[str, ...] = ()) -> Lengths:
    """Of the mapped text and these columns together, over the rows with a text."""
    return _row_lengths(table.parquet, mapping.model_dump_json(), columns)


def _amount(
    rows: dict[str, int], lengths: Mapping[str, Lengths], classes: int, max_length: int, reading: Reading
) -> Amount:
    means = {part: found.mean_tokens(reading, max_length) for part, found in lengths.items()}
    return Amount(
        rows,
        {part: round(count * means.get(part, means["train"])) for part, count in rows.items()},
        classes,
        max(found.longest_tokens(reading) for found in lengths.values()),
        lengths["train"].usual_tokens(reading),
    )


def _of_conversations(
    tables: Mapping[str, Table], form: ChatColumns, split: SplitSpec, max_length: int, reading: Reading
) -> Amount:
    talks = {part: conversations_of(table, form) for part, table in tables.items()}
    parts = np.concatenate([found[found != NOT_USED] for found in divided(talks, split).values()])
    rows = {part: int((parts == place).sum()) for place, part in enumerate(PARTS)}
    lengths = {part: _counted(found.lengths[found.usable]) for part, found in talks.items()}
    return _amount(rows, lengths, 0, max_length, reading)


def _counted(characters: Numbers) -> Lengths:
    return Lengths(*np.unique(characters, return_counts=True))


@lru_cache(maxsize=16)
def _usable(table: Table, mapping: str) -> tuple[int, tuple[str, ...]]:
    """A table never changes: another state of the file is another."""
    spec = MappingSpec.model_validate_json(mapping)
    labels = read_labels(table, spec)
    kept = taught(labels, class_steps(labels.counts(), spec))
    return int(kept.used.sum()), tuple(kept.names)


@lru_cache(maxsize=64)
def _row_lengths(parquet: Path, mapping: str, columns: tuple[str, ...]) -> Lengths:
    text = mapped_text_sql(MappingSpec.model_validate_json(mapping))
    beside = "".join(f" + coalesce(length({cell_sql(name)}), 0)" for name in columns)
    with connection(parquet.parent) as database:
        found = database.execute(
            f"SELECT n + more AS n, count(*) FROM (SELECT length({text}) AS n, 0{beside} AS more "
            f"FROM {parquet_rows(parquet)}) WHERE n > 0 GROUP BY 1 ORDER BY 1"
        ).fetchnumpy()
    characters, rows = (np.asarray(column).astype(np.int64) for column in found.values())
    return Lengths(characters, rows)
