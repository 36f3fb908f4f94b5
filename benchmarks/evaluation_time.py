"""Seconds that evaluation adds to predicting the 7,600 test rows of ag_news with the quick start model.

    python benchmarks/evaluation_time.py [ROUNDS]

Needs ../shared/data beside the project. The model is the packaged encoder with its head fitted to some rows by logistic
regression: as fast as a trained one, and about as often right. Evaluation is everything between the probabilities and
the finished report folder: figures, intervals, temperature, thresholds, paired tests against the baselines, and all
files (report.json, report.html, predictions, what the baselines said, figures as SVG and PNG). Fitting the baselines is
not part of it.
The process keeps to one core and one thread. Processor time is printed beside wall time, because the machine may have
other work; the share is of processor time.
"""

import cProfile
import csv
import json
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import duckdb
import numpy as np
import numpy.typing as npt
import torch

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402  the project is found only now
from core.data.examples import DataFacts, label_array, read_examples  # noqa: E402
from core.data.split import write_split  # noqa: E402
from core.evaluation.baselines import run_baselines  # noqa: E402
from core.evaluation.predictions import Predictions  # noqa: E402
from core.evaluation.report import write_report  # noqa: E402
from core.predictor import load_predictor, predict_probabilities  # noqa: E402
from core.schema import RunSpec  # noqa: E402
from core.spec_files import parse_spec, spec_yaml  # noqa: E402
from core.workspace import RunFolder, open_workspace  # noqa: E402
from tests.run_folders import add_model  # noqa: E402

SHARED_DATA = PROJECT.parent / "shared" / "data" / "ag_news"
TRAIN_ROWS = 6_000
HEAD_ROWS = 500
STEPS = 500
SHOWN = 12
"""Functions shown of the profile."""


@dataclass(frozen=True)
class Part:
    row_ids: npt.NDArray[np.int64]
    texts: list[str]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Taken:
    wall: float
    processor: float


def timed(work: Callable[[], Any]) -> tuple[Any, Taken]:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, Taken(time.perf_counter() - wall, time.process_time() - processor)


def prepared(place: Path) -> tuple[RunFolder, RunSpec, DataFacts, dict[str, Part]]:
    """A run over ag_news up to its frozen split, with a model."""
    sources = {
        "train": (
            SHARED_DATA / "train_part.parquet",
            "text",
            f"USING SAMPLE reservoir({TRAIN_ROWS} ROWS) REPEATABLE (1)",
        ),
        "test": (SHARED_DATA / "test.csv", "concat_ws(' ', title, description)", ""),
    }
    for role, (source, text, sample) in sources.items():
        rows = duckdb.execute(f"SELECT {text}, label FROM '{source}' {sample}").fetchall()
        with (place / f"{role}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    content = {
        "name": "ag_news",
        "data": {role: {"path": str(place / f"{role}.csv")} for role in sources},
        "mapping": {"text": ["text"], "label": "label"},
    }
    spec = parse_spec(content, "benchmark")
    workspace = open_workspace(place / "workspace")
    folder = workspace.run("timed")
    facts = write_split(spec, workspace, folder)
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    parts = {}
    for name in ("train", "validation", "test"):
        examples = read_examples(folder, name)
        labels = label_array(examples["label"], facts)
        parts[name] = Part(examples["row_id"].to_numpy(), examples["text"].to_pylist(), labels)
    return folder, spec, facts, parts


def with_model(folder: RunFolder, spec: RunSpec, facts: DataFacts, train: Part) -> None:
    """model/ with weights and what prediction reads of it."""
    texts, labels = train.texts[:HEAD_ROWS], train.labels[:HEAD_ROWS].tolist()
    add_model(folder, spec, texts, labels, facts.labels)
    content = {
        "schema_version": 1, "run": folder.id, "name": spec.name, "preset": spec.preset, "base": spec.model.source,
        "base_revision": None, "method": spec.model.method, "labels": facts.labels, "text_columns": ["text"],
        "max_length": spec.model.max_length, "joiner": spec.mapping.joiner, "backslash_is_space": False,
        "text_template": spec.mapping.text_template, "class_names": {},
    }  # fmt: skip
    (folder.model / "tunedesk.json").write_text(json.dumps(content), encoding="utf-8")


def main(rounds: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    print(heading("torch", "transformers", "numpy", "scipy") + f"; one core, one thread, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as place:
        folder, spec, facts, parts = prepared(Path(place))
        with_model(folder, spec, facts, parts["train"])
        predictor = load_predictor(folder.model)

        def said(part: Part) -> Predictions:
            return Predictions(part.row_ids, part.labels, predict_probabilities(predictor, part.texts))

        test, predicting = timed(lambda: said(parts["test"]))
        validation = said(parts["validation"])
        baselines = run_baselines(parts, facts.labels)
        print(f"{len(parts['test'].texts):,} test rows and {len(parts['validation'].texts):,} of validation")
        print(f"predicting the test rows   {told(predicting)}")

        def evaluated() -> dict[str, Any]:
            return write_report(
                folder, spec, facts, test=test, validation=validation, baselines=baselines, training=training()
            )

        measured = [timed(evaluated)[1] for _ in range(rounds)]
        first, later = measured[0], measured[1:]
        print(f"evaluating, the first time {told(first)}  (imports included): {share(first, predicting)}")
        typical = Taken(statistics.median(one.wall for one in later), statistics.median(one.processor for one in later))
        print(f"evaluating, median of {len(later)}    {told(typical)}: {share(typical, predicting)}")
        profile = cProfile.Profile()
        profile.runcall(evaluated)
        pstats.Stats(profile).sort_stats("cumulative").print_stats("core/evaluation", SHOWN)


def training() -> dict[str, Any]:
    history = [{"name": "train/loss", "step": step, "value": 5 / step, "time": 0.0} for step in range(1, STEPS + 1)]
    machine = {"processor": "", "cores": os.cpu_count(), "memory_bytes": 0, "gpu": None, "versions": {}}
    best = {"name": "macro_f1", "value": 0.8, "step": STEPS}
    return {"steps": STEPS, "epochs": 3.0, "seconds": 60.0, "history": history, "best": best, "machine": machine}


def told(taken: Taken) -> str:
    return f"{taken.processor:6.2f} s of processor time, {taken.wall:6.2f} s of wall time"


def share(part: Taken, whole: Taken) -> str:
    return f"{part.processor / whole.processor * 100:.1f} % more"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
