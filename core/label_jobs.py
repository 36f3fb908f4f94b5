"""Labelling a file in a process of its own, which lives on when the page closes. Light: no torch.

A job is a folder, WORKSPACE/runs/RUN/predictions/JOB/: job.json (what is asked), process.json (who does it),
status.json (how it goes), log.txt, and the labelled file once it is whole. So any process can look after it.
"""

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from core.errors import UserError
from core.model_facts import require_classes, run_model_facts
from core.runs.supervisor import PROJECT, worker_environment
from core.schema import Part, TableFile
from core.workspace import Workspace, new_id

State = Literal["running", "finished", "failed", "stopped"]

START_GRACE_SECONDS = 60
END_GRACE_SECONDS = 5


class JobRequest(Part):
    """job.json."""

    file: TableFile
    name: str
    """The file's name, for people."""
    output: str
    """Name of the labelled file, beside job.json."""
    top_k: int = 1
    text_columns: tuple[str, ...] = ()
    """Empty: those the model was trained on."""
    spreadsheet_safe: bool = True
    created: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class LabelJob:
    id: str
    state: State
    name: str
    """The name of the file that is labelled."""
    created: float
    """Seconds since 1970."""
    done: int
    """Rows labelled so far."""
    total: int
    """Rows in all; 0 while the file is being read."""
    seconds_left: float | None
    output: Path | None
    """The labelled file of a finished job."""
    error: dict[str, str] | None
    """The parts of a UserError (what, where, todo) of a failed job."""
    notes: tuple[str, ...]
    """What to know of a finished job's file."""


def start_label_job(
    workspace: Workspace,
    run_id: str,
    file: TableFile,
    file_format: Literal["csv", "parquet"] = "csv",
    top_k: int = 1,
    *,
    text_columns: Sequence[str] = (),
    spreadsheet_safe: bool = True,
) -> str:
    """Start labelling a file with a run's model. Returns the job's id.

    Raises UserError where the run has no model or the job cannot be written or started.
    """
    folder = workspace.run(run_id)
    require_classes(run_model_facts(folder))
    job = folder.predictions / new_id()
    name = Path(file.path).name
    stem = re.sub(r"[^\w-]+", "_", name.split(".")[0])[:80] or "table"
    request = JobRequest(
        file=file,
        name=name,
        output=f"{stem}_labelled.{file_format}",
        top_k=top_k,
        text_columns=tuple(text_columns),
        spreadsheet_safe=spreadsheet_safe,
        created=time.time(),
    )
    try:
        job.mkdir(parents=True)
        (job / "job.json").write_text(request.model_dump_json(), encoding="utf-8")
        write_status(job, "running")
        _launch(job)
    except OSError as error:
        shutil.rmtree(job, ignore_errors=True)
        raise UserError(
            f"Labelling {name} could not be started ({error.strerror}).",
            str(workspace.root),
            "Free some space or choose another workspace with --workspace DIR.",
        ) from error
    return job.name


def _launch(job: Path) -> None:
    with (job / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "core.predict", "file", str(job)],
            cwd=PROJECT,
            env=worker_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Someone has to read its exit code, or it stays in the process table.
    threading.Thread(target=child.wait, name=f"label job {job.name}", daemon=True).start()
    try:
        started = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:
        started = time.time()  # it is over already; no process will match
    _write_json(job / "process.json", {"pid": child.pid, "started": started})


def label_job(workspace: Workspace, run_id: str, job_id: str) -> LabelJob:
    """How a job stands. Raises UserError where there is none of that id."""
    job = _folder(workspace, run_id, job_id)
    if _read_json(job / "status.json")["state"] == "running" and not _is_alive(job):
        _bury(job)
    status = _read_json(job / "status.json")
    request = job_folder_request(job)
    return LabelJob(
        id=job.name,
        state=status["state"],
        name=request.name,
        created=request.created,
        done=status["done"],
        total=status["total"],
        seconds_left=status["seconds_left"],
        output=job / request.output if status["state"] == "finished" else None,
        error=status["error"],
        notes=tuple(status["notes"]),
    )


def label_jobs(workspace: Workspace, run_id: str) -> list[LabelJob]:
    """Every job of a run, the newest first."""
    predictions = workspace.run(run_id).predictions
    ids = sorted((path.parent.name for path in predictions.glob("*/status.json")), reverse=True)
    return [label_job(workspace, run_id, job_id) for job_id in ids]


def cancel_label_job(workspace: Workspace, run_id: str, job_id: str) -> None:
    """End a running job and remove what it has half written; a job that has ended is left as it is."""
    job = _folder(workspace, run_id, job_id)
    process = _process(job)
    if process is not None:
        process.terminate()
        try:
            process.wait(END_GRACE_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(END_GRACE_SECONDS)
    if _read_json(job / "status.json")["state"] == "running":
        _remove_partials(job)
        write_status(job, "stopped")


def _bury(job: Path) -> None:
    """Note that a job's process is gone, unless its last word came meanwhile."""
    if _read_json(job / "status.json")["state"] != "running":
        return
    _remove_partials(job)
    error = UserError(
        "Labelling ended without a word: its process is gone.",
        str(job / "log.txt"),
        "Start it again. If it ends again, close other programs, as memory may be short, and read the log.",
    )
    write_status(job, "failed", error=error.parts())


def _remove_partials(job: Path) -> None:
    for partial in job.glob("*.partial"):
        partial.unlink(missing_ok=True)


def job_folder_request(job: Path) -> JobRequest:
    return JobRequest.model_validate_json((job / "job.json").read_text(encoding="utf-8"))


def write_status(
    job: Path,
    state: State,
    *,
    done: int = 0,
    total: int = 0,
    seconds_left: float | None = None,
    error: dict[str, str] | None = None,
    notes: Sequence[str] = (),
) -> None:
    content = {
        "state": state,
        "done": done,
        "total": total,
        "seconds_left": seconds_left,
        "error": error,
        "notes": list(notes),
    }
    _write_json(job / "status.json", content)


def _folder(workspace: Workspace, run_id: str, job_id: str) -> Path:
    predictions = workspace.run(run_id).predictions
    # Taken from what is there, so that no id can name a place elsewhere.
    found = [path.parent for path in predictions.glob("*/status.json") if path.parent.name == job_id]
    if not found:
        raise UserError(f"Run {run_id} has no labelling '{job_id}'.", "job", "Reload the page to see those it has.")
    return found[0]


def _is_alive(job: Path) -> bool:
    if not (job / "process.json").exists():
        # Between making the job and noting its process, or it died there.
        return time.time() - job_folder_request(job).created < START_GRACE_SECONDS
    return _process(job) is not None


def _process(job: Path) -> psutil.Process | None:
    """The job's process while it runs. A later process that was given the same pid is told by its start time."""
    if not (job / "process.json").exists():
        return None
    noted = _read_json(job / "process.json")
    try:
        process = psutil.Process(noted["pid"])
        if abs(process.create_time() - noted["started"]) > 5 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)
