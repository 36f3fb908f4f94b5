"""Temperature scaling: against a plain search and scikit-learn, on overconfident logits, and where there is little."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss as sklearn_log_loss

from core.decision import tempered
from core.evaluation.calibration import (
    HIGHEST,
    LEAST_ROWS,
    LOWEST,
    calibration_figures,
    calibration_words,
    fitted_temperature,
)
from core.evaluation.calibration_interval import calibration_error_interval
from core.evaluation.metrics import calibration_table, classification_metrics, log_loss


def drawn(rows, classes=6, sharpness=1.0, seed=0):
    """True classes drawn from softmax(logits), and the probabilities of a model that has these times sharpness."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(rows, classes))
    # The greatest of logits with Gumbel noise is a draw from their softmax.
    true = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return true, softmax(logits * sharpness, axis=1).astype(np.float32)


def plain_error(true, probabilities, bins=10):
    """Expected calibration error as Guo et al. write it, a bin at a time."""
    confidence, right = probabilities.max(axis=1).astype(float), probabilities.argmax(axis=1) == true
    total = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("sharpness", [3.0, 1.7, 0.4])
def test_the_temperature_undoes_what_made_the_model_too_sure(sharpness):
    true, said = drawn(6000, sharpness=sharpness)
    fitted = fitted_temperature(true, said)
    assert fitted.reason == ""
    assert fitted.value == pytest.approx(sharpness, rel=0.05)
    tried = np.exp(np.linspace(np.log(LOWEST), np.log(HIGHEST), 200))
    losses = [sklearn_log_loss(true, tempered(said, value)) for value in tried]
    assert fitted.log_loss_after <= min(losses) + 1e-5
    assert fitted.log_loss_before == pytest.approx(sklearn_log_loss(true, said.astype(float)), abs=1e-5)
    assert fitted.log_loss_after < fitted.log_loss_before


@pytest.mark.parametrize("classes", [2, 6, 150])
def test_calibration_error_falls_on_rows_held_out_and_no_answer_changes(classes):
    true, said = drawn(6000, classes, sharpness=3.0)
    value = fitted_temperature(true[:2000], said[:2000]).value
    held_out, before = true[2000:], said[2000:]
    after = tempered(before, value)
    labels = [str(number) for number in range(classes)]
    one, other = (classification_metrics(held_out, probabilities, labels) for probabilities in (before, after))
    assert other["calibration_error"] < 0.5 * one["calibration_error"]
    assert other["log_loss"] < one["log_loss"]
    assert [one[name] for name in ("accuracy", "macro_f1", "confusion")] == [
        other[name] for name in ("accuracy", "macro_f1", "confusion")
    ]
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)
    for probabilities, figures in ((before, one), (after, other)):
        assert figures["calibration_error"] == pytest.approx(plain_error(held_out, probabilities))
        assert figures["log_loss"] == pytest.approx(
            sklearn_log_loss(held_out, probabilities, labels=range(classes)), abs=1e-4
        )


def test_dividing_log_probabilities_is_dividing_logits():
    logits = np.random.default_rng(1).normal(size=(50, 4)) * 3
    np.testing.assert_allclose(
        tempered(softmax(logits, axis=1), 2.5), softmax(logits / 2.5, axis=1), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("temperature", [LOWEST, 0.5, 3.0, HIGHEST])
def test_the_likeliest_class_stays_so_where_rounding_makes_it_equal_to_another(temperature):
    half = np.float32(0.5)
    said = np.array(
        [
            [np.nextafter(half, np.float32(0)), half, 0],
            [0.1, np.nextafter(half, np.float32(1)), half],
            [0, 0, 1],
            [1, 0, 0],
            [1e-30, 1e-38, 1],
        ],
        dtype=np.float32,
    )
    after = tempered(said, temperature)
    assert (after.argmax(axis=1) == said.argmax(axis=1)).all()
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)


def test_without_a_temperature_probabilities_are_the_very_same():
    said = drawn(20)[1]
    assert tempered(said, 1.0) is said


def test_few_rows_and_few_mistakes_leave_the_model_as_it_is():
    true, said = drawn(3, sharpness=3.0)
    few = fitted_temperature(true, said)
    assert few.value == 1
    assert f"3 rows; fewer than {LEAST_ROWS}" in few.reason
    assert fitted_temperature(true[:0], said[:0]).value == 1
    right = said[:1].repeat(100, axis=0)
    never_wrong = fitted_temperature(right.argmax(axis=1), right)
    assert never_wrong.value == 1
    assert "wrong on 0 of 100 validation rows" in never_wrong.reason


