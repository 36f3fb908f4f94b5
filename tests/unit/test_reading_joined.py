"""Files put together from others, saved again by Excel, or written for other programs: nothing of them is lost."""

import json

import pytest

from core.data.reading.clean import read_clean
from core.data.table import Table, label_counts, open_table, preview
from core.schema import TableFile
from core.workspace import Workspace

MARK = "\ufeff"


def read(content: bytes | str, workspace: Workspace, **given: object) -> Table:
    path = workspace.root / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_table(TableFile.model_validate({"path": str(path), **given}), workspace)


def rows(table: Table) -> list[tuple[str, ...]]:
    return [tuple(value or "" for value in row.values()) for row in preview(table, 0, table.rows)]


def text_and_label(first: int = 0, count: int = 30) -> str:
    return "".join(f"some words {number},{'ab'[number % 2]}\n" for number in range(first, first + count))


def test_a_comment_on_the_first_line_makes_none_of_texts_that_begin_with_a_hash(workspace: Workspace) -> None:
    tweets = "".join(f"day number {number},a\n#happy day number {number},b\n" for number in range(60))
    table = read(f"# exported 2024\ntext,label\n{tweets}", workspace)
    assert (table.rows, table.names, table.comment) == (120, ("text", "label"), "#")
    assert label_counts(table, "label") == [("a", 60), ("b", 60)]
    assert "1 line begins with # and was left out as a comment." in table.notes
    assert read(f"# exported 2024\ntext,label\n{tweets}", workspace, comment="#").rows == 60


def test_hashes_before_quoted_cells_and_surplus_commas_are_rows_too(workspace: Workspace) -> None:
    body = text_and_label() + '#so,"b"\n#a text, with a comma,b\n#"a\nb",b\n'
    table = read(f"# exported 2024\ntext,label\n{body}# the end\n", workspace)
    assert table.rows == 33
    assert rows(table)[31] == ("#a text, with a comma", "b")


@pytest.mark.parametrize("mark", ["", MARK])
@pytest.mark.parametrize("count", [30, 5000])
def test_names_repeated_in_the_midst_are_left_out(mark: str, count: int, workspace: Workspace) -> None:
    body = text_and_label(0, count)
    table = read(f"{mark}text,label\n{body}{mark}text,label\n{body}", workspace)
    assert (table.rows, table.names, table.rejected) == (2 * count, ("text", "label"), 1)
    assert [name for name, _ in label_counts(table, "label")] == ["a", "b"]
    assert (table.rejected_lines[0].line, table.rejected_lines[0].reason) == (
        count + 2,
        "repeats the names of the columns",
    )
    assert any("byte order mark" in note for note in table.notes) == bool(mark)


def test_a_byte_order_mark_before_a_row_is_no_part_of_it(workspace: Workspace) -> None:
    body = text_and_label(0, 5000)
    table = read(f'text,label\n{body}{MARK}"quoted, words",a\n', workspace)
    assert rows(table)[-1] == ("quoted, words", "a")
    assert (table.repaired, table.rejected) == (0, 0)


def test_names_that_are_data_stay_where_there_is_no_row_of_names(workspace: Workspace) -> None:
    table = read("text,label\n" + text_and_label() + "text,label\n", workspace, header=False)
    assert (table.rows, table.rejected) == (32, 0)
    assert read("text\nsome\nwords\ntext\n", workspace, header=True).rows == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_two_byte_order_marks_are_no_part_of_the_first_name(encoding: str, workspace: Workspace) -> None:
    content = f"{MARK}{MARK}text,label\n{text_and_label()}"
    assert read(content.encode(encoding), workspace).names == ("text", "label")
    assert read(content.encode(encoding), workspace, encoding=encoding).names == ("text", "label")


