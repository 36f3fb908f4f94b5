"""Causes in plain words, also of a worker that died without one; the memory ladder; locks; what a checkpoint is."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
import torch

from core.errors import UserError
from core.runs import causes, heartbeat
from core.runs.causes import cause_in_words, silent_end
from core.runs.heartbeat import beating, silent_seconds
from core.runs.locks import has_worker, lock_run, lock_workspace
from core.runs.memory_ladder import KILLS_ANSWERED, as_it_fits, go_on_after_kill, next_step
from core.runs.store import Progress, open_store
from core.runs.supervisor import PROJECT, Supervisor, submit
from core.schema import ModelSpec, RunSpec
from core.spec_files import read_spec
from core.training.checkpoints import (
    MANIFEST,
    best_checkpoint,
    keep_best_and_last,
    put_in_place,
    remove_torn_checkpoints,
    staging_folder,
    whole_checkpoints,
)
from core.training.failures import another_way, explain
from tests.run_folders import run_spec

SAID = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.": causes.GPU_MEMORY,
    "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory": causes.MEMORY,
    "OSError: [Errno 28] No space left on device": "The disk of the workspace is full.",
    "OSError: [Errno 30] Read-only file system: 'log.txt'": "disk became read-only",
    "torch.AcceleratorError: CUDA error: unspecified launch failure": causes.DRIVER,
    # Of full memory torch says more, on a line of its own.
    "RuntimeError: CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in CUDA__TYPES.html": (
        causes.GPU_MEMORY
    ),
    "RuntimeError: CUDA driver error: out of memory": causes.GPU_MEMORY,
    "huggingface_hub.errors.GatedRepoError: 401 Client Error.": "The model hub refused the model.",
    "OSError: We couldn't connect to 'https://huggingface.co' to load the files": "The model hub did not answer.",
}


@pytest.mark.parametrize(("line", "cause"), SAID.items())
def test_what_libraries_say_becomes_a_cause_with_something_to_do(line, cause, tmp_path):
    told = cause_in_words(f"10:00:00 training\nTraceback (most recent call last):\n  File x\n{line}")
    assert cause in told.what and told.todo
    assert cause_in_words("10:00:00 training\nall is well") is None
    kind, _, words = line.partition(": ")
    error = {"OSError": OSError, "RuntimeError": RuntimeError}.get(kind, RuntimeError)(words)
    if kind in ("OSError", "RuntimeError") and "Errno 28" not in line:
        assert cause in explain(error, tmp_path).what


@pytest.fixture
def running(workspace):
    store = open_store(workspace)
    run_id = submit(workspace, run_spec())
    store.claim_next()
    return store.run(run_id), workspace.run(run_id)


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(-9, "SIGKILL"), (-15, "told to end from outside"), (-7, "full or failing disk"), (-11, "crashed inside"),
     (3, "code 3. the last line"), (None, "its process is gone")],
)  # fmt: skip
def test_a_death_without_a_word_is_told_by_how_it_came(running, exit_code, words):
    told = silent_end(*running, exit_code, "something\nthe last line", causes.out_of_memory_kills())
    assert words in told.what and "esume" in told.todo


def test_a_worker_that_the_kernel_ended_for_memory_is_told_by_its_counter(running, monkeypatch):
    monkeypatch.setattr(causes, "out_of_memory_kills", lambda: 4)
    assert causes.MEMORY in silent_end(*running, -9, "", 3).what
    assert causes.MEMORY in silent_end(*running, None, "", 3).what
    assert causes.MEMORY not in silent_end(*running, -9, "", 4).what
    assert "restarted" in told_after_a_restart(running, monkeypatch)


def killed(store, folder, phase="training"):
    """As a supervisor does where the kernel ended the worker; True where the run goes on."""
    store.set_progress(folder.id, Progress(phase))
    if goes_on := go_on_after_kill(store, folder, store.run(folder.id)):
        assert store.claim_next().id == folder.id
    return goes_on


def test_a_run_that_the_kernel_ends_goes_on_smaller_and_not_for_ever(workspace, running):
    store, folder = open_store(workspace), running[1]
    assert not killed(store, folder, "baselines")
    rows = []
    while killed(store, folder):
        training = as_it_fits(read_spec(folder.spec), store.events(folder.id)).training
        rows.append((training.batch_size, training.gradient_accumulation))
    assert rows == [(16, 2), (8, 4), (4, 8), (2, 16), (1, 32), (1, 32)][:KILLS_ANSWERED]
    assert "The system ended the run to free some memory" in store.events(folder.id, "queued")[-1].detail["reason"]
    # A person may say that it is to go on.
    store.move(folder.id, ["running"], "interrupted")
    store.move(folder.id, ["interrupted"], "queued", "Resumed.")
    store.claim_next()
    assert killed(store, folder)


def test_two_who_notice_a_kill_at_once_take_one_step(workspace, running):
    store, folder = open_store(workspace), running[1]
    store.set_progress(folder.id, Progress("training"))
    run = store.run(folder.id)
    assert go_on_after_kill(store, folder, run) and go_on_after_kill(store, folder, run)
    assert len(store.events(folder.id, "smaller_batch")) == len(store.events(folder.id, "killed_for_memory")) == 1


def told_after_a_restart(running, monkeypatch):
    monkeypatch.setattr(psutil, "boot_time", lambda: running[0].started + 60)
    return silent_end(*running, None, "", None).what


def test_a_dead_worker_leaves_its_last_lines_with_the_run(workspace, running):
    run, folder = running
    folder.log.write_text("\n".join(f"line {number}" for number in range(100)), encoding="utf-8")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    began = psutil.Process(gone.pid).create_time()
    gone.wait()
    store = open_store(workspace)
    store.set_process(run.id, gone.pid, began)
    Supervisor(workspace).tick()
    told = store.run(run.id)
    assert told.state == "interrupted" and told.error["what"] == told.reason
    assert told.error["log"].splitlines() == [f"line {number}" for number in range(50, 100)]


def test_a_worker_whose_run_has_ended_leaves_the_process_table(workspace, running):
    run, _ = running
    watcher, worker = Supervisor(workspace), subprocess.Popen([sys.executable, "-c", ""])
    watcher._children[run.id] = worker
    open_store(workspace).move(run.id, ["running"], "finished", "Done.")
    while psutil.Process(worker.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)
    watcher.tick()
    assert watcher._children == {} and not psutil.pid_exists(worker.pid)


def test_a_worker_gives_signs_of_life_and_one_that_hangs_is_told(workspace, running, monkeypatch):
    run, folder = running
    store = open_store(workspace)
    assert silent_seconds(run) == 0
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN_BEATS", 0.01)
    began = time.time()
    with beating(store, folder.id):
        while not (store.run(folder.id).heartbeat or 0) > began + 0.05:
            time.sleep(0.01)
    last = store.run(folder.id)
    assert silent_seconds(last) == 0
    assert silent_seconds(replace(last, heartbeat=last.heartbeat - 200)) > 200
    assert silent_seconds(replace(last, heartbeat=last.heartbeat - 200, state="finished")) == 0


def test_a_lock_dies_with_its_process_and_tells_a_worker_from_a_pid(workspace, running):
    _, folder = running
    code = (
        "import sys, time; from pathlib import Path; from core.runs.locks import lock_run\n"
        "from core.workspace import RunFolder\n"
        "lock = lock_run(RunFolder(Path(sys.argv[1]))); print('locked', flush=True); time.sleep(600)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(folder.root)], cwd=PROJECT, stdout=subprocess.PIPE)
    assert worker.stdout.readline() == b"locked\n"
    assert has_worker(folder, worker.pid, lambda _: False)
    worker.kill()
    worker.wait()
    assert not has_worker(folder, worker.pid, lambda _: True)
    lock_run(folder).release()


def test_a_second_server_is_told_where_the_first_one_is(workspace):
    held = lock_workspace(workspace)
    held.tell("http://127.0.0.1:7861")
    with pytest.raises(UserError, match=r"at http://127\.0\.0\.1:7861"):
        lock_workspace(workspace)
    held.release()
    lock_workspace(workspace).release()


def ladder(spec: RunSpec) -> list[tuple[str, RunSpec]]:
    """Every step until nothing is left, each with the spec that it comes to."""
    from core.runs.store import Event

    taken, events = [], []
    while (way := next_step(as_it_fits(spec, events), "GPU")) is not None:
        events.append(Event(0.0, way.event, way.detail))
        taken.append((way.event, as_it_fits(spec, events)))
    return taken


@pytest.mark.parametrize(("batch", "accumulation"), [(48, 1), (5, 1), (7, 3), (32, 4), (1, 1)])
def test_the_ladder_never_changes_the_rows_of_a_step(batch, accumulation):
    plain = run_spec(max_length=200)
    training = plain.training.model_copy(
        update={"batch_size": batch, "gradient_accumulation": accumulation, "evaluation_batch_size": 64}
    )
    steps = ladder(plain.model_copy(update={"training": training}))
    assert [kind for kind, _ in steps][-1] == "gradient_checkpointing"
    for _, spec in steps:
        assert spec.training.batch_size * spec.training.gradient_accumulation == batch * accumulation
    assert steps[-1][1].training.batch_size == steps[-1][1].training.evaluation_batch_size == 1
    assert all(spec.model.max_length == 200 for _, spec in steps)


def test_texts_are_shortened_only_where_that_was_allowed():
    plain = run_spec(max_length=200)
    allowed = plain.training.model_copy(update={"batch_size": 1, "evaluation_batch_size": 1, "shorten_to_fit": True})
    steps = ladder(plain.model_copy(update={"training": allowed}))
    assert [(kind, spec.model.max_length) for kind, spec in steps] == [
        ("gradient_checkpointing", 200), ("gradient_checkpointing", 200), ("shorter_texts", 100), ("shorter_texts", 64)
    ]  # fmt: skip
    assert [spec.training.offload_checkpoints for _, spec in steps] == [False, True, True, True]


def test_memory_that_is_short_before_the_model_is_no_matter_of_batches():
    spec = run_spec()
    assert isinstance(spec.model, ModelSpec)
    assert another_way(MemoryError(), spec, "baselines") is None
    assert another_way(MemoryError(), spec, "training").event == "smaller_batch"
    assert another_way(torch.OutOfMemoryError("CUDA out of memory."), spec).detail["batch_size"] == 16
    assert another_way(ValueError("no"), spec) is None


def write_checkpoint(folder, step, best=None):
    staged = staging_folder(folder) / f"checkpoint-{step}"
    staged.mkdir()
    state = {"global_step": step, "max_steps": 100, "best_model_checkpoint": best}
    (staged / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    (staged / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return put_in_place(staged, folder, {"unlogged": {"loss": 0.0, "since": step}})


def test_every_damage_to_a_checkpoint_is_found(tmp_path):
    def flip(path):
        content = bytearray(path.read_bytes())
        content[5000] ^= 1
        path.write_bytes(content)

    for number, damage in enumerate((
        lambda path: (path / "model.safetensors").unlink(),
        lambda path: (path / "model.safetensors").write_bytes(b""),
        lambda path: flip(path / "model.safetensors"),
        lambda path: (path / "trainer_state.json").write_text('{"global'),
        lambda path: (path / MANIFEST).write_text('{"files'),
    )):  # fmt: skip
        folder = tmp_path / str(number)
        first, second = (write_checkpoint(folder, step) for step in (10, 20))
        assert whole_checkpoints(folder) == [first, second]
        damage(second)
        assert remove_torn_checkpoints(folder) == [first]
        assert not second.exists()


def test_the_best_stays_beside_the_last_and_what_is_half_written_counts_for_nothing(tmp_path):
    for step in (10, 20, 30, 40):
        write_checkpoint(tmp_path, step, best="/elsewhere/checkpoint-10")
    keep_best_and_last(tmp_path, "/elsewhere/checkpoint-10", 2)
    (staging_folder(tmp_path) / "checkpoint-50").mkdir()
    whole = remove_torn_checkpoints(tmp_path)
    assert [path.name for path in whole] == ["checkpoint-10", "checkpoint-30", "checkpoint-40"]
    assert best_checkpoint(whole).name == "checkpoint-10"
    assert best_checkpoint(whole[1:]).name == "checkpoint-40"
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in whole]
