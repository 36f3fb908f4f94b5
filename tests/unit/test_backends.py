"""Which library trains a language model, and in which number format, as far as that can be told without a GPU."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from core.models.causal import Backend, choose_backend, with_adapter
from core.runs.causes import GPU_MEMORY, cause_in_words
from core.spec_files import parse_spec
from core.training import backends
from core.training.failures import short_memory


def spec_of(method="qlora", precision="auto", train_embeddings=False):
    return parse_spec(
        {
            "name": "questions",
            "data": {"train": {"path": "/data/questions.csv"}},
            "mapping": {"text": ["text"], "label": "label"},
            "model": {
                "source": "/models/llama", "family": "causal", "method": method,
                "lora": {"train_embeddings": train_embeddings},
            },
            "training": {"precision": precision},
        },
        "the test",
    )  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [{"method": "full"}, {"method": "head-on-llm"}, {"precision": "bfloat16"}, {"train_embeddings": True}],
)
def test_what_unsloth_would_do_otherwise_is_left_to_transformers(monkeypatch, told):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backends, "_unsloth_is_installed", lambda: True)
    spec = spec_of(**told)
    chosen = choose_backend(spec.model, spec.training)
    assert chosen.name == "transformers" and chosen.reason
    assert not backends.uses_unsloth(spec, "cuda")
    assert backends.uses_unsloth(spec_of(), "cuda")


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
