"""Runs side by side: what the tests say, the rows that one alone has right, settings that differ, and where rows are
others."""

import json

import pyarrow.parquet as pq
import pytest

from core.cli.arguments import parse
from core.cli.commands import main
from core.errors import UserError
from core.evaluation.comparison import compare_runs, differing_rows
from core.runs.store import open_store
from core.workspace import Workspace, open_workspace
from tests.label_kinds import reported, split_run
from tests.unit.test_leaderboard import LABELS, ROWS, finished, table
from ui.compare import classes_html, curves_html, head_html, rows_html, settings_html
from ui.runs import ticked_html


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Workspace:
    workspace = open_workspace(tmp_path_factory.mktemp("workspace"))
    file = table(tmp_path_factory.mktemp("data") / "table.csv")
    finished(workspace, "good", file, 0.05)
    finished(workspace, "poor", file, 0.30, seed=2)
    finished(workspace, "like", file, 0.06, seed=3)
    return workspace


def answers(workspace, run_id):
    rows = pq.read_table(workspace.run(run_id).report / "predictions.parquet").to_pylist()
    return {row["row_id"]: row for row in rows if row["part"] == "test"}


def test_what_the_paired_tests_say_is_said_of_each_run_beside_the_first(runs):
    found = compare_runs(runs, ["good", "poor", "like"])
    assert found.why_not == "" and [run.name for run in found.runs] == ["Run good", "Run poor", "Run like"]
    poor, like = found.pairs
    assert (poor.test.outcome, like.test.outcome) == ("worse", "unclear")
    assert poor.words.startswith("“Run poor” is worse than “Run good” (p < 0.001")
    assert "no clear difference from “Run good”" in like.words
    other_way = compare_runs(runs, ["poor", "good"]).pairs[0]
    assert other_way.test.outcome == "better" and other_way.words.startswith("“Run good” is better than “Run poor”")


def test_rows_that_one_alone_has_right_are_those_of_the_files_page_by_page(runs):
    good, poor = answers(runs, "good"), answers(runs, "poor")
    (pair,) = compare_runs(runs, ["good", "poor"]).pairs
    expected = {
        "first": [r for r in good if good[r]["true"] == good[r]["predicted"] != poor[r]["predicted"]],
        "second": [r for r in good if poor[r]["true"] == poor[r]["predicted"] != good[r]["predicted"]],
    }
    assert (pair.rows.first_only, pair.rows.second_only) == tuple(map(len, expected.values()))
    assert sum(vars(pair.rows).values()) == len(good)
    folders = runs.run("good"), runs.run("poor")
    for right, rows in expected.items():
        pages = [row for start in range(0, len(rows), 7) for row in differing_rows(*folders, right, start, 7)]
        assert sorted(row.row_id for row in pages) == sorted(rows)
        for row in pages[:5]:
            first, second = good[row.row_id], poor[row.row_id]
            assert (row.text, row.true) == (first["text"], first["true"])
            assert (row.first, row.first_confidence) == (first["predicted"], first["confidence"])
            assert (row.second, row.second_confidence) == (second["predicted"], second["confidence"])


def test_rows_are_joined_by_line_not_by_a_runs_own_numbers(workspace, tmp_path):
    """Cleaning leaves rows of train out, and a test file's rows are then numbered otherwise."""
    file, test = table(tmp_path / "table.csv"), tmp_path / "test.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    test.write_text("\n".join([lines[0], *lines[600:]]) + "\n", encoding="utf-8")
    file.write_text("\n".join([*lines[:600], lines[1], lines[1]]) + "\n", encoding="utf-8")
    data = {"data": {"train": {"path": str(file)}, "test": {"path": str(test)}}}
    finished(workspace, "as-it-is", file, 0.1, content=data)
    cleaned = {"data": {**data["data"], "cleaning": {"copies": "drop"}}}
    finished(workspace, "cleaned", file, 0.3, seed=5, content=cleaned)
    found = compare_runs(workspace, ["as-it-is", "cleaned"])
    assert found.why_not == ""
    one, two = answers(workspace, "as-it-is"), answers(workspace, "cleaned")
    assert set(one) != set(two)
    rows = differing_rows(workspace.run("as-it-is"), workspace.run("cleaned"), "first", 0, 1000)
    assert len(rows) == found.pairs[0].rows.first_only > 0
    by_text = {row["text"]: row for row in two.values()}
    assert all(by_text[row.text]["predicted"] == row.second for row in rows)
    assert [one.key for one in found.settings if one.differs] == ["data.cleaning.copies"]


def test_runs_on_other_rows_are_said_to_be_so_and_their_settings_still_stand_side_by_side(workspace, tmp_path):
    file = table(tmp_path / "table.csv")
    finished(workspace, "one", file, 0.05)
    finished(workspace, "two", file, 0.05, split={"seed": 7})
    (tmp_path / "there").mkdir()
    finished(workspace, "three", table(tmp_path / "there" / "table.csv", ROWS + 3), 0.05)
    found = compare_runs(workspace, ["one", "two"])
    assert "were tested on different rows: the file is the same" in found.why_not
    assert (found.pairs, found.classes) == ((), ())
    (setting,) = [one for one in found.settings if one.differs]
    assert (setting.key, setting.values[1]) == ("split.seed", "7") and setting.description
    assert "not compared" in head_html(found) and classes_html(found) == ""
    other = compare_runs(workspace, ["one", "three"])
    assert "which has another content" in other.why_not
    (path,) = [one for one in other.settings if one.differs]
    assert path.key == "data.train.path" and "900 rows, content" in path.values[0]
    assert str(tmp_path) not in json.dumps([one.values for one in other.settings])


