"""The figures equal scikit-learn's, whatever the predictions look like."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sklearn_metrics

from core.evaluation.confusion import REST, clustered_order, fold_confusion, folded_words, top_confusions
from core.evaluation.metrics import calibration_table, classification_metrics, confusion_matrix, wilson_interval


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def drawn(rows, classes, seed, strength=2.0):
    """Predictions that are right more often than chance."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, classes, rows)
    scores = generator.normal(size=(rows, classes))
    scores[np.arange(rows), true] += strength
    return true, softmax(scores)


def certain(predicted, classes):
    return softmax(np.eye(classes, dtype=np.float32)[predicted] * 5)


CASES = {
    "six classes": (*drawn(500, 6, 1), 6),
    "two classes, unbalanced": ((np.arange(400) < 12).astype(np.int64), softmax(drawn(400, 2, 2)[1]), 2),
    "150 classes": (*drawn(4500, 150, 3), 150),
    "150 classes in 100 rows, most absent": (*drawn(100, 150, 4), 150),
    "one class present": (np.zeros(20, dtype=np.int64), certain(np.zeros(20, dtype=int), 4), 4),
    "one class present, another predicted": (np.zeros(20, dtype=np.int64), certain(np.full(20, 2), 4), 4),
    "one class predicted": (np.arange(30) % 3, certain(np.full(30, 1), 3), 3),
    "labels never predicted": (np.arange(60) % 6, certain(np.arange(60) % 2, 6), 6),
    "class absent from the test part": (np.arange(60) % 4, certain(np.arange(60) % 5, 6), 6),
    "all right": (np.arange(60) % 6, certain(np.arange(60) % 6, 6), 6),
    "one row, wrong": (np.array([2]), certain(np.array([0]), 3), 3),
    "equal probabilities": (np.arange(30) % 3, np.full((30, 3), 1 / 3, dtype=np.float32), 3),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore")
def test_figures_equal_scikit_learns(case):
    true, probabilities, classes = CASES[case]
    figures = classification_metrics(true, probabilities, [str(number) for number in range(classes)])
    predicted = probabilities.argmax(axis=1)

    expected = {
        "accuracy": sklearn_metrics.accuracy_score(true, predicted),
        "macro_f1": sklearn_metrics.f1_score(true, predicted, average="macro", zero_division=0),
        "micro_f1": sklearn_metrics.f1_score(true, predicted, average="micro", zero_division=0),
        "weighted_f1": sklearn_metrics.f1_score(true, predicted, average="weighted", zero_division=0),
        "macro_precision": sklearn_metrics.precision_score(true, predicted, average="macro", zero_division=0),
        "macro_recall": sklearn_metrics.recall_score(true, predicted, average="macro", zero_division=0),
        "weighted_precision": sklearn_metrics.precision_score(true, predicted, average="weighted", zero_division=0),
        "weighted_recall": sklearn_metrics.recall_score(true, predicted, average="weighted", zero_division=0),
        "log_loss": sklearn_metrics.log_loss(true, probabilities, labels=range(classes)),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, rel=1e-6)

    by_class = sklearn_metrics.precision_recall_fscore_support(true, predicted, labels=range(classes), zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), by_class, strict=True):
        assert [scores[name] for scores in figures["per_class"]] == pytest.approx(list(values))
    assert figures["confusion"] == sklearn_metrics.confusion_matrix(true, predicted, labels=range(classes)).tolist()
    assert [scores["predicted"] for scores in figures["per_class"]] == np.bincount(
        predicted, minlength=classes
    ).tolist()
    assert figures["rows"] == len(true)


@pytest.mark.parametrize(("right", "rows"), [(0, 1), (1, 1), (0, 100), (100, 100), (48, 50), (483, 500), (7500, 7600)])
def test_the_interval_is_wilsons(right, rows):
    expected = binomtest(right, rows).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(right, rows) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_calibration_compares_confidence_with_accuracy_step_by_step():
    true = np.array([0, 0, 1, 1, 0])
    probabilities = np.array([[0.95, 0.05], [0.93, 0.07], [0.91, 0.09], [0.4, 0.6], [0.3, 0.7]])
    table = calibration_table(true, probabilities)
    assert [(step["from"], step["to"], step["rows"]) for step in table] == [(0.5, 0.6, 1), (0.6, 0.7, 1), (0.9, 1.0, 3)]
    assert [step["accuracy"] for step in table] == pytest.approx([1.0, 0.0, 2 / 3])
    assert table[-1]["confidence"] == pytest.approx(0.93)

    error = classification_metrics(true, probabilities, ["a", "b"])["calibration_error"]
    assert error == pytest.approx((0.4 + 0.7 + 3 * (0.93 - 2 / 3)) / 5)


