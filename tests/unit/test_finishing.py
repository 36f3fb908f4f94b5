"""A run that ended early is measured and kept as it is, or goes on: what was asked for last holds."""

import pytest

from core.errors import UserError
from core.runs.queue import FINISH_REQUESTED
from core.runs.store import open_store
from core.runs.supervisor import can_finish, finish, resume, submit
from core.spec_files import parse_spec
from core.training import worker
from ui.run.header import trouble_html

SPEC = {
    "name": "questions",
    "data": {"train": {"path": "/data/questions.csv"}},
    "mapping": {"text": ["text"], "label": "label"},
}


@pytest.fixture
def stopped(workspace):
    run_id = submit(workspace, parse_spec(SPEC, "the test"))
    store = open_store(workspace)
    store.claim_next()
    store.move(run_id, ["running"], "stopped", "Stop was asked for.")
    return run_id


def test_a_run_without_a_checkpoint_has_nothing_to_keep(workspace, stopped):
    store = open_store(workspace)
    assert not can_finish(workspace, store.run(stopped))
    with pytest.raises(UserError, match="before its first checkpoint"):
        finish(workspace, stopped)
    assert store.run(stopped).state == "stopped"
    assert "Finish" not in trouble_html(store.run(stopped))


def test_what_was_asked_for_last_holds(workspace, stopped):
    store = open_store(workspace)
    (workspace.run(stopped).checkpoints / "checkpoint-10").mkdir(parents=True)
    assert not can_finish(workspace, store.run(stopped))
    (workspace.run(stopped).checkpoints / "checkpoint-10" / "trainer_state.json").write_text("{}")
    assert can_finish(workspace, store.run(stopped))
    assert "Finish as it is" in trouble_html(store.run(stopped), can_finish=True)
    wanted = []
    for ask in (resume, finish, resume):
        ask(workspace, stopped)
        wanted.append([event.detail["wanted"] for event in store.events(stopped, FINISH_REQUESTED)])
        store.claim_next()
        store.move(stopped, ["running"], "stopped", "Stop was asked for.")
    assert wanted == [[], [True], [True, False]]
    store.move(stopped, ["stopped"], "queued")
    with pytest.raises(UserError, match="cannot be resumed"):
        finish(workspace, stopped)


def test_a_worker_whose_settings_cannot_be_read_says_so(workspace, capsys):
    run_id = submit(workspace, parse_spec(SPEC, "the test"))
    store, folder = open_store(workspace), workspace.run(run_id)
    store.claim_next()
    folder.spec.write_text("training: {learning_rat: 1}\n", encoding="utf-8")
    assert worker.main(str(folder.root)) == 1
    run = store.run(run_id)
    assert run.state == "failed"
    assert "learning_rat" in str(run.error) and "spec.yaml" in str(run.error)
