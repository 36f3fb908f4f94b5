"""Reports, mistakes, cards and pages of runs whose rows have several classes or a probability for each."""

import dataclasses
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard
from sklearn.metrics import f1_score

from core.evaluation.baseline_rows import SCHEMA as BASELINE_SCHEMA
from core.evaluation.baselines import run_baselines
from core.evaluation.mistakes import count_rows, page_of_rows
from core.evaluation.multi_label import multi_label_metrics, tuned_thresholds
from core.evaluation.multi_verdict import compare_sets, multi_verdict
from core.evaluation.prediction_rows import prediction_schema
from core.evaluation.row_filter import RowFilter
from core.evaluation.soft_label import soft_metrics
from core.evaluation.soft_verdict import soft_verdict
from core.evaluation.verdict import compare
from core.export.card import model_card
from core.model_facts import run_model_facts
from tests.label_kinds import TOPICS, predicted, reported, split_run, write_model_facts
from tests.report_schema import DOCS, assert_described
from ui.run.class_table import class_table_html
from ui.run.row_list import list_html
from ui.run.several_classes import differences_html, several_failures_html, several_verdict_html
from ui.run.try_result import answer_words, shown_result, up_to_share
from ui.words import figure_words

LABELS = ["a", "b", "c"]
HALVES = np.full(3, 0.5)


def sets(rows: int = 900, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((rows, 3)) < [0.6, 0.3, 0.1]).astype(np.float32)


def wrong_pairs(true: np.ndarray, share: float, seed: int = 1) -> np.ndarray:
    """Probabilities that are wrong about this share of all pairs."""
    flipped = np.random.default_rng(seed).random(true.shape) < share
    return np.abs(0.9 * np.abs(true - flipped) + 0.05).astype(np.float32)


def judged(true: np.ndarray, model: np.ndarray, **baselines: np.ndarray):
    measured = {name: multi_label_metrics(true, said, HALVES, LABELS) for name, said in baselines.items()}
    comparisons = [compare_sets(name, true, model >= 0.5, said >= 0.5) for name, said in baselines.items()]
    return multi_verdict(multi_label_metrics(true, model, HALVES, LABELS), measured, comparisons)


def test_a_good_model_is_told_in_shares_that_can_be_pictured() -> None:
    true = sets()
    model = wrong_pairs(true, 0.05)
    result = judged(true, model, tfidf=wrong_pairs(true, 0.2), majority=np.tile([0.9, 0.1, 0.1], (900, 1)))
    figures = multi_label_metrics(true, model, HALVES, LABELS)
    low, high = figures["micro_f1_interval"]
    assert result.sentences[0] == (
        f"{figures['micro_precision']:.1%} of the classes that it gives are right, and it finds "
        f"{figures['micro_recall']:.1%} of those that are there."
    ).replace("%", " %")
    assert f"micro F1 of {figures['micro_f1']:.3f} (95 % sure: {low:.3f} to {high:.3f})" in result.sentences[1]
    assert "TF-IDF gets" in result.sentences[2]
    assert result.tone == "good"


@pytest.mark.parametrize(
    ("model", "tfidf", "words", "tone"),
    [
        (0.2, 0.05, "TF-IDF beats this model: micro F1", "bad"),
        (0.100, 0.102, "This model is not clearly better than TF-IDF", "caution"),
    ],
)
def test_a_baseline_that_is_as_good_comes_first(model: float, tfidf: float, words: str, tone: str) -> None:
    true = sets()
    result = judged(true, wrong_pairs(true, model), tfidf=wrong_pairs(true, tfidf, seed=3))
    assert result.sentences[0].startswith(words)
    assert result.tone == tone


def test_the_same_answers_are_no_better() -> None:
    true = sets()
    said = wrong_pairs(true, 0.1)
    result = judged(true, said, tfidf=said)
    assert result.sentences[0].startswith("This model is no better than TF-IDF")
    assert (result.comparisons["tfidf"].p_value, result.comparisons["tfidf"].outcome) == (1.0, "unclear")


def test_a_model_that_gives_everyone_the_same_has_learned_nothing() -> None:
    true = sets()
    result = judged(true, np.tile(np.float32([0.9, 0.1, 0.1]), (900, 1)), tfidf=wrong_pairs(true, 0.1))
    assert result.sentences[0].startswith(
        "This model has learned nothing: it gives a to every one of the 900 test rows"
    )
    nothing = judged(true, np.full((900, 3), 0.1, np.float32))
    assert "it gives no class at all to every one" in nothing.sentences[0]
    assert result.tone == nothing.tone == "bad"


def test_a_small_test_part_is_said_to_be_small() -> None:
    true = sets(30)
    result = judged(true, wrong_pairs(true, 0.1))
    assert result.sentences[0].startswith("The test part is small (30 rows), so its figures are rough: micro F1 may be")
    assert result.tone == "caution"


