"""report/predictions.parquet: what the model said of each row of validation and test, beside the row's text.

`true`, `predicted` and `confidence` are a class, a class, and that class's probability. Of several classes a row the
first two are the classes joined as in the data (`cs.CL; cs.LG`, '' where there is none), the columns `missed` and
`added` list those that differ, and confidence is that of the least sure decision: a class that was given counts with
its probability, one that was not with what is missing to 1. Of soft labels `true` is the likeliest class, and the
column `true_probabilities` holds all. Rows of part `outside` were for test and have a class that the model never
learned, which stands in `true`; they count in no figure but those of report.json's `outside`. `loss` is in nats: minus
the logarithm of the true class's probability, against probabilities the cross-entropy, of several classes the mean over
the classes of whether the row has each; it is empty for rows of part `outside`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.data.examples import DataFacts, read_examples, read_outside
from core.evaluation.kinds import likeliest
from core.evaluation.multi_label import Thresholds, Yes, given_classes, joined_labels
from core.evaluation.predictions import Predictions
from core.schema import LabelKind
from core.workspace import RunFolder

ROWS_AT_ONCE = 4096
NO_COLUMN = -1
LEAST = 1e-12
"""Probability below which the loss grows no more."""

_COLUMNS = [
    ("row_id", pa.int64()),
    ("part", pa.string()),
    ("text", pa.string()),
    ("true", pa.string()),
    ("predicted", pa.string()),
    ("confidence", pa.float32()),
    ("probabilities", pa.list_(pa.float32())),
    ("loss", pa.float32()),
]
_MORE: dict[LabelKind, list[tuple[str, pa.DataType]]] = {
    "single": [],
    "multi": [("missed", pa.list_(pa.string())), ("added", pa.list_(pa.string()))],
    "soft": [("true_probabilities", pa.list_(pa.float32()))],
    "none": [],
}


def prediction_schema(kind: LabelKind) -> pa.Schema:
    return pa.schema([*_COLUMNS, *_MORE[kind]])


def prediction_batches(
    folder: RunFolder,
    facts: DataFacts,
    parts: Mapping[str, Predictions],
    thresholds: Thresholds | None,
    separator: str,
) -> Iterator[pa.RecordBatch]:
    """The predictions of each part beside their texts, some thousand rows at a time."""
    schema = prediction_schema(facts.kind)
    for part, predictions in parts.items():
        examples = read_examples(folder, part)
        place = np.full(int(examples["row_id"].to_numpy().max()) + 1, NO_COLUMN, dtype=np.int64)
        place[examples["row_id"].to_numpy()] = np.arange(len(examples))
        for start in range(0, len(predictions.true), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            probabilities, true = predictions.probabilities[rows], predictions.true[rows]
            texts = examples["text"].take(pa.array(place[predictions.row_ids[rows]])).combine_chunks()
            head = [predictions.row_ids[rows], pa.array([part] * len(probabilities), pa.string()), texts]
            if thresholds is None:
                said = _one_class(facts, true, probabilities)
            else:
                said = _classes(facts.labels, true, probabilities, thresholds, separator)
            yield pa.record_batch([*head, *said], schema=schema)


def outside_batches(folder: RunFolder, facts: DataFacts, outside: Predictions) -> Iterator[pa.RecordBatch]:
    """The same of the rows of core.data.examples.read_outside, in their order: part `outside`."""
    table = read_outside(folder)
    assert table is not None
    names = pa.array(facts.labels, pa.string())
    for start in range(0, len(table), ROWS_AT_ONCE):
        rows = table.slice(start, ROWS_AT_ONCE).combine_chunks()
        probabilities = outside.probabilities[start : start + ROWS_AT_ONCE]
        columns = [
            rows["row_id"].combine_chunks(),
            pa.array(["outside"] * len(rows), pa.string()),
            rows["text"].combine_chunks(),
            rows["label"].combine_chunks(),
            names.take(pa.array(probabilities.argmax(axis=1))),
            pa.array(probabilities.max(axis=1), pa.float32()),
            _lists(probabilities),
            pa.nulls(len(rows), pa.float32()),
        ]
        yield pa.record_batch(columns, schema=prediction_schema(facts.kind))


def least_sure(probabilities: npt.NDArray[np.float32], given: Yes) -> npt.NDArray[np.float32]:
    """How sure the least sure of a row's decisions is: float32 [rows]."""
    sure: npt.NDArray[np.float32] = np.where(given, probabilities, 1 - probabilities).min(axis=1)
    return sure


def row_losses(true: npt.NDArray[Any], probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cross-entropy of each row in nats, float32 [rows]. true: int64 [rows], or probabilities, [rows, classes]."""
    said = np.log(np.maximum(probabilities, LEAST))
    picked = said[np.arange(len(said)), true] if true.ndim == 1 else (true * said).sum(axis=1)
    return np.asarray(-picked, dtype=np.float32)


def binary_losses(has: Yes, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same where a row may have several classes: the mean over them of whether it has each."""
    right = np.where(has, probabilities, 1 - probabilities)
    return np.asarray(-np.log(np.maximum(right, LEAST)).mean(axis=1), dtype=np.float32)


def _one_class(facts: DataFacts, true: npt.NDArray[Any], probabilities: npt.NDArray[np.float32]) -> list[pa.Array]:
    names = pa.array(facts.labels, pa.string())
    columns = [
        names.take(pa.array(likeliest(facts.kind, true))),
        names.take(pa.array(probabilities.argmax(axis=1))),
        pa.array(probabilities.max(axis=1), pa.float32()),
        _lists(probabilities),
        pa.array(row_losses(true, probabilities)),
    ]
    return [*columns, _lists(true)] if facts.kind == "soft" else columns


def _classes(
    labels: Sequence[str],
    true: npt.NDArray[Any],
    probabilities: npt.NDArray[np.float32],
    thresholds: Thresholds,
    separator: str,
) -> list[pa.Array]:
    has, given = true > 0, given_classes(probabilities, thresholds)
    return [
        *(pa.array([joined_labels(row, separator) for row in names_of(labels, yes)]) for yes in (has, given)),
        pa.array(least_sure(probabilities, given), pa.float32()),
        _lists(probabilities),
        pa.array(binary_losses(has, probabilities)),
        *(pa.array(names_of(labels, yes), pa.list_(pa.string())) for yes in (has & ~given, given & ~has)),
    ]


def names_of(labels: Sequence[str], yes: Yes) -> list[list[str]]:
    """The classes of each row, in class order; yes: bool [rows, classes]."""
    found: list[list[str]] = [[] for _ in yes]
    for row, number in zip(*np.nonzero(yes), strict=True):
        found[row].append(labels[number])
    return found


def _lists(values: npt.NDArray[Any]) -> pa.Array:
    """float32 [rows, classes] as a list a row."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel(), pa.float32()))
