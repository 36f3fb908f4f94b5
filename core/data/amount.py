# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""About how much a run has to read: rows, classes, and tokens, from the tables and before anything is tokenised.

Limits: texts with labels alone. Four characters a token is usual for English; other languages and numbers take more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.data.class_steps import class_steps, taught
from core.data.database import connection, parquet_rows
from core.data.division import part_sizes
from core.data.examples import PARTS
from core.data.labels import read_labels
from core.data.mapping import mapped_text_sql
from core.data.table import Table
from core.schema import MappingSpec, SplitSpec

CHARACTERS_A_TOKEN = 4
SPECIAL_TOKENS = 2
"""Before and after each text."""


@dataclass(frozen=True)
class Amount:
    """By part: train, validation, test."""

    rows: dict[str, int]
    tokens: dict[str, int]
    classes: int


def amount_of(tables: Mapping[str, Table], mapping: MappingSpec, split: SplitSpec, max_length: int) -> Amount:
    """tables: train, and those of validation and test that have a file of their own. Texts are cut at `max_length`."""
    used, classes = _usable(tables["train"], mapping.model_dump_json())
    own = {part: table.rows for part, table in tables.items() if part != "train"}
    found = part_sizes(tables["train"], split, used, own) | own
    rows = {part: found.get(part, 0) for part in PARTS}
    means = {part: _mean_tokens(table.parquet, mapping.model_dump_json(), max_length) for part, table in tables.items()}
    tokens = {part: round(count * means.get(part, means["train"])) for part, count in rows.items()}
    return Amount(rows, tokens, classes)


@lru_cache(maxsize=16)
def _usable(table: Table, mapping: str) -> tuple[int, int]:
    """Rows with text and label, and their classes. A table never changes: another state of the file is another."""
    spec = MappingSpec.model_validate_json(mapping)
    labels = read_labels(table, spec)
    kept = taught(labels, class_steps(labels.counts(), spec))
    return int(kept.used.sum()), len(kept.names)


@lru_cache(maxsize=64)
def _mean_tokens(parquet: Path, mapping: str, max_length: int) -> float:
    """Over the rows with a text; 0 where there is none."""
    tokens = f"least(ceil(n / {CHARACTERS_A_TOKEN}) + {SPECIAL_TOKENS}, {int(max_length)})"
    text = mapped_text_sql(MappingSpec.model_validate_json(mapping))
    with connection(parquet.parent) as database:
        found = database.execute(
            f"SELECT avg({tokens}) FROM (SELECT length({text}) AS n FROM {parquet_rows(parquet)}) WHERE n > 0"
        ).fetchone()
    return float(found[0] or 0) if found else 0.0
