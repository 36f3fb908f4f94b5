"""Confident learning: a case worked by hand, planted errors in real data, folds, and what is not judged."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.data.same_rows import fold_folder
from core.data.split import write_split
from core.evaluation.mistakes import count_rows, page_of_rows, places_of
from core.evaluation.row_filter import RowFilter
from core.evaluation.suspicious import (
    count_held_out,
    judge,
    self_confidence,
    suspicious_file,
    why_not_judged,
)
from core.workspace import open_workspace
from tests.error_runs import measured, parts_of, split_file
from tests.label_kinds import KindRun, reported, split_run

SUSPICIOUS = RowFilter("suspicious", order="suspicion")


def test_a_case_worked_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6], [0.8, 0.2]], dtype=np.float32)
    thresholds = self_confidence([(labels, probabilities)], 2)
    halves = [(labels[rows], probabilities[rows]) for rows in (slice(0, 2), slice(2, 6))]
    assert self_confidence(halves, 2) == pytest.approx(thresholds)
    # (0.9 + 0.7 + 0.2) / 3 and (0.9 + 0.6 + 0.2) / 3
    assert thresholds == pytest.approx([0.6, 1.7 / 3], abs=1e-6)
    judged = judge(labels, probabilities, thresholds)
    assert judged.suggested.tolist() == [0, 0, 1, 1, 1, 0]
    assert judged.margin == pytest.approx([0, 0, 0.6, 0, 0, 0.6], abs=1e-6)


def test_an_unsure_row_counts_for_no_class():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.1, 0.9], [0.0, 1.0]], dtype=np.float32)
    judged = judge(labels, probabilities, self_confidence([(labels, probabilities)], 2))
    # Thresholds 0.75 and 0.95: of the second and third row no class reaches its own.
    assert judged.suggested.tolist() == [0, 0, 1, 1]


def test_a_class_without_rows_is_suggested_to_none():
    labels = np.array([0, 1])
    probabilities = np.array([[0.1, 0.1, 0.8], [0.2, 0.3, 0.5]], dtype=np.float32)
    judged = judge(labels, probabilities, self_confidence([(labels, probabilities)], 3))
    assert 2 not in judged.suggested


@pytest.fixture(scope="module")
def planted(tmp_path_factory, shared_data):
    """Real questions, a 25th of them given another class at random. Returns the run and the planted rows."""
    root = tmp_path_factory.mktemp("planted")
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))[:3000]
    rng = np.random.default_rng(3)
    classes = sorted({row["label"] for row in rows})
    wrong = set(rng.choice(len(rows), 120, replace=False).tolist())
    for number in wrong:
        others = [name for name in classes if name != rows[number]["label"]]
        rows[number]["label"] = others[rng.integers(len(others))]
    path = root / "questions.csv"
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    mapping = {"text": ["text"], "label": "label"}
    run = split_file(
        open_workspace(root / "workspace"), "a-run", path, mapping, split={"test": 0.35, "validation": 0.2}
    )
    measured(run)
    return run, wrong


def test_planted_errors_stand_at_the_top(planted):
    run, wrong = planted
    rows = page_of_rows(run.folder, SUSPICIOUS, limit=1000)
    assert len(rows) == count_rows(run.folder, SUSPICIOUS)
    assert {row["part"] for row in rows} == {"validation", "test"}
    assert count_held_out(run.folder) == sum(len(run.parts[part].row_ids) for part in ("validation", "test"))
    places = places_of(run.folder, 1, [row["row_id"] for row in rows])
    found = [places[row["row_id"]][1] in wrong for row in rows]
    share = len(wrong) / 3000
    # Of the first 30 most are planted, of all held-out rows one in 25 is.
    assert sum(found[:30]) >= 20 > 10 * 30 * share
    margins = [row["suspicion"] for row in rows]
    assert margins == sorted(margins, reverse=True)
    assert all(row["suggested"] != row["true"] for row in rows)


def test_suspicious_rows_are_filtered_as_others_are(planted):
    run, _ = planted
    rows = page_of_rows(run.folder, SUSPICIOUS, limit=1000)
    true = rows[0]["true"]
    wanted = RowFilter("suspicious", true=true, order="suspicion")
    assert count_rows(run.folder, wanted) == sum(row["true"] == true for row in rows)


def test_it_is_worked_out_once_and_again_when_predictions_are_new(planted):
    run, _ = planted
    path = suspicious_file(run.folder)
    written = path.stat().st_mtime_ns
    assert suspicious_file(run.folder).stat().st_mtime_ns == written
    (run.folder.report / "predictions.parquet").touch()
    assert suspicious_file(run.folder).stat().st_mtime_ns > written


def test_every_row_of_a_cross_validation_is_judged(planted, workspace):
    run, _ = planted
    mapping = {"text": ["text"], "label": "label"}
    crossed = split_file(workspace, "crossed", run.spec.data.train.path, mapping, split={"folds": 2})
    report = measured(crossed)
    other = fold_folder(crossed.folder, 2)
    facts = write_split(crossed.spec, workspace, other, 2)
    measured(KindRun(other, crossed.spec, facts, parts_of(other, facts)))
    assert count_held_out(crossed.folder) == 3000
    rows = page_of_rows(crossed.folder, SUSPICIOUS, limit=3000)
    assert {row["fold"] for row in rows} == {1, 2} and {row["part"] for row in rows} == {"test"}
    # The rows of the first fold alone are its report's.
    assert count_rows(crossed.folder, RowFilter("all")) == report["test"]["rows"]
    places = {
        fold: places_of(crossed.folder, fold, [r["row_id"] for r in rows if r["fold"] == fold]) for fold in (1, 2)
    }
    named = {places[row["fold"]][row["row_id"]] for row in rows}
    assert len(named) == len(rows)


def test_folds_that_know_different_classes_are_judged_together(workspace, tmp_path):
    """A class of one author alone is unknown to the fold that tests this author's rows."""
    path = tmp_path / "authors.csv"
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text", "label", "author"])
        for row in range(240):
            label = "ab"[row % 2]
            writer.writerow([f"{label * 3} {label * 2} text number {row}", label, f"author {row % 8}"])
        writer.writerows([[f"ccc cc text number {row}", "0c", "author alone"] for row in range(40)])
    split = {"by": "group", "column": "author", "folds": 3}
    crossed = split_file(workspace, "crossed", path, {"text": ["text"], "label": "label"}, split=split)
    runs = [crossed]
    for fold in (2, 3):
        other = fold_folder(crossed.folder, fold)
        facts = write_split(crossed.spec, workspace, other, fold)
        runs.append(KindRun(other, crossed.spec, facts, parts_of(other, facts)))
    for one in runs:
        measured(one)
    assert len({tuple(one.facts.labels) for one in runs}) > 1
    assert count_held_out(crossed.folder) == sum(one.facts.parts["test"] for one in runs)
    own = crossed.facts.labels
    rows = page_of_rows(crossed.folder, RowFilter("suspicious"), limit=300)
    assert all(len(row["probabilities"]) == len(own) for row in rows)
    # Nothing is wrong with these labels, and every fold knows its own classes.
    assert not rows


def test_other_kinds_of_label_are_not_judged_and_it_is_said(workspace, tmp_path):
    run = split_run(workspace, tmp_path / "topics.csv", "multi")
    reported(run, baselines=False)
    assert "several" in why_not_judged(run.folder)
    assert suspicious_file(run.folder) is None
    assert page_of_rows(run.folder, SUSPICIOUS) == []
    assert pq.read_schema(run.folder.report / "predictions.parquet").names[-2:] == ["missed", "added"]
