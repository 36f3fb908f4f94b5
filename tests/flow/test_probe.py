"""A probe: real steps on real models, what it says of them, and that nothing is left of the run that it tried.

One test has the process as it is started; the others do its work in this one, which imports nothing anew.
"""

import json
import shutil
import time
from pathlib import Path

import pytest

from core import probe_jobs
from core.cli.arguments import parse
from core.cli.commands import main
from core.data.table import open_tables
from core.job_processes import write_json
from core.probe_jobs import ProbeJob, as_measured, as_too_large, probe_job, result_words, start_probe, stop_probe
from core.runs.store import open_store
from core.runs.supervisor import submit
from core.schema import PACKAGED_ENCODER, RunSpec
from core.spec_files import parse_spec, read_spec, spec_yaml
from core.training.devices import device_here
from core.training.fit import make_it_fit
from core.training.forecast import Forecast, forecast_run
from core.training.reading import amount_for
from core.workspace import Workspace
from tests.flow.conftest import tiny_spec
from tests.small_llama import write_small_llama

PATIENCE = 300
"""Seconds: a process imports for up to a minute where others keep the cores busy."""
LONG = "Which of all the many rivers that flow through the old town is the longest one of them ?"


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory, shared_data) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    return write_small_llama(folder, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    from core import probe_worker

    monkeypatch.setattr(probe_jobs, "launch", lambda job, _words: probe_worker.run_job(job))


def forecast_of(workspace: Workspace, spec: RunSpec) -> Forecast:
    amount = amount_for(spec, open_tables(spec.data, workspace))
    return forecast_run(open_store(workspace), spec, amount, device_here())


def started(workspace: Workspace, spec: RunSpec) -> str:
    return start_probe(workspace, spec, forecast_of(workspace, spec))


def ended(workspace: Workspace, job_id: str) -> ProbeJob:
    until = time.monotonic() + PATIENCE
    phases = set()
    while (job := probe_job(workspace, job_id)).state == "running" and time.monotonic() < until:
        phases.add(job.phase)
        time.sleep(0.1)
    log = (workspace.probes / job_id / "log.txt").read_text(encoding="utf-8")
    assert job.state != "running", log
    assert job.state != "finished" or "training" in phases, "how it goes is told while it goes"
    return job


def assert_nothing_is_left(workspace: Workspace, job_id: str) -> None:
    assert open_store(workspace).count_runs() == 0
    assert not list(workspace.runs.iterdir())
    job = workspace.probes / job_id
    assert {path.name for path in job.iterdir()} <= {
        "job.json",
        "process.json",
        "status.json",
        "result.json",
        "log.txt",
    }


def test_a_real_encoder_in_a_process_of_its_own(workspace, questions):
    spec = tiny_spec(questions, Path(PACKAGED_ENCODER), gradient_accumulation=3, max_steps=40)
    job_id = started(workspace, spec)
    with pytest.raises(probe_jobs.UserError, match="Another probe"):
        started(workspace, spec)
    job = ended(workspace, job_id)
    assert job.state == "finished", job.error
    result = job.result
    assert result is not None and result.torch_bytes is None
    # The weights, their gradients and AdamW's averages are in it, and the libraries.
    assert 400 * 10**6 < result.peak_bytes == result.process_bytes
    assert result.steps == 40
    assert result.training_seconds == pytest.approx(40 * result.seconds_a_step)
    assert result.evaluation_seconds > 0
    assert result.fits and result_words(result)[0].startswith("It fits: ")
    log = (workspace.probes / job_id / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert_nothing_is_left(workspace, job_id)


@pytest.mark.usefixtures("in_this_process")
def test_a_language_model_is_fitted_and_probed_from_the_command_line(
    workspace, questions, tiny_llama, tmp_path, capsys
):
    content = {
        "name": "tiny",
        "data": {"train": {"path": str(questions)}},
        "mapping": {"text": ["text"], "label": "label"},
        "model": {"source": str(tiny_llama), "family": "causal", "method": "lora", "max_length": 64},
        "prompt": {"user": "{text}"},
        "training": {"epochs": 2, "batch_size": 8, "gradient_accumulation": 2, "evaluation_batch_size": 16},
    }
    spec_file, fitted = tmp_path / "spec.yaml", tmp_path / "fitted.yaml"
    spec_file.write_text(spec_yaml(parse_spec(content, "the test")), encoding="utf-8")
    words = ["plan", str(spec_file), "--fit", "--to", str(fitted), "--probe", "--json", "--workspace"]
    assert main(parse([*words, str(workspace.root)])) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["fit"]["fits"] and answer["fit"]["changes"] == []
    assert read_spec(fitted) == read_spec(spec_file)
    probed = answer["probe"]
    assert probed["status"] == "finished"
    # 192 train rows, 16 of them a step, twice.
    assert probed["steps"] == 24
    assert probed["seconds"] == pytest.approx(24 * probed["seconds_a_step"] + probed["evaluation_seconds"])
    assert probed["ratio"] == pytest.approx(probed["peak_bytes"] / answer["bytes"], rel=0.01)
    assert_nothing_is_left(workspace, probe_jobs.probe_jobs(workspace)[0].id)


@pytest.mark.usefixtures("in_this_process")
def test_the_longest_rows_come_first_and_again_with_the_averages(
    workspace, questions, tiny_bert, tmp_path, monkeypatch
):
    from core.training.batches import ClassifierTrainer

    file = tmp_path / "questions.csv"
    shutil.copy(questions, file)
    with file.open("a", encoding="utf-8") as lines:
        lines.write("".join(f"{LONG} {number},LOC\n" for number in range(16)))
    seen, plain = [], ClassifierTrainer.compute_loss

    def compute_loss(self, model, inputs, *rest, **more):
        if model.training:
            seen.append((self.state.global_step, tuple(inputs["input_ids"].shape)))
        return plain(self, model, inputs, *rest, **more)

    monkeypatch.setattr(ClassifierTrainer, "compute_loss", compute_loss)
    # Also: what would write a checkpoint is never asked to.
    monkeypatch.setattr(ClassifierTrainer, "_save_checkpoint", None)
    spec = tiny_spec(file, tiny_bert, batch_size=8, gradient_accumulation=4)
    assert probe_job(workspace, started(workspace, spec)).state == "finished"
    assert [step for step, _ in seen] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    largest = max(rows * tokens for _, (rows, tokens) in seen)
    assert [place for place, (_, (rows, tokens)) in enumerate(seen) if rows * tokens == largest][:2] == [0, 2]


@pytest.mark.usefixtures("in_this_process")
def test_too_little_memory_is_said_with_what_to_do(workspace, questions, tiny_bert, monkeypatch):
    from core.training.batches import ClassifierTrainer

    def compute_loss(*_given, **_more):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(ClassifierTrainer, "compute_loss", compute_loss)
    job = probe_job(workspace, started(workspace, tiny_spec(questions, tiny_bert)))
    assert (job.state, job.out_of_memory, job.result) == ("failed", True, None)
    assert "ran out of memory at 16 rows a batch, of 32 tokens at most" in job.error["what"]
    assert "plan ... --fit" in job.error["todo"] and "batch_size 8, gradient_accumulation 2" in job.error["todo"]
    assert_nothing_is_left(workspace, job.id)


@pytest.mark.usefixtures("in_this_process")
def test_a_mistake_in_the_settings_is_said_as_a_run_says_it(workspace, questions, tiny_bert):
    spec = tiny_spec(questions, tiny_bert, {"max_length": 4096})
    job = probe_job(workspace, started(workspace, spec))
    assert (job.state, job.out_of_memory) == ("failed", False)
    assert "reads at most 128" in job.error["what"]
    assert_nothing_is_left(workspace, job.id)


def test_it_can_be_stopped_and_leaves_nothing(workspace, questions, tiny_bert):
    job_id = started(workspace, tiny_spec(questions, tiny_bert))
    stop_probe(workspace, job_id)
    assert probe_job(workspace, job_id).state == "stopped"
    assert_nothing_is_left(workspace, job_id)
    stop_probe(workspace, job_id)
    assert probe_job(workspace, job_id).state == "stopped"


@pytest.mark.parametrize("killed", [True, False])
def test_a_process_that_vanishes_is_noticed(workspace, questions, tiny_bert, monkeypatch, killed):
    """What the kernel does where memory is short: it ends a process, and counts that."""
    kills = iter([7, 8 if killed else 7])
    monkeypatch.setattr(probe_jobs, "out_of_memory_kills", lambda: next(kills))
    monkeypatch.setattr(
        probe_jobs, "launch", lambda job, _words: write_json(job / "process.json", {"pid": 2**22 + 1, "started": 0})
    )
    job = probe_job(workspace, started(workspace, tiny_spec(questions, tiny_bert)))
    assert job.state == "failed" and job.out_of_memory is killed
    assert ("ran out of memory" in job.error["what"]) is killed


def test_no_probe_beside_a_run(workspace, questions, tiny_bert):
    spec = tiny_spec(questions, tiny_bert)
    run_id = submit(workspace, spec)
    open_store(workspace).move(run_id, ["queued"], "running")
    with pytest.raises(probe_jobs.UserError, match="A run is training"):
        started(workspace, spec)


def test_what_was_measured_corrects_the_next_search(workspace, questions):
    """Half as much again as forecast, or more than there is: settings are looked for with that in mind."""
    spec = tiny_spec(questions, Path(PACKAGED_ENCODER))
    forecast = forecast_of(workspace, spec)
    assert forecast.workload is not None and forecast.memory is not None
    needed = forecast.memory.bytes
    told = probe_jobs.Forecasted(kind="cpu", device="", free_bytes=1, bytes=needed, compared_bytes=needed, seconds=None)
    result = probe_jobs.ProbeResult(3 * needed // 2, None, 3 * needed // 2, 1.0, 10, 10.0, 1.0, told)
    after = as_measured(forecast.workload, result)
    here = forecast.device
    assert make_it_fit(spec, after, here, 32).forecast.bytes == pytest.approx(1.5 * needed, rel=0.01)
    too_large = make_it_fit(spec, as_too_large(forecast.workload, forecast), here, 32)
    assert too_large.changes or not too_large.fits
