"""Files that are written wrongly are read rightly, and bytes that are no table never end in a traceback."""

import csv
import io
import random
from pathlib import Path

import pytest

from core.data.reading.dialects import find_dialect
from core.data.reading.encodings import as_utf8
from core.data.reading.names import distinct_names
from core.data.reading.records import read_records
from core.data.reading.result import Dialect
from core.data.table import Table, label_counts, open_table, preview
from core.schema import TableFile
from core.workspace import Workspace
from tests.unit.polluted import (
    Variant,
    odd_row_variants,
    one_row_variants,
    score,
    two_table_variants,
    whole_file_variants,
)


def read(content: bytes | str, workspace: Workspace, name: str = "a.csv") -> Table:
    path = workspace.root / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_table(TableFile(path=str(path)), workspace)


def scored(variant: Variant, workspace: Workspace) -> float:
    table = read(variant.content, workspace)
    rows = [tuple(value or "" for value in row.values()) for row in preview(table, 0, table.rows)]
    return score(variant, table.names, rows)


@pytest.mark.parametrize("variant", [*whole_file_variants(), *two_table_variants()], ids=lambda variant: variant.name)
def test_faults_of_the_whole_file_lose_nothing(variant: Variant, workspace: Workspace) -> None:
    assert scored(variant, workspace) == pytest.approx(10)


def test_a_fault_in_one_row_costs_that_row_at_most(workspace: Workspace) -> None:
    scores = {variant.name: scored(variant, workspace) for variant in one_row_variants(67)}
    # One of 84 rows and two of 756 cells wrong is 9.96; a lost delimiter beside a quoted cell can cost two rows.
    assert {name: value for name, value in scores.items() if value < 9.9} == {}
    assert sum(scores.values()) / len(scores) > 9.97
    exact = [value for name, value in scores.items() if name.startswith("quote")]
    assert sum(value == pytest.approx(10) for value in exact) >= 0.95 * len(exact)


def test_a_row_in_another_dialect_costs_a_row_at_most(workspace: Workspace) -> None:
    scores = {variant.name: scored(variant, workspace) for variant in odd_row_variants(29)}
    assert {name: value for name, value in scores.items() if value < 9.93} == {}
    exact = [
        value for name, value in scores.items() if name.startswith(("delimiter", "line end", "every", "backslash"))
    ]
    assert exact == pytest.approx([10] * len(exact))


def test_lines_behind_the_table_are_left_out_and_listed(workspace: Workspace) -> None:
    rows = "".join(f"{number},text number {number},x{number % 2}\n" for number in range(30))
    table = read(f"id,text,label\n{rows}\nSource: the shop\nEnd\n", workspace)
    assert (table.rows, table.rejected) == (30, 2)
    assert [line.line for line in table.rejected_lines] == [33, 34]
    assert table.lines_file is not None
    assert "33,left out,stands after the table,Source: the shop" in table.lines_file.read_text(encoding="utf-8")


def test_stray_quote_keeps_every_row_and_is_told(workspace: Workspace) -> None:
    rows = [f'{number},"some, text",{"ab"[number % 2]}' for number in range(2000)]
    rows[1000] = '1000,"stray text,a'
    table = read("id,text,label\n" + "\n".join(rows) + "\n", workspace)
    assert table.rows == 2000
    assert label_counts(table, "label") == [("a", 1000), ("b", 1000)]
    assert [line.line for line in table.repaired_lines] == [1002]
    assert preview(table, 1000, 1)[0]["text"] == '"stray text'


def test_quote_that_never_ends_costs_no_row(workspace: Workspace) -> None:
    rows = [f'{number},"some, text",{"ab"[number % 2]}' for number in range(2000)]
    rows[1000] = '1000,"stray, text,a'
    table = read("id,text,label\n" + "\n".join(rows) + "\n", workspace)
    assert table.rows == 2000
    assert label_counts(table, "label") == [("a", 1000), ("b", 1000)]
    assert preview(table, 1000, 1)[0]["text"] == '"stray, text'


def test_unquoted_commas_go_back_to_the_text(workspace: Workspace) -> None:
    rows = ["some quiet text here,spam", "another one of these,ham"] * 20
    rows[7] = "hello, my friend, how are you,spam"
    table = read("text,label\n" + "\n".join(rows) + "\n", workspace)
    assert preview(table, 7, 1) == [{"text": "hello, my friend, how are you", "label": "spam"}]
    assert "put together" in table.repaired_lines[0].reason
    assert table.repaired == 1


