"""Which column is guessed to be the label where several hold few values: by what they are called and what they hold."""

import pytest

from core.data.mapping import suggest_mapping
from core.data.table import open_table
from core.workspace import Workspace
from tests.unit.labelled_tables import table_file

CELLS = {
    "split": ("train", "train", "test"),
    "Teil": ("Train", "Dev", "Train"),
    "annotator": ("anna", "ben", "anna"),
    "source": ("web", "mail", "web"),
    "author": ("Poe", "Lovecraft", "Poe"),
    "user": ("u1", "u2", "u3"),
    "date": ("2024-01-01", "2024-01-02", "2024-01-02"),
    "lang": ("en", "de", "en"),
    "language": ("en", "de", "en"),
    "stars": ("1", "3", "5", "2", "4"),
    "score": tuple(str(number) for number in range(90)),
    "type": ("praise", "question", "complaint", "praise"),
    "spam": ("0", "1", "0", "0"),
    "hate": ("1", "0"),
    "Kategorie": ("Sport", "Politik", "Kultur"),
    "bearbeitet": ("ja", "nein"),
    "colour": ("red", "green", "blue", "grey", "black", "white"),
    "label_source": ("web", "mail"),
    "label": ("b", "a", "b", "a", "a"),
}


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ("id,split,review,stars", "stars"),
        ("annotator,split,review,type", "type"),
        ("id,date,split,lang,text,spam", "spam"),
        ("tweet,language,spam", "spam"),
        ("language,tweet,hate", "hate"),
        ("source,Kommentar,Kategorie,bearbeitet", "Kategorie"),
        ("Teil,text,colour", "colour"),
        ("author,text,colour,user", "colour"),
        ("text,language,split,author", "language"),
        ("text,author", "author"),
        ("text,split", "split"),
        ("text,score,colour", "colour"),
        ("label_source,text,colour", "colour"),
        ("type,spam,text,label", "label"),
    ],
)
def test_the_label_among_columns_of_few_values(columns: str, label: str, workspace: Workspace) -> None:
    names = columns.split(",")
    rows = [
        [CELLS[name][row % len(CELLS[name])] if name in CELLS else f"a thing to say, {row}" for name in names]
        for row in range(180)
    ]
    if names[0] == "id":
        rows = [[number, *row[1:]] for number, row in enumerate(rows)]
    guess = suggest_mapping(open_table(table_file(rows, workspace, names), workspace))
    assert (guess.kind, guess.label) == ("single", label)