def test_a_model_that_is_always_sure_and_always_right_is_calibrated():
    probabilities = np.eye(3, dtype=np.float32)
    assert classification_metrics(np.arange(3), probabilities, ["a", "b", "c"])["calibration_error"] == 0


def test_folding_keeps_the_classes_that_are_mixed_up_and_loses_no_row():
    true, probabilities = drawn(3000, 40, 5)
    true[true == 7] = 8
    predicted = np.where(true == 3, 3, probabilities.argmax(axis=1))
    predicted = np.where((predicted == 3) & (true != 3), true, predicted)
    confusion = confusion_matrix(true, predicted, 40)
    labels = [f"class {number}" for number in range(40)]
    order = np.random.default_rng(0).permutation(40).tolist()
    counts, names = fold_confusion(confusion.tolist(), labels, largest=30, order=order)
    assert len(names) == len(counts) == 31
    assert names[-1] == REST
    assert "class 3" not in names, "nothing is taken for it, and it for nothing"
    assert names[:-1] == [labels[number] for number in order if labels[number] in names]
    assert np.sum(counts) == 3000
    (worst, *_) = top_confusions(confusion, labels, 1)
    assert {worst[0], worst[1]} <= set(names)
    kept = labels.index(names[0])
    assert counts[0][0] == confusion[kept, kept]
    assert sum(counts[0]) == confusion[kept].sum()
    among = sum(map(sum, counts[:-1])) - sum(row[-1] for row in counts[:-1]) - sum(counts[n][n] for n in range(30))
    wrong = int(np.sum(confusion) - np.trace(confusion))
    by_size = np.argsort(-confusion.sum(axis=1))[:30]
    assert among > np.sum(confusion[np.ix_(by_size, by_size)]) - np.trace(confusion[np.ix_(by_size, by_size)])
    words = folded_words(confusion, counts, 40)
    assert words.startswith(f"The 30 classes that are mixed up most, with {among:,} of all {wrong:,} mistakes among")
    assert folded_words(confusion, confusion.tolist(), 40) == ""


def test_classes_that_are_taken_for_each_other_stand_beside_each_other():
    """Three groups of four classes, dealt out like cards: within a group rows are mixed up, never across."""
    rng = np.random.default_rng(1)
    group = np.arange(12) % 3
    confusion = np.diag(rng.integers(60, 90, 12))
    for true in range(12):
        for predicted in range(12):
            if true != predicted and group[true] == group[predicted]:
                confusion[true, predicted] = rng.integers(2, 9)
    order = clustered_order(confusion)
    assert sorted(order) == list(range(12))
    changes = sum(group[one] != group[other] for one, other in pairwise(order))
    assert changes == 2
    counts, names = fold_confusion(confusion, [str(number) for number in range(12)], order=order)
    assert names == [str(number) for number in order]
    assert counts == confusion[np.ix_(order, order)].tolist()


@pytest.mark.parametrize("confusion", [np.eye(5, dtype=int), [[3, 1], [0, 4]], [[7]], np.zeros((4, 4), dtype=int)])
def test_without_confusions_the_classes_stay_in_their_order(confusion):
    assert clustered_order(confusion) == list(range(len(confusion)))


def test_an_order_is_found_for_150_classes_some_of_which_have_no_rows():
    true, probabilities = drawn(900, 150, 6)
    true = np.minimum(true, 140)
    order = clustered_order(confusion_matrix(true, probabilities.argmax(axis=1), 150))
    assert sorted(order) == list(range(150))


def test_a_rest_of_one_class_is_not_folded():
    confusion = np.eye(31, dtype=int).tolist()
    assert fold_confusion(confusion, [str(number) for number in range(31)])[0] == confusion
    assert len(fold_confusion(np.eye(32, dtype=int).tolist(), [str(number) for number in range(32)])[1]) == 31


def test_top_confusions_are_the_largest_cells_off_the_diagonal():
    confusion = [[50, 3, 0], [9, 40, 3], [0, 0, 7]]
    assert top_confusions(confusion, ["a", "b", "c"], 2) == [("b", "a", 9), ("a", "b", 3)]
    assert top_confusions(confusion, ["a", "b", "c"]) == [("b", "a", 9), ("a", "b", 3), ("b", "c", 3)]
    assert top_confusions([[5, 0], [0, 5]], ["a", "b"]) == []