def test_small_classes_that_are_lost_are_told() -> None:
    true = sets()
    model = wrong_pairs(true, 0.03)
    model[:, 2] = 0.1
    result = judged(true, model, tfidf=wrong_pairs(true, 0.15))
    assert any("over all classes alike TF-IDF is ahead" in sentence for sentence in result.sentences)
    assert "c: not found in" in result.findings[0]


def test_the_comparison_is_a_paired_bootstrap_on_micro_f1() -> None:
    true = sets(200)
    ours, theirs = wrong_pairs(true, 0.1) >= 0.5, wrong_pairs(true, 0.16, seed=4) >= 0.5
    found = compare_sets("tfidf", true, ours, theirs)
    rng = np.random.default_rng(3)
    plain = []
    for _ in range(2000):
        rows = rng.integers(0, 200, 200)
        plain.append(
            f1_score(true[rows], ours[rows], average="micro") - f1_score(true[rows], theirs[rows], average="micro")
        )
    assert found.difference == pytest.approx(
        f1_score(true, ours, average="micro") - f1_score(true, theirs, average="micro")
    )
    assert found.interval == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.012)
    assert found.p_value == pytest.approx(
        2 * min(np.mean(np.array(plain) <= 0), np.mean(np.array(plain) >= 0)), abs=0.05
    )


def test_a_model_that_says_the_mean_distribution_is_called_that() -> None:
    rng = np.random.default_rng(0)
    true = rng.dirichlet([2, 1, 1], 400).astype(np.float32)
    mean = np.tile(true.mean(axis=0), (400, 1))
    guess = {"majority": soft_metrics(true, mean, LABELS)}

    def told(said: np.ndarray):
        comparison = compare("majority", true.argmax(axis=1), said.argmax(axis=1), mean.argmax(axis=1))
        return soft_verdict(soft_metrics(true, said, LABELS), guess, [comparison])

    collapsed = told(mean + np.float32(1e-6) * rng.random((400, 3)).astype(np.float32))
    assert collapsed.tone == "bad"
    near = told(mean * 0.5 + true * 0.5)
    assert near.tone == "good"
    assert "nats off on average" in near.sentences[-1]
    noisy = told(rng.dirichlet([1, 1, 1], 400).astype(np.float32))
    assert noisy.sentences[0].startswith("The probabilities of this model say no more than the mean of all rows")


@pytest.fixture
def multi(workspace, tmp_path):
    run = split_run(workspace, tmp_path / "private" / "multi.csv", "multi")
    return run, reported(run)


@pytest.fixture
def soft(workspace, tmp_path):
    run = split_run(workspace, tmp_path / "private" / "soft.csv", "soft", run_id="b-run")
    return run, reported(run)


def test_the_report_of_several_classes(multi) -> None:
    run, report = multi
    assert report["kind"] == "multi"
    assert "confusion" not in report["test"]
    test, validation = predicted(run.parts["test"], "multi"), predicted(run.parts["validation"], "multi", seed=1)
    thresholds = tuned_thresholds(validation.true, validation.probabilities)
    assert [entry["threshold"] for entry in report["test"]["per_class"]] == thresholds.tolist()
    given = test.probabilities >= thresholds
    assert report["test"]["micro_f1"] == pytest.approx(f1_score(test.true, given, average="micro"))
    assert {"majority", "tfidf"} == set(report["baselines"]) == set(report["comparisons"])
    assert json.loads((run.folder.report / "report.json").read_text()) == report


def test_predictions_hold_the_joined_classes_and_what_differs(multi) -> None:
    run, report = multi
    table = pq.read_table(run.folder.report / "predictions.parquet").to_pylist()
    rows = [row for row in table if row["part"] == "test"]
    thresholds = [entry["threshold"] for entry in report["test"]["per_class"]]
    labels = run.facts.labels
    for row, true in zip(rows, run.parts["test"].labels, strict=True):
        said = np.array(row["probabilities"])
        has = [label for label, one in zip(labels, true, strict=True) if one]
        given = [label for label, one, least in zip(labels, said, thresholds, strict=True) if one >= least]
        assert row["true"] == "; ".join(has)
        assert row["predicted"] == "; ".join(given)
        assert set(row["missed"]) == set(has) - set(given)
        assert set(row["added"]) == set(given) - set(has)
        sure = min(one if one >= least else 1 - one for one, least in zip(said, thresholds, strict=True))
        assert row["confidence"] == pytest.approx(sure, abs=1e-6)


