"""Files become Tables: every format, the right rows and columns, cells as written, and clear words for bad files."""

import csv
import gzip
import json
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.reading_job import cancel_reading, reading_job, start_reading
from core.data.table import Table, first_look, label_counts, open_table, preview, table_json, text_lengths
from core.errors import UserError
from core.schema import TableFile
from core.workspace import Workspace

README_COUNTS = {
    "trec/train.csv": (5452, 3),
    "trec/test.csv": (500, 3),
    "trec/train_5500.label": (5452, 2),
    "trec/TREC_10.label": (500, 2),
    "ag_news/train_part.parquet": (50632, 4),
    "ag_news/test.csv": (7600, 3),
    "ag_news/test_raw_noheader.csv": (7600, 3),
    "ag_news/train_4k_raw_noheader.csv": (4000, 3),
    "arxiv/train.parquet": (15000, 5),
    "arxiv/test.parquet": (2000, 5),
    "arxiv/sample_1500.csv": (1500, 5),
    "banking77/train.csv": (10003, 2),
    "banking77/test.csv": (3080, 2),
    "clinc150/train.csv": (15100, 2),
    "clinc150/val.csv": (3100, 2),
    "clinc150/test.csv": (5500, 2),
    "sms_spam/SMSSpamCollection.tsv": (5574, 2),
    "sms_spam/train.csv": (4460, 2),
    "sms_spam/test.csv": (1114, 2),
    "bbc_news/train.csv": (1781, 3),
    "bbc_news/test.csv": (444, 3),
    "newsgroups_mini/train.parquet": (1599, 3),
    "newsgroups_mini/test.parquet": (400, 3),
    "rusentitweet/train.csv": (10713, 3),
    "rusentitweet/test.csv": (2679, 3),
    "sentipers_fa/train.csv": (5561, 2),
    "sentipers_fa/test.csv": (1854, 2),
    "waimai_zh/train.csv": (9590, 2),
    "waimai_zh/test.csv": (2397, 2),
    "gnad10_de/test_raw_semicolon_noheader.csv": (1028, 2),
    "messy/politifact_cp1252.csv": (9960, 6),
    "messy/sms_spam_cp1252_unnamed_columns.csv": (5573, 5),
    "messy/tweets_quoted_newlines.csv": (7999, 10),
    "messy/characters_big5.csv": (382, 18),
    "messy/book_mixed_line_ends.csv": (19, 11),
    "sft/alpaca_2k.json": (2000, 3),
    "sft/alpaca_gpt4_en_1k.json": (999, 3),
    "sft/chat_messages_1k.jsonl": (999, 1),
    "sft/toolcall_sharegpt_300.json": (300, 2),
    "sft/roleplay_1900.jsonl": (1923, 3),
    "sft/alpaca_zh_2k.jsonl": (2000, 3),
}

ROWS = [{"text": "good film", "label": "pos"}, {"text": "bad, long film", "label": "neg"}]


def write(tmp_path: Path, name: str, content: str | bytes) -> TableFile:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return TableFile(path=str(path))


@pytest.mark.parametrize("name", README_COUNTS)
def test_shared_file_opens_unaided(name: str, shared_data: Path, workspace: Workspace) -> None:
    table = open_table(TableFile(path=str(shared_data / name)), workspace)
    assert (table.rows, len(table.columns), table.rejected) == (*README_COUNTS[name], 0)


def test_labels_that_look_like_truth_values_stay_text(shared_data: Path, workspace: Workspace) -> None:
    table = open_table(TableFile(path=str(shared_data / "messy/politifact_cp1252.csv")), workspace)
    assert table.encoding == "cp1252"
    assert dict(label_counts(table, "Label"))["TRUE"] == 1036
    assert label_counts(table, "Label")[:2] == [("FALSE", 2273), ("barely-true", 1737)]


