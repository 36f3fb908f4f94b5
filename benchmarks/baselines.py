"""How good the TF-IDF baseline is, and how long it takes, on three public data sets.

    python benchmarks/baselines.py [trec] [banking77] [ag_news]

Needs ../shared/data beside the project. Train is divided as in a run (10 % validation, stratified, seed 42), and the
baseline learns from the train part alone, as a model does; C is chosen on validation, the test file is predicted once.
`mark` is what a plain TF-IDF of words with logistic regression reached on the same files, rounded down. Processor time
is printed beside wall time because the machine may have other work.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402  the project is found only now
from core.data.allocation import allocate  # noqa: E402
from core.evaluation.baselines import run_baselines  # noqa: E402
from core.evaluation.metrics import classification_metrics  # noqa: E402

SHARED_DATA = PROJECT.parent / "shared" / "data"


@dataclass(frozen=True)
class DataSet:
    train: str
    test: str
    text: str
    """SQL over the columns of both files."""
    test_text: str
    label: str
    mark: float


DATA_SETS = {
    "trec": DataSet("trec/train.csv", "trec/test.csv", "text", "text", "label", 0.89),
    "banking77": DataSet("banking77/train.csv", "banking77/test.csv", "text", "text", "category", 0.89),
    "ag_news": DataSet(
        "ag_news/train_part.parquet",
        "ag_news/test.csv",
        r"replace(text, '\', ' ')",
        r"replace(concat_ws(' ', title, description), '\', ' ')",
        "label",
        0.91,
    ),
}


@dataclass(frozen=True)
class Part:
    texts: list[str]
    labels: npt.NDArray[np.int64]


def read(file: str, text: str, label: str) -> tuple[list[str], list[str]]:
    source = f"'{SHARED_DATA / file}'"
    table = f"read_parquet({source})" if file.endswith(".parquet") else f"read_csv({source}, all_varchar = true)"
    rows = duckdb.sql(f"SELECT {text}, {label} FROM {table}").fetchall()
    return [row[0] for row in rows], [row[1] for row in rows]


def parts_of(data: DataSet) -> tuple[dict[str, Part], list[str]]:
    texts, names = read(data.train, data.text, data.label)
    test_texts, test_names = read(data.test, data.test_text, data.label)
    labels = sorted(set(names))
    index = {label: number for number, label in enumerate(labels)}
    classes = np.array([index[name] for name in names], dtype=np.int64)
    chosen = allocate(classes, {"validation": 0.1}, stratified=True, seed=42)
    parts = {
        part: Part([texts[row] for row in np.flatnonzero(chosen == number)], classes[chosen == number])
        for number, part in enumerate(("train", "validation"))
    }
    parts["test"] = Part(test_texts, np.array([index[name] for name in test_names], dtype=np.int64))
    return parts, labels


def measure(name: str) -> bool:
    """Print one data set's results; whether the mark was reached."""
    data = DATA_SETS[name]
    parts, labels = parts_of(data)
    rows = ", ".join(f"{part} {len(its.texts):,}" for part, its in parts.items())
    print(f"{name}: {len(labels)} classes, {rows}")
    reached = False
    began = time.process_time()
    baselines = run_baselines(parts, labels)
    worked = time.process_time() - began
    for baseline in baselines:
        scores = classification_metrics(parts["test"].labels, baseline.probabilities["test"], labels)
        low, high = scores["accuracy_interval"]
        print(
            f"  {baseline.name:<9} accuracy {scores['accuracy']:.4f} ({low:.4f} to {high:.4f})  "
            f"macro F1 {scores['macro_f1']:.4f}  calibration error {scores['calibration_error']:.4f}  "
            f"{baseline.seconds:.1f} s"
        )
        print(f"            {baseline.note}")
        reached = scores["accuracy"] >= data.mark
    print(
        f"  {worked:.1f} s of processor time in all; mark {data.mark:.2f}: {'reached' if reached else 'MISSED'}\n",
        flush=True,
    )
    return reached


def main(names: list[str]) -> int:
    print(f"{heading('scikit-learn', 'scipy', 'numpy')}\n")
    missed = [name for name in names or DATA_SETS if not measure(name)]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
