"""The leaderboard over finished runs of a workspace: who shares a table, who is clearly worse, and how it is shown."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.cli.arguments import parse
from core.cli.commands import main
from core.data.examples import label_array
from core.data.split import read_examples, write_split
from core.evaluation.baselines import majority, run_baselines
from core.evaluation.leaderboard import as_json, leaderboard
from core.evaluation.predictions import Predictions
from core.evaluation.report import write_report
from core.runs.store import open_store
from core.spec_files import parse_spec, spec_yaml
from core.training.job import LabelledTexts
from core.workspace import Workspace
from tests.label_kinds import MACHINE, reported, split_run
from ui.leaderboard import boards_html

LABELS = ["<b>bold</b>", "R&D", "plain"]
ROWS = 900


def table(path: Path, rows: int = ROWS) -> Path:
    """Texts that tell their class half of the time."""
    rng = np.random.default_rng(0)
    lines = ["text,label"]
    for number in range(rows):
        told = number % 3 if rng.random() < 0.5 else rng.integers(3)
        lines.append(f"word{told} filler {number},{LABELS[number % 3]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def finished(workspace: Workspace, run_id: str, file: Path, wrong: float, seed: int = 1, **changes) -> None:
    """A run that is wrong on a share of the test rows, with real baselines where its name does not say otherwise."""
    called = changes.pop("called", f"Run {run_id}")
    content = {
        "name": called,
        "split": {"test": 0.3, **changes.pop("split", {})},
        "data": {"train": {"path": str(file)}},
        "mapping": {"text": ["text"], "label": "label"},
        **changes.pop("content", {}),
    }
    spec = parse_spec(content, "test")
    folder = workspace.run(run_id)
    facts = write_split(spec, workspace, folder)
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    parts = {}
    for name in ("train", "validation", "test"):
        examples = read_examples(folder, name)
        parts[name] = LabelledTexts(
            examples["row_id"].to_numpy(), examples["text"].to_pylist(), label_array(examples["label"], facts)
        )
    model = changes.pop("model", lambda part: said(part, wrong, seed))
    folder.model.mkdir()
    (folder.model / "model.safetensors").write_bytes(b"0" * 1234)
    write_report(
        folder,
        spec,
        facts,
        test=model(parts["test"]),
        validation=model(parts["validation"]),
        baselines=changes.pop("baselines", None) or run_baselines(parts, facts.labels),
        untuned=changes.pop("untuned", lambda part: None)(parts["test"]),
        training={
            "steps": 5, "epochs": 1.0, "seconds": 60.0, "machine": MACHINE, "history": [],
            "best": {"name": "macro_f1", "value": 0.9, "step": 5}, "rows_per_second": 321.0,
            "peak_memory_bytes": 5_000_000, "peak_gpu_memory_bytes": None,
        },
    )  # fmt: skip
    # Finished from the start: a server that is at work here would take a run that stands in the queue.
    open_store(workspace).add_opened_run(run_id, called, "a-preset", "a-model", file.name, "")


def said(part: LabelledTexts, wrong: float, seed: int) -> Predictions:
    rng = np.random.default_rng(seed)
    given = np.where(rng.random(len(part.labels)) < wrong, (part.labels + 1) % 3, part.labels)
    return Predictions(part.row_ids, part.labels, (0.1 + 0.7 * np.eye(3)[given]).astype(np.float32))


@pytest.fixture
def two_runs(workspace: Workspace, tmp_path: Path) -> Workspace:
    file = table(tmp_path / "table.csv")
    finished(workspace, "good", file, 0.05)
    finished(workspace, "other", file, 0.07, seed=2)
    return workspace


def test_runs_on_the_same_rows_share_a_table_with_their_baselines_once(two_runs):
    (board,) = leaderboard(two_runs)
    assert (board.data, board.rows, board.classes, board.several) == ("table.csv", 270, 3, False)
    assert [entry.title for entry in board.entries] == [
        "Run good", "Run other", "TF-IDF with logistic regression", "Guessing the commonest class",
    ]  # fmt: skip
    best, other, tfidf, guess = board.entries
    assert best.against_best is None
    assert other.against_best.outcome == "unclear"
    assert tfidf.against_best.outcome == guess.against_best.outcome == "worse"
    assert tfidf.against_best.words == "worse than the best (p < 0.001: by chance less than once in 1,000 times)"
    assert board.sentence.startswith("Best: Run good, right on ")
    assert "Better than TF-IDF (p < 0.001" in board.sentence
    assert board.sentence.endswith("No clear difference from Run other.")


def test_figures_are_those_of_the_reports_and_what_is_not_known_is_none(two_runs):
    (board,) = leaderboard(two_runs)
    report = json.loads((two_runs.run("good").report / "report.json").read_text(encoding="utf-8"))
    best, _, tfidf, guess = (entry.figures for entry in board.entries)
    for figures, measured in (
        (best, report["test"]), (tfidf, report["baselines"]["tfidf"]), (guess, report["baselines"]["majority"]),
    ):  # fmt: skip
        for name in (
            "accuracy",
            "accuracy_interval",
            "macro_f1",
            "macro_f1_interval",
            "calibration_error",
            "calibration_error_interval",
        ):
            assert vars(figures)[name] == measured[name]
        low, high = figures.macro_f1_interval
        assert low <= figures.macro_f1 <= high
    assert (best.rows_per_second, best.size_bytes, best.training_seconds, best.peak_memory_bytes) == (
        321.0, 1234, 60.0, 5_000_000,
    )  # fmt: skip
    assert tfidf.rows_per_second > 0 and tfidf.size_bytes is None and guess.rows_per_second is None


def test_what_baselines_said_is_kept_row_for_row(two_runs):
    folder = two_runs.run("good")
    kept = pq.read_table(folder.report / "baselines.parquet").to_pylist()
    test = [row for row in pq.read_table(folder.report / "predictions.parquet").to_pylist() if row["part"] == "test"]
    report = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))
    for name in ("majority", "tfidf"):
        mine = [row for row in kept if row["name"] == name]
        assert [row["row_id"] for row in mine] == [row["row_id"] for row in test]
        right = sum(row["predicted"] == [other["true"]] for row, other in zip(mine, test, strict=True))
        assert right / len(test) == report["baselines"][name]["accuracy"]


@pytest.mark.parametrize("other", ["split", "content", "truth"])
def test_runs_over_different_rows_never_share_a_table(workspace, tmp_path, other):
    file = table(tmp_path / "table.csv")
    finished(workspace, "first", file, 0.05)
    if other == "split":
        finished(workspace, "second", file, 0.05, split={"seed": 7})
    else:
        # The same name, elsewhere.
        (tmp_path / "there").mkdir()
        again = table(tmp_path / "there" / "table.csv", ROWS + 3 * (other == "content"))
        if other == "truth":
            again.write_text(again.read_text(encoding="utf-8").replace("plain", "plainer"), encoding="utf-8")
        finished(workspace, "second", again, 0.05)
    boards = leaderboard(workspace)
    assert len({board.id for board in boards}) == len(boards) == 2
    # The newest run's comes first.
    assert [{entry.run for entry in board.entries} for board in boards] == [{"second"}, {"first"}]


def test_the_same_file_under_another_name_is_the_same_rows(workspace, tmp_path):
    finished(workspace, "first", table(tmp_path / "table.csv"), 0.05)
    finished(workspace, "second", table(tmp_path / "renamed.csv"), 0.2)
    assert len(leaderboard(workspace)) == 1


def test_a_baseline_that_leads_is_called_so(workspace, tmp_path):
    finished(workspace, "poor", table(tmp_path / "table.csv"), 0.6)
    (board,) = leaderboard(workspace)
    assert board.entries[0].title == "TF-IDF with logistic regression"
    assert "No trained model is ahead of this baseline." in board.sentence
    assert "etter than TF-IDF" not in board.sentence


def test_who_leads_by_accuracy_and_loses_small_classes_is_said_to(workspace, tmp_path):
    """Right on the large classes alone it is ahead of TF-IDF, and clearly behind over all classes alike."""
    file = tmp_path / "table.csv"
    classes = ["a"] * 600 + ["b"] * 250 + ["c"] * 50
    lines = (f"{'odd' if number % 4 == 0 else name + 'ish'} {number % 7},{name}" for number, name in enumerate(classes))
    file.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")

    def lost(part: LabelledTexts) -> Predictions:
        return Predictions(part.row_ids, part.labels, np.eye(3, dtype=np.float32)[np.minimum(part.labels, 1)])

    finished(workspace, "large", file, 0.0, model=lost)
    (board,) = leaderboard(workspace)
    assert board.entries[0].title == "Run large"
    tfidf = board.entries[1].against_best
    assert tfidf.macro_f1_outcome == "better" and tfidf.macro_f1_difference > 0
    assert "by macro F1, it is clearly behind TF-IDF with logistic regression." in board.sentence
    assert "clearly ahead by macro F1" in boards_html([board])


def test_a_language_model_stands_beside_itself_before_training(workspace, tmp_path):
    finished(workspace, "llm", table(tmp_path / "table.csv"), 0.05, untuned=lambda part: said(part, 0.5, 3))
    (board,) = leaderboard(workspace)
    untuned = next(entry for entry in board.entries if entry.figures.rank == "untuned")
    assert untuned.title == "Run llm before training"
    assert untuned.against_best.outcome == "worse" and untuned.figures.rows_per_second is None


def test_baselines_that_learned_from_other_rows_are_told_apart(workspace, tmp_path):
    file = table(tmp_path / "table.csv")
    finished(workspace, "first", file, 0.05)
    labels = np.array([2, 2, 1])
    finished(workspace, "second", file, 0.05, baselines=[majority(labels, 90, 270, LABELS)])
    (board,) = leaderboard(workspace)
    titles = [entry.title for entry in board.entries if entry.figures.name == "majority"]
    assert len(titles) == 2 and "Guessing the commonest class (of Run first)" in titles


def test_runs_of_one_name_are_told_apart_by_their_ids(workspace, tmp_path, capsys):
    file = table(tmp_path / "rows.csv")
    ids = ("20260101-000000-00000001", "20260101-000000-00000002-01")
    for seed, name in enumerate(ids):
        finished(workspace, name, file, 0.3, seed, called="Mail")
    (board,) = leaderboard(workspace)
    assert {f"Mail ({name})" for name in ids} <= {entry.title for entry in board.entries}
    assert all(f"Mail ({name})" in board.sentence for name in ids)
    assert main(parse(["leaderboard", "--workspace", str(workspace.root)])) == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^Mail +{name} ", printed, re.MULTILINE) for name in ids)
    assert main(parse(["compare", *ids, "--workspace", str(workspace.root)])) == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^{name} +Mail ", printed, re.MULTILINE) for name in ids)
    assert f"“Mail ({ids[0]})”" in printed


def test_runs_that_are_not_finished_or_have_lost_their_files_are_left_out(two_runs, tmp_path):
    open_store(two_runs).add_run("queued", "Queued", "", "", "table.csv")
    (two_runs.run("other").report / "predictions.parquet").unlink()
    (board,) = leaderboard(two_runs)
    assert {entry.run for entry in board.entries} == {"good"}


@pytest.mark.parametrize("kind", ["multi", "soft"])
def test_every_kind_of_label_has_its_table(workspace, tmp_path, kind):
    run = split_run(workspace, tmp_path / "table.csv", kind)
    report = reported(run)
    store = open_store(workspace)
    store.add_run("a-run", "Topics", "", "", "table.csv")
    store.move("a-run", ["queued"], "running")
    store.move("a-run", ["running"], "finished", summary={})
    (board,) = leaderboard(workspace)
    assert board.several == (kind == "multi") and len(board.entries) == 3
    own = next(entry for entry in board.entries if entry.figures.rank == "run")
    assert own.figures.micro_f1 == report["test"]["micro_f1"]
    expected = {name: comparison["outcome"] for name, comparison in report["comparisons"].items()}
    if board.entries[0] is own and "worse" not in expected.values():
        assert {entry.figures.name: entry.against_best.p_value >= 0.05 for entry in board.entries[1:]} == {
            name: outcome == "unclear" for name, outcome in expected.items()
        }
    assert ("Micro F1" in boards_html([board])) == (kind == "multi")


def test_the_page_escapes_names_sorts_and_says_what_to_do_where_there_is_nothing(two_runs):
    assert "Nothing can be compared yet" in boards_html([])
    (board,) = leaderboard(two_runs)
    evil = replace(board, entries=(replace(board.entries[0], title="<img src=x>"), *board.entries[1:]))
    page = boards_html([evil])
    assert "<img" not in page and "&lt;img src=x&gt;" in page
    assert page.index("&lt;img") < page.index("Run other</a>") < page.index(">TF-IDF with")
    turned = boards_html([evil], ("headline", False))
    assert turned.index(">Guessing") < turned.index(">TF-IDF with") < turned.index("Run other</a>")
    # What is not known comes last either way.
    for largest in (False, True):
        by_size = boards_html([board], ("size_bytes", largest))
        assert by_size.index("Run other</a>") < by_size.index(">Guessing the")
    assert 'href="/?run=good"' in page and "no clear difference" in page


def test_the_command_line_says_the_same(two_runs, capsys):
    assert main(parse(["leaderboard", "--json", "--workspace", str(two_runs.root)])) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads(json.dumps(as_json(leaderboard(two_runs))))
    (board,) = content["boards"]
    assert [entry["title"] for entry in board["entries"]][:2] == ["Run good", "Run other"]
    assert board["entries"][2]["against_best"]["outcome"] == "worse"
    assert main(parse(["leaderboard", "--workspace", str(two_runs.root)])) == 0
    words = capsys.readouterr().out
    assert "table.csv: 270 test rows, 3 classes" in words and "worse than the best (p < 0.001" in words


def test_the_command_line_of_an_empty_workspace_says_what_to_do(workspace, capsys):
    assert main(parse(["leaderboard", "--workspace", str(workspace.root)])) == 0
    assert "No finished run can be compared yet." in capsys.readouterr().out
