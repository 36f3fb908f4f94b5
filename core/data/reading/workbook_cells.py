"""Cells of a workbook's sheet as texts: `python -m core.data.reading.workbook_cells FILE SHEET OUT`.

A process of its own: calamine holds a whole sheet in memory, and ends its process where one cell far below or to the
right of all others makes it ask for more memory than there is. Standard library and calamine only, so it starts fast.

OUT gets a JSON list for each row with cells in it: its number (from 1), then the cells. Standard output gets one JSON
object: sheets, sheet, width, filled (columns with cells, from 0), empty (rows without cells), long (numbers of more
digits than a spreadsheet keeps), merged (column and how many cells of it took the text of the merged cell that they
are part of); or error: open, password, sheet or empty.
"""

import datetime
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

MEMORY_LIMIT = 3 * 2**30
"""Bytes of address space, where the system can hold a process to that."""
DIGITS = 15
"""Significant digits that spreadsheets keep of a number."""


class _Merged(NamedTuple):
    """Cells of one column that are merged, by the number of a row (from 1)."""

    first: dict[int, list[int]]
    """Columns whose merged cell begins in this row."""
    further: dict[int, list[int]]
    """Columns whose merged cell goes on in this row."""


def cell_text(value: Any) -> str:
    """A cell as a spreadsheet shows it in its General format: 1 and not 1.0, TRUE and not True."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 10**DIGITS else f"{value:.{DIGITS}g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    return str(value)


def main(file: str, wanted: str, out: str) -> dict[str, Any]:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

    try:
        workbook = CalamineWorkbook.from_path(file)
    except PasswordError:
        return {"error": "password"}
    except (CalamineError, OSError) as error:
        return {"error": "open", "why": str(error)}
    metadata = workbook.sheets_metadata
    sheets = [sheet.name for sheet in metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    seen = [sheet.name for sheet in metadata if sheet.name in sheets and sheet.visible == SheetVisibleEnum.Visible]
    hidden = [sheet for sheet in sheets if sheet not in seen]
    if wanted and wanted not in sheets:
        return {"error": "sheet", "sheets": sheets}
    try:
        for names in [[wanted]] if wanted else [seen, hidden]:
            found = _first_table(workbook, names, Path(out))
            if found:
                return {"sheets": sheets, **found}
    except CalamineError as error:
        return {"error": "open", "why": str(error)}
    return {"error": "empty", "sheets": sheets}


def _first_table(workbook: Any, names: list[str], out: Path) -> dict[str, Any] | None:
    """The first of these sheets with several rows and columns, since words about the data often stand before it; else
    the first with cells."""
    filled = []
    for name in names:
        found = _write(workbook, name, out)
        if found["rows"] > 1 and len(found["filled"]) > 1:
            return {"sheet": name, **found}
        filled += [name] if found["filled"] else []
    return {"sheet": filled[0], **_write(workbook, filled[0], out)} if filled else None


def _merged(sheet: Any) -> _Merged:
    """Columns are counted as iter_rows does, which leaves out those that are empty left of all cells."""
    found = _Merged({}, {})
    if sheet.start is None:
        return found
    (_, left), (lowest, right) = sheet.start, sheet.end
    # OpenDocument files and .xlsb do not tell.
    for (top, column), (bottom, last_column) in sheet.merged_cell_ranges or []:
        if left <= column == last_column <= right:
            found.first.setdefault(top + 1, []).append(column - left)
            for row in range(top + 1, min(bottom, lowest) + 1):
                found.further.setdefault(row + 1, []).append(column - left)
    return found


def _write(workbook: Any, name: str, out: Path) -> dict[str, Any]:
    filled: set[int] = set()
    width = empty = waiting = long = rows = 0
    sheet = workbook.get_sheet_by_name(name)
    merged, taken = _merged(sheet), Counter[int]()
    above: dict[int, str] = {}
    with out.open("w", encoding="utf-8") as file:
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            long += sum(isinstance(cell, float) and cell.is_integer() and abs(cell) >= 10**DIGITS for cell in cells)
            texts, width = [cell_text(cell) for cell in cells], max(width, len(cells))
            above |= {column: texts[column] for column in merged.first.get(number, ())}
            # Where nothing else stands in a row it is none: the second of a header whose cells are all two rows high.
            if any(text.strip() for text in texts):
                for column in merged.further.get(number, ()):
                    texts[column] = above[column]
                    taken[column] += bool(above[column].strip())
            while texts and not texts[-1].strip():
                texts.pop()
            if not texts:
                waiting += 1
                continue
            empty, waiting, rows = empty + waiting, 0, rows + 1
            filled |= {column for column, text in enumerate(texts) if text.strip()}
            # Half of a character can stand in a sheet, and in no Parquet file.
            whole = [text.encode("utf-8", "replace").decode() for text in texts]
            file.write(json.dumps([number, *whole]) + "\n")
    return {
        "width": width,
        "filled": sorted(filled),
        "rows": rows,
        "empty": empty,
        "trailing": waiting,
        "long": long,
        "merged": sorted(taken.items()),
    }


def _hold_to(most: int) -> None:
    try:
        import resource
    except ImportError:  # Windows, where there is no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    _hold_to(MEMORY_LIMIT)
    print(json.dumps(main(*sys.argv[1:])))
