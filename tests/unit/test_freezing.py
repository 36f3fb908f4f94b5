"""Which parameters each method trains, on tiny models of the true architectures."""

import pytest
from transformers import AutoModelForSequenceClassification, BertConfig, DistilBertConfig, ModernBertConfig

from core.errors import UserError
from core.models.freezing import apply_method, encoder_layers, trainable_parameters
from core.schema import LoraSpec, ModelSpec

CONFIGS = {
    "bert": BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64),
    "distilbert": DistilBertConfig(vocab_size=60, dim=32, n_layers=4, n_heads=2, hidden_dim=64),
    "modernbert": ModernBertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, pad_token_id=0
    ),
}
HEADS = {
    "bert": {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"},
    "distilbert": {"pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"},
    "modernbert": {"head.dense.weight", "head.norm.weight", "classifier.weight", "classifier.bias"},
}


def tiny(kind):
    return AutoModelForSequenceClassification.from_config(CONFIGS[kind])


def trained_names(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("kind", CONFIGS)
def test_full_trains_everything(kind):
    trained, total = trainable_parameters(apply_method(tiny(kind), ModelSpec(method="full")))
    assert trained == total


@pytest.mark.parametrize("kind", CONFIGS)
def test_head_trains_the_head_alone(kind):
    assert trained_names(apply_method(tiny(kind), ModelSpec(method="head"))) == HEADS[kind]


@pytest.mark.parametrize("kind", CONFIGS)
def test_freeze_keeps_embeddings_and_lower_layers(kind):
    model = apply_method(tiny(kind), ModelSpec(method="freeze", frozen_layers=3))
    for number, layer in enumerate(encoder_layers(model)):
        assert all(parameter.requires_grad == (number == 3) for parameter in layer.parameters())
    assert not model.base_model.get_input_embeddings().weight.requires_grad
    assert HEADS[kind] <= trained_names(model)


@pytest.mark.parametrize("kind", CONFIGS)
def test_lora_trains_adapters_of_the_layers_and_the_head(kind):
    names = trained_names(apply_method(tiny(kind), ModelSpec(method="lora")))
    adapters = {name for name in names if ".lora_" in name}
    assert adapters
    assert all(".layer." in name or ".layers." in name for name in adapters)
    heads = {
        name.replace("modules_to_save.default.", "").removeprefix("base_model.model.") for name in names - adapters
    }
    assert heads == HEADS[kind]


def test_more_frozen_layers_than_there_are():
    with pytest.raises(UserError, match="has 4 layers"):
        apply_method(tiny("bert"), ModelSpec(method="freeze", frozen_layers=5))


def test_lora_on_layers_that_do_not_exist():
    with pytest.raises(UserError, match="q_proj") as caught:
        apply_method(tiny("bert"), ModelSpec(method="lora", lora=LoraSpec(target_modules=("q_proj",))))
    assert "query" in caught.value.todo
