"""A model of the true shape of Llama-3.2-1B, Llama-3.2-3B or Mistral-7B with random weights, as a folder.

Speed and memory do not depend on the values of the weights. The tokenizer is a small one, trained on given texts; the
model's vocabulary is as large as the real one all the same.
"""

import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from tests.small_tokenizers import (
    LLAMA_3,
    LLAMA_3_SPECIAL,
    MISTRAL,
    MISTRAL_SPECIAL,
    llama_3_tokens,
    mistral_tokens,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SHARD_BYTES = 2 * 2**30
TINY_SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 2048,
}
LLAMA_3B = {
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
LLAMA_1B = LLAMA_3B | {
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "head_dim": 64,
}
MISTRAL_7B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "sliding_window": None,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
}


def write_model(name: str, folder: Path, texts: tuple[str, ...], *, tiny: bool) -> int:
    """Config, weights in bfloat16 and tokenizer of `1b`, `3b` or `7b`, as a model of the hub has them. Returns the
    number of its parameters. `tiny`: two narrow layers, to try the benchmark itself.
    """
    from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

    tokenizer = _mistral_tokenizer(texts) if name == "7b" else _llama_tokenizer(texts)
    kind, shape = (MistralConfig, MISTRAL_7B) if name == "7b" else (LlamaConfig, LLAMA_1B if name == "1b" else LLAMA_3B)
    config = kind(
        **{**shape, **(TINY_SHAPE if tiny else {})},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.architectures = [type(model).__name__]
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    total = _write_weights(folder, shapes)
    tokenizer.save_pretrained(folder)
    config.save_pretrained(folder)  # last: a folder with a config is whole
    return total


def _mistral_tokenizer(texts: tuple[str, ...]) -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    tokens = mistral_tokens(texts=texts)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<unk>", **MISTRAL_SPECIAL)
    tokenizer.chat_template = MISTRAL
    return tokenizer


def _llama_tokenizer(texts: tuple[str, ...]) -> "PreTrainedTokenizerFast":
    """With the token for padding that Llama 3.2 has."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=llama_3_tokens(texts), **LLAMA_3_SPECIAL)
    tokenizer.chat_template = LLAMA_3
    tokenizer.add_special_tokens({"pad_token": "<|finetune_right_pad_id|>"})
    return tokenizer


def _write_weights(folder: Path, shapes: dict[str, torch.Size]) -> int:
    """Weights made one by one on the GPU where there is one, in files of SHARD_BYTES. Returns how many numbers."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(0)
    where: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    numbers = count(1)

    def flush() -> None:
        name = f"model-{next(numbers):05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        where.update(dict.fromkeys(shard, name))
        shard.clear()

    for name, shape in shapes.items():
        if len(shape) == 1:
            shard[name] = torch.ones(shape, dtype=torch.bfloat16)
        else:
            values = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(0, 0.02, generator=generator)
            shard[name] = values.cpu()
        if sum(tensor.nbytes for tensor in shard.values()) > SHARD_BYTES:
            flush()
    if shard:
        flush()
    total = sum(shape.numel() for shape in shapes.values())
    index = {"metadata": {"total_size": 2 * total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return total