def test_mistakes_are_filtered_by_what_was_missed_and_added(multi) -> None:
    run, report = multi
    found = page_of_rows(run.folder, RowFilter(), limit=1000)
    assert (
        len(found)
        == count_rows(run.folder, RowFilter())
        == round(report["test"]["rows"] * (1 - report["test"]["accuracy"]))
    )
    assert [row["confidence"] for row in found] == sorted((row["confidence"] for row in found), reverse=True)
    for entry in report["test"]["per_class"]:
        label = entry["label"]
        assert count_rows(run.folder, RowFilter(true=label)) == entry["missed"]
        assert count_rows(run.folder, RowFilter(predicted=label)) == entry["added"]
        assert all(label in row["missed"] for row in page_of_rows(run.folder, RowFilter(true=label)))
    assert count_rows(run.folder, RowFilter(shown="all")) == report["test"]["rows"]


def test_pages_show_text_as_text(multi, soft) -> None:
    for run, report in (multi, soft):
        page = (run.folder.report / "report.html").read_text(encoding="utf-8")
        assert "<script>alert" not in page
        assert "<b>bold</b>" not in page
        assert "&lt;b&gt;bold&lt;/b&gt;" in page
        assert ("Missed and wrongly added" in page) == (report["kind"] == "multi")
        assert ("Confusion matrix" in page) == (report["kind"] == "soft")
        assert ("KL" in page) == (report["kind"] == "soft")


def test_the_page_lists_what_is_missed_and_added_with_its_rows_behind_it(multi) -> None:
    _, report = multi
    shown = several_verdict_html(report) + several_failures_html(report) + differences_html(report)
    assert "<b>bold</b>" not in shown
    buttons = re.findall(r'data-true="([^"]*)" data-predicted="([^"]*)"', differences_html(report))
    assert len(buttons) == sum((entry["missed"] > 0) + (entry["added"] > 0) for entry in report["test"]["per_class"])
    assert all(bool(true) != bool(added) for true, added in buttons)
    per_class = sorted(report["test"]["per_class"], key=lambda entry: -entry["support"])
    table = class_table_html(per_class)
    assert "Threshold" in table
    assert "Accuracy" not in table


def test_a_mistake_shows_all_that_was_decided_wrongly(multi, soft) -> None:
    run, report = multi
    rows = page_of_rows(run.folder, RowFilter(), limit=50)
    thresholds = {entry["label"]: entry["threshold"] for entry in report["test"]["per_class"]}
    shown = list_html(rows, report["labels"], 0, len(rows), report["test"]["rows"], False, thresholds)
    assert "<script>alert" not in shown
    assert shown.count("<details") == len(rows)
    assert "In the data" in shown
    assert "Given from" in shown
    run, report = soft
    rows = page_of_rows(run.folder, RowFilter(), limit=5)
    assert "In the data" in list_html(rows, report["labels"], 0, len(rows), report["test"]["rows"], False)
    assert rows[0]["true_probabilities"] == pytest.approx(
        run.parts["test"].labels[list(run.parts["test"].row_ids).index(rows[0]["row_id"])].tolist(), abs=1e-6
    )


def test_the_card_of_several_classes(multi) -> None:
    run, report = multi
    write_model_facts(run)
    content = model_card(run.folder)
    assert "It gives a text any number of 6 classes" in content
    assert "labels from `topics`, parted by `;`" in content
    assert "problem_type" not in content  # of config.json
    assert "classifier.model.config" in content
    assert "It always answers with one of" not in content
    card = ModelCard(content)
    metadata = yaml.safe_load(content.split("\n---\n")[0].removeprefix("---\n"))
    assert "multi-label-classification" in metadata["tags"]
    (index,) = card.data.to_dict()["model-index"]
    metrics = {metric["name"]: metric["value"] for metric in index["results"][0]["metrics"]}
    assert metrics["Micro F1"] == round(report["test"]["micro_f1"], 4)
    assert metrics["Subset accuracy"] == round(report["test"]["accuracy"], 4)
    (ours,) = [line for line in content.splitlines() if line.startswith("| **This model**")]
    assert ours.split(" | ")[1] == f"{report['test']['micro_f1']:.3f}"


def test_the_card_of_probabilities(soft) -> None:
    run, report = soft
    write_model_facts(run)
    content = model_card(run.folder)
    assert "It gives a text a probability for each of 6 classes" in content
    assert "probabilities from " in content
    (ours,) = [line for line in content.splitlines() if line.startswith("| **This model**")]
    assert ours.rstrip(" |").split(" | ")[-2:] == [
        f"{report['test']['kl_divergence']:.3f}", f"{report['test']['brier']:.3f}",
    ]  # fmt: skip


