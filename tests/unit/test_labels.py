"""Cells as labels: several classes in one column, a column for each, probabilities; rare classes merged or dropped."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from core.data.class_steps import class_counts
from core.data.expressions import classes_sql
from core.data.label_guess import cell_classes
from core.data.labels import (
    OTHER,
    RARE,
    REASONS,
    RowLabels,
    keep_classes,
    rare_classes,
    read_labels,
    value_counts,
    without_rare,
)
from core.data.table import Table, open_table
from core.errors import UserError
from core.schema import MappingSpec, TableFile
from core.workspace import Workspace
from tests.unit.labelled_tables import records_file, table_file


def of_rows(labels: RowLabels) -> list[list[str] | str]:
    """The classes of each row, or why it is left out."""
    return [
        [labels.names[number] for number in labels.classes[labels.starts[row] : labels.starts[row + 1]]]
        if labels.left_out[row] == 0
        else REASONS[labels.left_out[row]]
        for row in range(len(labels.left_out))
    ]


def column(cells: list[str], workspace: Workspace, name: str = "train.csv") -> Table:
    return open_table(table_file([("a text", cell) for cell in cells], workspace, ("text", "tags"), name), workspace)


def several(separator: str = ";", **more: object) -> MappingSpec:
    return MappingSpec(text=("text",), label="tags", kind="multi", label_separator=separator, **more)


@pytest.mark.parametrize(
    ("separator", "cell", "classes"),
    [
        (";", " cs.CL;cs.LG ; ", ["cs.CL", "cs.LG"]),
        ("; ", "b; a;b", ["a", "b"]),
        ("|", "x|y z", ["x", "y z"]),
        (",", "Sci/Tech, Sports", ["Sci/Tech", "Sports"]),
        (" ", "cs.CL  cs.LG", ["cs.CL", "cs.LG"]),
        (" / ", "a / b", ["a", "b"]),
        (";", '["a", "b, c"]', ["a", "b, c"]),
        (",", "['a', 'b']", ["a", "b"]),
        (";", "alone", ["alone"]),
        ("'", "it's", ["it", "s"]),
    ],
)
def test_one_column_of_several_classes(separator: str, cell: str, classes: list[str], workspace: Workspace) -> None:
    labels = read_labels(column([cell], workspace), several(separator))
    assert of_rows(labels) == [classes]
    if not cell.startswith("["):
        assert sorted(dict.fromkeys(cell_classes(cell, separator))) == classes


def test_an_empty_cell_is_no_label_and_an_empty_list_is_no_class(workspace: Workspace) -> None:
    labels = read_labels(column(["a;b", "", " ; ", "[]", "[ ]"], workspace), several())
    assert of_rows(labels) == [["a", "b"], "empty_label", "empty_label", [], []]
    no_text = table_file([("", "a"), ("x", "b")], workspace, ("text", "tags"), "no_text.csv")
    assert of_rows(read_labels(open_table(no_text, workspace), several())) == ["empty_text", ["b"]]


def test_lists_of_json_lines(workspace: Workspace) -> None:
    records = [{"text": "x", "tags": ["é", "b"]}, {"text": "y", "tags": []}, {"text": "z", "tags": ['q"uote; d']}]
    labels = read_labels(open_table(records_file(records, workspace), workspace), several())
    assert of_rows(labels) == [["b", "é"], [], ['q"uote; d']]


def test_names_are_given_before_classes_are_told_apart(workspace: Workspace) -> None:
    names = {"1": "sport", "2": "sport", "10": "news"}
    labels = read_labels(column(["1;2;10", "2", "3"], workspace), several(class_names=names))
    assert labels.names == ["3", "news", "sport"]
    assert of_rows(labels) == [["news", "sport"], ["sport"], ["3"]]


def test_columns_of_yes_and_no(workspace: Workspace) -> None:
    rows = [
        ("a", "1", "TRUE", "yes"),
        ("b", "0", "false", ""),
        ("c", "", "", ""),
        ("d", "1", "maybe", "0"),
        ("", "1", "1", "1"),
    ]
    table = open_table(table_file(rows, workspace, ("text", "x", "y", "z")), workspace)
    mapping = MappingSpec(text=("text",), kind="multi", label_columns=("z", "x", "y"), class_names={"y": "why"})
    labels = read_labels(table, mapping)
    assert of_rows(labels) == [["why", "x", "z"], [], [], "empty_label", "empty_text"]
    assert labels.counts() == {"why": 1, "x": 1, "z": 1}


def test_probabilities_sum_to_one_or_count_for_nothing(workspace: Workspace) -> None:
    rows = [
        ("a", "0.2", "0.8"), ("b", "1", "3"), ("c", "-0.1", "1.1"), ("d", "0", "0"), ("e", "much", "1"),
        ("f", "", "1"), ("g", "nan", "1"), ("h", "inf", "1"), ("", "0.5", "0.5"),
    ]  # fmt: skip
    table = open_table(table_file(rows, workspace, ("text", "no", "yes")), workspace)
    labels = read_labels(table, MappingSpec(text=("text",), kind="soft", label_columns=("yes", "no")))
    assert labels.names == ["no", "yes"]
    assert labels.probabilities is not None
    assert labels.probabilities.dtype == np.float32
    kept = labels.probabilities[labels.used]
    np.testing.assert_allclose(kept, [[0.2, 0.8], [0.25, 0.75], [0, 1]], rtol=1e-6)
    assert labels.bad_sums == 1
    left = ["empty_label"] * 3
    assert [row for row in of_rows(labels) if isinstance(row, str)] == [
        *left,
        "empty_label",
        "empty_label",
        "empty_text",
    ]


def test_probability_columns_of_one_name_are_added(workspace: Workspace) -> None:
    table = open_table(table_file([("t", 0.2, 0.3, 0.5)], workspace, ("text", "a", "b", "c")), workspace)
    names = {"a": "low", "b": "low"}
    mapping = MappingSpec(text=("text",), kind="soft", label_columns=("a", "b", "c"), class_names=names)
    labels = read_labels(table, mapping)
    assert labels.names == ["c", "low"]
    np.testing.assert_allclose(labels.probabilities, [[0.5, 0.5]], rtol=1e-6)


def test_rare_classes_become_one_or_go(workspace: Workspace) -> None:
    table = column(["a;r", "a;s;r", "a", "s", "a;Other", "b;a", "b"], workspace)
    mapping = several(rare_below=3)
    labels = read_labels(table, mapping)
    rare = rare_classes(labels.counts(), mapping)
    assert rare == {"r", "s", "b", OTHER}
    merged = without_rare(labels, rare, "merge")
    assert of_rows(merged) == [["a", OTHER], ["a", OTHER], ["a"], [OTHER], ["a", OTHER], ["a", OTHER], [OTHER]]
    dropped = without_rare(labels, rare, "drop")
    assert of_rows(dropped) == [["a"], ["a"], ["a"], "rare_class", ["a"], ["a"], "rare_class"]
    assert without_rare(labels, frozenset(), "drop") is labels


def test_an_existing_other_takes_rare_ones_in(workspace: Workspace) -> None:
    table = column(["Other"] * 4 + ["a"] * 4 + ["r", "a;r"], workspace)
    assert class_counts(table, several(rare_below=3)) == [("Other", 6), ("a", 5)]
    assert class_counts(table, several(rare_below=3, rare_classes="drop")) == [("a", 5), ("Other", 4)]
    single = MappingSpec(text=("text",), label="tags", rare_below=3)
    assert class_counts(table, single) == [("Other", 6), ("a", 4)]


def test_a_row_that_never_had_a_class_stays_when_classes_go(workspace: Workspace) -> None:
    rows = [("x", 1, 0), ("y", 0, 0), ("z", 0, 1)]
    table = open_table(table_file(rows, workspace, ("text", "a", "b")), workspace)
    labels = read_labels(table, MappingSpec(text=("text",), kind="multi", label_columns=("a", "b")))
    assert of_rows(keep_classes(labels, {"a"}, RARE)) == [["a"], [], "rare_class"]


def test_values_are_counted_as_they_stand_in_the_file(workspace: Workspace) -> None:
    assert value_counts(column(["b;a", "b", ""], workspace), several(class_names={"b": "B"})) == [("b", 2), ("a", 1)]
    rows = [("x", 1, 0, 0), ("", 1, 0, 0), ("z", 0, 1, 0)]
    table = open_table(table_file(rows, workspace, ("text", "a", "b", "c"), "flags.csv"), workspace)
    by_column = MappingSpec(text=("text",), kind="multi", label_columns=("a", "b", "c"))
    assert value_counts(table, by_column) == [("a", 2), ("b", 1), ("c", 0)]
    with pytest.raises(UserError, match="'d'"):
        value_counts(table, by_column.model_copy(update={"label_columns": ("a", "d")}))


def test_arxiv_has_its_classes(shared_data: Path, workspace: Workspace) -> None:
    """As the data set's own description counts them, over both files."""
    found: dict[str, int] = {}
    several_of = 0
    for name in ("train", "test"):
        table = open_table(TableFile(path=str(shared_data / "arxiv" / f"{name}.parquet")), workspace)
        labels = read_labels(table, MappingSpec(text=("title", "abstract"), label="categories", kind="multi"))
        several_of += int((labels.sizes > 1).sum())
        for label, rows in labels.counts().items():
            found[label] = found.get(label, 0) + rows
    assert len(found) == 135
    assert (found["cs.AI"], found["cs.CV"], found["cs.CY"]) == (6638, 4757, 359)
    assert several_of == 17_000 - 7448


@pytest.mark.parametrize(
    ("cell", "classes"),
    [
        (r'["caf\u00e9", "two\nlines", "a;b"]', ["café", "two\nlines", "a;b"]),
        ("['a', 'b']", ["a", "b"]),
        ('["a", null, 1]', ["a", "1"]),
        ("[1.10, 2.50, 1e3, 007]", ["1.10", "2.50", "1e3", "007"]),
        ("[broken; b", ["[broken", "b"]),
        ("a ; b;", ["a", "b"]),
    ],
)
def test_lists_of_classes_are_read_as_they_were_written(cell, classes):
    query = f"SELECT {classes_sql('cell', ';')} FROM (SELECT ? AS cell)"
    assert duckdb.execute(query, [cell]).fetchone() == (classes,)