def test_shared_messy_details(shared_data: Path, workspace: Workspace) -> None:
    spam = open_table(TableFile(path=str(shared_data / "messy/sms_spam_cp1252_unnamed_columns.csv")), workspace)
    assert spam.names == ("class_label", "message", "column_3", "column_4", "column_5")
    assert label_counts(spam, "class_label") == [("ham", 4825), ("spam", 748)]
    tweets = open_table(TableFile(path=str(shared_data / "messy/tweets_quoted_newlines.csv")), workspace)
    assert all(len(row["tweet_id"] or "") == 18 for row in preview(tweets, 0, 1, ("tweet_id",)))
    big5 = open_table(TableFile(path=str(shared_data / "messy/characters_big5.csv")), workspace)
    assert big5.encoding == "big5"
    assert big5.names[2] == "景點中文名稱"
    german = open_table(TableFile(path=str(shared_data / "gnad10_de/test_raw_semicolon_noheader.csv")), workspace)
    assert (german.delimiter, german.quote, german.header) == (";", "'", False)
    assert dict(label_counts(german, "column_1"))["Kultur"] == 54
    sms = open_table(TableFile(path=str(shared_data / "sms_spam/SMSSpamCollection.tsv")), workspace)
    assert (sms.delimiter, sms.quote) == ("\t", "")
    assert dict(label_counts(sms, "column_1")) == {"ham": 4827, "spam": 747}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\ngood film,pos\n"bad, long film",neg\n'),
        ("a.tsv", "text\tlabel\ngood film\tpos\nbad, long film\tneg\n"),
        ("a.csv", "text;label\r\ngood film;pos\r\nbad, long film;neg\r\n"),
        ("a.txt", "text|label\ngood film|pos\nbad, long film|neg\n"),
        ("a.json", json.dumps(ROWS)),
        ("a.json", json.dumps(ROWS, indent=2)),
        ("a.jsonl", "\n".join(json.dumps(row) for row in ROWS)),
        ("a.json", "\n".join(json.dumps(row) for row in ROWS)),
    ],
)
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_every_format_gives_the_same_rows(
    name: str, content: str, packing: str, tmp_path: Path, workspace: Workspace
) -> None:
    data = content.encode()
    if packing:
        data = gzip.compress(data, mtime=0) if packing == ".gz" else pa.compress(data, "zstd", asbytes=True)
    table = open_table(write(tmp_path, name + packing, data), workspace)
    assert preview(table) == ROWS
    assert table.names == ("text", "label")


def test_parquet_values_become_their_usual_text(tmp_path: Path, workspace: Workspace) -> None:
    source = pa.table(
        {
            "n": pa.array([123456789012345678, 2]),
            "x": [1.0, 0.5],
            "yes": [True, None],
            "many": [["a", "b"], []],
            "day": pa.array([0, 1], pa.date32()),
        }
    )
    pq.write_table(source, tmp_path / "a.parquet")
    table = open_table(TableFile(path=str(tmp_path / "a.parquet")), workspace)
    assert preview(table)[0] == {
        "n": "123456789012345678",
        "x": "1.0",
        "yes": "true",
        "many": '["a","b"]',
        "day": "1970-01-01",
    }
    assert [column.type for column in table.columns] == ["integer", "number", "boolean", "list", "date"]


def test_json_values_stay_as_written(tmp_path: Path, workspace: Workspace) -> None:
    content = '[{"a": 1.0, "b": "01", "c": {"z": [1]}, "d": 123456789012345678}, {"a": 2, "b": "2020-01-01T00:00:00Z"}]'
    table = open_table(write(tmp_path, "a.json", content), workspace)
    assert preview(table) == [
        {"a": "1.0", "b": "01", "c": '{"z":[1]}', "d": "123456789012345678"},
        {"a": "2", "b": "2020-01-01T00:00:00Z", "c": None, "d": None},
    ]


def test_broken_json_lines_are_rejected_with_their_number(tmp_path: Path, workspace: Workspace) -> None:
    content = '{"text": "a b", "label": "x"}\n{"text": broken\n[1, 2]\n{"text": "c d", "label": "y"}\n'
    table = open_table(write(tmp_path, "a.jsonl", content), workspace)
    assert (table.rows, table.rejected) == (2, 2)
    assert [line.line for line in table.rejected_lines] == [2, 3]
    assert "not valid JSON" in table.rejected_lines[0].reason


def test_cells_stay_exactly_as_written(tmp_path: Path, workspace: Workspace) -> None:
    cells = ["TRUE", "01", "1.0", "NA", "None", "NULL", "2020-1-2", "123456789012345678", " padded ", "1e5"]
    content = "text,label\n" + "".join(f"some words here,{cell}\n" for cell in cells)
    table = open_table(write(tmp_path, "a.csv", content), workspace)
    assert [row["label"] for row in preview(table)] == cells


