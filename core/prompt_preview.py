"""What the prompt page shows for one row: the text that the model reads, what it learns, what is cut, what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.chat_templates import ModelTokenizer
from core.errors import UserError
from core.prompt_rows import encode_prompts
from core.prompts import Answer, Prompt, Slot, build_prompt, prompt_problems
from core.schema import PromptSpec


@dataclass(frozen=True)
class Segment:
    """A piece of the rendered text. Put together, the segments are all of it, cut part and control tokens included."""

    text: str
    kind: Literal["prompt", "learned", "cut"]
    """prompt: read only. learned: one token that carries loss. cut: left out to fit the maximum length."""


@dataclass(frozen=True)
class Problem:
    severity: Literal["error", "warning"]
    field: str
    """The setting it belongs to, e.g. `prompt.user`."""
    what: str
    todo: str


@dataclass(frozen=True)
class Preview:
    """With an error among the problems there are no segments, and tokens is 0."""

    segments: tuple[Segment, ...]
    tokens: int
    """Tokens of prompt and answer, after the cut."""
    learned_tokens: int
    max_length: int
    problems: tuple[Problem, ...]


def preview(
    spec: PromptSpec,
    tokenizer: ModelTokenizer,
    row: Mapping[str, str | None],
    label: str | None,
    *,
    columns: Sequence[str],
    label_column: str,
    labels: Sequence[str],
    max_length: int,
) -> Preview:
    """Exactly what training reads for this row: `row` has `text` (the mapped text) and the columns that the prompt
    names, `label` its class name, None where it has none."""
    errors = prompt_problems(spec, columns, label_column)
    if not errors:
        try:
            prompt = build_prompt(
                spec, tokenizer, columns=columns, label_column=label_column, labels=labels, max_length=max_length
            )
            return _shown(prompt, row, label)
        except UserError as error:
            errors = [error]
    problems = tuple(Problem("error", error.where, error.what, error.todo) for error in errors)
    return Preview((), 0, 0, max_length, problems)


def _shown(prompt: Prompt, row: Mapping[str, str | None], label: str | None) -> Preview:
    (tokens,) = encode_prompts(prompt, [row])
    values = {name: (row[name] or "").strip() for name in prompt.columns}
    answer = next((answer for answer in prompt.answers if answer.label == label), None)
    segments = [*_prompt_segments(prompt, values, tokens.kept), *(_answer_segments(prompt, answer) if answer else ())]
    total = len(tokens.ids) + (len(answer.ids) + len(answer.rest) if answer else 0)
    problems = [*_cut_warning(values, tokens.kept), *_control_warnings(prompt.tokenizer, values)]
    return Preview(tuple(segments), total, len(answer.ids) if answer else 0, prompt.max_length, tuple(problems))


def _prompt_segments(prompt: Prompt, values: Mapping[str, str], kept: int | None) -> list[Segment]:
    """One segment up to the cut, the cut, one behind it."""
    texts = [str(prompt.tokenizer.tokens.id_to_token(index)) for index in prompt.prefix]
    cut = ""
    segments = []
    for part in prompt.parts:
        text = values[part.name] if isinstance(part, Slot) else part
        if isinstance(part, Slot) and part.name == "text" and kept is not None:
            text, cut = text[:kept], text[kept:]
        texts.append(text)
        if cut:
            segments += [Segment("".join(texts), "prompt"), Segment(cut, "cut")]
            texts, cut = [], ""
    segments.append(Segment("".join(texts), "prompt"))
    return [segment for segment in segments if segment.text]


def _answer_segments(prompt: Prompt, answer: Answer) -> list[Segment]:
    rest = prompt.tokenizer.tokens.decode(list(answer.rest), skip_special_tokens=False)
    learned = [Segment(piece, "learned") for piece in answer.pieces if piece]
    return [*learned, *([Segment(rest, "prompt")] if rest else [])]


def _cut_warning(values: Mapping[str, str], kept: int | None) -> list[Problem]:
    if kept is None:
        return []
    return [
        Problem(
            "warning",
            "model.max_length",
            f"The text is too long: {len(values['text']) - kept:,} of its {len(values['text']):,} characters are cut.",
            "Raise the maximum length if what is cut matters.",
        )
    ]


def _control_warnings(tokenizer: ModelTokenizer, values: Mapping[str, str]) -> list[Problem]:
    """Values that hold the model's control tokens, which it reads as such, as it would through transformers."""
    control = sorted({str(tokenizer.tokens.id_to_token(index)) for index in tokenizer.special_ids})
    return [
        Problem(
            "warning",
            "mapping.text" if name == "text" else "prompt.user",
            f"{{{name}}} of this row holds {token}, which the model reads as a control token.",
            "Take it out of the data if it does not belong there.",
        )
        for name, value in values.items()
        for token in control
        if token in value
    ]
