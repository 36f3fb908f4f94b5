"""Excel (.xlsx, .xlsm, .xlsb, .xls) and OpenDocument (.ods) workbooks: one sheet is one table, every cell its text.

Formulas count as what they came to when the file was saved; errors in cells as empty. Number formats are not followed:
a number shown as 007 is read as 7, a text 007 stays so.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from core.data.reading.dialects import MOST_COLUMNS
from core.data.reading.layout import JUDGED, MOST_BEFORE, lay_out
from core.data.reading.records import Record
from core.data.reading.result import Reading
from core.data.reading.write import text_batches, text_schema, write_batches
from core.errors import UserError
from core.schema import TableFile

OLD_MAGIC = b"\xd0\xcf\x11\xe0"
"""Of .xls, and of other old Office files."""
LONGEST_SECONDS = 900
_PROJECT = Path(__file__).resolve().parents[3]
_CELLS = "core.data.reading.workbook_cells"


def is_old_workbook(path: Path) -> bool:
    """Whether it is one of the time before workbooks were archives (.xls)."""
    with path.open("rb") as opened:
        return opened.read(len(OLD_MAGIC)) == OLD_MAGIC


def read_workbook(source: Path, shown: str, file: TableFile, target: Path, folder: Path) -> Reading:
    """Rewrite a sheet as texts. Raises UserError where it is locked, damaged or empty, or has no such sheet."""
    rows_file = folder / "cells.jsonl"
    found = _cells(source, shown, file, rows_file)
    filled: list[int] = found["filled"]
    if len(filled) > MOST_COLUMNS:
        raise UserError(f"{shown} has {len(filled):,} columns.", shown, f"Keep {MOST_COLUMNS:,} of them at most.")
    rows = _rows(rows_file, filled)
    first = list(islice(_rows(rows_file, filled), JUDGED + MOST_BEFORE))
    records = [Record(number, cells, False, False) for number, cells in first]
    # Each column holds something, perhaps only far below.
    layout = lay_out(records, len(filled), file, shown, narrows=False)
    body = (cells + [""] * (len(filled) - len(cells)) for _, cells in islice(rows, layout.before, None))
    write_batches(text_schema(layout.names), text_batches(body, layout.names, frozenset(file.null_words)), target)
    return Reading(
        format="excel",
        names=layout.names,
        types=("",) * len(layout.names),
        header=layout.header,
        notes=(*_sheet_notes(found), *_merged_notes(found, layout.names), *layout.notes),
        sheet=found["sheet"],
        sheets=tuple(found["sheets"]),
    )


def _cells(source: Path, shown: str, file: TableFile, rows: Path) -> dict[str, Any]:
    line = [sys.executable, "-m", _CELLS, str(source.resolve()), file.sheet or "", str(rows)]
    try:
        done = subprocess.run(
            line, cwd=_PROJECT, capture_output=True, text=True, encoding="utf-8", check=False, timeout=LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise _too_much(shown) from error
    if done.returncode != 0:
        raise _too_much(shown)
    found: dict[str, Any] = json.loads(done.stdout)
    if "error" in found:
        raise _problem(found, shown, file)
    return found


def _too_much(shown: str) -> UserError:
    return UserError(
        f"{shown} takes more memory or time than one sheet is given.",
        shown,
        "Often one forgotten cell stands far below or right of the table: delete it, or save the sheet as CSV.",
    )


def _problem(found: dict[str, Any], shown: str, file: TableFile) -> UserError:
    sheets = ", ".join(f"'{name}'" for name in found.get("sheets", ()))
    return {
        "password": UserError(f"{shown} is locked with a password.", shown, "Save it without one."),
        "open": UserError(
            f"{shown} is not a whole Excel or OpenDocument workbook ({found.get('why', '')[:200]}).",
            shown,
            "Open it in a spreadsheet program and save it as .xlsx or CSV.",
        ),
        "sheet": UserError(f"{shown} has no sheet '{file.sheet}'.", "sheet", f"Choose one of: {sheets}."),
        "empty": UserError(f"{shown} holds no cells ({sheets}).", shown, "Choose a sheet that holds rows."),
    }[found["error"]]


def _rows(file: Path, filled: list[int]) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and cells; without the columns that hold nothing, and without what is empty at a row's end."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            number, *cells = json.loads(line)
            kept = [cells[column] if column < len(cells) else "" for column in filled]
            while kept and not kept[-1].strip():
                kept.pop()
            yield number, kept


def _merged_notes(found: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    name_of = dict(zip(found["filled"], names, strict=True))
    of_columns = [(name_of[column], count) for column, count in found["merged"] if count]
    if not of_columns:
        return []
    listed = ", ".join(f"{count:,} of '{name}'" for name, count in of_columns[:5])
    more = f" and of {len(of_columns) - 5:,} more columns" if len(of_columns) > 5 else ""
    return [f"Cells that are part of a merged cell have its text: {listed}{more}."]


def _sheet_notes(found: dict[str, Any]) -> list[str]:
    notes = []
    others = [name for name in found["sheets"] if name != found["sheet"]]
    if others:
        listed = ", ".join(f"'{name}'" for name in others[:5]) + (" ..." if len(others) > 5 else "")
        notes.append(f"Sheet '{found['sheet']}' was read, not {listed}.")
    counts = {"row": found["empty"] + found["trailing"], "column": found["width"] - len(found["filled"])}
    left = [f"{count:,} empty {noun}{'s' if count != 1 else ''}" for noun, count in counts.items() if count]
    if left:
        notes.append(f"Left out: {' and '.join(left)}.")
    if found["long"]:
        notes.append(
            f"{found['long']:,} numbers have more than 15 digits, of which a spreadsheet keeps 15; save ids as text."
        )
    return notes
