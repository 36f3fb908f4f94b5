"""A sweep with real workers, from the command line: three runs on a tiny model, one of them hopeless."""

import pyarrow.parquet as pq
import yaml

from core.runs.store import open_store
from core.runs.supervisor import resume
from core.training.checkpoints import whole_checkpoints
from core.workspace import Workspace
from tests.flow.conftest import tiny_spec
from tests.flow.test_command_line import run_command

RATE = "training.learning_rate"


def test_a_sweep_stops_what_is_hopeless_and_ends_with_the_best(questions, tiny_bert, tmp_path):
    base = tiny_spec(questions, tiny_bert, max_steps=600, evaluate_every_steps=100).model_dump(mode="json")
    base["evaluation"]["baselines"] = False
    # With this seed the rate that learns nothing comes last.
    base["sweep"] = {"fields": {RATE: {"values": [1e-3, 1e-7]}}, "prune": "median", "prune_after": 1, "seed": 3}
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(base), encoding="utf-8")
    told = run_command(tmp_path, "sweep", spec, "--values", "learning_rate=1e-3,2e-3,1e-7")
    assert (told["status"], told["planned"], told["metric"]) == ("finished", 3, "validation macro_f1")
    runs = {run["settings"][RATE]: run for run in told["runs"]}
    assert {rate: run["status"] for rate, run in runs.items()} == {1e-3: "finished", 2e-3: "finished", 1e-7: "pruned"}
    hopeless = runs[1e-7]
    assert hopeless["reason"].startswith("Stopped early as hopeless: validation macro F1")
    assert 1 <= hopeless["evaluations"] < 6
    best = max((runs[1e-3], runs[2e-3]), key=lambda run: run["figure"])
    assert runs[1e-3]["figure"] == runs[2e-3]["figure"] or told["best"] == best["run"]
    workspace = Workspace(tmp_path)
    store = open_store(workspace)
    assert told["test"] == store.run(told["best"]).summary["test"]
    stopped = store.run(hopeless["run"])
    assert stopped.state == "stopped"
    assert stopped.reason == f"{hopeless['reason']} A checkpoint is kept."
    assert whole_checkpoints(workspace.run(stopped.id).checkpoints)
    splits = [pq.read_table(workspace.run(run["run"]).split) for run in told["runs"]]
    assert all(split.equals(splits[0]) for split in splits)
    resume(workspace, stopped.id)
    assert store.run(stopped.id).state == "queued"
