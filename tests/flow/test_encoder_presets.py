"""Every encoder preset and kind of label, trained to a report on a tiny random model of the true architecture."""

import csv
import json
import math
import re

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
)

from core.evaluate_run import evaluate_file
from core.models.neobert import NeoBERT, NeoBERTConfig
from core.models.source import packaged_encoder
from core.predictor import load_predictor, predict_probabilities
from core.presets import load_presets, preset_spec
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile
from tests.flow.conftest import run_here

SMALL = {"vocab_size": 30522, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
PRESETS = [name for name, preset in load_presets().items() if preset.group != "llm"]
ARCHITECTURES = {
    "quickstart-minilm": "bert",
    "bert-base": "bert",
    "multilingual-e5-small": "bert",
    "bert-freeze": "bert",
    "bert-lora-contrastive": "bert",
    "distilbert-head": "distilbert",
    "distilbert-head-soft": "distilbert",
    "modernbert-base": "modernbert",
    "neobert-freeze": "neobert",
    "neobert-auto": "neobert",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder for each architecture, with as many layers as the published model has, only narrow."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("architectures")
    tokenizer = AutoTokenizer.from_pretrained(packaged_encoder())
    configs = {
        "bert": BertConfig(**SMALL, num_hidden_layers=12),
        "distilbert": DistilBertConfig(vocab_size=30522, dim=32, n_layers=6, n_heads=2, hidden_dim=48),
        "modernbert": ModernBertConfig(**SMALL, num_hidden_layers=22, pad_token_id=0),
    }
    for name, config in configs.items():
        AutoModelForMaskedLM.from_config(config).save_pretrained(root / name)
    NeoBERT(NeoBERTConfig(**SMALL)).save_pretrained(root / "neobert")
    for folder in root.iterdir():
        tokenizer.save_pretrained(folder)
    return root


def tried(workspace, spec, *, epochs=2, **training) -> tuple[str, dict]:
    """The run and its report."""
    fewer = {"epochs": epochs, "early_stopping_patience": 0, "batch_size": 32, **training}
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=fewer)})
    run = run_here(workspace, RunSpec.model_validate(spec.model_dump()))
    folder = workspace.run(run.id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")
    assert not folder.checkpoints.exists()
    assert not folder.prefix_cache.exists()
    return run.id, json.loads((folder.report / "report.json").read_text(encoding="utf-8"))


def on_model(preset, models, file, mapping, **model):
    content = preset_spec(load_presets()[preset], DataSpec(train=TableFile(path=str(file))), mapping).model_dump()
    content["model"] |= {"source": str(models / ARCHITECTURES[preset]), "max_length": 32} | model
    content["evaluation"]["baselines"] = False
    return RunSpec.model_validate(content)


def test_every_encoder_preset_is_tried():
    assert set(ARCHITECTURES) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_trains_and_its_model_says_what_the_report_says(preset, models, questions, workspace):
    spec = on_model(preset, models, questions, MappingSpec(text=("text",), label="label"))
    run_id, report = tried(workspace, spec)
    folder = workspace.run(run_id)
    history = {point["name"]: point["value"] for point in report["training"]["history"]}
    assert math.isfinite(history["train/loss"])
    if spec.model.method in ("freeze", "head"):
        assert "computed once and kept" in folder.log.read_text(encoding="utf-8")
    predictor = load_predictor(folder.model)
    again = evaluate_file(workspace, run_id, questions)
    assert again["scored"] == 240
    found = predict_probabilities(predictor, ["Where is the river ?", "Who wrote Hamlet ?"])
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert predictor.facts.architecture == ARCHITECTURES[preset]
    # The names of the body's layers are the published ones, so that other programs find them.
    published = load_file(models / ARCHITECTURES[preset] / "model.safetensors")
    layers = _in_layers(published)
    assert len(layers) > 20
    assert layers <= _in_layers(load_file(folder.model / "model.safetensors"))


def _in_layers(weights):
    """`attention.self.query.weight` of layer 3 as `3.attention.self.query.weight`."""
    found = [re.search(r"(?:layers?|transformer_encoder)\.(\d+\..+)", name) for name in weights]
    return {match.group(1) for match in found if match}


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Texts that are about none to three of four things, each named in them: with a separator, and as 0/1 columns."""
    random = np.random.default_rng(3)
    things = ("river", "bridge", "museum", "treaty")
    folder = tmp_path_factory.mktemp("several")
    with (
        (folder / "cells.csv").open("w", newline="") as cells,
        (folder / "columns.csv").open("w", newline="") as columns,
    ):
        listed, flags = csv.writer(cells), csv.writer(columns)
        listed.writerow(["text", "about"])
        flags.writerow(["text", *things])
        for number in range(300):
            chosen = [thing for thing in things if random.random() < 0.45]
            text = f"Report {number} on " + (" and ".join(chosen) or "nothing")
            flags.writerow([text, *(int(thing in chosen) for thing in things)])
            if chosen:
                listed.writerow([text, "; ".join(chosen)])
    return folder


def test_several_classes_a_row_are_learned(models, several, workspace):
    mapping = MappingSpec(text=("text",), label="about", kind="multi")
    spec = on_model("bert-base", models, several / "cells.csv", mapping, source="packaged:all-MiniLM-L6-v2")
    run_id, report = tried(workspace, spec, epochs=6, learning_rate=5e-4)
    assert report["kind"] == "multi"
    assert report["test"]["micro_f1"] > 0.9
    facts = load_predictor(workspace.run(run_id).model).facts
    assert facts.label_kind == "multi"
    assert len(facts.thresholds) == 4
    assert [entry["threshold"] for entry in report["test"]["per_class"]] == pytest.approx(list(facts.thresholds))


@pytest.mark.parametrize(
    "preset", ["distilbert-head-soft", "neobert-freeze", "modernbert-base", "bert-lora-contrastive"]
)
def test_columns_of_classes(preset, models, several, workspace):
    names = ("river", "bridge", "museum", "treaty")
    spec = on_model(
        preset, models, several / "columns.csv", MappingSpec(text=("text",), kind="multi", label_columns=names)
    )
    _, report = tried(workspace, spec, epochs=1)
    assert sorted(report["labels"]) == sorted(names)
    assert sum(report["parts"].values()) == 300


@pytest.mark.parametrize("loss", ["auto", "kl"])
def test_probabilities_are_learned(loss, models, workspace, tmp_path):
    """Texts whose words say how likely each class is: what is learned comes close to the shares, not to a class."""
    shares = {"surely": (0.9, 0.1), "maybe": (0.6, 0.4), "hardly": (0.1, 0.9)}
    with (tmp_path / "soft.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "rain", "sun"])
        for number in range(240):
            word = list(shares)[number % 3]
            writer.writerow([f"It will {word} rain on day {number}", *shares[word]])
    mapping = MappingSpec(text=("text",), kind="soft", label_columns=("rain", "sun"))
    spec = on_model(
        "distilbert-head-soft", models, tmp_path / "soft.csv", mapping,
        source="packaged:all-MiniLM-L6-v2", method="full",
    )  # fmt: skip
    run_id, report = tried(workspace, spec, epochs=6, loss=loss, learning_rate=5e-4)
    assert report["kind"] == "soft"
    assert report["test"]["kl_divergence"] < 0.05
    predictor = load_predictor(workspace.run(run_id).model)
    (found,) = predict_probabilities(predictor, ["It will maybe rain on day 7"])
    assert dict(zip(predictor.facts.labels, found, strict=True))["rain"] == pytest.approx(0.6, abs=0.12)


def test_a_loss_that_does_not_fit_the_labels_is_refused(several):
    from pydantic import ValidationError

    content = yaml.safe_load(
        "data: {train: {path: t.csv}}\nmapping: {text: [text], label: about, kind: multi}\ntraining: {loss: kl}"
    )
    with pytest.raises(ValidationError, match="loss kl is not for labels of kind multi"):
        RunSpec.model_validate(content)
