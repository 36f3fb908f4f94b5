"""The queue: its order as several processes change it, one run a device, and what a run that waits says."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli.arguments import parse
from core.cli.commands import main
from core.errors import UserError
from core.runs import queue
from core.runs.migrations import MIGRATIONS
from core.runs.queue import device_environment, devices, move, move_by, queued_ids, waiting, waiting_words
from core.runs.store import Progress, open_store

PROJECT = Path(__file__).resolve().parents[2]
MOVER = """
import random, sys
from core.runs.queue import move, queued_ids
from core.runs.store import open_store
from core.workspace import open_workspace
store, chance = open_store(open_workspace(sys.argv[1])), random.Random(int(sys.argv[2]))
for _ in range(60):
    found = queued_ids(store)
    assert sorted(found) == list("abcdefgh"), found
    move(store, chance.choice(found), chance.randint(1, 8))
"""


@pytest.fixture
def store(workspace):
    return open_store(workspace)


def add(store, names):
    for name in names:
        store.add_run(name, f"name of {name}", "quickstart-minilm", "packaged", "train.csv")


def start(store, run_id, **progress):
    """Take a run out of the queue as a worker would."""
    move(store, run_id, 1)
    assert store.claim_next(("0", "1", "2")).id == run_id
    if progress:
        store.set_progress(run_id, Progress(**progress))


def test_a_run_is_put_anywhere_and_starts_from_there(store):
    add(store, "abcd")
    assert move(store, "d", 1) == 1
    assert move(store, "a", 99) == 4
    assert move_by(store, "c", -1) == 2
    assert move_by(store, "d", -5) == 1
    assert queued_ids(store) == ["d", "c", "b", "a"]
    assert store.claim_next().id == "d"
    add(store, "e")
    assert queued_ids(store) == ["c", "b", "a", "e"]


def test_a_resumed_run_goes_last_and_one_that_goes_on_in_a_fresh_process_first(store):
    add(store, "abc")
    start(store, "a")
    store.move("a", ["running"], "stopped")
    store.move("a", ["stopped"], "queued", "Resumed.")
    assert queued_ids(store) == ["b", "c", "a"]
    start(store, "b")
    store.move("b", ["running"], "queued", "Half the batch.")
    assert queued_ids(store) == ["b", "c", "a"]
    store.move("c", ["queued"], "stopped")
    store.delete_run("a")
    assert queued_ids(store) == ["b"]


def test_only_a_run_that_waits_is_moved(store):
    add(store, "ab")
    start(store, "a")
    with pytest.raises(UserError, match="running"):
        move(store, "a", 1)
    with pytest.raises(UserError, match="There is no run 'x'"):
        move(store, "x", 1)


def test_two_processes_that_move_at_once_lose_no_run(workspace, store):
    add(store, "abcdefgh")
    movers = [
        subprocess.Popen(
            [sys.executable, "-c", MOVER, str(workspace.root), str(seed)],
            cwd=PROJECT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]
    for mover in movers:
        _, told = mover.communicate(timeout=300)
        assert mover.returncode == 0, told
    assert sorted(queued_ids(store)) == list("abcdefgh")
    with sqlite3.connect(workspace.database) as connection:
        places = [place for (place,) in connection.execute("SELECT place FROM queue ORDER BY place")]
    assert places == list(range(1, 9))


def test_each_gpu_has_one_run_and_the_worker_sees_no_other(store):
    add(store, "abcd")
    assert [store.claim_next(("3", "5")).id for _ in range(2)] == ["a", "b"]
    assert store.claim_next(("3", "5")) is None
    assert device_environment(store, "a")["CUDA_VISIBLE_DEVICES"] == "3"
    assert device_environment(store, "b")["CUDA_VISIBLE_DEVICES"] == "5"
    store.move("a", ["running"], "finished")
    assert store.claim_next() is None, "one that knows of a single device waits for the others"
    assert store.claim_next(("3", "5")).id == "c"
    assert device_environment(store, "c")["CUDA_VISIBLE_DEVICES"] == "3"
    store.move("b", ["running"], "finished")
    store.move("c", ["running"], "finished")
    assert store.claim_next().id == "d"
    assert device_environment(store, "d") == {}


@pytest.mark.parametrize(
    ("chosen", "gpus", "expected"),
    [
        ("2,3", 4, ("2", "3")),
        ("1", 4, ("",)),
        ("", 4, ("",)),
        (None, 2, ("0", "1")),
        (None, 1, ("",)),
        (None, 0, ("",)),
    ],
)
def test_devices_are_what_the_environment_or_the_driver_names(monkeypatch, chosen, gpus, expected):
    monkeypatch.setattr(queue, "find_gpus", lambda: ([object()] * gpus, None))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    devices.cache_clear()
    assert devices() == expected
    devices.cache_clear()


def test_a_run_that_waits_says_for_what(store):
    add(store, "abc")
    assert waiting_words(store, "a") == "starts as soon as it can"
    assert waiting_words(store, "b") == "starts as soon as it can; 1 before it"
    start(store, "a")
    assert waiting_words(store, "b") == "waits for 'name of a'"
    store.set_progress("a", Progress("baselines"))
    assert waiting_words(store, "b") == "waits for 'name of a', baselines"
    store.set_progress("a", Progress("training", step=62, total_steps=100, seconds_left=230.0))
    assert waiting_words(store, "c") == "waits for 'name of a', 62 %, about 4 min left; 1 before it"
    store.move("a", ["running"], "stopping")
    assert waiting_words(store, "b") == "waits for 'name of a', which is stopping"
    assert waiting_words(store, "a") == ""


def test_with_several_gpus_it_waits_for_the_one_that_ends_first(store):
    add(store, "abcd")
    start(store, "a", phase="training", step=1, total_steps=10, seconds_left=9000.0)
    start(store, "b", phase="training", step=5, total_steps=10, seconds_left=42.0)
    start(store, "c")
    assert waiting_words(store, "d") == (
        "waits for the first of 3 runs to end, likely 'name of b', 50 %, about 40 s left"
    )
    assert waiting(store)[0].seconds_left == 42.0


def test_the_queue_of_an_older_store_keeps_its_order(workspace):
    with sqlite3.connect(workspace.database) as connection:
        for statement in filter(str.strip, MIGRATIONS[0].split(";\n")):
            connection.execute(statement)
        for number, (run_id, state) in enumerate([("b", "queued"), ("a", "queued"), ("c", "running"), ("d", "failed")]):
            connection.execute(
                "INSERT INTO runs (id, name, state, preset, model, data_name, created) VALUES (?,?,?,'','','',?)",
                (run_id, run_id, state, number),
            )
        connection.execute("PRAGMA user_version = 1")
    store = open_store(workspace)
    assert queued_ids(store) == ["b", "a"]
    assert store.claim_next() is None
    store.move("c", ["running"], "finished")
    assert store.claim_next().id == "b"


def test_the_command_line_lists_and_moves(workspace, store, capsys):
    def answer(*words):
        code = main(parse(["--workspace", str(workspace.root), "queue", *words, "--json"]))
        return code, json.loads(capsys.readouterr().out)

    assert answer() == (0, {"running": [], "queue": []})
    add(store, "abc")
    start(store, "a", phase="training", step=1, total_steps=4, seconds_left=100.0)
    code, told = answer("move", "c", "1")
    assert code == 0
    assert [one["run"] for one in told["queue"]] == ["c", "b"]
    assert told["running"] == [{"run": "a", "name": "name of a", "status": "running"}]
    assert told["queue"][1]["words"] == "waits for 'name of a', 25 %, about 2 min left; 1 before it"
    code, told = answer("move", "a", "1")
    assert code == 2
    assert "running" in told["error"]["what"]
    with pytest.raises(SystemExit):
        parse(["queue", "move", "c"])
