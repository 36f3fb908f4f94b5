"""Rows of a run's report/predictions.parquet, the surest first, a page at a time, whatever the file's size."""

from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from core.data.database import connection, identifier, literal
from core.workspace import RunFolder

COLUMNS = ("row_id", "text", "true", "predicted", "confidence", "probabilities")
MORE_COLUMNS = ("missed", "added", "true_probabilities")
"""Of several classes a row the first two, of soft labels the last."""


def mistakes(
    folder: RunFolder,
    true: str | None = None,
    predicted: str | None = None,
    search: str | None = None,
    offset: int = 0,
    limit: int = 50,
    *,
    least_confidence: float = 0.0,
    wrong_only: bool = True,
    part: str = "test",
) -> list[dict[str, Any]]:
    """One page of wrong predictions, the most confident first: COLUMNS, and those of MORE_COLUMNS there are, as keys.

    true, predicted: class names to keep; where a row may have several, a class that it has and was not given, and one
    that it was given and does not have. search: what the text must contain, whatever the case. least_confidence:
    0 to 1. probabilities is aligned with the report's `labels`. With `wrong_only` off the right ones come too. duckdb
    reads the columns that sort and filter, and the texts of this page only.
    """
    names = _names(folder)
    where, values = _conditions(names, true, predicted, search, least_confidence, wrong_only, part)
    query = (
        f"SELECT {', '.join(map(identifier, names))} FROM {_table(folder)} WHERE {where} "  # noqa: S608
        "ORDER BY confidence DESC, row_id LIMIT ? OFFSET ?"
    )
    with connection(folder.report) as database:
        rows = database.execute(query, [*values, limit, offset]).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def count_mistakes(
    folder: RunFolder,
    true: str | None = None,
    predicted: str | None = None,
    search: str | None = None,
    *,
    least_confidence: float = 0.0,
    wrong_only: bool = True,
    part: str = "test",
) -> int:
    """How many rows `mistakes` would page through with these filters."""
    where, values = _conditions(_names(folder), true, predicted, search, least_confidence, wrong_only, part)
    with connection(folder.report) as database:
        query = f"SELECT count(*) FROM {_table(folder)} WHERE {where}"  # noqa: S608
        ((count,),) = database.execute(query, values).fetchall()
    return int(count)


def _names(folder: RunFolder) -> list[str]:
    present = pq.read_schema(folder.report / "predictions.parquet").names
    return [*COLUMNS, *(name for name in MORE_COLUMNS if name in present)]


def _table(folder: RunFolder) -> str:
    return f"read_parquet({literal(str(folder.report / 'predictions.parquet'))})"


def _conditions(
    names: Sequence[str],
    true: str | None,
    predicted: str | None,
    search: str | None,
    least_confidence: float,
    wrong_only: bool,
    part: str,
) -> tuple[str, list[Any]]:
    """A WHERE clause and the values of its marks: what people type never becomes SQL."""
    conditions: list[str] = ["part = ?"]
    values: list[Any] = [part]
    if wrong_only:
        # Joined classes could be the same text of other classes, where a name holds the separator.
        wrong = "len(missed) + len(added) > 0" if "missed" in names else '"true" <> predicted'
        conditions.append(wrong)
    several = "missed" in names
    for column, differing, wanted in (("true", "missed", true), ("predicted", "added", predicted)):
        if wanted is not None:
            conditions.append(f"list_contains({differing}, ?)" if several else f"{identifier(column)} = ?")
            values.append(wanted)
    if least_confidence > 0:
        conditions.append("confidence >= ?")
        values.append(least_confidence)
    if search:
        # contains, not LIKE: what a person types is text, with no characters that mean something else.
        conditions.append("contains(lower(text), lower(?))")
        values.append(search)
    return " AND ".join(conditions), values
