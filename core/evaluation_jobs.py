"""Measuring a run's model on another labelled file for the page, in a process of its own
(core/evaluation_worker.py).

A job is a folder, WORKSPACE/runs/RUN/evaluations/JOB/: job.json (what is asked), process.json (who does it),
status.json (how it goes), log.txt, and result.json, what core.evaluate_run.evaluate_file found. Light: no torch.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.job_processes import State, bury, gone_error, job_folders, launch, new_job, read_json, stop, write_json
from core.label_jobs import write_status
from core.model_facts import require_classes, run_model_facts
from core.schema import Part, TableFile
from core.workspace import RunFolder, Workspace


class EvaluationRequest(Part):
    """job.json."""

    run: str
    file: TableFile
    name: str
    """The file's name, for people."""
    text_columns: tuple[str, ...] = ()
    """Empty: those that the model was trained on."""
    label_column: str = ""
    """Empty: that of the training file."""
    created: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class EvaluationJob:
    id: str
    state: State
    name: str
    created: float
    done: int
    """Rows read so far."""
    total: int
    """Rows in all; 0 while the file is being read."""
    seconds_left: float | None
    result: dict[str, Any] | None
    """Of a finished job: what evaluate_file returned."""
    error: dict[str, str] | None
    """The parts of a UserError (what, where, todo) of a failed one."""


def start_evaluation(
    workspace: Workspace, run_id: str, file: TableFile, *, text_columns: Sequence[str] = (), label_column: str = ""
) -> str:
    """Start measuring a run's model on a labelled file. Returns the job's id.

    Raises UserError where the run has no model that gives classes, or the job cannot be written or started.
    """
    folder = workspace.run(run_id)
    require_classes(run_model_facts(folder))
    request = EvaluationRequest(
        run=run_id,
        file=file,
        name=Path(file.path).name,
        text_columns=tuple(text_columns),
        label_column=label_column,
        created=time.time(),
    )
    with new_job(workspace, folder.evaluations, f"Evaluating on {request.name}") as job:
        write_json(job / "job.json", request.model_dump(mode="json"))
        write_status(job, "running")
        launch(job, ["-m", "core.evaluation_worker"])
    return job.name


def evaluation_jobs(folder: RunFolder) -> list[EvaluationJob]:
    """Every job of a run, the newest first."""
    return [_job(job) for job in job_folders(folder.evaluations)]


def stop_evaluations(folder: RunFolder) -> None:
    """End those that run; those that have ended stay as they are."""
    for job in evaluation_jobs(folder):
        path = folder.evaluations / job.id
        if job.state == "running" and stop(path):
            write_status(path, "stopped")


def _job(path: Path) -> EvaluationJob:
    request = request_of(path)
    if bury(path, request.created):
        write_status(path, "failed", error=gone_error(path, "Evaluating"))
    status = read_json(path / "status.json")
    return EvaluationJob(
        id=path.name,
        state=status["state"],
        name=request.name,
        created=request.created,
        done=status["done"],
        total=status["total"],
        seconds_left=status["seconds_left"],
        result=read_json(path / "result.json") if status["state"] == "finished" else None,
        error=status["error"],
    )


def request_of(job: Path) -> EvaluationRequest:
    return EvaluationRequest.model_validate_json((job / "job.json").read_text(encoding="utf-8"))
