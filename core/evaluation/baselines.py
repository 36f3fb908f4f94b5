"""What a model must beat: guessing the commonest class, and TF-IDF with logistic regression, on the same rows.

The second is meant to be hard to beat: words and word pairs, character n-grams (which carry it over spelling, endings
and languages without spaces), and a penalty chosen on the validation part.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from core.data.allocation import allocate
from core.errors import UserError
from core.evaluation.metrics import log_loss

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

MOST_ROWS = 60_000
"""Train rows used at most; beyond that a stratified sample."""
MOST_CHARACTERS = 20_000
"""Characters of a text that are read at most: about what the longest context of an encoder holds."""
FEWEST_CHARACTERS = 100
"""Where the budget leaves character n-grams less than this of each text, they are left out."""
WORD_WORK = 200_000_000
CHARACTER_WORK = 15_000_000
"""Characters of all train texts times a tenth of the classes: what two cores do in about two minutes."""
MOST_FEATURES = 200_000
MOST_PARAMETERS = 1_000_000
"""Features times classes, for each kind of n-gram: the solver's memory and much of its time go with it."""
PENALTIES = (2.0, 8.0, 32.0)
"""Values of C that are tried; weaker penalties than the last were no better on TREC, Banking77 and AG News."""
FEWEST_FEATURES = 2000
MODELS_AT_ONCE = 2
SEED = 42
TEXTS_AT_ONCE = 20_000
WORD = r"\w+|[^\w\s]"
"""A word, or a single punctuation mark or symbol: every text that is not empty has at least one."""


class LabelledTexts(Protocol):
    """One part of the split: texts [rows] and the class of each, int64 [rows]."""

    @property
    def texts(self) -> list[str]: ...

    @property
    def labels(self) -> Integers: ...


@dataclass(frozen=True)
class Baseline:
    name: str
    """`majority` or `tfidf`."""
    title: str
    seconds: float
    """Wall time of fitting and predicting."""
    fit_rows: int
    """Train rows it learned from; fewer than the train part has where it was sampled."""
    note: str
    """How it was made, and what was sampled or left out, in a sentence or two."""
    probabilities: dict[str, Floats]
    """validation and test: float32 [rows, classes], rows as in the part."""


@dataclass(frozen=True)
class Reading:
    """How much of the train part is read."""

    rows: Integers
    """Indices into the train part, ascending."""
    word_characters: int
    """Of each text, for words and word pairs."""
    characters: int
    """Of each text, for character n-grams; 0 where these are left out."""


def run_baselines(parts: Mapping[str, LabelledTexts], labels: Sequence[str]) -> list[Baseline]:
    """Both baselines, learned from `train` and measured on `validation` and `test`; `labels` is the class order.

    Raises UserError where the train part holds a single class.
    """
    train, validation, test = parts["train"], parts["validation"], parts["test"]
    return [
        majority(train.labels, len(validation.texts), len(test.texts), labels),
        tfidf_logistic_regression(
            train.texts, train.labels, validation.texts, validation.labels, test.texts, len(labels)
        ),
    ]


def majority(train_labels: Integers, validation_rows: int, test_rows: int, labels: Sequence[str]) -> Baseline:
    """The shares of the classes in train as everyone's probabilities, so that the commonest class is predicted."""
    began = time.perf_counter()
    shares = (np.bincount(train_labels, minlength=len(labels)) / len(train_labels)).astype(np.float32)
    probabilities = {
        part: np.tile(shares, (rows, 1)) for part, rows in (("validation", validation_rows), ("test", test_rows))
    }
    return Baseline(
        name="majority",
        title="Guessing the commonest class",
        seconds=time.perf_counter() - began,
        fit_rows=len(train_labels),
        note=f"Answers {labels[int(shares.argmax())]} to everything.",
        probabilities=probabilities,
    )


def tfidf_logistic_regression(
    train_texts: Sequence[str],
    train_labels: Integers,
    validation_texts: Sequence[str],
    validation_labels: Integers,
    test_texts: Sequence[str],
    classes: int,
) -> Baseline:
    """Logistic regression on TF-IDF of words, word pairs and 2- to 5-character n-grams.

    Labels are int64 [rows], 0 to classes - 1; a class without train rows gets probability 0. Of PENALTIES the one with
    the best validation accuracy is kept, of equal ones the one with the lower loss. Raises UserError where train holds
    a single class.
    """
    began = time.perf_counter()
    reading = reading_plan(train_texts, train_labels, classes)
    fit_labels = train_labels[reading.rows]
    if len(np.unique(fit_labels)) == 1:
        raise UserError(
            "The train part holds rows of one class only, so there is nothing to tell apart.",
            "split.train",
            "Give rows of at least two classes, or keep the split stratified.",
        )
    fit_texts = [train_texts[row] for row in reading.rows]
    vectorizers = _vectorizers(reading, len(fit_texts), classes)
    features = _stack([vectorizer.fit_transform(fit_texts) for vectorizer in vectorizers])
    validation = _stack([vectorizer.transform(validation_texts) for vectorizer in vectorizers])
    model, probabilities = _best_penalty(features, fit_labels, validation, validation_labels, classes)
    test = [
        _probabilities(model, _stack([vectorizer.transform(chunk) for vectorizer in vectorizers]), classes)
        for chunk in (test_texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(test_texts), TEXTS_AT_ONCE))
    ]
    return Baseline(
        name="tfidf",
        title="TF-IDF with logistic regression",
        seconds=time.perf_counter() - began,
        fit_rows=len(reading.rows),
        note=_note(reading, len(train_texts), max(map(len, train_texts)), features.shape[1], model.C),
        probabilities={"validation": probabilities, "test": np.concatenate(test)},
    )


