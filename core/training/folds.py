"""Cross-validation: one training a fold, one after the other, each in a folder and a small store of its own.

A fold's folder is RUN/folds/runs/fold-N, a run folder like any other, so that a fold which is cut off goes on from its
last checkpoint and one that is finished is not done again. The first fold is the run itself: its model is the one that
is kept. Of the others only the report stays. Worker only.
"""

import gc
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from core.data.examples import DataFacts, read_data_facts
from core.data.same_rows import fold_folder
from core.data.split import write_split
from core.evaluation.folds import add_folds
from core.evaluation.report_file import read_content
from core.runs.store import open_store
from core.schema import RunSpec
from core.training.job import Job, StopRequestedError

SECONDS_BETWEEN_LOOKS = 0.5

MeasureFold = Callable[[Job, DataFacts], dict[str, Any]]
"""Trains and measures one model; returns the content of its report.json."""


def divide_folds(job: Job) -> None:
    """Divide the rows of all folds behind the first, before the file can change: they fit together or not at all."""
    for fold in range(2, job.spec.split.folds + 1):
        write_split(job.spec, job.folder.workspace, fold_folder(job.folder, fold), fold)


def cross_validate(job: Job, report: dict[str, Any], measure: MeasureFold) -> dict[str, Any]:
    """The report of the first fold with mean and spread over all; folds that are not measured yet are, now.

    Of a run that is to end where it stands (finish_only) the folds that were measured count. Raises UserError,
    StopRequestedError.
    """
    reports = [report]
    for fold in range(2, job.spec.split.folds + 1):
        folder = fold_folder(job.folder, fold)
        found = read_content(folder)
        if found is None and not job.finish_only:
            found = _measured(job, fold, measure)
        if found is not None:
            reports.append(found)
    return add_folds(job.folder, report, reports, job.spec.split.folds)


def _measured(job: Job, fold: int, measure: MeasureFold) -> dict[str, Any]:
    job.enter(f"fold {fold} of {job.spec.split.folds}")
    inner = _fold_job(job, fold)
    with _in_step(job, inner, fold):
        found = measure(inner, read_data_facts(inner.folder))
    inner.store.move(inner.folder.id, ["running"], "finished")
    _free_memory()
    kept = (inner.folder.split, inner.folder.data_facts, inner.folder.report)
    for path in inner.folder.root.iterdir():
        if path.is_dir() and path not in kept:
            shutil.rmtree(path, ignore_errors=True)
        elif path not in kept:
            path.unlink()
    return found


def _fold_job(job: Job, fold: int) -> Job:
    """The fold's own job, running in its own store; what is measured once of the run is not measured again."""
    folder = fold_folder(job.folder, fold)
    store = open_store(folder.workspace)
    if not any(run.id == folder.id for run in store.runs(limit=100)):
        store.add_run(folder.id, folder.id, job.spec.preset, job.spec.model.source, "")
    store.move(folder.id, ["running", "stopping", "stopped"], "queued")
    store.claim_next()
    evaluation = job.spec.evaluation.model_copy(update={"untuned": False, "generated_rows": 0})
    return Job(_without_trackers(job.spec.model_copy(update={"evaluation": evaluation})), folder, store)


def _without_trackers(spec: RunSpec) -> RunSpec:
    return spec.model_copy(update={"training": spec.training.model_copy(update={"trackers": ()})})


@contextmanager
def _in_step(job: Job, inner: Job, fold: int) -> Iterator[None]:
    """Meanwhile the run shows how far the fold is, and passes a stop on to it."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            if job.store.stop_requested(job.folder.id):
                inner.store.move(inner.folder.id, ["running"], "stopping")
            progress = inner.store.run(inner.folder.id).progress
            if progress is not None:
                words = f"fold {fold} of {job.spec.split.folds}: {progress.phase}"
                job.store.set_progress(job.folder.id, replace(progress, phase=words))

    looking = threading.Thread(target=look, name="fold", daemon=True)
    looking.start()
    try:
        yield
    except StopRequestedError:
        inner.store.move(inner.folder.id, ["running", "stopping"], "stopped")
        raise
    finally:
        over.set()
        looking.join()


def _free_memory() -> None:
    """The next fold loads a model of its own."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