def test_empty_cells_quoted_or_not_are_none(tmp_path: Path, workspace: Workspace) -> None:
    table = open_table(write(tmp_path, "a.csv", 'text,label\n"",pos\n,neg\nthree words here,\n'), workspace)
    assert [row["text"] for row in preview(table)] == [None, None, "three words here"]
    assert table.columns[0].empty_share == pytest.approx(2 / 3, abs=1e-5)


def test_duplicate_and_empty_names_are_made_distinct_and_said(tmp_path: Path, workspace: Workspace) -> None:
    table = open_table(
        write(tmp_path, "a.csv", "text,Text,,label,\nsome words,b,c,d,e\nmore words,f,g,h,i\n"), workspace
    )
    assert table.names == ("text", "Text_2", "column_3", "label", "column_5")
    assert any("without a name" in note for note in table.notes)
    assert any("taken" in note for note in table.notes)


def test_given_names_replace_the_header_and_must_fit(tmp_path: Path, workspace: Workspace) -> None:
    file = write(tmp_path, "a.csv", "a,b\nsome words,1\nmore words,2\n")
    table = open_table(file.model_copy(update={"column_names": ("body", "class")}), workspace)
    assert table.names == ("body", "class")
    assert table.rows == 2
    with pytest.raises(UserError, match="3 column names"):
        open_table(file.model_copy(update={"column_names": ("x", "y", "z")}), workspace)


def test_the_same_names_for_two_headerless_files(shared_data: Path, workspace: Workspace) -> None:
    names = ("class", "title", "description")
    for name in ("train_4k_raw_noheader.csv", "test_raw_noheader.csv"):
        table = open_table(TableFile(path=str(shared_data / "ag_news" / name), column_names=names), workspace)
        assert table.names == names
        assert table.header is False
        assert len(label_counts(table, "class")) == 4


def test_reading_options_are_obeyed(tmp_path: Path, workspace: Workspace) -> None:
    file = write(tmp_path, "a.csv", "a;b,c\nd;e,f\ng;h,i\n")
    comma = open_table(file.model_copy(update={"delimiter": ",", "header": False}), workspace)
    assert preview(comma)[0] == {"column_1": "a;b", "column_2": "c"}
    semicolon = open_table(file.model_copy(update={"delimiter": ";", "header": True}), workspace)
    assert preview(semicolon)[0] == {"a": "d", "b,c": "e,f"}
    latin = write(tmp_path, "b.csv", "text,label\nd\xe9j\xe0 vu,x\nna\xefve,y\n".encode("latin-1"))
    table = open_table(latin.model_copy(update={"encoding": "cp1251"}), workspace)
    assert preview(table)[0]["text"] == "dйjа vu"
    with pytest.raises(UserError, match="not a text encoding"):
        open_table(latin.model_copy(update={"encoding": "utf-99"}), workspace)


def test_cache_is_used_until_the_file_changes(tmp_path: Path, workspace: Workspace) -> None:
    file = write(tmp_path, "a.csv", "text,label\none two,x\nthree four,y\n")
    first = open_table(file, workspace)
    stamp = first.parquet.stat().st_mtime_ns
    assert open_table(file, workspace) == first
    assert first.parquet.stat().st_mtime_ns == stamp
    write(tmp_path, "a.csv", "text,label\none two,x\nthree four,y\nfive six,z\n")
    second = open_table(file, workspace)
    assert (second.rows, second.parquet != first.parquet) == (3, True)


def test_nothing_half_written_is_left(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UserError):
        open_table(write(tmp_path, "a.parquet", b"PAR1" + b"\0" * 100), workspace)
    open_table(write(tmp_path, "a.csv", "text,label\none two,x\nthree four,y\n"), workspace)
    assert sorted(path.suffix for path in workspace.tables.iterdir()) == [".json", ".parquet"]


