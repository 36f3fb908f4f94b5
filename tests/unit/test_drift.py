"""How far a labelled file is from training: on files that are alike, that have other shares, and other texts."""

import csv

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn.metrics import roc_auc_score

from core.evaluation.drift import SAMPLED, Texts, area_under_curve, drift_words, label_drift, sample, text_drift


def texts_of(shared_data, name, first, last):
    with (shared_data / name).open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)][first:last]


def test_label_shares_are_told_by_distance_and_test():
    train, file = {"refund": 40, "order": 480, "other": 480}, {"refund": 38, "order": 81, "other": 81}
    found = label_drift(train, file)
    assert found["distance"] == pytest.approx(0.19 - 0.04)
    assert found["p_value"] < 0.001 and chi2_contingency([[40, 480, 480], [38, 81, 81]]).pvalue < 0.001
    near = {"refund": 12, "order": 92, "other": 96}
    by_chi = chi2_contingency([list(train.values()), list(near.values())]).pvalue
    assert label_drift(train, near)["p_value"] > 0.2 and by_chi > 0.2
    assert found["classes"][0] == {"label": "refund", "train": 0.04, "file": 0.19}
    words = drift_words({"labels": found, "texts": text_drift(Texts(["a"], ["b"], ["c"])), "cut": None})
    assert "refund 4 % in training, 19 % here" in words[0] and "too few texts" in words[1]
    same = label_drift(train, {name: rows // 4 for name, rows in train.items()})
    assert same["distance"] < 0.01 and same["p_value"] > 0.9
    assert label_drift(train, {"refund": 3})["p_value"] < 0.001  # few rows are no obstacle, nor are classes unheard of
    assert label_drift(train, {"new": 50})["distance"] == pytest.approx(1.0)
    assert label_drift({"one": 5}, {"one": 9})["p_value"] == 1.0


def test_what_few_rows_or_no_words_cannot_tell_is_not_told():
    texts = Texts(["a"], ["b"], ["c"])
    few = {"labels": label_drift({"a": 500, "b": 500}, {"a": 4}), "texts": text_drift(texts), "cut": None}
    assert few["labels"]["distance"] == pytest.approx(0.5)
    assert "so few rows can differ" in drift_words(few)[0]
    signs = [chr(0x1F600 + number) for number in range(60)]
    drift = text_drift(Texts(signs[:40], signs[20:], signs))
    assert drift["told_apart"] is None
    assert "word in common" in drift_words({**few, "texts": drift})[1]
    short = text_drift(Texts(["one text"] * 20, ["another text"] * 500, ["one text"] * 20))
    assert "too few texts in training (20)" in drift_words({**few, "texts": short})[1]


def test_the_area_and_its_interval_are_those_of_scikit_learn_and_a_bootstrap():
    rng = np.random.default_rng(1)
    higher, lower = rng.normal(0.6, 1, 300).round(1), rng.normal(0, 1, 200).round(1)
    area, low, high = area_under_curve(higher, lower)
    assert area == pytest.approx(roc_auc_score([1] * 300 + [0] * 200, np.concatenate([higher, lower])))
    drawn = [
        roc_auc_score([1] * 300 + [0] * 200, np.concatenate([rng.choice(higher, 300), rng.choice(lower, 200)]))
        for _ in range(500)
    ]
    np.testing.assert_allclose([low, high], np.quantile(drawn, [0.025, 0.975]), atol=0.015)


def test_texts_like_those_of_training_are_called_so_and_others_are_told_by_their_words(shared_data):
    train = texts_of(shared_data, "trec/train.csv", 0, 1500)
    like = texts_of(shared_data, "trec/train.csv", 1500, 2100)
    other = texts_of(shared_data, "sms_spam/test.csv", 0, 600)
    near, far = (text_drift(Texts(train, texts, like)) for texts in (like, other))
    assert near["told_apart"]["auc"] < 0.6 and far["told_apart"]["auc"] > 0.9
    assert far["new_words"]["file"] > 1.5 * near["new_words"]["file"] == 1.5 * near["new_words"]["test"]
    labels = label_drift({"a": 1}, {"a": 1})
    said = [" ".join(drift_words({"labels": labels, "texts": found, "cut": None})) for found in (near, far)]
    assert "The texts are like those of training" in said[0]
    assert "clearly others than those of training" in said[1] and "by words such as" in said[1]
    cut = drift_words({"labels": labels, "texts": near, "cut": {"train": 0.01, "file": 0.2}})[-1]
    assert cut == "20 % of the texts are longer than the model reads and are cut; in training it was 1 %."


def test_chinese_is_told_apart_by_its_characters(shared_data):
    train, like = (texts_of(shared_data, "waimai_zh/train.csv", *part) for part in ((0, 800), (800, 1200)))
    found = text_drift(Texts(train, like, like))
    assert found["new_words"]["file"] < 0.05


def test_samples_are_bounded_and_the_same_every_time():
    assert sample(10).tolist() == list(range(10))
    drawn = sample(100_000)
    assert len(drawn) == SAMPLED == len(set(drawn.tolist())) and (drawn == sample(100_000)).all()
