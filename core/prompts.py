"""Prompts for models that answer in words: from a row to what the model reads, and which of its tokens it learns from.

How a row becomes tokens. The templates of a PromptSpec are filled in and put into the model's chat template once, with
marks in place of a row's values; a row then only fills the marks, so no value is ever read as a template.

Where the answer begins. Prompt and answer are tokenised apart and put together, so that a label is the same tokens in
every row, in training, in scoring and in prediction, and scoring can hold all labels in one tree. Blanks at the end of
the prompt belong to the answer, as tokenizers put a blank into the token that follows it. The answer is tokenised
behind the fixed text that stands before it and that text's tokens are taken off again, so that tokenizers which mark
the start of a text do not mark the start of the answer; only where a token would reach across the border is the answer
tokenised by itself. For Llama-3, Mistral and ChatML templates the result is, id for id, that of transformers'
apply_chat_template on the whole conversation.

What is learned. The answer's tokens and its end: all up to the first control token behind it, or the model's end token
where the template has none there. What a template prints after that (a line break) is read but not learned.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.chat_templates import ModelTokenizer, render
from core.errors import UserError
from core.schema import PromptSpec


@dataclass(frozen=True)
class Slot:
    """A place in a prompt for a row's value."""

    name: str
    """`text`, or a column."""


@dataclass(frozen=True)
class Answer:
    """A label as the model gives it."""

    label: str
    ids: tuple[int, ...]
    """What is learned and scored: the answer's tokens and its end. No two labels have the same."""
    rest: tuple[int, ...]
    """What the chat template prints after the end; carries no loss."""
    pieces: tuple[str, ...]
    """The text of each of `ids`; a character made of several tokens stands at the last."""


@dataclass(frozen=True)
class Prompt:
    """A PromptSpec made ready for one model and one set of labels."""

    tokenizer: ModelTokenizer
    parts: tuple[str | Slot, ...]
    """All up to the answer."""
    answers: tuple[Answer, ...]
    """In the order of the labels."""
    prefix: tuple[int, ...]
    """Tokens before the text: the beginning-of-text token of a raw prompt; a chat template writes its own."""
    max_length: int
    """Tokens of prompt and answer together."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row must have: `text` and columns, in the order in which they stand in the prompt."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Slot)))

    @property
    def room(self) -> int:
        """Tokens for the prompt, so that the longest answer still fits: a row is cut alike whatever its label."""
        return self.max_length - len(self.prefix) - max(len(answer.ids) + len(answer.rest) for answer in self.answers)


_BRACES = re.compile(r"\{\{(?P<literal>[^{}\n]*)\}\}|\{(?P<name>[^{}\n]*)\}")
_LIKE_A_NAME = re.compile(r"\s*[^\W\d][\w .-]*")
_MARK = re.compile("\ue000([^\ue001]*)\ue001")
_ANSWER = "\ue000\ue001"
"""Private-use characters, which no chat template prints by itself."""


def prompt_problems(spec: PromptSpec, columns: Sequence[str], label_column: str) -> list[UserError]:
    """Everything wrong with the templates themselves; `where` is the field. `columns`: all of the table."""
    problems = []
    known = {"text", "labels", *columns}
    fields = {"system": spec.system, "user": spec.user}
    for field, template in fields.items():
        names = _names(template)
        may = known | ({"system"} if (field, spec.template) == ("user", "raw") else set())
        problems += [_leak(field, name) for name in names if name in {"label", label_column} - {"text", "labels"}]
        usable = may - ({label_column} - {"text", "labels"})
        problems += [
            _unknown(field, name, usable) for name in names if name not in may | {"label"} and _looks_meant(name)
        ]
    shown = [name for template in fields.values() for name in _names(template) if name in known - {"labels"}]
    if not shown:
        problems.append(_problem("user", "The prompt shows the model nothing of the row.", "Write {text} into it."))
    if shown.count("text") > 1:
        problems.append(
            _problem("user", "{text} stands in the prompt more than once.", "Keep one: it is what is cut to fit.")
        )
    if spec.template == "raw" and spec.system.strip() and "system" not in _names(spec.user):
        problems.append(
            _problem(
                "system", "The raw template has no place for it.", "Write {system} into the user part, or empty it."
            )
        )
    return problems + _assistant_problems(spec, known)


def prompt_columns(spec: PromptSpec, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of the table that the prompt names, in the order in which it does; {text} is not one of them."""
    named = [name for template in (spec.system, spec.user) for name in _names(template)]
    return tuple(dict.fromkeys(name for name in named if name in columns and name not in ("text", "labels")))