def test_preview_pages_in_file_order(tmp_path: Path, workspace: Workspace) -> None:
    content = "text,label\n" + "".join(f"row number {number},c{number % 3}\n" for number in range(50_000))
    table = open_table(write(tmp_path, "a.csv", content), workspace)
    assert [row["text"] for row in preview(table, 40_000, 3)] == [f"row number {n}" for n in (40_000, 40_001, 40_002)]
    assert preview(table, 49_999, 10, ("label",)) == [{"label": "c1"}]
    assert preview(table, 50_000, 10) == []
    with pytest.raises(UserError, match="columns: text, label"):
        preview(table, 0, 1, ("nope",))


def test_label_counts_and_lengths(tmp_path: Path, workspace: Workspace) -> None:
    content = "title,body,label\nab,cde,x\n,four, x \nab,,y\n,,y\nlonger,text here,\n"
    table = open_table(write(tmp_path, "a.csv", content).model_copy(update={"header": True}), workspace)
    assert label_counts(table, "label") == [("x", 2), ("y", 2)]
    lengths = text_lengths(table, ("title", "body"), " ")
    assert (lengths["max"], lengths["p50"], lengths["mean"]) == (16, 4, 7)


def test_table_json_is_json(tmp_path: Path, workspace: Workspace) -> None:
    table = open_table(write(tmp_path, "a.csv", "text,label\none two,x\nthree four,y\n"), workspace)
    content = json.loads(json.dumps(table_json(table)))
    assert {"rows", "rejected", "rejected_lines", "columns", "encoding", "delimiter", "header"} <= set(content)
    assert content["columns"][0]["name"] == "text"
    assert content["encoding"] == "utf-8"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b"\n \n\n", "blank lines"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "picture"),
        ("binary.csv", bytes(range(256)) * 50, "binary"),
        ("sheet.csv", b"PK\x03\x04" + b"\0" * 100, "Excel"),
        ("cut.parquet", b"PAR1" + b"\x15\x04" * 200, "not a whole Parquet"),
        ("text.parquet", b"text,label\na,b\n", "not a Parquet"),
        ("broken.json", b'[{"text": "a"}, {"text"', "not valid JSON"),
        ("numbers.json", b"[1, 2, 3]", "no records"),
        ("words.json", b"hello", "not valid JSON"),
        ("cut.csv.gz", gzip.compress(b"text,label\n" + b"a,b\n" * 99999, mtime=0)[:-200], "cannot be unpacked"),
        ("hollow.csv.gz", gzip.compress(b"", mtime=0), "empty once unpacked"),
    ],
)
def test_bad_files_are_explained(name: str, content: bytes, words: str, tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UserError) as error:
        open_table(write(tmp_path, name, content), workspace)
    assert words in error.value.what
    assert name in error.value.where
    assert error.value.todo


def test_columns_without_rows_are_a_table(tmp_path: Path, workspace: Workspace) -> None:
    table = open_table(write(tmp_path, "header.csv", "text,label\n"), workspace)
    assert (table.names, table.rows, preview(table), label_counts(table, "label")) == (("text", "label"), 0, [], [])
    assert text_lengths(table, ("text",))["max"] == 0


