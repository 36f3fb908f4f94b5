"""Texts as TF-IDF features for the baselines: how much of them is read, so that the work stays within its bounds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from core.data.allocation import allocate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

Integers = npt.NDArray[np.int64]

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
FEWEST_FEATURES = 2000
SEED = 42
TEXTS_AT_ONCE = 20_000
WORD = r"\w+|[^\w\s]"
"""A word, or a single punctuation mark or symbol: every text that is not empty has at least one."""


@dataclass(frozen=True)
class Reading:
    """How much of the train part is read."""

    rows: Integers
    """Indices into the train part, ascending."""
    word_characters: int
    """Of each text, for words and word pairs."""
    characters: int
    """Of each text, for character n-grams; 0 where these are left out."""


def reading_plan(texts: Sequence[str], labels: Integers, classes: int, word_work: int = WORD_WORK) -> Reading:
    """How much of train is read so that the work stays within its bounds, whatever the data.

    Decided by counting, never by the clock, so that the same data gives the same result everywhere. Rows are sampled by
    class, each class keeping at least one.
    """
    lengths = np.minimum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)), MOST_CHARACTERS)
    tenths = max(classes / 10, 1.0)
    most = min(MOST_ROWS, int(word_work / tenths / max(lengths.mean(), 1.0)))
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


def vectorizers(reading: Reading, rows: int, classes: int) -> list["TfidfVectorizer"]:
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


def features_of(vectorizers: Sequence["TfidfVectorizer"], texts: Sequence[str], *, fit: bool = False) -> "csr_matrix":
    """float32 [texts, features]; `fit`: the vectorizers learn from these texts first."""
    from scipy.sparse import hstack

    return hstack([one.fit_transform(texts) if fit else one.transform(texts) for one in vectorizers], format="csr")


def in_chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Some thousand texts at a time, so that their features need not all be held at once."""
    return (texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE))


def reading_note(
    reading: Reading, train_rows: int, longest: int, features: int, penalty: float, tried: Sequence[float]
) -> str:
    """In sentences: what was read, and what was sampled or left out."""
    kinds = "Words, word pairs and 2- to 5-character n-grams" if reading.characters else "Words and word pairs"
    listed = ", ".join(f"{value:g}" for value in tried)
    sentences = [f"{kinds}: {features:,} features. C = {penalty:g}, chosen on validation from {listed}."]
    if len(reading.rows) < train_rows:
        sentences.append(f"It learned from a sample of {len(reading.rows):,} of the {train_rows:,} train rows.")
    if not reading.characters:
        sentences.append("Character n-grams are left out: the data is too large for them.")
    elif reading.characters < min(longest, MOST_CHARACTERS):
        sentences.append(f"Character n-grams see the first {reading.characters:,} characters of a text.")
    if longest > reading.word_characters:
        sentences.append(f"Words see the first {reading.word_characters:,} characters of a text.")
    return " ".join(sentences)
