"""A model's tokenizer and chat template, read from its files and used without torch or transformers.

The chat template is a program that comes with a model. It is rendered as transformers renders it (`apply_chat_template`
in transformers/utils/chat_template_utils.py), in Jinja's sandbox, and held to a number of steps and a size besides.
"""

import functools
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from tokenizers import Tokenizer

from core.errors import UserError

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

MOST_STEPS = 200_000
"""Lines of the template that one rendering may run; a conversation of 1,000 messages needs about 20,000."""
MOST_CHARACTERS = 8_000_000
"""Longest rendered text, and longest text a template may build on its way there."""
MOST_WORK = 100_000_000
"""Largest product of two sizes in one operation of a template, such as `text * count`."""
MOST_TEMPLATE_CHARACTERS = 400_000

_WIDTH = re.compile(r"\d{5,}")
_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_TEMPLATE_FAULTS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What the code of a template can raise."""


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
        tokens = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        config = _read_json(folder / "tokenizer_config.json")
        special = {**_read_json(folder / "special_tokens_map.json"), **config}
    except Exception as error:  # noqa: BLE001  the tokenizers library raises nothing narrower
        raise UserError(
            f"The tokenizer of {folder.name} cannot be read ({error}).", "model.source", "Download the model again."
        ) from error
    names = {name: _token_text(special[name]) for name in _SPECIAL_TOKENS if special.get(name)}
    return model_tokenizer(tokens, _chat_template(folder, config), names)


def model_tokenizer(tokens: Tokenizer, chat_template: str | None, special: Mapping[str, str]) -> ModelTokenizer:
    """In a worker: `model_tokenizer(t.backend_tokenizer, t.get_chat_template() if it has one else None,
    t.special_tokens_map)` for a transformers tokenizer t, which gives the same ids by the same code.

    Raises UserError where no end token is named.
    """
    tokens = Tokenizer.from_str(tokens.to_str())  # a copy: padding and truncation of the given one stay as they are
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
        template = _compiled(tokenizer.chat_template)
        return _watched(
            template,
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
            f"The model's chat template was stopped: {error}.",
            "model.source",
            "Do not use this model's template: choose another model, or the raw template.",
        ) from error
    except _TEMPLATE_FAULTS as error:
        raise UserError(
            f"The model's chat template cannot render these messages: {error}.",
            "prompt.template",
            "Follow what it asks for (some take no system part, or want user and assistant by turns), or use the raw "
            "template.",
        ) from error


def _watched(template: jinja2.Template, values: dict[str, Any]) -> str:
    """Render with a step count: a loop that prints nothing is not seen by the size of what it prints."""
    left = MOST_STEPS

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != "<template>":
            return None
        left -= 1
        if left < 0:
            raise SecurityError(f"it ran for more than {MOST_STEPS:,} steps")
        if any(isinstance(value, str) and len(value) > MOST_CHARACTERS for value in frame.f_locals.values()):
            raise SecurityError(f"it built a text of more than {MOST_CHARACTERS:,} characters")
        return watch

    pieces: list[str] = []
    size = 0
    before = sys.gettrace()
    sys.settrace(watch)
    try:
        for piece in template.generate(values):
            size += len(piece)
            if size > MOST_CHARACTERS:
                raise SecurityError(f"it printed more than {MOST_CHARACTERS:,} characters")
            pieces.append(piece)
    finally:
        sys.settrace(before)
    return "".join(pieces)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which guards what a template reaches, and a bound on what one operation costs."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _check_work(left, right, is_format=operator == "%")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  as in Jinja
        receiver = __obj.__self__ if isinstance(__obj, _BOUND_METHOD) else None
        _check_work(receiver, *args, *kwargs.values(), is_format=isinstance(receiver, str))
        return super().call(__context, __obj, *args, **kwargs)


_BOUND_METHOD = (type("".join),)


def _check_work(*values: Any, is_format: bool = False) -> None:
    """Raises SecurityError for an operation whose result or effort could be out of all proportion."""
    sizes = sorted((_size(value) for value in values), reverse=True)
    formats = is_format and any(isinstance(value, str) and _WIDTH.search(value) for value in values[:1])
    if len(sizes) > 1 and sizes[0] * sizes[1] > MOST_WORK or formats:
        raise SecurityError("one of its operations would make something of enormous size")


def _size(value: Any) -> int:
    if isinstance(value, int):
        return abs(value) + 1
    return len(value) + 1 if isinstance(value, str | list | tuple | dict) else 1


def _bounded(filter_function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(filter_function)  # keeps Jinja's mark of what it wants passed
    def checked(*args: Any, **kwargs: Any) -> Any:
        _check_work(*args, *kwargs.values())
        return filter_function(*args, **kwargs)

    return checked


class _GenerationBlock(Extension):
    """`{% generation %}`: transformers' mark around answers. Its content is printed; the mark is not needed here."""

    tags = {"generation"}  # noqa: RUF012  Jinja's own form

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_content"), [], [], body).set_lineno(line)

    def _content(self, caller: Callable[[], str]) -> str:
        return caller()


@functools.lru_cache(maxsize=32)
def _compiled(source: str) -> jinja2.Template:
    if len(source) > MOST_TEMPLATE_CHARACTERS:
        raise SecurityError(f"it is longer than {MOST_TEMPLATE_CHARACTERS:,} characters")
    # Optimised templates compute constants while they are compiled, before anything watches.
    environment = _Sandbox(
        trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.filters = {name: _bounded(function) for name, function in environment.filters.items()}
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


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
