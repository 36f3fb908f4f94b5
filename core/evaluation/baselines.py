"""What a model must beat: guessing the commonest class, and TF-IDF with logistic regression, on the same rows.

The second is meant to be hard to beat: words and word pairs, character n-grams (which carry it over spelling, endings
and languages without spaces), and a penalty chosen on the validation part.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from core.errors import UserError
from core.evaluation.metrics import log_loss
from core.evaluation.multi_baselines import commonest_classes, tfidf_one_against_rest
from core.evaluation.predictions import Baseline, same_for_all
from core.evaluation.soft_label import kl_divergence
from core.evaluation.tfidf import (
    CHARACTER_WORK,
    FEWEST_CHARACTERS,
    MOST_CHARACTERS,
    MOST_ROWS,
    WORD_WORK,
    features_of,
    in_chunks,
    reading_note,
    reading_plan,
    vectorizers,
)
from core.schema import LabelKind

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

__all__ = [
    "CHARACTER_WORK", "FEWEST_CHARACTERS", "MOST_CHARACTERS", "MOST_ROWS", "WORD_WORK", "Baseline", "LabelledTexts",
    "majority", "mean_distribution", "reading_plan", "run_baselines", "tfidf_logistic_regression",
]  # fmt: skip

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

PENALTIES = (2.0, 8.0, 32.0)
"""Values of C that are tried; weaker penalties than the last were no better on TREC, Banking77 and AG News."""
MODELS_AT_ONCE = 2
COPIES = 3
"""Of soft labels: a row is learned as its likeliest classes, at most so many, each weighted by its probability."""


class LabelledTexts(Protocol):
    """One part of the split: texts [rows], and labels as core.training.job.LabelledTexts has them."""

    @property
    def texts(self) -> list[str]: ...

    @property
    def labels(self) -> npt.NDArray[Any]: ...


def run_baselines(
    parts: Mapping[str, LabelledTexts], labels: Sequence[str], kind: LabelKind = "single"
) -> list[Baseline]:
    """Both baselines, learned from `train` and measured on `validation` and `test`; `labels` is the class order.

    Raises UserError where the train part holds a single class and rows have one each.
    """
    train, validation, test = parts["train"], parts["validation"], parts["test"]
    if kind == "multi":
        return [
            commonest_classes(train.labels, len(validation.texts), len(test.texts), labels),
            tfidf_one_against_rest(train.texts, train.labels, validation.texts, validation.labels, test.texts),
        ]
    guess = mean_distribution if kind == "soft" else majority
    return [
        guess(train.labels, len(validation.texts), len(test.texts), labels),
        tfidf_logistic_regression(
            train.texts, train.labels, validation.texts, validation.labels, test.texts, len(labels)
        ),
    ]


def majority(train_labels: Integers, validation_rows: int, test_rows: int, labels: Sequence[str]) -> Baseline:
    """The shares of the classes in train as everyone's probabilities, so that the commonest class is predicted."""
    began = time.perf_counter()
    shares = (np.bincount(train_labels, minlength=len(labels)) / len(train_labels)).astype(np.float32)
    return Baseline(
        name="majority",
        title="Guessing the commonest class",
        seconds=time.perf_counter() - began,
        fit_rows=len(train_labels),
        note=f"Answers {labels[int(shares.argmax())]} to everything.",
        probabilities=same_for_all(shares, validation_rows, test_rows),
    )


def mean_distribution(train_labels: Floats, validation_rows: int, test_rows: int, labels: Sequence[str]) -> Baseline:
    """The mean of train's distributions (float32 [rows, classes]) as everyone's: what a collapsed model would say."""
    began = time.perf_counter()
    mean = train_labels.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Baseline(
        name="majority",
        title="Always the mean distribution",
        seconds=time.perf_counter() - began,
        fit_rows=len(train_labels),
        note=f"Its likeliest class is always {labels[int(mean.argmax())]}.",
        probabilities=same_for_all(mean, validation_rows, test_rows),
    )


