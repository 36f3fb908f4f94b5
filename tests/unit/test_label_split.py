"""The division of rows with several classes, or with probabilities: nothing lost uncounted, rare classes everywhere."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.data.allocation import allocate_multi
from core.data.examples import label_array
from core.data.split import read_data_facts, read_examples, write_split
from core.errors import UserError
from core.schema import MappingSpec, SplitSpec, TableFile
from core.workspace import Workspace
from tests.unit.labelled_tables import several_rows, spec, table_file

SEVERAL = MappingSpec(text=("text",), label="tags", kind="multi")
FLAGS = MappingSpec(text=("text",), kind="multi", label_columns=("a", "b", "c"))
SOFT = MappingSpec(text=("text",), kind="soft", label_columns=("z", "a"))


def test_several_classes_in_one_column(workspace: Workspace) -> None:
    folder = workspace.run("a")
    rows = several_rows(300)
    facts = write_split(spec(table_file(rows, workspace, ("text", "tags")), SEVERAL), workspace, folder)
    assert facts.kind == "multi"
    assert facts.labels == sorted(facts.labels)
    assert sum(facts.parts.values()) == 300
    for label in facts.labels:
        in_file = sum(label in cell.split("; ") for _, cell in rows)
        in_parts = [facts.class_counts[part][label] for part in ("train", "validation", "test")]
        assert sum(in_parts) == in_file
        assert all(abs(count - in_file * share) <= 3 for count, share in zip(in_parts, (0.8, 0.1, 0.1), strict=True))
    stored = pq.read_table(folder.examples).to_pydict()
    assert [set(classes) for classes in stored["label"]] == [set(cell.split("; ")) for _, cell in rows]
    assert json.loads(folder.data_facts.read_text(encoding="utf-8")) == asdict(facts)
    assert read_data_facts(folder) == facts


def test_labels_as_numbers(workspace: Workspace) -> None:
    folder = workspace.run("a")
    facts = write_split(spec(table_file(several_rows(300), workspace, ("text", "tags")), SEVERAL), workspace, folder)
    examples = read_examples(folder, "validation")
    matrix = label_array(examples["label"], facts)
    assert matrix.shape == (facts.parts["validation"], len(facts.labels))
    assert matrix.dtype == np.float32
    for row, classes in zip(matrix, examples["label"].to_pylist(), strict=True):
        assert {facts.labels[place] for place in np.flatnonzero(row == 1)} == set(classes)
        assert row.sum() == len(classes)


def flag_rows(count: int) -> list[tuple[object, ...]]:
    return [(f"text {n}", int(n % 2 == 0), int(n % 3 == 0), int(n % 5 == 0)) for n in range(count)]


def test_a_column_for_each_class(workspace: Workspace) -> None:
    folder = workspace.run("a")
    facts = write_split(spec(table_file(flag_rows(300), workspace, ("text", "a", "b", "c")), FLAGS), workspace, folder)
    without = sum(not any(row[1:]) for row in flag_rows(300))
    labels = pq.read_table(folder.examples)["label"].to_pylist()
    assert sum(not classes for classes in labels) == without > 0
    assert sum(facts.parts.values()) == 300
    assert label_array(read_examples(folder)["label"], facts).sum(axis=1).tolist() == [len(names) for names in labels]


@pytest.mark.parametrize("seed", range(5))
def test_rare_classes_are_in_every_part(seed: int) -> None:
    """Where they have at least three rows, and stand beside commoner ones."""
    rng = np.random.default_rng(seed)
    rows = [{0} if rng.random() < 0.6 else {0, 1} for _ in range(400)]
    for rare in range(2, 12):
        for row in rng.choice(400, size=3 + rare % 3, replace=False):
            if not rows[row] - {0, 1}:
                rows[row].add(rare)
    sizes = [len(row) for row in rows]
    classes = np.concatenate([sorted(row) for row in rows]).astype(np.int64)
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    parts = allocate_multi(starts, classes, {"test": 0.1, "validation": 0.1}, seed)
    of_pair = np.repeat(parts, sizes)
    for label, count in enumerate(np.bincount(classes).tolist()):
        seen = set(of_pair[classes == label].tolist())
        assert seen == {0, 1, 2} if count >= 3 else 0 in seen
    assert all(30 <= (parts == number).sum() <= 50 for number in (1, 2))
    assert (allocate_multi(starts, classes, {"test": 0.1, "validation": 0.1}, seed) == parts).all()


def test_a_class_of_one_row_stays_in_train_and_rows_without_class_are_shared() -> None:
    starts = np.array([0, 1, 2, *[2] * 98])
    parts = allocate_multi(starts, np.array([0, 1]), {"test": 0.2, "validation": 0.2}, 1)
    assert parts[:2].tolist() == [0, 0]
    assert np.bincount(parts).tolist() == [60, 20, 20]


def test_unknown_classes_of_the_test_file_go(workspace: Workspace) -> None:
    train = table_file(several_rows(100), workspace, ("text", "tags"))
    rows = [("one", "cs.AI;new"), ("two", "new"), ("three", "cs.CL"), ("four", ""), ("", "cs.CL")]
    test = table_file(rows, workspace, ("text", "tags"), "test.csv")
    folder = workspace.run("a")
    facts = write_split(spec(train, SEVERAL, test=test), workspace, folder)
    assert "new" not in facts.labels
    assert read_examples(folder, "test")["label"].to_pylist() == [["cs.AI"], ["cs.CL"]]
    assert facts.left_out == {"empty_text": 1, "empty_label": 1, "label_not_in_train": 1}
    assert facts.parts["test"] == 2


def test_rare_classes_are_decided_on_the_training_file(workspace: Workspace) -> None:
    rows = [*several_rows(100), ("rare alone", "r"), ("rare beside", "r;cs.AI"), ("also", "s")]
    train = table_file(rows, workspace, ("text", "tags"))
    test_rows = [(f"test {n}", "r") for n in range(5)] + [("more", "cs.AI")]
    test = table_file(test_rows, workspace, ("text", "tags"), "test.csv")
    merged = write_split(
        spec(train, SEVERAL.model_copy(update={"rare_below": 5}), test=test), workspace, workspace.run("a")
    )
    assert (merged.rare, "Other" in merged.labels, "r" in merged.labels) == (["r", "s"], True, False)
    assert merged.class_counts["test"]["Other"] == 5
    assert "rare_class" not in merged.left_out
    dropping = SEVERAL.model_copy(update={"rare_below": 5, "rare_classes": "drop"})
    dropped = write_split(spec(train, dropping, test=test), workspace, workspace.run("b"))
    assert dropped.left_out["rare_class"] == 2 + 5
    assert dropped.parts["test"] == 1
    assert set(dropped.labels) == set(merged.labels) - {"Other"}
    assert sum(dropped.parts.values()) + sum(dropped.left_out.values()) == 103 + 6


def test_rare_classes_of_one_class_a_row(workspace: Workspace) -> None:
    rows = [*[(f"text {n}", f"c{n % 3}") for n in range(90)], *[(f"odd {n}", f"r{n}") for n in range(6)]]
    train = table_file(rows, workspace, ("text", "label"))
    mapping = MappingSpec(text=("text",), label="label", rare_below=2)
    merged = write_split(spec(train, mapping), workspace, workspace.run("a"))
    assert merged.labels == ["c0", "c1", "c2", "Other"]
    assert sum(merged.class_counts[part]["Other"] for part in merged.parts) == 6
    dropped = write_split(
        spec(train, mapping.model_copy(update={"rare_classes": "drop"})), workspace, workspace.run("b")
    )
    assert (dropped.labels, dropped.left_out["rare_class"]) == (["c0", "c1", "c2"], 6)
    assert read_examples(workspace.run("b"))["label"].to_pylist().count("c0") == 30


def test_probabilities(workspace: Workspace) -> None:
    rows = [(f"text {n}", n / 100, 1 - n / 100) for n in range(100)] + [("twice", 0.4, 1.6), ("bad", -1, 2)]
    folder = workspace.run("a")
    facts = write_split(spec(table_file(rows, workspace, ("text", "a", "z")), SOFT), workspace, folder)
    assert (facts.kind, facts.labels) == ("soft", ["a", "z"])
    assert facts.left_out["empty_label"] == 1
    examples = read_examples(folder)
    matrix = label_array(examples["label"], facts)
    assert matrix.shape == (101, 2)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    twice = examples["text"].to_pylist().index("twice")
    np.testing.assert_allclose(matrix[twice], [0.2, 0.8], rtol=1e-6)
    likeliest = np.bincount(matrix.argmax(axis=1)).tolist()
    assert [sum(facts.class_counts[part][label] for part in facts.parts) for label in "az"] == likeliest


def test_a_class_that_is_never_the_likeliest_is_still_one(workspace: Workspace) -> None:
    rows = [(f"text {n}", 0.6 if n % 2 else 0.3, 0.3 if n % 2 else 0.6, 0.1) for n in range(100)]
    mapping = MappingSpec(text=("text",), kind="soft", label_columns=("a", "b", "c"))
    file = table_file(rows, workspace, ("text", "a", "b", "c"))
    facts = write_split(spec(file, mapping), workspace, workspace.run("a"))
    assert facts.labels == ["a", "b", "c"]
    assert facts.class_counts["train"]["c"] == 0
    assert facts.parts == {"train": 80, "validation": 10, "test": 10}


def test_unstratified_labels_of_several_classes(workspace: Workspace) -> None:
    train = table_file(several_rows(200), workspace, ("text", "tags"))
    facts = write_split(spec(train, SEVERAL, split=SplitSpec(stratified=False)), workspace, workspace.run("a"))
    assert facts.parts == {"train": 160, "validation": 20, "test": 20}


def test_what_the_checks_refuse_is_never_split(workspace: Workspace) -> None:
    empty = table_file([(f"text {n}", 0, 0, 0) for n in range(50)], workspace, ("text", "a", "b", "c"))
    with pytest.raises(UserError, match="columns 'a', 'b', 'c'"):
        write_split(spec(empty, FLAGS), workspace, workspace.run("a"))
    rare = SEVERAL.model_copy(update={"rare_below": 1000, "rare_classes": "drop"})
    with pytest.raises(UserError, match="Every class"):
        write_split(
            spec(table_file(several_rows(60), workspace, ("text", "tags"), "r.csv"), rare),
            workspace,
            workspace.run("b"),
        )


def test_arxiv_whole(shared_data: Path, workspace: Workspace) -> None:
    files = {name: TableFile(path=str(shared_data / "arxiv" / f"{name}.parquet")) for name in ("train", "test")}
    mapping = MappingSpec(text=("title", "abstract"), label="categories", kind="multi", rare_below=20)
    folder = workspace.run("a")
    facts = write_split(spec(files["train"], mapping, test=files["test"]), workspace, folder)
    counts = facts.class_counts
    assert sum(facts.parts.values()) + sum(facts.left_out.values()) == 17_000
    assert all(counts["train"][label] and counts["validation"][label] for label in facts.labels)
    assert not set(facts.rare) & set(facts.labels)
    matrix = label_array(read_examples(folder, "test")["label"], facts)
    assert matrix.shape == (facts.parts["test"], len(facts.labels))
    assert matrix.sum(axis=0).astype(int).tolist() == list(counts["test"].values())
    assert matrix.sum(axis=1).min() >= 1
