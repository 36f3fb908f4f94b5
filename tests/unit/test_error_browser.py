"""The error browser's rows: filters, orders and pages, of runs with one class a row, several, or probabilities."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.evaluation.mistakes import count_rows, one_row, page_of_rows, places_of
from core.evaluation.nearest_rows import EMBEDDINGS, TFIDF, nearest_rows
from core.evaluation.neighbours import NEAREST_FILE
from core.evaluation.prediction_rows import prediction_schema
from core.evaluation.row_filter import RowFilter
from core.workspace import open_workspace
from tests.error_runs import measured, split_file
from tests.label_kinds import reported, split_run
from tests.run_folders import run_spec, write_run
from ui.run.mistakes import asked_filter
from ui.run.open_row import OpenRow, open_row_html, words_html
from ui.run.row_list import list_html

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_data):
    root = tmp_path_factory.mktemp("errors")
    lines = (shared_data / "trec" / "train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    path = root / "questions.csv"
    path.write_text("".join(lines[:601]), encoding="utf-8")
    mapping = {"text": ["text"], "label": "label"}
    found = split_file(open_workspace(root / "workspace"), "a-run", path, mapping, split={"test": 0.4})
    measured(found)
    return found


def test_filters_say_what_the_predictions_hold(run):
    rows = pq.read_table(run.folder.report / "predictions.parquet").to_pylist()
    test = [row for row in rows if row["part"] == "test"]
    wrong = [row for row in test if row["true"] != row["predicted"]]
    assert len(wrong) > 20
    assert count_rows(run.folder, RowFilter()) == len(wrong)
    assert count_rows(run.folder, RowFilter("all")) == len(test)
    true, predicted = wrong[0]["true"], wrong[0]["predicted"]
    pair = RowFilter(true=true, predicted=predicted)
    assert {row["row_id"] for row in page_of_rows(run.folder, pair, limit=1000)} == {
        row["row_id"] for row in wrong if (row["true"], row["predicted"]) == (true, predicted)
    }
    bar = RowFilter("all", least=0.3, most=0.6)
    assert count_rows(run.folder, bar) == sum(0.3 <= row["confidence"] <= 0.6 for row in test)
    assert count_rows(run.folder, RowFilter("all", search="  MANY ")) == sum(
        "many" in row["text"].lower() for row in test
    )
    assert count_rows(run.folder, RowFilter(search="100%_'")) == 0


def test_orders_and_pages_hold_every_row_once(run):
    for order, name in (("confidence", "confidence"), ("loss", "loss"), ("suspicion", "confidence")):
        wanted = RowFilter("all", order=order)
        total = count_rows(run.folder, wanted)
        pages = [page_of_rows(run.folder, wanted, start, 50) for start in range(0, total, 50)]
        values = [row[name] for page in pages for row in page]
        assert values == sorted(values, reverse=True)
        assert len({row["row_id"] for page in pages for row in page}) == total


def test_loss_is_that_of_the_true_class(run):
    for row in page_of_rows(run.folder, RowFilter("all", order="loss"), limit=5):
        said = row["probabilities"][run.facts.labels.index(row["true"])]
        assert row["loss"] == pytest.approx(-np.log(said), rel=1e-4)


def test_a_run_of_before_losses_were_kept_has_them_all_the_same(run, workspace):
    table = pq.read_table(run.folder.report / "predictions.parquet")
    folder = write_run(workspace, "old", run.spec, run.facts.labels)
    folder.report.mkdir()
    pq.write_table(table.drop_columns(["loss"]), folder.report / "predictions.parquet")
    wanted = RowFilter("all", order="loss")
    old, new = (page_of_rows(one, wanted, limit=20) for one in (folder, run.folder))
    assert [row["row_id"] for row in old] == [row["row_id"] for row in new]
    assert [row["loss"] for row in old] == pytest.approx([row["loss"] for row in new], rel=1e-4)


def test_a_row_is_found_again_in_its_file(run):
    row = page_of_rows(run.folder, RowFilter(), limit=1)[0]
    file, number = places_of(run.folder, 1, [row["row_id"]])[row["row_id"]]
    text = Path(run.spec.data.train.path).read_text(encoding="utf-8").splitlines()[number + 1]
    assert file == "train"
    assert row["text"].split()[-2] in text
    assert one_row(run.folder, 1, row["row_id"])["text"] == row["text"]
    assert one_row(run.folder, 1, 10**9) is None


@pytest.mark.parametrize("kind", ["multi", "soft"])
def test_other_kinds_of_label_have_rows_and_losses(workspace, tmp_path, kind):
    run = split_run(workspace, tmp_path / "topics.csv", kind)
    report = reported(run, baselines=False)
    rows = page_of_rows(run.folder, RowFilter("all", order="loss"), limit=1000)
    assert len(rows) == report["test"]["rows"]
    part = run.parts["test"]
    for row in rows[:5]:
        true = part.labels[list(part.row_ids).index(row["row_id"])]
        said = np.array(row["probabilities"])
        expected = (
            -np.log(np.where(true > 0, said, 1 - said)).mean() if kind == "multi" else -(true * np.log(said)).sum()
        )
        assert row["loss"] == pytest.approx(expected, rel=1e-3)
    thresholds = {one["label"]: one["threshold"] for one in report["test"]["per_class"] if "threshold" in one}
    row = next(row for row in rows if HOSTILE[:8] in row["text"])
    shown = open_row_html(
        OpenRow(
            row=one_row(run.folder, 1, row["row_id"]), place=("train", 3), file_name="<b>.csv", labels=report["labels"],
            several=kind == "multi", thresholds=thresholds, mark=None, like=None, words="", explains=True,
        )
    )  # fmt: skip
    assert "<script" not in shown and "<b>bold" not in shown and "<b>.csv" not in shown
    if kind == "multi":
        true = part.labels[list(part.row_ids).index(row["row_id"])]
        has = [name for name, yes in zip(report["labels"], true, strict=True) if yes]
        assert shown.count(" checked") == len(has)


def test_nearest_rows_are_those_of_the_untuned_model_else_those_that_share_words(run):
    row = page_of_rows(run.folder, RowFilter(), limit=1)[0]
    like = nearest_rows(run.folder, 1, row["row_id"], row["text"])
    assert like.by == TFIDF and 0 < len(like.rows) <= 5
    train = dict(zip(run.parts["train"].row_ids.tolist(), run.parts["train"].texts, strict=True))
    assert all(train[one.row_id] == one.text for one in like.rows)
    cosines = [one.cosine for one in like.rows]
    assert cosines == sorted(cosines, reverse=True)
    same = nearest_rows(run.folder, 1, row["row_id"], like.rows[0].text)
    assert same.rows[0].cosine == pytest.approx(1, abs=1e-4)
    ids = list(train)[:3]
    table = {"row_id": [row["row_id"]], "nearest": [ids], "cosines": [[0.9, 0.8, 0.7]]}
    path = run.folder.report / NEAREST_FILE
    pq.write_table(pa.table(table), path)
    kept = nearest_rows(run.folder, 1, row["row_id"], row["text"])
    path.unlink()
    assert kept.by == EMBEDDINGS and [one.row_id for one in kept.rows] == ids


def test_a_hundred_thousand_rows_are_paged_through_a_batch_at_a_time(workspace):
    labels = [f"class {number}" for number in range(20)]
    folder = write_run(workspace, "large", run_spec(), labels)
    folder.report.mkdir()
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(folder.report / "predictions.parquet", prediction_schema("single")) as writer:
        for start in range(0, 100_000, 5000):
            said = rng.dirichlet(np.full(20, 0.3), 5000).astype(np.float32)
            true = rng.integers(20, size=5000)
            names = pa.array(labels)
            flat = pa.ListArray.from_arrays(pa.array(np.arange(5001, dtype=np.int32) * 20), pa.array(said.ravel()))
            writer.write_batch(
                pa.record_batch(
                    [
                        pa.array(np.arange(start, start + 5000)),
                        pa.array(["test"] * 5000),
                        pa.array([f"text number {start + row} {'x' * 300}" for row in range(5000)]),
                        names.take(pa.array(true)),
                        names.take(pa.array(said.argmax(axis=1))),
                        pa.array(said.max(axis=1)),
                        flat,
                        pa.array(-np.log(said[np.arange(5000), true] + 1e-12)),
                    ],
                    schema=prediction_schema("single"),
                )
            )
    assert count_rows(folder, RowFilter("all")) == 100_000
    page = page_of_rows(folder, RowFilter("all"), 60_000, 20)
    assert len(page) == 20
    (one,) = page_of_rows(folder, RowFilter("all", search="number 77777 "), limit=5)
    assert one["row_id"] == 77_777


def test_what_stands_in_the_fields_becomes_a_filter():
    assert asked_filter("mistakes", "", "", "", 0, 100, "confidence") == RowFilter()
    asked = asked_filter("all", "a", "b", "word", 90, 20, "loss")
    assert (asked.least, asked.most) == (0.2, 0.9)
    assert asked.is_narrowed and not RowFilter("suspicious").is_narrowed


def test_lists_and_words_show_text_as_text():
    row = {
        "row_id": 1, "fold": 1, "text": HOSTILE, "true": HOSTILE, "predicted": "b", "confidence": 0.9,
        "probabilities": [0.1, 0.9], "loss": 2.3, "part": "test", "suggested": None,
    }  # fmt: skip
    shown = list_html([row], [HOSTILE, "b"], 0, 1, 1, False)
    effects = {"pieces": [(HOSTILE, 0.4), (" ", None), ("b", -0.1)], "probability": 0.9, "cut": True, "grouped": 2}
    words = words_html(effects, HOSTILE)
    assert "<script" not in shown + words
    assert words.count("td-for") == 2 and words.count("td-against") == 2
    assert "40.0 points less" in words and "start of this text only" in words
