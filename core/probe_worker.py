"""The process that tries a few steps of a run: `python -m core.probe_worker JOB_DIR`. Heavy: imports torch.

See core/probe_jobs.py. Where Unsloth refuses the model it begins once more without it, as a run does.
"""

import os
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from core.errors import UserError
from core.job_processes import write_json
from core.masking import mask_output, masked_error
from core.probe_jobs import SCRATCH, TODO, ProbeRequest, ProbeResult, request_of, write_probe_status, write_result
from core.runs.store import Store, open_store
from core.runs.supervisor import submit
from core.schema import RunSpec
from core.training.job import Job
from core.training.worker import leave_out_unused
from core.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from core.training.probe import Probed

SECONDS_BETWEEN_WRITES = 0.5
RUN = "probe"
WITHOUT_UNSLOTH = "TUNEDESK_PROBE_WITHOUT_UNSLOTH"
"""The environment variable with the reason, for the process that begins once more."""


def run_job(job: Path, own_process: bool = False) -> int:
    """Do what a job's folder asks. own_process: nothing but this happens in it. Returns the exit code."""
    request = request_of(job)
    workspace = Workspace(job.parent.parent)
    if own_process:
        leave_out_unused(request.spec)
        os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(workspace.compiled))
    scratch = job / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        probed = _probed(job, request, workspace, scratch)
    except BaseException as error:  # noqa: BLE001  the process's outer edge: the page must learn how it ended
        traceback.print_exc()
        _begin_without_unsloth(job, error)
        told, short = _explained(error, request.spec, job)
        shutil.rmtree(scratch, ignore_errors=True)
        write_probe_status(job, "failed", error=told.parts(), out_of_memory=short)
        return 1
    shutil.rmtree(scratch, ignore_errors=True)
    write_result(job, _result(probed, request))
    write_probe_status(job, "finished")
    return 0


def _probed(job: Path, request: ProbeRequest, workspace: Workspace, scratch: Path) -> "Probed":
    own = open_workspace(scratch)
    store = open_store(own)
    submit(own, request.spec, RUN)
    store.claim_next()
    refused = os.environ.get(WITHOUT_UNSLOTH)
    if refused:
        store.add_event(RUN, "backend_refused", {"reason": refused})
    with _telling(job, store) as tell:
        if request.spec.model.family == "causal":
            from core.models.causal import choose_backend

            # Only then: where unsloth is used, it has to come before transformers, which the probe imports.
            choose_backend(request.spec.model, request.spec.training, refused or "")
        from core.training.probe import probe

        return probe(Job(request.spec, own.run(RUN), store), workspace, tell)


class _Told:
    """How far the steps are, between the thread that takes them and the one that tells."""

    def __init__(self) -> None:
        self.steps: tuple[int, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        self.steps = done, total


@contextmanager
def _telling(job: Path, store: Store) -> Iterator[_Told]:
    """Within, status.json says what the scratch run is at."""
    over, told = threading.Event(), _Told()

    def tell() -> None:
        while not over.wait(SECONDS_BETWEEN_WRITES):
            progress = store.run(RUN).progress
            phase = progress.phase if progress is not None else "starting"
            done, total = told.steps or ((progress.step, progress.total_steps) if progress is not None else (0, 0))
            write_probe_status(job, "running", phase=phase, done=done, total=total)

    thread = threading.Thread(target=tell, name="telling", daemon=True)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        thread.join()


def _result(probed: "Probed", request: ProbeRequest) -> ProbeResult:
    peak = probed.peak_bytes
    if probed.on_gpu and probed.least_free_bytes is not None:
        # With what CUDA takes for itself: what was free before, less what was left.
        peak = max(peak, request.forecast.free_bytes - probed.least_free_bytes)
    return ProbeResult(
        peak_bytes=peak,
        torch_bytes=probed.peak_bytes if probed.on_gpu else None,
        process_bytes=probed.process_bytes,
        seconds_a_step=probed.seconds_a_step,
        steps=probed.steps,
        training_seconds=probed.steps * probed.seconds_a_step,
        evaluation_seconds=probed.evaluation_seconds,
        forecast=request.forecast,
    )


def _explained(error: BaseException, spec: RunSpec, job: Path) -> tuple[UserError, bool]:
    """In plain words; and whether memory was short."""
    from core.training.failures import another_way, explain, short_memory

    memory = short_memory(error)
    if memory is None:
        return masked_error(explain(error, job)), False
    rows = f"{spec.training.batch_size:,} {'row' if spec.training.batch_size == 1 else 'rows'}"
    longest = f"{spec.model.max_length:,} tokens at most"
    what = f"It does not fit: the {memory} ran out of memory at {rows} a batch, of {longest}."
    way = another_way(error, spec)
    if way is None:
        return explain(error, job), True
    settings = ", ".join(f"{name} {value}" for name, value in way.detail.items())
    return UserError(what, "training.batch_size", f"{TODO} A run would go on with {settings}."), True


def _begin_without_unsloth(job: Path, error: BaseException) -> None:
    """Comes back where it was not Unsloth that refused the model."""
    from core.models.causal import BackendRefusedError

    if isinstance(error, BackendRefusedError) and WITHOUT_UNSLOTH not in os.environ:
        os.environ[WITHOUT_UNSLOTH] = str(error)
        os.execv(sys.executable, [sys.executable, "-m", "core.probe_worker", str(job)])  # noqa: S606


if __name__ == "__main__":
    mask_output()
    folder = Path(sys.argv[1]).resolve()
    if WITHOUT_UNSLOTH in os.environ:
        # On Windows it is another process that begins again.
        own = psutil.Process()
        write_json(folder / "process.json", {"pid": own.pid, "started": own.create_time()})
    sys.exit(run_job(folder, own_process=True))
