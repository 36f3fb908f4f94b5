"""Runs from the command line, as a person or a script starts them: real processes, exit codes, the last line.

A process that loads a model imports for seconds, so commands whose process is like another's are carried out in this.
"""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from core.cli.arguments import parse
from core.cli.commands import main as carry_out
from core.runs.store import open_store
from core.training.speed import measurements
from core.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[2]


def command(workspace: Path, *words: object) -> list[str]:
    return [sys.executable, str(PROJECT / "launch.py"), "--no-venv", "--workspace", str(workspace), *map(str, words)]


def run_command(workspace: Path, *words: object, code: int = 0) -> dict:
    """Run to the end; the answer is the last line of standard output."""
    environment = {**os.environ, "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        command(workspace, *words, "--json"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def command_here(workspace: Path, *words: object) -> dict:
    """What `run_command` answers, without a process of its own."""
    before, told = signal.getsignal(signal.SIGTERM), io.StringIO()
    with redirect_stdout(told):
        code = carry_out(parse([*map(str, words), "--workspace", str(workspace), "--json"]))
    signal.signal(signal.SIGTERM, before)
    assert code == 0
    return json.loads(told.getvalue().splitlines()[-1])


def train_words(questions: Path, tiny_bert: Path, steps: int) -> list[object]:
    sizes = ["training.batch_size=16", "training.learning_rate=1e-3", f"training.max_steps={steps}"]
    changes = [f"model.source={tiny_bert}", "model.max_length=32", *sizes]
    settings = [word for change in changes for word in ("--set", change)]
    return ["train", "--data", questions, "--text", "text", "--label", "label", *settings]


@pytest.fixture(scope="module")
def trained(questions, tiny_bert, tmp_path_factory) -> tuple[Path, dict]:
    workspace = tmp_path_factory.mktemp("workspace")
    return workspace, run_command(workspace, *train_words(questions, tiny_bert, 8), "--name", "From the shell")


def test_train_prints_what_it_measured(trained):
    workspace, answer = trained
    assert answer["status"] == "finished"
    report = json.loads((workspace / "runs" / answer["run"] / "report" / "report.json").read_text())
    for part in ("test", "validation"):
        assert answer["metrics"][part]["accuracy"] == report[part]["accuracy"]
        assert answer["metrics"][part]["macro_f1"] == report[part]["macro_f1"]
    assert set(answer["metrics"]["baselines"]) == {"majority", "tfidf", "neighbours"}
    assert answer["metrics"]["baselines"]["tfidf"]["accuracy"] == report["baselines"]["tfidf"]["accuracy"]
    assert Path(answer["report"]).is_file()
    (listed,) = command_here(workspace, "runs")["runs"]
    assert (listed["run"], listed["name"], listed["status"]) == (answer["run"], "From the shell", "finished")


def test_finished_run_teaches_the_next_forecast(trained, questions, tiny_bert, tmp_path):
    """What it was forecast to take and took is told, and a run like it is forecast in seconds."""
    workspace, answer = trained
    (listed,) = run_command(workspace, "runs")["runs"]
    assert listed["peak_bytes"] > 0
    assert listed["forecast"]["bytes"] > 0
    assert listed["forecast"]["seconds"] is None, "nothing had been measured before the first run"
    (measured,) = measurements(open_store(Workspace(workspace)))
    assert (measured.steps, measured.manner.model, measured.manner.method) == (8, "tiny-bert", "full")
    assert 0 < measured.tokens <= 8 * 16 * 32
    assert 0 < measured.train_seconds < measured.seconds
    assert 0 < measured.fixed_seconds < measured.seconds
    assert (measured.bytes, measured.forecast_bytes) == (listed["peak_bytes"], listed["forecast"]["bytes"])
    train, *options = train_words(questions, tiny_bert, 8)
    assert train == "train"
    plan = run_command(workspace, "plan", *options)
    assert plan["unknown"] == []
    assert plan["seconds"] == pytest.approx(measured.seconds, rel=0.5)
    assert plan["bytes"] == sum(plan["parts"].values())
    assert plan["rows"] == {"train": 192, "validation": 24, "test": 24}
    assert plan["past"]["memory"]["runs"] == 1
    small = run_command(workspace, "plan", workspace / "runs" / answer["run"] / "spec.yaml", "--device", "6GB")
    assert small["device"]["total_bytes"] == 6 * 2**30
    assert small["seconds"] is None and small["unknown"] == ["seconds"], "nothing was measured on such a card"
    wrong = run_command(workspace, "plan", *options, "--device", "big", code=2)
    assert wrong["error"]["where"] == "--device"


def test_finished_model_labels_is_measured_and_leaves(trained, questions, tmp_path):
    workspace, answer = trained
    labelled = run_command(workspace, "predict", answer["run"], questions, tmp_path / "out.csv", "--top-k", "2")
    assert (labelled["rows"], labelled["labelled"]) == (240, 240)
    assert labelled["columns"] == ["predicted_label", "probability", "label_2", "probability_2"]
    measured = command_here(workspace, "evaluate", answer["run"], questions)
    assert measured["scored"] == 240
    lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
    right = sum(cells[1] == cells[2] for cells in (line.rsplit(",", 5) for line in lines))
    assert measured["metrics"]["accuracy"] == pytest.approx(right / 240)
    exported = command_here(workspace, "export", answer["run"], "--format", "zip", "--to", tmp_path)
    assert Path(exported["path"]).suffix == ".zip"
    assert Path(exported["path"]).stat().st_size > 0


def test_spec_of_a_run_does_it_again(trained, tmp_path):
    workspace, answer = trained
    spec = workspace / "runs" / answer["run"] / "spec.yaml"
    words = ("train", spec, "--name", "Again", "--set", "evaluation.baselines=false")
    again = command_here(tmp_path / "other", *words)
    assert again["status"] == "finished"
    assert again["metrics"]["baselines"] == {}
    assert again["metrics"]["test"]["accuracy"] == answer["metrics"]["test"]["accuracy"]


def start_and_wait_for_steps(workspace: Path, *words: object) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        command(workspace, *words, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that a shell put into the background has SIGINT ignored, which its children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stderr is not None
    assert any(line.startswith("training, step") for line in child.stderr), "it ended before its first step"
    return child


def endless(questions: Path, tiny_bert: Path) -> list[object]:
    """More steps than anyone waits for."""
    return [*train_words(questions, tiny_bert, 100_000), "--set", "evaluation.baselines=false"]


def test_interrupted_command_stops_the_run_and_waits_for_its_checkpoint(questions, tiny_bert, tmp_path):
    """Ctrl-C in a first start, SIGTERM after a resume: both end with 130, and what was learned is kept."""
    child = start_and_wait_for_steps(tmp_path, *endless(questions, tiny_bert))
    steps = []
    for sign in (signal.SIGINT, signal.SIGTERM):
        child.send_signal(sign)
        out, told = child.communicate(timeout=120)
        assert child.returncode == 130
        assert "Stopping" in told
        stopped = json.loads(out.splitlines()[-1])
        assert stopped["status"] == "stopped"
        checkpoints = tmp_path / "runs" / stopped["run"] / "checkpoints"
        steps.append(max(int(folder.name.split("-")[1]) for folder in checkpoints.glob("checkpoint-*")))
        if sign == signal.SIGINT:
            child = start_and_wait_for_steps(tmp_path, "resume", stopped["run"])
    assert 0 < steps[0] < steps[1]


def test_run_that_ends_without_a_word_has_code_1_and_says_what_to_do(questions, tiny_bert, tmp_path):
    child = start_and_wait_for_steps(tmp_path, *endless(questions, tiny_bert))
    (run,) = open_store(Workspace(tmp_path)).runs()
    assert run.pid is not None
    os.kill(run.pid, signal.SIGKILL)
    out, told = child.communicate(timeout=120)
    assert child.returncode == 1
    answer = json.loads(out.splitlines()[-1])
    assert answer["status"] == "interrupted"
    assert set(answer["error"]) == {"what", "where", "todo"}
    assert f"launch.py resume {run.id}" in told
