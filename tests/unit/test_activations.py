"""What a pass is said to keep is what autograd keeps: counted on small models, each stored tensor once."""

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from peft import LoraConfig, TaskType, get_peft_model
from torch import nn

from core.models.freezing import apply_method
from core.models.processor_steps import quick_steps
from core.models.sizes import sizes_of
from core.schema import ModelSpec
from core.training.activations import Pass, kept_bytes
from core.training.answer_loss import answer_token_loss
from tests.small_encoders import CONFIGS, small
from tests.small_llama import small_llama

ROWS, TOKENS, ANSWER = 3, 24, 2
ENCODERS = ("bert", "roberta", "distilbert", "modernbert", "neobert")
WIDE = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4, "num_attention_heads": 4}
WIDE_DISTILBERT = {"dim": 64, "hidden_dim": 176}


def kept_by_autograd(model, loss) -> int:
    """Bytes of the tensors that a forward pass in training keeps, without parameters and buffers."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage  # held, so that no other takes its place
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with quick_steps(model, torch.device("cpu"), bfloat16=False), hooks:
        loss()
    return sum(storage.nbytes() for storage in found.values())


def batch() -> dict[str, torch.Tensor]:
    mask = torch.ones(ROWS, TOKENS, dtype=torch.int64)
    mask[0, -4:] = 0
    return {"input_ids": torch.randint(5, 60, (ROWS, TOKENS)), "attention_mask": mask}


def as_told(config, spec, number, weights) -> Pass:
    return Pass(sizes_of(config.to_dict()), spec, ROWS, TOKENS, number, weights, cuda=False)


def wide_encoder(kind, **changes):
    config = CONFIGS[kind]
    before = {name: getattr(config, name) for name in (WIDE_DISTILBERT if kind == "distilbert" else WIDE)}
    config.update((WIDE_DISTILBERT if kind == "distilbert" else WIDE) | changes)
    try:
        return small(kind)
    finally:
        config.update(before)


def spec_of(family, method, *, dropout=0.0, targets=(), frozen=0, attention=0.0):
    return ModelSpec.model_validate(
        {
            "family": family,
            "method": method,
            "frozen_layers": frozen,
            "attention_dropout": attention,
            "lora": {"rank": 4, "dropout": dropout, "target_modules": targets},
        }
    )


def check(told: int, counted: int) -> None:
    assert told == pytest.approx(counted, rel=0.06), f"told {told:,}, counted {counted:,}"


@pytest.mark.parametrize("in_16_bits", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize(
    "spec",
    [
        spec_of("encoder", "full"),
        spec_of("encoder", "freeze", frozen=2),
        spec_of("encoder", "lora"),
        spec_of("encoder", "lora", dropout=0.1),
    ],
    ids=["full", "freeze", "lora", "lora with dropout"],
)
def test_what_an_encoder_keeps(kind, spec, in_16_bits):
    model = wide_encoder(kind)
    for name in ("attention_probs_dropout_prob", "attention_dropout"):
        if name in model.config.to_dict():
            setattr(model.config, name, 0.0)
    for module in model.modules():
        if isinstance(getattr(module, "dropout", None), nn.Dropout) and "SelfAttention" in type(module).__name__:
            module.dropout.p = 0.0
    model = apply_method(model, spec).train()
    inputs = batch()

    def loss():
        with torch.autocast("cpu", torch.bfloat16, enabled=in_16_bits):
            model(**inputs).logits.float().sum()

    told = as_told(model.config, spec, 2 if in_16_bits else 4, 4)
    check(kept_bytes(told, checkpointing=False), kept_by_autograd(model, loss))


@pytest.mark.parametrize("in_16_bits", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_what_an_encoder_keeps_with_checkpointing(kind, in_16_bits):
    model = wide_encoder(kind).train()
    model.gradient_checkpointing_enable()
    inputs = batch()

    def loss():
        with torch.autocast("cpu", torch.bfloat16, enabled=in_16_bits):
            model(**inputs).logits.float().sum()

    told = as_told(model.config, spec_of("encoder", "full"), 2 if in_16_bits else 4, 4)
    counted = kept_by_autograd(model, loss)
    assert kept_bytes(told, checkpointing=True) == pytest.approx(counted, rel=0.1)
    assert counted < kept_bytes(told, checkpointing=False) / 4


@pytest.mark.parametrize("in_16_bits", [False, True], ids=["float32", "autocast"])
def test_attention_dropout_keeps_tables_of_pairs_on_a_processor(in_16_bits):
    spec = spec_of("encoder", "full", attention=0.1)
    model = wide_encoder("bert", attention_probs_dropout_prob=0.1).train()
    inputs = batch()

    def loss():
        with torch.autocast("cpu", torch.bfloat16, enabled=in_16_bits):
            model(**inputs).logits.float().sum()

    told = as_told(model.config, spec, 2 if in_16_bits else 4, 4)
    check(kept_bytes(told, checkpointing=False), kept_by_autograd(model, loss))


def in_4_bits(model: nn.Module, kind: torch.dtype) -> None:
    """What loading with a BitsAndBytesConfig does to the layers."""
    for name, linear in list(model.named_modules()):
        if isinstance(linear, nn.Linear) and name != "lm_head":
            packed = Linear4bit(linear.in_features, linear.out_features, bias=False, compute_dtype=kind)
            packed.weight = Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
            packed = packed.to("cpu")
            packed.support_avx512bf16_for_cpu = False
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, packed)


def language_model(spec: ModelSpec, kind: torch.dtype):
    model = small_llama(hidden_size=128, intermediate_size=352, num_attention_heads=4, num_key_value_heads=2)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding) or "RMSNorm" in type(module).__name__:
            module.to(kind)
    if spec.method == "qlora":
        in_4_bits(model, kind)
        model.is_loaded_in_4bit = True
    if spec.method == "full":
        return model.train()
    lora = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=spec.lora.rank,
        lora_dropout=spec.lora.dropout,
        target_modules=list(spec.lora.target_modules) or "all-linear",
    )
    return get_peft_model(model, lora).train()


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (spec_of("causal", "full"), torch.float32),
        (spec_of("causal", "lora"), torch.float32),
        (spec_of("causal", "lora", dropout=0.1), torch.float32),
        (spec_of("causal", "qlora", dropout=0.1), torch.float32),
        (spec_of("causal", "lora", targets=("q_proj", "v_proj")), torch.float32),
        (spec_of("causal", "lora"), torch.bfloat16),
        (spec_of("causal", "lora", dropout=0.1), torch.bfloat16),
        (spec_of("causal", "qlora", dropout=0.1), torch.bfloat16),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["all", "checkpointing"])
def test_what_a_language_model_keeps(spec, kind, checkpointing):
    model = language_model(spec, kind)
    if checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    inner = model if spec.method == "full" else model.get_base_model()
    inputs = batch()
    labels = inputs["input_ids"].clone()
    labels[:, :-ANSWER] = -100
    vocabulary = model.config.vocab_size

    def loss():
        with torch.autocast("cpu", torch.bfloat16, enabled=kind is torch.bfloat16):
            answer_token_loss(inner, **inputs, labels=labels, tokens=None)

    number = 2 if kind is torch.bfloat16 else 4
    told = kept_bytes(as_told(model.config, spec, number, number), checkpointing=checkpointing)
    # Of the answers' tokens their shares of the vocabulary are kept.
    logits = ROWS * ANSWER * vocabulary * 4
    counted = kept_by_autograd(model, loss)
    assert told + logits == pytest.approx(counted, rel=0.1 if checkpointing else 0.05)
