"""A run whose worker process was killed, and that was resumed, gives the losses of one that never was."""

import os
import signal
import time

import pytest

from core.runs import supervisor
from core.runs.store import open_store
from core.runs.supervisor import Supervisor, submit
from core.schema import EvaluationSpec
from core.training.checkpoints import remove_torn_checkpoints, whole_checkpoints
from tests.flow.conftest import run_here, tiny_spec, to_end_here
from tests.small_llama import write_small_llama

PATIENCE_SECONDS = 180
STEPS = 150


def losses(workspace, run_id):
    """Everything that is a loss or a figure of quality: name, step, value."""
    names = ["train/loss", "train/grad_norm", "validation/loss", "validation/macro_f1"]
    return {(point.name, point.step): point.value for point in open_store(workspace).metrics(run_id, names)}


def killed_after(workspace, run_id, step):
    """Supervise until the run has measured this step, then end its worker without a word."""
    watcher = Supervisor(workspace)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        watcher.tick()
        points = watcher.store.metrics(run_id, ["train/loss"])
        if points and points[-1].step >= step:
            break
        time.sleep(0.005)
    os.kill(watcher.store.run(run_id).pid, signal.SIGKILL)
    while watcher.store.run(run_id).state == "running" and time.monotonic() < deadline:
        watcher.tick()
        time.sleep(0.05)
    run = watcher.store.run(run_id)
    assert run.state == "interrupted", workspace.run(run_id).log.read_text(encoding="utf-8")
    assert "SIGKILL" in run.reason


def assert_resumed_gives(workspace, run_id, expected):
    supervisor.resume(workspace, run_id)
    assert to_end_here(workspace, run_id).state == "finished", workspace.run(run_id).log.read_text(encoding="utf-8")
    found = losses(workspace, run_id)
    assert found.keys() == expected.keys()
    assert max(abs(found[key] - expected[key]) for key in expected) < 1e-6


def damage_the_last(folder):
    """Its optimizer differs in one bit, so it is passed over for the checkpoint before."""
    last = whole_checkpoints(folder)[-1]
    weights = last / "optimizer.pt"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    assert last not in whole_checkpoints(folder)
    remaining = remove_torn_checkpoints(folder)
    assert remaining and not last.exists()


def without_baselines(spec, **training):
    return spec.model_copy(
        update={
            "evaluation": EvaluationSpec(baselines=False, untuned=False, generated_rows=0),
            "training": spec.training.model_copy(update=training),
        }
    )


@pytest.mark.parametrize(("method", "damaged"), [("full", True), ("freeze", False), ("lora", False)])
def test_an_encoder_goes_on_as_if_it_had_never_been_killed(workspace, questions, tiny_bert, method, damaged):
    """Batches of seven make epochs of 28 steps, so that checkpoints lie inside of them."""
    model = {"method": method, "frozen_layers": 2}
    # One of the methods logs every second step, so that a checkpoint holds a loss that was not told yet.
    steps = STEPS * 4 if method == "freeze" else STEPS
    spec = without_baselines(
        tiny_spec(questions, tiny_bert, model, max_steps=steps, evaluate_every_steps=20, batch_size=7),
        prefix_cache="memory" if method == "freeze" else "auto",
        early_stopping_patience=900,
    )
    expected = losses(workspace, run_here(workspace, spec).id)
    run_id = submit(workspace, spec)
    killed_after(workspace, run_id, 65)
    kept = whole_checkpoints(workspace.run(run_id).checkpoints)
    assert kept and len(kept) <= spec.training.keep_checkpoints + 1
    if damaged:
        damage_the_last(workspace.run(run_id).checkpoints)
    assert_resumed_gives(workspace, run_id, expected)


def test_a_language_model_goes_on_as_if_it_had_never_been_killed(workspace, questions, tmp_path, shared_data):
    llama = write_small_llama(
        tmp_path / "tiny-llama", hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4
    )
    spec = without_baselines(
        tiny_spec(
            questions,
            llama,
            {"family": "causal", "method": "lora", "max_length": 128},
            max_steps=60,
            evaluate_every_steps=10,
            batch_size=7,
        )
    )
    expected = losses(workspace, run_here(workspace, spec).id)
    run_id = submit(workspace, spec)
    killed_after(workspace, run_id, 23)
    assert_resumed_gives(workspace, run_id, expected)
