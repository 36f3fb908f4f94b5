"""Multi-label and soft figures against scikit-learn's, and thresholds against a plain search."""

import numpy as np
import pytest
from sklearn import metrics as sk

from core.evaluation.multi_label import (
    LEAST_THRESHOLD,
    MOST_THRESHOLD,
    RowCounts,
    joined_labels,
    micro_f1,
    micro_f1_interval,
    multi_label_metrics,
    row_counts,
    tuned_thresholds,
)
from core.evaluation.soft_label import kl_divergence, soft_metrics

LABELS = [f"class {number}" for number in range(7)]


def drawn(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth with rare and common classes, probabilities that lean towards it, thresholds."""
    rng = np.random.default_rng(seed)
    true = (rng.random((rows, 7)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.0]).astype(np.float32)
    probabilities = (0.5 * rng.random((rows, 7)) + 0.4 * true * rng.random((rows, 7))).astype(np.float32)
    probabilities[:, 6] = 0.01
    return true, probabilities, np.array([0.4, 0.35, 0.4, 0.45, 0.5, 0.45, 0.5])


def test_every_figure_is_scikit_learns() -> None:
    true, probabilities, thresholds = drawn()
    given = (probabilities >= thresholds).astype(int)
    found = multi_label_metrics(true, probabilities, thresholds, LABELS)
    truth = true.astype(int)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, given))
    assert found["hamming_loss"] == pytest.approx(sk.hamming_loss(truth, given))
    assert found["micro_f1"] == pytest.approx(sk.f1_score(truth, given, average="micro"))
    assert found["micro_precision"] == pytest.approx(sk.precision_score(truth, given, average="micro"))
    assert found["micro_recall"] == pytest.approx(sk.recall_score(truth, given, average="micro"))
    assert found["weighted_f1"] == pytest.approx(sk.f1_score(truth, given, average="weighted", zero_division=0))
    weighted = {"average": "weighted", "zero_division": 0}
    assert found["weighted_precision"] == pytest.approx(sk.precision_score(truth, given, **weighted))
    assert found["weighted_recall"] == pytest.approx(sk.recall_score(truth, given, **weighted))
    # The last class is neither in the truth nor given.
    assert found["macro_f1"] == pytest.approx(sk.f1_score(truth, given, average="macro", zero_division=np.nan))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(truth, given, average="macro", labels=range(6)))
    assert found["samples_f1"] == pytest.approx(sk.f1_score(truth, given, average="samples", zero_division=1))
    losses = [
        sk.log_loss(truth[:, number], probabilities[:, number].astype(np.float64), labels=[0, 1]) for number in range(7)
    ]
    assert found["log_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    precision, recall, f1, support = sk.precision_recall_fscore_support(truth, given, zero_division=0)
    for number, entry in enumerate(found["per_class"]):
        assert entry["label"] == LABELS[number]
        assert entry["precision"] == pytest.approx(precision[number])
        assert entry["recall"] == entry["accuracy"] == pytest.approx(recall[number])
        assert entry["f1"] == pytest.approx(f1[number])
        assert entry["support"] == support[number]
        assert entry["predicted"] == given[:, number].sum()
        assert entry["threshold"] == thresholds[number]
        assert entry["missed"] == ((truth == 1) & (given == 0))[:, number].sum()
        assert entry["added"] == ((truth == 0) & (given == 1))[:, number].sum()


@pytest.mark.parametrize("case", ["one class present", "never given", "nothing there", "150 classes", "one row"])
@pytest.mark.filterwarnings("ignore")
def test_degenerate_parts_are_scikit_learns_too(case: str) -> None:
    rng = np.random.default_rng(2)
    classes, rows = (150, 300) if case == "150 classes" else (5, 1 if case == "one row" else 40)
    truth = (rng.random((rows, classes)) < (0.02 if classes == 150 else 0.4)).astype(int)
    given = truth ^ (rng.random((rows, classes)) < 0.05)
    if case == "one class present":
        truth = np.tile([0, 1, 0, 0, 0], (rows, 1))
    if case == "never given":
        given = np.zeros_like(truth)
    if case == "nothing there":
        truth, given = np.zeros_like(truth), np.zeros_like(truth)
    labels = [str(number) for number in range(classes)]
    found = multi_label_metrics(
        truth.astype(np.float32), 0.1 + 0.8 * given.astype(np.float32), np.full(classes, 0.5), labels
    )
    for average in ("micro", "macro", "weighted", "samples"):
        # Classes, or rows, that have nothing and are given nothing: left out of macro, right in samples.
        empty = {"macro": np.nan, "samples": 1.0}.get(average, 0.0)
        theirs = sk.f1_score(truth, given, average=average, zero_division=empty)
        assert found[f"{average}_f1"] == pytest.approx(np.nan_to_num(theirs)), average
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, given))
    assert found["hamming_loss"] == pytest.approx(sk.hamming_loss(truth, given))
    by_class = sk.precision_recall_fscore_support(truth, given, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), by_class, strict=True):
        assert [entry[name] for entry in found["per_class"]] == pytest.approx(list(values))


def test_calibration_is_over_all_pairs() -> None:
    true, probabilities, thresholds = drawn()
    found = multi_label_metrics(true, probabilities, thresholds, LABELS)
    table = found["calibration"]
    assert sum(step["rows"] for step in table) == true.size
    for step in table:
        inside = (probabilities > step["from"]) & (probabilities <= step["to"])
        assert step["rows"] == inside.sum()
        assert step["confidence"] == pytest.approx(probabilities[inside].mean(), abs=1e-6)
        assert step["accuracy"] == pytest.approx(true[inside].mean())


def test_a_row_without_class_that_is_given_none_is_right() -> None:
    true = np.array([[0, 0], [1, 0]], np.float32)
    probabilities = np.array([[0.1, 0.1], [0.1, 0.1]], np.float32)
    found = multi_label_metrics(true, probabilities, np.array([0.5, 0.5]), ["a", "b"])
    assert (found["accuracy"], found["samples_f1"], found["micro_f1"], found["macro_f1"]) == (0.5, 0.5, 0.0, 0.0)
    assert found["rows_without_class"] == {"true": 1, "predicted": 2}
    assert found["only_prediction"] == []


def test_only_prediction_names_the_classes_that_every_row_is_given() -> None:
    true = np.array([[1, 0], [0, 1]], np.float32)
    thresholds = np.array([0.5, 0.5])
    same = multi_label_metrics(true, np.array([[0.9, 0.1], [0.8, 0.2]], np.float32), thresholds, ["a", "b"])
    assert same["only_prediction"] == ["a"]
    other = multi_label_metrics(true, np.array([[0.9, 0.1], [0.1, 0.2]], np.float32), thresholds, ["a", "b"])
    assert other["only_prediction"] is None


def test_no_threshold_within_bounds_has_a_better_f1() -> None:
    true, probabilities, _ = drawn(rows=150, seed=3)
    thresholds = tuned_thresholds(true, probabilities)
    for number in range(6):
        truth = true[:, number].astype(int)
        reached = sk.f1_score(truth, probabilities[:, number] >= thresholds[number], zero_division=0)
        others = [
            sk.f1_score(truth, probabilities[:, number] >= tried, zero_division=0)
            for tried in np.linspace(LEAST_THRESHOLD, MOST_THRESHOLD, 400)
        ]
        assert reached >= max(others) - 1e-12


def test_thresholds_without_rows_or_off_the_edge() -> None:
    true = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]], np.float32)
    probabilities = np.array([[0.9, 0.001, 0.9], [0.1, 0.0, 0.1], [0.2, 0.0, 0.2]], np.float32)
    none, low, parted = tuned_thresholds(true, probabilities)
    assert none == 0.5
    assert LEAST_THRESHOLD <= low <= MOST_THRESHOLD
    assert parted == 0.5  # of all that part them the nearest to one half


def test_the_interval_holds_micro_f1_and_narrows_with_rows() -> None:
    true, probabilities, thresholds = drawn(rows=2000)
    widths = []
    for rows in (100, 2000):
        counts = row_counts(true[:rows], probabilities[:rows] >= thresholds)
        low, high = micro_f1_interval(counts)
        assert low < micro_f1(counts) < high
        widths.append(high - low)
    assert widths[0] > 3 * widths[1]


def test_the_interval_is_that_of_rows_drawn_one_by_one() -> None:
    true, probabilities, thresholds = drawn(rows=300)
    counts = row_counts(true, probabilities >= thresholds)
    rng = np.random.default_rng(5)
    plain = []
    for _ in range(3000):
        rows = rng.integers(0, 300, 300)
        plain.append(micro_f1(RowCounts(counts.right[rows], counts.given[rows], counts.had[rows])))
    assert micro_f1_interval(counts) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.01)


@pytest.mark.parametrize(("separator", "joined"), [(";", "a; b"), ("|", "a| b"), (" ", "a b"), ("\t", "a\tb")])
def test_joined_labels(separator: str, joined: str) -> None:
    assert joined_labels(["a", "b"], separator) == joined


def test_soft_figures() -> None:
    rng = np.random.default_rng(1)
    true = rng.dirichlet(np.ones(4), 60).astype(np.float32)
    probabilities = rng.dirichlet(np.ones(4), 60).astype(np.float32)
    found = soft_metrics(true, probabilities, list("abcd"))
    hard = true.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(hard, probabilities.argmax(axis=1)))
    assert found["log_loss"] == pytest.approx(sk.log_loss(hard, probabilities.astype(np.float64)), rel=1e-4)
    from scipy.stats import entropy

    assert found["kl_divergence"] == pytest.approx(float(np.mean(entropy(true, probabilities, axis=1))), rel=1e-4)
    assert found["brier"] == pytest.approx(float(np.mean(((true - probabilities) ** 2).sum(axis=1))), rel=1e-5)


def test_brier_of_certain_truth_is_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    hard = rng.integers(0, 2, 80)
    of_second = rng.random(80).astype(np.float32)
    probabilities = np.stack([1 - of_second, of_second], axis=1)
    found = soft_metrics(np.eye(2, dtype=np.float32)[hard], probabilities, ["no", "yes"])
    # Over both classes, so twice that of the one.
    assert found["brier"] == pytest.approx(2 * sk.brier_score_loss(hard, of_second), rel=1e-5)
    assert found["kl_divergence"] == pytest.approx(sk.log_loss(hard, probabilities.astype(np.float64)), rel=1e-4)


def test_kl_is_nothing_where_every_distribution_is_met_and_finite_where_none_is() -> None:
    true = np.array([[1.0, 0.0], [0.25, 0.75]], np.float32)
    assert kl_divergence(true, true) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(kl_divergence(true, np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)))
