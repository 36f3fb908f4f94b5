# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Guesses of labels that are more than one class a row: cells that hold several, columns of 0 and 1, probabilities.

An ordinary column of single classes must never be taken for one of several: in doubt, nothing is found.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from core.data.database import connection, parquet_rows
from core.data.expressions import (
    AT_A_TIME,
    NO,
    NUMBERS,
    QUOTED,
    SET,
    SINGLE_QUOTED,
    TUPLE,
    UNDIVIDED,
    YES,
    cell_sql,
    probability_sql,
)
from core.data.table import Table

JUDGED_ROWS = 20_000
"""Guesses rest on so many rows from the start of the table."""
SEPARATORS = (";", "|", ",", " ")
MOST_CLASSES = 1000
LONGEST_CLASS = 60
"""Characters; longer pieces are more likely text."""
MOST_SHARES = 200
"""Columns among which probabilities are looked for."""
PART_NAMES = ("", "train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval", "evaluation")
"""What a cell of a column holds that divides the rows, in any case."""

_TELLING = ("labels", "classes", "categories", "tags", "topics", "subjects", "genres", "emotions", "keywords", "themes")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]*[._:/-][\w.:/-]*\w")
"""A class that is a code, such as cs.CL, which stands between blanks where a word would be part of a phrase."""


_QUOTED = re.compile(QUOTED, re.DOTALL)
_PIECE = re.compile(rf"(?:{QUOTED}|\\.|[^,])+", re.DOTALL)
"""What stands between the commas of a list."""


@dataclass(frozen=True)
class Several:
    """A column whose cells hold several classes."""

    column: str
    separator: str
    """'' where the cells are lists."""
    classes: int
    per_row: float
    several: float
    """Share of the filled cells that hold more than one."""


def cell_classes(cell: str, separator: str) -> list[str]:
    """What core.data.expressions.classes_sql makes of a cell."""
    text = cell.strip()
    written = _listed(text)
    pieces = text.split(separator.strip() or separator) if written is None else _pieces(written)
    return [piece.strip() for piece in pieces if piece.strip()]


def _listed(text: str) -> str | None:
    """What core.data.expressions.listed_sql makes of it, where that is a list to its end."""
    if re.fullmatch(NUMBERS, text):
        return re.sub(r"\b\s+\b", ", ", text)
    if text.startswith("["):
        return text if text.endswith("]") else None
    if re.fullmatch(SET, text) or re.fullmatch(TUPLE, text):
        inside = re.sub(r",\s*$", "", text[1:-1])
        is_plain = text.startswith("{") and not re.search(SINGLE_QUOTED, text)
        return "[" + (inside.replace("'", r"\'") if is_plain else inside) + "]"
    return None


def _pieces(written: str) -> list[str]:
    if '"' in written:
        try:
            read = json.loads(written)
            return [piece if isinstance(piece, str) else json.dumps(piece) for piece in read if piece is not None]
        except ValueError:
            pass
    divided = re.sub(UNDIVIDED, r"\1, \2", written)[1:-1]
    pieces = [piece.strip() for piece in _PIECE.findall(divided)]
    bare = [piece[1:-1] if _QUOTED.fullmatch(piece) else piece for piece in pieces if piece.upper() != "NULL"]
    return [re.sub(r"\\(.)", r"\1", piece) for piece in bare]


def several_classes(database: duckdb.DuckDBPyConnection, table: Table, column: str) -> Several | None:
    """How a column holds several classes a row, if it does."""
    cell = cell_sql(column)
    cells: list[tuple[str, int]] = database.execute(
        f"SELECT cell, count(*) FROM (SELECT {cell} AS cell FROM {parquet_rows(table.parquet)} LIMIT {JUDGED_ROWS}) "
        "WHERE cell <> '' GROUP BY cell ORDER BY cell"
    ).fetchall()
    filled = sum(rows for _, rows in cells)
    in_lists = sum(rows for cell, rows in cells if _listed(cell) is not None and "{" not in cell[1:])
    if filled and in_lists > 0.95 * filled:
        return _judged(column, cells, "")
    for separator in SEPARATORS:
        if sum(rows for cell, rows in cells if separator in cell) >= 0.1 * filled:
            found = _judged(column, cells, separator)
            if found:
                return found
    return None


def guess_separator(table: Table, column: str) -> str | None:
    """What stands between the classes of this column's cells; None where they do not look like several."""
    with connection(table.parquet.parent) as database:
        found = several_classes(database, table, column)
    return (found.separator or None) if found else None


def _judged(column: str, cells: Sequence[tuple[str, int]], separator: str) -> Several | None:
    """The column's cells divided at this separator ('' for lists), if what comes out looks like classes."""
    is_list, filled = not separator, sum(rows for _, rows in cells)
    rows_of: Counter[str] = Counter()
    at: dict[str, set[int]] = {}
    several = 0
    for cell, rows in cells:
        pieces = cell_classes(cell, separator or ",")
        several += rows * (len(pieces) > 1)
        for place, piece in enumerate(pieces):
            rows_of[piece] += rows
            at.setdefault(piece, set()).add(place)
        if len(rows_of) > MOST_CLASSES:
            return None
    found = rows_of.total()
    if len(rows_of) < 2 or found < 3 * len(rows_of) or several < (0.02 if is_list else 0.1) * filled:
        return None
    if found * LONGEST_CLASS < sum(len(piece) * rows for piece, rows in rows_of.items()):
        return None
    # Of paths (Home | Kitchen), places and dates, each piece has its place; classes stand in any.
    wandering = sum(rows for piece, rows in rows_of.items() if len(at[piece]) > 1)
    if not is_list and (wandering < 0.5 * found or not _enough_combinations(column, cells, rows_of, separator)):
        return None
    worded = sum(rows for piece, rows in rows_of.items() if any(letter.isalpha() for letter in piece))
    if separator not in (";", "|") and worded < 0.9 * found and not _is_telling(column):
        return None
    return Several(column, separator, len(rows_of), found / filled, several / filled)


