"""What may happen to a run overnight, with real processes: kills at random moments, a full disk, a locked store.

`python launch.py test tests/flow/test_faults.py --faults full` kills as often as is claimed (20 workers, 10 servers);
without it a share of that. Each test prints how many faults it tried and how many the run survived: no metric lost or
changed, no run in a wrong state, all resumable.
"""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import UserError
from core.runs import causes, supervisor
from core.runs.locks import lock_workspace
from core.runs.store import ENDED, open_store
from core.runs.supervisor import PROJECT, Supervisor, run_to_end, submit
from core.schema import EvaluationSpec
from core.store_check import check_store
from core.training.checkpoints import STAGING
from core.workspace import open_workspace
from tests.flow.conftest import tiny_spec, to_end_here

PATIENCE_SECONDS = 300
STEPS = 60
MOMENTS = (
    "computing frozen layers", "checkpoint", "training", "evaluating", "reading data", "saving", "tokenising",
    "training", "checkpoint", "loading model",
)  # fmt: skip


@pytest.fixture
def full(request) -> bool:
    return request.config.getoption("--faults") == "full"


@pytest.fixture
def say(capsys):
    def figures(fault: str, tried: int, survived: int) -> None:
        with capsys.disabled():
            print(f"\n  {fault:<52} tried {tried:>3}   survived {survived:>3}", flush=True)

    return figures


@pytest.fixture
def spec(questions, tiny_bert):
    """Frozen layers that are kept, and a checkpoint every ten steps."""
    made = tiny_spec(
        questions, tiny_bert, {"method": "freeze", "frozen_layers": 2}, max_steps=STEPS, evaluate_every_steps=10,
        batch_size=7, prefix_cache="disk",
    )  # fmt: skip
    return made.model_copy(update={"evaluation": EvaluationSpec(baselines=False)})


def figures_of(store, run_id):
    names = ["train/loss", "train/grad_norm", "validation/loss", "validation/macro_f1"]
    return {(point.name, point.step): point.value for point in store.metrics(run_id, names)}


def assert_whole(workspace, run_id, seen=None):
    """Finished, every step and evaluation measured once, and what was seen before a fault is as it was."""
    store = open_store(workspace)
    run = store.run(run_id)
    assert run.state == "finished", f"{run.reason}\n{workspace.run(run_id).log.read_text(encoding='utf-8')}"
    found = figures_of(store, run_id)
    assert sorted(step for name, step in found if name == "train/loss") == list(range(1, STEPS + 1))
    assert sorted(step for name, step in found if name == "validation/loss") == list(range(10, STEPS + 1, 10))
    for key, value in (seen or {}).items():
        assert found[key] == pytest.approx(value, abs=1e-6)
    # They go right after the store says finished.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while workspace.run(run_id).checkpoints.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not workspace.run(run_id).checkpoints.exists()


def reached(workspace, run, moment) -> bool:
    if moment == "checkpoint":
        return (workspace.run(run.id).checkpoints / STAGING).exists()
    return run.progress is not None and run.progress.phase == moment


def supervised_until(watcher, run_id, condition):
    """Ticks until `condition(run)` or the run has ended."""
    deadline, looked = time.monotonic() + PATIENCE_SECONDS, 0.0
    while time.monotonic() < deadline:
        if time.monotonic() - looked > 0.2:
            looked = time.monotonic()
            watcher.tick()
        run = watcher.store.run(run_id)
        if run.state in ENDED or condition(run):
            return run
        time.sleep(0.002)
    raise AssertionError(f"run {run_id} is {run.state}: {run.reason}")


def test_workers_killed_at_random_moments(workspace, spec, full, say):
    chance, watcher = random.Random(7), Supervisor(workspace)
    wanted, tried, survived = (20, 0, 0) if full else (3, 0, 0)
    run_id, seen, attempts = submit(workspace, spec), {}, 0
    while tried < wanted and attempts < 3 * wanted:
        moment = MOMENTS[attempts % len(MOMENTS)]
        attempts += 1
        run = supervised_until(watcher, run_id, lambda run, moment=moment: reached(workspace, run, moment))
        if run.state == "finished":
            assert_whole(workspace, run_id, seen)
            run_id, seen = submit(workspace, spec), {}
            continue
        time.sleep(chance.random() * (0.02 if moment == "checkpoint" else 0.3))
        pid = watcher.store.run(run_id).pid
        if pid is None:
            continue
        os.kill(pid, signal.SIGKILL)
        run = supervised_until(watcher, run_id, lambda _: False)
        tried += 1
        # The kill may come a breath after the run has finished.
        assert run.state in ("interrupted", "finished"), run.reason
        seen |= figures_of(watcher.store, run_id)
        survived += 1
        if run.state == "interrupted":
            assert run.error["log"]
            supervisor.resume(workspace, run_id)
        else:
            run_id, seen = submit(workspace, spec), {}
    to_end_here(workspace, run_id)
    assert_whole(workspace, run_id, seen)
    assert check_store(workspace) == []
    say("SIGKILL of the worker", tried, survived)
    assert tried == wanted


