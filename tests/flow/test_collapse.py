"""A run whose learning rate is far too high is noticed while it runs; one that learns is not."""

import json

from core.runs.store import open_store
from core.runs.supervisor import submit
from core.schema import RunSpec
from core.training.collapse import NOTICE, open_notices
from core.training.job import Job
from core.training.worker import run
from tests.flow.conftest import tiny_spec
from ui.run.notices import collapse_html


def trained(workspace, spec: RunSpec):
    """The run's events, and its report."""
    run_id = submit(workspace, spec)
    store = open_store(workspace)
    store.claim_next()
    folder = workspace.run(run_id)
    store.move(run_id, ["running"], "finished", summary=run(Job(spec, folder, store)))
    return store.events(run_id), json.loads((folder.report / "report.json").read_text(encoding="utf-8"))


def test_one_class_for_every_row_is_noticed(questions, tiny_bert, workspace, capsys):
    spec = tiny_spec(questions, tiny_bert, epochs=4, max_steps=None, learning_rate=1.0, warmup=0.0)
    events, report = trained(workspace, spec)
    (notice,) = open_notices(events)
    assert notice.finding in ("one_answer", "class_shares")
    assert "a learning rate of 0.0001 (it is 1); a warmup of 0.1" in notice.todo
    assert notice.what in capsys.readouterr().out
    assert [event.kind for event in events].count(NOTICE) == 1
    assert "learning rate of 0.0001" in collapse_html(open_store(workspace).events(report["run"]), "finished")
    assert report["tone"] == "bad"
    assert "learned nothing" in report["verdict_sentences"][0]


def test_a_run_that_learns_is_left_alone(questions, tiny_bert, workspace):
    spec = tiny_spec(questions, tiny_bert, model={"source": "packaged:all-MiniLM-L6-v2"}, epochs=3, max_steps=None)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"learning_rate": 1e-4})})
    events, report = trained(workspace, spec)
    assert report["test"]["accuracy"] > 0.8
    assert not [event for event in events if event.kind == NOTICE]
