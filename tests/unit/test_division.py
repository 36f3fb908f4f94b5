"""How rows come to parts but by chance: in groups, by time, as a column says, in folds, as in another run."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.data.checks import check_data
from core.data.division import times
from core.data.split import write_split
from core.data.table import Table, open_table
from core.errors import UserError
from core.runs.store import open_store
from core.runs.supervisor import submit
from core.schema import DataSpec, MappingSpec, RunSpec, SplitSpec, TableFile
from core.workspace import RunFolder, Workspace
from ui.new_run.draft import read_draft, spec_of
from ui.new_run.review_division import same_rows_words
from ui.run.actions import duplicate_of

QUESTIONS = MappingSpec(text=("text",), label="label")


@pytest.fixture
def trec(shared_data: Path, workspace: Workspace) -> TableFile:
    """TREC with an author (the question's first word), a day, and a part beside each question."""
    path = workspace.root / "questions.csv"
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:1500]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "author", "day", "part", "same"])
        for number, row in enumerate(rows):
            day = f"{number * 7 % 28 + 1:02}.{number % 12 + 1:02}.{2000 + number * 11 % 20}"
            part = ["Train", "Dev", "TEST", "other"][number % 10 - 6 if number % 10 > 6 else 0]
            author = f"{row['text'].split()[0]} {number % 4}"
            writer.writerow([row["text"], row["label"], author, day, part, "x"])
    return TableFile(path=str(path))


def divided(spec: RunSpec, workspace: Workspace, name: str = "a", fold: int = 1) -> dict[int, str]:
    """Row of the training file -> its part."""
    write_split(spec, workspace, workspace.run(name), fold)
    return parts_of(workspace.run(name))


def parts_of(folder: RunFolder) -> dict[int, str]:
    content = pq.read_table(folder.split).to_pydict()
    return {
        row: part for file, row, part in zip(*map(content.get, ("file", "row", "part")), strict=True) if file == "train"
    }


def run(file: TableFile, **split: object) -> RunSpec:
    return RunSpec(data=DataSpec(train=file), mapping=QUESTIONS, split=SplitSpec.model_validate(split))


def column(table: Table, name: str) -> list[str]:
    return pq.read_table(table.parquet)[name].to_pylist()


def errors(file: TableFile, workspace: Workspace, **split: object) -> str:
    spec = run(file, **split)
    found = check_data(open_table(file, workspace), None, None, QUESTIONS, spec.split)
    return " ".join(finding.what for finding in found if finding.severity == "error")


@pytest.mark.parametrize("stratified", [True, False])
def test_no_author_in_two_parts(trec: TableFile, workspace: Workspace, stratified: bool) -> None:
    parts = divided(run(trec, by="group", column="author", test=0.2, stratified=stratified), workspace)
    authors = column(open_table(trec, workspace), "author")
    held = {
        part: {authors[row] for row, found in parts.items() if found == part}
        for part in ("train", "validation", "test")
    }
    assert not (held["train"] & held["test"] or held["train"] & held["validation"] or held["test"] & held["validation"])
    sizes = Counter(parts.values())
    assert abs(sizes["test"] - 300) <= 30
    assert abs(sizes["validation"] - 150) <= 30
    assert divided(run(trec, by="group", column="author", test=0.2, stratified=stratified), workspace, "b") == parts


def test_groups_keep_the_shares_of_classes_about_as_they_are(trec: TableFile, workspace: Workspace) -> None:
    parts = divided(run(trec, by="group", column="author", test=0.2), workspace)
    labels = np.array(column(open_table(trec, workspace), "label"))
    tested = Counter(labels[[row for row, part in parts.items() if part == "test"]].tolist())
    for label, rows in Counter(labels.tolist()).items():
        assert abs(tested[label] / rows - 0.2) < 0.1