def _assistant_problems(spec: PromptSpec, known: set[str]) -> list[UserError]:
    names = [name for name in _names(spec.assistant) if name in known | {"label"} or _looks_meant(name)]
    if names == ["label"]:
        return []
    if "label" not in names:
        return [_problem("assistant", "The answer does not hold the class.", "Write {label} into it.")]
    others = ", ".join(f"{{{name}}}" for name in names if name != "label") or "a second {label}"
    return [
        _problem(
            "assistant",
            f"The answer holds {others}, so it would differ between rows of one class.",
            "Keep {label} and fixed words.",
        )
    ]


def _problem(field: str, what: str, todo: str) -> UserError:
    return UserError(what, f"prompt.{field}", todo)


def _leak(field: str, name: str) -> UserError:
    return _problem(
        field,
        f"{{{name}}} in the {field} part gives the answer away: the model would learn to copy it.",
        "Take it out; the label belongs into the assistant part alone.",
    )


def _unknown(field: str, name: str, known: set[str]) -> UserError:
    return _problem(
        field,
        f"{{{name}}} is not a column of the data.",
        f"Use one of {', '.join(f'{{{other}}}' for other in sorted(known))}; for the word itself write {{{{{name}}}}}.",
    )


def _names(template: str) -> list[str]:
    return [match["name"] for match in _BRACES.finditer(template) if match["name"] is not None]


def _looks_meant(name: str) -> bool:
    """Whether braces around this were meant as a placeholder, not as JSON, a set or a formula."""
    return _LIKE_A_NAME.fullmatch(name) is not None


def build_prompt(
    spec: PromptSpec,
    tokenizer: ModelTokenizer,
    *,
    columns: Sequence[str],
    label_column: str,
    labels: Sequence[str],
    max_length: int,
) -> Prompt:
    """Make a prompt ready for a model. `columns`: all of the table; `labels`: the class names; `max_length`: tokens.

    Raises UserError for the first of prompt_problems, for what the chat template refuses or leaves out, for an answer
    that is no token or the same tokens as another, and for a prompt that is too long before any text is in it.
    """
    for problem in prompt_problems(spec, columns, label_column):
        raise problem
    names = {"text", *columns} - {label_column} | {"text"}
    listed = spec.labels_separator.join(labels)
    system, user = (_filled(template, names, {"labels": listed}) for template in (spec.system, spec.user))
    if spec.template == "raw":
        before, after = _filled(spec.user, names, {"labels": listed, "system": system}), ""
    else:
        before, after = _chat_text(tokenizer, system, user)
    fixed = before.rstrip(" ")
    blanks = before[len(fixed) :]
    parts = _split(fixed)
    anchor = parts[-1] if parts and isinstance(parts[-1], str) else ""
    answers = []
    for label in labels:
        words = _filled(spec.assistant, set(), {"label": label})
        words = words if spec.template == "raw" else words.strip()
        answers.append(_answer(tokenizer, label, anchor, blanks + words, after))
    _check_distinct(answers)
    writes_own = bool(tokenizer.prefix) and tokenizer.ids(fixed[:200])[: len(tokenizer.prefix)] == [*tokenizer.prefix]
    prefix = () if spec.template == "chat" or writes_own else tokenizer.prefix
    prompt = Prompt(tokenizer, parts, tuple(answers), prefix, max_length)
    _check_room(prompt)
    return prompt


