"""Excel, zip archives, folders of texts for each class, JSON in its many forms, and several files as one table."""

import datetime
import io
import json
import shlex
import zipfile
from pathlib import Path
from types import SimpleNamespace

import httpx
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import RevisionNotFoundError

from core.cli.arguments import parse
from core.cli.commands import main
from core.cli.mapping import reading_options
from core.cli.training import data_of_options
from core.data.conversations import conversations_of, likely_chat
from core.data.given import Given, files_given
from core.data.mapping import suggest_mapping
from core.data.reading import archives
from core.data.table import Table, file_facts, open_table, preview
from core.errors import UserError
from core.presets import DEFAULT_PRESET, find_preset, preset_spec
from core.schema import DataSpec, MappingSpec, TableFile, short_name, shown_name
from core.workspace import Workspace
from ui.new_run.review_text import command_line

ROWS = [("Who wrote Hamlet ?", "HUM"), ("Where is Oslo ?", "LOC"), ("How many legs has a spider ?", "NUM")] * 4
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


def read(path: Path, workspace: Workspace, **options: object) -> Table:
    return open_table(TableFile(path=str(path), **options), workspace)


def cells(table: Table) -> list[tuple[str | None, ...]]:
    return [tuple(row.values()) for row in preview(table, 0, table.rows)]


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def archive(path: Path, **files: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def refused(path: Path, workspace: Workspace, words: str, **options: object) -> UserError:
    with pytest.raises(UserError) as error:
        read(path, workspace, **options)
    assert words in error.value.what
    assert error.value.where and error.value.todo
    return error.value


# Workbooks


def test_cells_of_a_workbook_are_the_text_that_people_saw(tmp_path: Path, workspace: Workspace) -> None:
    row = ["01", "TRUE", True, 1, 2.5, 0.1 + 0.2, datetime.date(2024, 1, 2), "NA", "1.0", None, " x "]
    names = [f"n{number}" for number in range(len(row))]
    table = read(workbook(tmp_path / "a.xlsx", One=[names, row, row]), workspace)
    seen = ("01", "TRUE", "TRUE", "1", "2.5", "0.3", "2024-01-02", "NA", "1.0", None, " x ")
    assert (table.format, table.header, cells(table)) == ("excel", True, [seen, seen])


def test_a_header_that_is_not_the_first_row_and_what_is_empty_around(tmp_path: Path, workspace: Workspace) -> None:
    rows: list[list[object]] = [["Questions of the year"], [], [None, "text", "label"]]
    rows += [[None, text, label] for text, label in ROWS] + [[], [None, " "], []]
    path = workbook(tmp_path / "a.xlsx", One=rows)
    book = openpyxl.load_workbook(path)
    book["One"]["H40"] = " "
    book.save(path)
    table = read(path, workspace)
    assert (table.names, table.rows) == (("column_1", "text", "label"), len(ROWS))
    assert [row[1:] for row in cells(table)] == ROWS
    assert any("Questions of the year" in note for note in table.notes)
    assert any("empty rows" in note and "empty columns" in note for note in table.notes)


def test_a_stray_cell_far_below_right_of_the_table(tmp_path: Path, workspace: Workspace) -> None:
    rows: list[list[object]] = [["text", "label"], *([f"text {row}", "ab"[row % 2]] for row in range(1000))]
    rows[800].append("a note")
    table = read(workbook(tmp_path / "a.xlsx", One=rows), workspace)
    assert (table.names, table.rows) == (("text", "label", "column_3"), 1000)


def test_a_stray_cell_right_of_the_first_rows_shifts_no_names(tmp_path: Path, workspace: Workspace) -> None:
    rows: list[list[object]] = [["text", "label"], *([f"text {row}", "ab"[row % 2]] for row in range(40))]
    rows[12].append("check this one")
    assert read(workbook(tmp_path / "a.xlsx", One=rows), workspace).names == ("text", "label", "column_3")
    (tmp_path / "r.csv").write_text("\n".join(["text,label", *(f'"{n}",text {n},{"ab"[n % 2]}' for n in range(1, 41))]))
    assert read(tmp_path / "r.csv", workspace).names == ("column_1", "text", "label")


def test_words_for_empty_cells_hold_in_workbooks_too(tmp_path: Path, workspace: Workspace) -> None:
    rows: list[list[object]] = [["text", "label"], *([f"text {row}", ("a", "NA")[row % 2]] for row in range(20))]
    table = read(workbook(tmp_path / "a.xlsx", One=rows), workspace, null_words=("NA",))
    assert [label for _, label in cells(table)] == ["a", None] * 10


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.json", "a.csv"])
def test_words_for_empty_cells_hold_in_every_format(name: str, tmp_path: Path, workspace: Workspace) -> None:
    rows = [{"text": f"NA text {row}", "label": ("a", "NA", "it's")[row % 3], "n": row} for row in range(21)]
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    elif name == "a.csv":
        lines = (",".join(map(str, row.values())) for row in rows)
        (tmp_path / name).write_text("text,label,n\n" + "\n".join(lines))
    else:
        written = json.dumps(rows) if name == "a.json" else "\n".join(map(json.dumps, rows))
        (tmp_path / name).write_text(written)
    table = read(tmp_path / name, workspace, null_words=("NA", "it's", "3"))
    assert [label for _, label, _ in cells(table)] == ["a", None, None] * 7
    assert [n for _, _, n in cells(table)][:5] == ["0", "1", "2", None, "4"]
    assert "Cells that hold 'NA' or \"it's\" or '3' are taken as empty." in table.notes
    assert not any("taken as empty" in note for note in read(tmp_path / name, workspace).notes)


def test_a_column_that_is_called_as_duckdb_calls_row_numbers(tmp_path: Path, workspace: Workspace) -> None:
    content = {"text": ["x", "y"], "File_Row_Number": ["7", "8"]}
    pq.write_table(pa.table(content), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("text,File_Row_Number\nx,7\ny,8\n")
    for name in ("a.parquet", "a.csv"):
        table = read(tmp_path / name, workspace)
        assert table.names == ("text", "File_Row_Number_2")
        assert cells(table) == [("x", "7"), ("y", "8")]


def test_the_first_sheet_with_cells_or_the_chosen_one(tmp_path: Path, workspace: Workspace) -> None:
    path = workbook(tmp_path / "a.xlsx", Empty=[], Train=[["text", "label"], *ROWS], Test=[["a", "b"], ["x y", 1]])
    table = read(path, workspace)
    assert (table.sheet, table.sheets, table.rows) == ("Train", ("Empty", "Train", "Test"), len(ROWS))
    assert any("'Test'" in note for note in table.notes)
    assert read(path, workspace, sheet="Test").names == ("a", "b")
    assert "'Train'" in refused(path, workspace, "no sheet 'Nope'", sheet="Nope").todo
    refused(path, workspace, "holds no cells", sheet="Empty")
    assert read(path, workspace, column_names=("q", "c")).names == ("q", "c")
    assert read(path, workspace, header=False).rows == len(ROWS) + 1


def test_a_workbook_that_would_end_the_program(tmp_path: Path, workspace: Workspace) -> None:
    """One cell in the last corner makes the library ask for 500 GB."""
    path = workbook(tmp_path / "far.xlsx", One=[["text", "label"]])
    book = openpyxl.load_workbook(path)
    book["One"]["XFD1048576"] = "far"
    book.save(path)
    refused(path, workspace, "more memory")


def test_workbooks_that_cannot_be_read(tmp_path: Path, workspace: Workspace) -> None:
    whole = workbook(tmp_path / "a.xlsx", One=[["text", "label"], *ROWS]).read_bytes()
    (tmp_path / "cut.xlsx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000)
    refused(tmp_path / "cut.xlsx", workspace, "not a whole zip archive or Excel file")
    refused(tmp_path / "old.xls", workspace, "not a whole Excel")
    refused(archive(tmp_path / "a.docx", **{"word/document.xml": "<x/>"}), workspace, "Word document")


# Archives


def test_one_table_in_an_archive_whatever_lies_around_it(tmp_path: Path, workspace: Workspace) -> None:
    files = {"deep/er/a.csv": CSV, "__MACOSX/deep/._a.csv": b"\0\1", "deep/.DS_Store": b"\0", "deep/": ""}
    table = read(archive(tmp_path / "a.zip", **files, **{"README.txt": "words"}), workspace)
    assert (cells(table), table.members, table.format) == (ROWS, (), "csv")
    assert table.path.name == "a.zip"


def test_of_several_tables_one_is_chosen_and_the_others_are_said(tmp_path: Path, workspace: Workspace) -> None:
    path = archive(tmp_path / "a.zip", **{"x/train.csv": CSV, "x/test.csv": CSV * 3, "y.jsonl": '{"a": 1}\n{"a": 2}\n'})
    table = read(path, workspace)
    assert (table.member, table.members) == ("x/train.csv", ("x/test.csv", "x/train.csv", "y.jsonl"))
    assert "not x/test.csv, y.jsonl" in table.notes[0]
    assert read(path, workspace, member="y.jsonl").names == ("a",)
    assert "x/train.csv" in refused(path, workspace, "no table 'z.csv'", member="z.csv").todo
    assert table.title == "a.zip" and read(path, workspace, member="y.jsonl").title == "a.zip: y.jsonl"


def test_names_inside_an_archive_are_no_paths_on_disk(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "in").mkdir()
    path = archive(tmp_path / "in" / "a.zip", **{"../../outside.csv": CSV, "/etc/abs.csv": CSV})
    before = {file for file in tmp_path.rglob("*") if workspace.root not in file.parents}
    for member in ("../../outside.csv", "/etc/abs.csv"):
        assert cells(read(path, workspace, member=member)) == ROWS
    assert {file for file in tmp_path.rglob("*") if workspace.root not in file.parents} == before


def test_bombs_stop_at_a_limit_that_is_said(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ALWAYS_UNPACKED", 2**20)
    monkeypatch.setattr(archives, "MOST_RATIO", 5)
    bomb = archive(tmp_path / "a.zip", **{"a.csv": b"text,label\n" + b"a,b\n" * 2**20})
    refused(bomb, workspace, "more than 1 MB")
    texts = {f"a/{number}.txt": "word " * 2**17 for number in range(4)} | {"b/1.txt": "x"}
    refused(archive(tmp_path / "b.zip", **texts), workspace, "more than 1 MB")
    sheet = workbook(tmp_path / "c.xlsx", One=[["text", "label"], *[["same words " * 20, "a"]] * 20000])
    refused(sheet, workspace, "more than 1 MB")
    assert not list(workspace.tables.glob("*.partial"))


def test_archives_that_hold_nothing_to_read(tmp_path: Path, workspace: Workspace) -> None:
    refused(archive(tmp_path / "a.zip", **{"photo.png": b"\x89PNG"}), workspace, "holds no table")
    refused(archive(tmp_path / "b.zip"), workspace, "holds no table")
    inner = archive(tmp_path / "c.zip", **{"a.csv": CSV}).read_bytes()
    refused(archive(tmp_path / "d.zip", **{"a.csv": inner}), workspace, "archive in an archive")
    refused(archive(tmp_path / "e.zip", **{"a.csv": ""}), workspace, "is empty")
    (tmp_path / "f.zip").write_bytes(inner[: len(inner) // 2])
    refused(tmp_path / "f.zip", workspace, "not a whole zip archive")


def test_a_workbook_in_an_archive(tmp_path: Path, workspace: Workspace) -> None:
    inside = workbook(tmp_path / "a.xlsx", One=[["text", "label"], *ROWS], Two=[["a"], ["b"]]).read_bytes()
    table = read(archive(tmp_path / "a.zip", **{"a.xlsx": inside}), workspace)
    assert (cells(table), table.sheets) == (ROWS, ("One", "Two"))


# A folder for each class


def newsgroups(folder: Path, shared_data: Path, above: str = "") -> Path:
    """Real messages as files without an ending, as 20 newsgroups has them."""
    messages = pq.read_table(shared_data / "newsgroups_mini" / "test.parquet").to_pylist()
    for number, message in enumerate(messages):
        file = folder / above / message["label"] / str(49_960 + number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(message["text"], encoding="latin-1", errors="replace")
    return folder


def zipped(folder: Path) -> Path:
    target = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, file.relative_to(folder.parent))
    return target


def test_newsgroups_as_a_folder_and_as_an_archive(tmp_path: Path, workspace: Workspace, shared_data: Path) -> None:
    folder = newsgroups(tmp_path / "news", shared_data)
    (folder / "README.txt").write_text("not an example")
    table = read(folder, workspace)
    assert (table.names, table.rows, table.columns[1].distinct) == (("text", "label"), 400, 20)
    assert cells(read(zipped(folder), workspace)) == cells(table)
    suggestion = suggest_mapping(table)
    assert (suggestion.text, suggestion.label) == (("text",), "label")
    assert len(file_facts(table)["sha256"]) == 64
    before = table.parquet
    (folder / "sci.med" / "new").write_text("one more message about medicine")
    assert read(folder, workspace).rows == 401 and read(folder, workspace).parquet != before


def test_train_and_test_above_the_classes(tmp_path: Path, workspace: Workspace) -> None:
    for part, count in (("train", 3), ("test", 2)):
        for label in ("neg", "pos"):
            for number in range(count):
                file = tmp_path / "aclImdb" / part / label / f"{number}_7.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{part} {label} {number}")
    table = read(tmp_path / "aclImdb", workspace)
    assert (table.member, table.members, table.rows) == ("train/", ("test/", "train/"), 6)
    test = read(tmp_path / "aclImdb", workspace, member="test/", source_column="file")
    assert cells(test)[0] == ("test neg 0", "neg", "test/neg/0_7.txt")
    assert read(zipped(tmp_path / "aclImdb"), workspace).members == ("aclImdb/test/", "aclImdb/train/")


def test_files_that_are_no_texts_are_left_out_and_told(tmp_path: Path, workspace: Workspace) -> None:
    for label in ("a", "b"):
        (tmp_path / "x" / label).mkdir(parents=True)
        (tmp_path / "x" / label / "1.txt").write_bytes("Größe und Länge, früher schön".encode("cp1252"))
        (tmp_path / "x" / label / "2.txt").write_text("Größe in UTF-8")
    (tmp_path / "x" / "a" / "3.txt").write_bytes(bytes(range(256)) * 4)
    table = read(tmp_path / "x", workspace)
    assert [row[0] for row in cells(table)][:2] == ["Größe und Länge, früher schön", "Größe in UTF-8"]
    assert (table.rejected, table.rejected_lines[0].content) == (1, "a/3.txt")


# JSON

RECORDS = [{"text": text, "label": label} for text, label in ROWS]
COLUMNS = {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}


@pytest.mark.parametrize(
    "content",
    [
        RECORDS,
        {"data": RECORDS},
        {"version": "1.1", "data": RECORDS, "tags": ["a", "b"]},
        {"status": "ok", "response": {"found": len(ROWS), "docs": RECORDS}},
        COLUMNS,
        {name: dict(zip(map(str, range(len(ROWS))), column, strict=True)) for name, column in COLUMNS.items()},
        {str(number): record for number, record in enumerate(RECORDS)},
        {"columns": ["text", "label"], "index": list(range(len(ROWS))), "data": [list(row) for row in ROWS]},
    ],
    ids=["list", "data", "data and more", "deeper", "columns", "pandas columns", "pandas index", "pandas split"],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_tables_in_every_form(content: object, indent: int | None, tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content, indent=indent))
    table = read(tmp_path / "a.json", workspace)
    assert (table.names, cells(table)) == (("text", "label"), ROWS)


def test_lists_of_rows_by_part(tmp_path: Path, workspace: Workspace) -> None:
    """As CLINC150 is published."""
    (tmp_path / "a.json").write_text(json.dumps({"val": ROWS[:2], "train": ROWS, "test": ROWS[:5], "oos_train": []}))
    table = read(tmp_path / "a.json", workspace)
    assert (table.member, table.members, cells(table)) == ("train", ("val", "train", "test"), ROWS)
    assert read(tmp_path / "a.json", workspace, member="test").rows == 5
    refused(tmp_path / "a.json", workspace, "no table 'dev'", member="dev")


@pytest.mark.parametrize(
    "content",
    [
        {"text": "a", "label": "x", "meta": {"spans": [{"from": 1}, {"from": 2}]}},
        {"text": "a", "label": "x", "tags": ["b"], "meta": {"spans": [{"from": number} for number in range(20)]}},
        {"data": {"text": ["a"] * 20, "spans": [[1, 2]] * 20}},
    ],
    ids=["few", "beside a list", "columns"],
)
def test_lists_inside_one_record_are_not_its_rows(content: object, tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    table = read(tmp_path / "a.json", workspace)
    assert (table.rows, set(table.names)) == (1, set(content))


def test_json_values_of_other_shapes_stay_as_written(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.json").write_text(
        '{"rows": [{"id": 123456789012345678, "n": 1.10, "b": true, "o": {"x": [1, 2.5]}, "e": null, "s": "01"}, '
        '{"id": 2}]}'
    )
    table = read(tmp_path / "a.json", workspace)
    assert cells(table)[0] == ("123456789012345678", "1.10", "true", '{"x": [1, 2.5]}', None, "01")
    assert [column.type for column in table.columns] == ["integer", "number", "boolean", "object", "text", "text"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_json_keys_that_differ_in_case_alone_are_columns_of_their_own(
    name: str, tmp_path: Path, workspace: Workspace
) -> None:
    rows = [
        {"Label": "A", "te/xt": "hi", "label": "b", "label_1": 1},
        {"te/xt": 'say "so"', "label": None, "LABEL": [1]},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / name).write_text(lines if name.endswith("l") else json.dumps(rows))
    table = read(tmp_path / name, workspace)
    assert table.names == ("Label", "te/xt", "label_2", "label_1", "LABEL_3")
    assert cells(table) == [("A", "hi", "b", "1", None), (None, 'say "so"', None, None, "[1]")]
    assert any("label_2" in note for note in table.notes)


def test_nested_objects_of_json_lines_stay_json(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a b", "meta": {"by": "x", "n": [1, 2]}}\n' * 3)
    table = read(tmp_path / "a.jsonl", workspace)
    assert json.loads(cells(table)[0][1] or "") == {"by": "x", "n": [1, 2]}


@pytest.mark.parametrize(
    ("name", "rows"),
    [("alpaca_2k.json", 2000), ("chat_messages_1k.jsonl", 999), ("toolcall_sharegpt_300.json", 300),
     ("roleplay_1900.jsonl", 1923)],
)  # fmt: skip
def test_chat_data_is_recognised_also_inside_an_object(
    name: str, rows: int, tmp_path: Path, workspace: Workspace, shared_data: Path
) -> None:
    source = shared_data / "sft" / name
    wrapped = tmp_path / "wrapped.json"
    text = source.read_text(encoding="utf-8")
    records = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]
    wrapped.write_text(json.dumps({"data": records}))
    for path in (source, wrapped, archive(tmp_path / "a.zip", **{name: source.read_bytes()})):
        table = read(path, workspace)
        form = likely_chat(table, suggest_mapping(table))
        assert form is not None, path
        found = conversations_of(table, form)
        assert (table.rows, len(found.usable)) == (rows, rows)
        assert found.usable.sum() > 0.9 * rows


# Several files


def test_files_with_the_same_columns_are_one_table(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"label": b, "text": a}) + "\n" for a, b in ROWS))
    workbook(tmp_path / "c.xlsx", One=[["text", "label"], *ROWS])
    more = (str(tmp_path / "b.jsonl"), str(tmp_path / "c.xlsx"))
    table = read(tmp_path / "a.csv", workspace, more=more)
    assert (table.names, cells(table), table.title) == (("text", "label"), ROWS * 3, "a.csv and 2 more")
    told = read(tmp_path / "a.csv", workspace, more=more, source_column="file")
    assert [row[2] for row in cells(told)] == [name for name in ("a.csv", "b.jsonl", "c.xlsx") for _ in ROWS]
    refused(tmp_path / "a.csv", workspace, "a column 'label' already", more=more, source_column="label")
    hashed = file_facts(table)["sha256"]
    (tmp_path / "b.jsonl").write_text('{"text": "new row", "label": "X"}\n' * 2)
    changed = read(tmp_path / "a.csv", workspace, more=more)
    assert changed.rows == 2 * len(ROWS) + 2 and file_facts(changed)["sha256"] != hashed


def test_columns_that_differ_are_named(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.csv").write_text(CSV.replace("text,label", "text,topic"))
    error = refused(tmp_path / "a.csv", workspace, "are not the same", more=(str(tmp_path / "b.csv"),))
    assert "only a.csv has 'label'" in error.what and "only b.csv has 'topic'" in error.what
    (tmp_path / "c.csv").write_text(CSV.split("\n", 1)[1])
    assert "row of names" in refused(tmp_path / "a.csv", workspace, "only", more=(str(tmp_path / "c.csv"),)).todo
    refused(tmp_path / "a.csv", workspace, "cannot be read", more=(str(tmp_path / "gone.csv"),))


def test_lines_left_out_of_stacked_files_say_the_file(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "x"}\n' * 3)
    (tmp_path / "b.jsonl").write_text('{"text": "a", "label": "x"}\n{"text"\n{"text": "b", "label": "y"}\n')
    table = read(tmp_path / "a.jsonl", workspace, more=(str(tmp_path / "b.jsonl"),))
    assert (table.rows, table.rejected, table.rejected_lines[0].line) == (5, 1, 2)
    assert table.rejected_lines[0].reason.startswith("b.jsonl: ")


def test_damaged_archives_and_workbooks_are_a_table_or_a_user_error(tmp_path: Path, workspace: Workspace) -> None:
    whole = workbook(tmp_path / "a.xlsx", One=[["text", "label"], *ROWS]).read_bytes()
    packed = archive(
        tmp_path / "a.zip", **{"a.csv": CSV, "b/1.txt": "one", "c/1.txt": "two", "c/2.txt": "x"}
    ).read_bytes()
    for number in range(60):
        content = bytearray(whole if number % 4 == 0 else packed)
        place = number * 7919 % len(content)
        content[place] ^= 1 << number % 8
        path = tmp_path / f"damaged{number}.zip"
        path.write_bytes(bytes(content))
        try:
            assert read(path, workspace).rows >= 0
        except UserError as error:
            assert error.what and error.todo
    assert io.BytesIO(packed).read(2) == b"PK"


# What a person gives


def given(workspace: Workspace, *words: object, **reading: object) -> Given:
    return files_given([str(word) for word in words], workspace, TableFile(path="", **reading) if reading else None)


def test_names_tell_train_from_test(tmp_path: Path, workspace: Workspace) -> None:
    for name in ("train_1.csv", "train_2.csv", "dev.csv", "my_test.csv", "contest.csv"):
        (tmp_path / name).write_text(CSV)
    found = given(workspace, tmp_path)
    assert {role: shown_name(file) for role, file in found.files.items()} == {
        "train": "train_1.csv and 1 more", "validation": "dev.csv", "test": "my_test.csv",
    }  # fmt: skip
    assert any("contest.csv" in line for line in found.said)
    one = given(workspace, tmp_path / "contest.csv", tmp_path / "my_test.csv")
    assert (one.table.path.name, Path(one.files["test"].path).name) == ("contest.csv", "my_test.csv")
    assert given(workspace, tmp_path / "*_[12].csv", source_column="file").table.names == ("text", "label", "file")
    assert given(workspace, tmp_path / "my_test.csv").files.keys() == {"train"}
    with pytest.raises(UserError, match="No file fits"):
        given(workspace, tmp_path / "*.tsv")


def test_parts_inside_an_archive_and_a_folder(tmp_path: Path, workspace: Workspace, shared_data: Path) -> None:
    path = archive(tmp_path / "a.zip", **{"x/train.csv": CSV, "x/test.csv": CSV})
    found = given(workspace, path)
    assert (found.files["train"].member, found.files["test"].member) == ("x/train.csv", "x/test.csv")
    assert given(workspace, path, member="x/test.csv").files.keys() == {"train"}
    for part in ("train", "test"):
        newsgroups(tmp_path / "news", shared_data, f"news-{part}")
    news = given(workspace, tmp_path / "news")
    assert {role: file.member for role, file in news.files.items()} == {"train": "news-train/", "test": "news-test/"}


class FakeHub:
    """Answers as huggingface_hub does, from files on this computer."""

    def __init__(self, folder: Path, *files: str) -> None:
        self.folder, self.files = folder, files

    def dataset_info(self, repository: str, revision: str | None = None, **_: object) -> object:
        if revision is not None and not self.files[0].startswith("default/"):
            raise RevisionNotFoundError("no", response=httpx.Response(404, request=httpx.Request("GET", "http://x")))
        siblings = [SimpleNamespace(rfilename=name, size=(self.folder / name).stat().st_size) for name in self.files]
        return SimpleNamespace(siblings=siblings, sha="abc")

    def download(self, repository: str, name: str, **_: object) -> str:
        return str(self.folder / name)


def hub(monkeypatch: pytest.MonkeyPatch, folder: Path, *files: str) -> None:
    fake = FakeHub(folder, *files)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: fake)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fake.download)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        texts, labels = [text for text, _ in ROWS], [number % 3 for number in range(len(ROWS))]
        table = pa.table({"text": texts, "label": labels})
        features = {"label": {"names": ["HUM", "LOC", "NUM"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}
        facts = {"huggingface": json.dumps({"info": {"features": features}})}
        pq.write_table(table.replace_schema_metadata(facts), folder / name)


def test_a_hub_data_set_by_its_name(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{config}/{split}/000{n}.parquet" for config in ("default", "other")
             for split, n in (("train", 0), ("train", 1), ("test", 0), ("unsupervised", 0))]  # fmt: skip
    hub(monkeypatch, tmp_path, *names)
    found = given(workspace, "hub:owner/name")
    assert (found.table.rows, found.files.keys()) == (2 * len(ROWS), {"train", "test"})
    assert any("other configurations: other" in line for line in found.said)
    split = given(workspace, "hub:https://huggingface.co/datasets/owner/name:other:unsupervised")
    assert (split.table.rows, split.files.keys()) == (len(ROWS), {"train"})
    assert suggest_mapping(found.table).class_names == {"0": "HUM", "1": "LOC", "2": "NUM"}
    for wrong, words in (("a/b:nope", "no configuration"), ("a/b:other:nope", "no split"), ("a b", "no name")):
        with pytest.raises(UserError, match=words):
            given(workspace, f"hub:{wrong}")


def test_a_hub_data_set_that_was_not_converted(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(monkeypatch, tmp_path, "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet")
    assert given(workspace, "hub:owner/name").files.keys() == {"train", "test"}


def test_a_hub_that_does_not_answer(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 (discard) on this computer answers nothing.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="owner/name is not on this computer and could not be fetched"):
        given(workspace, "hub:owner/name")


def test_a_data_set_of_the_hub_is_called_by_its_name() -> None:
    cached = TableFile(path="/cache/hub/datasets--owner--some-name/snapshots/abc/default/train/0000.parquet")
    assert (shown_name(cached), short_name(cached)) == ("owner/some-name", "some-name")
    assert short_name(TableFile(path="/data/questions.v2.csv")) == "questions.v2"


# The command line


def test_inspect_says_what_the_page_shows(
    tmp_path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workbook(tmp_path / "a.xlsx", One=[["text", "label"], *ROWS], Two=[["a b", "c"], ["d e", "f"]])
    (tmp_path / "b.csv").write_text(CSV)
    line = ["inspect", str(tmp_path / "a.xlsx"), "--sheet", "Two", "--json", "--workspace", str(workspace.root)]
    assert main(parse(line)) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["sheet"], seen["sheets"], seen["rows"]) == ("Two", ["One", "Two"], 1)
    line = ["inspect", str(tmp_path / "a.xlsx"), str(tmp_path / "b.csv"), "--source-column", "file", "--json"]
    assert main(parse([*line, "--workspace", str(workspace.root)])) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["rows"], [column["name"] for column in seen["columns"]]) == (24, ["text", "label", "file"])


def test_the_command_of_a_run_names_all_of_its_files(tmp_path: Path, workspace: Workspace) -> None:
    """What the review shows, read again, gives the same data."""
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(CSV)
    path = archive(tmp_path / "a b.zip", **{"train.csv": CSV, "test.csv": CSV})
    preset = find_preset(DEFAULT_PRESET)
    stacked = TableFile(path=str(tmp_path / "one.csv"), more=(str(tmp_path / "two.csv"),), source_column="file")
    inside = TableFile(path=str(path), member="train.csv")
    for data in (
        DataSpec(train=stacked),
        DataSpec(train=inside),
        DataSpec(train=inside, test=inside.model_copy(update={"member": "test.csv"})),
    ):
        spec = preset_spec(preset, data, MappingSpec(text=("text",), label="label"))
        request = parse(shlex.split(command_line(spec).replace("\\\n", ""))[2:])
        given = files_given(request.data, workspace, reading_options(request))
        assert data_of_options(request, given.files, workspace) == data