def test_truncated_parquet_of_real_rows(tmp_path: Path, workspace: Workspace) -> None:
    pq.write_table(pa.table({"text": [f"row {n}" for n in range(5000)]}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(UserError, match="cut off"):
        open_table(write(tmp_path, "b.parquet", whole[: len(whole) // 2]), workspace)


def test_missing_file_and_folder(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        open_table(TableFile(path=str(tmp_path / "nope.csv")), workspace)
    with pytest.raises(UserError, match="is a folder"):
        open_table(TableFile(path=str(tmp_path)), workspace)


def test_one_column_and_a_huge_cell(tmp_path: Path, workspace: Workspace) -> None:
    one = open_table(write(tmp_path, "one.csv", "text\nhello, world\nanother line\nthird\n"), workspace)
    assert (one.names, one.rows) == (("text",), 3)
    huge = "word " * 400_000
    table = open_table(write(tmp_path, "huge.csv", f'text,label\nshort text,x\n"{huge}",y\nlast text,x\n'), workspace)
    assert table.rows == 3
    assert text_lengths(table, ("text",), " ")["max"] == len(huge.strip())


def test_every_shared_file_is_counted(shared_data: Path) -> None:
    files = {path.relative_to(shared_data).as_posix() for path in shared_data.glob("*/*")}
    assert files - {"ag_news/classes.txt"} == set(README_COUNTS)


def options(file: TableFile, workspace: Workspace, **given: object) -> Table:
    return open_table(TableFile.model_validate({**file.model_dump(), **given}), workspace)


def test_lines_before_the_table_are_counted_and_can_be_set(tmp_path: Path, workspace: Workspace) -> None:
    rows = "".join(f"some words {number},x{number % 2}\n" for number in range(20))
    file = write(tmp_path, "a.csv", f"A report\nof a day\n\ntext,label\n{rows}")
    found = open_table(file, workspace)
    assert (found.skipped, found.names, found.rows) == (3, ("text", "label"), 20)
    fixed = options(file, workspace, skip_lines=3)
    assert (fixed.skipped, fixed.names, fixed.rows) == (3, ("text", "label"), 20)
    later = options(file, workspace, skip_lines=6, header=False)
    assert (later.rows, preview(later, 0, 1)[0]["column_1"]) == (18, "some words 2")
    none = options(file, workspace, skip_lines=0, delimiter=",")
    assert none.rows + none.rejected > 20


def test_more_lines_skipped_than_there_are(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UserError, match="blank lines"):
        options(write(tmp_path, "a.csv", "text,label\na b c,x\n"), workspace, skip_lines=9)


def test_comments_are_left_out_and_said_but_not_within_quotes(tmp_path: Path, workspace: Workspace) -> None:
    comments = ("# so", "", "", "")
    rows = "".join(f'"a text\n# {number}",x{number % 2}\n{comments[number % 4]}\n' for number in range(20))
    file = write(tmp_path, "a.csv", f"# made by a tool\ntext,label\n{rows}")
    table = open_table(file, workspace)
    assert (table.rows, table.comment, table.rejected, table.repaired) == (20, "#", 0, 0)
    assert preview(table, 3, 1)[0]["text"] == "a text\n# 3"
    assert "6 lines begin with # and were left out as comments." in table.notes
    percent = write(tmp_path, "b.csv", "text,label\n% one\na text,x\nb text,y\n")
    assert options(percent, workspace, comment="%").rows == 2
    assert options(file, workspace, comment="").rows > 20


def test_a_mark_of_utf_8_before_another_encoding_is_no_name(tmp_path: Path, workspace: Workspace) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"\xef\xbb\xbf" + "text,label\ncafé,a\nthé,b\n".encode("cp1252"))
    table = open_table(TableFile(path=str(file), encoding="cp1252"), workspace)
    assert table.names == ("text", "label") and preview(table)[0]["text"] == "café"


def test_hashes_that_are_no_comments(tmp_path: Path, workspace: Workspace) -> None:
    rows = "".join(f"#tag{number},x{number % 2}\n" for number in range(20))
    assert open_table(write(tmp_path, "a.csv", f"text,label\n{rows}"), workspace).rows == 20
    assert open_table(write(tmp_path, "b.csv", f"#text,label\n{rows}"), workspace).names == ("#text", "label")
    lone = open_table(write(tmp_path, "c.txt", "#one\n#two\n#three\n"), workspace)
    assert lone.rows + lone.header == 3


def test_null_words_are_empty_cells_only_where_they_are_given(tmp_path: Path, workspace: Workspace) -> None:
    file = write(tmp_path, "a.csv", "text,label\nsome words,NA\nmore words,None\nNA here,x\n")
    assert [row["label"] for row in preview(open_table(file, workspace))] == ["NA", "None", "x"]
    table = options(file, workspace, null_words=("NA", "None"))
    assert [row["label"] for row in preview(table)] == [None, None, "x"]
    assert preview(table)[2]["text"] == "NA here"
    assert any("taken as empty" in note for note in table.notes)


def test_decimal_commas_make_numbers_and_leave_the_cells(tmp_path: Path, workspace: Workspace) -> None:
    file = write(tmp_path, "a.csv", "text;score\nsome words;0,5\nmore words;1.234,75\nthe last;3\n")
    table = open_table(file, workspace)
    assert (table.decimal, table.columns[1].type) == (",", "number")
    assert [row["score"] for row in preview(table)] == ["0,5", "1.234,75", "3"]
    assert options(file, workspace, decimal=".").columns[1].type == "text"
    points = open_table(
        write(tmp_path, "b.csv", 'text,n,m\nsome words,0.5,"1,000"\nmore words,2.5,"2,000"\n'), workspace
    )
    assert (points.decimal, points.columns[1].type) == (".", "number")


def test_strict_reading_leaves_ragged_rows_out_and_lists_them(tmp_path: Path, workspace: Workspace) -> None:
    rows = [f'{number},"text, number {number}",x{number % 2}' for number in range(30)]
    rows[10], rows[20], rows[25] = "10,a text", "=20,a text,x1,more", '25,"a text,x1'
    file = write(tmp_path, "a.csv", "id,text,label\n" + "\n".join(rows) + "\n")
    mended = open_table(file, workspace)
    assert (mended.rows, mended.rejected, mended.repaired) == (30, 0, 3)
    strict = options(file, workspace, ragged_rows="reject")
    assert (strict.rows, strict.rejected, strict.repaired) == (27, 3, 0)
    assert [line.line for line in strict.rejected_lines] == [12, 22, 27]
    assert strict.lines_file is not None
    listed = list(csv.DictReader(strict.lines_file.open(encoding="utf-8", newline="")))
    assert [line["reason"] for line in listed[:2]] == [
        "has 2 cells where the table has 3",
        "has 4 cells where the table has 3",
    ]
    assert listed[1]["content"] == "'=20,a text,x1,more"


def test_a_big_file_is_looked_at_from_its_start(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.reading.start.BIG", 20_000)
    monkeypatch.setattr("core.data.reading.start.START", 50_000)
    monkeypatch.setattr("core.data.reading.start.CHUNK", 16_384)
    rows = "".join(f'"text\nnumber {number:06}",x{number % 3}\n' for number in range(20_000))
    for name, content, encoding in (
        ("a.csv", f"text,label\n{rows}".encode(), "utf-8"),
        ("a.csv.gz", gzip.compress(f"text,label\n{rows}".encode(), mtime=0), "utf-8"),
        ("b.csv", f"text,label\n{rows}".encode("utf-16"), "utf-16"),
    ):
        file = write(tmp_path, name, content)
        look = first_look(file, workspace)
        assert look.names == ("text", "label")
        assert (look.encoding, look.rejected, look.repaired) == (encoding, 0, 0)
        assert look.rows_in_all is not None
        assert look.rows < 20_000
        if not name.endswith(".gz"):  # so small a packed file is read at once, so that nothing tells its share
            assert look.rows_in_all == pytest.approx(20_000, rel=0.05)
        assert preview(look, look.rows - 1, 1)[0]["text"] == f"text\nnumber {look.rows - 1:06}"
        assert first_look(file, workspace) == look
        whole = open_table(file, workspace)
        assert (whole.rows, whole.rows_in_all) == (20_000, None)
        assert first_look(file, workspace) == whole


def test_reading_in_the_background_ends_in_the_same_table(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.reading.start.BIG", 100_000)
    rows = "".join(f"text number {number:06},x{number % 3}\n" for number in range(120_000))
    file = write(tmp_path, "a.csv", f"text,label\n{rows}")
    assert reading_job(file, workspace).state == "none"
    start_reading(file, workspace)
    assert reading_job(file, workspace).state == "running"
    cancel_reading(file, workspace)
    assert reading_job(file, workspace).state == "stopped"
    start_reading(file, workspace)
    deadline = time.monotonic() + 120
    while reading_job(file, workspace).state == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert reading_job(file, workspace).state == "done"
    assert first_look(file, workspace).rows == 120_000


def test_long_tables_are_profiled_like_short_ones(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(
        f"{number},{' ' if number % 2 else 'word'},{'' if number < 900 else 'late'},\n" for number in range(1000)
    )
    file = write(tmp_path, "a.csv", f"id,half,late,none\n{rows}")
    short = open_table(file, workspace).columns
    monkeypatch.setattr("core.data.reading.profile.EXACT_CELLS", 10)
    monkeypatch.setattr("core.data.reading.profile.TYPED_ROWS", 100)
    long = options(file, workspace, header=True).columns
    assert [(column.name, column.type, column.empty_share) for column in long] == [
        (column.name, column.type, column.empty_share) for column in short
    ]
    assert [column.example for column in long] == ["0", "word", "late", ""]
    assert long[0].distinct == pytest.approx(1000, rel=0.1)