def test_a_clean_file_is_read_by_duckdb(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    read_so = []

    def spied(*given: object) -> bool:
        read_so.append(read_clean(*given))  # type: ignore[arg-type]
        return read_so[-1]

    monkeypatch.setattr("core.data.reading.delimited.read_clean", spied)
    assert read("text,label\n" + text_and_label(0, 5000), workspace).rows == 5000
    assert read_so == [True]


@pytest.mark.parametrize("names", ["id,text,label", '"id,text,label"'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_wrapped_in_quotes_are_unwrapped(names: str, end: str, workspace: Workspace) -> None:
    lines = "".join(f'"{number},""good, film number {number}"",a"{end}' for number in range(60))
    table = read(f"{names}{end}{lines}2000,plain,b{end}", workspace)
    assert (table.names, table.rows, table.rejected, table.repaired) == (("id", "text", "label"), 61, 0, 0)
    assert rows(table)[7] == ("7", "good, film number 7", "a")
    assert any("wrapped" in note for note in table.notes)


def test_line_breaks_within_wrapped_lines(workspace: Workspace) -> None:
    lines = "".join(f'"{number};""a\nfilm \x85 """"{number}"""""";a"\n' for number in range(60))
    table = read(f"id;text;label\n{lines}", workspace)
    assert rows(table)[59] == ("59", 'a\nfilm \x85 "59"', "a")


@pytest.mark.parametrize("names", ['"address"', "address", '"12 Main Street, York"'])
def test_quoted_sentences_in_one_column_are_not_unwrapped(names: str, workspace: Workspace) -> None:
    table = read(f"{names}\n" + "".join(f'"{number} Long Street, London"\n' for number in range(40)), workspace)
    assert len(table.columns) == 1


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;;"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_in_which_excel_names_the_delimiter(line: str, end: str, workspace: Workspace) -> None:
    body = "".join(f"words, more, {number};{'ab'[number % 2]}{end}" for number in range(30))
    table = read(f"{MARK}{line}{end}text;label{end}{body}", workspace)
    assert (table.names, table.rows, table.delimiter, table.skipped) == (("text", "label"), 30, ";", 1)
    assert any("sep=;" in note.casefold() for note in table.notes)


def test_the_delimiter_named_and_nothing_else(workspace: Workspace) -> None:
    assert read("sep=;\n", workspace).rows == 0


@pytest.mark.parametrize("count", [30, 600, 4000])
@pytest.mark.parametrize("first", ["utf-8", "cp1252", "utf-8-sig"])
def test_lines_of_two_encodings_are_read_each_in_its_own(first: str, count: int, workspace: Workspace) -> None:
    body = "".join(f"größe und länge über café Nummer {number},{'ab'[number % 2]}\n" for number in range(count))
    second = "cp1252" if first.startswith("utf-8") else "utf-8"
    table = read(f"text,label\n{body}".encode(first) + body.encode(second), workspace)
    assert table.rows == 2 * count
    assert {text.rsplit(" ", 1)[0] for text, _ in rows(table)} == {"größe und länge über café Nummer"}
    note = next(note for note in table.notes if note.startswith(f"{count:,} lines") or f" {count + 1:,} lines" in note)
    assert "UTF-8" in note
    assert not any("first unusual" in note for note in table.notes)


def test_damaged_letters_of_utf8_stay_damaged(workspace: Workspace) -> None:
    lines = [f"天气和新闻的内容 {number},a\n".encode() for number in range(100)]
    lines[50] = lines[50].replace("天".encode(), "天".encode()[:2])
    table = read(b"text,label\n" + b"".join(lines), workspace)
    assert rows(table)[50][0] == "\N{REPLACEMENT CHARACTER}气和新闻的内容 50"
    assert any("1 place" in note for note in table.notes)


def fasttext(number: int) -> str:
    return f"__label__{'ab'[number % 2]} {'__label__é ' if number % 3 == 0 else ''}good, film number {number}\n"


def test_several_labels_before_the_text_are_a_list(workspace: Workspace) -> None:
    table = read("".join(map(fasttext, range(60))), workspace)
    assert rows(table)[3] == ('["__label__b", "__label__é"]', "good, film number 3")
    assert json.loads(rows(table)[4][0]) == ["__label__a"]
    assert any("several" in note for note in table.notes)


def test_several_labels_far_down_are_found(workspace: Workspace) -> None:
    plain = "".join(f"__label__{'ab'[number % 2]} film number {number}\n" for number in range(5000))
    assert rows(read(plain, workspace))[0][0] == "__label__a"
    table = read(plain + "__label__a __label__b\n", workspace)
    assert rows(table)[0] == ('["__label__a"]', "film number 0")
    assert rows(table)[-1] == ('["__label__a", "__label__b"]', "")


@pytest.mark.parametrize("end", ["\x1a", "\x1a\r\n", "\x1a" * 90], ids=["one", "line", "block"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("glued", [True, False])
def test_ctrl_z_at_the_end_is_no_row(end: str, encoding: str, glued: bool, workspace: Workspace) -> None:
    content = "text,label\n" + text_and_label().replace("words", "größe")
    table = read(f"{content.rstrip() if glued else content}{end}".encode(encoding), workspace)
    assert (table.rows, table.rejected, table.repaired) == (30, 0, 0)
    assert rows(table)[-1] == ("some größe 29", "b")
    assert any("Ctrl-Z" in note for note in table.notes)


def test_ctrl_z_ends_lines_of_one_column(workspace: Workspace) -> None:
    assert rows(read("text\none line\nanother one\n\x1a", workspace)) == [("one line",), ("another one",)]