def test_rows_twice_too_wide_are_rejected_with_line_and_reason(workspace: Workspace) -> None:
    rows = [f"{number},text number {number},x{number % 2}" for number in range(30)]
    rows[10] = "1,a text,x1,2,b text,x0"
    table = read("id,text,label\n" + "\n".join(rows) + "\n", workspace)
    assert (table.rows, table.rejected) == (29, 1)
    assert (table.rejected_lines[0].line, table.rejected_lines[0].reason) == (12, "has 6 cells where the table has 3")


def test_short_rows_are_filled_up(workspace: Workspace) -> None:
    rows = [f"{number},text number {number},x{number % 2}" for number in range(30)]
    rows[10] = "1,a text"
    table = read("id,text,label\n" + "\n".join(rows) + "\n", workspace)
    assert preview(table, 10, 1) == [{"id": "1", "text": "a text", "label": None}]
    assert table.repaired == 1


def test_quotes_left_as_they_are_inside_quoted_cells(workspace: Workspace) -> None:
    table = read("".join(f'{number},"he said "hi, you" there",x{number % 2}\n' for number in range(50)), workspace)
    assert (table.rows, len(table.columns)) == (50, 3)
    assert preview(table, 0, 1)[0]["column_2"] == 'he said "hi, you" there'


def test_quoted_line_breaks_with_commas_are_no_rows(workspace: Workspace) -> None:
    text = '"first line, of a text\nsecond, third, fourth\nfifth, sixth, seventh"'
    table = read("id,text,label\n" + "".join(f"{number},{text},x{number % 2}\n" for number in range(50)), workspace)
    assert (table.rows, table.repaired) == (50, 0)
    assert label_counts(table, "label") == [("x0", 25), ("x1", 25)]


@pytest.mark.parametrize("width", [2, 3])
def test_header_or_none(width: int, workspace: Workspace) -> None:
    body = [
        [str(1 + number % 4), f"Some long text of a piece of news, number {number}", "more"] for number in range(40)
    ]
    text = "\n".join('"' + '","'.join(row[:width]) + '"' for row in body)
    without = read(text, workspace, "without.csv")
    assert (without.header, without.rows, without.names[0]) == (False, 40, "column_1")
    named = read('"class","title","rest"'[: 15 if width == 2 else 22] + "\n" + text, workspace, "with.csv")
    assert (named.header, named.rows, named.names[:2]) == (True, 40, ("class", "title"))


def test_label_word_before_the_text(workspace: Workspace) -> None:
    content = "".join(f"__label__{'ab'[number % 2]} some text, number {number}\n" for number in range(40))
    table = read(content, workspace, "fast.txt")
    assert label_counts(table, "column_1") == [("__label__a", 20), ("__label__b", 20)]
    assert preview(table, 0, 1)[0]["column_2"] == "some text, number 0"


def test_questions_are_not_taken_for_labelled_lines(workspace: Workspace) -> None:
    table = read("".join(f"what is the meaning of {number}\nhow is it\n" for number in range(40)), workspace, "q.txt")
    assert len(table.columns) == 1


APOSTROPHES = ["the", "wasn't", "'good'", "'n'", "cats'", "we're", "'twas", "2", "10", "3.5", "stars", "bad", "ok"]


def prose(draw: random.Random, words: int, numbers: int = 0) -> str:
    """Words that begin and end with stray apostrophes, and `numbers` times as many figures."""
    return " ".join(draw.choice([*APOSTROPHES, *["3", "17"] * (8 * numbers)]) for _ in range(words))


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize(
    ("words", "numbers"),
    [((69, 69), 0), ((69, 69), 2), ((2, 2), 0), ((40, 90), 0)],
    ids=["even", "digits", "short", "long"],
)
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL], ids=["quoted", "bare"])
def test_blanks_and_apostrophes_in_texts_divide_nothing(
    header: bool, rows: int, words: tuple[int, int], numbers: int, quoting: int, workspace: Workspace
) -> None:
    draw = random.Random(rows)
    pairs = [[prose(draw, draw.randint(*words), numbers) for _ in range(2)] for _ in range(rows)]
    content = io.StringIO()
    written = csv.writer(content, quoting=quoting)
    written.writerows([["question", "answer"]] * header + pairs)
    table = read(content.getvalue(), workspace)
    found = [list(row.values()) for row in preview(table, 0, table.rows)]
    # A file of one line and no header may be taken for a header.
    assert (len(table.columns), table.delimiter) == (2, ",")
    assert rows == 1 or found == pairs


