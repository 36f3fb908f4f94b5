"""Guesses of the kind of label: several classes in a cell, columns of 0 and 1, probabilities; and never in error."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.data.conversations import likely_chat
from core.data.database import connection
from core.data.label_guess import guess_separator, several_classes
from core.data.mapping import Suggestion, mapping_from, suggest_mapping
from core.data.table import Table, open_table
from core.schema import TableFile
from core.workspace import Workspace
from tests.unit.labelled_tables import records_file, several_rows, table_file

ALL_SHARED = (
    "ag_news/test.csv", "ag_news/test_raw_noheader.csv", "ag_news/train_4k_raw_noheader.csv",
    "ag_news/train_part.parquet", "banking77/test.csv", "banking77/train.csv", "bbc_news/test.csv",
    "bbc_news/train.csv", "clinc150/test.csv", "clinc150/train.csv", "clinc150/val.csv",
    "gnad10_de/test_raw_semicolon_noheader.csv", "messy/book_mixed_line_ends.csv", "messy/characters_big5.csv",
    "messy/politifact_cp1252.csv", "messy/sms_spam_cp1252_unnamed_columns.csv", "messy/tweets_quoted_newlines.csv",
    "newsgroups_mini/test.parquet", "newsgroups_mini/train.parquet", "rusentitweet/test.csv", "rusentitweet/train.csv",
    "sentipers_fa/test.csv", "sentipers_fa/train.csv", "sft/alpaca_2k.json", "sft/alpaca_zh_2k.jsonl",
    "sft/roleplay_1900.jsonl", "sms_spam/SMSSpamCollection.tsv", "sms_spam/train.csv", "trec/TREC_10.label",
    "trec/train.csv", "trec/train_5500.label", "waimai_zh/test.csv", "waimai_zh/train.csv",
)  # fmt: skip


def opened(rows: Sequence[Sequence[object]], header: Sequence[str], workspace: Workspace) -> Table:
    return open_table(table_file(rows, workspace, header), workspace)


@pytest.mark.parametrize("name", ALL_SHARED)
def test_no_ordinary_column_is_taken_for_several_classes(name: str, shared_data: Path, workspace: Workspace) -> None:
    table = open_table(TableFile(path=str(shared_data / name)), workspace)
    suggestion = suggest_mapping(table)
    assert (suggestion.kind, suggestion.label_columns) == ("single", ())
    with connection(workspace.tables) as database:
        assert [name for name in table.names if several_classes(database, table, name)] == []


def test_arxiv_keeps_its_single_column_and_says_what_else_there_is(shared_data: Path, workspace: Workspace) -> None:
    for name in ("train.parquet", "test.parquet", "sample_1500.csv"):
        table = open_table(TableFile(path=str(shared_data / "arxiv" / name)), workspace)
        guess = suggest_mapping(table)
        assert (guess.kind, guess.label, guess.text) == ("single", "primary", ("title", "abstract"))
        assert any("'categories' holds several classes a row (1." in reason for reason in guess.reasons)
        asked = suggest_mapping(table, "multi")
        assert (asked.kind, asked.label, asked.label_separator) == ("multi", "categories", ";")
        assert asked.text == ("title", "abstract")


def test_arxiv_without_its_single_column_is_of_several_classes(shared_data: Path, workspace: Workspace) -> None:
    import pyarrow.parquet as pq

    content = pq.read_table(shared_data / "arxiv" / "test.parquet").drop_columns(["primary"])
    path = workspace.root / "a.parquet"
    pq.write_table(content, path)
    mapping = mapping_from(suggest_mapping(open_table(TableFile(path=str(path)), workspace)))
    assert mapping is not None
    assert (mapping.kind, mapping.label, mapping.label_separator) == ("multi", "categories", ";")
    assert mapping.text == ("title", "abstract")


@pytest.mark.parametrize("separator", [";", "; ", "|", ",", ", ", " "])
def test_every_separator(separator: str, workspace: Workspace) -> None:
    guess = suggest_mapping(opened(several_rows(240, separator), ("text", "categories"), workspace))
    assert (guess.kind, guess.label, guess.text) == ("multi", "categories", ("text",))
    assert guess.label_separator == (separator.strip() or " ")
    assert "6 classes" in guess.reasons[0]
    assert guess.reasons[0].endswith(".")


def test_lists_of_classes(workspace: Workspace) -> None:
    records = [{"text": text, "topics": cell.split("; ")} for text, cell in several_rows(200)]
    table = open_table(records_file(records, workspace), workspace)
    guess = suggest_mapping(table)
    assert (guess.kind, guess.label, guess.text) == ("multi", "topics", ("text",))
    assert "in lists" in guess.reasons[0]
    assert guess_separator(table, "topics") is None


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("label", ["very positive", "very negative", "positive", "negative", "neutral"]),
        ("labels", ["very positive", "very negative", "positive", "negative", "neutral"]),
        ("category", ["Arts, Crafts & Sewing", "Books", "Clothing, Shoes & Jewelry", "Toys", "Home, Kitchen"]),
        ("category", ["Home | Kitchen", "Home | Garden", "Home", "Books | Crime", "Books | Poems", "Books"]),
        ("class", ["Sci/Tech", "World News", "Business News", "Sports News", "World"]),
        ("intent", ["turn on light", "turn off light", "play music", "stop", "play light"]),
    ],
)
def test_names_with_separators_in_them_stay_one_class(name: str, cells: list[str], workspace: Workspace) -> None:
    chosen = random.Random(3)
    rows = [(f"a text about thing {number}", chosen.choice(cells)) for number in range(400)]
    guess = suggest_mapping(opened(rows, ("text", name), workspace))
    assert (guess.kind, guess.label) == ("single", name)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("place", [f"{city}, {state}" for state in ("TX", "IL", "OR") for city in ("Paris", "Salem", "Rome", "Eden")]),
        ("day", [f"{month} {day}, {year}" for month in ("Jan", "May") for day in (1, 2, 3) for year in (2021, 2024)]),
        ("price", [f"{whole},{cents}" for whole in range(12) for cents in (10, 50, 99)]),
    ],
)  # fmt: skip
def test_places_dates_and_numbers_are_no_classes(name: str, cells: list[str], workspace: Workspace) -> None:
    chosen = random.Random(3)
    rows = [(f"a text about thing {n}", "xyz"[n % 3], chosen.choice(cells)) for n in range(600)]
    table = opened(rows, ("text", "label", name), workspace)
    assert guess_separator(table, name) is None
    assert suggest_mapping(table).label == "label"


def flags(count: int = 90, *, exclusive: bool = False) -> list[tuple[object, ...]]:
    if exclusive:
        return [(n, f"a text about thing {n}", *(int(n % 3 == place) for place in range(3))) for n in range(count)]
    return [(n, f"a text about thing {n}", int(n % 2 == 0), int(n % 3 == 0), int(n % 7 == 0)) for n in range(count)]


def test_columns_of_0_and_1(workspace: Workspace) -> None:
    guess = suggest_mapping(opened(flags(), ("id", "comment", "toxic", "threat", "insult"), workspace))
    assert (guess.kind, guess.label, guess.text) == ("multi", None, ("comment",))
    assert guess.label_columns == ("toxic", "threat", "insult")
    assert "hold only 0 and 1" in guess.reasons[0]
    mapping = mapping_from(guess)
    assert mapping is not None
    assert (mapping.label, mapping.label_columns) == ("", ("toxic", "threat", "insult"))


def test_columns_of_which_always_one_is_1_are_said_to_be(workspace: Workspace) -> None:
    guess = suggest_mapping(opened(flags(exclusive=True), ("id", "comment", "a", "b", "c"), workspace))
    assert guess.kind == "multi"
    assert any("Exactly one of them is 1" in reason for reason in guess.reasons)


def test_a_label_beside_columns_of_0_and_1_goes_first(workspace: Workspace) -> None:
    rows = [(*row, "xyz"[number % 3]) for number, row in enumerate(flags())]
    guess = suggest_mapping(opened(rows, ("id", "comment", "is_long", "has_url", "retweet", "label"), workspace))
    assert (guess.kind, guess.label) == ("single", "label")
    assert any("'is_long', 'has_url', 'retweet' hold only 0 and 1" in reason for reason in guess.reasons)


def test_a_column_named_label_of_0_and_1_is_one_class(workspace: Workspace) -> None:
    guess = suggest_mapping(opened(flags(), ("id", "comment", "label", "threat", "insult"), workspace))
    assert (guess.kind, guess.label) == ("single", "label")
    by_prefix = suggest_mapping(opened(flags(), ("id", "comment", "label_a", "label_b", "label_c"), workspace))
    assert (by_prefix.kind, by_prefix.label_columns) == ("multi", ("label_a", "label_b", "label_c"))


def soft_rows(count: int = 120, bad: int = 0) -> list[tuple[object, ...]]:
    chosen = random.Random(5)
    rows: list[tuple[object, ...]] = []
    for number in range(count):
        shares = [chosen.random() for _ in range(3)]
        factor = 3 if number < bad else 1
        total = sum(shares) / factor
        rows.append((f"a text about thing {number}", *(round(share / total, 3) for share in shares), chosen.random()))
    return rows


def test_probabilities(workspace: Workspace) -> None:
    header = ("text", "p_a", "p_b", "p_c", "confidence")
    for bad in (0, 8):
        guess = suggest_mapping(opened(soft_rows(bad=bad), header, workspace))
        assert (guess.kind, guess.label, guess.text) == ("soft", None, ("text",))
        assert guess.label_columns == ("p_a", "p_b", "p_c")
        assert "sum to 1" in guess.reasons[0]
    nowhere = suggest_mapping(opened(soft_rows(bad=60), header, workspace))
    assert nowhere.kind == "single"


def test_a_label_beside_probabilities_goes_first(workspace: Workspace) -> None:
    rows = [(*row, "abc"[number % 3]) for number, row in enumerate(soft_rows())]
    table = opened(rows, ("text", "p_a", "p_b", "p_c", "confidence", "label"), workspace)
    guess = suggest_mapping(table)
    assert (guess.kind, guess.label) == ("single", "label")
    assert any("hold probabilities" in reason for reason in guess.reasons)
    assert suggest_mapping(table, "soft").label_columns == ("p_a", "p_b", "p_c")


def test_what_is_asked_for_and_not_there_is_said(workspace: Workspace) -> None:
    table = opened([(f"text {n}", "xy"[n % 2]) for n in range(60)], ("text", "label"), workspace)
    for kind, words in (("multi", "held several classes"), ("soft", "look like probabilities")):
        guess = suggest_mapping(table, kind)
        assert (guess.kind, guess.label, guess.label_columns) == (kind, None, ())
        assert any(words in reason for reason in guess.reasons)
        assert mapping_from(guess) is None
    assert suggest_mapping(table, "single").label == "label"


def test_classes_in_columns_are_no_conversations(workspace: Workspace) -> None:
    header = ("instruction", "response", "helpful", "honest", "rude")
    rows = [(f"what is {n}", *row[1:]) for n, row in enumerate(flags())]
    table = opened(rows, header, workspace)
    assert likely_chat(table, suggest_mapping(table)) is None
    assert likely_chat(table, Suggestion((), None, {}, False, ())) is not None
