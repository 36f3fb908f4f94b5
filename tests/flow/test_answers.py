"""Language models through the real worker: answers in words, heads, conversations, and what happens on the way."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig

from core.chat_templates import model_tokenizer
from core.evaluation.plain_scoring import plain_scores
from core.evaluation.scoring import label_probabilities
from core.export.merged import write_merged
from core.model_facts import run_model_facts
from core.predict import label_path
from core.predictor import chat_answers, load_predictor, predict_probabilities
from core.prompt_rows import encode_prompts
from core.prompts import prompt_from_content
from core.runs import supervisor
from core.runs.store import open_store
from core.runs.supervisor import Supervisor, submit
from core.schema import RunSpec
from core.spec_files import parse_spec
from core.training import sft
from core.training.collapse import NAMES
from tests.flow.conftest import run_here, to_end_here
from tests.flow.test_train import wait_until
from tests.small_llama import write_small_llama

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXTS = ["Who wrote Hamlet ?", "Where is the river ?", "How far away is the museum ?"]


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory, shared_data) -> Path:
    """Two narrow layers, random weights; its tokenizer is trained on the real questions."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    return write_small_llama(folder, **TINY)


def answer_spec(questions: Path, model: Path, method: str, prompt: dict | None = None, **training) -> RunSpec:
    return parse_spec(
        {
            "name": "tiny",
            "data": {"train": {"path": str(questions)}},
            "mapping": {"text": ["text"], "label": "label"},
            "model": {
                "source": str(model),
                "family": "causal",
                "method": method,
                "max_length": 64,
                "lora": {"rank": 8, "alpha": 16, "dropout": 0},
            },
            "prompt": {"user": "{text}", **(prompt or {})},
            "training": {
                "max_steps": 6, "batch_size": 16, "learning_rate": 1e-3, "evaluate_every_steps": 3,
                "label_smoothing": 0, **training,
            },
            "evaluation": {"generated_rows": 4, "baselines": False},
        },
        "the test",
    )  # fmt: skip


def finished(workspace, spec):
    run = run_here(workspace, spec)
    folder = workspace.run(run.id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")
    return run, folder, json.loads((folder.report / "report.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_model_that_answers_is_measured_before_and_after(workspace, questions, tiny_llama, method):
    offloaded = {"gradient_checkpointing": True, "offload_checkpoints": True}
    run, folder, report = finished(workspace, answer_spec(questions, tiny_llama, method, **offloaded))
    assert report["test"]["rows"] == report["untuned"]["rows"] == 24
    assert run.summary["untuned"]["accuracy"] == report["untuned"]["accuracy"]
    assert {name: answers["rows"] for name, answers in report["answers"].items()} == {"untuned": 4, "tuned": 4}
    assert report["training"]["backend"] == "transformers"
    assert "CUDA" in report["training"]["backend_reason"]
    names = {point.name for point in open_store(workspace).metrics(run.id)}
    assert {"train/loss", "validation/loss", "validation/macro_f1", "validation/accuracy"} <= names
    # What a notice of collapse is drawn from.
    assert {f"validation/{name}" for name in NAMES} <= names

    adapter = folder.model / "adapter_model.safetensors"
    assert adapter.exists() == (method != "full")
    if method != "full":
        assert not any("lm_head" in name for name in load_file(adapter))

    predictor = load_predictor(folder.model)
    probabilities = predict_probabilities(predictor, TEXTS)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities, in_plain_peft(folder.model, tiny_llama, method, TEXTS), atol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
def test_trained_embeddings_go_with_the_adapter(workspace, questions, tiny_llama, tmp_path, tied):
    base = tiny_llama
    if not tied:
        base = write_small_llama(tmp_path / "untied", tie_word_embeddings=False, **TINY)
    spec = answer_spec(questions, base, "qlora", evaluate_every_steps=6)
    lora = spec.model.lora.model_copy(update={"train_embeddings": True})
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"lora": lora, "embeddings_on_cpu": True})})
    _, folder, _ = finished(workspace, spec)
    assert "Token embeddings stay with the layers: they are trained." in folder.log.read_text(encoding="utf-8")
    saved = load_file(folder.model / "adapter_model.safetensors")
    before = load_file(base / "model.safetensors")["model.embed_tokens.weight"]
    table, output = (saved[f"base_model.model.{name}.weight"] for name in ("model.embed_tokens", "lm_head"))
    assert not torch.equal(table, before)
    assert torch.equal(table, output) == tied
    said = predict_probabilities(load_predictor(folder.model), TEXTS)
    np.testing.assert_allclose(said, in_plain_peft(folder.model, base, "qlora", TEXTS), atol=1e-4)
    facts = run_model_facts(folder)
    write_merged(folder.model, facts, made(tmp_path / "merged"), lambda done, total, words: None)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    assert merged.config.tie_word_embeddings == tied
    assert torch.allclose(merged.get_input_embeddings().weight, table, atol=1e-3)
    assert torch.allclose(merged.get_output_embeddings().weight, output, atol=1e-3)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def exact(model: torch.nn.Module) -> torch.nn.Module:
    """On processors with AVX512-BF16 bitsandbytes rounds what it infers in 4 bits to bfloat16 unless told not to."""
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
    return model


