"""Coverage and accuracy where rows may stay without a label, sets of likely classes, and rows of no class."""

import json

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score, top_k_accuracy_score

from core.decision import Decision, confidence_of, is_sure, label_sets, likeliest_until, shown_share
from core.evaluation import abstaining
from core.evaluation.abstaining import (
    POINTS,
    best_accuracy,
    coverage_figures,
    coverage_words,
    label_set_figures,
    outside_figures,
    place_of,
    threshold_for_accuracy,
    threshold_for_coverage,
)


def drawn(rows, classes=6, seed=0):
    random = np.random.default_rng(seed)
    logits = 3 * random.normal(size=(rows, classes))
    # The greatest of logits with Gumbel noise is a draw from their softmax.
    true = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return true, softmax(logits, axis=1).astype(np.float32)


VALIDATION, TEST = drawn(800), drawn(1500, seed=1)
COVERAGE = coverage_figures({"validation": VALIDATION, "test": TEST})


def test_what_the_report_keeps_is_exact_at_each_of_its_thresholds():
    assert COVERAGE["thresholds"][0] == 0
    assert len(COVERAGE["thresholds"]) <= POINTS
    for part, (true, said) in (("validation", VALIDATION), ("test", TEST)):
        kept = COVERAGE[part]
        assert kept["rows"] == kept["labelled"][0] == len(true)
        for place, threshold in enumerate(COVERAGE["thresholds"]):
            sure = is_sure(said, Decision(abstain_below=threshold))
            assert kept["labelled"][place] == sure.sum()
            assert kept["right"][place] == (said.argmax(axis=1) == true)[sure].sum()
    assert json.loads(json.dumps(COVERAGE)) == COVERAGE


def test_a_threshold_for_an_accuracy_is_the_lowest_that_reaches_it_on_validation():
    true, said = VALIDATION
    right = said.argmax(axis=1) == true
    threshold = threshold_for_accuracy(COVERAGE, 0.9)
    assert right.mean() < 0.9 <= right[confidence_of(said) >= threshold].mean()
    for lower in (kept for kept in COVERAGE["thresholds"] if kept < threshold):
        assert right[confidence_of(said) >= lower].mean() < 0.9
    assert threshold_for_accuracy(COVERAGE, 0.0) == 0
    assert threshold_for_accuracy(COVERAGE, 1.0) is None or best_accuracy(COVERAGE) == 1


def test_a_threshold_for_a_coverage_labels_at_least_so_many():
    _, said = VALIDATION
    for target in (0.25, 0.8, 1.0):
        labelled = (confidence_of(said) >= threshold_for_coverage(COVERAGE, target)).mean()
        assert target <= labelled < target + 2 / POINTS + 0.005


def test_the_sentence_is_of_the_test_part():
    place = place_of(COVERAGE, threshold_for_coverage(COVERAGE, 0.8))
    part = COVERAGE["test"]
    labelled, right = part["labelled"][place], part["right"][place]
    words = coverage_words(COVERAGE, place)
    assert words.startswith(
        f"labels {100 * labelled / 1500:.1f} % of rows at {100 * right / labelled:.1f} % accuracy (95 % sure: "
    )
    assert place_of(COVERAGE, 0.0) == 0
    assert place_of(COVERAGE, 2.0) == len(COVERAGE["thresholds"]) - 1


@pytest.mark.parametrize("rows", [1, 3])
def test_hardly_any_rows_and_certain_ones(rows):
    said = np.eye(3, dtype=np.float32)[:rows]
    true = np.zeros(rows, dtype=int)
    found = coverage_figures({"validation": (true, said), "test": (true, said)})
    assert found["thresholds"] == [0.0, 1.0]
    assert found["test"]["labelled"] == [rows, rows]
    assert found["test"]["right"] == [1, 1]
    assert threshold_for_accuracy(found, 0.5) is None
    assert label_set_figures(true, said)["tops"][0]["holds"] == 1 / rows


