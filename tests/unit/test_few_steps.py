"""A preset's own epochs on few rows: it is said that they are hardly enough, and a press makes them follow the rows."""

import csv

import pytest

from core.data.findings import finding_words
from core.data.table import open_table
from core.few_steps import few_steps
from core.presets import find_preset, preset_spec
from core.schema import DataSpec, MappingSpec, TableFile


@pytest.fixture
def questions(shared_data, tmp_path, workspace):
    """TREC's first questions: how many are wanted -> the table of train."""

    def some(rows):
        with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
            first = [row for row, _ in zip(csv.reader(file), range(rows + 1), strict=False)]
        path = tmp_path / f"questions-{rows}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(first)
        return {"train": open_table(TableFile(path=str(path)), workspace)}

    return some


def asked(preset, tables, **settings):
    data = DataSpec(train=TableFile(path=str(tables["train"].path)))
    spec = preset_spec(find_preset(preset), data, MappingSpec(text=("text",), label="label"))
    return spec.model_copy(update={"training": spec.training.model_copy(update=settings)})


def test_the_published_epochs_on_few_rows(questions):
    tables = questions(300)
    (found,) = few_steps(asked("bert-base", tables), tables)
    assert found.what == "2 passes over 240 training rows are about 30 steps, hardly enough to learn from."
    assert found.todo == "Leave epochs empty: it makes 20 passes then." and found.severity == "warning"
    assert found.fix.settings == {"training.epochs": None}
    assert finding_words(found).endswith("[--set training.epochs=null]")


@pytest.mark.parametrize("preset", ["quickstart-minilm", "bert-freeze", "modernbert-base", "multilingual-e5-small"])
def test_epochs_that_follow_the_rows_are_enough(questions, preset):
    tables = questions(300)
    assert few_steps(asked(preset, tables), tables) == []


@pytest.mark.parametrize(
    ("preset", "rows", "settings"),
    [
        ("bert-base", 2_000, {}),
        ("bert-base", 300, {"epochs": 12}),
        ("bert-base", 300, {"batch_size": 4}),
        ("bert-base", 300, {"max_steps": 5}),
        ("llama-3.2-1b-4bit", 100, {}),
    ],
    ids=["many rows", "most of the epochs", "many steps", "an end that was set", "answers in words"],
)
def test_nothing_is_said(questions, preset, rows, settings):
    tables = questions(rows)
    assert few_steps(asked(preset, tables, **settings), tables) == []


def test_accumulated_batches_are_one_step(questions):
    tables = questions(300)
    (found,) = few_steps(asked("bert-base", tables, gradient_accumulation=4, epochs=1), tables)
    assert found.what.startswith("1 pass over 240 training rows is about 4 steps,")
