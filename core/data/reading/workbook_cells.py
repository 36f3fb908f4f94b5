"""Cells of a workbook's sheet as texts: `python -m core.data.reading.workbook_cells FILE SHEET OUT`.

A process of its own: calamine holds a whole sheet in memory, and ends its process where one cell far below or to the
right of all others makes it ask for more memory than there is. Standard library and calamine only, so it starts fast.

OUT gets a JSON list for each row with cells in it: its number (from 1), then the cells. Standard output gets one JSON
object: sheets, sheet, width, filled (columns with cells, from 0), empty (rows without cells), long (numbers of more
digits than a spreadsheet keeps); or error: open, password, sheet or empty.
"""

import datetime
import json
import sys
from pathlib import Path
from typing import Any

MEMORY_LIMIT = 3 * 2**30
"""Bytes of address space, where the system can hold a process to that."""
DIGITS = 15
"""Significant digits that spreadsheets keep of a number."""


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
    if wanted and wanted not in sheets:
        return {"error": "sheet", "sheets": sheets}
    for name in [wanted] if wanted else [*seen, *(sheet for sheet in sheets if sheet not in seen)]:
        try:
            found = _write(workbook, name, Path(out))
        except CalamineError as error:
            return {"error": "open", "why": str(error)}
        if found["filled"]:
            return {"sheets": sheets, "sheet": name, **found}
    return {"error": "empty", "sheets": sheets}


def _write(workbook: Any, name: str, out: Path) -> dict[str, Any]:
    filled: set[int] = set()
    width = empty = waiting = long = 0
    with out.open("w", encoding="utf-8") as file:
        for number, cells in enumerate(workbook.get_sheet_by_name(name).iter_rows(), start=1):
            long += sum(isinstance(cell, float) and cell.is_integer() and abs(cell) >= 10**DIGITS for cell in cells)
            texts, width = [cell_text(cell) for cell in cells], max(width, len(cells))
            while texts and not texts[-1].strip():
                texts.pop()
            if not texts:
                waiting += 1
                continue
            empty, waiting = empty + waiting, 0
            filled |= {column for column, text in enumerate(texts) if text.strip()}
            # Half of a character can stand in a sheet, and in no Parquet file.
            whole = [text.encode("utf-8", "replace").decode() for text in texts]
            file.write(json.dumps([number, *whole]) + "\n")
    return {"width": width, "filled": sorted(filled), "empty": empty, "trailing": waiting, "long": long}


def _hold_to(most: int) -> None:
    try:
        import resource
    except ImportError:  # Windows, where there is no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    _hold_to(MEMORY_LIMIT)
    print(json.dumps(main(*sys.argv[1:])))
