"""Whether numbers are written 0.5 or 0,5; only types are judged by it, cells stay as they are written."""

import re
from typing import Literal

Decimal = Literal[".", ","]

_COMMA = re.compile(r"[-+]?(?:\d{1,3}(?:[.' \u00a0]\d{3})+|\d+),\d+")
_POINT = re.compile(r"[-+]?(?:\d{1,3}(?:[,' \u00a0]\d{3})+|\d+)?\.\d+")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+")
_WHOLE = re.compile(r"[-+]?\d+")


def find_decimal(rows: list[list[str]]) -> Decimal:
    """A comma where columns of numbers have one before their decimals and none has a point; else a point."""
    width = max(map(len, rows), default=0)
    commas = points = 0
    for column in range(width):
        cells = [row[column].strip() for row in rows if column < len(row) and row[column].strip()]
        numbers = [cell for cell in cells if not _WHOLE.fullmatch(cell)]
        if not numbers:
            continue
        commas += all(_COMMA.fullmatch(cell) for cell in numbers) and not all(map(_THOUSANDS.fullmatch, numbers))
        points += all(_POINT.fullmatch(cell) for cell in numbers)
    return "," if commas and not points else "."


def number_sql(cell: str, decimal: str) -> str:
    """SQL for whether `cell` is a number written with this decimal."""
    if decimal == ",":
        plain = f"replace(replace({cell}, '.', ''), ',', '.')"
        return f"(TRY_CAST({plain} AS DOUBLE) IS NOT NULL AND regexp_full_match({cell}, '[-+0-9.,eE]+'))"
    return f"TRY_CAST({cell} AS DOUBLE) IS NOT NULL"
