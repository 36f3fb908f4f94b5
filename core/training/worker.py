"""The training process: `python -m core.training.worker RUN_DIR`.

It reads the run's spec, does one phase after the other, and writes everything it learns to the store and the run
folder. It can be killed at any moment: what was finished is found again, training goes on from the last checkpoint.
"""

import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from core.data.examples import DataFacts, read_examples
from core.data.split import write_split
from core.evaluation.baselines import Baseline, run_baselines
from core.evaluation.metrics import classification_metrics
from core.evaluation.report import write_report
from core.runs.store import ACTIVE, Store, open_store
from core.schema import read_spec
from core.training.job import Job, LabelledTexts, StopRequestedError
from core.workspace import RunFolder

BASELINE_FIGURES = ("accuracy", "macro_f1", "weighted_f1")


def main(run_dir: str) -> int:
    folder = RunFolder(Path(run_dir).resolve())
    store = open_store(folder.workspace)
    process = psutil.Process()
    store.set_process(folder.id, process.pid, process.create_time())
    try:
        finish_only = bool(store.events(folder.id, "finish_requested"))
        summary = run(Job(read_spec(folder.spec), folder, store, finish_only))
    except StopRequestedError:
        store.move(folder.id, ACTIVE, "stopped", "Stopped; a checkpoint is kept.")
        return 0
    except BaseException as error:  # noqa: BLE001  the process's outer edge: whatever it was, the person is told
        return _fail(store, folder, error)
    store.move(folder.id, ACTIVE, "finished", summary=summary)
    return 0


def run(job: Job) -> dict[str, Any]:
    """All phases in order. Returns the run's summary. Raises UserError, StopRequestedError."""
    job.enter("reading data")
    facts = write_split(job.spec, job.folder.workspace, job.folder)
    parts = {part: _labelled_texts(job.folder, part, facts) for part in ("train", "validation", "test")}
    baselines = _baselines(job, facts, parts)

    job.enter("loading model")
    # torch and transformers take seconds to import: the page shows data and baselines meanwhile.
    from core.training.encoder import train_encoder

    trained = train_encoder(job, facts, parts)
    job.enter("evaluating")
    report = write_report(
        job.folder,
        job.spec,
        facts,
        test=trained.test,
        validation=trained.validation,
        baselines=baselines,
        training=trained.facts,
    )
    shutil.rmtree(job.folder.checkpoints, ignore_errors=True)
    return _summary(report)


def _labelled_texts(folder: RunFolder, part: str, facts: DataFacts) -> LabelledTexts:
    table = read_examples(folder, part)
    index = {label: number for number, label in enumerate(facts.labels)}
    return LabelledTexts(
        row_ids=table["row_id"].to_numpy(),
        texts=table["text"].to_pylist(),
        labels=np.array([index[label] for label in table["label"].to_pylist()], dtype=np.int64),
    )


def _baselines(job: Job, facts: DataFacts, parts: dict[str, LabelledTexts]) -> list[Baseline]:
    """The baselines' probabilities on validation and test; their validation scores go to the store for the charts."""
    if not job.spec.evaluation.baselines:
        return []
    job.enter("baselines")
    baselines = run_baselines(parts, facts.labels)
    for baseline in baselines:
        scores = classification_metrics(parts["validation"].labels, baseline.probabilities["validation"], facts.labels)
        job.store.add_metrics(
            job.folder.id, 0, {f"baseline/{baseline.name}/{name}": scores[name] for name in BASELINE_FIGURES}
        )
    return baselines


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    headline = ("rows", "accuracy", "accuracy_interval", "macro_f1", "weighted_f1")
    return {
        "verdict": report["verdict"],
        "labels": len(report["labels"]),
        "rows": report["parts"],
        "seconds": report["training"]["seconds"],
        "test": {name: report["test"][name] for name in headline},
        "baselines": {
            name: {figure: scores[figure] for figure in headline} for name, scores in report["baselines"].items()
        },
    }


def _fail(store: Store, folder: RunFolder, error: BaseException) -> int:
    from core.training.checkpoints import remove_torn_checkpoints
    from core.training.failures import explain

    traceback.print_exception(error)
    told = explain(error, folder.root)
    # First what is torn: on a full disk the store needs the room to take the news.
    remove_torn_checkpoints(folder.checkpoints)
    store.move(folder.id, ACTIVE, "failed", told.what, error=told.parts())
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
