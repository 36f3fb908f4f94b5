"""A language model that is taken away: the lines on its card, run as they stand, say what the run's own model says."""

import csv
import json
import re
from pathlib import Path

import bitsandbytes
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from core.decision import tempered
from core.errors import UserError
from core.export.base_weights import stored_tensors
from core.export.bundle import export_folder
from core.export.make import export_run
from core.export.merged import write_merged
from core.export_formats import Wish, formats_of
from core.model_facts import run_model_facts
from core.opening import Asked, open_model
from core.predictor import chat_answers, load_predictor, predict_probabilities
from core.schema import FOUR_BIT_METHODS
from core.spec_files import parse_spec
from core.workspace import RunFolder, Workspace, open_workspace
from tests.elsewhere import Elsewhere
from tests.flow.conftest import run_here
from tests.flow.test_export import quiet
from tests.flow.test_export_formats import asked, isolated
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
        if path.suffix not in (".safetensors", ".png"):
            words = path.read_text(encoding="utf-8")
            assert str(base.parent) not in words, path.name
            assert str(folder.workspace.root) not in words, path.name
    return ModelCard.load(made / "README.md")


def printed(elsewhere: Elsewhere, card: ModelCard, base: Path, place: Path, text: str, **changes: str) -> str:
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
    return elsewhere.printed(lines, place)


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
def test_an_adapter_that_answers(workspace, base, topics, elsewhere, tmp_path, method, text):
    folder = trained(workspace, base, topics, method, prompt={"user": "About {topic}: {text} Which class?"})
    card = exported(folder, base, tmp_path / "away")
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"], data["license"]) == ("peft", "text-generation", "llama3.2")
    assert "base_model" not in data and "base_model_relation" not in data
    assert adapter_base(tmp_path / "away") == "tiny-llama"
    assert ("BitsAndBytesConfig" in card.text) == (method == "qlora")
    words = printed(elsewhere, card, base, tmp_path / "away", text, **{'"what this column holds"': '"places"'})
    assert_same(folder, words, {"text": text, "topic": "places"})


def test_a_whole_model_that_answers(workspace, base, questions, elsewhere, tmp_path):
    raw = {"template": "raw", "system": "", "user": "[INST] {text} [/INST]", "assistant": " {label}"}
    folder = trained(workspace, base, questions, "full", prompt=raw)
    card = exported(folder, base, tmp_path / "away")
    assert card.data.to_dict()["library_name"] == "transformers"
    assert "PeftModel" not in card.text
    assert_same(folder, printed(elsewhere, card, base, tmp_path / "away", ASKED), ASKED)


def test_a_head_on_a_language_model(workspace, base, questions, elsewhere, tmp_path):
    folder = trained(workspace, base, questions, "head-on-llm")
    card = exported(folder, base, tmp_path / "away")
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("peft", "text-classification")
    assert_same(folder, printed(elsewhere, card, base, tmp_path / "away", ASKED), ASKED)


def test_a_model_that_answers_messages(workspace, base, elsewhere, tmp_path):
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
    fewer = {"max_new_tokens=256": "max_new_tokens=12"}
    words = printed(elsewhere, card, base, tmp_path / "away", "Say river 7", **fewer)
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


