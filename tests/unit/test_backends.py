"""Which library trains a language model, and in which number format, as far as that can be told without a GPU."""

import sys
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    Phi3Config,
    Phi3ForCausalLM,
    TrainingArguments,
)

from core.errors import UserError
from core.models import causal
from core.models.causal import Backend, BackendRefusedError, choose_backend, with_adapter
from core.models.device import evaluation_format
from core.runs.causes import GPU_MEMORY, cause_in_words
from core.spec_files import parse_spec
from core.training import backends
from core.training.failures import short_memory
from core.training.trainers import keep_to_one_gpu


def spec_of(method="qlora", precision="auto", train_embeddings=False, double_quantization=True, target_modules=()):
    return parse_spec(
        {
            "name": "questions",
            "data": {"train": {"path": "/data/questions.csv"}},
            "mapping": {"text": ["text"], "label": "label"},
            "model": {
                "source": "/models/llama", "family": "causal", "method": method,
                "double_quantization": double_quantization,
                "lora": {"train_embeddings": train_embeddings, "target_modules": target_modules},
            },
            "training": {"precision": precision},
        },
        "the test",
    )  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [
        {"method": "full"}, {"method": "head-on-llm"}, {"precision": "bfloat16"}, {"train_embeddings": True},
        {"double_quantization": False}, {"target_modules": ("q_proj", "embed_tokens")},
    ],
)  # fmt: skip
def test_what_unsloth_would_do_otherwise_is_left_to_transformers(monkeypatch, told):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backends, "_unsloth_is_installed", lambda: True)
    spec = spec_of(**told)
    chosen = choose_backend(spec.model, spec.training)
    assert chosen.name == "transformers" and chosen.reason
    assert not backends.uses_unsloth(spec, "cuda")
    assert backends.uses_unsloth(spec_of(), "cuda")


class FastLanguageModel:
    """Unsloth's, as far as it is asked here: gives or raises what it holds."""

    given = None

    @classmethod
    def from_pretrained(cls, **_):
        if isinstance(cls.given, Exception):
            raise cls.given
        return cls.given, None

    @classmethod
    def get_peft_model(cls, model, target_modules, **_):
        raise RuntimeError(f"No layers to finetune? {target_modules}")


@pytest.fixture
def unsloth(monkeypatch):
    monkeypatch.setitem(sys.modules, "unsloth", SimpleNamespace(FastLanguageModel=FastLanguageModel))
    yield FastLanguageModel
    FastLanguageModel.given = None


@pytest.mark.parametrize(
    ("given", "raised", "words"),
    [
        (ValueError("Unsloth: x does not fit in GPU memory, so"), torch.OutOfMemoryError, "does not fit"),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError, "out of memory"),
        (ImportError("no such kernel"), BackendRefusedError, "no such kernel"),
        (TypeError("unexpected argument"), BackendRefusedError, "unexpected argument"),
        ("phi", BackendRefusedError, "some linear layers"),
        ("classifier", BackendRefusedError, "LlamaForSequenceClassification"),
        ("llama", None, ""),
    ],
    ids=str,
)
def test_what_unsloth_does_not_take_is_trained_without_it(unsloth, given, raised, words):
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    models = {
        "phi": lambda: Phi3ForCausalLM(Phi3Config(**shape, num_key_value_heads=2, vocab_size=100, pad_token_id=0)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**shape, vocab_size=100)),
        "classifier": lambda: LlamaForSequenceClassification(LlamaConfig(**shape, vocab_size=100)),
    }
    unsloth.given = models[given]() if isinstance(given, str) else given
    spec = spec_of()
    if raised is None:
        model = causal._from_unsloth(spec.model, "folder", 64)
        with pytest.raises(BackendRefusedError, match=r"No layers to finetune\? \['q_proj'"):
            with_adapter(model, spec.model, spec.training, Backend("unsloth", ""))
        return
    with pytest.raises(raised, match=words):
        causal._from_unsloth(spec.model, "folder", 64)


def test_the_output_layer_gets_no_adapter():
    spec = spec_of(target_modules=("q_proj", "lm_head"))
    with pytest.raises(UserError, match="lm_head cannot get an adapter"):
        choose_backend(spec.model, spec.training)


def test_a_run_stays_on_one_gpu(tmp_path):
    for seen, used in ((0, 0), (1, 1), (4, 1)):
        arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
        arguments._n_gpu = seen
        keep_to_one_gpu(arguments)
        assert arguments.n_gpu == used


def test_a_new_head_learns_in_float32_among_layers_of_16_bits():
    config = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        vocab_size=200, num_labels=3, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config).to(torch.bfloat16)
    spec = spec_of("head-on-llm")
    adapted = with_adapter(model, spec.model, spec.training, Backend("transformers", "a test"))
    learning = {name: weight.dtype for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert any("score" in name for name in learning)
    assert set(learning.values()) == {torch.float32}
    ids = torch.randint(1, 200, (4, 12))
    adapted.eval()
    with torch.autocast("cpu", torch.bfloat16):
        expected = adapted(input_ids=ids).logits
    torch.testing.assert_close(adapted(input_ids=ids).logits.float(), expected.float(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "words", ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"]
)
def test_a_full_gpu_is_known_by_the_words_of_cuda_too(words):
    assert short_memory(RuntimeError(words)) == "GPU"
    told = cause_in_words(f"RuntimeError: {words}")
    assert told is not None and told.what == GPU_MEMORY


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_predictions_are_computed_in_the_precision_that_was_asked_for(monkeypatch):
    assert not evaluation_format(torch.device("cpu"), "float16")._enabled
    assert not evaluation_format(torch.device("cuda"), "float32")._enabled
    for has_bfloat16, precision, dtype in (
        (True, "auto", torch.bfloat16), (False, "auto", torch.float16), (True, "float16", torch.float16),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has_bfloat16, **_: has)
        assert evaluation_format(torch.device("cuda"), precision).fast_dtype == dtype