@pytest.mark.parametrize("classes", [2, 6, 150])
def test_sets_of_the_likeliest_are_those_of_scikit_learn(classes):
    true, said = drawn(400, classes)
    for figures in label_set_figures(true, said)["tops"]:
        size = int(figures["size"])
        expected = 1.0 if size >= classes else None
        if expected is None and classes > 2:
            expected = top_k_accuracy_score(true, said, k=size, labels=range(classes))
        if expected is not None:
            assert figures["holds"] == pytest.approx(expected)


def test_sets_by_sum_are_as_few_as_reach_it():
    true, said = drawn(300, 20)
    for total in (0.5, 0.9, 0.99):
        chosen = likeliest_until(said, total)
        for row, yes in zip(said, chosen, strict=True):
            assert row[yes].sum() >= total - 1e-5
            assert yes.sum() == 1 or np.sort(row[yes])[1:].sum() < total
            assert row[yes].min() >= row[~yes].max(initial=0)
    sums = label_set_figures(true, said)["sums"]
    assert [one["sum"] for one in sums] == sorted(one["sum"] for one in sums)
    assert sorted(one["holds"] for one in sums) == [one["holds"] for one in sums]
    # Drawn from the probabilities themselves, a set holds the true class at least as often as its sum says.
    assert all(one["holds"] > one["sum"] - 0.05 for one in sums)


def test_a_set_never_is_empty_and_never_larger_than_the_classes():
    said = np.array([[1.0, 0, 0], [0.4, 0.3, 0.3]], dtype=np.float32)
    assert likeliest_until(said, 0.0).sum(axis=1).tolist() == [1, 1]
    assert likeliest_until(said, 1.0).sum(axis=1).tolist() == [1, 3]
    assert label_sets(said, Decision(label_set="top", label_set_size=9)).all()
    assert label_sets(said, Decision()).tolist() == [[True, False, False], [True, False, False]]


def test_rows_of_no_class_are_parted_by_confidence():
    random = np.random.default_rng(3)
    known = softmax(6 * np.eye(150)[random.integers(0, 150, 4500)] + random.normal(size=(4500, 150)), axis=1)
    outside = softmax(random.normal(size=(1000, 150)), axis=1)
    threshold = 0.25
    found = outside_figures(known, outside, threshold)
    confidence = np.concatenate([known.max(axis=1), outside.max(axis=1)])
    assert found["separation"] == pytest.approx(roc_auc_score([1] * 4500 + [0] * 1000, confidence))
    assert found["left_out"] == (outside.max(axis=1) < threshold).mean() > 0.95
    assert found["known_left_out"] == (known.max(axis=1) < threshold).mean() < 0.1
    same = outside_figures(known, known, 0.0)
    assert same["separation"] == pytest.approx(0.5)
    assert same["left_out"] == 0


def test_a_threshold_is_never_shown_as_certain_where_it_is_not():
    assert [shown_share(share) for share in (0, 0.831, 0.98417, 0.9997, 0.99996, 0.9999996, 1.0)] == [
        "0.0 %", "83.1 %", "98.42 %", "99.97 %", "99.996 %", "99.9999 %", "100 %",
    ]  # fmt: skip


def test_the_figures_of_sets_are_those_of_the_sets_that_rows_are_given(monkeypatch):
    """Counted at once for all sums and sizes; ties, and rows in several blocks, change nothing."""
    monkeypatch.setattr(abstaining, "ROWS_AT_ONCE", 37)
    rng = np.random.default_rng(5)
    true = rng.integers(0, 12, 200)
    said = rng.integers(1, 5, (200, 12)).astype(np.float32)
    said /= said.sum(axis=1, keepdims=True)
    figures = label_set_figures(true, said)
    decisions = [Decision(label_set="sum", label_set_sum=one["sum"]) for one in figures["sums"]]
    decisions += [Decision(label_set="top", label_set_size=int(one["size"])) for one in figures["tops"]]
    assert len(decisions) == 21
    for decision, found in zip(decisions, [*figures["sums"], *figures["tops"]], strict=True):
        chosen = label_sets(said, decision)
        assert found["holds"] == pytest.approx(chosen[np.arange(200), true].mean())
        assert found["size"] == pytest.approx(chosen.sum(axis=1).mean())
