"""Heads of our own: what they read, what is saved, and that plain transformers loads the body."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertConfig, BertModel

from core.models.architecture import head_parameter_names, output_layer, trainable_parameters
from core.models.freezing import apply_method
from core.models.heads import EncoderWithHead, load_with_head, pool, save_with_head, start_from_shares
from core.schema import ModelSpec

CONFIG = BertConfig(
    vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=5
)
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def built(head="two-layer", pooling="mean", size=16):
    torch.manual_seed(3)
    return EncoderWithHead(BertModel(CONFIG), head, pooling, size, 0.1)


def test_padding_is_not_read():
    states = torch.randn(2, 4, 3)
    assert torch.equal(pool(states, MASK, "first"), states[:, 0])
    mean = pool(states, MASK, "mean")
    assert torch.allclose(mean[0], states[0].mean(0))
    assert torch.allclose(mean[1], states[1, :2].mean(0))
    assert torch.equal(pool(states, MASK, "both"), torch.cat([states[:, 0], mean], -1))
    assert torch.allclose(pool(states, None, "mean"), states.mean(1))


def test_a_head_begins_with_each_class_as_likely_as_it_is_common():
    model, shares = built().eval(), np.array([0.5, 0.2, 0.01, 0.0004, 0.9])
    start_from_shares(output_layer(model), shares)
    said = torch.sigmoid(model(input_ids=IDS, attention_mask=MASK).logits).detach().numpy()
    assert said == pytest.approx(np.tile(shares, (2, 1)), rel=0.2)
    without = torch.nn.Linear(8, 5, bias=False)
    start_from_shares(without, shares)
    assert without.bias is None


def test_the_body_keeps_its_weights():
    body = BertModel(CONFIG)
    before = {name: weights.clone() for name, weights in body.state_dict().items()}
    after = EncoderWithHead(body, "linear", "mean", 0, 0.1).state_dict()
    for name, weights in before.items():
        if not name.startswith("pooler."):
            assert torch.equal(after[f"bert.{name}"], weights)


@pytest.mark.parametrize(
    ("head", "pooling", "expected"),
    [
        ("linear", "first", 32 * 5 + 5),
        ("linear", "both", 64 * 5 + 5),
        ("two-layer", "mean", 32 * 16 + 16 + 16 * 5 + 5),
        ("two-layer", "both", 64 * 16 + 16 + 16 * 5 + 5),
    ],
)
def test_only_the_head_is_new(head, pooling, expected):
    model = apply_method(built(head, pooling), ModelSpec(method="head", head=head, pooling=pooling))
    assert trainable_parameters(model)[0] == expected
    assert all(name.startswith("head.") for name in head_parameter_names(model))
    assert output_layer(model) is model.head[-1]


@pytest.mark.parametrize("head", ["linear", "two-layer"])
@pytest.mark.parametrize("pooling", ["first", "mean", "both"])
def test_saved_and_loaded(head, pooling, tmp_path):
    model = built(head, pooling).eval()
    save_with_head(model, tmp_path)
    again = load_with_head(tmp_path, head, pooling, 16).eval()
    with torch.no_grad():
        assert torch.equal(model(IDS, MASK).logits, again(IDS, MASK).logits)
        body = AutoModel.from_pretrained(tmp_path).eval()
        ours = model.bert(input_ids=IDS, attention_mask=MASK).last_hidden_state
        assert torch.equal(body(input_ids=IDS, attention_mask=MASK).last_hidden_state, ours)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertModel"]
    assert any(name.startswith("head.") for name in load_file(tmp_path / "model.safetensors"))


def test_adapters_and_an_own_head_are_merged_and_saved(tmp_path):
    model = apply_method(built(), ModelSpec(method="lora", head="two-layer", pooling="mean"))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any(".head." in name for name in trained)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in trained:
                parameter.add_(0.05)
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=IDS, attention_mask=MASK).logits
    save_with_head(model.merge_and_unload(), tmp_path)
    with torch.no_grad():
        again = load_with_head(tmp_path, "two-layer", "mean", 16).eval()(IDS, MASK).logits
    assert torch.allclose(again, logits, atol=1e-5)


def test_a_missing_weight_is_not_made_up(tmp_path):
    save_with_head(built(), tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({name: weights for name, weights in load_file(file).items() if not name.startswith("head.")}, file)
    with pytest.raises(ValueError, match="lacks the weights head"):
        load_with_head(tmp_path, "two-layer", "mean", 16)
