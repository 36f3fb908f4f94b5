"""What a run was forecast to take and what it took, kept with it: as events of the run, and in its report.

The forecast is made by the worker as the run begins, from the same tables as the page's; the measurement when it is
finished. Of a run that was interrupted or changed on its way, forecast and actual are not held against each other.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.runs.store import Store
from core.training.devices import device_here
from core.training.job import Job, Phase
from core.training.speed import Manner, Measurement
from core.training.work import Work

if TYPE_CHECKING:
    from core.training.forecast import Forecast

FORECAST, MEASURED = "forecast", "measured"
"""Kinds of events."""
FORWARD = (
    *("nearest neighbours", "computing frozen layers", "evaluating", "evaluating validation", "evaluating test"),
    *("evaluating unknown classes", "scoring the untuned model", "measuring the untuned model"),
)
WRITING = ("reading free answers", "writing samples")
BASELINES = "baselines"


@dataclass(frozen=True)
class Pace:
    """Of the training in this process."""

    steps: int
    tokens: int
    """Without padding."""
    evaluations: int
    seconds: float
    """Of training steps alone."""
    evaluation_seconds: float


def tell_forecast(job: Job) -> None:
    """Keep what the run is forecast to take. Nothing is, where its file has changed since: its rows are frozen."""
    # A GPU machine that only measures has no DuckDB.
    from core.data.table import open_tables
    from core.training.forecast import forecast_run
    from core.training.reading import amount_for

    try:
        tables = open_tables(job.spec.data, job.folder.workspace)
        forecast = forecast_run(job.store, job.spec, amount_for(job.spec, tables), device_here())
    except UserError:
        return
    job.store.add_event(job.folder.id, FORECAST, forecast_content(forecast))


def forecast_content(forecast: "Forecast") -> dict[str, Any]:
    memory, device = forecast.memory, forecast.device
    return {
        "device": device.name,
        "kind": device.kind,
        "bytes": memory.bytes if memory is not None else None,
        **_compared(forecast),
        "parts": {part.name: part.bytes for part in memory.parts} if memory is not None else {},
        "seconds": forecast.seconds,
        "work": asdict(forecast.work) if forecast.work is not None else None,
        "manner": asdict(forecast.manner) if forecast.manner is not None else None,
    }


def _compared(forecast: "Forecast") -> dict[str, int | None]:
    """What the actual peak is held against, with and without what earlier runs corrected: on a GPU what torch itself
    holds there, without CUDA's own."""
    memory, workload = forecast.memory, forecast.workload
    if memory is None or workload is None:
        return {"compared_bytes": None, "uncorrected_bytes": None}
    correction = round((1 - 1 / workload.measured_ratio) * memory.bytes)
    framework = sum(part.bytes for part in memory.parts if part.name == "framework")
    uncorrected = memory.bytes - correction - (framework - correction if forecast.device.kind == "cuda" else 0)
    return {"compared_bytes": uncorrected + correction, "uncorrected_bytes": uncorrected}


def forecast_of(store: Store, run_id: str) -> dict[str, Any] | None:
    """The run's last one, as `forecast_content` gives it."""
    told = store.events(run_id, FORECAST)
    return told[-1].detail if told else None


def tell_measured(job: Job, training: Mapping[str, Any]) -> None:
    """Add a finished run to the speed table. training: of its report."""
    told = forecast_of(job.store, job.folder.id)
    if told is None or told["work"] is None or training.get("pace") is None or job.spec.split.folds:
        return
    run = job.store.run(job.folder.id)
    assert run.started is not None
    seconds = run.seconds + time.time() - run.started
    is_whole = len(job.store.events(job.folder.id, "running")) == 1 and not job.finish_only
    on_gpu = training["peak_gpu_memory_bytes"] is not None
    if not is_whole or on_gpu != (told["kind"] == "cuda"):
        return
    measured = measurement_of(told, Pace(**training["pace"]), phase_seconds(job.phases), seconds, training)
    job.store.add_event(job.folder.id, MEASURED, asdict(measured))


def phase_seconds(phases: Sequence[Phase]) -> dict[str, float]:
    """By name; of the last one till now. The last `evaluating` is the report's, not the model's."""
    found: dict[str, float] = {}
    ends = [phase.began for phase in phases[1:]] + [time.monotonic()]
    last = max((place for place, phase in enumerate(phases) if phase.name == "evaluating"), default=None)
    for place, (phase, end) in enumerate(zip(phases, ends, strict=True)):
        name = "report" if place == last else phase.name
        found[name] = found.get(name, 0.0) + end - phase.began
    return found


def measurement_of(
    told: Mapping[str, Any], pace: Pace, phases: Mapping[str, float], seconds: float, training: Mapping[str, Any]
) -> Measurement:
    work = Work(**told["work"])
    on_gpu = told["kind"] == "cuda"
    actual = training["peak_gpu_memory_bytes"] if on_gpu else training["peak_memory_bytes"]
    forward = sum(phases.get(name, 0.0) for name in FORWARD) + pace.evaluation_seconds
    baselines, writing = phases.get(BASELINES, 0.0), sum(phases.get(name, 0.0) for name in WRITING)
    return Measurement(
        device=told["device"],
        kind=told["kind"],
        manner=Manner(**told["manner"]),
        steps=pace.steps,
        tokens=pace.tokens,
        train_seconds=pace.seconds,
        train_work=work.token * pace.tokens,
        forward_seconds=forward,
        forward_work=work.evaluation * pace.evaluations + work.once,
        baseline_seconds=baselines,
        baseline_tokens=work.baseline_tokens,
        writing_seconds=writing,
        written_rows=work.written_rows,
        fixed_seconds=max(0.0, seconds - pace.seconds - forward - baselines - writing),
        seconds=seconds,
        forecast_seconds=told["seconds"],
        bytes=actual,
        forecast_bytes=told["compared_bytes"],
        uncorrected_bytes=told["uncorrected_bytes"],
    )