def test_what_was_tried_is_shown_by_kind(multi, soft) -> None:
    run, _ = multi
    write_model_facts(run)
    facts = dataclasses.replace(run_model_facts(run.folder), thresholds=(0.5, 0.5, 0.2, 0.5, 0.5, 0.5))
    first, second, third = facts.labels[0], facts.labels[2], facts.labels[1]
    ranked = [(first, 0.9), (third, 0.4), (second, 0.3), *((label, 0.01) for label in facts.labels[3:])]
    assert answer_words(facts, ranked) == f"{first}; {second}"
    shown = shown_result(facts, ranked, 80)
    assert "2 of 6 classes reach their threshold" in shown
    assert shown.index("Given from 20 %") < shown.index("Given from 50 %", shown.index("Given from 20 %"))
    assert answer_words(facts, [(label, 0.01) for label in facts.labels]) == "no class"
    run, _ = soft
    write_model_facts(run)
    shares = list(zip(TOPICS, (0.5, 0.25, 0.15, 0.05, 0.03, 0.02), strict=True))
    assert len(up_to_share(shares, 75)) == 2
    assert len(up_to_share(shares, 76)) == 3
    assert len(up_to_share(shares, 100)) == 6
    assert "Together 90.0 %. The other 3 classes have the rest." in shown_result(
        run_model_facts(run.folder), shares, 80
    )


def test_the_figure_of_a_run(multi) -> None:
    _, report = multi
    assert figure_words({"kind": "multi", "test": report["test"]}) == f"micro F1 {report['test']['micro_f1']:.3f}"


def test_baselines_of_several_classes_beat_nothing_and_are_what_they_say(multi) -> None:
    run, _ = multi
    commonest, regression = run_baselines(run.parts, run.facts.labels, "multi")
    given = commonest.probabilities["test"] >= commonest.thresholds
    assert (given == given[0]).all()
    train = run.parts["train"].labels
    reached = [
        f1_score(train, np.tile(np.arange(6) < 0, (len(train), 1)) | chosen, average="micro", zero_division=0)
        for chosen in (
            np.isin(np.arange(6), np.argsort(-train.sum(axis=0), kind="stable")[: count + 1]) for count in range(6)
        )
    ]
    assert f1_score(train, np.tile(given[0], (len(train), 1)), average="micro") == pytest.approx(max(reached))
    test = run.parts["test"]
    assert f1_score(test.labels, regression.probabilities["test"] >= regression.thresholds, average="micro") > 0.9
    assert regression.probabilities["validation"].dtype == np.float32
    assert "One regression for each class" in regression.note
    _, again = run_baselines(run.parts, run.facts.labels, "multi")
    assert (again.probabilities["test"] == regression.probabilities["test"]).all()


def test_a_class_without_train_rows_is_never_given() -> None:
    @dataclasses.dataclass(frozen=True)
    class Part:
        texts: list[str]
        labels: np.ndarray

    texts = ["red apple", "fast car", "red car", "apple pie"] * 5
    labels = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0], [1, 0, 1, 0]] * 5, np.float32)
    part = Part(texts, labels)
    _, regression = run_baselines(dict.fromkeys(("train", "validation", "test"), part), list("abcd"), "multi")
    said = regression.probabilities["test"]
    assert (said[:, 3] < 0.05).all()
    assert (said[:, 2] > 0.95).all()
    assert (said >= regression.thresholds).astype(int).tolist() == labels.astype(int).tolist()


def test_soft_baselines_learn_distributions(soft) -> None:
    run, _ = soft
    mean, regression = run_baselines(run.parts, run.facts.labels, "soft")
    test = run.parts["test"].labels
    assert mean.probabilities["test"][0] == pytest.approx(run.parts["train"].labels.mean(axis=0), abs=1e-6)
    assert regression.probabilities["test"].sum(axis=1) == pytest.approx(np.ones(len(test)), abs=1e-5)
    far, near = (soft_metrics(test, one.probabilities["test"], run.facts.labels) for one in (mean, regression))
    assert near["kl_divergence"] < far["kl_divergence"]
    assert near["accuracy"] > far["accuracy"]


def test_every_field_and_column_is_described(multi, soft) -> None:
    words = (DOCS / "report-json.md").read_text(encoding="utf-8")
    for run, report in (multi, soft):
        assert_described(report)
        for file, schema in (("predictions", prediction_schema(report["kind"])), ("baselines", BASELINE_SCHEMA)):
            assert pq.read_schema(run.folder.report / f"{file}.parquet").names == schema.names
            described = words.split(f"## {file}.parquet")[1].split("\n## ")[0]
            assert all(f"| `{name}` |" in described for name in schema.names)
    assert ("class_order" in multi[1], "class_order" in soft[1]) == (False, True)
    drawn = {path.stem for path in (multi[0].folder.report / "figures").iterdir()}
    assert drawn == {"classes", "loss", "reliability", "validation"}
