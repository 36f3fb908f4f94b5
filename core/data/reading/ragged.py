"""Rows with too few or too many cells: kept, filled up or put together where they fit, and said."""

from collections import Counter
from dataclasses import dataclass

from core.data.reading.cells import kind

FEW_VALUES = 50
"""A column with no more different values than this is known by them."""


@dataclass(frozen=True)
class ColumnShape:
    """What the cells of a column look like in the rows that have the right number."""

    kinds: dict[str, float]
    """Kind -> share of the cells."""
    values: frozenset[str]
    """All its values where they are few and repeat, else none."""
    length: float
    """Characters on average."""


def column_shapes(rows: list[list[str]], width: int) -> tuple[ColumnShape, ...]:
    whole = [row for row in rows if len(row) == width]
    shapes = []
    for column in range(width):
        cells = [row[column].strip() for row in whole]
        counts = Counter(kind(cell) for cell in cells)
        values = frozenset(cells)
        few = len(values) <= min(FEW_VALUES, 0.5 * len(cells))
        shapes.append(
            ColumnShape(
                {name: count / len(cells) for name, count in counts.items()} if cells else {},
                values if few else frozenset(),
                sum(map(len, cells)) / len(cells) if cells else 0.0,
            )
        )
    return tuple(shapes)


def has_rows(shapes: tuple[ColumnShape, ...], lines: list[list[str]]) -> bool:
    """Whether most of the lines found inside a cell are rows of the table, cell for cell; no where nothing could tell.

    Prose may hold just so many commas as a row; that a number stands where numbers stand is another thing.
    """
    telling = [
        (column, shape) for column, shape in enumerate(shapes) if shape.values or shape.kinds.get("text", 0) < 0.2
    ]
    if not telling or not lines:
        return False
    rows = sum(
        len(cells) == len(shapes) and all(_cell_fit(cells[column].strip(), shape) > 0 for column, shape in telling)
        for cells in lines
    )
    return rows > 0.5 * len(lines)


def fitted(cells: list[str], shapes: tuple[ColumnShape, ...], delimiter: str) -> tuple[list[str], str]:
    """The cells as a whole row, and what was done to them ('' where nothing); no cells where they are too many."""
    width = len(shapes)
    if len(cells) == width:
        return cells, ""
    if len(cells) < width:
        return cells + [""] * (width - len(cells)), f"has {_cells(len(cells))} where the table has {width}: filled up"
    surplus = len(cells) - width
    if not any(cell.strip() for cell in cells[width:]):
        return cells[:width], ""
    if len(cells) >= 2 * width and width > 2:
        return [], f"has {_cells(len(cells))} where the table has {width}"
    rows = [
        [*cells[:place], _together(cells[place : place + surplus + 1], delimiter), *cells[place + surplus + 1 :]]
        for place in range(width)
    ]
    best = max(range(width), key=lambda place: (fit(rows[place], shapes), shapes[place].length))
    what = f"has {_cells(len(cells))} where the table has {width}: put together in column {best + 1}"
    return rows[best], what


def _together(cells: list[str], delimiter: str) -> str:
    """Cells as they stood in the file; a lone delimiter beside an empty one is dropped."""
    filled = [cell for cell in cells if cell.strip()]
    return delimiter.join(cells) if len(filled) > 1 else "".join(filled)


def fit(row: list[str], shapes: tuple[ColumnShape, ...]) -> float:
    """How well the cells of a row look like those of their columns; 0 where no shapes are known."""
    return sum(_cell_fit(cell.strip(), shape) for cell, shape in zip(row, shapes, strict=False))


def _cell_fit(cell: str, shape: ColumnShape) -> float:
    if shape.values:
        return 2.0 if cell in shape.values else 0.0
    return shape.kinds.get(kind(cell), 0.0)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
