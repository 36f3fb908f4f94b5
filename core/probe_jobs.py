"""A few real steps of a run before it begins, in a process of their own (core/probe_worker.py, core/training/probe.py).

A job is a folder, WORKSPACE/probes/JOB/: job.json (what is asked), process.json (who does it), status.json (how it
goes), log.txt, and result.json. The run that is tried lies in JOB/scratch, a workspace of its own, and goes with the
job's end: no run and no checkpoint is left. Light: no torch.
"""

import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.durations import rough
from core.errors import UserError
from core.job_processes import State, bury, gone_error, job_folders, launch, new_job, read_json, stop, write_json
from core.runs.causes import out_of_memory_kills
from core.runs.store import ACTIVE, open_store
from core.schema import Part, RunSpec
from core.training.forecast import Forecast
from core.training.measuring import forecast_content
from core.training.memory import Workload
from core.workspace import Workspace

SCRATCH = "scratch"
"""The workspace of the run that is tried, in the job's folder."""
KEPT = 10
"""Jobs that have ended, the newest; older ones go when another begins."""
TOO_LARGE = 1.05
"""Of the memory that was free: taken for what a run would have needed that did not get it."""
TODO = (
    "Make it fit (on the page the button of that name, else `python launch.py plan ... --fit`), or close other "
    "programs; then try again."
)


class Forecasted(Part):
    """What was foretold of the run, to hold the measurement against."""

    kind: Literal["cuda", "cpu"]
    device: str
    free_bytes: int
    """Before the probe."""
    bytes: int | None
    compared_bytes: int | None
    """Of `bytes` what the peak is held against: on a GPU without CUDA's own."""
    seconds: float | None


class ProbeRequest(Part):
    """job.json."""

    spec: RunSpec
    forecast: Forecasted
    kills: int | None
    """Processes that the kernel had ended for want of memory before it began."""
    created: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class ProbeResult:
    """Bytes and seconds as measured, and what they make of the whole run."""

    peak_bytes: int
    """What the run takes of the device: on a GPU with CUDA's own, where the driver tells that."""
    torch_bytes: int | None
    """The most that torch held on the GPU."""
    process_bytes: int | None
    """The most that the process held of the computer's memory."""
    seconds_a_step: float
    steps: int
    """Of the whole run."""
    training_seconds: float
    evaluation_seconds: float
    """Of the model: baselines and the report are not among it."""
    forecast: Forecasted

    @property
    def seconds(self) -> float:
        return self.training_seconds + self.evaluation_seconds

    @property
    def fits(self) -> bool:
        return self.peak_bytes <= self.forecast.free_bytes

    @property
    def ratio(self) -> float | None:
        """What it took to what was forecast; None without a forecast."""
        if not self.forecast.compared_bytes:
            return None
        taken = self.peak_bytes if self.torch_bytes is None else self.torch_bytes
        return taken / self.forecast.compared_bytes


@dataclass(frozen=True)
class ProbeJob:
    id: str
    state: State
    phase: str
    """What it is at, e.g. loading model."""
    done: int
    total: int
    """Of the phase, in steps or rows; 0 where that is not known."""
    created: float
    result: ProbeResult | None
    """Of a finished one."""
    error: dict[str, str] | None
    """The parts of a UserError (what, where, todo) of a failed one."""
    out_of_memory: bool
    """Whether it failed for want of memory."""


def start_probe(
    workspace: Workspace,
    spec: RunSpec,
    forecast: Forecast,
) -> str:
    """Start trying a run on the device that is here. Returns the job's id. forecast: of that run on that device.

    Raises UserError where a run or another probe is going on, or the job cannot be written or started.
    """
    _require_quiet(workspace)
    _tidy(workspace)
    content = forecast_content(forecast)
    told = Forecasted(
        free_bytes=forecast.device.free_bytes,
        **{name: content[name] for name in ("kind", "device", "bytes", "compared_bytes", "seconds")},
    )
    request = ProbeRequest(spec=spec, forecast=told, kills=out_of_memory_kills(), created=time.time())
    with new_job(workspace, workspace.probes, "The probe") as job:
        write_json(job / "job.json", request.model_dump(mode="json"))
        write_probe_status(job, "running", phase="starting")
        launch(job, ["-m", "core.probe_worker"])
    return job.name


def probe_job(workspace: Workspace, job_id: str) -> ProbeJob:
    """How a job stands. Raises UserError where there is none of that id."""
    job = _folder(workspace, job_id)
    request = request_of(job)
    if bury(job, request.created, SCRATCH):
        write_probe_status(job, "failed", **_why_gone(job, request))
    status = read_json(job / "status.json")
    return ProbeJob(
        id=job.name,
        state=status["state"],
        phase=status["phase"],
        done=status["done"],
        total=status["total"],
        created=request.created,
        result=_result(job, request) if status["state"] == "finished" else None,
        error=status["error"],
        out_of_memory=status["out_of_memory"],
    )


