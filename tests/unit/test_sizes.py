"""Sizes told from config.json are those of the model that transformers builds from it, part by part."""

import json

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    CamembertConfig,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    XLMRobertaConfig,
)

from core.models.neobert import NeoBERTConfig
from core.models.sizes import sizes_of
from core.models.source import packaged_encoder
from core.presets import load_presets

PRESETS = {preset.model.source: preset for preset in load_presets().values()}
DECODERS = {
    "Llama 3.2 1B": (PRESETS["unsloth/Llama-3.2-1B-Instruct"].config, 1_235_814_400),
    "Llama 3.2 3B": (PRESETS["unsloth/Llama-3.2-3B-Instruct"].config, 3_212_749_824),
    "Mistral 7B": (PRESETS["unsloth/mistral-7b-instruct-v0.2"].config, 7_241_732_096),
    "Llama 2 7B": (LlamaConfig().to_dict(), 6_738_415_616),
    "Qwen2": (Qwen2Config(hidden_size=896, num_attention_heads=14, num_key_value_heads=2).to_dict(), 0),
    "Qwen3": (Qwen3Config(hidden_size=1024, num_attention_heads=16, num_key_value_heads=8).to_dict(), 0),
    "attention with biases": (LlamaConfig(attention_bias=True, hidden_size=512, num_attention_heads=8).to_dict(), 0),
}  # fmt: skip
ENCODERS = {
    **{source: preset.config for source, preset in PRESETS.items() if preset.group != "llm"},
    "roberta": RobertaConfig(max_position_embeddings=514, type_vocab_size=1).to_dict(),
    "xlm-roberta": XLMRobertaConfig(vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1).to_dict(),
    "camembert": CamembertConfig().to_dict(),
}


def as_config(content) -> PretrainedConfig:
    given = {key: value for key, value in content.items() if key != "model_type"}
    if content["model_type"] == NeoBERTConfig.model_type:
        return NeoBERTConfig(**given)
    return AutoConfig.for_model(content["model_type"], **given)


def count(parts) -> int:
    return sum(parameter.numel() for parameter in parts)


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_s_parts(name):
    content, published = DECODERS[name]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(as_config(content))
    sizes = sizes_of(content)
    assert sizes.pretrained == count(model.parameters())
    if published:
        assert sizes.pretrained == published
    layer = model.model.layers[1]
    assert sizes.layer == count(layer.parameters())
    assert sizes.embeddings == model.get_input_embeddings().weight.numel()
    linears = {key.split(".")[-1]: part for key, part in layer.named_modules() if isinstance(part, torch.nn.Linear)}
    assert {linear.name: (linear.inputs, linear.outputs, linear.bias) for linear in sizes.linears} == {
        key: (part.in_features, part.out_features, part.bias is not None) for key, part in linears.items()
    }


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_s_parts(name):
    config = as_config(ENCODERS[name])
    config.num_labels = 6
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
        body = AutoModel.from_config(config)
    sizes = sizes_of(ENCODERS[name])
    output = (sizes.hidden_size + 1) * 6
    pooler = 0 if sizes.pooler else count(p for key, p in body.named_parameters() if key.startswith("pooler"))
    assert count(model.parameters()) == sizes.body + sizes.pooler + sizes.head + output
    assert count(body.parameters()) - pooler == sizes.body + sizes.pooler
    linears = [part for part in body.modules() if isinstance(part, torch.nn.Linear)]
    assert sizes.linear_weights * sizes.layers == count(part.weight for part in linears) - (
        sizes.hidden_size**2 if sizes.pooler or pooler else 0
    )


def test_what_is_not_known_has_no_sizes():
    content = json.loads((packaged_encoder() / "config.json").read_text(encoding="utf-8"))
    assert sizes_of(content) is not None
    assert sizes_of({**content, "model_type": "something-new"}) is None
    assert sizes_of({key: value for key, value in content.items() if key != "vocab_size"}) is None
    assert sizes_of({**content, "hidden_size": "wide"}) is None
    assert sizes_of({}) is None
