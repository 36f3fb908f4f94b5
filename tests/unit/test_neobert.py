"""NeoBERT step by step, against a second writing-down of its published description with loops in place of tensors."""

import ast
import math
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from core.errors import UserError
from core.models.architecture import embeddings, encoder_layers, head_parameter_names
from core.models.encoder import load_encoder, save_encoder
from core.models.neobert import NeoBERT, NeoBERTConfig, NeoBERTForSequenceClassification, rotary_table, rotated
from core.schema import ModelSpec

SMALL = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 36, "vocab_size": 50,
}  # fmt: skip


@pytest.fixture
def model() -> NeoBERTForSequenceClassification:
    torch.manual_seed(0)
    built = NeoBERTForSequenceClassification(NeoBERTConfig(**SMALL, num_labels=4))
    with torch.no_grad():  # weights far from the small ones of a new model, so that every step shows
        for parameter in built.parameters():
            parameter.normal_(0, 0.3)
    return built.double().eval()


def by_the_book(weights: dict[str, torch.Tensor], ids: list[int], heads: int, eps: float = 1e-5) -> torch.Tensor:
    """The body's output for one text without padding: [length, hidden]."""

    def normed(x, weight):
        return x / torch.sqrt(x.pow(2).mean() + eps) * weight

    x = [weights["encoder.weight"][token] for token in ids]
    size = len(x[0]) // heads
    for layer in range(SMALL["num_hidden_layers"]):
        at = f"transformer_encoder.{layer}."
        projected = [weights[at + "qkv.weight"] @ normed(row, weights[at + "attention_norm.weight"]) for row in x]
        outputs = [[] for _ in x]
        for head in range(heads):
            # each head's query, key and value are neighbours
            own = [row[head * 3 * size : (head + 1) * 3 * size] for row in projected]
            queries = [turned(row[:size], place) for place, row in enumerate(own)]
            keys = [turned(row[size : 2 * size], place) for place, row in enumerate(own)]
            for place, query in enumerate(queries):
                scores = torch.stack([query @ key / math.sqrt(size) for key in keys]).softmax(0)
                outputs[place].append(sum(share * row[2 * size :] for share, row in zip(scores, own, strict=True)))
        x = [row + weights[at + "wo.weight"] @ torch.cat(parts) for row, parts in zip(x, outputs, strict=True)]
        for place, row in enumerate(x):
            gate, value = (weights[at + "ffn.w12.weight"] @ normed(row, weights[at + "ffn_norm.weight"])).chunk(2)
            x[place] = row + weights[at + "ffn.w3.weight"] @ (gate * torch.sigmoid(gate) * value)
    return torch.stack([normed(row, weights["layer_norm.weight"]) for row in x])


def turned(vector: torch.Tensor, position: int) -> torch.Tensor:
    """Neighbouring dimensions are the pairs that rotate."""
    result = vector.clone()
    for first in range(0, len(vector), 2):
        angle = position * 10_000.0 ** (-first / len(vector))
        a, b = vector[first], vector[first + 1]
        result[first] = a * math.cos(angle) - b * math.sin(angle)
        result[first + 1] = a * math.sin(angle) + b * math.cos(angle)
    return result


def test_the_body_computes_what_the_paper_says(model):
    ids = [3, 14, 15, 9, 2, 6]
    expected = by_the_book(dict(model.model.state_dict()), ids, SMALL["num_attention_heads"])
    found = model.model(torch.tensor([ids])).last_hidden_state[0]
    # Rotation and norms are in float32, as in the published model.
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_the_head_reads_the_first_token(model):
    first = model.model(torch.tensor([[3, 14, 15]])).last_hidden_state[:, 0]
    weights = model.state_dict()
    dense = torch.tanh(first @ weights["dense.weight"].T + weights["dense.bias"])
    expected = dense @ weights["classifier.weight"].T + weights["classifier.bias"]
    torch.testing.assert_close(model(torch.tensor([[3, 14, 15]])).logits, expected)


def test_padding_changes_nothing(model):
    alone = model(torch.tensor([[3, 14, 15]])).logits
    ids = torch.tensor([[3, 14, 15, 0, 0], [7, 8, 9, 10, 11]])
    padded = model(ids, attention_mask=(ids > 0).long()).logits
    torch.testing.assert_close(padded[:1], alone, atol=1e-5, rtol=1e-4)


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    table = rotary_table(9, 8, torch.device("cpu"))
    one, other = torch.randn(2, 8).unbind()
    at = {place: rotated(torch.stack([one, other])[None, :, None], table[[place, place + 3]]) for place in (0, 5)}
    for placed in at.values():
        torch.testing.assert_close(placed[0, :, 0].norm(dim=-1), torch.stack([one, other]).norm(dim=-1))
    products = [float(placed[0, 0, 0] @ placed[0, 1, 0]) for placed in at.values()]
    assert products[0] == pytest.approx(products[1], abs=1e-5)


