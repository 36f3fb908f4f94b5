"""Mapping steps on classes: spellings folded, classes merged by name and dropped; the file itself stays as it is."""

import csv
from pathlib import Path
from typing import Any

import pytest

from core.data.checks import check_data
from core.data.class_steps import Variants, class_counts, label_variants
from core.data.labels import value_counts
from core.data.mapping import class_names_from_lines
from core.data.split import read_examples, write_split
from core.data.table import open_table
from core.errors import UserError
from core.schema import DataSpec, MappingSpec, RunSpec, SplitSpec, TableFile
from core.workspace import Workspace
from ui.new_run.class_steps import name_classes

TREC = MappingSpec(text=("text",), label="label")


@pytest.fixture
def spelled(shared_data: Path, workspace: Workspace) -> TableFile:
    """The first 1,000 questions of TREC, their labels written in three ways."""
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in list(csv.DictReader(file))[:1000]]
    ways = {0: str.lower, 1: lambda label: f" {label}  "}
    path = workspace.root / "spelled.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((text, ways.get(number % 5, str)(label)) for number, (text, label) in enumerate(rows))
    return TableFile(path=str(path))


def of(mapping: MappingSpec, **changed: object) -> MappingSpec:
    return MappingSpec.model_validate(mapping.model_dump() | changed)


def test_variants_are_offered_and_folded_into_the_commonest(spelled: TableFile, workspace: Workspace) -> None:
    table = open_table(spelled, workspace)
    found = label_variants(value_counts(table, TREC), TREC)
    assert {one.kept for one in found} == {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}
    assert sum(rows for one in found for _, rows in one.others) == 200
    before = {finding.kind for finding in check_data(table, None, None, TREC, SplitSpec())}
    folding = of(TREC, fold_label_variants=True)
    after = {finding.kind for finding in check_data(table, None, None, folding, SplitSpec())}
    assert "label_variants" in before and "variants_folded" not in before
    assert "variants_folded" in after and "label_variants" not in after
    assert len(class_counts(table, TREC)) == 12
    assert sorted(name for name, _ in class_counts(table, folding)) == ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]


def test_names_drops_and_the_test_file_follow_folding(
    spelled: TableFile, workspace: Workspace, shared_data: Path
) -> None:
    mapping = of(
        TREC, fold_label_variants=True, class_names={"hum": "Person", "LOC": "Person"}, dropped_classes=("Desc",)
    )
    test = workspace.root / "test.csv"
    test.write_text("text,label\nWho?,HUM\nWhere?,loc\nWhy?,desc\nWhen?,Num\n")
    spec = RunSpec(data=DataSpec(train=spelled, test=TableFile(path=str(test))), mapping=mapping)
    facts = write_split(spec, workspace, workspace.run("a"))
    assert facts.labels == ["ABBR", "ENTY", "NUM", "Person"]
    assert facts.class_counts["test"] == {"ABBR": 0, "ENTY": 0, "NUM": 1, "Person": 2}
    assert facts.left_out["dropped_class"] == sum(
        rows for label, rows in value_counts(open_table(spelled, workspace), TREC) if label.upper() == "DESC"
    ) + 1  # fmt: skip
    assert sum(facts.parts.values()) + sum(facts.left_out.values()) == 1004


def test_folding_does_not_touch_other_labels() -> None:
    assert label_variants([("Sports", 3), ("sports  ", 5), ("Sport", 9)], TREC) == [
        Variants("sports  ", (("Sports", 3),))
    ]
    assert label_variants([("a", 1), ("A", 1)], of(TREC, class_names={"a": "A"})) == []


def test_dropping_in_labels_of_several_classes(shared_data: Path, workspace: Workspace) -> None:
    file = TableFile(path=str(shared_data / "arxiv" / "sample_1500.csv"))
    mapping = MappingSpec(text=("title", "abstract"), label="categories", kind="multi", dropped_classes=("cs.LG",))
    table = open_table(file, workspace)
    everything = dict(class_counts(table, of(mapping, dropped_classes=())))
    kept = dict(class_counts(table, mapping))
    assert everything.items() - kept.items() == {("cs.LG", everything["cs.LG"])}
    facts = write_split(RunSpec(data=DataSpec(train=file), mapping=mapping), workspace, workspace.run("a"))
    assert "cs.LG" not in facts.labels
    assert 0 < facts.left_out["dropped_class"] < everything["cs.LG"]


