"""What is found of copies, leaks, contradictions and odd texts, and what a spec's steps of cleaning leave out."""

import csv
from pathlib import Path

import pytest

from core.cut_texts import cut_texts
from core.data.checks import Finding, check_data
from core.data.examples import read_examples
from core.data.split import write_split
from core.data.table import Table, open_table
from core.schema import CleaningSpec, DataSpec, MappingSpec, ModelSpec, RunSpec, SplitSpec, TableFile
from core.workspace import Workspace

MAPPING = MappingSpec(text=("text",), label="label")
ADJECTIVES = ["red", "green", "blue", "slow", "quick", "small", "large", "quiet", "loud", "plain"]
NOUNS = ["train", "garden", "window", "engine", "river", "letter", "castle", "bottle", "forest", "mirror"]
GOOD = [(f"The {a} {n} stood near its old {NOUNS[(i * 3) % 10]} again", "xy"[(i + k) % 2])
        for i, a in enumerate(ADJECTIVES) for k, n in enumerate(NOUNS)]  # fmt: skip


def file_of(workspace: Workspace, rows: list[tuple[str, ...]], name: str, header: tuple[str, ...]) -> TableFile:
    path = workspace.root / name
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return TableFile(path=str(path), header=True, delimiter=",")


def table(
    workspace: Workspace,
    rows: list[tuple[str, ...]],
    name: str = "train.csv",
    header: tuple[str, ...] = ("text", "label"),
) -> Table:
    return open_table(file_of(workspace, rows, name, header), workspace)


def found(
    train: Table, test: Table | None = None, cleaning: CleaningSpec | None = None, mapping: MappingSpec = MAPPING
) -> dict[str, Finding]:
    return {finding.kind: finding for finding in check_data(train, None, test, mapping, SplitSpec(), cleaning)}


# Texts that stand in both files; the README of the shared data counts 88 (cells as they stand), 11 (case does not
# count) and 2.
@pytest.mark.parametrize(
    ("name", "alike", "but_for_case", "rows", "asks"),
    [("sentipers_fa", 92, 3, 136, True), ("trec", 11, 1, 11, True), ("clinc150", 2, 0, 2, False)],
)
def test_leaks_of_the_shared_data(
    name: str, alike: int, but_for_case: int, rows: int, asks: bool, shared_data: Path, workspace: Workspace
) -> None:
    train, test = (
        open_table(TableFile(path=str(shared_data / name / file)), workspace) for file in ("train.csv", "test.csv")
    )
    leak = found(train, test)["shared_text"]
    assert (leak.count, leak.asks) == (alike, asks)
    assert (f"({but_for_case} of them but for case or spacing)" in leak.what) == bool(but_for_case)
    assert f"({rows} rows)" in leak.todo
    assert leak.fix is not None
    assert leak.fix.settings == {"data.cleaning.leaked_rows": "drop"}
    assert len(leak.examples) == min(alike, 5)
    assert "shared_text" not in found(train, test, CleaningSpec(leaked_rows="drop"))


def test_the_counts_of_the_shared_data_s_readme(shared_data: Path) -> None:
    def cells(name: str, file: str) -> set[str]:
        with (shared_data / name / file).open(encoding="utf-8", newline="") as lines:
            return {row["text"] for row in csv.DictReader(lines)}

    counts = {name: len(cells(name, "train.csv") & cells(name, "test.csv")) for name in ("sentipers_fa", "clinc150")}
    assert counts == {"sentipers_fa": 88, "clinc150": 2}
    lowered = [{text.lower() for text in cells("trec", file)} for file in ("train.csv", "test.csv")]
    assert len(lowered[0] & lowered[1]) == 11