def by_card(made: Path, base: Path, place: Path, texts: list[str]) -> np.ndarray:
    """What the card's own `probabilities` says of each text, in a process without this project: [texts, classes]."""
    (lines,) = re.findall(r"```python\n(.*?)\n```", (made / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = lines.split("\ntext = ")[0].replace(f'base = "{base.name}"', f"base = {str(base)!r}")
    lines = lines.replace('folder = "."', f"folder = {str(made)!r}")
    (place / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    asked = "json.dump([list(probabilities({'text': text}).values()) for text in json.load(open('texts.json'))], out)"
    code = f"{lines}\nwith open('answers.json', 'w') as out:\n    {asked}"
    isolated(code, place)
    return np.array(json.loads((place / "answers.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def answering(tmp_path_factory, base, questions) -> RunFolder:
    """A language model with a LoRA adapter that answers with the class."""
    return trained(open_workspace(tmp_path_factory.mktemp("answering") / "workspace"), base, questions, "lora")


@pytest.fixture(scope="module")
def asked_texts(shared_data: Path) -> list[str]:
    with (shared_data / "trec" / "test.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)][:200]


def test_an_adapter_and_its_merged_model_say_the_same(answering, base, asked_texts, tmp_path):
    said = predict_probabilities(load_predictor(answering.model), asked_texts)
    assert formats_of(answering) == ("adapter", "merged", "gguf", "server")
    for chosen in ("adapter", "merged"):
        made = export_run(answering.workspace, answering.id, Wish(chosen), tmp_path / chosen, quiet).path
        (tmp_path / f"{chosen} asked").mkdir()
        np.testing.assert_allclose(by_card(made, base, tmp_path / f"{chosen} asked", asked_texts), said, atol=1e-3)
    facts = json.loads((made / "tunedesk.json").read_text())
    assert (facts["format"], facts["weights"]) == ("merged", "whole")
    assert not list(made.glob("adapter*")) and "PeftModel" not in (made / "README.md").read_text()
    run_id = open_model(answering.workspace, Asked(str(made)))
    opened = predict_probabilities(load_predictor(answering.workspace.run(run_id).model), asked_texts[:20])
    np.testing.assert_allclose(opened, said[:20], atol=1e-3)


def test_merging_goes_shard_by_shard_onto_the_16_bit_base(workspace, base, questions, asked_texts, tmp_path):
    folder = trained(workspace, base, questions, "qlora")
    facts = run_model_facts(folder)
    exported = write_merged(folder.model, facts, _made(tmp_path / "shards"), quiet, shard_bytes=60_000)
    assert "trained on the base in 4 bits" in exported.notes[0]
    index = json.loads((tmp_path / "shards" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert "lm_head.weight" not in index["weight_map"]
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "shards", dtype=torch.float32)
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    expected = PeftModel.from_pretrained(whole, str(folder.model)).merge_and_unload()
    for name, values in merged.state_dict().items():
        torch.testing.assert_close(values, expected.state_dict()[name], atol=1e-3, rtol=1e-3)
    other = load_predictor(folder.model)
    said = predict_probabilities(other, asked_texts).argmax(axis=1)
    made = export_run(workspace, folder.id, Wish("merged"), tmp_path / "away", quiet).path
    run_id = open_model(workspace, Asked(str(made)))
    after = predict_probabilities(load_predictor(workspace.run(run_id).model), asked_texts).argmax(axis=1)
    print(f"merged onto 16 bits: the same label on {(said == after).sum()} of {len(said)}")


def test_a_merged_head(workspace, base, questions, tmp_path):
    folder = trained(workspace, base, questions, "head-on-llm")
    made = export_run(workspace, folder.id, Wish("merged"), tmp_path / "away", quiet).path
    config = json.loads((made / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert config["id2label"] == {"0": "HUM", "1": "LOC", "2": "NUM"}
    _, loading = AutoModelForSequenceClassification.from_pretrained(made, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    run_id = open_model(workspace, Asked(str(made)))
    assert predict_probabilities(load_predictor(workspace.run(run_id).model), [ASKED]).shape == (1, 3)
    with pytest.raises(UserError, match="classification head"):
        export_run(workspace, folder.id, Wish("gguf"), tmp_path / "gguf", quiet)


def test_a_base_in_4_bits_comes_back_in_16(tmp_path):
    weight = torch.randn(64, 128)
    packed, state = bitsandbytes.functional.quantize_4bit(weight.to(torch.float16), quant_type="nf4")
    parts = {f"layer.weight.{name}": values for name, values in state.as_dict(packed=True).items()}
    save_file({"layer.weight": packed, "norm.weight": torch.ones(3), **parts}, tmp_path / "model.safetensors")
    found = {tensor.name: tensor for tensor in stored_tensors(tmp_path)}
    assert set(found) == {"layer.weight", "norm.weight"}
    assert found["layer.weight"].shape == (64, 128)
    assert (found["layer.weight"].read().float() - weight).abs().mean() < 0.1


def test_the_server_of_an_adapter(answering, base, asked_texts, tmp_path, monkeypatch):
    monkeypatch.setenv("BASE_MODEL", str(base))
    made = export_run(answering.workspace, answering.id, Wish("server"), tmp_path / "away", quiet).path
    (answer,) = asked(made, tmp_path, [{"texts": asked_texts[:20]}])
    facts = run_model_facts(answering)
    said = predict_probabilities(load_predictor(answering.model), asked_texts[:20])
    said = tempered(said, facts.decision.temperature)
    given = [[one["probabilities"][label] for label in facts.labels] for one in answer["answers"]]
    np.testing.assert_allclose(given, said, atol=1e-4)


def test_without_llama_cpp_it_says_how_to_get_it(answering, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git clone") as told:
        export_run(answering.workspace, answering.id, Wish("gguf"), tmp_path / "away", quiet)
    assert told.value.where == "LLAMA_CPP"
    assert not (tmp_path / "away").exists()
    (tmp_path / "convert_hf_to_gguf.py").touch()
    with pytest.raises(UserError, match="llama-quantize"):
        export_run(answering.workspace, answering.id, Wish("gguf", "q4_k_m"), tmp_path / "away", quiet)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
