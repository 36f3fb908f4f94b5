"""What is said of data before training, and what keeps a run from starting."""

from pathlib import Path

import pytest

from core.data.checks import Finding, check_data
from core.data.table import Table, open_table
from core.schema import MappingSpec, SplitSpec, TableFile
from core.workspace import Workspace

MAPPING = MappingSpec(text=("text",), label="label")
GOOD = [f"a text about thing {number},{'xyz'[number % 3]}" for number in range(60)]


def table(rows: list[str], workspace: Workspace, name: str = "train.csv", header: str = "text,label") -> Table:
    path = workspace.root / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return open_table(TableFile(path=str(path), header=True, delimiter=","), workspace)


def kinds(findings: list[Finding], severity: str) -> set[str]:
    return {finding.kind for finding in findings if finding.severity == severity}


def found(
    train: Table, mapping: MappingSpec = MAPPING, validation: Table | None = None, test: Table | None = None
) -> dict[str, Finding]:
    return {finding.kind: finding for finding in check_data(train, validation, test, mapping, SplitSpec())}


def test_nothing_is_said_of_good_data(workspace: Workspace) -> None:
    assert check_data(table(GOOD, workspace), None, None, MAPPING, SplitSpec()) == []


@pytest.mark.parametrize(
    ("rows", "mapping", "kind"),
    [
        (GOOD, MappingSpec(text=("nope",), label="label"), "missing_column"),
        (GOOD, MappingSpec(text=("text", "label"), label="label"), "label_is_text"),
        ([f"text {number},x" for number in range(60)], MAPPING, "one_class"),
        ([f",{'xy'[number % 2]}" for number in range(60)], MAPPING, "all_text_empty"),
        ([f"text {number}, " for number in range(60)], MAPPING, "no_labels"),
        (GOOD[:6], MAPPING, "few_rows"),
        ([], MAPPING, "no_rows"),
        ([f"text {number},label{number}" for number in range(60)], MAPPING, "empty_part"),
    ],
)
def test_errors(rows: list[str], mapping: MappingSpec, kind: str, workspace: Workspace) -> None:
    findings = check_data(table(rows, workspace), None, None, mapping, SplitSpec())
    assert kind in kinds(findings, "error")
    assert all(finding.what and finding.where and finding.todo for finding in findings)
    assert findings[0].severity == "error"


def test_missing_column_names_the_columns_there_are(workspace: Workspace) -> None:
    test = table(["a,b"] * 20, workspace, "test.csv", "body,class")
    findings = check_data(table(GOOD, workspace), None, test, MAPPING, SplitSpec())
    assert {finding.where for finding in findings} == {"test.csv"}
    assert "columns: body, class" in findings[0].what


def test_warnings_count_what_is_left_out(workspace: Workspace) -> None:
    rows = [*GOOD, " ,x", ",y", "a text,", "only one of this,rare"]
    by_kind = found(table(rows, workspace))
    assert by_kind["empty_text"].count == 2
    assert by_kind["empty_label"].count == 1
    assert by_kind["single_row_class"].count == 1
    assert "'rare'" in by_kind["single_row_class"].what
    assert kinds(list(by_kind.values()), "error") == set()


def test_free_text_and_many_classes_as_label(workspace: Workspace) -> None:
    rows = [f"some text {number},{number // 2} kinds" for number in range(60)]
    assert "label_is_free_text" not in found(table(rows, workspace))
    rows = [f"some text {number},answer {number % 40}" for number in range(60)]
    assert "label_is_free_text" in found(table(rows, workspace))
    many = [f"some text {number},class {number % 3000}" for number in range(9000)]
    assert found(table(many, workspace))["many_classes"].count == 3000


def test_huge_cell_is_a_warning(workspace: Workspace) -> None:
    finding = found(table([*GOOD, f"{'word ' * 420_000},x"], workspace))["long_text"]
    assert "2,099,999" in finding.what


def test_other_files(workspace: Workspace) -> None:
    train = table(GOOD, workspace)
    test = table(
        [*[f"fresh text {n},x" for n in range(20)], GOOD[0], "A  Text ABOUT thing 1,y", "new,q", "old,q"],
        workspace,
        "test.csv",
    )
    by_kind = found(train, test=test)
    assert by_kind["label_not_in_train"].count == 2
    assert by_kind["shared_text"].count == 2
    assert "1 of them but for case or spacing" in by_kind["shared_text"].what
    strange = table([f"fresh text {n},{n % 2}" for n in range(20)], workspace, "strange.csv")
    assert found(train, test=strange)["labels_differ"].severity == "error"


def test_repeated_texts_matter_only_where_train_is_divided(workspace: Workspace) -> None:
    train = table([*GOOD, GOOD[0]], workspace)
    other = table([f"fresh text {n},{'xyz'[n % 3]}" for n in range(20)], workspace, "other.csv")
    assert found(train)["repeated_text"].count == 1
    assert "repeated_text" not in found(train, validation=other, test=other)


def test_class_names_apply_before_labels_are_compared(workspace: Workspace) -> None:
    train = table([f"text {n},{n % 2 + 1}" for n in range(40)], workspace)
    test = table([f"fresh {n},{'World' if n % 2 else 'Sports'}" for n in range(40)], workspace, "test.csv")
    mapping = MappingSpec(text=("text",), label="label", class_names={"1": "World", "2": "Sports", "3": "Business"})
    by_kind = found(train, mapping, test=test)
    assert set(by_kind) == {"unused_class_names"}


@pytest.mark.parametrize(("name", "at_least"), [("sentipers_fa", 88), ("trec", 11), ("clinc150", 2)])
def test_leaks_of_the_shared_data(name: str, at_least: int, shared_data: Path, workspace: Workspace) -> None:
    train, test = (
        open_table(TableFile(path=str(shared_data / name / file)), workspace) for file in ("train.csv", "test.csv")
    )
    assert found(train, test=test)["shared_text"].count >= at_least


def test_rejected_lines_are_a_warning(workspace: Workspace) -> None:
    path = workspace.root / "a.jsonl"
    path.write_text("".join(f'{{"text": "text {n}", "label": "{n % 2}"}}\n' for n in range(40)) + "{broken\n")
    finding = found(open_table(TableFile(path=str(path)), workspace))["rejected_lines"]
    assert (finding.count, "line 41" in finding.what) == (1, True)