def probe_jobs(workspace: Workspace) -> list[ProbeJob]:
    """The newest first."""
    return [probe_job(workspace, job.name) for job in job_folders(workspace.probes)]


def stop_probe(workspace: Workspace, job_id: str) -> None:
    """End one that runs; one that has ended stays as it is."""
    job = _folder(workspace, job_id)
    if stop(job, SCRATCH):
        write_probe_status(job, "stopped")


def as_measured(workload: Workload, result: ProbeResult) -> Workload:
    """With which memory is forecast as the probe found it, for make_it_fit."""
    return replace(workload, measured_ratio=workload.measured_ratio * (result.ratio or 1.0))


def as_too_large(workload: Workload, forecast: Forecast) -> Workload:
    """Likewise where the probe ran out of memory: it takes more than there is."""
    needed = forecast.memory.bytes if forecast.memory is not None else 0
    if not needed or needed > forecast.device.free_bytes:
        return workload
    return replace(workload, measured_ratio=workload.measured_ratio * TOO_LARGE * forecast.device.free_bytes / needed)


def write_probe_status(
    job: Path,
    state: State,
    *,
    phase: str = "",
    done: int = 0,
    total: int = 0,
    error: dict[str, str] | None = None,
    out_of_memory: bool = False,
) -> None:
    content = {"state": state, "phase": phase, "done": done, "total": total, "error": error}
    write_json(job / "status.json", content | {"out_of_memory": out_of_memory})


def write_result(job: Path, result: ProbeResult) -> None:
    content = asdict(result)
    del content["forecast"]
    write_json(job / "result.json", content)


def request_of(job: Path) -> ProbeRequest:
    return ProbeRequest.model_validate_json((job / "job.json").read_text(encoding="utf-8"))


def result_words(result: ProbeResult) -> tuple[str, ...]:
    """What was found, in sentences: the first says whether it fits."""
    forecast = result.forecast
    free = f"{forecast.free_bytes / 1e9:.1f} GB that were free on {forecast.device}"
    fits = f"It fits: {_size(result.peak_bytes)} of the {free}."
    if not result.fits:
        fits = f"It ran, but took {_size(result.peak_bytes)}, more than the {free}: other programs had to give way."
    ratio = result.ratio
    if ratio is not None and forecast.bytes is not None:
        held = f"The forecast was {_size(forecast.bytes)}"
        fits += f" {held}, {_share(ratio)}."
    pace = (
        f"A step takes {_seconds(result.seconds_a_step)}: {_seconds(result.training_seconds)} for all "
        f"{result.steps:,}, and {_seconds(result.evaluation_seconds)} to evaluate the model."
    )
    if forecast.seconds is not None:
        pace += f" The forecast for the whole run was {_seconds(forecast.seconds)}."
    return fits, pace


def _share(ratio: float) -> str:
    if abs(1 / ratio - 1) < 0.005:
        return "which is what it took"
    return f"{100 * abs(1 / ratio - 1):.0f} % too {'high' if ratio < 1 else 'low'}"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else rough(seconds)


def _result(job: Path, request: ProbeRequest) -> ProbeResult:
    return ProbeResult(**read_json(job / "result.json"), forecast=request.forecast)


def _require_quiet(workspace: Workspace) -> None:
    if open_store(workspace).runs(limit=1, states=ACTIVE):
        raise UserError(
            "A run is training: beside it neither memory nor time could be measured.", "run", "Wait for it, or stop it."
        )
    if any(job.state == "running" for job in probe_jobs(workspace)):
        raise UserError("Another probe is going on.", "probe", "Wait for it, or stop it.")


def _tidy(workspace: Workspace) -> None:
    """None runs now."""
    for old in job_folders(workspace.probes)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _why_gone(job: Path, request: ProbeRequest) -> dict[str, Any]:
    """What write_probe_status gets of one whose process is gone: whether memory was short, as far as it is known."""
    kills = out_of_memory_kills()
    if kills is not None and request.kills is not None and kills > request.kills:
        error = UserError("It does not fit: the computer ran out of memory.", "training.batch_size", TODO)
        return {"error": error.parts(), "out_of_memory": True}
    return {"error": gone_error(job, "The probe")}


def _folder(workspace: Workspace, job_id: str) -> Path:
    # Taken from what is there, so that no id can name a place elsewhere.
    found = [job for job in job_folders(workspace.probes) if job.name == job_id]
    if not found:
        raise UserError(f"There is no probe '{job_id}'.", "probe", "Start one.")
    return found[0]
