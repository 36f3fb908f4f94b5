"""The baselines: good where they should be, and unharmed by odd data."""

from dataclasses import dataclass

import numpy as np
import pyarrow.csv
import pytest

from core.data.allocation import allocate
from core.errors import UserError
from core.evaluation.baselines import (
    CHARACTER_WORK,
    FEWEST_CHARACTERS,
    MOST_CHARACTERS,
    MOST_ROWS,
    WORD_WORK,
    majority,
    reading_plan,
    run_baselines,
    tfidf_logistic_regression,
)


@dataclass(frozen=True)
class Part:
    texts: list[str]
    labels: np.ndarray


def part(texts, labels):
    return Part(texts, np.array(labels, dtype=np.int64))


def tfidf(train, validation, test, classes):
    return tfidf_logistic_regression(
        train.texts, train.labels, validation.texts, validation.labels, test.texts, classes
    )  # fmt: skip


FRUIT = part(
    ["a red apple", "apples and pears", "one apple", "the car drives", "fast cars", "a car"] * 3, [0, 0, 0, 1, 1, 1] * 3
)


def test_trec_reaches_the_mark(shared_data):
    def read(name):
        table = pyarrow.csv.read_csv(shared_data / "trec" / name)
        return table["text"].to_pylist(), table["label"].to_pylist()

    texts, names = read("train.csv")
    test_texts, test_names = read("test.csv")
    labels = sorted(set(names))
    classes = np.array([labels.index(name) for name in names])
    in_validation = allocate(classes, {"validation": 0.1}, stratified=True, seed=42) == 1
    parts = {
        "train": part([texts[row] for row in np.flatnonzero(~in_validation)], classes[~in_validation]),
        "validation": part([texts[row] for row in np.flatnonzero(in_validation)], classes[in_validation]),
        "test": part(test_texts, [labels.index(name) for name in test_names]),
    }
    commonest, good = run_baselines(parts, labels)
    right = {
        baseline.name: float((baseline.probabilities["test"].argmax(axis=1) == parts["test"].labels).mean())
        for baseline in (commonest, good)
    }
    assert right["tfidf"] >= 0.89
    assert right["majority"] == pytest.approx(94 / 500)
    assert good.fit_rows == len(parts["train"].texts) == 4907
    assert good.probabilities["validation"].shape == (545, 6)
    assert good.probabilities["test"].sum(axis=1) == pytest.approx(np.ones(500), abs=1e-5)
    assert "character n-grams" in good.note
    assert "sample" not in good.note


def test_majority_predicts_the_commonest_class_with_the_shares_of_train():
    baseline = majority(np.array([0, 2, 2, 2]), 3, 5, ["a", "b", "c"])
    assert baseline.probabilities["validation"].shape == (3, 3)
    assert baseline.probabilities["test"][4].tolist() == [0.25, 0.0, 0.75]
    assert baseline.note == "Answers c to everything."


def test_the_same_data_gives_the_same_probabilities():
    first, second = (tfidf(FRUIT, FRUIT, FRUIT, 2) for _ in range(2))
    assert np.array_equal(first.probabilities["test"], second.probabilities["test"])


def test_a_class_without_train_rows_gets_probability_zero_and_one_with_a_single_row_is_learned():
    train = part([*FRUIT.texts, "a blue boat"], [*FRUIT.labels, 3])
    test = part(["a blue boat on the sea"], [3])
    probabilities = tfidf(train, FRUIT, test, 4).probabilities["test"]
    assert probabilities.shape == (1, 4)
    assert probabilities[0, 2] == 0
    assert probabilities[0].argmax() == 3


def test_every_class_with_a_single_row():
    train = part(["apple", "car", "boat"], [0, 1, 2])
    probabilities = tfidf(train, train, part(["a boat"], [2]), 3).probabilities["test"]
    assert probabilities[0].argmax() == 2


@pytest.mark.parametrize(
    "texts",
    [
        ["😀", "😡", "😀😀", "😡😡"],
        ["a", "b", "a", "b"],
        ["?", "!", "??", "!!"],
        [f"id-{number:07}" for number in range(4)],
        ["好吃", "难吃", "很好吃", "太难吃"],
        ["\u0000", "\t.", "\u200b", "﷽"],
        ["x" * 2_000_000, "car", "x y", "cars"],
    ],
    ids=["emoji", "letters", "punctuation", "ids", "chinese", "controls", "two megabytes"],
)
def test_odd_texts_are_learned_from_without_trouble(texts):
    odd = part(texts, [0, 1, 0, 1])
    baseline = tfidf(odd, odd, odd, 2)
    assert np.isfinite(baseline.probabilities["test"]).all()
    assert baseline.probabilities["test"].sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert ("first 20,000 characters" in baseline.note) == (len(texts[0]) > MOST_CHARACTERS)


def test_words_that_train_never_saw_are_no_trouble():
    unknown = part(["zzz qqq", "12345 67890"], [0, 1])
    assert np.isfinite(tfidf(FRUIT, unknown, unknown, 2).probabilities["test"]).all()


def test_one_class_is_refused_in_words():
    single = part(["a", "b"], [1, 1])
    with pytest.raises(UserError, match="one class only"):
        tfidf(single, FRUIT, FRUIT, 2)


def test_beyond_the_most_rows_a_sample_by_class_is_read():
    labels = np.zeros(MOST_ROWS + 20_000, dtype=np.int64)
    labels[:20_000] = 1
    labels[20_000] = 2
    reading = reading_plan(["short"] * len(labels), labels, 3)
    sampled = np.bincount(labels[reading.rows])
    assert sampled.sum() == pytest.approx(MOST_ROWS, abs=2)
    assert sampled[1] == pytest.approx(MOST_ROWS / 4, abs=2)
    assert sampled[2] == 1
    assert (np.diff(reading.rows) > 0).all()


@pytest.mark.parametrize(
    ("rows", "length", "classes"), [(5000, 50, 6), (50_000, 240, 4), (20_000, 3000, 5), (9000, 60, 3000)]
)
def test_the_work_stays_within_its_bounds(rows, length, classes):
    generator = np.random.default_rng(0)
    texts = ["x" * int(size) for size in generator.integers(1, 2 * length, rows)]
    reading = reading_plan(texts, np.arange(rows) % classes, classes)
    tenths = max(classes / 10, 1)
    read = np.array([len(texts[row]) for row in reading.rows])
    assert np.minimum(read, reading.word_characters).sum() * tenths <= 1.05 * WORD_WORK
    assert np.minimum(read, reading.characters).sum() * tenths <= CHARACTER_WORK
    if reading.characters < MOST_CHARACTERS:
        more = np.minimum(read, max(reading.characters + 1, FEWEST_CHARACTERS)).sum()
        assert more * tenths > CHARACTER_WORK


def test_what_is_not_read_is_said():
    texts = [f"{'apple' if number % 2 else 'car'} {'x y ' * 2500}" for number in range(100)]
    baseline = tfidf(part(texts, np.arange(100) % 2), FRUIT, FRUIT, 1000)
    assert baseline.fit_rows == 100
    assert "Character n-grams see the first 1,500 characters" in baseline.note
    assert "sample" not in baseline.note
