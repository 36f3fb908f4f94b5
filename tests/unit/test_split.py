"""The division of data: stratified, seeded, frozen, and nothing lost without being counted."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.data.allocation import allocate, quotas
from core.data.split import read_data_facts, read_examples, write_split
from core.errors import UserError
from core.schema import DataSpec, MappingSpec, RunSpec, SplitSpec, TableFile
from core.workspace import RunFolder, Workspace


def file(rows: list[str], workspace: Workspace, name: str = "train.csv") -> TableFile:
    path = workspace.root / name
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return TableFile(path=str(path), header=True, delimiter=",")


def spec(train: TableFile, **parts: object) -> RunSpec:
    data = DataSpec.model_validate({"train": train, **{k: v for k, v in parts.items() if k in {"validation", "test"}}})
    rest = {key: value for key, value in parts.items() if key not in {"validation", "test"}}
    return RunSpec.model_validate({"data": data, "mapping": MappingSpec(text=("text",), label="label"), **rest})


def rows(count: int, classes: int = 3) -> list[str]:
    return [f"a text about thing {number},c{number % classes}" for number in range(count)]


def split_of(folder: RunFolder) -> list[tuple[str, int, str]]:
    content = pq.read_table(folder.split).to_pydict()
    return list(zip(content["file"], content["row"], content["part"], strict=True))


def test_shares_are_kept_in_every_class(workspace: Workspace) -> None:
    facts = write_split(spec(file(rows(300), workspace)), workspace, workspace.run("a"))
    assert facts.parts == {"train": 240, "validation": 30, "test": 30}
    assert facts.class_counts["test"] == {"c0": 10, "c1": 10, "c2": 10}
    assert facts.labels == ["c0", "c1", "c2"]


def test_examples_go_with_the_split(workspace: Workspace) -> None:
    folder = workspace.run("a")
    write_split(spec(file(rows(100), workspace)), workspace, folder)
    examples = pq.read_table(folder.examples).to_pydict()
    assert examples["row_id"] == list(range(100))
    assert examples["row"] == list(range(100))
    assert examples["text"][42] == "a text about thing 42"
    assert list(zip(examples["file"], examples["row"], examples["part"], strict=True)) == split_of(folder)
    test = read_examples(folder, "test")
    assert test.column_names == ["row_id", "text", "label"]
    assert test.num_rows == 10
    assert read_examples(folder).num_rows == 100


def test_same_seed_same_split_on_any_machine(workspace: Workspace) -> None:
    train = file(rows(300), workspace)
    for name in "ab":
        write_split(spec(train), workspace, workspace.run(name))
    write_split(spec(train, split=SplitSpec(seed=7)), workspace, workspace.run("c"))
    first, second, other = (split_of(workspace.run(name)) for name in "abc")
    assert first == second != other
    # Written down, so that a new version of any library that changes it is noticed.
    assert [row for _, row, part in first if part == "test"][:5] == [17, 27, 51, 68, 74]


def test_frozen_split_is_never_redrawn(workspace: Workspace) -> None:
    folder = workspace.run("a")
    train = file(rows(100), workspace)
    before = write_split(spec(train), workspace, folder)
    drawn = split_of(folder)
    file(rows(500), workspace)
    assert write_split(spec(train, split=SplitSpec(seed=9)), workspace, folder) == before
    assert split_of(folder) == drawn


def test_own_files_become_whole_parts(workspace: Workspace) -> None:
    run = spec(
        file(rows(60), workspace),
        validation=file(rows(12), workspace, "v.csv"),
        test=file(rows(9), workspace, "t.csv"),
    )
    facts = write_split(run, workspace, workspace.run("a"))
    assert facts.parts == {"train": 60, "validation": 12, "test": 9}
    assert set(facts.files) == {"train", "validation", "test"}
    assert len(facts.files["test"]["sha256"]) == 64
    assert facts.files["test"]["name"] == "t.csv"


def test_what_cannot_be_used_is_counted(workspace: Workspace) -> None:
    train = file([*rows(60), ",c0", " ,c1", "no label here,", ",", "alone,rare"], workspace)
    test = file([*rows(9), "unknown class,zz", "another, c1 "], workspace, "t.csv")
    facts = write_split(spec(train, test=test), workspace, workspace.run("a"))
    assert facts.left_out == {"empty_text": 3, "empty_label": 1, "label_not_in_train": 1}
    assert facts.parts["test"] == 10
    assert facts.class_counts["train"]["rare"] == 1
    assert sum(facts.parts.values()) + sum(facts.left_out.values()) == 65 + 11
    assert {finding["kind"] for finding in facts.findings} >= {"empty_text", "empty_label", "label_not_in_train"}


def test_unstratified_split_leaves_out_labels_it_did_not_draw_into_train(workspace: Workspace) -> None:
    train = file([*rows(40), *[f"text {n},single{n}" for n in range(20)]], workspace)
    run = spec(train, split=SplitSpec(stratified=False, test=0.3))
    facts = write_split(run, workspace, workspace.run("a"))
    drawn = facts.left_out["label_not_in_train"]
    assert drawn > 0
    assert sum(facts.parts.values()) == 60 - drawn
    assert set(facts.class_counts["test"]) == set(facts.labels)


def test_class_names_and_numeric_order(workspace: Workspace) -> None:
    train = file([f"text {number},{number % 12}" for number in range(240)], workspace)
    facts = write_split(spec(train), workspace, workspace.run("a"))
    assert facts.labels == [str(number) for number in range(12)]
    mapping = MappingSpec(text=("text",), label="label", class_names={str(n): "low" for n in range(6)})
    named = write_split(spec(train, mapping=mapping), workspace, workspace.run("b"))
    assert named.labels == ["6", "7", "8", "9", "10", "11", "low"]
    assert named.class_counts["train"]["low"] == 96


def test_facts_are_plain_json(workspace: Workspace) -> None:
    folder = workspace.run("a")
    facts = write_split(spec(file(rows(100), workspace)), workspace, folder)
    assert json.loads(folder.data_facts.read_text(encoding="utf-8")) == asdict(facts)
    assert read_data_facts(folder) == facts
    assert facts.lengths["max"] == len("a text about thing 99")


def test_errors_of_the_checks_stop_the_split(workspace: Workspace) -> None:
    folder = workspace.run("a")
    with pytest.raises(UserError, match="same label"):
        write_split(spec(file(rows(60, 1), workspace)), workspace, folder)
    test = file(rows(9), workspace, "t.csv")
    Path(test.path).write_text("body,class\na,b\nc,d\n")
    with pytest.raises(UserError, match="columns: body, class"):
        write_split(spec(file(rows(60), workspace), test=test), workspace, folder)
    assert not folder.split.exists()
    with pytest.raises(UserError, match="no split"):
        read_examples(folder, "train")


def test_three_thousand_classes(workspace: Workspace) -> None:
    facts = write_split(spec(file(rows(9000, 3000), workspace)), workspace, workspace.run("a"))
    assert len(facts.labels) == 3000
    assert min(facts.class_counts["train"].values()) >= 1
    assert facts.parts == {"train": 7200, "validation": 900, "test": 900}


def test_allocation_keeps_a_row_of_each_class_in_train() -> None:
    classes = np.array([0] * 1 + [1] * 2 + [2] * 3 + [3] * 94)
    parts = allocate(classes, {"test": 0.3, "validation": 0.3}, stratified=True, seed=1)
    train = Counter(classes[parts == 0].tolist())
    assert set(train) == {0, 1, 2, 3}
    assert Counter(parts.tolist()) == {0: 40, 1: 30, 2: 30}
    assert parts[0] == 0


def test_quotas_sum_to_the_share() -> None:
    counts = np.array([5, 5, 5, 5, 80])
    given = quotas(counts, 0.1, counts - 1)
    assert given.sum() == 10
    assert given.tolist() == [1, 1, 0, 0, 8]
    assert quotas(np.array([1, 1]), 0.4, np.array([0, 0])).tolist() == [0, 0]


def test_ag_news_without_header(shared_data: Path, workspace: Workspace) -> None:
    mapping = MappingSpec(
        text=("column_2", "column_3"),
        label="column_1",
        backslash_is_space=True,
        class_names={"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"},
    )
    train, test = (
        TableFile(path=str(shared_data / "ag_news" / name))
        for name in ("train_4k_raw_noheader.csv", "test_raw_noheader.csv")
    )
    folder = workspace.run("a")
    facts = write_split(spec(train, test=test, mapping=mapping), workspace, folder)
    assert facts.labels == ["Business", "Sci/Tech", "Sports", "World"]
    assert facts.class_counts["test"] == dict.fromkeys(facts.labels, 1900)
    assert not any("\\" in text for text in read_examples(folder, "test")["text"].to_pylist())