def test_a_published_checkpoint_loads_without_remote_code(tmp_path, model):
    """Names as on the hub: `model.` before the body's, an MLM head beside it, and code of its own in auto_map."""
    model.float().model.config.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text(encoding="utf-8")
    auto_map = '"auto_map": {"AutoConfig": "model.NeoBERTConfig", "AutoModel": "model.NeoBERT"}, "max_length": 4096,'
    (tmp_path / "config.json").write_text(config.replace("{", "{" + auto_map, 1), encoding="utf-8")
    weights = {f"model.{name}": value.contiguous() for name, value in model.model.state_dict().items()}
    weights |= {"decoder.weight": torch.zeros(50, 24), "decoder.bias": torch.zeros(50)}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    loaded, told = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3, output_loading_info=True)
    assert isinstance(loaded, NeoBERTForSequenceClassification)
    assert {key.split(".")[0] for key in told["missing_keys"]} == {"dense", "classifier"}
    assert not told["unexpected_keys"]
    ids = torch.tensor([[3, 14, 15]])
    torch.testing.assert_close(loaded.eval().model(ids).last_hidden_state, model.model(ids).last_hidden_state)
    assert isinstance(AutoModel.from_pretrained(tmp_path), NeoBERT)


def test_a_weight_of_another_name_is_not_left_out_without_a_word(tmp_path, model):
    folder = _with_tokenizer(tmp_path / "base", model)
    spec = ModelSpec(source=str(folder), max_length=64)
    loaded, _ = load_encoder(spec, ["a", "b"])
    torch.testing.assert_close(loaded.model.encoder.weight, model.float().model.encoder.weight)

    weights = load_file(folder / "model.safetensors")
    weights["model.transformer_encoder.0.wq.weight"] = weights.pop("model.transformer_encoder.0.qkv.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="qkv"):
        load_encoder(spec, ["a", "b"])
    weights["model.transformer_encoder.0.qkv.weight"] = weights["model.transformer_encoder.0.wq.weight"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="wq"):
        load_encoder(spec, ["a", "b"])


def test_its_own_loss_is_that_of_its_problem(model):
    ids, labels = torch.tensor([[5, 6, 7], [8, 9, 10]]), torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 1]]).double()
    logits = model(ids).logits
    shares = labels / labels.sum(1, keepdim=True)
    for problem, given, expected in (
        ("single_label_classification", labels.argmax(1), functional.cross_entropy(logits, labels.argmax(1))),
        ("single_label_classification", shares, functional.cross_entropy(logits, shares)),
        ("multi_label_classification", labels, functional.binary_cross_entropy_with_logits(logits, labels)),
    ):
        model.config.problem_type = problem
        torch.testing.assert_close(model(ids, labels=given).loss, expected)


def test_plain_transformers_loads_an_export_if_its_code_is_trusted(tmp_path, model):
    """In a process that knows nothing of this project."""
    folder = _with_tokenizer(tmp_path / "base", model)
    loaded, tokenizer = load_encoder(ModelSpec(source=str(folder), max_length=64), ["a", "b"])
    save_encoder(loaded.eval(), tokenizer, tmp_path / "export")
    code = (
        "import sys; from transformers import AutoModelForSequenceClassification as Auto, pipeline;"
        "Auto.from_pretrained(sys.argv[1], trust_remote_code=True);"
        "print(pipeline('text-classification', sys.argv[1], trust_remote_code=True)('3 14 15', top_k=None))"
    )
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "export")],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=True,
    )  # fmt: skip
    found = {entry["label"]: entry["score"] for entry in ast.literal_eval(told.stdout.splitlines()[-1])}
    with torch.no_grad():
        expected = loaded(**tokenizer("3 14 15", return_tensors="pt")).logits.softmax(-1)[0]
    assert [found["a"], found["b"]] == pytest.approx(expected.tolist(), abs=1e-5)


def _with_tokenizer(folder, model):
    """The model as a published checkpoint of a body, with a tokenizer that knows numbers."""
    model.float().model.config.save_pretrained(folder)
    weights = {f"model.{name}": value.contiguous() for name, value in model.model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    words = {"[PAD]": 0} | {str(number): number for number in range(1, 50)}
    tokenizer = Tokenizer(WordLevel(words, "1"))
    tokenizer.pre_tokenizer = Whitespace()
    names = ["input_ids", "attention_mask"]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", model_input_names=names).save_pretrained(
        folder
    )
    return folder


def test_what_is_saved_loads_back(tmp_path, model):
    model.float().save_pretrained(tmp_path)
    assert {"model.encoder.weight", "model.transformer_encoder.1.ffn.w12.weight", "classifier.bias"} <= set(
        load_file(tmp_path / "model.safetensors")
    )
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[3, 14, 15]])
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits)
    assert AutoConfig.from_pretrained(tmp_path).num_labels == 4


def test_it_can_be_frozen_and_checkpointed(model):
    assert len(encoder_layers(model)) == 2
    assert embeddings(model) is model.model.encoder
    assert {name.split(".")[0] for name in head_parameter_names(model)} == {"dense", "classifier"}
    model.train()
    model.gradient_checkpointing_enable()
    model(torch.tensor([[3, 14, 15]]), labels=torch.tensor([1])).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_published_size():
    with torch.device("meta"):
        body = NeoBERT(NeoBERTConfig())
    layer = 3 * 768 * 768 + 768 * 768 + 768 * 4096 + 2048 * 768 + 2 * 768
    assert sum(parameter.numel() for parameter in body.parameters()) == 30522 * 768 + 28 * layer + 768
