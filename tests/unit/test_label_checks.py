"""What is said of rare classes, of rows with several classes, and of probabilities, before training."""

import pytest

from core.data.checks import Finding, check_data
from core.data.table import Table, open_table
from core.schema import MappingSpec, SplitSpec
from core.workspace import Workspace
from tests.unit.labelled_tables import several_rows, table_file

SEVERAL = MappingSpec(text=("text",), label="tags", kind="multi")
FLAGS = MappingSpec(text=("text",), kind="multi", label_columns=("a", "b", "c"))
SOFT = MappingSpec(text=("text",), kind="soft", label_columns=("a", "b"))


def several(rows: list[tuple[str, str]], workspace: Workspace, name: str = "train.csv") -> Table:
    return open_table(table_file(rows, workspace, ("text", "tags"), name), workspace)


def found(train: Table, mapping: MappingSpec, **others: Table) -> dict[str, Finding]:
    findings = check_data(train, others.get("validation"), others.get("test"), mapping, SplitSpec())
    assert all(finding.what and finding.where for finding in findings)
    return {finding.kind: finding for finding in findings}


def test_classes_a_row(workspace: Workspace) -> None:
    rows = several_rows(120)
    sizes = [len(cell.split("; ")) for _, cell in rows]
    finding = found(several(rows, workspace), SEVERAL)["classes_per_row"]
    assert finding.severity == "note"
    assert f"{sum(sizes) / len(sizes):.2f} classes on average, {max(sizes)} at most" in finding.what
    assert finding.count == sum(size > 1 for size in sizes)


def test_one_class_a_row_is_noticed(workspace: Workspace) -> None:
    rows = [(f"text {n}", "xyz"[n % 3]) for n in range(60)]
    assert "one class suit better" in found(several(rows, workspace), SEVERAL)["classes_per_row"].todo


def test_rows_without_a_class(workspace: Workspace) -> None:
    rows = [(f"text {n}", int(n < 20), int(10 < n < 30), int(n % 2)) for n in range(60)]
    table = open_table(table_file(rows, workspace, ("text", "a", "b", "c")), workspace)
    finding = found(table, FLAGS)["no_class"]
    assert (finding.severity, finding.count) == ("note", sum(not any(row[1:]) for row in rows))
    few = [(f"text {n}", int(n == 3), int(n < 3), 0) for n in range(60)]
    table = open_table(table_file(few, workspace, ("text", "a", "b", "c"), "few.csv"), workspace)
    assert found(table, FLAGS)["no_class"].severity == "warning"


def test_classes_with_few_rows_and_what_becomes_of_them(workspace: Workspace) -> None:
    rows = [*several_rows(120), ("odd one", "q;cs.AI"), ("odder", "r")]
    table = several(rows, workspace)
    few = found(table, SEVERAL)["few_rows_of_class"]
    assert (few.severity, few.count) == ("warning", 2)
    assert "2 of 8 classes have fewer than 10 rows ('q', 'r')" in few.what
    assert "single_row_class" not in found(table, SEVERAL)
    merged = found(table, SEVERAL.model_copy(update={"rare_below": 5}))
    assert (merged["rare_classes"].severity, merged["rare_classes"].count) == ("note", 2)
    assert "become the class 'Other'" in merged["rare_classes"].what
    assert "few_rows_of_class" not in merged
    dropped = found(table, SEVERAL.model_copy(update={"rare_below": 5, "rare_classes": "drop"}))
    assert dropped["rare_classes"].severity == "warning"
    assert "1 row has no other and is left out" in dropped["rare_classes"].what


def test_rare_classes_of_one_class_a_row(workspace: Workspace) -> None:
    rows = [*[(f"text {n}", "xyz"[n % 3]) for n in range(60)], ("odd", "q"), ("odd too", "q"), ("odder", "r")]
    single = MappingSpec(text=("text",), label="tags", rare_below=3, rare_classes="drop")
    by_kind = found(several(rows, workspace), single)
    assert "3 rows have no other and are left out" in by_kind["rare_classes"].what
    assert "single_row_class" not in by_kind
    plain = found(several(rows, workspace), MappingSpec(text=("text",), label="tags"))
    assert set(plain) == {"single_row_class", "few_rows_of_class", "unequal_classes"}
    for common, can_be_merged in ((80, True), (12, False)):
        mostly = [(f"row {n}", f"class {n % 5}" if n < 20 else "common") for n in range(20 + common)]
        few = found(several(mostly, workspace), MappingSpec(text=("text",), label="tags"))["few_rows_of_class"]
        assert few.count == 5 and (few.fix is not None) == can_be_merged
    named = single.model_copy(update={"class_names": {"q": "Q", "s": "S"}})
    assert found(several(rows, workspace), named)["unused_class_names"].count == 1


