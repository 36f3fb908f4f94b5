"""Files that are not what their name says, and what programs write for a number that is missing."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.given import files_given
from core.data.table import Table, label_counts, open_table, preview
from core.errors import UserError
from core.schema import TableFile
from core.workspace import Workspace

ROWS = [{"text": f"good words {number}", "label": "ab"[number % 2]} for number in range(30)]
LINES = [json.dumps(row) for row in ROWS]
CSV = "text,label\nsome words,a\nother words,b\n"


def read(path: Path, content: str | bytes, workspace: Workspace, **options: object) -> Table:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_table(TableFile.model_validate({"path": str(path), **options}), workspace)


def archive(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for name, content in files.items():
            out.writestr(name, content)
    return path


def parquet(**columns: object) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    return written.getvalue()


def column(table: Table, name: str) -> list[str | None]:
    return [row[name] for row in preview(table)]


def test_nan_in_parquet_is_an_empty_cell_and_no_class(tmp_path: Path, workspace: Workspace) -> None:
    labels = pa.array([0.0, 1.0, float("nan"), float("-nan")])
    content = parquet(text=["nan", "NaN", "c", "d"], label=labels, small=pa.array([float("nan")] * 4, pa.float32()))
    table = read(tmp_path / "a.parquet", content, workspace)
    assert label_counts(table, "label") == [("0.0", 1), ("1.0", 1)]
    assert column(table, "text") == ["nan", "NaN", "c", "d"]
    assert column(table, "small") == [None] * 4
    assert any("6 cells hold NaN" in note for note in table.notes)


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "NaN", "label": NaN}\n{"text": "a: NaN, b", "label": 1.50}\n',
        '[{"text": "NaN", "label": NaN}, {"text": "a: NaN, b", "label": 1.50}]',
        '{"text": ["NaN", "a: NaN, b"], "label": [NaN, 1.50]}',
    ],
)
def test_nan_in_json_is_an_empty_cell(content: str, tmp_path: Path, workspace: Workspace) -> None:
    table = read(tmp_path / "a.json", content, workspace)
    assert column(table, "label")[0] is None and float(column(table, "label")[1] or 0) == 1.5
    assert column(table, "text") == ["NaN", "a: NaN, b"]
    assert any("1 cell holds NaN" in note for note in table.notes)


def test_half_a_character_costs_neither_file_nor_row(tmp_path: Path, workspace: Workspace) -> None:
    cut, whole = r'{"text": "cut \ud83d", "label": "a"}', r'{"text": "\ud83d\ude00 and \\ud83d é", "label": "a"}'
    table = read(tmp_path / "a.jsonl", "\n".join([*LINES, cut, whole]), workspace)
    assert column(table, "text")[30:] == ["cut \N{REPLACEMENT CHARACTER}", "\N{GRINNING FACE} and \\ud83d é"]
    assert (table.rejected, [line.line for line in table.repaired_lines]) == (0, [31])
    assert any("1 row was mended (line 31)" in note for note in table.notes)
    assert table.lines_file is not None


def test_a_record_that_duckdb_does_not_read_costs_that_record(tmp_path: Path, workspace: Workspace) -> None:
    bad = ['{"text": "x", "te\\u0078t": "y"}', '{"text": "x", "label": ' + "[" * 130 + "]" * 130 + "}"]
    table = read(tmp_path / "a.jsonl", "\n".join([*LINES[:9], *bad, *LINES[9:]]), workspace)
    assert table.rows == 30
    assert [(line.line, line.reason) for line in table.rejected_lines] == [
        (10, "names the field 'text' twice"),
        (11, "has values nested more than 100 deep"),
    ]
    assert any("2 rows were left out (line 10, 11)" in note for note in table.notes)


def test_json_lines_that_end_in_commas(tmp_path: Path, workspace: Workspace) -> None:
    table = read(tmp_path / "a.jsonl", ",\n".join(LINES) + "\n", workspace)
    assert (preview(table), table.rejected) == (ROWS, 0)
    assert table.notes == ("29 lines end in a comma, which does not count.",)


def test_python_dicts_one_a_line(tmp_path: Path, workspace: Workspace) -> None:
    good = "{'text': 'it\\'s \\d é', 'label': 'a', 'votes': [1, 2], 'by': None, 'cut': '\\ud83d'}\n"
    bad = ["{'text': 'x', 'text': 'y'}\n", "{'text': print('x')}\n", "{1: 2}\n", "{'text'}\n"]
    table = read(tmp_path / "a.json", good * 3 + "".join(bad), workspace)
    assert preview(table)[0] == {
        "text": "it's \\d é",
        "label": "a",
        "votes": "[1,2]",
        "by": None,
        "cut": "\N{REPLACEMENT CHARACTER}",
    }
    assert (table.rows, table.rejected) == (3, 4)
    assert table.rejected_lines[0].reason == "names the field 'text' twice"
    assert "Python" in table.notes[0]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tsv", "a"])
@pytest.mark.parametrize("content", ["\n".join(LINES), "[\n  " + ",\n  ".join(LINES) + "\n]", json.dumps(ROWS)])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_json_under_another_name(name: str, content: str, mark: str, tmp_path: Path, workspace: Workspace) -> None:
    table = read(tmp_path / name, mark + content, workspace)
    assert preview(table) == ROWS
    assert table.notes[0] == f"{name} holds JSON, and is read as that."


@pytest.mark.parametrize(
    "line",
    ['[{"role": "user"}]\tsome words\tpos', '{"id": 1}\tsome words\tpos', "[{tag}] says\thi\tpos", "{x} is\ty\tpos"],
)
def test_a_table_whose_cells_look_like_json_stays_one(line: str, tmp_path: Path, workspace: Workspace) -> None:
    table = read(tmp_path / "a.tsv", f"{line}\n" * 9, workspace)
    assert (table.format, table.rows, len(table.names)) == ("csv", 9, 3)


def tar() -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as out:
        member = tarfile.TarInfo("a.csv")
        member.size = len(CSV)
        out.addfile(member, io.BytesIO(CSV.encode()))
    return written.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words", "todo"),
    [
        ("a.xls", "<html><body><table><tr><td>text</td></tr></table></body></html>\n", "web page", ".xlsx"),
        ("a.csv", "\ufeff\n<!DOCTYPE html>\n<html lang='en'></html>", "web page with the ending .csv", ".xlsx"),
        ("b.xls", '<?xml version="1.0"?>\n<Workbook></Workbook>', "an XML file with the ending .xls", ".xlsx"),
        ("a.arff", "% words\n\n@relation a\n\n@attribute text string\n@data\n'x',y\n", "ARFF", "CSV"),
        ("a.sql", "-- Dump\nDROP TABLE a;\nCREATE TABLE a (\n x int\n);\n-- Done\n", "SQL dump", "CSV"),
        ("b.csv", "INSERT INTO a VALUES (1, 'x');\n" * 4, "SQL dump", "CSV"),
        ("a.tar", tar(), "a tar archive", "give the folder"),
        ("a.tar.gz", gzip.compress(tar(), mtime=0), "a tar archive", "give the folder"),
    ],
)
def test_what_is_no_table_says_what_it_is(
    name: str, content: str | bytes, words: str, todo: str, tmp_path: Path, workspace: Workspace
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path / name, content, workspace)
    assert words in error.value.what and name in error.value.where and todo in error.value.todo


@pytest.mark.parametrize(
    "content",
    [
        "text,label\n<html>some words</html>,a\n<b>other words</b>,b\n",
        "query,label\nINSERT INTO a VALUES (1),1\nSELECT 1 FROM a,0\n",
        "<html>some words</html>,a\n<html>other words</html>,b\n<html>more words</html>,a\n",
    ],
)
def test_texts_that_look_like_other_formats_are_read(content: str, tmp_path: Path, workspace: Workspace) -> None:
    assert len(read(tmp_path / "a.csv", content, workspace).names) == 2


def test_bytes_that_are_all_utf8_are_text(tmp_path: Path, workspace: Workspace) -> None:
    content = parquet(
        text=pa.array(["é".encode(), b"b", None]),
        late=pa.array([b"a", b"b", b"\xff"]),
        packed=pa.array([b"\x01\x00", b"\x02\x00", b""]),
    )
    table = read(tmp_path / "a.parquet", content, workspace)
    assert column(table, "text") == ["é", "b", None]
    assert [one.type for one in table.columns] == ["text", "binary", "binary"]
    assert any("read as text: 'text'." in note for note in table.notes)


def test_pieces_of_one_table_in_an_archive_are_put_together(tmp_path: Path, workspace: Workspace) -> None:
    pieces: dict[str, str | bytes] = {
        f"train-0000{piece}-of-00003.parquet": parquet(
            text=[f"words {piece} {row}" for row in range(6)], label=["a"] * 6
        )
        for piece in range(3)
    }
    path = archive(tmp_path / "a.zip", pieces)
    table = open_table(TableFile(path=str(path), source_column="file"), workspace)
    assert (table.rows, table.members) == (18, ())
    assert column(table, "file")[::6] == list(pieces)
    one = open_table(TableFile(path=str(path), member="train-00001-of-00003.parquet"), workspace)
    assert (one.rows, one.member, len(one.members)) == (6, "train-00001-of-00003.parquet", 3)


def test_pieces_by_part_in_an_archive(tmp_path: Path, workspace: Workspace) -> None:
    files: dict[str, str | bytes] = {f"{part}-{piece}.csv": CSV for part in ("train", "test") for piece in range(2)}
    found = files_given([str(archive(tmp_path / "a.zip", files))], workspace)
    assert {role: file.member for role, file in found.files.items()} == {"train": "train-*.csv", "test": "test-*.csv"}
    assert [open_table(file, workspace).rows for file in found.files.values()] == [4, 4]


def test_pieces_in_a_folder_are_those_that_they_were(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a1.csv", "a1x.csv", "a2.csv"):
        (tmp_path / "in" / name).write_text(CSV)
    found = files_given([str(tmp_path / "in")], workspace).files["train"]
    assert [Path(path).name for path in (found.path, *found.more)] == ["a1.csv", "a1x.csv", "a2.csv"]


@pytest.mark.parametrize("other", ["words,label\nx,y\n", ""])
def test_files_called_alike_that_are_no_pieces(other: str, tmp_path: Path, workspace: Workspace) -> None:
    table = open_table(TableFile(path=str(archive(tmp_path / "a.zip", {"a1.csv": CSV, "a2.csv": other}))), workspace)
    assert (table.rows, table.member, table.members) == (2, "a1.csv", ("a1.csv", "a2.csv"))
    assert "not put together" in table.notes[1] and "Only one of them was read" in table.notes[1]


def test_folds_and_versions_hold_the_same_rows_and_are_not_put_together(tmp_path: Path, workspace: Workspace) -> None:
    for name in ("fold{}/train.csv", "data_v{}.csv"):
        path = archive(tmp_path / "a.zip", {name.format(number): CSV for number in (1, 2)})
        assert open_table(TableFile(path=str(path)), workspace).rows == 2


def test_archives_with_paths_of_windows(tmp_path: Path, workspace: Workspace) -> None:
    texts: dict[str, str | bytes] = {
        f"data\\{label}\\{n}.txt": f"{label} {n}" for label in ("neg", "pos") for n in (1, 2)
    }
    table = open_table(TableFile(path=str(archive(tmp_path / "a.zip", {"data\\": "", **texts}))), workspace)
    assert label_counts(table, "label") == [("neg", 2), ("pos", 2)]
    path = archive(tmp_path / "b.zip", {"data\\a.csv": CSV, "data\\b.csv": CSV * 2})
    table = open_table(TableFile(path=str(path), member="data/a.csv"), workspace)
    assert (table.rows, table.members) == (2, ("data/a.csv", "data/b.csv"))
