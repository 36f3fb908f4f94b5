"""Conversations to learn from: rows with instruction and response columns, with `messages`, or in ShareGPT's form.

Loss falls on what the assistant says, in every turn, and on the end of each of its turns; nothing else.
"""

import itertools
import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from core.chat_templates import ModelTokenizer, render
from core.errors import UserError
from core.prompt_rows import Example
from core.schema import ChatColumns

_INSTRUCTION = ("instruction", "prompt", "question", "query")
_INPUT = ("input", "context")
_RESPONSE = ("response", "output", "completion", "answer")
_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "ipython": "tool",
}
"""Roles as data sets write them -> as chat templates know them. A call the assistant makes is something it says."""


_MARK = "\ue000\ue001"


class NoConversationError(UserError):
    """A row that is no conversation; `why` says it without the row's number."""

    def __init__(self, number: int, why: str) -> None:
        where = f"row {number + 1}"
        super().__init__(f"Row {number + 1} is not a conversation: {why}.", where, "Correct the row, or leave it out.")
        self.why = why


@dataclass(frozen=True)
class Conversation:
    messages: tuple[Mapping[str, str], ...]
    """{"role": system, user, assistant or tool, "content": text without white space around it}; an answer last."""
    tools: tuple[Mapping[str, Any], ...] = ()


def suggest_chat_columns(columns: Sequence[str]) -> ChatColumns | None:
    """The form that the names of the columns tell, or None where they do not look like conversations."""
    named = {column.casefold(): column for column in columns}
    system, tools = named.get("system"), named.get("tools")
    for name in ("messages", "conversations", "conversation"):
        if name in named:
            return ChatColumns(conversation=named[name], system=system, tools=tools)
    instruction = next((named[name] for name in _INSTRUCTION if name in named), None)
    response = next((named[name] for name in _RESPONSE if name in named), None)
    if instruction is None or response is None:
        return None
    extra = next((named[name] for name in _INPUT if name in named), None)
    return ChatColumns(instruction=instruction, input=extra, response=response, system=system)


def conversation(form: ChatColumns, row: Mapping[str, str | None], number: int) -> Conversation:
    """Read a row; cells are text, as a table has them, lists in them JSON. `number`: the row's, from 0, for errors.

    What stands after the last answer is left out: nothing can be learned from it. Raises NoConversationError for a row
    that is not a conversation or holds no answer.
    """
    messages = _listed(form, row, number) if form.conversation else _by_columns(form, row)
    system = _cell(row, form.system)
    if system and messages and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if not any(message["role"] == "assistant" and message["content"] for message in messages):
        raise NoConversationError(number, "it holds no answer to learn from")
    tools = _json_list(_cell(row, form.tools), form.tools, number) if _cell(row, form.tools) else []
    return Conversation(tuple(messages), tuple(tools))


def _by_columns(form: ChatColumns, row: Mapping[str, str | None]) -> list[dict[str, str]]:
    question = "\n\n".join(filter(None, (_cell(row, form.instruction), _cell(row, form.input))))
    return [{"role": "user", "content": question}, {"role": "assistant", "content": _cell(row, form.response)}]


def _listed(form: ChatColumns, row: Mapping[str, str | None], number: int) -> list[dict[str, str]]:
    messages = []
    for entry in _json_list(_cell(row, form.conversation), form.conversation, number):
        role = entry.get("role", entry.get("from"))
        content = entry.get("content", entry.get("value"))
        if not isinstance(role, str) or role not in _ROLES:
            raise NoConversationError(number, f"a message has the role {role!r:.60}; known are {', '.join(_ROLES)}")
        if not isinstance(content, str):
            raise NoConversationError(number, f"a message of role {role} holds no text")
        messages.append({"role": _ROLES[role], "content": content.strip()})
    return messages


def _json_list(text: str, column: str | None, number: int) -> list[dict[str, Any]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise NoConversationError(number, f"column '{column}' does not hold a list of messages")
    if "\\ud" in text.lower():  # half of a character, which no tokenizer and no file can hold
        return cast(
            list[dict[str, Any]], json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
        )
    return content


def _cell(row: Mapping[str, str | None], column: str | None) -> str:
    return (row[column] or "").strip() if column else ""


def encode_conversation(tokenizer: ModelTokenizer, talk: Conversation, max_length: int) -> Example | None:
    """Tokens of a conversation, id for id those of transformers' apply_chat_template, with loss on the answers.

    A conversation longer than `max_length` tokens loses whole turns from its end, never part of an answer; None where
    not even its first answer fits. Raises UserError where the chat template refuses the messages.
    """
    messages = list(talk.messages)
    while messages:
        example = _encode(tokenizer, messages, talk.tools)
        if len(example.ids) <= max_length:
            return example if any(example.learned) else None
        messages.pop()
        while messages and messages[-1]["role"] != "assistant":
            messages.pop()
    return None


def answer_prompt(
    tokenizer: ModelTokenizer, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, Any]] = ()
) -> list[int]:
    """Token ids of these messages and the beginning of an answer. Raises UserError where the template refuses them."""
    return tokenizer.ids(render(tokenizer, messages, tools or None, add_generation_prompt=True))


def _encode(
    tokenizer: ModelTokenizer, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, Any]]
) -> Example:
    text = render(tokenizer, messages, tools or None)
    encoding = tokenizer.encode(text)
    ids = list(encoding.ids)
    starts = [start for start, _ in encoding.offsets]
    learned = [False] * len(ids)
    ended = True
    for begin, end in _answer_spans(tokenizer, messages, tools, text):
        first, behind = bisect_left(starts, begin), bisect_left(starts, end)
        stop = next((index for index in range(behind, len(ids)) if ids[index] in tokenizer.special_ids), None)
        ended = stop is not None and not text[end : starts[stop]].strip()
        last = stop + 1 if ended and stop is not None else behind
        learned[first:last] = [True] * (last - first)
    if not ended:  # a template without an end to its turns
        ids, learned = [*ids, tokenizer.eos_id], [*learned, True]
    return Example(ids, learned)


def _answer_spans(
    tokenizer: ModelTokenizer,
    messages: Sequence[Mapping[str, str]],
    tools: Sequence[Mapping[str, Any]],
    text: str,
) -> list[tuple[int, int]]:
    """Where in the rendered text the answers stand, blanks before them included: (first character, behind the last).

    The same messages are rendered with marks for answers; what stands between the marks is the template's. A template
    that changes an answer (takes out its reasoning, say) leaves what it made of it.
    """
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    marked = [{**message, "content": _MARK} if message["role"] == "assistant" else message for message in messages]
    between = render(tokenizer, marked, tools or None).split(_MARK)
    spans = []
    begin = 0
    for piece, answer in zip(between, _printed(between, answers, text), strict=False):
        begin += len(piece)
        spans.append((begin - (len(piece) - len(piece.rstrip(" "))), begin + len(answer)))
        begin += len(answer)
    return spans


def _printed(between: Sequence[str], answers: Sequence[str], text: str) -> Sequence[str]:
    """The answers as they stand in the text between the template's own pieces."""
    if "".join(itertools.chain(*itertools.zip_longest(between, answers, fillvalue=""))) == text:
        return answers
    match = re.fullmatch("(.*?)".join(map(re.escape, between)), text, re.DOTALL)
    if match is None or len(between) != len(answers) + 1:
        raise UserError(
            "The model's chat template changes the answers, so it is not clear which tokens to learn.",
            "prompt.template",
            "Choose a model with another chat template.",
        )
    return match.groups()
