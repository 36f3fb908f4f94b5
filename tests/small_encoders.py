"""Tiny encoders of the true architectures, with random weights, and rows of random tokens for them."""

import copy

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from core.models.neobert import NeoBERTConfig
from core.models.tokens import TokenRows

SMALL = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
CONFIGS = {
    "bert": BertConfig(**SMALL),
    "roberta": RobertaConfig(**SMALL, pad_token_id=0),
    "xlm-roberta": XLMRobertaConfig(**SMALL, pad_token_id=0),
    "distilbert": DistilBertConfig(vocab_size=60, dim=32, n_layers=4, n_heads=2, hidden_dim=64),
    "modernbert": ModernBertConfig(**SMALL, pad_token_id=0, local_attention=4, global_attn_every_n_layers=2),
    "neobert": NeoBERTConfig(**SMALL),
}
"""Tiny models of the true architectures; dropout as they come with it."""


def small(kind, classes=3):
    torch.manual_seed(1)
    config = copy.deepcopy(CONFIGS[kind])
    config.num_labels = classes
    return AutoModelForSequenceClassification.from_config(config)


def token_rows(rows=40, seed=0, classes=3):
    random = np.random.default_rng(seed)
    lengths = random.integers(3, 12, rows)
    flat = random.integers(5, 60, int(lengths.sum())).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenRows(flat, offsets, random.integers(0, classes, rows))


def parts():
    return {"train": token_rows(40, 0), "validation": token_rows(12, 1), "test": token_rows(9, 2)}


def tokenizer():
    words = {"[PAD]": 0} | {str(number): number for number in range(1, 60)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, "1")), pad_token="[PAD]")


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(vars(module).get("attention_dropout"), float):
            module.attention_dropout = 0.0
