"""Jinja templates that came with a model, run so that they can do no harm: they are programs written by strangers.

Jinja's sandbox guards what a template can reach. What it does not guard is bounded here: steps, the size of what is
printed, and the size of what one operation makes. The environment is otherwise that of transformers
(utils/chat_template_utils.py), so that the same template gives the same text.
"""

import functools
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from types import BuiltinMethodType, FrameType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import do_format
from jinja2.parser import Parser
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_STEPS = 200_000
"""Lines of the template that one rendering may run; a conversation of 1,000 messages needs about 20,000."""
MOST_CHARACTERS = 8_000_000
"""Longest rendered text, and longest text that a template may add to."""
MOST_WORK = 100_000_000
"""Largest product of two sizes in one operation of a template, such as `text * count`."""
MOST_TEMPLATE_CHARACTERS = 400_000

_MULTIPLYING = ("replace", "join", "do_replace", "do_join")
"""Methods and filters that put one text into another many times."""
_WIDTH = re.compile(r"\d{5,}")
TEMPLATE_FAULTS = (
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


def render_template(source: str, values: dict[str, Any]) -> str:
    """The text that a template prints for these values.

    Raises SecurityError where it tries what the sandbox forbids or does too much, else one of TEMPLATE_FAULTS.
    """
    template = _compiled(source)
    # Counted, because a loop that prints nothing is not seen by the size of what it prints.
    left = MOST_STEPS

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != "<template>":
            return None
        left -= 1
        if left < 0:
            raise SecurityError(f"it ran for more than {MOST_STEPS:,} steps")
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

    intercepted_binops = frozenset(["*", "**", "%", "+"])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _ThroughFilters().visit(super()._parse(source, name, filename))
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%":
            _check_format(left)
        elif operator != "+":
            _check_work(left, right, multiplies=True)
        result = super().call_binop(context, operator, left, right)
        return _within(result) if isinstance(result, str) else result

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  as in Jinja
        is_method = isinstance(__obj, BuiltinMethodType)
        receiver = (__obj.__self__,) if is_method else ()
        _check_work(*receiver, *args, *kwargs.values(), multiplies=is_method and __obj.__name__ in _MULTIPLYING)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped


class _ThroughFilters(NodeTransformer):
    """Texts put together by `~` and `{% set %}` blocks pass a filter, and so the bound on filters."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802  the visitor's own naming
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), "as_text", [], [], None, None).set_lineno(node.lineno)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.filter is None:
            node.filter = nodes.Filter(None, "bounded", [], [], None, None)
            node.filter.set_lineno(node.lineno)
        return node


def _as_text(values: list[Any]) -> str:
    return "".join(_within(str(value)) for value in values)


def _within(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        raise SecurityError(f"it built a text of more than {MOST_CHARACTERS:,} characters")
    return text


def _check_work(*values: Any, multiplies: bool = False) -> None:
    """Raises SecurityError for an operation whose result or effort could be out of all proportion.

    A number may be how often something is repeated; where the operation multiplies, so may every other size.
    """
    counts = sorted(abs(value) for value in values if isinstance(value, int))[-2:]
    sizes = sorted(_size(value) for value in values if not isinstance(value, int))[-2:]
    factors = sorted([*counts, *sizes])[-2:] if multiplies else [*counts[-1:], *sizes[-1:]]
    if math.prod(factors) > MOST_WORK:
        raise SecurityError("one of its operations would make something of enormous size")


def _check_format(form: Any) -> None:
    if isinstance(form, str) and _WIDTH.search(form):
        raise SecurityError("it asks for a text of enormous width")


def _size(value: Any) -> int:
    if isinstance(value, Iterator):
        return MAX_RANGE
    return len(value) if isinstance(value, str | list | tuple | dict | range) else 1


def _bounded(filter_function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(filter_function)  # keeps Jinja's mark of what it wants passed
    def checked(*args: Any, **kwargs: Any) -> Any:
        _check_work(*args, *kwargs.values(), multiplies=filter_function.__name__ in _MULTIPLYING)
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
    environment.filters["as_text"] = _as_text
    environment.filters["bounded"] = _within
    environment.filters["format"] = _format
    environment.filters = {name: _bounded(function) for name, function in environment.filters.items()}
    del environment.globals["lipsum"]
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)


def _format(form: str, *args: Any, **kwargs: Any) -> str:
    _check_format(form)
    return do_format(form, *args, **kwargs)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)