def test_single_labels_have_rare_classes_too(shared_data: Path, workspace: Workspace) -> None:
    file = TableFile(path=str(shared_data / "sentipers_fa" / "train.csv"))
    mapping = MappingSpec(text=("text",), label="label", rare_below=600)
    assert dict(class_counts(open_table(file, workspace), mapping))["Other"] == 513 + 28


def test_all_classes_dropped_is_an_error_in_words(shared_data: Path, workspace: Workspace) -> None:
    file = TableFile(path=str(shared_data / "sms_spam" / "train.csv"))
    mapping = MappingSpec(text=("text",), label="label", dropped_classes=("ham", "spam"))
    with pytest.raises(UserError, match=r"All classes of train\.csv are left out by name"):
        write_split(RunSpec(data=DataSpec(train=file), mapping=mapping), workspace, workspace.run("a"))


def test_class_names_file_of_ag_news(shared_data: Path) -> None:
    lines = (shared_data / "ag_news" / "classes.txt").read_text(encoding="utf-8").splitlines()
    names = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
    assert class_names_from_lines(lines, ["3", "1", "2", "4"]) == names
    assert class_names_from_lines(lines, ["0", "3", "1"]) == {"0": "World", "1": "Sports", "3": "Sci/Tech"}
    assert class_names_from_lines(lines, ["4", "1"]) == {"1": "World", "4": "Sci/Tech"}
    for labels in (["1", "2"], ["5", "1"], ["a", "b"], ["0", "4"]):
        with pytest.raises(UserError, match="4 class names for 2 labels"):
            class_names_from_lines(lines, labels)


def test_text_template(shared_data: Path, workspace: Workspace) -> None:
    file = TableFile(path=str(shared_data / "ag_news" / "test.csv"))
    template = "Title: {title}\n{description} {{'as it is'}}"
    mapping = MappingSpec(text=("title", "description"), label="label", text_template=template)
    write_split(RunSpec(data=DataSpec(train=file), mapping=mapping), workspace, workspace.run("a"))
    with (shared_data / "ag_news" / "test.csv").open(encoding="utf-8", newline="") as rows:
        first = next(csv.DictReader(rows))
    expected = f"Title: {first['title'].strip()}\n{first['description'].strip()} {{'as it is'}}"
    assert read_examples(workspace.run("a"))["text"][0].as_py() == expected


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{title} {body}", r"names \{body\}, which is no text column \(these are: title, description\)"),
        ("{title}", r"no place for description"),
        ("{title} {description", r"a '\{' in line 1 belongs to no \{column\}"),
    ],
)
def test_template_that_cannot_be_filled(template: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MappingSpec(text=("title", "description"), label="label", text_template=template)


def test_classes_left_out_stay_so_under_their_new_names() -> None:
    values = ["0", "1", "2", "3"]
    mapping: dict[str, Any] = {"class_names": {}, "dropped_classes": ["0", "3", "of another file"]}
    name_classes(mapping, {"0": "World", "1": "Sports"}, values)
    assert mapping["dropped_classes"] == ["World", "3", "of another file"]
    name_classes(mapping, {"0": "Gone", "1": "Sports", "3": "Gone"}, values)
    assert mapping["dropped_classes"] == ["Gone", "of another file"]
    name_classes(mapping, {}, values)
    assert mapping == {"class_names": {}, "dropped_classes": ["0", "3", "of another file"]}


def test_a_class_has_a_name() -> None:
    with pytest.raises(ValueError, match="empty name"):
        MappingSpec(text=("text",), label="label", class_names={"1": "World", "2": " "})


def test_what_nobody_left_out_is_not_left_out_by_its_name() -> None:
    mapping: dict[str, Any] = {"class_names": {}, "dropped_classes": ["A"]}
    name_classes(mapping, {"B": "A"}, ["A", "B", "C"])
    assert mapping["dropped_classes"] == []
    name_classes(mapping, {"B": "B2"}, ["A", "B", "C"])
    assert mapping["dropped_classes"] == []


def test_spellings_of_a_class_that_is_left_out_are_left_out_under_its_new_name() -> None:
    mapping: dict[str, Any] = {"class_names": {}, "dropped_classes": ["HUM"], "fold_label_variants": True}
    name_classes(mapping, {"HUM": "Person"}, ["HUM", "hum", "LOC"])
    assert mapping["dropped_classes"] == ["Person"]
    name_classes(mapping, {"hum": "person"}, ["HUM", "hum", "LOC"])
    assert mapping["dropped_classes"] == ["person"]
    name_classes(mapping, {"LOC": "PERSON"}, ["HUM", "hum", "LOC"])
    assert mapping["dropped_classes"] == ["HUM"]
