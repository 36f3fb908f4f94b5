"""Small tokenizers of the kinds that LLMs have, trained on the questions of TREC, with the chat templates of theirs."""

import csv
import json
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

PROJECT = Path(__file__).resolve().parents[1]
DATA_FOLDERS = (PROJECT.parent / "shared" / "data", PROJECT / ".gpu" / "data")
"""Where the real data sets lie; the second is what was brought along to a machine without the first."""


def data_folder() -> Path:
    return next((folder for folder in DATA_FOLDERS if folder.is_dir()), DATA_FOLDERS[0])


LLAMA_3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ANSWER + eos_token}}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
MISTRAL = _MISTRAL.replace("ANSWER", "' ' + message['content']")
MISTRAL_OLD = _MISTRAL.replace("ANSWER", "message['content']")
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_LLAMA_3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA_3_CONTROL = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<|im_start|>", "<|im_end|>",
)  # fmt: skip


@cache
def questions() -> tuple[str, ...]:
    with (data_folder() / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        return tuple(row["text"] for row in csv.DictReader(file))


@cache
def _llama_3_json(texts: tuple[str, ...]) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LLAMA_3_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _LLAMA_3_CONTROL])
    begin = "<|begin_of_text|>"
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]),
        ]
    )
    return tokenizer.to_str()


@cache
def _mistral_json(legacy: bool, texts: tuple[str, ...]) -> str:
    """Sentencepiece's way: blanks are part of tokens, bytes for what is unknown. `legacy`: as Mistral-7B-v0.1 and 0.2
    keep it, a normalizer that puts a blank before every text; else the one that does so at the very start alone."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    control = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=1500, show_progress=False, special_tokens=control + [f"<0x{byte:02X}>" for byte in range(256)]
    )
    tokenizer.train_from_iterator(texts, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in control]
    if legacy:
        content["pre_tokenizer"] = None
        content["normalizer"] = {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        }
    else:
        content["pre_tokenizer"]["split"] = False
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer.to_str()


def llama_3_tokens(texts: tuple[str, ...] = ()) -> Tokenizer:
    """Trained on `texts`, else on the questions."""
    return Tokenizer.from_str(_llama_3_json(texts or questions()))


def mistral_tokens(legacy: bool = True, texts: tuple[str, ...] = ()) -> Tokenizer:
    return Tokenizer.from_str(_mistral_json(legacy, texts or questions()))


LLAMA_3_SPECIAL = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
LLAMA_3_BASE_SPECIAL = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
CHATML_SPECIAL = {"eos_token": "<|im_end|>"}
MISTRAL_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def kinds() -> dict[str, tuple[Tokenizer, str | None, dict[str, str]]]:
    """Tokenizer, chat template, special tokens of each kind of model."""
    return {
        "llama-3": (llama_3_tokens(), LLAMA_3, LLAMA_3_SPECIAL),
        "llama-3 base": (llama_3_tokens(), None, LLAMA_3_BASE_SPECIAL),
        "chatml": (llama_3_tokens(), CHATML, CHATML_SPECIAL),
        "mistral": (mistral_tokens(), MISTRAL, MISTRAL_SPECIAL),
        "mistral, no blank": (mistral_tokens(), MISTRAL_OLD, MISTRAL_SPECIAL),
        "mistral, newer tokenizer": (mistral_tokens(legacy=False), MISTRAL, MISTRAL_SPECIAL),
        "mistral base": (mistral_tokens(), None, MISTRAL_SPECIAL),
    }


KINDS = (
    "llama-3", "llama-3 base", "chatml", "mistral", "mistral, no blank", "mistral, newer tokenizer", "mistral base"
)  # fmt: skip