def test_probabilities(workspace: Workspace) -> None:
    rows = [(f"text {n}", n / 100, 1 - n / 100) for n in range(100)]
    assert found(open_table(table_file(rows, workspace, ("text", "a", "b")), workspace), SOFT) == {}
    bad = [*rows, ("half", 0.2, 0.3), ("much", 2, 2), ("below", -0.5, 1.5), ("none", 0, 0), ("word", "x", 1)]
    by_kind = found(open_table(table_file(bad, workspace, ("text", "a", "b"), "bad.csv"), workspace), SOFT)
    assert (by_kind["bad_sums"].count, by_kind["empty_label"].count) == (2, 3)
    assert "divided by its row's sum" in by_kind["bad_sums"].what
    assert "negative or no number" in by_kind["empty_label"].what


def test_cells_that_are_neither_yes_nor_no(workspace: Workspace) -> None:
    rows = [*[(f"text {n}", n % 2, (n + 1) % 2, int(n % 5 == 0)) for n in range(60)], ("odd", "perhaps", 1, 0)]
    table = open_table(table_file(rows, workspace, ("text", "a", "b", "c")), workspace)
    finding = found(table, FLAGS)["empty_label"]
    assert finding.count == 1
    assert "something other than 1 and 0" in finding.what


@pytest.mark.parametrize(
    ("rows", "mapping", "kind"),
    [
        ([("t", 1, 0, 0)] * 60, FLAGS.model_copy(update={"label_columns": ("a", "d")}), "missing_column"),
        ([("t", 1, 0, 0)] * 60, FLAGS.model_copy(update={"label_columns": ("a", "text")}), "label_is_text"),
        ([("t", 1, 0, 0)] * 60, FLAGS.model_copy(update={"label_columns": ("a", "b", "a")}), "column_twice"),
        ([(f"t{n}", 0, 0, 0) for n in range(60)], FLAGS, "no_labels"),
        ([(f"t{n}", 1, 0, 0) for n in range(60)], FLAGS, "one_class"),
        ([(f"t{n}", n % 2, 1, 0) for n in range(6)], FLAGS, "few_rows"),
        ([(f"t{n}", "x", "y", 0) for n in range(60)], SOFT, "no_labels"),
    ],
)
def test_errors(rows: list[tuple[object, ...]], mapping: MappingSpec, kind: str, workspace: Workspace) -> None:
    table = open_table(table_file(rows, workspace, ("text", "a", "b", "c")), workspace)
    assert found(table, mapping)[kind].severity == "error"


def test_one_class_that_some_rows_lack_can_be_learned(workspace: Workspace) -> None:
    rows = [(f"t{n}", n % 2, 0, 0) for n in range(60)]
    table = open_table(table_file(rows, workspace, ("text", "a", "b", "c")), workspace)
    assert all(finding.severity != "error" for finding in found(table, FLAGS).values())


def test_a_class_at_every_row(workspace: Workspace) -> None:
    rows = [(f"t{n}", 1, n % 2, int(n % 3 == 0)) for n in range(60)]
    table = open_table(table_file(rows, workspace, ("text", "a", "b", "c")), workspace)
    assert "'a'" in found(table, FLAGS)["class_everywhere"].what


def test_unknown_classes_of_another_file(workspace: Workspace) -> None:
    rows = [("one", "cs.AI; new"), ("two", "new"), ("three", "cs.CL"), *[(f"x {n}", "cs.LG") for n in range(9)]]
    by_kind = found(several(several_rows(100), workspace), SEVERAL, test=several(rows, workspace, "test.csv"))
    assert "2 rows lose them, and 1 row is left out, having no other" in by_kind["label_not_in_train"].what
    strange = several([(f"x {n}", "p;q") for n in range(20)], workspace, "strange.csv")
    assert found(several(several_rows(100), workspace), SEVERAL, test=strange)["labels_differ"].severity == "error"
