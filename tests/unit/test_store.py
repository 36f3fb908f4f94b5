"""The store: states, claims, metrics and drafts, as several processes see them."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import UserError
from core.runs.migrations import MIGRATIONS
from core.runs.store import Best, MetricPoint, Progress, open_store
from core.workspace import open_workspace


@pytest.fixture
def store(workspace):
    return open_store(workspace)


def add(store, run_id):
    store.add_run(run_id, f"name of {run_id}", "quickstart-minilm", "packaged", "train.csv")


def test_a_run_goes_through_its_states_and_each_change_is_an_event(store):
    add(store, "a")
    assert store.claim_next().state == "running"
    assert store.move("a", ["running"], "stopping", "Stop was asked for.")
    assert store.stop_requested("a")
    assert not store.move("a", ["running"], "finished")
    assert store.move("a", ["stopping"], "stopped")
    assert [event.kind for event in store.events("a")] == ["queued", "running", "stopping", "stopped"]
    assert store.run("a").seconds > 0


def test_one_run_at_a_time_oldest_first(store):
    add(store, "a")
    add(store, "b")
    assert store.claim_next().id == "a"
    assert store.claim_next() is None
    store.move("a", ["running"], "finished", summary={"test": {"accuracy": 0.9}})
    assert store.claim_next().id == "b"
    assert store.run("a").summary["test"]["accuracy"] == 0.9


def test_two_claims_at_once_start_one_run(workspace):
    add(open_store(workspace), "a")
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda _: open_store(workspace).claim_next(), range(16)))
    assert sum(claim is not None for claim in claims) == 1


def test_a_resumed_run_measures_each_step_once(store):
    add(store, "a")
    for step in range(1, 11):
        store.add_metrics("a", step, {"train/loss": 1 / step})
    store.forget_metrics_after("a", 6)
    store.add_metrics("a", 7, {"train/loss": 0.5})
    store.add_metrics("a", 7, {"train/loss": 0.25})
    points = store.metrics("a", ["train/loss"])
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6, 7]
    assert isinstance(points[-1], MetricPoint)
    assert points[-1].value == 0.25


def test_progress_comes_back_as_it_was(store):
    add(store, "a")
    progress = Progress("training", 340, 513, 1.99, 3, 100.0, Best("macro_f1", 0.958, 342, 2.0))
    store.set_progress("a", progress)
    assert store.run("a").progress == progress


def test_a_deleted_run_leaves_nothing_behind(store):
    add(store, "a")
    store.add_metrics("a", 1, {"train/loss": 1.0})
    store.delete_run("a")
    assert store.metrics("a") == []
    with pytest.raises(UserError, match="There is no run 'a'"):
        store.run("a")


def test_drafts_are_kept_until_deleted(store):
    draft = store.save_draft(None, {"data": {"train": {"path": "a.csv"}}})
    assert store.save_draft(draft, {"name": "changed"}) == draft
    assert store.draft(draft) == {"name": "changed"}
    assert [found for found, _, _ in store.drafts()] == [draft]
    store.delete_draft(draft)
    assert store.draft(draft) is None


def test_a_database_of_a_newer_version_is_refused(workspace):
    open_store(workspace)
    with sqlite3.connect(workspace.database) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(UserError, match="newer Tunedesk"):
        open_store(workspace)


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", ".", "A", "a" * 65, "-a"])
def test_an_id_cannot_leave_the_workspace(workspace, run_id):
    with pytest.raises(UserError, match="There is no run"):
        workspace.run(run_id)


def test_a_workspace_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        open_workspace(tmp_path / "file")