def test_a_model_as_sure_as_it_should_be_is_left():
    # 3 of 4 are right where it says 0.75: no temperature can do better.
    said = np.tile(np.array([[0.75, 0.25]], dtype=np.float32), (400, 1))
    fitted = fitted_temperature((np.arange(400) % 4 == 0).astype(int), said)
    assert fitted.value == 1
    assert "No temperature lowers the log loss" in fitted.reason


def test_one_class_present_and_probabilities_of_nought_and_one():
    true = np.zeros(100, dtype=int)
    said = np.tile(np.array([[1, 0, 0]], dtype=np.float32), (100, 1))
    said[:10] = [0, 1, 0]
    fitted = fitted_temperature(true, said)
    assert fitted.value == HIGHEST or fitted.value == pytest.approx(HIGHEST, rel=0.01)
    after = tempered(said, fitted.value)
    assert np.isfinite(after).all()
    assert log_loss(true, after) < log_loss(true, said)
    alone = calibration_figures(fitted, true, said, after)
    assert alone["before"]["calibration_error"] == pytest.approx(0.1)


def test_the_report_holds_both_sides_and_words_for_them():
    true, said = drawn(3000, sharpness=3.0)
    fitted = fitted_temperature(true, said)
    after = tempered(said, fitted.value)
    figures = calibration_figures(fitted, true, said, after)
    assert figures["before"]["bins"] == calibration_table(true, said)
    assert sum(step["rows"] for step in figures["after"]["bins"]) == 3000
    words = " ".join(calibration_words(figures))
    assert "too sure of itself" in words
    assert "goes down from" in words
    left = calibration_figures(fitted_temperature(true[:5], said[:5]), true, said, said)
    assert "fewer than 50 are too few" in " ".join(calibration_words(left))


@pytest.mark.parametrize("rows", [400, 9000])
def test_the_interval_of_the_calibration_error_is_that_of_a_plain_bootstrap_around_the_figure(rows):
    true, said = drawn(rows, sharpness=2.0)
    error = plain_error(true, said)
    low, high = calibration_error_interval("single", true, said)
    random = np.random.default_rng(3)
    plain = [plain_error(true[some], said[some]) for some in random.integers(rows, size=(600, rows))]
    expected = np.quantile(plain, [0.025, 0.975]) - (np.mean(plain) - error)
    assert low < error < high
    np.testing.assert_allclose([low, high], expected, atol=0.25 * (high - low))


def test_the_interval_of_several_classes_draws_whole_rows():
    true, said = drawn(500, classes=4, sharpness=2.0)
    several = np.eye(4)[true]
    low, high = calibration_error_interval("multi", several, said)
    assert 0 <= low < high < 1
    # The same pair four times over says no more than once.
    copied = calibration_error_interval("multi", np.repeat(several, 4, axis=1), np.repeat(said, 4, axis=1))
    np.testing.assert_allclose(copied, (low, high), atol=1e-9)


def test_temperature_lowers_the_calibration_error_on_a_held_out_part_of_clinc150(shared_data):
    """150 classes, scores of a linear model on TF-IDF: fitted on one half of the test rows, seen on the other."""
    import csv

    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import RidgeClassifier

    def read(name):
        with (shared_data / "clinc150" / name).open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["label"] != "oos"]
        return [row["text"] for row in rows], np.array([row["label"] for row in rows])

    (texts, labels), (held_texts, held_labels) = read("train.csv"), read("test.csv")
    names, classes = np.unique(labels, return_inverse=True)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    # Least squares on the classes: its scores are logits that nobody fitted to be probabilities.
    fitted = RidgeClassifier(solver="sparse_cg", max_iter=30).fit(words.fit_transform(texts), classes)
    said = softmax(fitted.decision_function(words.transform(held_texts)), axis=1).astype(np.float32)
    true = np.searchsorted(names, held_labels)
    one = np.random.default_rng(0).permutation(len(true)) < len(true) // 2
    temperature = fitted_temperature(true[one], said[one])
    assert temperature.reason == "" and temperature.value != 1
    figures = calibration_figures(temperature, true[~one], said[~one], tempered(said[~one], temperature.value))
    before, after = figures["before"], figures["after"]
    assert after["calibration_error"] < 0.5 * before["calibration_error"]
    assert after["calibration_error_interval"][1] < before["calibration_error_interval"][0]
    assert after["log_loss"] < before["log_loss"]
    answers = [part.argmax(axis=1) for part in (said[~one], tempered(said[~one], temperature.value))]
    assert (answers[0] == answers[1]).all() and (answers[0] == true[~one]).mean() > 0.8
