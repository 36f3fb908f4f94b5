"""Workbooks as people keep them: words about the data on a sheet of their own, and cells merged over several rows."""

from pathlib import Path

import openpyxl
import pytest

from core.data.table import Table, open_table, preview
from core.schema import TableFile
from core.workspace import Workspace

ROWS = [[number, f"comment number {number}", "ab"[number % 2]] for number in range(20)]
HEADER = ["Nr", "Comment", "Category"]
Sheets = dict[str, list[list[object]]]


def written(path: Path, sheets: Sheets, merged: tuple[str, ...] = ()) -> Path:
    """merged: ranges of the first sheet."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    for cells in merged:
        book.worksheets[0].merge_cells(cells)
    book.save(path)
    return path


def read(path: Path, workspace: Workspace, **options: object) -> Table:
    return open_table(TableFile(path=str(path), **options), workspace)


def columns(table: Table) -> list[tuple[str | None, ...]]:
    return list(zip(*(row.values() for row in preview(table, 0, table.rows)), strict=True))


@pytest.mark.parametrize(
    "words", [[["These are the comments of 2024."]], [["Comments."], ["Ask Anna."]], [["Made by", "Anna"]], []]
)
def test_words_about_the_data_before_it(words: list[list[object]], tmp_path: Path, workspace: Workspace) -> None:
    path = written(tmp_path / "a.xlsx", {"README": words, "Data": [HEADER, *ROWS], "More": [HEADER, *ROWS]})
    table = read(path, workspace)
    assert (table.sheet, table.names, table.rows) == ("Data", tuple(HEADER), 20)
    assert any(note.startswith("Sheet 'Data' was read, not 'README'") for note in table.notes)


def test_the_chosen_sheet_and_the_only_filled_one_may_have_one_column(tmp_path: Path, workspace: Workspace) -> None:
    texts: list[list[object]] = [["text"], *([f"a text, number {row}"] for row in range(20))]
    path = written(tmp_path / "a.xlsx", {"Empty": [], "Texts": texts, "Words": [["of", "2024"]]})
    assert (read(path, workspace).sheet, read(path, workspace).names) == ("Texts", ("text",))
    both = written(tmp_path / "b.xlsx", {"Texts": texts, "Data": [HEADER, *ROWS]})
    assert read(both, workspace, sheet="Texts").names == ("text",)


def test_a_hidden_sheet_does_not_go_before_a_seen_one(tmp_path: Path, workspace: Workspace) -> None:
    path = written(tmp_path / "a.xlsx", {"Texts": [["text"], ["a b"], ["c d"]], "Data": [HEADER, *ROWS]})
    book = openpyxl.load_workbook(path)
    book["Data"].sheet_state = "hidden"
    book.save(path)
    assert read(path, workspace).sheet == "Texts"


def test_merged_labels_stand_in_each_of_their_rows(tmp_path: Path, workspace: Workspace) -> None:
    rows = [[number, f"comment number {number}", {0: "praise", 20: "blame"}.get(number)] for number in range(40)]
    path = written(tmp_path / "a.xlsx", {"Data": [HEADER, *rows]}, ("C2:C21", "C22:C41"))
    table = read(path, workspace)
    assert columns(table)[2] == ("praise",) * 20 + ("blame",) * 20
    assert any("38 of 'Category'" in note for note in table.notes)


def test_merged_labels_of_a_table_that_does_not_begin_in_the_corner(tmp_path: Path, workspace: Workspace) -> None:
    rows: list[list[object]] = [[], [], [None, None, *HEADER]]
    rows += [[None, None, number, f"comment number {number}", "praise" if number == 0 else None] for number in range(9)]
    path = written(tmp_path / "a.xlsx", {"Data": rows}, ("E4:E12",))
    assert columns(read(path, workspace))[2] == ("praise",) * 9


def test_what_is_merged_otherwise_stays(tmp_path: Path, workspace: Workspace) -> None:
    """A title over all columns, a header two rows high, a cell over a row that is empty, and empty merged cells."""
    rows: list[list[object]] = [["All comments"], HEADER, [], *ROWS, [], [99, "comment", None], [98, "comment"]]
    merged = ("A1:C1", "A2:A3", "B2:B3", "C2:C3", "C23:C24", "C25:C26")
    table = read(written(tmp_path / "a.xlsx", {"Data": rows}, merged), workspace)
    assert (table.names, table.rows) == (tuple(HEADER), 22)
    assert columns(table)[2][-2:] == (None, None)
    assert not any("merged" in note for note in table.notes)