def tfidf_logistic_regression(
    train_texts: Sequence[str],
    train_labels: npt.NDArray[Any],
    validation_texts: Sequence[str],
    validation_labels: npt.NDArray[Any],
    test_texts: Sequence[str],
    classes: int,
) -> Baseline:
    """Logistic regression on TF-IDF of words, word pairs and 2- to 5-character n-grams.

    Labels are int64 [rows], 0 to classes - 1, or float32 [rows, classes], the probabilities of soft labels; a class
    without train rows gets probability 0. Of PENALTIES the one with the best validation accuracy is kept, of equal ones
    the one with the lower loss; of soft labels the one with the lowest KL divergence. Raises UserError where train
    holds a single class.
    """
    began = time.perf_counter()
    soft = train_labels.ndim == 2
    likeliest = train_labels.argmax(axis=1) if soft else train_labels
    reading = reading_plan(train_texts, likeliest, classes * COPIES if soft else classes)
    copies, fit_labels, weights = _learned_as(train_labels[reading.rows])
    if len(np.unique(fit_labels)) == 1:
        raise UserError(
            "The train part holds rows of one class only, so there is nothing to tell apart.",
            "split.train",
            "Give rows of at least two classes, or keep the split stratified.",
        )
    fit_texts = [train_texts[row] for row in reading.rows]
    readers = vectorizers(reading, len(fit_texts), classes)
    features = features_of(readers, fit_texts, fit=True)
    validation = features_of(readers, validation_texts)
    model, probabilities = _best_penalty(
        features[copies] if soft else features, fit_labels, weights, validation, validation_labels, classes
    )
    asked = time.perf_counter()
    test = [_probabilities(model, features_of(readers, chunk), classes) for chunk in in_chunks(test_texts)]
    pace = len(test_texts) / (time.perf_counter() - asked)
    note = reading_note(
        reading, len(train_texts), max(map(len, train_texts)), features.shape[1], model.C, PENALTIES
    )  # fmt: skip
    learned = f" A row is learned as its {COPIES} likeliest classes, each weighted by its probability." if soft else ""
    return Baseline(
        name="tfidf",
        title="TF-IDF with logistic regression",
        seconds=time.perf_counter() - began,
        fit_rows=len(reading.rows),
        note=note + learned,
        probabilities={"validation": probabilities, "test": np.concatenate(test)},
        rows_per_second=pace,
    )


def _learned_as(labels: npt.NDArray[Any]) -> tuple[Integers, Integers, Floats | None]:
    """Which row each example is a copy of, its class, and its weight (None where every row counts once).

    Logistic regression takes one class an example; a row with a distribution becomes several, whose weights sum to 1.
    """
    if labels.ndim == 1:
        return np.arange(len(labels)), labels, None
    order = np.argsort(-labels, axis=1, kind="stable")[:, :COPIES]
    shares = np.take_along_axis(labels, order, axis=1)
    shares = shares / shares.sum(axis=1, keepdims=True)
    kept = shares > 0
    return np.nonzero(kept)[0], order[kept], shares[kept]


def _best_penalty(
    features: "csr_matrix",
    labels: Integers,
    weights: Floats | None,
    validation: "csr_matrix",
    validation_labels: npt.NDArray[Any],
    classes: int,
) -> tuple["LogisticRegression", Floats]:
    """The model that does best on validation, and its probabilities there."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # Two models at once on one thread each take half the processor time of one after the other on two threads.
    # What limits BLAS counts for the whole process, so it is set here; OpenMP's limit is each thread's own.
    with (
        threadpool_limits(1, user_api="blas"),
        warnings.catch_warnings(),
        ThreadPoolExecutor(MODELS_AT_ONCE) as pool,
    ):
        # The last decimals of the weights change no prediction that matters; 100 steps are enough by far.
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = list(pool.map(partial(_fitted, features, labels, weights), PENALTIES))
    best: tuple[tuple[float, float], LogisticRegression, Floats] | None = None
    for model in models:
        probabilities = _probabilities(model, validation, classes)
        score = _score(validation_labels, probabilities)
        if best is None or score > best[0]:
            best = (score, model, probabilities)
    assert best is not None
    return best[1], best[2]


def _score(true: npt.NDArray[Any], probabilities: Floats) -> tuple[float, float]:
    """Higher is better."""
    if true.ndim == 2:
        return -kl_divergence(true, probabilities), 0.0
    return float((probabilities.argmax(axis=1) == true).mean()), -log_loss(true, probabilities)


def _fitted(features: "csr_matrix", labels: Integers, weights: Floats | None, penalty: float) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="openmp"):
        return LogisticRegression(C=penalty, max_iter=100, tol=3e-4).fit(features, labels, weights)


def _probabilities(model: "LogisticRegression", features: "csr_matrix", classes: int) -> Floats:
    """float32 [rows, classes]; scikit-learn leaves out the classes that it never saw."""
    full = np.zeros((features.shape[0], classes), dtype=np.float32)
    full[:, model.classes_] = model.predict_proba(features)
    return full