@pytest.mark.parametrize("rows", [2, 3, 20, 500])
@pytest.mark.parametrize("header", ["text", "the text", "words"])
@pytest.mark.parametrize("line", ["word {}", "{} words", "word number {}", '"word {}"'])
def test_one_column_of_words_and_numbers_stays_one(rows: int, header: str, line: str, workspace: Workspace) -> None:
    written = "".join(f"{line.format(number)}\n" for number in range(rows))
    table = read(f"{header}\n{written}", workspace)
    assert (len(table.columns), table.names, table.rows) == (1, (header,), rows)
    assert len(read(written, workspace, "without.csv").columns) == 1


@pytest.mark.parametrize(
    ("line", "width"), [('"a text {}" x{}', 2), ('{} "some text" 4', 3), ("{} 2024-01-01 12:30 word", 4)]
)
def test_blanks_divide_where_nothing_else_explains_the_lines(line: str, width: int, workspace: Workspace) -> None:
    table = read("".join(line.replace("{}", str(number)) + "\n" for number in range(30)), workspace)
    assert (table.delimiter, len(table.columns)) == (" ", width)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Привет как дела, это русский текст о погоде и новостях"),
        ("big5", "這是一個繁體中文的句子，關於天氣和新聞的內容"),
        ("gb18030", "这是一个简体中文的句子，关于天气和新闻的内容"),
        ("shift_jis", "これは日本語の文章です。天気とニュースについて書かれています"),
        ("cp1252", "Le cœur déçu mais l’âme plutôt naïve, très élégant"),
        ("utf-16", "Ünïcödé text"),
        ("utf-16-be", "plain words without a mark"),
        ("utf-8", "Ünïcödé text – mit Strich"),
    ],
)
def test_encodings_are_found(encoding: str, text: str, workspace: Workspace) -> None:
    content = "text,label\n" + "".join(f'"{text} {number}",{"ab"[number % 2]}\n' for number in range(60))
    table = read(content.encode(encoding), workspace)
    assert preview(table, 5, 1)[0]["text"] == f"{text} 5"


def test_some_wrong_bytes_in_utf8_are_told_and_cost_no_row(workspace: Workspace) -> None:
    lines = [f"größe und länge {number},x{number % 2}\n".encode() for number in range(100)]
    lines[50] = b"gr\xf6sse,x0\n"
    table = read(b"text,label\n" + b"".join(lines), workspace)
    assert (table.rows, table.encoding) == (100, "utf-8")
    assert any("could not be read" in note for note in table.notes)
    assert preview(table, 3, 1)[0]["text"] == "größe und länge 3"


def test_utf8_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nnaïve,x\n", encoding="utf-8")
    assert as_utf8(path, "a.csv", None, tmp_path).path == path


def test_distinct_names_know_no_case() -> None:
    names, notes = distinct_names(["a", "A", "", "column_3", "a_2", " b  c "])
    assert len({name.casefold() for name in names}) == 6
    assert names[0] == "a"
    assert names[5] == "b c"
    assert len(notes) == 2


def test_records_tell_lines_and_doubt() -> None:
    lines = ['a,"x\n', 'y",1\n', "\n", 'b,"z,2\n', 'c,"say "hi" now",3\n', "d,e,4\n"]
    records = list(read_records(lines, Dialect(",", '"', ""), width=3))
    assert [(record.line, record.doubtful) for record in records] == [(1, False), (4, True), (5, True), (6, False)]
    assert [record.cells for record in records] == [
        ["a", "x\ny", "1"],
        ["b", '"z', "2"],
        ["c", 'say "hi" now', "3"],
        ["d", "e", "4"],
    ]


def test_dialect_given_is_not_questioned() -> None:
    lines = ["a;b,c\n", "d;e,f\n"]
    assert find_dialect(lines, False, TableFile(path="x", delimiter=";")).dialect.delimiter == ";"
    assert find_dialect(lines, False, TableFile(path="x", delimiter="")).width == 1
