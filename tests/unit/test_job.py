"""What the store knows of a run's progress from one phase to the next."""

import sys

import psutil
import pytest

from core.runs.store import Best, Progress, open_store
from core.runs.supervisor import submit
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile
from core.training.freed_memory import give_back_freed
from core.training.job import Job
from core.workspace import Workspace

BEST = Best("macro_f1", 0.9, 20, 2.0)


def job(workspace: Workspace) -> Job:
    spec = RunSpec(data=DataSpec(train=TableFile(path="a.csv")), mapping=MappingSpec(text=("text",), label="label"))
    store = open_store(workspace)
    run_id = submit(workspace, spec)
    store.move(run_id, ["queued"], "running")
    return Job(spec, workspace.run(run_id), store)


def test_the_best_epoch_outlives_training(workspace: Workspace) -> None:
    made = job(workspace)
    made.enter("loading model")
    made.store.set_progress(made.folder.id, Progress("training", 30, 30, 3.0, 3.0, 12.0, BEST))
    for phase in ("evaluating", "saving"):
        made.enter(phase)
        assert made.store.run(made.folder.id).progress == Progress(phase, 30, 30, 3.0, 3.0, None, BEST)


def test_rows_counted_after_training_keep_the_best_epoch(workspace: Workspace) -> None:
    made = job(workspace)
    made.store.set_progress(made.folder.id, Progress("training", 30, 30, 3.0, 3.0, 12.0, BEST))
    made.counting("evaluating test")(5, 10)
    found = made.store.run(made.folder.id).progress
    assert (found.phase, found.step, found.total_steps, found.best) == ("evaluating test", 5, 10, BEST)


def test_a_run_that_goes_on_begins_anew(workspace: Workspace) -> None:
    made = job(workspace)
    made.store.set_progress(made.folder.id, Progress("training", 30, 60, 1.5, 3.0, 12.0, BEST))
    made.enter("tokenising")
    assert made.store.run(made.folder.id).progress == Progress("tokenising")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone keeps what is freed and can give it back")
def test_what_a_phase_has_freed_goes_back_to_the_system() -> None:
    process = psutil.Process()
    pieces = [bytes(2000) for _ in range(50_000)]
    last = pieces[-1]  # keeps the heap from shrinking by itself
    del pieces
    before = process.memory_info().rss
    give_back_freed()
    assert before - process.memory_info().rss > 50_000_000
    assert len(last) == 2000