def test_oldest_train_newest_test(trec: TableFile, workspace: Workspace) -> None:
    parts = divided(run(trec, by="time", column="day", test_rows=200, validation=0.1), workspace)
    when = times(open_table(trec, workspace), "day")
    assert np.isfinite(when).all()
    of = {
        part: [when[row] for row, found in parts.items() if found == part] for part in ("train", "validation", "test")
    }
    assert max(of["train"]) <= min(of["validation"]) <= max(of["validation"]) <= min(of["test"])
    assert (len(of["validation"]), len(of["test"])) == (150, 200)


def test_column_names_the_parts_and_others_are_said(trec: TableFile, workspace: Workspace) -> None:
    spec = run(trec, by="column", column="part")
    parts = divided(spec, workspace)
    told = column(open_table(trec, workspace), "part")
    assert {(told[row], part) for row, part in parts.items()} == {
        ("Train", "train"), ("Dev", "validation"), ("TEST", "test"),
    }  # fmt: skip
    facts = write_split(spec, workspace, workspace.run("a"))
    assert facts.left_out["no_part"] == told.count("other") == 150
    assert any("150 rows name no part" in finding["what"] for finding in facts.findings)


def test_parts_are_counted_in_a_file_with_a_column_cell(workspace: Workspace) -> None:
    path = workspace.root / "cells.csv"
    lines = [f"question {row},{'ab'[row % 2]},c{row},{('train', 'dev', 'test')[row % 3]}" for row in range(90)]
    path.write_text("\n".join(["text,label,cell,part", *lines]))
    assert errors(TableFile(path=str(path)), workspace, by="column", column="part") == ""


def test_rows_in_place_of_shares(trec: TableFile, workspace: Workspace) -> None:
    assert Counter(divided(run(trec, test_rows=123, validation_rows=77), workspace).values()) == {
        "train": 1300, "validation": 77, "test": 123,
    }  # fmt: skip
    assert "none is left to learn from" in errors(trec, workspace, test_rows=1000, validation_rows=500)
    beside_a_share = errors(trec, workspace, validation_rows=1400, test=0.1)
    assert "1,400 for validation" in beside_a_share and "10% for test" in beside_a_share
    assert errors(trec, workspace, validation_rows=1300, test=0.1) == ""


@pytest.mark.parametrize("by", ["chance", "group"])
def test_each_row_is_tested_once_in_folds(trec: TableFile, workspace: Workspace, by: str) -> None:
    tested: Counter[int] = Counter()
    for fold in range(1, 5):
        parts = divided(run(trec, folds=4, by=by, column="author"), workspace, f"f{fold}", fold)
        rows = [row for row, part in parts.items() if part == "test"]
        assert len(rows) == 375 if by == "chance" else abs(len(rows) - 375) <= 40
        assert {"train", "validation"} < set(parts.values())
        tested.update(rows)
    assert set(tested.values()) == {1}
    assert len(tested) == 1500


def test_only_row_of_a_class_is_never_tested_in_folds(workspace: Workspace) -> None:
    path = workspace.root / "few.csv"
    path.write_text("text,label\n" + "".join(f"text {n},c{n % 2}\n" for n in range(40)) + "alone,rare\n")
    for fold in (1, 2, 3):
        parts = divided(run(TableFile(path=str(path)), folds=3), workspace, f"f{fold}", fold)
        assert parts[40] == "train"


def test_impossible_choices_are_told_in_words(trec: TableFile, workspace: Workspace) -> None:
    assert "same value in every row" in errors(trec, workspace, by="group", column="same")
    assert "does not hold dates or numbers (such as 'How did" in errors(trec, workspace, by="time", column="text")
    assert "same value" not in errors(trec, workspace, by="group", column="author")
    assert "No row of 'author' says train: it holds" in errors(trec, workspace, by="column", column="author")
    assert "Column 'absent' is not in questions.csv" in errors(trec, workspace, by="group", column="absent")
    assert "'label' is the label" in errors(trec, workspace, by="group", column="label")
    assert "cross-validation needs 5" in errors(trec, workspace, by="time", column="day", folds=5)
    with pytest.raises(ValueError, match=r"split\.column"):
        SplitSpec(by="group")
    with pytest.raises(ValueError, match="2 or more"):
        SplitSpec(folds=1)


