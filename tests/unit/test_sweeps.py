"""Sweeps without training: what is tried, what is stopped early, and going on after a restart, from made-up figures."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.cli.arguments import parse
from core.cli.commands import main
from core.errors import UserError
from core.runs.queue import stopped_words
from core.runs.store import Progress, open_store
from core.runs.supervisor import submit
from core.runs.sweep_board import estimated_seconds, sweep_board
from core.runs.sweep_search import Tries, is_hopeless, next_settings
from core.runs.sweeps import advance, resume_sweep, start_sweep, stop_sweep, sweep, sweeps, trials, ungroup
from core.spec_files import parse_spec, read_spec
from core.spec_settings import settings
from core.sweep_spec import (
    PARTS,
    SETTINGS,
    full_key,
    grid_values,
    parse_sweep,
    parse_values,
    planned_trials,
    suggested_values,
    with_settings,
)
from ui.sweeps import sweeps_html

RATE, BATCH = "training.learning_rate", "training.batch_size"
BASE = parse_spec(
    {
        "name": "questions",
        "data": {"train": {"path": "/data/questions.csv"}},
        "mapping": {"text": ["text"], "label": "label"},
    },
    "the test",
)
GRID = {RATE: {"values": [1e-4, 3e-4]}, BATCH: {"values": [16, 32]}}
DRAWN = {RATE: {"low": 1e-5, "high": 5e-4, "log": True}, "model.max_length": {"low": 64, "high": 256}}


def plan(fields=GRID, **changes):
    return parse_sweep({"fields": fields, **changes}, "the test")


def drawn(made, figure=lambda settings: 0.5):
    tried = []
    while (chosen := next_settings(made, True, tried)) is not None:
        tried.append(Tries(chosen, "done", (figure(chosen),)))
    return [one.settings for one in tried]


@pytest.fixture
def store(workspace):
    return open_store(workspace)


def ahead(workspace, store, slots=1):
    advance(workspace, store, submit, slots)


def run_one(store, *figures, state="finished", total=30, test=0.9):
    """The next run of the queue, with these validation figures at steps 10, 20, ..."""
    run = store.claim_next()
    store.set_progress(run.id, Progress("training", step=1, total_steps=total, epochs=3))
    for number, figure in enumerate(figures, start=1):
        store.add_metrics(run.id, 10 * number, {"validation/macro_f1": figure})
    if state != "running":
        summary = {"rows": {"train": 80, "validation": 10, "test": 10}, "test": TEST | {"accuracy": test}}
        store.move(run.id, ["running"], state, summary=summary if state == "finished" else None)
    return run.id


TEST = {"macro_f1": 0.9, "accuracy_interval": [0.8, 0.95]}


def test_a_grid_has_every_combination_once_and_a_range_both_ends():
    found = drawn(plan())
    assert sorted((one[RATE], one[BATCH]) for one in found) == [(1e-4, 16), (1e-4, 32), (3e-4, 16), (3e-4, 32)]
    assert grid_values(RATE, parse_values("1e-5..1e-3:log"), 3) == [1e-5, 1e-4, 1e-3]
    assert grid_values(BATCH, parse_values("8..32"), 4) == [8, 16, 24, 32]
    assert len(drawn(plan(trials=3))) == 3


@pytest.mark.parametrize("search", ["grid", "random", "tpe"])
def test_the_same_seed_draws_the_same_settings_and_another_seed_others(search):
    def rate(settings):
        return settings[RATE] * 1000

    first = drawn(plan(DRAWN, search=search, trials=8), rate)
    assert first == drawn(plan(DRAWN, search=search, trials=8), rate)
    assert first != drawn(plan(DRAWN, search=search, trials=8, seed=7), rate)
    assert len({json.dumps(one) for one in first}) == 8
    assert all(1e-5 <= one[RATE] <= 5e-4 and 64 <= one["model.max_length"] <= 256 for one in first)
    assert {type(one["model.max_length"]) for one in first} == {int}


def test_tpe_looks_where_runs_were_good_and_chance_does_not():
    """Only the rate counts, and the greater the better."""
    made = {search: plan({RATE: DRAWN[RATE]}, search=search, trials=30) for search in ("tpe", "random")}
    late = {search: drawn(one, lambda settings: settings[RATE] * 1000)[15:] for search, one in made.items()}
    near = {search: sum(one[RATE] > 3e-4 for one in found) for search, found in late.items()}
    assert near["tpe"] > 2 * near["random"]


def test_chance_over_lists_ends_when_all_was_tried():
    made = plan(search="random", trials=50)
    assert planned_trials(made) == 4
    assert len(drawn(made)) == 4


def test_the_median_stops_a_run_behind_half_of_the_others_at_the_same_evaluation():
    made = plan(prune="median", prune_after=2)
    others = [Tries({}, "done", (0.5, 0.7)), Tries({}, "done", (0.6, 0.8))]

    def judged(*figures, others=others):
        return is_hopeless(made, True, [*others, Tries({}, "open", figures)], len(others))

    assert judged(0.4)
    assert not judged(0.56)
    assert judged(0.56, 0.6)
    assert not judged(0.56, 0.6, others=others[:1]), "two runs must be through before"
    assert not judged()
    assert is_hopeless(made, False, [*others, Tries({}, "open", (0.9,))], 2), "of a loss the greater is the worse"


def test_halving_lets_the_best_third_go_on():
    made = plan(prune="halving")
    others = [Tries({}, "done", (0.5, 0.6, 0.7)), Tries({}, "done", (0.7, 0.8, 0.9)), Tries({}, "open", (0.6,))]
    assert is_hopeless(made, True, [*others, Tries({}, "open", (0.4,))], 3)
    assert not is_hopeless(made, True, [*others, Tries({}, "open", (0.8,))], 3)
    assert not is_hopeless(plan(), True, [*others, Tries({}, "open", (0.1,))], 3)


def test_a_sweep_queues_its_runs_and_ends_with_the_best_by_validation(workspace, store):
    sweep_id = start_sweep(workspace, BASE, plan())
    ahead(workspace, store)
    found = trials(store, sweep(store, sweep_id))
    assert [trial.run.state for trial in found] == ["queued"] * 4
    specs = [read_spec(workspace.run(trial.run_id).spec) for trial in found]
    assert [spec.split.same_as for spec in specs] == ["", *[found[0].run_id] * 3]
    assert [{RATE: spec.training.learning_rate, BATCH: spec.training.batch_size} for spec in specs] == [
        trial.settings for trial in found
    ]
    # The best on validation is the worst on test: validation decides.
    ids = [run_one(store, figure, test=test) for figure, test in ((0.7, 0.99), (0.8, 0.5), (0.6, 0.9))]
    ahead(workspace, store)
    board = sweep_board(store, sweep(store, sweep_id))
    assert (board.best.trial.run_id, board.open, board.test) == (ids[1], 1, None)
    assert board.sentence.startswith("Best so far by validation macro F1: 0.800 with")
    run_one(store, state="failed")
    ahead(workspace, store)
    board = sweep_board(store, sweep(store, sweep_id))
    assert board.sweep.state == "finished"
    assert [entry.trial.run_id for entry in board.entries][:3] == [ids[1], ids[0], ids[2]]
    assert board.test["accuracy"] == 0.5
    assert "right on 50.0 %" in board.sentence


def test_a_hopeless_run_is_stopped_with_its_reason_and_can_be_resumed(workspace, store):
    sweep_id = start_sweep(workspace, BASE, plan(prune="median", prune_after=2))
    ahead(workspace, store)
    run_one(store, 0.5, 0.7, 0.8)
    run_one(store, 0.6, 0.8, 0.9)
    run_id = run_one(store, 0.2, state="running")
    ahead(workspace, store)
    stopping = store.run(run_id)
    assert stopping.state == "stopping"
    assert stopping.reason == (
        "Stopped early as hopeless: validation macro F1 0.200 after 1 evaluation, where the other runs of the sweep "
        "had 0.550 in the middle."
    )
    assert stopped_words(store, run_id) == f"{stopping.reason} A checkpoint is kept."
    store.move(run_id, ["stopping"], "stopped", stopped_words(store, run_id))
    ahead(workspace, store)
    (entry,) = [entry for entry in sweep_board(store, sweep(store, sweep_id)).entries if entry.state == "pruned"]
    assert entry.trial.run_id == run_id
    store.move(run_id, ["stopped"], "queued", "Resumed.")
    run_one(store, 0.95, 0.96)
    resumed = run_one(store, 0.2, 0.25, state="running")
    ahead(workspace, store)
    assert (resumed, store.run(resumed).state) == (run_id, "running"), "a person wanted it: it is not stopped again"


def test_a_run_at_its_last_evaluation_is_left_to_finish(workspace, store):
    start_sweep(workspace, BASE, plan(prune="median", prune_after=1))
    ahead(workspace, store)
    run_one(store, 0.5, 0.7, 0.8)
    run_id = run_one(store, 0.2, state="running", total=10)
    ahead(workspace, store)
    assert store.run(run_id).state == "running"


@pytest.mark.parametrize("search", ["random", "tpe"])
def test_a_restart_goes_on_with_the_very_same_settings(workspace, tmp_path, search):
    """One process sees it through; of the other each step is a fresh start from the store."""
    from core.workspace import open_workspace

    seen = {}
    for name in ("one", "many"):
        place = open_workspace(tmp_path / name)
        store = open_store(place)
        sweep_id = start_sweep(place, BASE, plan(DRAWN, search=search, trials=7))
        for _ in range(9):
            if name == "many":
                store = open_store(open_workspace(tmp_path / name))
            ahead(place, store)
            if any(run.state == "queued" for run in store.runs()):
                number = int(store.claim_next().id[-2:])
                run_id = f"{sweep_id}-{number:02d}"
                rate = read_spec(place.run(run_id).spec).training.learning_rate
                store.add_metrics(run_id, 10, {"validation/macro_f1": 1000 * rate})
                store.move(run_id, ["running"], "finished")
        found = sweep(store, sweep_id)
        assert found.state == "finished"
        seen[name] = [trial.settings for trial in trials(store, found)]
    assert len(seen["one"]) == 7
    assert seen["one"] == seen["many"]


def test_tpe_makes_a_run_only_when_the_one_before_has_ended(workspace, store):
    sweep_id = start_sweep(workspace, BASE, plan(DRAWN, search="tpe", trials=5))
    for _ in range(3):
        ahead(workspace, store)
    assert len(trials(store, sweep(store, sweep_id))) == 1
    ahead(workspace, store, slots=2)
    assert len(trials(store, sweep(store, sweep_id))) == 2


def test_two_that_supervise_at_once_make_each_run_once(workspace):
    sweep_id = start_sweep(workspace, BASE, plan(DRAWN, search="random", trials=12))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ahead(workspace, open_store(workspace)), range(8)))
    store = open_store(workspace)
    ahead(workspace, store)
    found = trials(store, sweep(store, sweep_id))
    assert [trial.number for trial in found] == list(range(12))
    assert sorted(run.id for run in store.runs()) == sorted(trial.run_id for trial in found)
    alone = drawn(plan(DRAWN, search="random", trials=12))
    assert [trial.settings for trial in found] == alone


def test_a_run_whose_maker_died_is_made_by_the_next(workspace, store):
    start_sweep(workspace, BASE, plan())

    def dies(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        advance(workspace, store, dies, 1)
    ahead(workspace, store)
    assert len(store.runs()) == 3, "its maker may be about to submit it"
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("UPDATE trials SET made = made - 100")
    ahead(workspace, store)
    assert len(store.runs()) == 4


def test_a_sweep_with_a_setting_that_there_is_no_more_stops_alone(workspace, store):
    lost, found = (start_sweep(workspace, BASE, plan()) for _ in range(2))
    with store.transaction() as connection:
        connection.execute("UPDATE sweeps SET base = json_set(base, '$.training.adversarial', 1) WHERE id = ?", (lost,))
    ahead(workspace, store)
    with store.connection() as connection:
        states = dict(connection.execute("SELECT id, state FROM sweeps"))
        (reason,) = connection.execute("SELECT reason FROM sweeps WHERE id = ?", (lost,)).fetchone()
    assert states == {lost: "stopped", found: "searching"}
    assert "adversarial" in reason
    assert [one.id for one in sweeps(store)] == [found]
    assert store.claim_next() is not None


def test_a_stopped_sweep_goes_on_where_it_was(workspace, store):
    sweep_id = start_sweep(workspace, BASE, plan())
    ahead(workspace, store)
    run_one(store, 0.7)
    running = run_one(store, 0.6, state="running")
    stop_sweep(workspace, sweep_id)
    ahead(workspace, store)
    assert sorted(run.state for run in store.runs()) == ["finished", "stopped", "stopped", "stopping"]
    with pytest.raises(UserError, match="stopped"):
        stop_sweep(workspace, sweep_id)
    store.move(running, ["stopping"], "stopped", "The sweep was stopped.")
    resume_sweep(workspace, sweep_id)
    assert sorted(run.state for run in store.runs()) == ["finished", "queued", "queued", "queued"]
    for _ in range(3):
        run_one(store, 0.5)
    ahead(workspace, store)
    assert sweep(store, sweep_id).state == "finished"
    ungroup(workspace, sweep_id)
    assert sweeps(store) == []
    assert store.count_runs() == 4


def test_a_sweep_whose_runs_cannot_be_written_says_so_and_stops(workspace, store):
    sweep_id = start_sweep(workspace, BASE, plan())

    def full(*_):
        raise UserError("The disk is full.", "disk", "Free some space.")

    advance(workspace, store, full, 1)
    found = sweep(store, sweep_id)
    assert (found.state, found.reason) == ("stopped", "The disk is full. Free some space.")
    assert trials(store, found) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"split.seed": {"values": [1, 2]}}, "decides about rows"),
        ({"training.best_metric": {"values": ["loss", "accuracy"]}}, "compared by"),
        ({"training.nothing": {"values": [1, 2]}}, "is not a setting"),
        ({BATCH: {"values": [16, -1]}}, "batch_size"),
        ({BATCH: {"values": [16]}}, "one run"),
        ({RATE: {"low": 0.1, "high": 5}}, "learning_rate"),
        ({"training.schedule": {"low": 1, "high": 5}}, "no range"),
        ({"model.method": {"values": ["full", "qlora"]}}, "qlora"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_starts(workspace, fields, words):
    with pytest.raises(UserError) as refused:
        start_sweep(workspace, BASE, plan(fields))
    assert words in refused.value.what
    assert sweeps(open_store(workspace)) == []


def test_runs_are_not_compared_by_losses_of_different_kinds(workspace):
    base = with_settings(BASE, {"training.best_metric": "loss"})
    with pytest.raises(UserError, match="changes what the loss is"):
        start_sweep(workspace, base, plan({"training.label_smoothing": {"values": [0.0, 0.1]}}))


@pytest.mark.parametrize("text", ["", "1..x", "5..1", "0..1:log", "1..2:cubic", "16,16"])
def test_values_that_mean_nothing_are_refused(text):
    with pytest.raises(UserError):
        parse_values(text)


def test_every_suggestion_is_a_value_that_the_setting_takes():
    seen = 0
    for leaf in settings(type(BASE)):
        if leaf.key.startswith(PARTS) and not leaf.choices:
            for value in suggested_values(leaf, leaf.default):
                with_settings(BASE, {leaf.key: value})
                seen += 1
    assert seen > 50
    assert suggested_values(SETTINGS[RATE], 1e-4) == [3e-5, 1e-4, 3e-4]


def test_a_key_may_be_its_last_word_where_one_setting_has_it():
    assert full_key("learning_rate") == RATE
    with pytest.raises(UserError, match="is not a setting"):
        full_key("rate")


def test_time_is_estimated_from_the_same_data_else_by_rows(store):
    assert estimated_seconds(store, BASE, 500) is None
    store.add_run("a", "a", "p", BASE.model.source, "other.csv")
    run_one(store)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET seconds = 50")
    seconds, words = estimated_seconds(store, BASE, 500)
    assert (seconds, "by the rows" in words) == (250.0, True)
    store.add_run("b", "b", "p", BASE.model.source, "questions.csv")
    run_one(store)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET seconds = 70 WHERE id = 'b'")
    assert estimated_seconds(store, BASE, 500) == (70.0, "measured: 1 run with this model on these data")


def test_the_page_shows_no_test_figure_before_the_end_and_escapes_names(workspace, store):
    base = BASE.model_copy(update={"name": "<b>bold</b>"})
    start_sweep(workspace, base, plan({"training.schedule": {"values": ["linear", "cosine"]}, **GRID}, trials=3))
    ahead(workspace, store)
    run_one(store, 0.7, test=0.4321)
    run_one(store, 0.8, test=0.5678)
    html = sweeps_html(store)
    assert "<b>bold" not in html
    assert html.index("0.800") < html.index("0.700")
    assert html.count("<tr class=best>") == 1
    assert html.count('<path class="best"') == 1
    assert "43.2" not in html and "56.8" not in html
    run_one(store, 0.6)
    ahead(workspace, store)
    html = sweeps_html(store)
    assert "right on 56.8 %" in html
    assert "43.2" not in html


def test_the_command_line_lists_sweeps(workspace, store, capsys):
    sweep_id = start_sweep(workspace, BASE, plan())
    ahead(workspace, store)
    run_one(store, 0.7)
    code = main(parse(["--workspace", str(workspace.root), "sweeps", "--json"]))
    (told,) = json.loads(capsys.readouterr().out)["sweeps"]
    assert (code, told["sweep"], told["status"], told["planned"]) == (0, sweep_id, "searching", 4)
    assert [run["status"] for run in told["runs"]] == ["finished", "queued", "queued", "queued"]
    assert told["test"] is None
    assert main(parse(["--workspace", str(workspace.root), "stop", sweep_id])) == 0
    assert sweep(store, sweep_id).state == "stopped"
