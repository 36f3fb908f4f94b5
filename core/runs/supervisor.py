"""One queue: starts a worker for the next run on each free device, asks it to stop, and finds out when one has died.

Anything that keeps a run alive is in the store or the run's folder, so any process may supervise: the app's thread, a
command line that waits for its run, or the next start of either. Whether a worker lives is told by the lock that it
holds (core/runs/locks.py), by its pid, and for as long as it is still importing by the time that it began.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from core.errors import UserError
from core.files import new_folder, replacing
from core.runs.causes import LAST_LINES, out_of_memory_kills, silent_end, was_killed_for_memory
from core.runs.leftovers import remove_leftovers
from core.runs.locks import has_worker
from core.runs.memory_ladder import go_on_after_kill
from core.runs.queue import FINISH_REQUESTED, STOP_ASKED, device_environment, devices
from core.runs.store import ACTIVE, ENDED, RESUMABLE, Run, Store, open_store
from core.runs.sweeps import advance
from core.schema import RunSpec, short_name, shown_name
from core.spec_files import spec_yaml
from core.workspace import RunFolder, Workspace, new_id

PROJECT = Path(__file__).resolve().parents[2]
WORKER = [sys.executable, "-m", "core.training.worker"]
STOP_GRACE_SECONDS = 120
KILL_GRACE_SECONDS = 10
START_GRACE_SECONDS = 60
FEW_SHAPES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "16"}
"""On a processor oneDNN (and ideep, PyTorch's bridge to it) keeps what it prepared for each shape of product, with room
to work in: 1,024 of them, more memory than a small model takes, as batches of texts have many shapes
(oneapi-src.github.io/oneDNN/dev_guide_primitive_cache.html; ideep's lru_cache.hpp). benchmarks/processor_memory.py has
both sides."""


def submit(workspace: Workspace, spec: RunSpec, run_id: str | None = None, draft_id: str = "") -> str:
    """Put a run in the queue. Returns its id, a new one where none is given; of a draft that was started already, the
    id of that run.

    Raises UserError where the workspace is full or read-only.
    """
    store = open_store(workspace)
    folder = workspace.run(run_id or new_id())
    data_name = shown_name(spec.data.train)
    named = spec if spec.name else spec.model_copy(update={"name": f"{short_name(spec.data.train)}, {spec.preset}"})
    try:
        with new_folder(folder.root):
            with replacing(folder.spec) as partial:
                partial.write_text(spec_yaml(named), encoding="utf-8")
            added = store.add_run(folder.id, named.name, named.preset, named.model.source, data_name, draft_id)
    except (OSError, sqlite3.OperationalError) as error:
        raise UserError(
            f"The run cannot be written to {workspace.root} ({error}).",
            str(workspace.root),
            "Free some space or choose another folder with --workspace DIR; the form keeps what you entered.",
        ) from error
    if added != folder.id:
        shutil.rmtree(folder.root, ignore_errors=True)
    return added


def stop(workspace: Workspace, run_id: str) -> None:
    """Ask a run to stop: a queued one leaves the queue, a running one finishes its step and saves a checkpoint."""
    store = open_store(workspace)
    if store.move(run_id, ["queued"], "stopped", "Taken out of the queue before it started."):
        return
    if not store.move(run_id, ["running"], "stopping", STOP_ASKED):
        raise UserError(
            f"Run {run_id} is {store.run(run_id).state}, so there is nothing to stop.", "run", "Choose a running one."
        )


def resume(workspace: Workspace, run_id: str) -> None:
    """Queue a stopped, interrupted or failed run again; it goes on from its last whole checkpoint."""
    _queue_again(open_store(workspace), run_id, "Resumed.", is_finishing=False)


def finish(workspace: Workspace, run_id: str) -> None:
    """Queue a run that ended early to be measured and kept as it is: its best checkpoint becomes the model."""
    store = open_store(workspace)
    run = store.run(run_id)
    if run.state in RESUMABLE and not can_finish(workspace, run):
        raise UserError(
            f"Run {run_id} ended before its first checkpoint, so there is no model to keep.", "run", "Resume it."
        )
    _queue_again(store, run_id, "It trains no further: what it has learned is measured and kept.", is_finishing=True)


def can_finish(workspace: Workspace, run: Run) -> bool:
    """Whether it ended early, with something learned."""
    return run.state in RESUMABLE and any(workspace.run(run.id).checkpoints.glob("checkpoint-*/trainer_state.json"))


def _queue_again(store: Store, run_id: str, reason: str, *, is_finishing: bool) -> None:
    # What was asked for last holds, also for a worker that has to begin once more.
    told = is_finishing or store.events(run_id, FINISH_REQUESTED)
    events = [(FINISH_REQUESTED, {"wanted": is_finishing})] if told else []
    if not store.move(run_id, RESUMABLE, "queued", reason, events=events):
        raise UserError(
            f"Run {run_id} is {store.run(run_id).state} and cannot be resumed.",
            "run",
            "Only a stopped, interrupted or failed run can; to run a finished one again, duplicate it.",
        )


def delete(workspace: Workspace, run_id: str) -> None:
    """Delete a run with its folder. Raises UserError while it runs."""
    store = open_store(workspace)
    if store.run(run_id).state in ACTIVE:
        raise UserError(f"Run {run_id} is still running.", "run", "Stop it first.")
    store.delete_run(run_id)
    shutil.rmtree(workspace.run(run_id).root, ignore_errors=True)


class Supervisor:
    """Holds the worker processes that it started, so that their exit codes can be read."""

    def __init__(self, workspace: Workspace, make_room: Callable[[], None] | None = None) -> None:
        """make_room: called before a run begins, which may want the GPU's memory whole."""
        self.workspace = workspace
        self._make_room = make_room
        self.store: Store = open_store(workspace)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, interval_seconds: float = 0.5) -> None:
        """Supervise in a thread of its own; workers of an earlier supervisor are found and followed."""
        self._adopt()

        def loop() -> None:
            self._tidy()
            told = ""
            while not self._closing.wait(interval_seconds):
                try:
                    self.tick()
                except (sqlite3.Error, OSError, UserError) as error:
                    # A full disk, a locked store, a run that is deleted meanwhile: the next look finds what there is.
                    if str(error) != told:
                        print(f"Runs cannot be looked after just now: {error}", flush=True)
                    told = str(error)
                    continue
                told = ""

        self._thread = threading.Thread(target=loop, name="supervisor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop supervising. Workers go on."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _adopt(self) -> None:
        for run in self.store.runs(limit=1000, states=ACTIVE):
            if self._lives(run):
                self.store.add_event(run.id, "adopted", {"pid": run.pid, "by": os.getpid()})

    def _tidy(self) -> None:
        """A worker that was killed right after its run had finished leaves its checkpoints."""
        for run in self.store.runs(limit=self.store.count_runs(), states=("finished",)):
            if self.workspace.run(run.id).checkpoints.exists():
                remove_leftovers(self.workspace.run(run.id))

    def _lives(self, run: Run) -> bool:
        if run.pid is None:
            # Claimed but not yet entered: its supervisor is between the two, or died there.
            return run.started is not None and abs(time.time() - run.started) < START_GRACE_SECONDS
        return has_worker(self.workspace.run(run.id), run.pid, lambda pid: _began_then(run, pid))

    def tick(self) -> None:
        """Notice what ended, push what should have stopped, start what waits."""
        active = self.store.runs(limit=1000, states=ACTIVE)
        for run in active:
            self._reconcile(run)
        self._forget_ended({run.id for run in active})
        advance(self.workspace, self.store, submit, len(devices()))
        claimed = self.store.claim_next(devices())
        if claimed is not None:
            if self._make_room is not None:
                self._make_room()
            self._launch(claimed)

    def _forget_ended(self, active: set[str]) -> None:
        """A worker whose run has ended is to leave the process table, too: its exit code is read."""
        for run_id, child in list(self._children.items()):
            if run_id not in active and child.poll() is not None:
                del self._children[run_id]

    def _launch(self, run: Run) -> None:
        folder = self.workspace.run(run.id)
        self.store.add_event(run.id, "worker", {"out_of_memory_kills": out_of_memory_kills()})
        try:
            with folder.log.open("ab") as log:
                child = subprocess.Popen(
                    [*WORKER, str(folder.root)],
                    cwd=PROJECT,
                    env={
                        # Unsloth writes code that it makes for a model, else into the folder where it runs.
                        "UNSLOTH_COMPILE_LOCATION": str(self.workspace.compiled),
                        **worker_environment(),
                        **device_environment(self.store, run.id),
                    },
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
        if exit_code is None and (child is not None or self._lives(run)):
            self._press(run)
            return
        self._children.pop(run.id, None)
        # The worker may have written its last state between our reading of the run and its exit.
        current = self.store.run(run.id)
        if current.state not in ACTIVE or current.started != run.started:
            return
        folder = self.workspace.run(run.id)
        lines = last_log_lines(folder, LAST_LINES)
        before = self.store.events(run.id, "worker")
        kills = before[-1].detail["out_of_memory_kills"] if before else None
        if was_killed_for_memory(exit_code, kills) and go_on_after_kill(self.store, folder, current):
            return
        cause = silent_end(current, folder, exit_code, lines, kills)
        if current.state == "stopping":
            self.store.move(run.id, ["stopping"], "stopped", "Ended before it could save; its last checkpoint is kept.")
        else:
            state = "failed" if exit_code is not None and exit_code > 0 else "interrupted"
            self.store.move(run.id, ["running"], state, cause.what, error=cause.parts() | {"log": lines})

    def _press(self, run: Run) -> None:
        """A worker that does not stop by itself is terminated, then killed."""
        if run.state != "stopping" or run.pid is None:
            return
        asked = self.store.events(run.id, "stopping")[-1].time
        waited = time.time() - asked
        if waited > STOP_GRACE_SECONDS:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(run.pid)
                if waited > STOP_GRACE_SECONDS + KILL_GRACE_SECONDS:
                    process.kill()
                else:
                    process.terminate()


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
        **FEW_SHAPES,
        # As nvidia-smi and NVML count; CUDA itself counts from the fastest on.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
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


def _began_then(run: Run, pid: int) -> bool:
    try:
        # A clock that is corrected moves start times by some seconds; no pid comes round again as fast.
        return run.pid_started is not None and abs(psutil.Process(pid).create_time() - run.pid_started) < 5
    except psutil.NoSuchProcess:
        return False