def in_plain_peft(model: Path, base: Path, method: str, texts: list[str]) -> np.ndarray:
    """Label probabilities with nothing of the project around the model but the plain scores."""
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    more = {"quantization_config": four_bits} if method == "qlora" else {}
    network = AutoModelForCausalLM.from_pretrained(model if method == "full" else base, dtype=torch.float32, **more)
    if method != "full":
        network = PeftModel.from_pretrained(exact(network), str(model)).get_base_model()
    tokenizer = AutoTokenizer.from_pretrained(model)
    own = model_tokenizer(tokenizer.backend_tokenizer, tokenizer.chat_template, tokenizer.special_tokens_map)
    prompt = prompt_from_content(json.loads((model / "prompt.json").read_text(encoding="utf-8")), own)
    rows = [tokens.ids for tokens in encode_prompts(prompt, [{"text": text} for text in texts])]
    return label_probabilities(plain_scores(network, rows, [answer.ids for answer in prompt.answers], 4))


def test_a_head_on_a_language_model_reloads_in_plain_peft(workspace, questions, tiny_llama):
    _, folder, report = finished(workspace, answer_spec(questions, tiny_llama, "head-on-llm"))
    assert report["untuned"] is None
    weights = load_file(folder.model / "adapter_model.safetensors")
    assert any("score" in name for name in weights) and any("lora_A" in name for name in weights)

    probabilities = predict_probabilities(load_predictor(folder.model), TEXTS)
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=["lm_head", "score"],
    )
    tokenizer = AutoTokenizer.from_pretrained(folder.model)
    base = AutoModelForSequenceClassification.from_pretrained(
        tiny_llama,
        num_labels=3,
        quantization_config=four_bits,
        dtype=torch.float32,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = PeftModel.from_pretrained(exact(base), str(folder.model)).eval()
    with torch.inference_mode():
        logits = model(**tokenizer(TEXTS, return_tensors="pt", padding=True)).logits
    np.testing.assert_allclose(probabilities, torch.softmax(logits, -1).numpy(), atol=1e-4)


def test_a_prompt_may_name_columns_and_a_file_is_labelled_with_them(workspace, tmp_path, tiny_llama):
    rows = [
        f"{text} {number},{topic},{label}"
        for number in range(60)
        for text, topic, label in (("Who is it", "people", "HUM"), ("Where is it", "places", "LOC"))
    ]
    data = tmp_path / "topics.csv"
    data.write_text("text,topic,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    spec = answer_spec(data, tiny_llama, "lora", {"user": "About {topic}: {text}"})
    run, folder, _ = finished(workspace, spec)
    assert json.loads((folder.model / "tunedesk.json").read_text(encoding="utf-8"))["prompt_columns"] == ["topic"]
    result = label_path(workspace, run.id, data, tmp_path / "labelled.csv")
    assert (result.rows, result.labelled) == (120, 120)
    predictor = load_predictor(folder.model)
    people, places = predict_probabilities(
        predictor, [{"text": "is it", "topic": "people"}, {"text": "is it", "topic": "places"}]
    )
    assert not np.allclose(people, places)


def test_a_stopped_run_goes_on_and_keeps_what_the_untuned_model_said(workspace, questions, tiny_llama):
    spec = answer_spec(questions, tiny_llama, "lora", max_steps=400, evaluate_every_steps=5)
    run_id, watcher = submit(workspace, spec), Supervisor(workspace)
    store = watcher.store
    wait_until(workspace, run_id, lambda _: len(store.metrics(run_id, ["train/loss"])) >= 8, watcher)
    supervisor.stop(workspace, run_id)
    wait_until(workspace, run_id, lambda run: run.state == "stopped", watcher)
    folder = workspace.run(run_id)
    before = folder.untuned.stat().st_mtime_ns
    prompt = folder.prompt.read_text(encoding="utf-8")
    supervisor.finish(workspace, run_id)
    run = to_end_here(workspace, run_id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")
    assert folder.untuned.stat().st_mtime_ns == before
    assert folder.prompt.read_text(encoding="utf-8") == prompt


@pytest.mark.parametrize("kind", ["multi", "soft"])
def test_a_head_on_a_language_model_learns_other_kinds_of_labels(workspace, questions, tiny_llama, tmp_path, kind):
    """Several classes a row, or probabilities: its head has a sigmoid for each, or a softmax over all."""
    with questions.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    data = tmp_path / "kinds.csv"
    with data.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        if kind == "multi":
            writer.writerow(["text", "topics"])
            writer.writerows([r["text"], r["label"] + ("; river" if "river" in r["text"] else "")] for r in rows)
            mapping = {"label": "topics", "label_separator": ";"}
        else:
            writer.writerow(["text", "HUM", "other"])
            writer.writerows([r["text"], *((0.9, 0.1) if r["label"] == "HUM" else (0.2, 0.8))] for r in rows)
            mapping = {"label_columns": ["HUM", "other"]}
    spec = answer_spec(questions, tiny_llama, "head-on-llm")
    content = spec.model_dump(mode="json")
    content["data"]["train"]["path"] = str(data)
    content["mapping"] = {"text": ["text"], "kind": kind, **mapping}
    _, folder, report = finished(workspace, parse_spec(content, "the test"))
    assert report["kind"] == kind
    facts = run_model_facts(folder)
    assert facts.label_kind == kind
    said = predict_probabilities(load_predictor(folder.model), TEXTS)
    assert said.shape == (len(TEXTS), 4 if kind == "multi" else 2)
    assert ((said > 0) & (said < 1)).all()
    assert np.allclose(said.sum(axis=1), 1, atol=1e-5) == (kind == "soft")


def loss_of_at_most(rows: int) -> Callable[..., torch.Tensor]:
    """The loss of a training step on a device whose memory holds so many rows."""
    fits = sft.answer_token_loss

    def loss(model, input_ids, *rest):
        if len(input_ids) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return fits(model, input_ids, *rest)

    return loss


def test_when_memory_runs_out_the_batch_is_halved_until_it_fits(workspace, questions, tiny_llama, monkeypatch):
    monkeypatch.setattr(sft, "answer_token_loss", loss_of_at_most(4))
    spec = answer_spec(questions, tiny_llama, "lora", batch_size=16, gradient_accumulation=1)
    run = run_here(workspace, spec)
    folder = workspace.run(run.id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")
    found = [event.detail for event in open_store(workspace).events(run.id, "smaller_batch")]
    assert [(tried["batch_size"], tried["gradient_accumulation"]) for tried in found] == [(8, 2), (4, 4)]
    assert "ran out of memory at 16 rows a batch" in folder.log.read_text(encoding="utf-8")


def test_when_not_even_one_row_fits_the_run_says_what_to_change(workspace, questions, tiny_llama, monkeypatch):
    monkeypatch.setattr(sft, "answer_token_loss", loss_of_at_most(0))
    spec = answer_spec(questions, tiny_llama, "lora", batch_size=2, evaluation_batch_size=1)
    run = run_here(workspace, spec)
    assert run.state == "failed"
    assert "max_length" in run.error["todo"]


def test_conversations_are_learned_and_answered(workspace, tmp_path, tiny_llama):
    data = tmp_path / "talk.jsonl"
    rows = [
        {"instruction": f"Say {word} {number}", "output": f"{word} it is"}
        for number in range(60)
        for word in ("river", "city")
    ]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    spec = answer_spec(data, tiny_llama, "qlora", max_steps=30, evaluate_every_steps=15, learning_rate=1e-2)
    content = spec.model_dump(mode="json")
    content["mapping"] = {"kind": "none", "chat": {"instruction": "instruction", "response": "output"}}
    content["split"] = {"validation": 0.1, "test": 0.1}
    run, folder, report = finished(workspace, parse_spec(content, "the test"))
    assert report["task"] == run.summary["task"] == "chat"
    assert report["test"]["loss"] < report["untuned"]["loss"]
    assert len(report["samples"]) == 8
    assert report["samples"][0]["expected"].endswith("it is")
    tuned, untuned = chat_answers(load_predictor(folder.model), [{"role": "user", "content": "Say river 7"}], 12)
    assert tuned != untuned
