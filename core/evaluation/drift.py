"""How far a labelled file is from what a run learned from: its label shares and its texts, in figures and in words.

Label shares: total variation distance (the share of rows that would have to change class), and a permutation test
of it, which holds for few rows and many classes too. Texts: a classifier two-sample test (Lopez-Paz and
Oquab 2017, "Revisiting Classifier Two-Sample Tests", arXiv:1610.06545): TF-IDF with logistic regression tries to tell
training texts from those of the file, cross-validated. Its area under the ROC curve is 0.5 where nothing tells them
apart; the interval is DeLong's (1988), which knows nothing of the folds. Beside it lengths, words that training never
had, and texts that are cut. Seeded samples bound the time: SAMPLED texts of each side, told apart by the first LONGEST
characters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from core.evaluation.metrics import NORMAL_QUANTILE
from core.evaluation.paired import SIGNIFICANT, p_value_words
from core.evaluation.verdict import counted
from core.models.word_fit import UNSPACED

SAMPLED = 2000
LONGEST = 1000
LEAST_TEXTS = 30
"""Of each side, below which the texts are not told apart."""
PERMUTATIONS = 2000
FOLDS = 5
SEED = 42
SMALL_SHIFT = 0.05
"""Total variation distance below which shares are called alike, however sure the test is."""
CLASSES_NAMED = 3
WORDS_NAMED = 5
ALIKE, APART = 0.6, 0.8
"""Areas under the curve up to which texts are called nearly alike, and from which clearly others."""
TOKEN = re.compile(rf"{UNSPACED.pattern}|[^\W_]+")


@dataclass(frozen=True)
class Texts:
    """What is compared: samples of texts."""

    train: Sequence[str]
    file: Sequence[str]
    test: Sequence[str]
    """Of the run's own test part: how much of them is new is the measure for the file."""


