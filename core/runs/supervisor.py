"""One queue: starts a worker for the next run, asks it to stop, and finds out when one has died.

Anything that keeps a run alive is in the store or the run's folder, so any process may supervise: the app's thread, a
command line that waits for its run, or the next start of either.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from core.errors import UserError
from core.runs.store import ACTIVE, ENDED, RESUMABLE, Run, Store, open_store
from core.schema import RunSpec, short_name, shown_name
from core.spec_files import spec_yaml
from core.workspace import RunFolder, Workspace, new_id

PROJECT = Path(__file__).resolve().parents[2]
WORKER = [sys.executable, "-m", "core.training.worker"]
STOP_GRACE_SECONDS = 120
KILL_GRACE_SECONDS = 10
START_GRACE_SECONDS = 60


def submit(workspace: Workspace, spec: RunSpec) -> str:
    """Put a run in the queue. Returns its id. Raises UserError where the workspace is full or read-only."""
    store = open_store(workspace)
    folder = workspace.run(new_id())
    data_name = shown_name(spec.data.train)
    named = spec if spec.name else spec.model_copy(update={"name": f"{short_name(spec.data.train)}, {spec.preset}"})
    try:
        folder.root.mkdir(parents=True)
        folder.spec.write_text(spec_yaml(named), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder.root, ignore_errors=True)
        raise UserError(
            f"The run cannot be written to {workspace.root} ({error.strerror}).",
            str(workspace.root),
            "Free some space or choose another folder with --workspace DIR; the form keeps what you entered.",
        ) from error
    store.add_run(folder.id, named.name, named.preset, named.model.source, data_name)
    return folder.id


def stop(workspace: Workspace, run_id: str) -> None:
    """Ask a run to stop: a queued one leaves the queue, a running one finishes its step and saves a checkpoint."""
    store = open_store(workspace)
    if store.move(run_id, ["queued"], "stopped", "Taken out of the queue before it started."):
        return
    if not store.move(run_id, ["running"], "stopping", "Stop was asked for."):
        raise UserError(
            f"Run {run_id} is {store.run(run_id).state}, so there is nothing to stop.", "run", "Choose a running one."
        )


def resume(workspace: Workspace, run_id: str) -> None:
    """Queue a stopped, interrupted or failed run again; it goes on from its last whole checkpoint."""
    store = open_store(workspace)
    if not store.move(run_id, RESUMABLE, "queued", "Resumed."):
        raise UserError(
            f"Run {run_id} is {store.run(run_id).state} and cannot be resumed.",
            "run",
            "Only a stopped, interrupted or failed run can; to run a finished one again, duplicate it.",
        )


def finish(workspace: Workspace, run_id: str) -> None:
    """Queue a run that ended early to be evaluated and kept as it stands: its best checkpoint becomes the model."""
    store = open_store(workspace)
    if store.run(run_id).state in RESUMABLE:
        # Before the run is queued: a worker may take it at once.
        store.add_event(run_id, "finish_requested", {})
    resume(workspace, run_id)


def delete(workspace: Workspace, run_id: str) -> None:
    """Delete a run with its folder. Raises UserError while it runs."""
    store = open_store(workspace)
    if store.run(run_id).state in ACTIVE:
        raise UserError(f"Run {run_id} is still running.", "run", "Stop it first.")
    store.delete_run(run_id)
    shutil.rmtree(workspace.run(run_id).root, ignore_errors=True)


class Supervisor:
    """Holds the worker processes that it started, so that their exit codes can be read."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store: Store = open_store(workspace)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, interval_seconds: float = 0.5) -> None:
        def loop() -> None:
            while not self._closing.wait(interval_seconds):
                self.tick()

        self._thread = threading.Thread(target=loop, name="supervisor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop supervising. Workers go on."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def tick(self) -> None:
        """Notice what ended, push what should have stopped, start what waits."""
        for run in self.store.runs(limit=1000, states=ACTIVE):
            self._reconcile(run)
        claimed = self.store.claim_next()
        if claimed is not None:
            self._launch(claimed)

    def _launch(self, run: Run) -> None:
        folder = self.workspace.run(run.id)
        try:
            with folder.log.open("ab") as log:
                child = subprocess.Popen(
                    [*WORKER, str(folder.root)],
                    cwd=PROJECT,
                    env=worker_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            self.store.move(run.id, ["running"], "failed", f"The worker could not be started ({error.strerror}).")
            return
        self._children[run.id] = child
        try:
            self.store.set_process(run.id, child.pid, psutil.Process(child.pid).create_time())
        except psutil.NoSuchProcess:
            return  # it is over already; the next tick reads its exit code

    def _reconcile(self, run: Run) -> None:
        child = self._children.get(run.id)
        exit_code = child.poll() if child is not None else None
        if exit_code is None and (child is not None or _is_alive(run)):
            self._press(run)
            return
        self._children.pop(run.id, None)
        # The worker may have written its last state between our reading of the run and its exit.
        current = self.store.run(run.id)
        if current.state not in ACTIVE or current.started != run.started:
            return
        if current.state == "stopping":
            self.store.move(run.id, ["stopping"], "stopped", "Ended before it could save; its last checkpoint is kept.")
        elif exit_code is not None and exit_code > 0:
            tail = last_log_lines(self.workspace.run(run.id), 1)
            self.store.move(run.id, ["running"], "failed", f"The worker ended with code {exit_code}. {tail}".strip())
        else:
            how = _signal_name(-exit_code) if exit_code else "its process is gone"
            self.store.move(run.id, ["running"], "interrupted", f"The worker ended without a word ({how}).")

    def _press(self, run: Run) -> None:
        """A worker that does not stop by itself is terminated, then killed."""
        if run.state != "stopping" or run.pid is None:
            return
        asked = self.store.events(run.id, "stopping")[-1].time
        if time.time() - asked > STOP_GRACE_SECONDS + KILL_GRACE_SECONDS:
            psutil.Process(run.pid).kill()
        elif time.time() - asked > STOP_GRACE_SECONDS:
            psutil.Process(run.pid).terminate()


def run_to_end(workspace: Workspace, run_id: str, on_change: Callable[[Run], None] | None = None) -> Run:
    """Supervise until the run has ended; `on_change` is called with the run whenever it has moved on."""
    supervisor = Supervisor(workspace)
    seen: Run | None = None
    while True:
        supervisor.tick()
        run = supervisor.store.run(run_id)
        if run != seen and on_change is not None:
            on_change(run)
        seen = run
        if run.state in ENDED:
            return run
        time.sleep(0.2)


def worker_environment() -> dict[str, str]:
    """What a worker inherits: nothing in it may ask for a key, phone home or colour a log."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "UNSLOTH_DISABLE_STATISTICS": "1",
        "WANDB_SILENT": "true",
        "NO_COLOR": "1",
    }


def last_log_lines(folder: RunFolder, count: int) -> str:
    """The end of a run's log, at most 64 KB of it."""
    if not folder.log.exists():
        return ""
    with folder.log.open("rb") as log:
        log.seek(max(0, folder.log.stat().st_size - 65536))
        lines = log.read().decode("utf-8", errors="replace").splitlines()
    return "\n".join(line for line in lines[-count:] if line)


def _is_alive(run: Run) -> bool:
    if run.pid is None or run.pid_started is None:
        # Claimed but not yet entered: its supervisor is between the two, or died there.
        return run.started is not None and time.time() - run.started < START_GRACE_SECONDS
    try:
        process = psutil.Process(run.pid)
        # A clock that is corrected moves start times by some seconds; no pid comes round again as fast.
        return abs(process.create_time() - run.pid_started) < 5 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal_name(number: int) -> str:
    return f"killed by {signal.Signals(number).name}"
