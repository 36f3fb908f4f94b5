"""Paired tests and intervals, held against scipy's, known values, and what must be so."""

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, false_discovery_control
from sklearn.metrics import f1_score

from core.evaluation import paired
from core.evaluation.metrics import classification_metrics, wilson_interval
from core.evaluation.paired import (
    compared_words,
    holm,
    macro_f1_difference,
    macro_f1_interval,
    mcnemar,
    resampled_macro_f1,
)


def noisy(true, share, classes, seed):
    """The truth, with a share of rows drawn anew."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(true)) < share, rng.integers(0, classes, len(true)), true)


TRUE = np.random.default_rng(0).choice(4, size=400, p=[0.5, 0.3, 0.15, 0.05])
GOOD, POOR = noisy(TRUE, 0.15, 4, 1), noisy(TRUE, 0.35, 4, 2)


def right_rows(both, first, second, neither):
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [(10, 2, 0.0385742), (6, 16, 0.0524788), (0, 5, 0.0625), (0, 6, 0.03125), (7, 7, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_is_twice_the_tail_of_the_coins_that_differ(first, second, p_value):
    found = mcnemar(*right_rows(50, first, second, 9))
    assert (found.first_only, found.second_only) == (first, second)
    assert found.p_value == pytest.approx(p_value, abs=1e-6)
    if first + second:
        assert found.p_value == pytest.approx(binomtest(first, first + second).pvalue)
    expected = "unclear" if p_value >= 0.05 else "better" if first > second else "worse"
    assert found.outcome == expected


def macro_f1(true, given):
    """Over the classes that occur, as the report has it."""
    return f1_score(true, given, average="macro", zero_division=0)


def test_intervals_are_those_of_scipys_bootstrap():
    ours = macro_f1_interval(TRUE, GOOD, 4)
    theirs = bootstrap(
        (TRUE, GOOD), macro_f1, paired=True, vectorized=False, method="percentile", n_resamples=800, rng=3
    ).confidence_interval
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.012)
    assert ours[0] < macro_f1(TRUE, GOOD) < ours[1]

    # Accuracy's is Wilson's, which stays inside 0 to 1 and is as wide where rows are many.
    right = GOOD == TRUE
    theirs = bootstrap((right,), np.mean, method="percentile", n_resamples=4000, rng=3).confidence_interval
    assert wilson_interval(int(right.sum()), len(right)) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_the_difference_is_that_of_scipys_paired_bootstrap():
    found = macro_f1_difference(TRUE, GOOD, POOR, 4)

    def difference(true, first, second):
        return macro_f1(true, first) - macro_f1(true, second)

    theirs = bootstrap(
        (TRUE, GOOD, POOR), difference, paired=True, vectorized=False, method="percentile", n_resamples=600, rng=3
    ).confidence_interval
    assert found.difference == pytest.approx(difference(TRUE, GOOD, POOR))
    assert found.interval == pytest.approx([theirs.low, theirs.high], abs=0.02)
    assert found.outcome == "better" and found.p_value < 0.01
    back = macro_f1_difference(TRUE, POOR, GOOD, 4)
    assert (back.difference, back.outcome) == (pytest.approx(-found.difference), "worse")


def test_the_same_predictions_differ_by_nothing():
    found = macro_f1_difference(TRUE, GOOD, GOOD.copy(), 4)
    assert (found.difference, found.interval, found.p_value, found.outcome) == (0.0, [0.0, 0.0], 1.0, "unclear")


def test_it_is_seeded_and_blocks_change_nothing_but_memory(monkeypatch):
    once = resampled_macro_f1(TRUE, [GOOD, POOR], 4)
    assert np.array_equal(once, resampled_macro_f1(TRUE, [GOOD, POOR], 4))
    monkeypatch.setattr(paired, "DRAWN_AT_ONCE", 100)
    assert np.array_equal(once, resampled_macro_f1(TRUE, [GOOD, POOR], 4))


def test_degenerate_parts_have_intervals_too():
    one_class = np.zeros(30, dtype=int)
    assert macro_f1_interval(one_class, one_class, 3) == [1.0, 1.0]
    low, high = macro_f1_interval(np.arange(30) % 3, one_class, 3)
    point = classification_metrics(np.arange(30) % 3, np.eye(3)[one_class], list("abc"))["macro_f1"]
    assert 0 < low < point < high < 1
    assert macro_f1_interval(np.array([1]), np.array([0]), 150) == [0.0, 0.0]


def test_of_several_classes_a_row_it_is_scikit_learns_macro_f1():
    rng = np.random.default_rng(4)
    true = rng.random((200, 5)) < 0.3
    given = true ^ (rng.random((200, 5)) < 0.1)
    drawn = resampled_macro_f1(true, [given, true], 5)
    assert drawn[0].mean() == pytest.approx(f1_score(true, given, average="macro"), abs=0.01)
    assert (drawn[1] == 1).all()


def test_holm_raises_p_values_less_than_bonferroni_and_keeps_their_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    p_values = np.random.default_rng(5).random(20) ** 3
    raised = np.array(holm(list(p_values)))
    assert (raised <= np.minimum(1, 20 * p_values) + 1e-12).all()
    assert (raised >= false_discovery_control(p_values) - 1e-12).all()
    assert (np.diff(raised[np.argsort(p_values)]) >= 0).all()


def test_better_is_said_only_where_the_test_says_so():
    assert compared_words("better", "TF-IDF", 0.0123) == (
        "better than TF-IDF (p = 0.012: by chance about once in 81 times)"
    )
    assert compared_words("worse", "TF-IDF", 1e-9) == (
        "worse than TF-IDF (p < 0.001: by chance less than once in 1,000 times)"
    )
    assert (
        compared_words("unclear", "TF-IDF", 0.31)
        == "no clear difference from TF-IDF (p = 0.310: by chance 31 times in 100)"
    )