def _enough_combinations(column: str, cells: Sequence[tuple[str, int]], rows_of: Counter[str], separator: str) -> bool:
    """Whether cells differ as combinations of classes do; names with a separator inside give more pieces than cells."""
    if separator in (";", "|"):
        return len(cells) >= len(rows_of)
    if separator == ",":
        return len(cells) > len(rows_of)
    coded = sum(rows for piece, rows in rows_of.items() if _CODE.fullmatch(piece))
    if coded >= 0.9 * rows_of.total():
        return len(cells) > len(rows_of)
    return _is_telling(column) and len(cells) >= 2 * len(rows_of)


def _is_telling(column: str) -> bool:
    pieces = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).casefold())
    return pieces[0] in _TELLING or pieces[-1] in _TELLING


def flag_columns(database: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns that say yes in some rows and no, or nothing, in the others; none where it is but one."""
    if len(columns) < 2:
        return ()
    asked = f"bool_and({{cell}} IN {YES + NO}) AND bool_or({{cell}} IN {YES}) AND bool_or({{cell}} IN {NO})"
    found = _that_hold(database, table, columns, asked)
    return found if len(found) > 1 else ()


def part_columns(database: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns that say in each row which part of the data it belongs to."""
    return _that_hold(database, table, columns, f"bool_and({{cell}} IN {PART_NAMES})")


def _that_hold(
    database: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str], condition: str
) -> tuple[str, ...]:
    """Those of the columns whose cells in lower case fit a condition in SQL, in which {cell} stands for them."""
    found: list[str] = []
    for names in _some_at_a_time(columns):
        asked = ", ".join(condition.replace("{cell}", f"c{n}") for n in range(len(names)))
        cells = ", ".join(f"lower({cell_sql(name)}) AS c{place}" for place, name in enumerate(names))
        row = database.execute(
            f"SELECT {asked} FROM (SELECT {cells} FROM {parquet_rows(table.parquet)} LIMIT {JUDGED_ROWS})"
        ).fetchone()
        found += [name for name, fits in zip(names, row or (), strict=False) if fits]
    return tuple(found)


def _some_at_a_time(columns: Sequence[str]) -> Iterator[Sequence[str]]:
    return (columns[start : start + AT_A_TIME] for start in range(0, len(columns), AT_A_TIME))


def one_each(database: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> bool:
    """Whether exactly one of these columns of yes and no says yes in every row."""
    said = " + ".join(f"(lower({cell_sql(name)}) IN {YES})::INTEGER" for name in columns)
    row = database.execute(
        f"SELECT bool_and({said} = 1) FROM (SELECT * FROM {parquet_rows(table.parquet)} LIMIT {JUDGED_ROWS})"
    ).fetchone()
    return bool(row and row[0])


def probability_columns(database: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns of numbers from 0 to 1, side by side, that sum to 1 in nine rows of ten; () where there are none."""
    fitting: list[tuple[str, npt.NDArray[np.float64]]] = []
    for names in _some_at_a_time(columns):
        asked = ", ".join(f"{probability_sql(name)} AS share{number}" for number, name in enumerate(names))
        read = database.execute(f"SELECT {asked} FROM {parquet_rows(table.parquet)} LIMIT {JUDGED_ROWS}").fetchnumpy()
        shares = [(name, np.asarray(read[f"share{number}"], np.float64)) for number, name in enumerate(names)]
        fitting += [(name, share) for name, share in shares if ((share >= 0) & (share <= 1)).mean() >= 0.9]
    if len(fitting) < 2:
        return ()
    found, cells = [name for name, _ in fitting][:MOST_SHARES], np.stack([s for _, s in fitting][:MOST_SHARES], axis=1)
    for first, last in _runs(len(found)):
        if _sum_to_one(cells[:, first:last]):
            return tuple(found[first:last])
    return ()


def _runs(count: int) -> list[tuple[int, int]]:
    """All runs of two or more of so many things, the longest first."""
    places = range(count + 1)
    found = [(first, last) for first in places for last in places if last - first >= 2]
    return sorted(found, key=lambda run: (run[0] - run[1], run[0]))


def _sum_to_one(cells: npt.NDArray[np.float64]) -> bool:
    """Nearly always, allowing for rounded numbers; and not only as 0 and 1."""
    close = np.abs(cells.sum(axis=1) - 1) <= 0.01 + 0.005 * cells.shape[1]
    between = ((cells > 0) & (cells < 1)).any(axis=0)
    return bool(len(cells) and close.mean() >= 0.9 and between.any() and (cells > 0).any(axis=0).all())
