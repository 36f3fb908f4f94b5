"""A model's tokenizer and chat template, read from its files and used without torch or transformers."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2.exceptions import SecurityError
from tokenizers import Encoding, Tokenizer

from core.errors import UserError
from core.template_sandbox import TEMPLATE_FAULTS, render_template

FALLBACK_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content | trim }}\n\n"
    "{% elif message.role == 'assistant' %}### Answer:\n{{ message.content | trim }}{{ eos_token }}\n\n"
    "{% elif message.role == 'tool' %}### Result:\n{{ message.content | trim }}\n\n"
    "{% else %}### Question:\n{{ message.content | trim }}\n\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}### Answer:\n{% endif %}"
)
"""For a base model without a template of its own, such as unsloth/Llama-3.2-3B: headings in plain words, which need no
new tokens. Whoever saves a model trained with it writes it into the tokenizer, so that others see the same text."""

_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class ModelTokenizer:
    """What turns messages into token ids."""

    tokens: Tokenizer
    chat_template: str
    """Jinja. FALLBACK_TEMPLATE where the model has none."""
    has_own_template: bool
    special: Mapping[str, str]
    """Named special tokens as templates see them: bos_token, eos_token ..."""
    prefix: tuple[int, ...]
    """Tokens that the tokenizer puts before a plain text, such as the beginning-of-text token."""
    eos_id: int

    @functools.cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of the control tokens, such as the end of a turn."""
        return frozenset(index for index, token in self.tokens.get_added_tokens_decoder().items() if token.special)

    @functools.cached_property
    def longest_token(self) -> int:
        """Characters of the longest token: a text of more than this times N characters has more than N tokens."""
        return max(map(len, self.tokens.get_vocab(with_added_tokens=True)))

    def ids(self, text: str) -> list[int]:
        """Token ids of a text; control tokens written in it count, none are added."""
        return self.encode(text).ids

    def encode(self, text: str) -> Encoding:
        return self.tokens.encode(text, add_special_tokens=False)


def read_model_tokenizer(folder: Path) -> ModelTokenizer:
    """From tokenizer.json, tokenizer_config.json and chat_template.jinja in a model's folder.

    Raises UserError where tokenizer.json is missing or cannot be read, or no end token is named.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(
            f"{folder.name} has no tokenizer.json.",
            "model.source",
            "Choose a model with a fast tokenizer, or save one: AutoTokenizer.from_pretrained(M).save_pretrained(M).",
        )
    try:
        content = path.read_text(encoding="utf-8")
        json.loads(content)  # the tokenizers library has no error of its own to catch
        config = _read_json(folder / "tokenizer_config.json")
        special = {**_read_json(folder / "special_tokens_map.json"), **config}
    except (OSError, ValueError) as error:
        raise UserError(
            f"The tokenizer of {folder.name} cannot be read ({error}).", "model.source", "Download the model again."
        ) from error
    names = {name: _token_text(special[name]) for name in _SPECIAL_TOKENS if special.get(name)}
    return model_tokenizer(Tokenizer.from_str(content), _chat_template(folder, config), names)


def model_tokenizer(tokens: Tokenizer, chat_template: str | None, special: Mapping[str, str]) -> ModelTokenizer:
    """In a worker: `model_tokenizer(t.backend_tokenizer, t.get_chat_template() if it has one else None,
    t.special_tokens_map)` for a transformers tokenizer t, which gives the same ids by the same code. Padding and
    truncation of `tokens` are switched off; transformers sets them anew in each call.

    Raises UserError where no end token is named.
    """
    tokens.no_padding()
    tokens.no_truncation()
    eos_id = tokens.token_to_id(special["eos_token"]) if "eos_token" in special else None
    if eos_id is None:
        raise UserError(
            "The model's tokenizer names no end token (eos_token), so an answer could never end.",
            "model.source",
            "Choose another model, or add eos_token to its tokenizer_config.json.",
        )
    probe = tokens.encode("x", add_special_tokens=True)
    first = probe.special_tokens_mask.index(0)
    return ModelTokenizer(
        tokens, chat_template or FALLBACK_TEMPLATE, bool(chat_template), dict(special), tuple(probe.ids[:first]), eos_id
    )


def render(
    tokenizer: ModelTokenizer,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = False,
) -> str:
    """The text of these messages (role, content), as transformers' apply_chat_template gives it.

    Raises UserError where the template refuses them, is faulty, tries what the sandbox forbids, or does too much.
    """
    try:
        return render_template(
            tokenizer.chat_template,
            {
                **tokenizer.special,
                "messages": list(messages),
                "tools": tools,
                "documents": None,
                "add_generation_prompt": add_generation_prompt,
            },
        )
    except SecurityError as error:
        raise UserError(
            f"The model's chat template was stopped: {_sentence(error)}",
            "model.source",
            "Do not use this model's template: choose another model, or the raw template.",
        ) from error
    except TEMPLATE_FAULTS as error:
        raise UserError(
            f"The model's chat template cannot render these messages: {_sentence(error)}",
            "prompt.template",
            "Follow what it asks for (some take no system part, or want user and assistant by turns), or use the raw "
            "template.",
        ) from error


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".") + "."


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _token_text(token: str | dict[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    """chat_template.jinja, or the one in tokenizer_config.json; of several, the default one."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        return {entry["name"]: entry["template"] for entry in template}.get("default")
    return template
