"""The store is made again from the runs' folders: states, reasons, curves and figures as they were."""

import sqlite3

import pytest

from core.errors import UserError
from core.runs import journal
from core.runs.label_marks import LabelMark, add_mark, marks_on, undo_mark
from core.runs.migrations import MIGRATIONS
from core.runs.store import Progress, open_store
from core.runs.supervisor import submit
from core.runs.sweeps import (
    advance,
    resume_sweep,
    start_sweep,
    stop_sweep,
    sweep,
    sweep_of_runs,
    sweeps,
    trials,
    ungroup,
)
from core.spec_files import spec_yaml
from core.store_check import check_store
from core.sweep_spec import parse_sweep
from tests.run_folders import run_spec, write_report


@pytest.fixture
def history(workspace):
    """A finished, a failed, a queued and a running run."""
    store = open_store(workspace)
    runs = {name: submit(workspace, run_spec(name=name)) for name in ("finished", "failed", "running", "queued")}
    for name in ("finished", "failed", "running"):
        assert store.claim_next().id == runs[name]
        for step in range(1, 6):
            store.add_metrics(runs[name], step, {"train/loss": 1 / step, "train/learning_rate": 1e-3})
        store.forget_metrics_after(runs[name], 4)
        store.add_event(runs[name], "notice", {"finding": "one class only"})
        if name == "finished":
            folder = workspace.run(runs[name])
            write_report(folder, ["a", "b"], [0, 1], [0, 1])
            folder.model.mkdir()
            store.move(runs[name], ["running"], name, "Done.", summary={"test": {"accuracy": 1.0}})
        elif name == "failed":
            store.move(runs[name], ["running"], name, "No.", error={"what": "No.", "where": "x", "todo": "y"})
    store.rename_run(runs["finished"], "another name")
    return runs


def content(workspace, run_id):
    store = open_store(workspace)
    run = store.run(run_id)
    points = {(point.name, point.step): point.value for point in store.metrics(run_id)}
    kinds = [event.kind for event in store.events(run_id)]
    return (
        (run.name, run.state, run.reason, run.error, run.summary, run.preset, run.model, run.data_name),
        points,
        kinds,
    )


def test_a_lost_database_is_made_again_from_the_folders(workspace, history):
    before = {name: content(workspace, run_id) for name, run_id in history.items()}
    workspace.database.unlink()
    found = check_store(workspace)
    assert {difference.run for difference in found} == {"", *history.values()}
    assert "Drafts, limits and tokens of programs" in found[0].todo
    check_store(workspace, repair=True)
    for name in ("finished", "failed"):
        assert content(workspace, history[name]) == before[name]
    assert content(workspace, history["running"])[0][1] == "interrupted"
    assert content(workspace, history["running"])[1] == before["running"][1]
    assert content(workspace, history["queued"])[0][1] == "stopped"
    assert check_store(workspace) == []


def beside(workspace):
    """Names, what is shared, sweeps with their trials, and marks, as the pages show them."""
    store = open_store(workspace)
    runs = store.runs(limit=100)
    groups = [(one.name, one.base, one.plan, one.created) for one in sweeps(store)]
    tried = [
        [(trial.number, trial.run_id, trial.settings, trial.outcome, trial.pruned) for trial in trials(store, one)]
        for one in sweeps(store)
    ]
    return (
        {run.id: run.name for run in runs}, {run.id for run in store.shared_runs()}, groups, tried,
        sweep_of_runs(store), marks_on(store, ["file-a", "file-b"]),
    )  # fmt: skip


