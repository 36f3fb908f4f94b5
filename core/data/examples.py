"""What a run reads of its data once the split is frozen: needs no file but the run folder's, and no DuckDB."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.chat_rows import Conversation
from core.errors import UserError
from core.schema import LabelKind
from core.workspace import RunFolder

PARTS = ("train", "validation", "test")
EXTRA_COLUMN = "column:{}"
"""What a column that the prompt names is called in examples.parquet, so that it cannot be one of the other columns."""

EXAMPLES = pa.schema(
    [
        ("row_id", pa.int64()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("part", pa.string()),
        ("text", pa.string()),
        ("label", pa.string()),
    ]
)
"""Of examples.parquet, before the columns that the prompt names; file, row and part are those of split.parquet.

Of multi labels `label` is a list of strings, of soft ones a list of float32, one for each of DataFacts.labels.
"""
LABEL_TYPES: dict[LabelKind, pa.DataType] = {
    "single": pa.string(),
    "none": pa.string(),
    "multi": pa.list_(pa.string()),
    "soft": pa.list_(pa.float32()),
}


@dataclass(frozen=True)
class DataFacts:
    """The data of a run, as its report and model card tell it (data.json)."""

    labels: list[str]
    """Class names in class order: numbers by value, else sorted as people sort. None of conversations."""
    files: dict[str, dict[str, Any]]
    """train, and validation and test where they are files of their own: name, rows, rejected, sha256 (of the file)."""
    parts: dict[str, int]
    """Rows in train, validation and test."""
    class_counts: dict[str, dict[str, int]]
    """Rows of each class in each part; of multi labels a row counts for each of its classes, of soft ones for its
    likeliest."""
    left_out: dict[str, int]
    """Rows of the files that are in no part: empty_text, empty_label, label_not_in_train, rare_class where rare
    classes are dropped, and what cleaning left out of train; or no_conversation."""
    lengths: dict[str, float]
    """Characters of the train part's texts, or of what its conversations say: p50, p90, p99, max, mean."""
    findings: list[dict[str, Any]]
    """What the checks said when the split was made, all that a Finding holds but its examples."""
    kind: LabelKind = "single"
    """Of the labels."""
    rare: list[str] = field(default_factory=list)
    """Classes of the training file that were merged into one called Other, or dropped, as the run's mapping says."""
    same_rows: str = ""
    """The run whose rows were taken part for part."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    """The steps of cleaning that were carried out: key, words, rows (of train that it left out)."""


def write_data_facts(folder: RunFolder, facts: DataFacts) -> None:
    partial = folder.data_facts.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(facts), ensure_ascii=False, indent=1), encoding="utf-8")
    partial.replace(folder.data_facts)


def read_data_facts(folder: RunFolder) -> DataFacts:
    """Raises UserError where the run has no split yet."""
    _require(folder)
    return DataFacts(**json.loads(folder.data_facts.read_text(encoding="utf-8")))


def read_examples(folder: RunFolder, part: str | None = None, columns: Sequence[str] = ()) -> pa.Table:
    """Rows of one part (train, validation, test), or of all: row_id int64, text string, label, in file order.

    label: string of single labels, list of strings of multi, list of float32 in DataFacts.labels' order of soft ones.

    Of chat data `text` is the conversation as JSON and `label` is ''. `columns`: further columns that the run's prompt
    names, by their own names. Raises UserError where the run has no split yet.
    """
    _require(folder)
    filters = None if part is None else pc.field("part") == part
    kept = {name: EXTRA_COLUMN.format(name) for name in columns}
    table = pq.read_table(folder.examples, columns=["row_id", "text", "label", *kept.values()], filters=filters)
    return table.rename_columns(["row_id", "text", "label", *kept])


def read_outside(folder: RunFolder, columns: Sequence[str] = ()) -> pa.Table | None:
    """Rows for test of classes that the train part does not have: as read_examples; None where there is none.

    They are in no part, and `label` is a class that is not in DataFacts.labels.
    """
    if not folder.outside.exists():
        return None
    kept = {name: EXTRA_COLUMN.format(name) for name in columns}
    table = pq.read_table(folder.outside, columns=["row_id", "text", "label", *kept.values()])
    return table.rename_columns(["row_id", "text", "label", *kept])


def label_array(labels: pa.ChunkedArray, facts: DataFacts) -> npt.NDArray[Any]:
    """The column `label` of read_examples as numbers: int64 [rows], the class's place in DataFacts.labels (single);
    or float32 [rows, classes], 1 or 0 (multi), probabilities (soft)."""
    column = labels.combine_chunks()
    if facts.kind == "soft":
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), len(facts.labels))
    values = column.flatten() if facts.kind == "multi" else column
    places = pc.index_in(values, pa.array(facts.labels, pa.string())).to_numpy(zero_copy_only=False).astype(np.int64)
    if facts.kind == "single":
        return places
    matrix = np.zeros((len(column), len(facts.labels)), dtype=np.float32)
    sizes = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    matrix[np.repeat(np.arange(len(column)), sizes), places] = 1
    return matrix


def conversation_text(talk: Conversation) -> str:
    """A conversation as `text` of examples.parquet keeps it: JSON with messages and tools."""
    content = {"messages": [dict(message) for message in talk.messages], "tools": [dict(tool) for tool in talk.tools]}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def conversation_of(text: str) -> Conversation:
    content = json.loads(text)
    return Conversation(tuple(content["messages"]), tuple(content["tools"]))


def read_conversations(folder: RunFolder, part: str) -> tuple[npt.NDArray[np.int64], list[Conversation]]:
    """Row ids, int64 [rows], and conversations of one part of a chat run, in file order.

    Raises UserError where the run has no split yet.
    """
    table = read_examples(folder, part)
    return table["row_id"].to_numpy(), [conversation_of(text) for text in table["text"].to_pylist()]


def extra_columns(folder: RunFolder) -> tuple[str, ...]:
    """The columns that the run's prompt names, which examples.parquet holds beside the text."""
    prefix = EXTRA_COLUMN.format("")
    names = pq.read_schema(folder.examples).names
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _require(folder: RunFolder) -> None:
    if not folder.split.exists():
        raise UserError(
            f"Run {folder.id} has no split yet.", folder.id, "Start it: the split is made before training begins."
        )
