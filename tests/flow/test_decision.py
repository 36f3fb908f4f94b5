"""A choice saved with a real model: used by predict, by evaluate, and by what is taken away, in another place."""

import ast
import csv
import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.data.table import open_table
from core.deciding import Wish, decide, save_decision
from core.decision import AS_IT_IS, Decision, label_sets, tempered
from core.evaluate_run import evaluate_file
from core.evaluation.metrics import log_loss
from core.export.bundle import export_folder
from core.export.loading import loading_code
from core.model_facts import read_model_facts, run_model_facts
from core.predict import label_file, label_path
from core.predictor import Predictor, load_predictor, predict_probabilities
from core.schema import TableFile
from core.workspace import RunFolder, Workspace, open_workspace
from tests.flow.conftest import QUESTIONS, run_here, tiny_spec
from tests.run_folders import add_model, run_spec, write_run

RUN = "20261121-000000-aaaa"
LABELS = list(QUESTIONS)
UNSURE = Decision(temperature=2.0, abstain_below=0.55, label_set="sum", label_set_sum=0.7)


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, questions: Path) -> RunFolder:
    rows, spec = cells(questions)[:60], run_spec(str(questions), max_length=24)
    made = write_run(open_workspace(tmp_path_factory.mktemp("workspace")), RUN, spec, LABELS)
    add_model(made, spec, [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows], LABELS)
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("new") / "new.csv"
    texts = ["Who wrote Hamlet ?", "Where is Rome ?", "How many are there ?", "", "blue or cheese", "Who is where ?"]
    path.write_text("text\n" + "\n".join(f'"{text}"' for text in texts) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def saved(folder: RunFolder) -> RunFolder:
    save_decision(folder, UNSURE)
    return folder


def as_decided(predictor: Predictor, texts: list[str]) -> list[tuple[str, str]]:
    """(label, labels) of each text, '' where there is none, from the model's own probabilities."""
    said = tempered(predict_probabilities(predictor, [text for text in texts if text]), UNSURE.temperature)
    sets = iter(
        ["; ".join(np.array(LABELS)[chosen]) for chosen in label_sets(said, UNSURE)],
    )
    best = iter([LABELS[row.argmax()] if row.max() >= UNSURE.abstain_below else "" for row in said])
    return [(next(best), next(sets)) if text else ("", "") for text in texts]


def test_predict_keeps_to_it_here_and_after_export(saved: RunFolder, file: Path, tmp_path: Path) -> None:
    here = label_path(saved.workspace, RUN, file, tmp_path / "here.csv")
    away = export_folder(saved, tmp_path / "away")
    assert read_model_facts(away).decision == UNSURE
    table = open_table(TableFile(path=str(file)), saved.workspace)
    label_file(load_predictor(away), table, tmp_path / "there.csv")
    rows = cells(tmp_path / "here.csv")
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    expected = as_decided(load_predictor(saved.model), [row["text"] for row in rows])
    assert list(rows[0]) == ["text", "labels", "label", "probability"]
    assert [(row["label"], row["labels"]) for row in rows] == expected
    unsure = [row for row in rows if row["text"] and not row["label"]]
    assert 0 < len(unsure) < 5
    assert all(0 < float(row["probability"]) < UNSURE.abstain_below for row in unsure)
    assert (here.rows, here.labelled) == (6, 5 - len(unsure))
    assert any("below the saved threshold of 55.0 %" in note for note in here.notes)
    assert any("1 row has no text" in note for note in here.notes)


def test_the_answer_is_the_same_class_at_any_temperature(folder: RunFolder, file: Path, tmp_path: Path) -> None:
    save_decision(folder, AS_IT_IS)
    label_path(folder.workspace, RUN, file, tmp_path / "plain.csv")
    save_decision(folder, Decision(temperature=4.0))
    label_path(folder.workspace, RUN, file, tmp_path / "cool.csv")
    plain, cool = cells(tmp_path / "plain.csv"), cells(tmp_path / "cool.csv")
    assert [row["label"] for row in plain] == [row["label"] for row in cool]
    assert all(float(a["probability"]) > float(b["probability"]) for a, b in zip(plain, cool, strict=True) if a["text"])


def test_the_lines_that_load_it_decide_alike(saved: RunFolder, tmp_path: Path) -> None:
    away = export_folder(saved, tmp_path / "away")
    texts = ["Who wrote Hamlet ?", "blue or cheese"]
    expected = as_decided(load_predictor(saved.model), texts)
    assert len({bool(label) for label, _ in expected}) == 2
    code = loading_code(run_model_facts(saved), str(away))
    for text, (label, labels) in zip(texts, expected, strict=True):
        printed = StringIO()
        with redirect_stdout(printed):
            exec(code.replace('"Write a text here"', json.dumps(text)), {})
        first, second = printed.getvalue().strip().splitlines()[-2:]
        assert first.split(" ", 1)[0] == (label or "None")
        assert sorted(ast.literal_eval(second)) == sorted(labels.split("; "))


def test_the_card_says_what_holds(saved: RunFolder, tmp_path: Path) -> None:
    card = (export_folder(saved, tmp_path / "away") / "README.md").read_text(encoding="utf-8")
    assert "A row gets no label where its likeliest class has less than 55.0 %." in card
    assert "until they sum to 70.0 %" in card
    assert "Probabilities are those at temperature 2.00." in card
    assert "It always answers" not in card


def test_a_labelled_file_tells_its_own_rows_from_others(saved: RunFolder, questions: Path, tmp_path: Path) -> None:
    decide(saved, Wish(label_set="one"))
    known = [[row["text"], row["label"]] for row in cells(questions)[60:90]]
    outside = [[f"thing {number} blue cheese and rain", "COLOUR"] for number in range(10)]
    path = tmp_path / "labelled.csv"
    with path.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows([["text", "label"], *known[:20], *outside, *known[20:]])
    result = evaluate_file(saved.workspace, RUN, path)
    assert (result["rows"], result["scored"]) == (40, 30)
    assert result["outside"]["rows"] == 10
    assert result["outside"]["separation"] > 0.5
    predictor = load_predictor(saved.model)
    said = tempered(predict_probabilities(predictor, [text for text, _ in known]), 2.0)
    sure = said.max(axis=1) >= 0.55
    right = [LABELS[row.argmax()] == label for row, (_, label) in zip(said, known, strict=True)]
    assert result["abstaining"] == {
        "threshold": 0.55,
        "labelled": sure.sum(),
        "right": np.array(right)[sure].sum(),
    }
    assert any("10 rows of none of its classes" in note for note in result["notes"])


def test_training_fits_the_temperature_and_the_report_shows_the_model_at_it(
    workspace: Workspace, questions: Path, tiny_bert: Path
) -> None:
    spec = tiny_spec(questions, tiny_bert, max_steps=30)
    run = run_here(workspace, spec.model_copy(update={"split": spec.split.model_copy(update={"validation": 0.3})}))
    assert run.state == "finished"
    folder = workspace.run(run.id)
    report = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))
    fitted = report["calibration"]["temperature"]
    assert fitted["rows"] == 72
    assert run_model_facts(folder).decision == Decision(temperature=fitted["value"])
    rows = pq.read_table(folder.report / "predictions.parquet").to_pylist()
    test = [row for row in rows if row["part"] == "test"]
    said = predict_probabilities(load_predictor(folder.model), [row["text"] for row in test])
    np.testing.assert_allclose([row["probabilities"] for row in test], tempered(said, fitted["value"]), atol=1e-4)
    true = np.array([report["labels"].index(row["true"]) for row in test])
    assert report["calibration"]["before"]["log_loss"] == pytest.approx(log_loss(true, said), abs=1e-3)
    assert report["test"]["log_loss"] == pytest.approx(report["calibration"]["after"]["log_loss"])
    assert report["coverage"]["test"]["rows"] == len(test)
