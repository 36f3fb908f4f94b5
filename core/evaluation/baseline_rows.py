"""report/baselines.parquet: what each baseline, and a language model before training, said of each test row.

Columns: name (of the baseline, or `untuned`), row_id (int64, as in predictions.parquet), predicted (list of strings:
the one class; of several classes a row those that it was given), confidence (float32: the likeliest class's
probability; of several classes that of the least sure decision). The rows of each name are those of the test part, in
its order. Kept so that later runs on the same rows can be tested against them.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.data.reading.write import write_batches
from core.evaluation.multi_label import Thresholds, given_classes
from core.evaluation.prediction_rows import ROWS_AT_ONCE, least_sure, names_of
from core.evaluation.predictions import Predictions
from core.files import replacing
from core.workspace import RunFolder

FILE = "baselines.parquet"
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("row_id", pa.int64()),
        ("predicted", pa.list_(pa.string())),
        ("confidence", pa.float32()),
    ]
)


def write_baseline_rows(
    folder: RunFolder, labels: list[str], said: Mapping[str, tuple[Predictions, Thresholds | None]]
) -> None:
    """said: by name, what was said of the test part, and of multi labels the thresholds."""
    with replacing(folder.report / FILE) as target:
        write_batches(SCHEMA, _batches(labels, said), target)


def _batches(labels: list[str], said: Mapping[str, tuple[Predictions, Thresholds | None]]) -> Iterator[pa.RecordBatch]:
    for name, (predictions, thresholds) in said.items():
        for start in range(0, len(predictions.row_ids), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            probabilities = predictions.probabilities[rows]
            given = _given(probabilities, thresholds)
            sure = probabilities.max(axis=1) if thresholds is None else least_sure(probabilities, given)
            yield pa.record_batch(
                [
                    pa.array([name] * len(probabilities), pa.string()),
                    pa.array(predictions.row_ids[rows]),
                    pa.array(names_of(labels, given), pa.list_(pa.string())),
                    pa.array(sure, pa.float32()),
                ],
                schema=SCHEMA,
            )


def _given(probabilities: npt.NDArray[np.float32], thresholds: Thresholds | None) -> npt.NDArray[np.bool_]:
    """bool [rows, classes]; of one class a row the likeliest, of equally likely ones the first."""
    if thresholds is not None:
        return given_classes(probabilities, thresholds)
    return np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]
