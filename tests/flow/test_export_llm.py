"""A language model that is taken away: the lines on its card, run as they stand, say what the run's own model says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from core.export.bundle import export_folder
from core.predictor import chat_answers, load_predictor, predict_probabilities
from core.schema import FOUR_BIT_METHODS
from core.spec_files import parse_spec
from core.workspace import RunFolder, Workspace
from tests.flow.conftest import run_here
from tests.run_folders import run_spec, write_run
from tests.small_llama import write_small_llama

ASKED = "Which city is near the river 7 ?"
LONG = "the river and Hamlet " * 60


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Two narrow layers, random weights, in a folder whose path is nobody else's business."""
    folder = tmp_path_factory.mktemp("private") / "tiny-llama"
    write_small_llama(folder, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
    (folder / "README.md").write_text("---\nlicense: llama3.2\n---\n", encoding="utf-8")
    return folder


def trained(workspace: Workspace, base: Path, data: Path, method: str, **more) -> RunFolder:
    content = {
        "name": "tiny",
        "data": {"train": {"path": str(data)}},
        "mapping": {"text": ["text"], "label": "label"},
        "model": {
            "source": str(base),
            "family": "causal",
            "method": method,
            "max_length": 64,
            "lora": {"rank": 8, "alpha": 16, "dropout": 0},
        },
        "training": {"max_steps": 12, "batch_size": 16, "learning_rate": 1e-2, "evaluate_every_steps": 12},
        "evaluation": {"generated_rows": 0, "baselines": False, "untuned": False},
        **more,
    }
    run = run_here(workspace, parse_spec(content, "the test"))
    folder = workspace.run(run.id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "topics.csv"
    rows = [
        f"{text} {number},{topic},{label}"
        for number in range(60)
        for text, topic, label in (("Who is it", "people", "HUM"), ("Which city", "places", "LOC"))
    ]
    path.write_text("text,topic,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def exported(folder: RunFolder, base: Path, to: Path) -> ModelCard:
    """The export's card; nothing that it holds tells where things lie on this computer."""
    made = export_folder(folder, to)
    for path in made.rglob("*"):
        if path.suffix != ".safetensors":
            words = path.read_text(encoding="utf-8")
            assert str(base.parent) not in words, path.name
            assert str(folder.workspace.root) not in words, path.name
    return ModelCard.load(made / "README.md")


def printed(card: ModelCard, base: Path, place: Path, text: str, **changes: str) -> str:
    """What the card's lines print in a process that cannot import this project.

    Changed in them is only what their reader changes too: where a local base lies, and what is asked.
    """
    (lines,) = re.findall(r"```python\n(.*?)\n```", card.text, re.DOTALL)
    for old, new in {
        f'base = "{base.name}"': f"base = {str(base)!r}",
        '"Write a text here"': repr(text),
        '"Write a message here"': repr(text),
        **changes,
    }.items():
        lines = lines.replace(old, new)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", lines],
        cwd=place,
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def assert_same(folder: RunFolder, words: str, asked: str | dict[str, str]) -> None:
    """The lines' label and probabilities are those of the run's own predictor."""
    label, found = words.split(" ", 1)
    predictor = load_predictor(folder.model)
    (expected,) = predict_probabilities(predictor, [asked])
    shares = json.loads(found.replace("'", '"'))
    assert list(shares) == list(predictor.facts.labels)
    # On processors with AVX512-BF16 plain bitsandbytes rounds to bfloat16, which the run's own predictor keeps it from.
    tolerance = 1e-3 if predictor.facts.method in FOUR_BIT_METHODS else 1e-5
    np.testing.assert_allclose(list(shares.values()), expected, atol=tolerance)
    assert label == predictor.facts.labels[int(expected.argmax())]
    assert expected.max() - expected.min() > 2 * tolerance


def adapter_base(place: Path) -> object:
    return json.loads((place / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]


@pytest.mark.parametrize(("method", "text"), [("lora", ASKED), ("qlora", LONG)])
def test_an_adapter_that_answers(workspace, base, topics, tmp_path, method, text):
    folder = trained(workspace, base, topics, method, prompt={"user": "About {topic}: {text} Which class?"})
    card = exported(folder, base, tmp_path / "away")
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"], data["license"]) == ("peft", "text-generation", "llama3.2")
    assert "base_model" not in data and "base_model_relation" not in data
    assert adapter_base(tmp_path / "away") == "tiny-llama"
    assert ("BitsAndBytesConfig" in card.text) == (method == "qlora")
    words = printed(card, base, tmp_path / "away", text, **{'"what this column holds"': '"places"'})
    assert_same(folder, words, {"text": text, "topic": "places"})


def test_a_whole_model_that_answers(workspace, base, questions, tmp_path):
    raw = {"template": "raw", "system": "", "user": "[INST] {text} [/INST]", "assistant": " {label}"}
    folder = trained(workspace, base, questions, "full", prompt=raw)
    card = exported(folder, base, tmp_path / "away")
    assert card.data.to_dict()["library_name"] == "transformers"
    assert "PeftModel" not in card.text
    assert_same(folder, printed(card, base, tmp_path / "away", ASKED), ASKED)


def test_a_head_on_a_language_model(workspace, base, questions, tmp_path):
    folder = trained(workspace, base, questions, "head-on-llm")
    card = exported(folder, base, tmp_path / "away")
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("peft", "text-classification")
    assert_same(folder, printed(card, base, tmp_path / "away", ASKED), ASKED)


def test_a_model_that_answers_messages(workspace, base, tmp_path):
    data = tmp_path / "talk.jsonl"
    rows = [
        {"instruction": f"Say {word} {number}", "output": f"{word} it is"}
        for number in range(60)
        for word in ("river", "city")
    ]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    chat = {"kind": "none", "chat": {"instruction": "instruction", "response": "output"}}
    split = {"validation": 0.1, "test": 0.1}
    folder = trained(workspace, base, data, "lora", mapping=chat, split=split)
    card = exported(folder, base, tmp_path / "away")
    assert card.data.to_dict()["pipeline_tag"] == "text-generation"
    assert "on 96 conversations" in card.text
    words = printed(card, base, tmp_path / "away", "Say river 7", **{"max_new_tokens=256": "max_new_tokens=12"})
    tuned, _ = chat_answers(load_predictor(folder.model), [{"role": "user", "content": "Say river 7"}], 12)
    assert words == tuned
    assert tuned


def test_a_base_from_the_hub_is_named_by_its_id(workspace, tmp_path, monkeypatch):
    snapshot = tmp_path / "hub" / "models--unsloth--Llama-3.2-1B" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "README.md").write_text("---\nlicense: llama3.2\n---\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    spec = run_spec(source="unsloth/Llama-3.2-1B", family="causal", method="qlora")
    folder = write_run(workspace, "20261121-000000-aaaa", spec, ["a", "b"])
    facts = json.loads((folder.model / "tunedesk.json").read_text())
    (folder.model / "tunedesk.json").write_text(
        json.dumps({**facts, "schema_version": 2, "family": "causal", "task": "answer"})
    )
    (folder.model / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(snapshot), "r": 8, "revision": None})
    )
    made = export_folder(folder, tmp_path / "away")
    assert json.loads((made / "adapter_config.json").read_text()) == {
        "base_model_name_or_path": "unsloth/Llama-3.2-1B", "r": 8, "revision": None,
    }  # fmt: skip
    card = ModelCard.load(made / "README.md")
    data = card.data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("unsloth/Llama-3.2-1B", "adapter")
    assert data["license"] == "llama3.2"
    assert 'base = "unsloth/Llama-3.2-1B"\n' in card.text
    assert str(tmp_path) not in card.text