def test_a_leak_is_taken_out_of_train_and_never_out_of_test(shared_data: Path, workspace: Workspace) -> None:
    files = shared_data / "sentipers_fa"
    spec = RunSpec(
        data=DataSpec(
            train=TableFile(path=str(files / "train.csv")),
            test=TableFile(path=str(files / "test.csv")),
            cleaning=CleaningSpec(leaked_rows="drop"),
        ),
        mapping=MAPPING,
    )
    folder = workspace.run("20261121-000000-aaaa")
    facts = write_split(spec, workspace, folder)
    assert facts.parts["test"] == 1854
    assert facts.left_out["in_other_file"] == 136
    assert facts.steps == [
        {
            "key": "data.cleaning.leaked_rows",
            "words": "Texts that stand in the validation or test file too are left out of train",
            "rows": 136,
        }
    ]
    assert "shared_text" not in {finding["kind"] for finding in facts.findings}
    learned, asked = (
        {" ".join(text.lower().split()) for text in read_examples(folder, part)["text"].to_pylist()}
        for part in ("train", "test")
    )
    assert not learned & asked


def test_nearly_the_same_text_is_found_and_left_out(workspace: Workspace) -> None:
    text = "In the beginning there was a very long sentence about a red train that ran through the green forest"
    train = table(workspace, [*GOOD, (text, "x")])
    test = table(
        workspace, [(f"{text}!", "x"), *((f"Nothing of the sort, number {n}", "y") for n in range(30))], "t.csv"
    )
    near = found(train, test)["similar_text"]
    assert near.count == 1
    assert near.examples[0].text == f"{text}!"
    assert "train, row 101" in near.examples[0].about
    assert "shared_text" not in found(train, test)
    assert near.fix is not None
    assert near.fix.settings == {"data.cleaning.leaked_rows": "drop_similar"}
    assert "similar_text" not in found(train, test, CleaningSpec(leaked_rows="drop_similar"))


def test_copies_and_contradictions(workspace: Workspace) -> None:
    first, second = GOOD[0], GOOD[1]
    other = "y" if second[1] == "x" else "x"
    rows = [*GOOD, first, (first[0].upper(), first[1]), (f" {second[0]}  ", other)]
    train = table(workspace, rows)
    by_kind = found(train)
    assert by_kind["repeated_text"].count == 1
    assert "2 rows go" in by_kind["repeated_text"].todo
    assert by_kind["conflicting_labels"].count == 1
    assert "(2 rows)" in by_kind["conflicting_labels"].what
    assert {one.about for one in by_kind["conflicting_labels"].examples} == {f"row 2, {second[1]}", f"row 103, {other}"}
    cleaning = CleaningSpec(copies="drop", conflicting_labels="drop")
    assert found(train, cleaning=cleaning) == {}
    spec = RunSpec(data=DataSpec(train=train.file, cleaning=cleaning), mapping=MAPPING)
    facts = write_split(spec, workspace, workspace.run("20261121-000000-bbbb"))
    assert (facts.left_out["copy"], facts.left_out["conflicting_label"]) == (2, 2)
    assert sum(facts.parts.values()) == len(rows) - 4


def test_short_texts_and_other_scripts(workspace: Workspace) -> None:
    train = table(workspace, [*GOOD, ("ok", "x"), ("Это совсем другой язык", "y")])
    by_kind = found(train)
    assert by_kind["short_text"].count == 1
    assert by_kind["other_script"].count == 1
    assert "Latin (Cyrillic 1)" in by_kind["other_script"].what
    assert found(train, cleaning=CleaningSpec(shorter_than=3, other_scripts="drop")) == {}


def test_scripts_that_are_mixed_are_nothing_odd(workspace: Workspace) -> None:
    rows = [*GOOD, *((f"Это совсем другой язык, строка {n} {n * n}", "xy"[n % 2]) for n in range(100))]
    assert "other_script" not in found(table(workspace, rows))


def test_columns_that_are_no_text(workspace: Workspace) -> None:
    rows = [(f"A-{n:05d}", "same thing", text, label) for n, (text, label) in enumerate(GOOD)]
    train = table(workspace, rows, header=("code", "kind", "body", "label"))
    for column, kind, severity in (("code", "text_is_id", "warning"), ("kind", "few_texts", "error")):
        finding = found(train, mapping=MappingSpec(text=(column,), label="label"))[kind]
        assert (finding.severity, finding.asks) == (severity, True)
        assert finding.fix is not None
        assert finding.fix.settings == {"mapping.text": ["body"]}


