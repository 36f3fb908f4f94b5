"""About how many tokens a run reads, told by the model's own tokenizer where that is on this computer.

Light: no torch, and nothing is fetched. The tokenizer reads a few hundred rows and the longest; each of its answers is
kept, so that a form can ask at every change. Elsewhere four characters count as a token.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from tokenizers import Tokenizer

from core.chat_rows import Conversation, encode_conversation
from core.cut_texts import LONGEST, longest_texts, sampled_texts, whole_tokenizer
from core.data.amount import CHARACTERS_A_TOKEN, SPECIAL_TOKENS, Amount, Reading, amount_of, row_lengths, usable
from core.data.conversations import read_rows
from core.data.table import Table, require_columns
from core.errors import UserError
from core.models.tokenizer_files import local_tokenizer_folder, tokenizer_of
from core.prompts import Prompt, build_prompt, prompt_columns, row_text
from core.schema import ChatColumns, MappingSpec, ModelSpec, PromptSpec, RunSpec

EVERY = 5
"""Of the texts that core.cut_texts samples, one in so many is counted."""
LONGEST_ROWS = 8
"""The row with the most tokens is looked for among so many with the most characters."""
SURELY_CUT = 2
"""A row that is estimated at so many times max_length need not be counted."""
CONVERSATIONS = 100
TEMPLATE_TOKENS = 30
"""Taken for what a chat template writes around system, user and assistant parts."""
MESSAGE_TOKENS = 5
"""Taken for what it writes around each message."""


def amount_for(spec: RunSpec, tables: Mapping[str, Table]) -> Amount:
    """What a run reads, prompt and answer included. tables: as for `amount_of`. Raises UserError for columns that a
    table does not have."""
    if spec.task == "chat":
        return _of_chat(spec, tables)
    label = (spec.mapping.label,) if spec.mapping.label else ()
    for table in tables.values():
        require_columns(table, (*spec.mapping.text, *label, *spec.mapping.label_columns))
    if spec.task == "answer":
        return _of_answers(spec, tables)
    folder = local_tokenizer_folder(spec.model)
    reading = Reading() if folder is None else _of_tokenizer(tables["train"], spec.mapping, spec.model)
    return _with_longest(spec, tables, reading, 0)


def _of_answers(spec: RunSpec, tables: Mapping[str, Table]) -> Amount:
    train = tables["train"]
    labels = usable(train, spec.mapping)[1]
    columns = prompt_columns(spec.prompt, train.names)
    if local_tokenizer_folder(spec.model) is None:
        longest = max(map(len, labels), default=0)
        answer = math.ceil(longest / CHARACTERS_A_TOKEN) + 1
        fixed = _fixed_characters(spec.prompt, labels) // CHARACTERS_A_TOKEN + TEMPLATE_TOKENS
        return _with_longest(spec, tables, Reading(CHARACTERS_A_TOKEN, fixed + answer, columns), answer)
    prompt = _prompt(spec, train, labels)
    answer = max(len(answer.ids) + len(answer.rest) for answer in prompt.answers)
    empty = row_text(prompt, dict.fromkeys(prompt.columns, ""))[0]
    fixed = len(prompt.prefix) + len(prompt.tokenizer.ids(empty)) + answer
    own = _of_tokenizer(train, spec.mapping, spec.model)
    learned = max(len(answer.ids) for answer in prompt.answers)
    return _with_longest(spec, tables, replace(own, fixed_tokens=fixed, columns=columns), learned)


def _with_longest(spec: RunSpec, tables: Mapping[str, Table], reading: Reading, learned: int) -> Amount:
    """learned: tokens of the longest answer that carry loss."""
    amount = amount_of(tables, spec.mapping, spec.split, spec.model.max_length, reading)
    if local_tokenizer_folder(spec.model) is None:
        return replace(amount, answer_tokens=learned)
    if amount.longest > SURELY_CUT * spec.model.max_length:
        return replace(amount, answer_tokens=learned, counted=True)
    longest = max(_longest(table, spec.mapping, spec.model, reading) for table in tables.values())
    if reading.columns:
        longest = max(longest, amount.longest)
    return replace(amount, longest=longest, answer_tokens=learned, counted=True)


def _longest(table: Table, mapping: MappingSpec, model: ModelSpec, reading: Reading) -> int:
    """Tokens of the row that has most. Of a text with more characters than are counted the rest is estimated."""
    characters = row_lengths(table, mapping).characters
    beyond = max(0, int(characters[-1]) - LONGEST) if len(characters) else 0
    counted = _most_tokens(table, mapping.model_dump_json(), model.source, model.revision)
    return reading.fixed_tokens + counted + math.ceil(beyond / reading.characters_a_token)


def _prompt(spec: RunSpec, table: Table, labels: Sequence[str]) -> Prompt:
    return build_prompt(
        spec.prompt, tokenizer_of(spec.model), columns=table.names, label_column=spec.mapping.label, labels=labels,
        max_length=spec.model.max_length,
    )  # fmt: skip


def _fixed_characters(prompt: PromptSpec, labels: Sequence[str]) -> int:
    listed = sum(map(len, labels)) + len(prompt.labels_separator) * max(0, len(labels) - 1)
    named = sum(template.count("{labels}") for template in (prompt.system, prompt.user))
    return len(prompt.system) + len(prompt.user) + named * listed


def _of_tokenizer(table: Table, mapping: MappingSpec, model: ModelSpec) -> Reading:
    return _measured(table, mapping.model_dump_json(), model.source, model.revision)


@lru_cache(maxsize=32)
def _measured(table: Table, mapping: str, source: str, revision: str | None) -> Reading:
    tokenizer = _tokenizer(source, revision)
    fixed = len(tokenizer.encode(""))
    _, texts = sampled_texts(table, MappingSpec.model_validate_json(mapping))
    texts = texts[::EVERY]
    tokens = sum(len(one) for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    if not tokens:
        return Reading(fixed_tokens=fixed)
    return Reading(sum(map(len, texts)) / tokens, fixed)


@lru_cache(maxsize=64)
def _most_tokens(table: Table, mapping: str, source: str, revision: str | None) -> int:
    texts = longest_texts(table, MappingSpec.model_validate_json(mapping), LONGEST_ROWS)
    found = _tokenizer(source, revision).encode_batch_fast(texts, add_special_tokens=False)
    return max(map(len, found), default=0)


def _tokenizer(source: str, revision: str | None) -> Tokenizer:
    return whole_tokenizer(ModelSpec(source=source, revision=revision))


# Conversations


def _of_chat(spec: RunSpec, tables: Mapping[str, Table]) -> Amount:
    is_here = local_tokenizer_folder(spec.model) is not None
    form, model = spec.mapping.chat, spec.model
    source = model.source if is_here else ""
    reading, learned = _chat_reading(tables["train"], form, source, model.revision)
    amount = amount_of(tables, spec.mapping, spec.split, model.max_length, reading)
    longest = min(amount.longest, model.max_length)
    return replace(amount, answer_tokens=math.ceil(learned * longest), counted=is_here)


@lru_cache(maxsize=16)
def _chat_reading(table: Table, form: ChatColumns, source: str, revision: str | None) -> tuple[Reading, float]:
    """How conversations become tokens, and the share of them that carries loss. source: '' without a tokenizer."""
    rows = islice(read_rows(table.parquet, form), CONVERSATIONS)
    talks = [talk for _, talk in rows if isinstance(talk, Conversation)]
    messages = [message for talk in talks for message in talk.messages]
    characters = sum(len(message["content"]) for message in messages)
    if not characters:
        return Reading(), 1.0
    if source:
        try:
            return _encoded(talks, characters, ModelSpec(source=source, revision=revision))
        except UserError:  # the template refuses them: said where a run is started
            pass
    answers = sum(len(message["content"]) for message in messages if message["role"] == "assistant")
    fixed = math.ceil(MESSAGE_TOKENS * len(messages) / len(talks))
    return Reading(CHARACTERS_A_TOKEN, fixed + SPECIAL_TOKENS), answers / characters


def _encoded(talks: Sequence[Conversation], characters: int, model: ModelSpec) -> tuple[Reading, float]:
    tokenizer = tokenizer_of(model)
    long = sum(len(message["content"]) for talk in talks for message in talk.messages) + 1000 * len(talks)
    examples = [example for talk in talks if (example := encode_conversation(tokenizer, talk, long)) is not None]
    tokens = sum(len(example.ids) for example in examples)
    learned = sum(sum(example.learned) for example in examples)
    return Reading(characters / tokens, 0), learned / tokens
