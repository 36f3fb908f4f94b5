"""Encoders taken away in 16 bits: opened again here, and loaded by plain transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import pipeline

from core.export.merged import write_merged
from core.model_facts import read_model_facts
from core.predictor import load_predictor, predict_probabilities
from core.workspace import Workspace
from tests.flow.test_space import KINDS, of_kind

TEXTS = ["Who wrote Hamlet ?", "Where is the river ?", "How many are there ?"]


@pytest.mark.parametrize("facts", KINDS.values(), ids=KINDS)
def test_it_says_the_same_here_and_in_plain_transformers(
    workspace: Workspace, tmp_path: Path, tiny_bert: Path, facts: dict
) -> None:
    made = of_kind(workspace, tiny_bert, "20261123-000000-aaaa", facts)
    expected = predict_probabilities(load_predictor(made.model), TEXTS)
    file = made.model / "config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content.pop("problem_type")  # a base knows nothing of its adapter's labels
    file.write_text(json.dumps(content), encoding="utf-8")

    place = tmp_path / "merged"
    place.mkdir()
    write_merged(made.model, read_model_facts(made.model), place, lambda done, total, words: None)
    assert json.loads((place / "config.json").read_text(encoding="utf-8"))["dtype"] == "float16"
    told = (made.model / "tunedesk.json").read_text(encoding="utf-8")
    (place / "tunedesk.json").write_text(told, encoding="utf-8")
    assert np.abs(predict_probabilities(load_predictor(place), TEXTS) - expected).max() < 0.01
    if "head" not in facts:
        said = pipeline("text-classification", model=str(place), tokenizer=str(place), top_k=None, dtype="float32")
        found = [{one["label"]: one["score"] for one in row} for row in said(TEXTS)]
        labels = read_model_facts(made.model).labels
        assert np.abs(np.array([[row[label] for label in labels] for row in found]) - expected).max() < 0.01
