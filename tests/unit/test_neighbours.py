"""Nearest neighbours as a baseline: the arithmetic, what is sampled, and that training does not notice."""

import random
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from core.evaluation import neighbours
from core.evaluation.neighbours import KEPT, NEAREST_FILE, Neighbours, choose_k, votes_of, voting_rows
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile, TrainingSpec
from core.training.neighbours import embeddings_of, neighbours_baseline
from core.training.work import voting_rows_affordable
from tests.small_encoders import CONFIGS, small, token_rows, tokenizer


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def clouds():
    """Three clouds of directions that overlap a little: train and asked, with their classes."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 16))
    classes = np.arange(300) % 3
    drawn = unit(centres[classes] + rng.normal(scale=1.1, size=(300, 16)))
    return drawn[:200], classes[:200], drawn[200:], classes[200:]


def test_it_is_scikit_learns_with_the_same_weights(clouds):
    train, classes, asked, _ = clouds
    said = Neighbours(train, votes_of(classes, 3)).probabilities(asked, [1, 7, 500])
    for k, ours in zip((1, 7, 200), said, strict=True):
        theirs = KNeighborsClassifier(
            k, metric="cosine", weights=lambda distances: np.exp(-distances / neighbours.SHARPNESS)
        ).fit(train, classes)
        assert ours == pytest.approx(theirs.predict_proba(asked), abs=1e-4)


def test_blocks_change_nothing_but_memory(clouds, monkeypatch):
    train, classes, asked, _ = clouds
    known = Neighbours(train, votes_of(classes, 3))
    (whole,) = known.probabilities(asked, [5])
    monkeypatch.setattr(neighbours, "VOTES_AT_ONCE", 50)
    assert known.probabilities(asked, [5])[0] == pytest.approx(whole, abs=1e-6)


def test_k_is_the_one_that_validation_likes_best(clouds):
    train, classes, asked, true = clouds
    known = Neighbours(train, votes_of(classes, 3))
    chosen = choose_k(known, asked, true, "single")
    right = {
        k: (said.argmax(axis=1) == true).mean()
        for k, said in zip(neighbours.NUMBERS, known.probabilities(asked, neighbours.NUMBERS), strict=True)
    }
    assert right[chosen.k] == max(right.values()) > right[1]
    several = choose_k(Neighbours(train, votes_of(np.eye(3)[classes], 3)), asked, np.eye(3)[true], "multi")
    assert several.thresholds is not None and len(several.thresholds) == 3


def test_a_sample_of_the_train_rows_votes_and_no_class_is_lost():
    labels = np.concatenate((np.zeros(5000, dtype=int), np.ones(3, dtype=int)))
    rows = voting_rows(labels, "single", 500)
    assert 495 <= len(rows) <= 505 and 1 in labels[rows]
    assert np.array_equal(voting_rows(labels, "single", 6000), np.arange(5003))


def spec(method="full", **training):
    return RunSpec(
        name="a",
        data=DataSpec(train=TableFile(path="a.csv")),
        mapping=MappingSpec(text=("text",), label="label"),
        model={"method": method, "max_length": 16},
        training=TrainingSpec(**training),
    )


def test_what_it_reads_stays_a_small_share_of_the_training():
    rows = {"train": 40_000, "validation": 4000, "test": 5000}
    for epochs in (2, 3, 10):
        voting = voting_rows_affordable(spec(epochs=epochs), rows, 3)
        assert 500 < voting <= 20_000 and voting + 9000 <= 0.15 * 3 * epochs * 40_000
    assert voting_rows_affordable(spec(epochs=1, method="head"), rows, 3) == 0
    few = {"train": 240, "validation": 30, "test": 30}
    assert voting_rows_affordable(spec(max_steps=1), few, 3) >= 240


@pytest.mark.parametrize("kind", CONFIGS)
def test_embeddings_are_means_without_padding_whatever_the_batches(kind):
    model, rows = small(kind).eval(), token_rows(20)
    found = embeddings_of(model, rows, 0, 7, lambda _: None)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    alone = torch.tensor([rows[3]["input_ids"]])
    with torch.no_grad():
        mean = model.base_model(alone, attention_mask=torch.ones_like(alone)).last_hidden_state[0].mean(0).numpy()
    assert found[3] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-4)


def test_random_states_weights_and_gradients_are_as_they_were(tmp_path):
    texts = [" ".join(str(5 + (row * 7 + place) % 50) for place in range(3 + row % 6)) for row in range(60)]
    labels = np.arange(60) % 3
    parts = {
        name: SimpleNamespace(texts=texts[rows], labels=labels[rows], row_ids=100 + np.arange(60)[rows])
        for name, rows in (("train", slice(0, 36)), ("validation", slice(36, 48)), ("test", slice(48, 60)))
    }
    said = []
    job = SimpleNamespace(
        spec=spec(),
        folder=SimpleNamespace(neighbours=tmp_path / "neighbours.npz", report=tmp_path / "report"),
        say=said.append,
        counting=lambda _: lambda done, rows: None,
    )
    facts = SimpleNamespace(kind="single", labels=list("abc"))
    model = small("bert").eval()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()

    baseline = neighbours_baseline(job, facts, parts, model, tokenizer())

    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1] and np.array_equal(np.random.get_state()[1], before[2])
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert baseline.fit_rows == 36 and baseline.probabilities["test"].shape == (12, 3)
    assert baseline.probabilities["test"].sum(axis=1) == pytest.approx(1, abs=1e-5)
    kept = pq.read_table(tmp_path / "report" / NEAREST_FILE)
    assert kept["row_id"].to_pylist() == list(range(136, 160))
    assert all(len(row) == KEPT and set(row) <= set(range(100, 136)) for row in kept["nearest"].to_pylist())
    for row in kept["cosines"].to_pylist():
        assert row == sorted(row, reverse=True)
    # Of a resumed run it is what it was, without reading the model again.
    again = neighbours_baseline(job, facts, parts, None, None)
    assert np.array_equal(again.probabilities["test"], baseline.probabilities["test"])
    assert again.note == baseline.note and not said