def reading_plan(texts: Sequence[str], labels: Integers, classes: int) -> Reading:
    """How much of train is read so that the work stays within its bounds, whatever the data.

    Decided by counting, never by the clock, so that the same data gives the same result everywhere. Rows are sampled by
    class, each class keeping at least one.
    """
    lengths = np.minimum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)), MOST_CHARACTERS)
    tenths = max(classes / 10, 1.0)
    most = min(MOST_ROWS, int(WORD_WORK / tenths / max(lengths.mean(), 1.0)))
    rows = np.arange(len(texts))
    if len(texts) > most:
        rows = np.flatnonzero(allocate(labels, {"unread": 1 - most / len(texts)}, stratified=True, seed=SEED) == 0)
    characters = _cut_to_budget(lengths[rows], CHARACTER_WORK / tenths)
    return Reading(rows, MOST_CHARACTERS, characters if characters >= FEWEST_CHARACTERS else 0)


def _cut_to_budget(lengths: Integers, budget: float) -> int:
    """The longest cut at which texts of these lengths have at most `budget` characters together."""
    ascending = np.sort(lengths)
    shorter = np.concatenate(([0], np.cumsum(ascending)[:-1]))
    # Cutting at the length of text i leaves the shorter ones whole and that much of each of the others.
    others = len(ascending) - np.arange(len(ascending))
    too_much = np.flatnonzero(shorter + ascending * others > budget)
    if len(too_much) == 0:
        return MOST_CHARACTERS
    first = too_much[0]
    return int((budget - shorter[first]) / others[first])


def _vectorizers(reading: Reading, rows: int, classes: int) -> list["TfidfVectorizer"]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Bounding features by number, not by how many rows they occur in, keeps some in even the oddest column.
    most = min(MOST_FEATURES, max(MOST_PARAMETERS // classes, FEWEST_FEATURES), 40_000 + 4 * rows)
    words = TfidfVectorizer(
        preprocessor=_Cut(reading.word_characters),
        token_pattern=WORD,
        ngram_range=(1, 2),
        sublinear_tf=True,
        max_features=most,
        dtype=np.float32,
    )
    if not reading.characters:
        return [words]
    characters = TfidfVectorizer(
        preprocessor=_Cut(reading.characters),
        analyzer="char",
        ngram_range=(2, 5),
        sublinear_tf=True,
        max_features=most,
        dtype=np.float32,
    )
    return [words, characters]


@dataclass(frozen=True)
class _Cut:
    """Lower case, cut, with a space at each end, so that first and last words are seen to be that."""

    characters: int

    def __call__(self, text: str) -> str:
        return f" {text[: self.characters].lower()} "


def _stack(blocks: list["csr_matrix"]) -> "csr_matrix":
    from scipy.sparse import hstack

    return hstack(blocks, format="csr")


def _best_penalty(
    features: "csr_matrix", labels: Integers, validation: "csr_matrix", validation_labels: Integers, classes: int
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
        models = list(pool.map(partial(_fitted, features, labels), PENALTIES))
    best: tuple[tuple[float, float], LogisticRegression, Floats] | None = None
    for model in models:
        probabilities = _probabilities(model, validation, classes)
        right = float((probabilities.argmax(axis=1) == validation_labels).mean())
        score = (right, -log_loss(validation_labels, probabilities))
        if best is None or score > best[0]:
            best = (score, model, probabilities)
    assert best is not None
    return best[1], best[2]


def _fitted(features: "csr_matrix", labels: Integers, penalty: float) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="openmp"):
        return LogisticRegression(C=penalty, max_iter=100, tol=3e-4).fit(features, labels)


def _probabilities(model: "LogisticRegression", features: "csr_matrix", classes: int) -> Floats:
    """float32 [rows, classes]; scikit-learn leaves out the classes that it never saw."""
    full = np.zeros((features.shape[0], classes), dtype=np.float32)
    full[:, model.classes_] = model.predict_proba(features)
    return full


def _note(reading: Reading, train_rows: int, longest: int, features: int, penalty: float) -> str:
    kinds = "Words, word pairs and 2- to 5-character n-grams" if reading.characters else "Words and word pairs"
    sentences = [f"{kinds}: {features:,} features. C = {penalty:g}, chosen on validation from {_listed(PENALTIES)}."]
    if len(reading.rows) < train_rows:
        sentences.append(f"It learned from a sample of {len(reading.rows):,} of the {train_rows:,} train rows.")
    if not reading.characters:
        sentences.append("Character n-grams are left out: the data is too large for them.")
    elif reading.characters < min(longest, MOST_CHARACTERS):
        sentences.append(f"Character n-grams see the first {reading.characters:,} characters of a text.")
    if longest > reading.word_characters:
        sentences.append(f"Words see the first {reading.word_characters:,} characters of a text.")
    return " ".join(sentences)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
