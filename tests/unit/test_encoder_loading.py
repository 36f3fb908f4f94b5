"""What a pretrained encoder must bring, what of it is new, and what a head that was trained before becomes."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import UserError
from core.models.architecture import output_layer
from core.models.encoder import load_encoder, save_encoder
from core.models.heads import EncoderWithHead
from core.schema import ModelSpec
from tests.small_encoders import CONFIGS, small, tokenizer


def saved(folder, model, labels=("no", "yes")):
    """A model that was tuned on these labels, with a tokenizer."""
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: number for number, label in enumerate(labels)}
    save_encoder(model, tokenizer(), folder)
    return ModelSpec(source=str(folder), max_length=16)


def without(folder, part):
    weights = load_file(folder / "model.safetensors")
    left = {name: value for name, value in weights.items() if part not in name}
    assert len(left) < len(weights)
    save_file(left, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("head", ["model", "linear"])
@pytest.mark.parametrize(
    ("kind", "part"), [("bert", "output.dense"), ("roberta", ".dense."), ("distilbert", "out_lin")]
)
def test_a_body_that_lacks_layers_is_refused(tmp_path, kind, part, head):
    spec = saved(tmp_path, small(kind, 2))
    without(tmp_path, part)
    with pytest.raises(UserError, match=r"lacks \d+ of its weights"):
        load_encoder(spec.model_copy(update={"head": head}), ["no", "yes"])


@pytest.mark.parametrize("head", ["model", "two-layer"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_head_and_pooler_may_be_new(tmp_path, kind, head):
    model = small(kind, 2)
    spec = saved(tmp_path, model)
    body = f"{model.base_model_prefix}."
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if name.startswith(body) and "pooler" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded, _ = load_encoder(spec.model_copy(update={"head": head}), ["a", "b", "c"])
    assert output_layer(loaded).out_features == 3


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_head_of_other_classes_gives_way_however_many_they_are(tmp_path, kind):
    model = small(kind, 2)
    with torch.no_grad():
        output_layer(model).weight.fill_(7)
    spec = saved(tmp_path, model)
    for labels in (["yes", "no"], ["sport", "politics"], ["a", "b", "c"]):
        assert (output_layer(load_encoder(spec, labels)[0]).weight.abs() < 1).all()
    same, _ = load_encoder(spec, ["no", "yes"])
    assert (output_layer(same).weight == 7).all()


@pytest.mark.parametrize("head", ["model", "linear", "two-layer"])
@pytest.mark.parametrize("before", ["model", "two-layer"])
@pytest.mark.parametrize("kind", ["bert", "neobert"])
def test_a_model_trained_here_is_the_base_of_another_run_whatever_the_heads(tmp_path, kind, before, head):
    model = small(kind, 2)
    body = model.base_model
    if before != "model":
        model = EncoderWithHead(body, before, "mean", 8, 0.0)
    spec = saved(tmp_path, model)
    table = body.get_input_embeddings().weight.detach().clone()
    loaded, _ = load_encoder(spec.model_copy(update={"head": head}), ["a", "b"])
    torch.testing.assert_close(loaded.base_model.get_input_embeddings().weight, table)
