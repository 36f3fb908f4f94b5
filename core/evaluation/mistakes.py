"""Rows of a run's report/predictions.parquet, the surest first, a page at a time, whatever the file's size."""

from typing import Any

from core.data.database import connection, identifier, literal
from core.workspace import RunFolder

COLUMNS = ("row_id", "text", "true", "predicted", "confidence", "probabilities")


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
    """One page of wrong predictions, the most confident first: COLUMNS as keys.

    true, predicted: class names to keep. search: what the text must contain, whatever the case. least_confidence:
    0 to 1. probabilities is aligned with the report's `labels`. With `wrong_only` off the right ones come too. duckdb
    reads the columns that sort and filter, and the texts of this page only.
    """
    where, values = _conditions(true, predicted, search, least_confidence, wrong_only, part)
    query = (
        f"SELECT {', '.join(map(identifier, COLUMNS))} FROM {_table(folder)} WHERE {where} "  # noqa: S608
        "ORDER BY confidence DESC, row_id LIMIT ? OFFSET ?"
    )
    with connection(folder.report) as database:
        rows = database.execute(query, [*values, limit, offset]).fetchall()
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


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
    where, values = _conditions(true, predicted, search, least_confidence, wrong_only, part)
    with connection(folder.report) as database:
        query = f"SELECT count(*) FROM {_table(folder)} WHERE {where}"  # noqa: S608
        ((count,),) = database.execute(query, values).fetchall()
    return int(count)


def _table(folder: RunFolder) -> str:
    return f"read_parquet({literal(str(folder.report / 'predictions.parquet'))})"


def _conditions(
    true: str | None, predicted: str | None, search: str | None, least_confidence: float, wrong_only: bool, part: str
) -> tuple[str, list[Any]]:
    """A WHERE clause and the values of its marks: what people type never becomes SQL."""
    conditions: list[str] = ["part = ?"]
    values: list[Any] = [part]
    if wrong_only:
        conditions.append('"true" <> predicted')
    for column, wanted in (("true", true), ("predicted", predicted)):
        if wanted is not None:
            conditions.append(f"{identifier(column)} = ?")
            values.append(wanted)
    if least_confidence > 0:
        conditions.append("confidence >= ?")
        values.append(least_confidence)
    if search:
        # contains, not LIKE: what a person types is text, with no characters that mean something else.
        conditions.append("contains(lower(text), lower(?))")
        values.append(search)
    return " AND ".join(conditions), values
