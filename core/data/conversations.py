"""Conversations as they stand in a table: read some rows at a time, so that a file is never held whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from core.chat_rows import Conversation, NoConversationError, conversation, suggest_chat_columns
from core.data.allocation import allocate
from core.data.division import shares_of
from core.data.examples import PARTS, conversation_text
from core.data.mapping import Suggestion
from core.data.table import Table
from core.schema import ChatColumns, SplitSpec

ROWS_AT_ONCE = 1024
REASONS_KEPT = 20
ROWS_NAMED = 5
CELL_SHOWN = 80
NOT_USED = -1


@dataclass
class LeftOut:
    """Rows that are no conversations for one reason."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    """The first ROWS_NAMED, from 1 as people count."""
    cell: str = ""
    """The beginning of what stands in the first of them."""


@dataclass(frozen=True)
class Conversations:
    """What a table's rows are, in row order."""

    usable: npt.NDArray[np.bool_]
    marks: npt.NDArray[np.uint64]
    """A hash of what is said; 0 where a row is no conversation."""
    lengths: npt.NDArray[np.int64]
    """Characters of all messages together."""
    left_out: dict[str, LeftOut]
    """By reason; what goes beyond REASONS_KEPT of them is together under the last."""


def chat_columns(form: ChatColumns) -> tuple[str, ...]:
    """The columns that a form names, each once."""
    named = (form.conversation, form.system, form.instruction, form.input, form.response, form.tools)
    return tuple(dict.fromkeys(name for name in named if name))


def likely_chat(table: Table, suggestion: Suggestion) -> ChatColumns | None:
    """The form of a table that looks like conversations and has no column of classes beside them."""
    form = suggest_chat_columns(table.names)
    labels = {suggestion.label, *suggestion.label_columns} - {None}
    if form is None or labels - set(chat_columns(form)):
        return None
    return form


def read_rows(parquet: Path, form: ChatColumns) -> Iterator[tuple[Mapping[str, str | None], Conversation | str]]:
    """Each row's cells with its conversation, or with the reason why it is none; in row order."""
    number = 0
    with pq.ParquetFile(parquet) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(chat_columns(form))):
            for row in batch.to_pylist():
                try:
                    yield row, conversation(form, row, number)
                except NoConversationError as error:
                    yield row, error.why
                number += 1


@lru_cache(maxsize=8)
def look_through(parquet: Path, form: ChatColumns, rows: int) -> Conversations:
    """Look at every one of a table's `rows` rows. Kept: a table's Parquet file never changes under its name."""
    usable = np.zeros(rows, dtype=np.bool_)
    marks = np.zeros(rows, dtype=np.uint64)
    lengths = np.zeros(rows, dtype=np.int64)
    left_out: dict[str, LeftOut] = {}
    for number, (row, talk) in enumerate(read_rows(parquet, form)):
        if isinstance(talk, Conversation):
            usable[number] = True
            marks[number] = int.from_bytes(blake2b(conversation_text(talk).encode(), digest_size=8).digest())
            lengths[number] = sum(len(message["content"]) for message in talk.messages)
            continue
        known = talk in left_out or len(left_out) < REASONS_KEPT
        found = left_out.setdefault(talk if known else "for other reasons", LeftOut())
        found.count += 1
        if len(found.rows) < ROWS_NAMED:
            found.rows.append(number + 1)
            found.cell = found.cell or (row[form.conversation or form.response or ""] or "")[:CELL_SHOWN]
    return Conversations(usable, marks, lengths, left_out)


def conversations_of(table: Table, form: ChatColumns) -> Conversations:
    return look_through(table.parquet, form, table.rows)


def divided(found: Mapping[str, Conversations], split: SplitSpec) -> dict[str, npt.NDArray[np.int8]]:
    """Part of each row, an index into PARTS or NOT_USED, by file: train is shared out, other files are one part."""
    parts = {role: np.full(len(file.usable), NOT_USED, dtype=np.int8) for role, file in found.items()}
    for role, file in found.items():
        if role != "train":
            parts[role][file.usable] = PARTS.index(role)
    usable = found["train"].usable
    shares = shares_of(split, int(usable.sum()), found)
    numbers = allocate(np.zeros(int(usable.sum()), dtype=np.int64), shares, False, split.seed)
    parts["train"][usable] = np.array([PARTS.index(name) for name in ("train", *shares)], dtype=np.int8)[numbers]
    return parts
