"""Guesses of text and label columns, class names from a file, and the order of classes."""

import shutil
from pathlib import Path

import pytest

from core.data.mapping import class_names_from_lines, mapping_from, natural_order, suggest_mapping
from core.data.table import open_table
from core.errors import UserError
from core.schema import TableFile
from core.workspace import Workspace

SHARED = {
    "trec/train.csv": (("text",), "label"),
    "ag_news/test.csv": (("title", "description"), "label"),
    "ag_news/train_part.parquet": (("text",), "label"),
    "arxiv/train.parquet": (("title", "abstract"), "primary"),
    "banking77/train.csv": (("text",), "category"),
    "bbc_news/train.csv": (("title", "text"), "label"),
    "sms_spam/SMSSpamCollection.tsv": (("column_2",), "column_1"),
    "newsgroups_mini/train.parquet": (("subject", "text"), "label"),
    "rusentitweet/train.csv": (("text",), "label"),
    "sentipers_fa/train.csv": (("text",), "label"),
    "waimai_zh/train.csv": (("text",), "label"),
    "gnad10_de/test_raw_semicolon_noheader.csv": (("column_2",), "column_1"),
    "trec/train_5500.label": (("column_2",), "column_1"),
    "messy/politifact_cp1252.csv": (("News_Headline",), "Label"),
}


@pytest.mark.parametrize("name", SHARED)
def test_suggestions_for_shared_data(name: str, shared_data: Path, workspace: Workspace) -> None:
    suggestion = suggest_mapping(open_table(TableFile(path=str(shared_data / name)), workspace))
    assert (suggestion.text, suggestion.label) == SHARED[name]
    assert suggestion.reasons


def test_ag_news_gets_names_from_the_classes_file_beside_it(shared_data: Path, workspace: Workspace) -> None:
    file = TableFile(path=str(shared_data / "ag_news/train_4k_raw_noheader.csv"))
    suggestion = suggest_mapping(open_table(file, workspace))
    assert (suggestion.text, suggestion.label) == (("column_2", "column_3"), "column_1")
    assert suggestion.class_names == {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
    assert suggestion.backslash_is_space
    mapping = mapping_from(suggestion)
    assert mapping is not None
    assert mapping.class_names["4"] == "Sci/Tech"


def test_classes_file_that_does_not_fit_is_told(shared_data: Path, tmp_path: Path, workspace: Workspace) -> None:
    shutil.copy(shared_data / "ag_news/train_4k_raw_noheader.csv", tmp_path / "train.csv")
    (tmp_path / "classes.txt").write_text("World\nSports\n")
    suggestion = suggest_mapping(open_table(TableFile(path=str(tmp_path / "train.csv")), workspace))
    assert suggestion.class_names == {}
    assert any("2 class names for 4 labels" in reason for reason in suggestion.reasons)


def test_text_without_a_label(tmp_path: Path, workspace: Workspace) -> None:
    rows = "".join(f"Some sentence of its own about thing {number}\n" for number in range(50))
    (tmp_path / "a.csv").write_text("text\n" + rows)
    suggestion = suggest_mapping(open_table(TableFile(path=str(tmp_path / "a.csv")), workspace))
    assert (suggestion.text, suggestion.label) == (("text",), None)
    assert mapping_from(suggestion) is None


def test_numbers_and_ids_are_no_text_or_label(tmp_path: Path, workspace: Workspace) -> None:
    rows = "".join(
        f"{n},{n * 0.5},2024-01-{n % 28 + 1:02d},{'good' if n % 3 else 'bad'},a text number {n} of many\n"
        for n in range(90)
    )
    (tmp_path / "a.csv").write_text("user_id,price,date,verdict,remark\n" + rows)
    suggestion = suggest_mapping(open_table(TableFile(path=str(tmp_path / "a.csv")), workspace))
    assert (suggestion.text, suggestion.label) == (("remark",), "verdict")


def test_class_names_from_lines() -> None:
    assert class_names_from_lines(["a", "b ", "", "c"], ["10", "2", "1"]) == {"1": "a", "2": "b", "10": "c"}
    with pytest.raises(UserError, match="1 class names for 2 labels"):
        class_names_from_lines(["a"], ["1", "2"])


def test_natural_order() -> None:
    assert natural_order(["10", "9", "-1", "2.5"]) == ["-1", "2.5", "9", "10"]
    assert natural_order(["class 10", "Class 2", "b", "A"]) == ["A", "b", "Class 2", "class 10"]
    assert natural_order(["x", "3", "²", "١٢"]) == natural_order(["١٢", "²", "x", "3"])