def test_a_word_that_gives_the_class_away(workspace: Workspace) -> None:
    train = table(workspace, [(f"[{'pos' if label == 'x' else 'neg'}] {text}", label) for text, label in GOOD])
    told = found(train)["label_in_text"]
    assert (told.severity, told.asks, told.count) == ("warning", True, 2)
    assert {one.text for one in told.examples} == {"pos", "neg"}
    assert "label_in_text" not in found(table(workspace, GOOD, "plain.csv"))


def test_rare_and_unequal_classes_and_names_written_twice(workspace: Workspace) -> None:
    rare = [(f"Something else entirely, case {n * 17}", "rare") for n in range(4)]
    by_kind = found(table(workspace, [*GOOD, *GOOD_TWICE, *rare, ("One more of those", "X"), ("And another", "X")]))
    assert "'rare'" in by_kind["few_rows_of_class"].what
    assert by_kind["unequal_classes"].fix is not None
    assert "'X' like 'x'" in by_kind["label_variants"].what
    assert by_kind["label_variants"].fix.settings == {"mapping.fold_label_variants": True}


GOOD_TWICE = [(f"{text}, and later it was gone for good", label) for text, label in GOOD]


def test_soft_labels_are_cleaned_and_never_contradict(workspace: Workspace) -> None:
    rows = [(text, "0.7", "0.3") for text, _ in GOOD]
    rows += [(GOOD[0][0], "0.2", "0.8"), (GOOD[1][0], "0.7", "0.3"), ("ok", "0.5", "0.5")]
    file = file_of(workspace, rows, "soft.csv", ("text", "a", "b"))
    mapping = MappingSpec(text=("text",), kind="soft", label_columns=("a", "b"))
    assert "conflicting_labels" not in found(open_table(file, workspace), mapping=mapping)
    cleaning = CleaningSpec(copies="drop", shorter_than=3)
    facts = write_split(
        RunSpec(data=DataSpec(train=file, cleaning=cleaning), mapping=mapping),
        workspace,
        workspace.run("20261121-000000-cccc"),
    )
    assert facts.left_out["too_short"] == 1
    assert facts.left_out["copy"] == 1


def test_texts_that_are_cut_are_told_by_the_model_s_own_tokens(workspace: Workspace) -> None:
    rows = [(" ".join(f"word {k}" for k in range(20 if n % 4 else 200)), "xy"[n % 2]) for n in range(80)]
    (finding,) = cut_texts(table(workspace, rows), MAPPING, ModelSpec(max_length=64))
    assert finding.count == 20
    assert "25 % of the texts" in finding.what
    # 200 words and numbers, each one token or, from 100 on, perhaps more; the model reads 512 at most.
    assert finding.fix is not None
    assert finding.fix.settings["model.max_length"] in (512, 384)
    assert "word 30 ‖ word 31" in finding.examples[0].text.replace("  ", " ")
    assert cut_texts(table(workspace, rows), MAPPING, ModelSpec(max_length=512)) == []


def test_spellings_are_one_class_before_rows_are_compared(workspace: Workspace) -> None:
    """Two rows contradict each other, or are copies, by the classes that the model learns."""
    rows = [
        *GOOD,
        ("buy this now", "X"),
        ("buy this now", "x"),
        ("a thing of its own", "y"),
        ("a thing of its own", "Y"),
    ]
    folding = MAPPING.model_copy(update={"fold_label_variants": True})
    train = table(workspace, rows)
    assert "conflicting_labels" in found(train) and "conflicting_labels" not in found(train, mapping=folding)
    cleaning = CleaningSpec(conflicting_labels="drop", copies="drop")
    data = DataSpec(train=TableFile(path=str(train.path)), cleaning=cleaning)
    spec = RunSpec(data=data, mapping=folding)
    write_split(spec, workspace, workspace.run("folded"))
    texts = read_examples(workspace.run("folded"))["text"].to_pylist()
    assert texts.count("buy this now") == texts.count("a thing of its own") == 1
