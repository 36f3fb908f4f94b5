"""Rows through a prompt: token ids to train on and to score, each cut to fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Encoding

from core.errors import UserError
from core.prompts import Prompt, row_text, row_value

IGNORED = -100
"""The target of a token that carries no loss, as PyTorch's cross-entropy and transformers have it."""
ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class PromptTokens:
    """One row's prompt."""

    ids: list[int]
    text: str
    """What the model reads, after the cut."""
    kept: int | None
    """Characters kept of the row's {text} where it was cut, else None."""


@dataclass(frozen=True)
class Example:
    """One row to train on. Also made by core/chat_rows.py from conversations."""

    ids: list[int]
    learned: list[bool]
    """Whether each token carries loss: [tokens]."""

    @property
    def targets(self) -> list[int]:
        """The ids, with IGNORED where there is no loss; models shift them by one themselves."""
        return [index if learned else IGNORED for index, learned in zip(self.ids, self.learned, strict=True)]


def encode_prompts(prompt: Prompt, rows: Sequence[Mapping[str, str | None]]) -> list[PromptTokens]:
    """The prompt of each row; a row has prompt.columns, white space around a value does not count.

    Only {text} is cut, from its end and by its tokens, so that prompt and longest answer fit max_length. Raises
    UserError for a row whose other columns alone are too long; `where` is the row's number here.
    """
    result = []
    longest = prompt.room * prompt.tokenizer.longest_token
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows[start : start + ROWS_AT_ONCE]
        texts = [row_text(prompt, row, longest)[0] for row in chunk]
        encodings = prompt.tokenizer.tokens.encode_batch(texts, add_special_tokens=False)
        for index, (row, text, encoding) in enumerate(zip(chunk, texts, encodings, strict=True)):
            whole = len(row_value(row, "text")) <= longest if "text" in prompt.columns else True
            if whole and len(encoding) <= prompt.room:
                result.append(PromptTokens([*prompt.prefix, *encoding.ids], text, None))
            else:
                result.append(_cut(prompt, row, min(longest, len(row_value(row, "text"))), encoding, start + index))
    return result


def _cut(prompt: Prompt, row: Mapping[str, str | None], kept: int, encoding: Encoding, number: int) -> PromptTokens:
    """Take tokens off the end of {text} until the prompt fits; `encoding` is that of the row with `kept` characters."""
    while len(encoding) > prompt.room:
        text, begin = row_text(prompt, row, kept)
        if begin < 0 or kept == 0:
            raise UserError(
                f"Row {number + 1}: the prompt is longer than the maximum of {prompt.max_length} tokens by itself.",
                f"row {number + 1}",
                "Raise the maximum length (model.max_length), or leave the long column out of the prompt.",
            )
        ends = [stop for start, stop in encoding.offsets if begin <= start < begin + kept]
        left = len(ends) - (len(encoding) - prompt.room)
        # A token less may be the same characters where several tokens make one; then that character goes.
        kept = min(kept - 1, ends[left - 1] - begin) if left > 0 else 0
        text = row_text(prompt, row, kept)[0]
        encoding = prompt.tokenizer.encode(text)
    return PromptTokens([*prompt.prefix, *encoding.ids], text, kept)


def training_examples(prompt: Prompt, rows: Sequence[Mapping[str, str | None]], labels: Sequence[str]) -> list[Example]:
    """Prompt and answer of each row, with loss on the answer. Raises UserError as encode_prompts does."""
    answers = {answer.label: answer for answer in prompt.answers}
    examples = []
    for tokens, label in zip(encode_prompts(prompt, rows), labels, strict=True):
        answer = answers[label]
        ids = [*tokens.ids, *answer.ids, *answer.rest]
        learned = [False] * len(tokens.ids) + [True] * len(answer.ids) + [False] * len(answer.rest)
        examples.append(Example(ids, learned))
    return examples


def answered_labels(prompt: Prompt, generated: Sequence[Sequence[int]]) -> list[str | None]:
    """The label that each row of freely generated tokens is, or None where it is not a label.

    White space around the words and what comes after the first control token do not count.
    """
    decode, special = prompt.tokenizer.tokens.decode, prompt.tokenizer.special_ids

    def words(ids: Sequence[int]) -> str:
        end = next((index for index, token in enumerate(ids) if token in special), len(ids))
        return decode(list(ids[:end])).strip()

    labels = {words(answer.ids): answer.label for answer in prompt.answers}
    return [labels.get(words(ids)) for ids in generated]