def sample(count: int, most: int = SAMPLED) -> npt.NDArray[np.int64]:
    """Places of at most `most` of `count` things, ascending; the same ones every time."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(SEED).choice(count, most, replace=False))


def label_drift(train: Mapping[str, int], file: Mapping[str, int]) -> dict[str, Any]:
    """Class -> rows of each. Returns {"distance" (0 to 1), "p_value", "classes": [{"label", "train", "file"}] (shares,
    those that moved most first)}."""
    names = sorted({*train, *file})
    counts = np.array([[side.get(name, 0) for name in names] for side in (train, file)], dtype=np.int64)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    moved = np.abs(shares[0] - shares[1])
    order = sorted(range(len(names)), key=lambda place: (-moved[place], names[place]))
    return {
        "distance": float(moved.sum() / 2),
        "p_value": _permuted(counts),
        "classes": [
            {"label": names[place], "train": float(shares[0, place]), "file": float(shares[1, place])}
            for place in order
        ],
    }


def _permuted(counts: npt.NDArray[np.int64]) -> float:
    """How probable shares at least this far apart are where both sides, [2, classes], are draws from one heap."""
    if not counts.sum(axis=1).all():
        return 1.0
    heap, rows = counts.sum(axis=0), counts.sum(axis=1)
    rng = np.random.default_rng(SEED)
    drawn = rng.multivariate_hypergeometric(heap, rows[1], size=PERMUTATIONS, method="marginals")
    distances = np.abs(drawn / rows[1] - (heap - drawn) / rows[0]).sum(axis=1)
    found = np.abs(counts[1] / rows[1] - counts[0] / rows[0]).sum()
    return float((1 + (distances >= found - 1e-12).sum()) / (1 + PERMUTATIONS))


def text_drift(texts: Texts) -> dict[str, Any]:
    """{"sampled": {"train", "file"} (texts), "told_apart": {"auc", "interval", "words"} or None of too few texts, or
    of texts without a word in common,
    "median_characters": {"train", "file"}, "new_words": {"file", "test"}: shares of words that stand in none of the
    training texts that were looked at}."""
    words = {name: [TOKEN.findall(text.lower()) for text in part] for name, part in vars(texts).items()}
    known = {word for text in words["train"] for word in text}
    return {
        "sampled": {"train": len(texts.train), "file": len(texts.file)},
        "told_apart": _told_apart(texts) if min(len(texts.train), len(texts.file)) >= LEAST_TEXTS else None,
        "median_characters": {
            name: float(np.median([len(text) for text in part]))
            for name, part in (("train", texts.train), ("file", texts.file))
        },
        "new_words": {name: _new(words[name], known) for name in ("file", "test")},
    }


def _new(texts: Sequence[Sequence[str]], known: set[str]) -> float:
    every = [word not in known for text in texts for word in text]
    return float(np.mean(every)) if every else 0.0


def _told_apart(texts: Texts) -> dict[str, Any] | None:
    """None where no two texts have a word in common."""
    every = [text[:LONGEST] for text in (*texts.train, *texts.file)]
    of_file = np.repeat([0, 1], [len(texts.train), len(texts.file)])
    vectors = TfidfVectorizer(
        tokenizer=lambda text: TOKEN.findall(text), token_pattern=None, sublinear_tf=True, min_df=2, max_features=20_000
    )
    try:
        features = vectors.fit_transform(every)
    except ValueError:  # no word stands in two texts
        return None
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=200)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    scores = cross_val_predict(model, features, of_file, cv=folds, method="decision_function")
    area, low, high = area_under_curve(scores[of_file == 1], scores[of_file == 0])
    weights = model.fit(features, of_file).coef_[0]
    names = vectors.get_feature_names_out()
    typical = [str(names[place]) for place in np.argsort(-weights)[:WORDS_NAMED] if weights[place] > 0]
    return {"auc": area, "interval": [low, high], "words": typical}


def area_under_curve(higher: npt.NDArray[Any], lower: npt.NDArray[Any]) -> tuple[float, float, float]:
    """The chance that one of `higher` has the larger score, and where it lies with 95 % confidence (DeLong, DeLong and
    Clarke-Pearson 1988, "Comparing the areas under two or more correlated ROC curves")."""
    above, below = _placements(higher, lower), 1 - _placements(lower, higher)
    area = float(above.mean())
    spread = float((above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)) ** 0.5)
    return area, max(0.0, area - NORMAL_QUANTILE * spread), min(1.0, area + NORMAL_QUANTILE * spread)


def _placements(some: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """For each of `some` the share of `others` that it exceeds; equal ones count half."""
    ordered = np.sort(others)
    placed = np.searchsorted(ordered, some, "left") + np.searchsorted(ordered, some, "right")
    shares: npt.NDArray[np.float64] = placed / (2 * len(ordered))
    return shares


def drift_words(drift: Mapping[str, Any]) -> list[str]:
    """A sentence on label shares, and some on texts. drift: {"labels": label_drift's, "texts": text_drift's, "cut":
    {"train", "file"} shares of texts that are longer than the model reads, or None}."""
    return [_label_words(drift["labels"]), *_text_words(drift["texts"]), *_cut_words(drift["cut"])]


def _label_words(found: Mapping[str, Any]) -> str:
    if found["distance"] < SMALL_SHIFT:
        return f"The shares of the classes are about those of training (p {p_value_words(found['p_value'])})."
    if found["p_value"] >= SIGNIFICANT:
        return (
            "The shares of the classes may be those of training: so few rows can differ as much by chance (p "
            f"{p_value_words(found['p_value'])})."
        )
    named = ", ".join(
        f"{one['label']} {_percent(one['train'])} in training, {_percent(one['file'])} here"
        for one in found["classes"][:CLASSES_NAMED]
    )
    return (
        f"The shares of the classes are others than in training: {found['distance'] * 100:.0f} % of rows would have to "
        f"change class (p {p_value_words(found['p_value'])}); {named}."
    )


def _text_words(found: Mapping[str, Any]) -> list[str]:
    said = []
    told, sampled = found["told_apart"], found["sampled"]
    if told is None:
        if min(sampled["train"], sampled["file"]) >= LEAST_TEXTS:
            return ["No two texts have a word in common, so it cannot be said whether they are like those of training."]
        few, whose = min((sampled["file"], "here"), (sampled["train"], "in training"))
        return [f"There are too few texts {whose} ({few:,}) to say whether they are like those of training."]
    low, high = told["interval"]
    sure = f"(95 % sure: {low * 100:.0f} to {high * 100:.0f}; 50 would be chance; {sampled['train']:,} and "
    sure += f"{sampled['file']:,} texts looked at)"
    telling = f", by words such as {', '.join(told['words'])}" if told["words"] else ""
    if low <= 0.5 or told["auc"] < ALIKE:
        said.append(f"The texts are like those of training: told apart in {told['auc'] * 100:.0f} % of pairs {sure}.")
    else:
        degree = "clearly others than" if told["auc"] >= APART else "somewhat unlike"
        said.append(
            f"The texts are {degree} those of training: in {told['auc'] * 100:.0f} % of pairs a simple classifier "
            f"tells which is from this file{telling} {sure}."
        )
    lengths, new = found["median_characters"], found["new_words"]
    said.append(
        f"Half of them have up to {counted(round(lengths['file']), 'character')}, in training "
        f"{lengths['train']:,.0f}. {_percent(new['file'])} of their words stand in none of the training texts looked "
        f"at; in the run's own test part it is {_percent(new['test'])}."
    )
    return said


def _cut_words(found: Mapping[str, float] | None) -> list[str]:
    if found is None or max(found.values()) < 0.005:
        return []
    return [
        f"{_percent(found['file'])} of the texts are longer than the model reads and are cut; in training it was "
        f"{_percent(found['train'])}."
    ]


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.01 or share == 0 else f"{share * 100:.1f} %"