SERVER = (
    "import sys; from core.workspace import open_workspace; from ui.app import serve\n"
    "serve(open_workspace(sys.argv[1]), open_browser=False)"
)


def started_server(workspace):
    note = workspace.root / "server.json"
    note.unlink(missing_ok=True)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(workspace.root)], cwd=PROJECT, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not note.exists() and server.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.poll() is None and note.exists()
    return server


def test_servers_killed_at_random_moments(workspace, spec, full, say):
    chance, kills = random.Random(3), 10 if full else 2
    store = open_store(workspace)
    runs = [submit(workspace, spec) for _ in range(kills // 4 + 1)]
    for number in range(kills):
        server = started_server(workspace)
        if number == 0:
            with pytest.raises(UserError, match=r"open on this workspace already, at http://127"):
                lock_workspace(workspace)
        time.sleep(chance.random() * 4)
        server.kill()
        server.wait()
    for run_id in runs:
        run = run_to_end(workspace, run_id)
        if run.state == "interrupted":  # killed between taking the run and starting its worker
            supervisor.resume(workspace, run_id)
            run = run_to_end(workspace, run_id)
        assert_whole(workspace, run_id)
    starts = sum(event.kind == "running" for run_id in runs for event in store.events(run_id))
    assert starts <= len(runs) + 1
    assert check_store(workspace) == []
    say("SIGKILL of the server", kills, kills)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 320 MB of its own; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no disk can be mounted here (it needs the rights of an administrator)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(folder, leave_bytes):
    """A file that leaves so much of the disk; returns it."""
    filler = folder / "filler"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with filler.open("ab") as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave_bytes))
    return filler


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a disk in memory")
def test_a_disk_that_gets_full(small_disk, spec, full, say):
    workspace = open_workspace(small_disk / "workspace")
    long = spec.model_copy(update={"training": spec.training.model_copy(update={"max_steps": STEPS})})
    run_id, watcher = submit(workspace, long), Supervisor(workspace)
    supervised_until(watcher, run_id, lambda run: run.progress is not None and run.progress.phase == "training")
    filler = fill(small_disk, 100 * 2**20)
    run = supervised_until(watcher, run_id, lambda _: False)
    filler.unlink()
    if run.state != "finished":
        assert run.state == "stopped" and "disk is nearly full" in run.reason
        supervisor.resume(workspace, run_id)
        assert to_end_here(workspace, run_id).state == "finished"
    assert_whole(workspace, run_id)
    if not full:
        say("disk nearly full", 1, 1)
        return
    # And one that is full to the last byte, store and all.
    second = submit(workspace, long)
    supervised_until(watcher, second, lambda run: reached(workspace, run, "tokenising"))
    filler = fill(small_disk, 0)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        # Neither the supervisor nor whoever reads the store may count on it now.
        with contextlib.suppress(sqlite3.Error, OSError):
            watcher.tick()
            if watcher.store.run(second).state in ENDED:
                break
        time.sleep(0.2)
    filler.unlink()
    run = supervised_until(watcher, second, lambda _: False)
    if run.state != "finished":
        assert run.state in ("failed", "interrupted", "stopped")
        supervisor.resume(workspace, second)
        run_to_end(workspace, second)
    assert_whole(workspace, second)
    say("disk full", 2, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a disk in memory")
def test_a_workspace_that_cannot_be_written(small_disk, spec, full, say):
    workspace = open_workspace(small_disk / "workspace")
    store = open_store(workspace)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError):
        submit(workspace, spec)
    with pytest.raises(UserError):
        lock_workspace(workspace)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert store.count_runs() == 0 and list(workspace.runs.iterdir()) == []
    run_id = submit(workspace, spec)
    if full:
        assert run_to_end(workspace, run_id).state == "finished"
        assert_whole(workspace, run_id)
    say("read-only workspace", 1, 1)