@pytest.mark.parametrize("kind", ["multi", "soft"])
def test_several_classes_a_row_and_probabilities_are_compared_too(workspace, tmp_path, kind):
    store = open_store(workspace)
    for run_id, noise in (("sharp", 0.3), ("noisy", 0.75)):
        reported(split_run(workspace, tmp_path / "table.csv", kind, run_id=run_id), noise)
        store.add_run(run_id, run_id, "", "", "table.csv")
        store.move(run_id, ["queued"], "running")
        store.move(run_id, ["running"], "finished", summary={})
    found = compare_runs(workspace, ["sharp", "noisy"])
    (pair,) = found.pairs
    sharp, noisy = answers(workspace, "sharp"), answers(workspace, "noisy")
    right = {
        name: {r for r, row in rows.items() if not (row["missed"] or row["added"])} if kind == "multi"
        else {r for r, row in rows.items() if row["true"] == row["predicted"]}
        for name, rows in (("sharp", sharp), ("noisy", noisy))
    }  # fmt: skip
    assert pair.rows.first_only == len(right["sharp"] - right["noisy"])
    rows = differing_rows(workspace.run("sharp"), workspace.run("noisy"), "first", 0, 1000)
    assert {row.row_id for row in rows} == right["sharp"] - right["noisy"]
    assert ("Micro F1" in head_html(found)) == (kind == "multi")


def test_conversations_and_unfinished_runs_stand_beside_others(runs):
    store = open_store(runs)
    for run_id, summary in (("talk", {"task": "chat"}), ("wait", None)):
        folder = runs.run(run_id)
        folder.root.mkdir(parents=True)
        folder.spec.write_text(runs.run("good").spec.read_text(encoding="utf-8"), encoding="utf-8")
        store.add_run(run_id, f"Run {run_id}", "", "", "table.csv")
        if summary:
            store.move(run_id, ["queued"], "running")
            store.move(run_id, ["running"], "finished", summary=summary)
    folder = runs.run("talk")
    folder.report.mkdir()
    (folder.report / "report.json").write_text(json.dumps({"test": {"loss": 1.25, "perplexity": 3.49}}))
    talk = compare_runs(runs, ["good", "talk"])
    assert "learned from conversations" in talk.why_not and "Loss 1.250, perplexity 3.49" in head_html(talk)
    assert "“Run wait” has not finished" in compare_runs(runs, ["good", "wait"]).why_not


def test_requests_that_cannot_be_met_say_what_to_do(runs):
    for asked in (["good"], ["good", "good"], ["good", "none"], ["good", "../evil"], [str(n) for n in range(9)]):
        with pytest.raises(UserError):
            compare_runs(runs, asked)


def test_the_page_escapes_what_comes_from_data_and_shows_curves_over_each_other(runs):
    store = open_store(runs)
    store.rename_run("good", "<img src=x>")
    for run_id in ("good", "poor"):
        for step in (1, 2, 3):
            store.add_metrics(run_id, step, {"train/loss": 1 / step, "validation/macro_f1": step / 4})
    found = compare_runs(runs, ["good", "poor"])
    store.rename_run("good", "Run good")
    rows = differing_rows(runs.run("good"), runs.run("poor"), "first")
    page = head_html(found) + classes_html(found) + settings_html(found) + rows_html(rows, "first", 0, len(rows))
    assert "<img" not in page and "&lt;img src=x&gt;" in page and "<b>bold" not in page
    curves = curves_html(store, found)
    assert curves.count("<figure") == 2 and "Training loss" in curves and "macro F1" in curves
    assert 'href="/compare?runs=good,poor"' in ticked_html(("good", "poor"))
    assert "another run" in ticked_html(("good",))


def test_the_command_line_says_the_same(runs, capsys):
    assert main(parse(["compare", "good", "poor", "--rows", "3", "--json", "--workspace", str(runs.root)])) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["pairs"][0]["words"] == compare_runs(runs, ["good", "poor"]).pairs[0].words
    assert len(content["differing_rows"]["good poor"]["first"]) == 3
    assert [run["figures"]["accuracy"] for run in content["runs"]] == [
        json.loads((runs.run(name).report / "report.json").read_text(encoding="utf-8"))["test"]["accuracy"]
        for name in ("good", "poor")
    ]
    assert main(parse(["compare", "good", "poor", "--workspace", str(runs.root)])) == 0
    words = capsys.readouterr().out
    assert "worse than “Run good”" in words and LABELS[1] in words and "Settings that differ:\n  none" in words
    assert main(parse(["compare", "good", "nothing", "--workspace", str(runs.root)])) == 2