@pytest.fixture
def busy(workspace, history):
    """The same with a sweep that still searches, one that has ended, shared runs, and corrected labels."""
    store = open_store(workspace)
    store.move(history["running"], ["running"], "stopped", "Stop.")
    store.move(history["queued"], ["queued"], "stopped", "Stop.")
    for run_id, shared in ((history["finished"], True), (history["failed"], True), (history["failed"], False)):
        store.share_run(run_id, shared)
    plan = parse_sweep({"fields": {"training.batch_size": {"values": [8, 16]}}}, "the test")
    for name in ("searches", "has ended"):
        sweep_id = start_sweep(workspace, run_spec(name=name), plan)
        advance(workspace, store, submit, 1)
        first = store.claim_next()
        store.add_metrics(first.id, 10, {"validation/macro_f1": 0.5})
        store.move(first.id, ["running"], "failed", "No.")
    stop_sweep(workspace, sweep_id)
    for number, verdict in enumerate(("wrong", "wrong", "ambiguous", "right", "wrong")):
        add_mark(store, LabelMark("file-a", number % 3, verdict, ("a",) if verdict == "wrong" else ()))
    undo_mark(store, ["file-a"])
    add_mark(store, LabelMark("file-b", 7, "wrong", ("é", "<b>"), history["failed"]))
    return store


def test_what_belongs_to_no_single_run_comes_back_too(workspace, history, busy):
    before = beside(workspace)
    assert before[1] == {history["finished"]} and len(before[2]) == 2 and len(before[4]) == 4
    assert [mark.row for mark in before[5]] == [1, 2, 7]
    (searching,) = (found for found in sweeps(busy) if found.state == "searching")
    assert check_store(workspace) == []
    for suffix in ("", "-wal", "-shm"):
        workspace.database.with_name(workspace.database.name + suffix).unlink(missing_ok=True)
    check_store(workspace, repair=True)
    after = beside(workspace)
    # What waited in the queue waits to be resumed, and is no longer open.
    assert after[:3] == before[:3] and after[4:] == before[4:]
    assert [[one[:3] for one in tried] for tried in after[3]] == [[one[:3] for one in tried] for tried in before[3]]
    assert check_store(workspace) == []
    resume_sweep(workspace, searching.id)
    assert sweep(busy, searching.id).state == "searching"


def test_a_store_of_an_earlier_version_is_written_down_beside(workspace, history, busy):
    before = beside(workspace)
    workspace.label_marks.unlink()
    for path in workspace.sweeps.iterdir():
        path.unlink()
    found = [difference.what for difference in check_store(workspace, repair=True)]
    assert found == ["2 sweeps are in the store alone.", "Corrections of labels are in the store alone."]
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM label_marks WHERE row = 1")
        connection.execute("DELETE FROM sweeps")
    assert [difference.what[-21:] for difference in check_store(workspace, repair=True)][-1] == "are not in the store."
    assert beside(workspace)[5] == before[5] and len(sweeps(busy)) == 2
    ungroup(workspace, next(one.id for one in sweeps(busy) if one.state == "stopped"))
    assert len(list(workspace.sweeps.iterdir())) == 1


def test_a_damaged_database_is_set_aside_and_made_again(workspace, history):
    content_before = content(workspace, history["finished"])
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    workspace.database.write_bytes(b"not a database" * 1000)
    for suffix in ("-wal", "-shm"):
        workspace.database.with_name(workspace.database.name + suffix).unlink(missing_ok=True)
    with pytest.raises(UserError, match="damaged"):
        open_store(workspace)
    assert "damaged" in check_store(workspace)[0].what
    check_store(workspace, repair=True)
    assert content(workspace, history["finished"]) == content_before
    assert list(workspace.root.glob("tunedesk.db.broken-*"))


def test_points_that_the_store_lost_come_back_and_a_torn_line_costs_only_itself(workspace, history):
    run_id = history["failed"]
    before = content(workspace, run_id)
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("DELETE FROM metrics WHERE run = ? AND step > 2", (run_id,))
    with workspace.run(run_id).journal.open("ab") as file:
        file.write(b'\n{"kind": "metrics", "step": 9, "val')
    journal.append(workspace.run(run_id), journal.EVENT, {"event": "after", "detail": {}})
    told = journal.read(workspace.run(run_id).journal)
    assert told.torn == 1
    assert told.events[-1][1] == "after"
    assert "4 points" in next(found.what for found in check_store(workspace) if found.run == run_id)
    found = [difference.run for difference in check_store(workspace, repair=True)]
    assert run_id in found and history["running"] in found
    assert content(workspace, run_id) == before