def _filled(template: str, slots: set[str], values: Mapping[str, str]) -> str:
    """The template with values put in, marks for slots, and single braces for `{{name}}`."""

    def one(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "{" + match["literal"] + "}"
        if name in values:
            return values[name]
        return f"\ue000{name}\ue001" if name in slots else match[0]

    return _BRACES.sub(one, template)


def _split(marked: str) -> tuple[str | Slot, ...]:
    pieces = _MARK.split(marked)
    return tuple(Slot(piece) if index % 2 else piece for index, piece in enumerate(pieces) if piece)


def _chat_text(tokenizer: ModelTokenizer, system: str, user: str) -> tuple[str, str]:
    """The chat template's text before the answer, with marks, and after it."""
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": _ANSWER}]
    if system.strip():
        system_message = {"role": "system", "content": system}
        try:
            text = render(tokenizer, [system_message, *messages])
        except UserError as error:
            render(tokenizer, messages)  # where this is refused too, the system part is not to blame
            raise _problem(
                "system", error.what, "Empty the system part and write its words into the user part."
            ) from error
    else:
        text = render(tokenizer, messages)
    before, mark, after = text.partition(_ANSWER)
    complete = bool(mark) and len(_MARK.findall(before)) == len(_MARK.findall(system + user))
    for field, content in (("system", system), ("user", user)):
        if content.strip() not in before or not complete:
            raise _problem(
                field,
                f"The model's chat template does not print the {field} part as it is written.",
                "Use the raw template.",
            )
    return before, after


def _answer(tokenizer: ModelTokenizer, label: str, anchor: str, words: str, after: str) -> Answer:
    """Tokenise an answer behind the fixed text before it; see the top of this file."""
    text, skipped = anchor + words + after, len(tokenizer.ids(anchor))
    whole = tokenizer.encode(text)
    if whole.ids[:skipped] != tokenizer.ids(anchor):
        text, skipped, anchor = words + after, 0, ""
        whole = tokenizer.encode(text)
    starts = [start for start, _ in whole.offsets]
    border = len(anchor) + len(words)
    behind = next((index for index in range(skipped, len(starts)) if starts[index] >= border), len(starts))
    if behind == skipped or not words.strip():
        raise _problem("assistant", f"The answer for '{label}' is no token at all.", "Rename the class.")
    ends = (index + 1 for index in range(behind, len(starts)) if whole.ids[index] in tokenizer.special_ids)
    end = next(ends, None)
    learned = whole.ids[skipped:end]
    cuts = [len(anchor), *(stop for _, stop in whole.offsets[skipped:end])]
    pieces = [text[start:stop] for start, stop in itertools.pairwise(cuts)]
    if end is None:
        learned, pieces = [*learned, tokenizer.eos_id], [*pieces, tokenizer.special["eos_token"]]
    return Answer(label, tuple(learned), tuple(whole.ids[end:]) if end else (), tuple(pieces))


def _check_distinct(answers: Sequence[Answer]) -> None:
    first: dict[tuple[int, ...], str] = {}
    for answer in answers:
        other = first.setdefault(answer.ids, answer.label)
        if other != answer.label:
            raise UserError(
                f"The model reads the classes '{other}' and '{answer.label}' as the same tokens.",
                "mapping.class_names",
                "Give one of them another name.",
            )


def _check_room(prompt: Prompt) -> None:
    least = len(prompt.tokenizer.encode(row_text(prompt, dict.fromkeys(prompt.columns, ""))[0]).ids)
    if least >= prompt.room:
        total = least + prompt.max_length - prompt.room
        raise UserError(
            f"The prompt and its longest answer are {total} tokens before any text is in it; the maximum is "
            f"{prompt.max_length}.",
            "prompt.user",
            "Shorten the prompt, or raise the maximum length (model.max_length).",
        )


def row_text(prompt: Prompt, row: Mapping[str, str | None], kept: int | None = None) -> tuple[str, int]:
    """What the model reads, with the first `kept` characters of {text}, and where that begins (-1: nowhere)."""
    pieces: list[str] = []
    begin = -1
    for part in prompt.parts:
        if isinstance(part, str):
            pieces.append(part)
        elif part.name == "text":
            begin = sum(map(len, pieces))
            pieces.append(row_value(row, "text")[:kept])
        else:
            pieces.append(row_value(row, part.name))
    return "".join(pieces), begin


def prompt_content(prompt: Prompt) -> dict[str, Any]:
    """A prompt without its tokenizer, for JSON: kept with a run and its model, so that prediction reads what training
    read, also where the chat template prints the date."""
    return {
        "parts": [part if isinstance(part, str) else {"slot": part.name} for part in prompt.parts],
        "answers": [asdict(answer) for answer in prompt.answers],
        "prefix": list(prompt.prefix),
        "max_length": prompt.max_length,
    }


def prompt_from_content(content: Mapping[str, Any], tokenizer: ModelTokenizer) -> Prompt:
    """The inverse of prompt_content."""
    return Prompt(
        tokenizer,
        tuple(part if isinstance(part, str) else Slot(part["slot"]) for part in content["parts"]),
        tuple(
            Answer(entry["label"], tuple(entry["ids"]), tuple(entry["rest"]), tuple(entry["pieces"]))
            for entry in content["answers"]
        ),
        tuple(content["prefix"]),
        content["max_length"],
    )


def row_value(row: Mapping[str, str | None], name: str) -> str:
    return (row[name] or "").strip()