def test_an_author_in_the_file_for_testing_as_well_is_told(workspace: Workspace) -> None:
    def written(name: str, authors: str) -> TableFile:
        path = workspace.root / name
        rows = (f"{author} says thing {n},{'ab'[n % 2]},{author}\n" for author in authors for n in range(10))
        path.write_text("text,label,author\n" + "".join(rows))
        return TableFile(path=str(path))

    def told(test: TableFile) -> list[str]:
        tables = (open_table(written("train.csv", "vwxyz"), workspace), None, open_table(test, workspace))
        found = check_data(*tables, QUESTIONS, SplitSpec(by="group", column="author"))
        return [f"{finding.what} {finding.examples[0].text}" for finding in found if finding.kind == "shared_groups"]

    assert told(written("apart.csv", "pq")) == []
    assert told(written("test.csv", "zyq")) == [
        "2 groups of 'author' stand both in train and in test.csv, with 20 rows of train. y"
    ]


def test_day_and_month_are_not_guessed(workspace: Workspace) -> None:
    for last, told in (("05/06/2020", "whether the day or the month comes first"), ("25/06/2020", "")):
        path = workspace.root / f"{last[:2]}.csv"
        days = [f"0{n % 9 + 1}/0{n % 8 + 1}/2020" for n in range(40)] + [last]
        path.write_text("text,label,day\n" + "".join(f"text {n},c{n % 2},{day}\n" for n, day in enumerate(days)))
        found = errors(TableFile(path=str(path)), workspace, by="time", column="day")
        assert told in found if told else not found


def test_same_rows_as_another_run(trec: TableFile, workspace: Workspace) -> None:
    first = submit(workspace, run(trec, test=0.2))
    parts = divided(run(trec, test=0.2), workspace, first)
    # As if another version had drawn it otherwise: what was stored is taken, not drawn again.
    stored = pq.read_table(workspace.run(first).split)
    swapped = {"test": "validation", "validation": "test", "train": "train"}
    names = [swapped[part] for part in stored["part"].to_pylist()]
    pq.write_table(stored.set_column(2, "part", [names]), workspace.run(first).split)
    taken = run(trec, test=0.2, same_as=first)
    facts = write_split(taken, workspace, workspace.run("b"))
    assert facts.same_rows == first
    assert parts_of(workspace.run("b")) == {row: swapped[part] for row, part in parts.items()}
    other = run(trec, test=0.3, same_as=first)
    anew = write_split(other, workspace, workspace.run("c"))
    assert anew.same_rows == "" and "divided_anew" not in {found["kind"] for found in facts.findings}
    (told,) = [found["what"] for found in anew.findings if found["kind"] == "divided_anew"]
    assert told == f"The rows are divided anew, not as in run {first}, because the split settings have changed."
    gone = run(trec, test=0.2, same_as="no-such-run")
    assert divided(gone, workspace, "d") == parts


def test_duplicate_takes_the_rows_of_its_run(trec: TableFile, workspace: Workspace) -> None:
    first = submit(workspace, run(trec, test=0.2))
    divided(run(trec, test=0.2), workspace, first)
    draft = read_draft(open_store(workspace), duplicate_of(workspace, first).removeprefix("/?draft="))
    spec, tables = spec_of(draft), {"train": open_table(trec, workspace)}
    assert spec.split.same_as == first
    assert "Each row is in the same part as in" in same_rows_words(workspace, spec, tables)
    draft.put("mapping.joiner", " | ")
    told = same_rows_words(workspace, spec_of(draft), tables)
    assert "because the mapping has changed" in told


def test_folds_refuse_a_test_file(trec: TableFile, workspace: Workspace) -> None:
    spec = RunSpec(data=DataSpec(train=trec, test=trec), mapping=QUESTIONS, split=SplitSpec(folds=3))
    with pytest.raises(UserError, match="every row is tested once"):
        write_split(spec, workspace, workspace.run("a"))
