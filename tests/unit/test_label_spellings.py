"""Labels that look like others, or like no label: what is said of them, and what the offered fix does."""

import pytest

from core.data.checks import check_data
from core.data.findings import Finding
from core.data.labels import read_labels, variant_key
from core.data.table import Table, open_table
from core.schema import MappingSpec, SplitSpec
from core.workspace import Workspace
from tests.unit.labelled_tables import table_file

MAPPING = MappingSpec(text=("text",), label="label")
COLOURS = ["red", "green", "blue", "brown", "grey", "black", "white"]


def table(labels: list[str], workspace: Workspace, name: str = "train.csv", rows: int = 60) -> Table:
    cells = [(f"{name} has {COLOURS[row % 7]} thing {row}", labels[row % len(labels)]) for row in range(rows)]
    return open_table(table_file(cells, workspace, ("text", "label"), name), workspace)


def found(train: Table, mapping: MappingSpec = MAPPING, test: Table | None = None) -> dict[str, Finding]:
    return {one.kind: one for one in check_data(train, None, test, mapping, SplitSpec())}


def fixed(finding: Finding) -> MappingSpec:
    assert finding.fix is not None
    settings = {key.removeprefix("mapping."): value for key, value in finding.fix.settings.items()}
    return MappingSpec.model_validate(MAPPING.model_dump() | settings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sports", "sports\u200b"),
        ("news", "\u2060news"),
        ("1", "1.0"),
        ("-2", "-2.00"),
        ("ＡＢＣ", "abc"),
        ("two words", "Two\u00a0 words"),
    ],
)
def test_spellings_of_one_class(one: str, other: str) -> None:
    assert variant_key(one) == variant_key(other)


def test_numbers_that_differ_stay_apart() -> None:
    assert len({variant_key(label) for label in ("1", "1.5", "10", "v1.0", "1.0.0", "0.0")}) == 6


def test_invisible_characters_are_told_and_folded(workspace: Workspace) -> None:
    train = table(["sports", "news", "sports\u200b", "\u2060news", "sports"], workspace)
    finding = found(train)["label_variants"]
    assert "invisible" in finding.what and r"'sports\u200b' like 'sports'" in finding.what
    assert "only in case or white space" not in finding.what
    assert finding.count == 24
    after = found(train, fixed(finding))
    assert "label_variants" not in after and after["variants_folded"].count == 24


def test_numbers_in_two_spellings_are_told(workspace: Workspace) -> None:
    finding = found(table(["1", "1.0", "2", "2.0", "1", "2"], workspace))["label_variants"]
    assert "'1.0' like '1'" in finding.what


def test_a_test_file_that_spells_numbers_otherwise(workspace: Workspace) -> None:
    train, test = table(["0", "1"], workspace), table(["0.0", "1.0"], workspace, "test.csv", 20)
    findings = found(train, test=test)
    told = findings["labels_spelled_otherwise"]
    assert (told.severity, told.count) == ("error", 20)
    assert "'0.0' for '0'" in told.what and "mapping.fold_label_variants" in told.todo
    after = found(train, fixed(told), test)
    assert not {"labels_differ", "labels_spelled_otherwise", "label_not_in_train"} & set(after)


def test_a_test_file_that_spells_one_class_otherwise(workspace: Workspace) -> None:
    train, test = table(["a", "b"], workspace), table(["a", "B"], workspace, "test.csv", 20)
    assert found(train, test=test)["labels_spelled_otherwise"].severity == "warning"
    other = table(["a", "c"], workspace, "other.csv", 20)
    assert "labels_spelled_otherwise" not in found(train, test=other)


@pytest.mark.parametrize("word", ["nan", "N/A", "None", "NULL", "?", "-", "#N/A", r"\N"])
def test_words_for_no_value_are_told_and_left_out(word: str, workspace: Workspace) -> None:
    train = table(["good", "bad", word], workspace)
    finding = found(train)["no_value_class"]
    assert f"'{word}': 20 rows" in finding.what
    assert finding.severity == ("note" if word == "None" else "warning")
    mapping = fixed(finding)
    assert mapping.dropped_classes == (word,)
    assert "no_value_class" not in found(train, mapping)
    assert set(read_labels(train, MAPPING).names) == {"good", "bad", word}


def test_the_only_other_class_is_not_offered_to_be_left_out(workspace: Workspace) -> None:
    assert found(table(["sarcasm", "none"], workspace))["no_value_class"].fix is None