def test_a_finished_run_of_an_earlier_version_comes_back_from_its_report(workspace, history):
    run_id = history["finished"]
    workspace.run(run_id).journal.unlink()
    workspace.database.unlink()
    check_store(workspace, repair=True)
    run = open_store(workspace).run(run_id)
    assert (run.state, run.name, run.data_name) == ("finished", "finished", "questions.csv")


def test_what_cannot_be_put_right_is_said(workspace, history):
    folder = workspace.run(history["finished"])
    folder.model.rmdir()
    (workspace.runs / "stray").mkdir()
    words = {difference.run: difference for difference in check_store(workspace)}
    assert "model is gone" in words[history["finished"]].what and not words[history["finished"]].repairable
    assert "without a spec.yaml" in words["stray"].what


def test_a_model_that_was_opened_lacks_no_report(workspace):
    store, folder = open_store(workspace), workspace.run("opened")
    folder.model.mkdir(parents=True)
    folder.spec.write_text(spec_yaml(run_spec()), encoding="utf-8")
    store.add_opened_run("opened", "opened", "quickstart-minilm", "packaged", "a folder", "Opened.")
    assert not [difference for difference in check_store(workspace) if difference.run == "opened"]


def test_an_older_store_is_copied_before_it_is_brought_up_to_date(workspace):
    with sqlite3.connect(workspace.database) as connection:
        for statement in filter(str.strip, MIGRATIONS[0].split(";\n")):
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            "INSERT INTO runs (id, name, state, preset, model, data_name, created) VALUES ('a','a','queued','','','',1)"
        )
    assert open_store(workspace).run("a").state == "queued"
    (copy,) = workspace.backups.glob("tunedesk-version-1-*.db")
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT id FROM runs").fetchall() == [("a",)]


def test_a_state_that_may_not_follow_is_refused(workspace, history):
    store = open_store(workspace)
    with pytest.raises(ValueError, match="does not become"):
        store.move(history["queued"], ["queued"], "finished")
    assert store.run(history["queued"]).state == "queued"


def test_a_spike_stays_however_many_points_a_curve_has(workspace, history):
    store, run_id = open_store(workspace), history["running"]
    points = [("train/grad_norm", step, 1.0 + step % 7 / 10, 0.0) for step in range(1, 50_001)]
    points[31_234] = ("train/grad_norm", 31_235, 99.0, 0.0)
    points[44_000] = ("train/grad_norm", 44_001, -5.0, 0.0)
    store.put_back_metrics(run_id, points)
    drawn = store.curves(run_id, ["train/grad_norm", "train/loss"], columns=300)
    curve = [point for point in drawn if point.name == "train/grad_norm"]
    assert len(curve) <= 602
    assert (31_235, 99.0) in [(point.step, point.value) for point in curve]
    assert (44_001, -5.0) in [(point.step, point.value) for point in curve]
    assert (curve[0].step, curve[-1].step) == (1, 50_000)
    assert [point.step for point in curve] == sorted(point.step for point in curve)
    assert [point.step for point in drawn if point.name == "train/loss"] == [1, 2, 3, 4]


def test_a_draft_that_is_started_twice_becomes_one_run(workspace):
    store = open_store(workspace)
    draft = store.save_draft(None, {"name": "twice"})
    first = submit(workspace, run_spec(), draft_id=draft)
    assert submit(workspace, run_spec(), draft_id=draft) == first
    assert store.count_runs() == len(list(workspace.runs.iterdir())) == 1
    assert store.draft(draft) is None
    assert store.run_of_draft(draft) == first


def test_progress_survives_a_clock_that_was_put_back(workspace, monkeypatch):
    import time

    store = open_store(workspace)
    run_id = submit(workspace, run_spec())
    store.claim_next()
    store.set_progress(run_id, Progress("training", 3, 10))
    now = time.time()
    monkeypatch.setattr("core.runs.store.time.time", lambda: now - 7200)
    store.move(run_id, ["running"], "stopped", "Stop.")
    assert store.run(run_id).seconds >= 0