def test_a_clock_that_goes_back(workspace, spec, say, monkeypatch):
    monkeypatch.setattr(supervisor, "WORKER", [sys.executable, "-m", "tests.flow.worker_with_clock_back"])
    run_id, watcher = submit(workspace, spec), Supervisor(workspace)
    supervised_until(watcher, run_id, lambda run: run.progress is not None and run.progress.phase == "training")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 7200)
    # Another supervisor, as after a restart of the server: it knows the worker by its lock.
    run = supervised_until(Supervisor(workspace), run_id, lambda _: False)
    assert run.state == "finished" and run.seconds >= 0
    monkeypatch.undo()
    assert_whole(workspace, run_id)
    say("clock going back", 1, 1)


def test_two_browsers_that_press_train_at_once(workspace, spec, full, say):
    draft = open_store(workspace).save_draft(None, {"name": "pressed twice"})
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: submit(workspace, spec, draft_id=draft), range(8)))
        watchers = [Supervisor(workspace) for _ in range(4)]
        list(pool.map(lambda watcher: watcher.tick(), watchers))
    assert len(set(made)) == 1 and open_store(workspace).count_runs() == 1
    (watcher,) = [watcher for watcher in watchers if watcher._children]
    if full:
        run_to_end(workspace, made[0])
        assert_whole(workspace, made[0])
    else:
        watcher._children[made[0]].kill()
    say("Train pressed at once", 8, 8)


def test_a_store_that_another_writer_holds_for_ten_seconds(workspace, spec, say):
    run_id, watcher = submit(workspace, spec), Supervisor(workspace)
    supervised_until(watcher, run_id, lambda run: run.progress is not None and run.progress.phase == "tokenising")
    with contextlib.closing(sqlite3.connect(workspace.database, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(10)
        other.execute("COMMIT")
    assert run_to_end(workspace, run_id).state == "finished"
    assert_whole(workspace, run_id)
    say("store locked for 10 s", 1, 1)


def test_too_little_memory_climbs_down_the_ladder_and_says_each_step(workspace, spec, say, monkeypatch):
    monkeypatch.setattr(supervisor, "WORKER", [sys.executable, "-m", "tests.flow.worker_with_little_memory"])
    assert_climbed_down(workspace, spec, monkeypatch)
    say("out of memory", 2, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's counters are Linux's")
def test_a_worker_that_the_kernel_ends_for_memory_climbs_down_too(workspace, spec, say, monkeypatch, tmp_path):
    counts = tmp_path / "memory.events"
    counts.write_text("oom_kill 0\n")
    monkeypatch.setattr(supervisor, "WORKER", [sys.executable, "-m", "tests.flow.worker_killed_for_memory"])
    monkeypatch.setattr(causes, "_counters", lambda: [counts])
    monkeypatch.setenv("KERNEL_COUNTS", str(counts))
    run_id = assert_climbed_down(workspace, spec, monkeypatch)
    killed = [event.detail for event in open_store(workspace).events(run_id, "killed_for_memory")]
    assert [detail["kills"] for detail in killed] == [1, 2] and counts.read_text() == "oom_kill 2\n"
    assert "The system ended the run to free some memory." in workspace.run(run_id).log.read_text(encoding="utf-8")
    assert check_store(workspace) == []
    say("killed by the kernel for memory", 2, 2)


def assert_climbed_down(workspace, spec, monkeypatch):
    """A run of two rows a batch where none fit ends whole, and says how; returns its id."""
    monkeypatch.setenv("ROWS_THAT_FIT", "0")
    small = spec.training.model_copy(update={"batch_size": 2, "evaluation_batch_size": 2})
    run_id = submit(workspace, spec.model_copy(update={"training": small}))
    run = run_to_end(workspace, run_id)
    store = open_store(workspace)
    assert run.state == "finished", workspace.run(run_id).log.read_text(encoding="utf-8")
    steps = ("smaller_batch", "gradient_checkpointing")
    taken = [(event.kind, event.detail) for event in store.events(run_id) if event.kind in steps]
    assert taken == [
        ("smaller_batch", {"batch_size": 1, "gradient_accumulation": 2, "evaluation_batch_size": 1}),
        ("gradient_checkpointing", {"gradient_checkpointing": True}),
    ]
    log = workspace.run(run_id).log.read_text(encoding="utf-8")
    assert "2 rows a step as before" in log and "gradient checkpointing" in log
    assert_whole(workspace, run_id)
    return run_id
