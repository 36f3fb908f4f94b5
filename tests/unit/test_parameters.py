"""Counts and bytes told from published configs are those of models built on the meta device, and bitsandbytes' own."""

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from core.models.architecture import trainable_parameters
from core.models.causal import Backend, with_adapter
from core.models.freezing import apply_method
from core.models.layers import parameter_counts
from core.models.parameters import (
    Tensors,
    learning_tensors,
    nf4_bytes,
    optimizer_bytes,
    weight_bytes,
)
from core.models.sizes import Linear, sizes_of
from core.presets import load_presets
from core.schema import ModelSpec, TrainingSpec
from tests.unit.test_sizes import as_config

CONFIGS = {preset.model.source: preset.config for preset in load_presets().values()}
ENCODERS = [preset.model.source for preset in load_presets().values() if preset.group != "llm"]
DECODERS = {
    "Llama 3.2 1B": CONFIGS["unsloth/Llama-3.2-1B-Instruct"],
    "Llama 3.2 3B": CONFIGS["unsloth/Llama-3.2-3B-Instruct"],
    "Mistral 7B": CONFIGS["unsloth/mistral-7b-instruct-v0.2"],
}
CLASSES = 7
TRANSFORMERS = Backend("transformers", "")


def spec_of(family, method, **lora) -> ModelSpec:
    frozen = 3 if method == "freeze" else 0
    return ModelSpec.model_validate({"family": family, "method": method, "frozen_layers": frozen, "lora": lora})


def learning(config, spec) -> int:
    return sum(tensors.all for tensors in learning_tensors(sizes_of(config), spec, CLASSES))


@pytest.mark.parametrize("source", sorted(set(ENCODERS)))
@pytest.mark.parametrize("method", ["full", "freeze", "head", "lora"])
def test_an_encoder_s_trained_parameters(source, method):
    config = as_config(CONFIGS[source])
    config.num_labels = CLASSES
    spec = spec_of("encoder", method, rank=16)
    with torch.device("meta"):
        model = apply_method(AutoModelForSequenceClassification.from_config(config), spec)
    trained, every = trainable_parameters(model)
    assert learning(CONFIGS[source], spec) == trained
    # PEFT trains a copy of the head beside the head; the adapter is counted with what learns.
    assert weight_bytes(sizes_of(CONFIGS[source]), spec, CLASSES, "cuda") == 4 * (every - trained * (method == "lora"))


@pytest.mark.parametrize("targets", [("query", "value"), ("dense",), ("Wo",), ("lin2",)])
def test_an_adapter_on_some_layers(targets):
    source = {"Wo": "answerdotai/ModernBERT-base", "lin2": "distilbert/distilbert-base-cased"}.get(
        targets[0], "google-bert/bert-base-cased"
    )
    config = as_config(CONFIGS[source])
    config.num_labels = CLASSES
    spec = spec_of("encoder", "lora", rank=8, target_modules=targets)
    with torch.device("meta"):
        model = apply_method(AutoModelForSequenceClassification.from_config(config), spec)
    assert learning(CONFIGS[source], spec) == trainable_parameters(model)[0]


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("method", ["full", "lora", "qlora", "head-on-llm"])
def test_a_language_model_s_trained_parameters(name, method):
    config = as_config(DECODERS[name])
    config.num_labels = CLASSES
    spec = spec_of("causal", method, rank=32)
    kind = AutoModelForSequenceClassification if method == "head-on-llm" else AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(config)
        whole = trainable_parameters(model)[1]
        model = with_adapter(model, spec, TrainingSpec(), TRANSFORMERS)
    assert learning(DECODERS[name], spec) == trainable_parameters(model)[0]
    sizes = sizes_of(DECODERS[name])
    if method == "full":
        assert weight_bytes(sizes, spec, CLASSES, "cuda") == 4 * whole
    elif method == "lora":
        assert (weight_bytes(sizes, spec, CLASSES, "cuda"), weight_bytes(sizes, spec, CLASSES, "cpu")) == (
            2 * whole,
            4 * whole,
        )
    else:
        layers = [part for part in model.get_base_model().modules() if type(part) is torch.nn.Linear]
        packed = sum(
            part.weight.numel() for part in layers if min(part.weight.shape) > max(spec.lora.rank, CLASSES)
        ) - (sizes.vocabulary * sizes.hidden_size if method == "qlora" else 0)
        told = sum(nf4_bytes(linear, double=True) for linear in sizes.linears) * sizes.layers
        assert packed == sizes.linear_weights * sizes.layers
        assert weight_bytes(sizes, spec, CLASSES, "cuda") == told + 2 * (whole - packed)


def test_the_published_run_on_trec_trains_as_many():
    """R4: Mistral-7B, rank 32, all linear layers and the output layer: 85,041,152."""
    names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")
    spec = spec_of("causal", "qlora", rank=32, target_modules=names)
    assert learning(DECODERS["Mistral 7B"], spec) == 85_041_152
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(as_config(DECODERS["Mistral 7B"]))
        model = with_adapter(model, spec, TrainingSpec(), TRANSFORMERS)
    assert trainable_parameters(model)[0] == 85_041_152


def test_some_embeddings_alone_learn():
    config = CONFIGS["google-bert/bert-base-cased"]
    spec = spec_of("encoder", "full")
    all_of_them = parameter_counts(sizes_of(config), spec, CLASSES).learning
    some = sum(tensors.all for tensors in learning_tensors(sizes_of(config), spec, CLASSES, used_tokens=1000))
    assert all_of_them - some == (config["vocab_size"] - 1000) * config["hidden_size"]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("shape", [(64, 96), (512, 192), (130, 70), (2048, 512)])
def test_bytes_in_4_bits_are_bitsandbytes_own(shape, double):
    outputs, inputs = shape
    layer = Linear4bit(inputs, outputs, bias=False, compress_statistics=double, quant_type="nf4")
    layer.weight = Params4bit(torch.randn(shape), requires_grad=False, compress_statistics=double, quant_type="nf4")
    weight = layer.to("cpu").weight
    state = weight.quant_state
    tensors = [weight, state.absmax, state.code]
    if double:
        tensors += [state.offset, state.state2.absmax, state.state2.code]
    assert nf4_bytes(Linear("", inputs, outputs), double=double) == sum(tensor.nbytes for tensor in tensors)


def test_what_the_optimiser_keeps():
    matrix, norm, adapter = Tensors(1_000_000, 2), Tensors(768, 3), Tensors(8_192, 1)
    every = [matrix, norm, adapter]

    def told(name, place="cuda"):
        found = optimizer_bytes(every, TrainingSpec(optimizer=name), place)
        return found.held, found.paged

    numbers = 2_000_000 + 3 * 768 + 8_192
    assert told("adamw") == (8 * numbers, 0)
    assert told("adamw_8bit", "cpu") == (8 * numbers, 0)
    scales = 2 * 8 * 3907 + 8 * 32
    assert told("adamw_8bit") == (2 * (2_000_000 + 8_192) + scales + 8 * 3 * 768, 0)
    # Small tensors are never paged, nor are the scales.
    assert told("paged_adamw_8bit") == (2 * 8_192 + scales + 8 * 3 * 768, 4_000_000)
    assert told("paged_adamw_32bit") == (8 * (8_192 + 3 * 768), 16_000_000)
