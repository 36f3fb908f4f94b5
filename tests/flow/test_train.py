"""From a submitted spec to a finished run, through the store, the supervisor and the real worker process."""

import json
import shutil
import subprocess
import sys
import time

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from core.errors import UserError
from core.runs import supervisor
from core.runs.store import ENDED, open_store
from core.runs.supervisor import PROJECT, Supervisor, run_to_end, submit
from core.schema import EvaluationSpec
from core.training.checkpoints import whole_checkpoints
from tests.flow.conftest import run_here, tiny_spec, to_end_here

PATIENCE_SECONDS = 120


def wait_until(workspace, run_id, condition, watcher):
    """Supervise until `condition(run)`; fails with the run's log when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        watcher.tick()
        run = watcher.store.run(run_id)
        if condition(run):
            return run
        if run.state in ENDED:
            break
        time.sleep(0.02)
    log = workspace.run(run_id).log.read_text(encoding="utf-8")
    raise AssertionError(f"run {run_id} is {run.state}: {run.reason}\n{log}")


def without_baselines(spec):
    """Four seconds less where they are not the point."""
    return spec.model_copy(update={"evaluation": EvaluationSpec(baselines=False)})


def has_steps(store, run_id, count):
    return len(store.metrics(run_id, ["train/loss"])) >= count


@pytest.mark.parametrize("method", ["full", "freeze", "head", "lora"])
def test_every_method_ends_with_a_model_a_report_and_its_curves(workspace, questions, tiny_bert, method):
    spec = tiny_spec(questions, tiny_bert, {"method": method, "frozen_layers": 3}, epochs=1)
    run = run_here(workspace, spec)
    run_id, folder = run.id, workspace.run(run.id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")

    report = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))
    assert report["labels"] == ["HUM", "LOC", "NUM"]
    assert report["test"]["rows"] == report["parts"]["test"] == 24
    assert set(report["baselines"]) == {"majority", "tfidf", "neighbours"}
    assert run.summary["test"]["accuracy"] == report["test"]["accuracy"]
    assert (folder.report / "report.html").stat().st_size > 1000

    store = open_store(workspace)
    names = {point.name for point in store.metrics(run_id)}
    assert {"train/loss", "train/learning_rate", "validation/macro_f1", "train/tokens_per_second"} <= names
    assert {"baseline/tfidf/macro_f1", "baseline/tfidf/loss"} <= names
    assert len(store.metrics(run_id, ["train/loss"])) == 8
    assert any(folder.tensorboard.rglob("events.out.*"))
    assert not folder.checkpoints.exists()
    assert (folder.adapter / "adapter_model.safetensors").exists() == (method == "lora")


def test_the_model_folder_loads_in_plain_transformers_and_says_what_the_report_says(workspace, questions, tiny_bert):
    from transformers import pipeline

    run = run_here(workspace, without_baselines(tiny_spec(questions, tiny_bert, {"method": "lora"})))
    folder = workspace.run(run.id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")
    classify = pipeline("text-classification", model=str(folder.model), top_k=None)
    rows = pq.read_table(folder.report / "predictions.parquet").slice(0, 20).to_pylist()
    for row in rows:
        scores = {entry["label"]: entry["score"] for entry in classify([row["text"]])[0]}
        assert scores[row["predicted"]] == pytest.approx(row["confidence"], abs=1e-4)


def test_what_waits_in_main_memory_changes_no_run(workspace, questions, tiny_bert):
    losses = []
    for away in (False, True):
        model = {"method": "freeze", "frozen_layers": 1, "embeddings_on_cpu": away}
        settings = {"gradient_checkpointing": True, "offload_checkpoints": away, "prefix_cache": "off"}
        run = run_here(workspace, without_baselines(tiny_spec(questions, tiny_bert, model, max_steps=6, **settings)))
        folder = workspace.run(run.id)
        log = folder.log.read_text(encoding="utf-8")
        assert run.state == "finished", log
        assert ("Token embeddings, 4 MB, wait in main memory." in log) == away
        losses.append([point.value for point in open_store(workspace).metrics(run.id, ["train/loss"])])
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    saved, before = (load_file(model / "model.safetensors") for model in (folder.model, tiny_bert))
    assert saved.keys() == before.keys()
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(saved[name], before[name])


def test_training_does_not_notice_that_baselines_are_measured(workspace, questions, tiny_bert):
    """Nearest neighbours read the same model first: every loss is the same to the last digit, and so is the end."""
    spec = tiny_spec(questions, tiny_bert, max_steps=6)
    losses, probabilities = [], []
    for asked in (spec, without_baselines(spec)):
        run = run_here(workspace, asked)
        assert run.state == "finished", workspace.run(run.id).log.read_text(encoding="utf-8")
        points = open_store(workspace).metrics(run.id, ["train/loss", "validation/loss"])
        losses.append([(point.name, point.step, point.value) for point in points])
        kept = pq.read_table(workspace.run(run.id).report / "predictions.parquet")
        probabilities.append(kept["probabilities"].to_pylist())
    assert len(losses[0]) > 6 and losses[0] == losses[1]
    assert probabilities[0] == probabilities[1]


def test_stop_keeps_a_checkpoint_and_resume_goes_on_from_it(workspace, questions, tiny_bert):
    spec = without_baselines(tiny_spec(questions, tiny_bert, max_steps=400, evaluate_every_steps=200))
    run_id = submit(workspace, spec)
    watcher = Supervisor(workspace)
    wait_until(workspace, run_id, lambda _: has_steps(watcher.store, run_id, 5), watcher)
    supervisor.stop(workspace, run_id)
    stopped = wait_until(workspace, run_id, lambda run: run.state not in ("running", "stopping"), watcher)
    assert stopped.state == "stopped"
    kept = int(whole_checkpoints(workspace.run(run_id).checkpoints)[-1].name.removeprefix("checkpoint-"))

    supervisor.resume(workspace, run_id)
    assert to_end_here(workspace, run_id).state == "finished"
    steps = [point.step for point in watcher.store.metrics(run_id, ["train/loss"])]
    assert steps == list(range(1, 401))
    assert kept >= 5


def test_a_stopped_run_can_be_finished_where_it_stands(workspace, questions, tiny_bert):
    run_id = submit(
        workspace, without_baselines(tiny_spec(questions, tiny_bert, max_steps=4000, evaluate_every_steps=20))
    )
    watcher = Supervisor(workspace)
    wait_until(workspace, run_id, lambda _: has_steps(watcher.store, run_id, 45), watcher)
    supervisor.stop(workspace, run_id)
    wait_until(workspace, run_id, lambda run: run.state == "stopped", watcher)
    supervisor.finish(workspace, run_id)
    run = to_end_here(workspace, run_id)
    assert run.state == "finished"
    report = json.loads((workspace.run(run_id).report / "report.json").read_text(encoding="utf-8"))
    assert 40 <= report["training"]["steps"] < 4000


def test_a_worker_outlives_its_supervisor_and_the_next_one_finds_it(workspace, questions, tiny_bert):
    run_id = submit(
        workspace, without_baselines(tiny_spec(questions, tiny_bert, max_steps=300, evaluate_every_steps=100))
    )
    code = (
        "import sys, time; from core.runs.supervisor import Supervisor; from core.workspace import open_workspace\n"
        "s = Supervisor(open_workspace(sys.argv[1]))\n"
        "while True: s.tick(); time.sleep(0.05)"
    )
    first = subprocess.Popen([sys.executable, "-c", code, str(workspace.root)], cwd=PROJECT)
    store = open_store(workspace)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not has_steps(store, run_id, 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    first.wait()
    pid = store.run(run_id).pid
    assert pid is not None
    assert psutil.pid_exists(pid)

    watcher = Supervisor(workspace)
    run = wait_until(workspace, run_id, lambda run: run.state != "running", watcher)
    assert run.state == "finished"
    assert [event.kind for event in store.events(run_id)].count("running") == 1


def test_a_claimed_run_whose_process_is_gone_is_interrupted_at_start(workspace, questions, tiny_bert):
    run_id = submit(workspace, without_baselines(tiny_spec(questions, tiny_bert)))
    store = open_store(workspace)
    store.claim_next()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(gone.pid).create_time()
    gone.wait()
    store.set_process(run_id, gone.pid, started)
    Supervisor(workspace).tick()
    assert store.run(run_id).state == "interrupted"


def test_a_queued_run_can_be_taken_out_and_a_finished_one_not_resumed(workspace, questions, tiny_bert):
    run_id = submit(workspace, without_baselines(tiny_spec(questions, tiny_bert)))
    supervisor.stop(workspace, run_id)
    assert open_store(workspace).run(run_id).state == "stopped"
    supervisor.resume(workspace, run_id)
    assert to_end_here(workspace, run_id).state == "finished"
    with pytest.raises(UserError, match="is finished and cannot be resumed"):
        supervisor.resume(workspace, run_id)
    supervisor.delete(workspace, run_id)
    assert not workspace.run(run_id).root.exists()


def test_a_full_disk_fails_the_run_in_plain_words_and_loses_nothing(workspace, questions, tiny_bert, monkeypatch):
    """The worker may write no file beyond 100 kB, so its first checkpoint ends as on a full disk."""
    run_id = submit(
        workspace, without_baselines(tiny_spec(questions, tiny_bert, max_steps=40, evaluate_every_steps=10))
    )
    monkeypatch.setattr(supervisor, "WORKER", [sys.executable, "-m", "tests.flow.worker_on_full_disk"])
    run = run_to_end(workspace, run_id)
    assert run.state == "failed"
    assert "is full" in run.error["what"]
    assert "resume" in run.error["todo"]
    assert list(workspace.run(run_id).checkpoints.glob("checkpoint-*")) == []

    monkeypatch.undo()
    supervisor.resume(workspace, run_id)
    assert to_end_here(workspace, run_id).state == "finished"
    store = open_store(workspace)
    assert [point.step for point in store.metrics(run_id, ["train/loss"])] == list(range(1, 41))


def test_a_model_that_gives_no_numbers_is_not_trained(workspace, questions, tiny_bert, tmp_path):
    broken = tmp_path / "broken-bert"
    shutil.copytree(tiny_bert, broken)
    weights = load_file(broken / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.bias"].fill_(float("nan"))
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    run = run_here(workspace, without_baselines(tiny_spec(questions, broken)))
    assert run.state == "failed"
    assert "gives no numbers" in run.error["what"]


def test_a_loss_that_is_no_number_fails_with_advice(workspace, questions, tiny_bert, tmp_path):
    broken = tmp_path / "broken-bert"
    shutil.copytree(tiny_bert, broken)
    weights = load_file(broken / "model.safetensors")
    # Not in the short text that is tried before training, but in every question.
    mark = AutoTokenizer.from_pretrained(broken).convert_tokens_to_ids("?")
    weights["bert.embeddings.word_embeddings.weight"][mark] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    run = run_here(workspace, without_baselines(tiny_spec(questions, broken)))
    assert run.state == "failed"
    assert "no longer a number" in run.error["what"]
    assert run.error["where"] == "training.learning_rate"
