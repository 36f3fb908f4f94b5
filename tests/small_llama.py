"""A Llama of about two million parameters with random weights, as a folder: what language-model tests train."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.small_tokenizers import LLAMA_3, LLAMA_3_SPECIAL, llama_3_tokens


def small_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=llama_3_tokens(), **LLAMA_3_SPECIAL)
    tokenizer.chat_template = LLAMA_3
    return tokenizer


def small_llama(seed: int = 0, **changes: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    tokenizer = small_tokenizer()
    values = {
        "vocab_size": len(tokenizer),
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return LlamaForCausalLM(LlamaConfig(**{**values, **changes}))


def write_small_llama(folder: Path, seed: int = 0, **changes: int) -> Path:
    """Config, weights, tokenizer and chat template, as a hub model has them."""
    small_llama(seed, **changes).save_pretrained(folder)
    small_tokenizer().save_pretrained(folder)
    return folder
