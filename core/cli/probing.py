"""`launch.py plan --fit` and `--probe`: settings with which a run fits, and a few real steps of it."""

import time
from pathlib import Path
from typing import Any

from core.cli.answer import DONE, RUN_FAILED, STOPPED, Answer, note
from core.errors import UserError
from core.files import replacing
from core.probe_jobs import ProbeJob, as_too_large, probe_job, result_words, start_probe, stop_probe
from core.schema import RunSpec
from core.spec_files import spec_yaml
from core.training.fit import Fit, make_it_fit
from core.training.forecast import Forecast
from core.workspace import Workspace

SECONDS_BETWEEN_LOOKS = 0.5
STEPS_OF = "training"
"""The phase that counts steps; others count rows."""


def fit_of(forecast: Forecast, spec: RunSpec) -> Fit:
    """Raises UserError where the model's sizes are not known."""
    if forecast.workload is None:
        raise UserError(
            f"The sizes of {spec.model.source} are not known before it is loaded, so no settings can be looked for.",
            "model.source",
            "Try the settings with --probe, which loads it, or choose a model of the presets.",
        )
    return make_it_fit(forecast.spec or spec, forecast.workload, forecast.device, forecast.usual_tokens)


def write_fitted(fit: Fit, target: Path) -> None:
    """Raises UserError where the file cannot be written."""
    if target.suffix.lower() not in (".yaml", ".yml"):
        raise UserError(f"{target.name} is no .yaml file.", "--to", "End its name with .yaml: it becomes a spec.")
    try:
        with replacing(target) as partial:
            partial.write_text(spec_yaml(fit.spec), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{target} cannot be written ({error.strerror}).", "--to", "Give a file in a folder that exists."
        ) from error


def fit_answer(fit: Fit, target: Path | None) -> Answer:
    """What changes and why; with a target the fitted spec is written there. Raises UserError."""
    lines = [fit.words]
    for change in fit.changes:
        lines.append(f"  {change.key}: {_shown(change.before)} -> {_shown(change.after)}. {change.words}")
    if target is not None and not fit.fits:
        lines.append(f"Nothing was written to {target}.")
    elif target is not None:
        write_fitted(fit, target)
        lines.append(f"The fitted spec is in {target}; `python launch.py train {target}` starts it.")
    content = {
        "fits": fit.fits,
        "words": fit.words,
        "bytes": fit.forecast.bytes,
        "time": round(fit.time, 3),
        "changes": [vars(change) for change in fit.changes],
        "smaller": list(fit.smaller),
        "to": str(target.absolute()) if target is not None and fit.fits else None,
    }
    return Answer("\n".join(lines), content, DONE if fit.fits else RUN_FAILED)


def probe_answer(workspace: Workspace, spec: RunSpec, forecast: Forecast) -> Answer:
    """Wait for a probe; Ctrl-C ends it. Raises UserError where it cannot be started."""
    job_id = start_probe(workspace, spec, forecast)
    try:
        job = _wait(workspace, job_id)
    except KeyboardInterrupt:
        stop_probe(workspace, job_id)
        return Answer("The probe is stopped.", {"status": "stopped"}, STOPPED)
    content: dict[str, Any] = {"status": job.state, "out_of_memory": job.out_of_memory, "error": job.error}
    if job.result is not None:
        measured = {name: value for name, value in vars(job.result).items() if name != "forecast"}
        content |= measured | {"seconds": job.result.seconds, "fits": job.result.fits, "ratio": job.result.ratio}
        return Answer("\n".join(result_words(job.result)), content)
    assert job.error is not None
    lines = [f"{job.error['what']} {job.error['todo']}"]
    if job.out_of_memory and forecast.workload is not None:
        device, workload = forecast.device, as_too_large(forecast.workload, forecast)
        fit = fit_answer(make_it_fit(forecast.spec or spec, workload, device, forecast.usual_tokens), None)
        lines.append(fit.text)
        content["fit"] = fit.content
    return Answer("\n".join(lines), content, RUN_FAILED)


def _wait(workspace: Workspace, job_id: str) -> ProbeJob:
    told = ""
    while (job := probe_job(workspace, job_id)).state == "running":
        words = job.phase
        if job.total:
            words += f", {'step' if job.phase == STEPS_OF else 'row'} {job.done:,} of {job.total:,}"
        if words != told:
            note(words)
        told = words
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return job


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
