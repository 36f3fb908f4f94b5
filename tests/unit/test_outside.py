"""Rows for test of classes that the train part does not have: kept apart from every figure, and told of."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from core.data.examples import label_array, read_data_facts, read_outside
from core.data.split import read_examples, write_split
from core.decision import AS_IT_IS
from core.evaluation.baselines import run_baselines
from core.evaluation.mistakes import count_rows
from core.evaluation.outside import known_place, outside_words_at
from core.evaluation.predictions import Predictions
from core.evaluation.report import write_report
from core.evaluation.row_filter import RowFilter
from core.spec_files import parse_spec, spec_yaml
from core.training.job import LabelledTexts
from tests.label_kinds import MACHINE
from ui.run.sureness import sureness_html

OWN = ("alpha", "beta", "gamma")


def lines(rows, classes, start=0):
    return [f"{classes[number % len(classes)]} text {start + number},{classes[number % len(classes)]}"
            for number in range(rows)]  # fmt: skip


def said(part, rng, sure):
    """A model that is right four times in five; of rows of no class of its own it is less sure."""
    right = np.where(rng.random(len(part.labels)) < 0.8, part.labels, (part.labels + 1) % 3)
    top = np.clip(rng.normal(sure, 0.12, len(part.labels)), 0.4, 0.98)
    probabilities = np.repeat((1 - top)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(len(right)), right] = top
    return Predictions(part.row_ids, part.labels, probabilities.astype(np.float32))


def texts_of(examples, facts=None):
    labels = label_array(examples["label"], facts) if facts else np.zeros(len(examples), np.int64)
    return LabelledTexts(examples["row_id"].to_numpy(), examples["text"].to_pylist(), labels)


@pytest.fixture(params=["class that train lacks", "class that was dropped"])
def run(request, workspace, tmp_path):
    """Its test file holds 120 rows of two classes that are not learned, and one row without a text."""
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    dropped = request.param == "class that was dropped"
    known = [*lines(300, OWN), *(lines(40, ("oos", "<b>odd</b>"), 900) if dropped else [])]
    train.write_text("\n".join(["text,label", *known]) + "\n", encoding="utf-8")
    unknown = lines(120, ("oos", "oos", "<b>odd</b>"), 2000)
    mixed = [*lines(150, OWN, 1000), *unknown, ",oos"]
    test.write_text("\n".join(["text,label", *mixed]) + "\n", encoding="utf-8")
    spec = parse_spec(
        {
            "name": "Intents",
            "data": {"train": {"path": str(train)}, "test": {"path": str(test)}},
            "mapping": {
                "text": ["text"], "label": "label",
                "dropped_classes": ["oos", "<b>odd</b>"] if dropped else [],
            },
        },
        "test",
    )  # fmt: skip
    folder = workspace.run("a-run")
    facts = write_split(spec, workspace, folder)
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    parts = {name: texts_of(read_examples(folder, name), facts) for name in ("train", "validation", "test")}
    outside = texts_of(read_outside(folder))
    rng = np.random.default_rng(0)
    report = write_report(
        folder, spec, facts,
        test=said(parts["test"], rng, 0.8), validation=said(parts["validation"], rng, 0.8),
        outside=said(outside, rng, 0.55), baselines=run_baselines(parts, facts.labels),
        training={
            "steps": 5, "epochs": 1.0, "seconds": 6.0, "machine": MACHINE, "history": [],
            "best": {"name": "macro_f1", "value": 0.9, "step": 5},
        },
    )  # fmt: skip
    return folder, report


def test_they_are_kept_apart_from_parts_figures_and_mistakes(run):
    folder, report = run
    facts = read_data_facts(folder)
    assert facts.labels == list(OWN) and facts.parts["test"] == 150 == report["test"]["rows"]
    outside, examples = read_outside(folder), read_examples(folder)
    assert len(outside) == 120 and set(outside["label"].to_pylist()) == {"oos", "<b>odd</b>"}
    assert not set(outside["row_id"].to_pylist()) & set(examples["row_id"].to_pylist())
    kept = pq.read_table(folder.report / "predictions.parquet").to_pylist()
    apart = [row for row in kept if row["part"] == "outside"]
    assert [row["text"] for row in apart] == outside["text"].to_pylist()
    assert {row["predicted"] for row in apart} <= set(OWN)
    wrong = sum(row["part"] == "test" and row["true"] != row["predicted"] for row in kept)
    assert count_rows(folder, RowFilter()) == wrong == round(150 * (1 - report["test"]["accuracy"]))


def test_how_well_confidence_parts_them_is_the_area_under_the_curve(run):
    folder, report = run
    kept = pq.read_table(folder.report / "predictions.parquet").to_pylist()
    known, apart = ([row["confidence"] for row in kept if row["part"] == part] for part in ("test", "outside"))
    found = report["outside"]
    area = roc_auc_score([1] * len(known) + [0] * len(apart), known + apart)
    assert found["separation"] == pytest.approx(area) and area > 0.8
    assert (found["rows"], found["classes"]) == (120, {"oos": 80, "<b>odd</b>": 40})
    for threshold, labelled in zip(report["coverage"]["thresholds"], found["labelled"], strict=True):
        assert labelled == sum(sure >= threshold for sure in apart)
    place = known_place(report["coverage"])
    away = 1 - found["labelled"][place] / 120
    validation = report["coverage"]["validation"]
    assert validation["labelled"][place] >= 0.94 * validation["rows"]
    assert f"turns away {away * 100:.1f} % of those of classes it never learned." in outside_words_at(report, place)


def test_the_report_file_and_the_slider_tell_of_them(run):
    folder, report = run
    page = (folder.report / "report.html").read_text(encoding="utf-8")
    assert "120 test rows of classes that it never learned (oos, &lt;b&gt;odd" in page and "<b>odd" not in page
    assert report["findings"][-1].startswith("Kept apart from every figure are 120 test rows")
    slider = sureness_html(report, AS_IT_IS)
    assert "<b>odd" not in slider and "Turn away unknown classes" in slider
    said = json.loads(re.search(r'data-places="([^"]*)"', slider)[1].replace("&quot;", '"').replace("&#x27;", "'"))
    assert len(said["said"]) == len(report["coverage"]["thresholds"])
    assert all("of classes it never learned" in words for words in said["said"])
