"""Labels that are likely wrong, by confident learning over held-out predictions.

The method is that of Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (2021,
JAIR 70; arXiv:1911.00068), written from the paper: a row counts for the class that the model finds likeliest among
those it gives at least their usual self-confidence (equation 3 and the confident joint of section 3.1); rows that
count for another class than their label's are suspicious, ranked by the margin between the two (section 3.2, PBNR).

Held out are validation and test, of a cross-validation the test rows of every fold, which are all rows. Validation has
chosen the checkpoint and the temperature, so the model knows it a little. Train rows are not judged here: the model
has learned their labels. Rows with several classes, and with probabilities, are not judged either. What is found are
disagreements, not proofs: a model that knows little finds labels suspicious that are right.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.data.examples import read_data_facts
from core.data.reading.write import write_batches
from core.data.same_rows import fold_folder
from core.files import replacing
from core.spec_files import read_spec
from core.workspace import RunFolder

FILE = "suspicious.parquet"
BATCH = 8192
SCHEMA = pa.schema(
    [
        ("fold", pa.int32()),
        ("part", pa.string()),
        ("row_id", pa.int64()),
        ("suggested", pa.string()),
        ("suspicion", pa.float32()),
    ]
)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """What confident learning says of rows."""

    suggested: Integers
    """[rows]: the class that the row counts for; its own where nothing speaks for another, or it counts for none."""
    margin: Floats
    """[rows]: probability of the suggested class less that of the label's, -1 to 1."""


def self_confidence(batches: Iterable[tuple[Integers, Floats]], classes: int) -> npt.NDArray[np.float64]:
    """float64 [classes]: the mean probability of each class among the rows that are labelled so; above 1, which no
    probability reaches, where no row is. batches: labels and probabilities, as `judge` takes them."""
    sums, rows = np.zeros(classes), np.zeros(classes, dtype=np.int64)
    for labels, probabilities in batches:
        sums += np.bincount(labels, probabilities[np.arange(len(labels)), labels].astype(np.float64), classes)
        rows += np.bincount(labels, minlength=classes)
    return np.divide(sums, rows, out=np.full(classes, 2.0), where=rows > 0)


def judge(labels: Integers, probabilities: Floats, thresholds: npt.NDArray[np.float64]) -> Judged:
    """labels: int64 [rows]; probabilities: float32 [rows, classes], held out; thresholds: as `self_confidence` has
    them, of all rows that are judged together."""
    # As precise as the thresholds are: a class with one row has that row's own probability as its threshold.
    reached = probabilities >= thresholds.astype(np.float32)[None, :]
    among = np.where(reached, probabilities, -1).argmax(axis=1)
    suggested = np.where(reached.any(axis=1), among, labels).astype(np.int64)
    rows = np.arange(len(labels))
    return Judged(suggested, probabilities[rows, suggested] - probabilities[rows, labels])


def held_out_folds(folder: RunFolder) -> list[tuple[int, RunFolder]]:
    """(fold, its folder) of every model of the run that was measured; of most runs one."""
    folds = range(1, max(1, read_spec(folder.spec).split.folds) + 1)
    found = [(fold, fold_folder(folder, fold)) for fold in folds]
    return [(fold, one) for fold, one in found if (one.report / "predictions.parquet").exists()]


def why_not_judged(folder: RunFolder) -> str:
    """Why the labels of this run are not looked at; '' where they are."""
    kind = read_data_facts(folder).kind
    if kind == "multi":
        return "Suspicious labels are found where a row has one class; here it may have several."
    if kind == "soft":
        return "Suspicious labels are found where a row has one class; here it has a probability for each."
    return ""


def suspicious_file(folder: RunFolder) -> Path | None:
    """report/suspicious.parquet, made once: fold, part, row_id, suggested, suspicion of each suspicious row. None where
    labels are not judged."""
    if why_not_judged(folder):
        return None
    folds = held_out_folds(folder)
    target = folder.report / FILE
    newest = max((one.report / "predictions.parquet").stat().st_mtime_ns for _, one in folds)
    if not target.exists() or target.stat().st_mtime_ns < newest:
        with replacing(target) as partial:
            write_batches(SCHEMA, _found(folds), partial)
    return target


def count_held_out(folder: RunFolder) -> int:
    """Rows whose labels are judged."""
    folds = held_out_folds(folder)
    return sum(len(labels) for *_, labels, _ in _batches(_names(folds), folds))


def _names(folds: Sequence[tuple[int, RunFolder]]) -> list[str]:
    """The classes of all folds: one whose train part lacks a class does not know it."""
    return list(dict.fromkeys(name for _, one in folds for name in read_data_facts(one).labels))


def _found(folds: Sequence[tuple[int, RunFolder]]) -> Iterator[pa.RecordBatch]:
    """Two passes over the files, so that memory does not grow with the rows."""
    names = _names(folds)
    held_out = ((labels, probabilities) for *_, labels, probabilities in _batches(names, folds))
    thresholds = self_confidence(held_out, len(names))
    # What a class is corrected to has to be one that the run itself knows, which is its first fold.
    known = np.isin(names, read_data_facts(folds[0][1]).labels)
    for fold, parts, row_ids, labels, probabilities in _batches(names, folds):
        judged = judge(labels, probabilities, thresholds)
        chosen = np.flatnonzero((judged.suggested != labels) & known[judged.suggested])
        yield pa.record_batch(
            [
                pa.array(np.full(len(chosen), fold, dtype=np.int32)),
                parts.take(pa.array(chosen)),
                row_ids.take(pa.array(chosen)),
                pa.array(names, pa.string()).take(pa.array(judged.suggested[chosen])),
                pa.array(judged.margin[chosen], pa.float32()),
            ],
            schema=SCHEMA,
        )


def _batches(
    names: Sequence[str], folds: Sequence[tuple[int, RunFolder]]
) -> Iterator[tuple[int, pa.Array, pa.Array, Integers, Floats]]:
    """Held-out rows, some thousand at a time: fold, part, row_id, label, probabilities of `names`, 0 of those that the
    fold does not know."""
    for fold, one in folds:
        known = [names.index(name) for name in read_data_facts(one).labels]
        with pq.ParquetFile(one.report / "predictions.parquet") as file:
            for batch in file.iter_batches(BATCH, columns=["part", "row_id", "true", "probabilities"]):
                # Of several folds each tests other rows; what is validation to one is test to another.
                part = batch.column("part")
                # Rows outside have a class that the model never learned.
                kept = batch.filter(pc.equal(part, "test") if len(folds) > 1 else pc.not_equal(part, "outside"))
                if not len(kept):
                    continue
                labels = pc.index_in(kept.column("true"), pa.array(names, pa.string()))
                flat = kept.column("probabilities").flatten().to_numpy(zero_copy_only=False)
                numbers = labels.to_numpy(zero_copy_only=False).astype(np.int64)
                probabilities = np.zeros((len(kept), len(names)), dtype=np.float32)
                probabilities[:, known] = flat.reshape(len(kept), len(known))
                yield fold, kept.column("part"), kept.column("row_id"), numbers, probabilities
