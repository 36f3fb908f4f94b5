"""The baselines where a row may have several classes: everyone given the commonest ones, and TF-IDF with a logistic
regression for each class against the rest."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from core.evaluation.multi_label import binary_log_loss, given_classes, micro_f1, row_counts, tuned_thresholds
from core.evaluation.predictions import Baseline, same_for_all
from core.evaluation.tfidf import features_of, in_chunks, reading_note, reading_plan, vectorizers

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float32]

PENALTIES = (1.0, 4.0)
"""Values of C that are tried, one for all classes: on arXiv's 135 classes 2 and 8 were no better than these."""
WORD_WORK = 300_000_000
"""As tfidf.WORD_WORK. Classes one by one take less than all at once: arXiv's 13,500 rows are read whole, and take
about a minute."""


@dataclass(frozen=True)
class _Classifiers:
    """A logistic regression for each class."""

    penalty: float
    weights: npt.NDArray[np.float64]
    """[features, classes]; 0 where a class has no row, or every row."""
    intercepts: npt.NDArray[np.float64]
    """[classes]."""


def commonest_classes(train_labels: Floats, validation_rows: int, test_rows: int, labels: Sequence[str]) -> Baseline:
    """The classes' shares in train as everyone's probabilities, and thresholds that give everyone the commonest ones.

    As many of those as have the best micro F1 on train: no answer that is the same for everyone does better there.
    """
    began = time.perf_counter()
    shares = train_labels.mean(axis=0, dtype=np.float64).astype(np.float32)
    order = np.argsort(-shares, kind="stable")
    rows = train_labels.sum(axis=0, dtype=np.float64)[order]
    f1 = 2 * np.cumsum(rows) / (np.arange(1, len(rows) + 1) * len(train_labels) + max(1.0, rows.sum()))
    given = order[: int(f1.argmax()) + 1]
    named = ", ".join(labels[number] for number in given[:10]) + (" ..." if len(given) > 10 else "")
    return Baseline(
        name="majority",
        title="Always the commonest classes",
        seconds=time.perf_counter() - began,
        fit_rows=len(train_labels),
        note=f"Answers {named} to everything.",
        probabilities=same_for_all(shares, validation_rows, test_rows),
        thresholds=np.full(len(labels), float(shares[given[-1]])),
    )


def tfidf_one_against_rest(
    train_texts: Sequence[str],
    train_labels: Floats,
    validation_texts: Sequence[str],
    validation_labels: Floats,
    test_texts: Sequence[str],
) -> Baseline:
    """A logistic regression for each class on the features that single labels get, thresholds tuned on validation.

    Labels are float32 [rows, classes], 1 or 0. Of PENALTIES the one with the best micro F1 on validation is kept, of
    equal ones the one with the lower loss.
    """
    began = time.perf_counter()
    classes = train_labels.shape[1]
    reading = reading_plan(train_texts, np.zeros(len(train_texts), np.int64), classes, WORD_WORK)
    fit_texts = [train_texts[row] for row in reading.rows]
    readers = vectorizers(reading, len(fit_texts), classes)
    features = features_of(readers, fit_texts, fit=True)
    validation = features_of(readers, validation_texts)
    best: tuple[tuple[float, float], _Classifiers, Floats, npt.NDArray[np.float64]] | None = None
    for penalty in PENALTIES:
        model = _fitted(features, train_labels[reading.rows] > 0, penalty)
        said = _probabilities(model, validation)
        thresholds = tuned_thresholds(validation_labels, said)
        reached = micro_f1(row_counts(validation_labels, given_classes(said, thresholds)))
        score = (reached, -binary_log_loss(validation_labels > 0, said))
        if best is None or score > best[0]:
            best = (score, model, said, thresholds)
    assert best is not None
    _, model, said, thresholds = best
    asked = time.perf_counter()
    test = [_probabilities(model, features_of(readers, chunk)) for chunk in in_chunks(test_texts)]
    pace = len(test_texts) / (time.perf_counter() - asked)
    longest = max(map(len, train_texts))
    note = reading_note(reading, len(train_texts), longest, features.shape[1], model.penalty, PENALTIES)
    return Baseline(
        name="tfidf",
        title="TF-IDF with logistic regression",
        seconds=time.perf_counter() - began,
        fit_rows=len(reading.rows),
        note=f"One regression for each class, thresholds tuned on validation. {note}",
        probabilities={"validation": said, "test": np.concatenate(test)},
        thresholds=thresholds,
        rows_per_second=pace,
    )


def _fitted(features: "csr_matrix", has: npt.NDArray[np.bool_], penalty: float) -> _Classifiers:
    """liblinear's dual solver takes a fifth of a second a class where the others take several times that.

    One class after the other: it draws its order of rows from one generator for the whole process, so that two at once
    would not give the same twice.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows, classes = has.shape
    weights, intercepts = np.zeros((features.shape[1], classes)), np.zeros(classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for number, with_class in enumerate(has.sum(axis=0).tolist()):
            if 0 < with_class < rows:
                one = LogisticRegression(C=penalty, solver="liblinear", dual=True, tol=0.01, random_state=0)
                one.fit(features, has[:, number])
                weights[:, number], intercepts[number] = one.coef_[0], one.intercept_[0]
            else:
                intercepts[number] = np.log((with_class + 0.5) / (rows - with_class + 0.5))
    return _Classifiers(penalty, weights, intercepts)


def _probabilities(model: _Classifiers, features: "csr_matrix") -> Floats:
    """float32 [rows, classes], each by itself between 0 and 1."""
    scores = features @ model.weights + model.intercepts
    return (1 / (1 + np.exp(-scores))).astype(np.float32)
