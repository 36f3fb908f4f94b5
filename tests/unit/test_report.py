"""The verdict's sentences, the report's files, and the mistakes read back from them."""

import json
import re
import zipfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import binomtest

from core.data.split import read_examples, write_split
from core.evaluation.baselines import run_baselines
from core.evaluation.charts import ticks
from core.evaluation.folds import add_folds, folds_sentence
from core.evaluation.metrics import classification_metrics
from core.evaluation.mistakes import count_rows, page_of_rows
from core.evaluation.predictions import FreeAnswers
from core.evaluation.report import CURVE_POINTS, Predictions, write_report
from core.evaluation.row_filter import RowFilter
from core.evaluation.verdict import compare, verdict
from core.spec_files import parse_spec
from tests.report_schema import assert_described

LABELS = ["a", "b", "c"]


def figures(true, predicted, labels=LABELS):
    return classification_metrics(np.array(true), np.eye(len(labels))[predicted], labels)


def judged(true, predicted, labels=LABELS, **baselines):
    """The verdict on predictions beside those of baselines by name, and of the same model `untuned`."""
    comparisons = [
        compare(name, np.array(true), np.array(predicted), np.array(other)) for name, other in baselines.items()
    ]
    measured = {name: figures(true, other, labels) for name, other in baselines.items()}
    untuned = measured.pop("untuned", None)
    return verdict(figures(true, predicted, labels), measured, comparisons, untuned)


def wrong_on(true, rows):
    """Predictions that are wrong on the first `rows` rows."""
    predicted = np.array(true)
    predicted[:rows] = (predicted[:rows] + 1) % len(LABELS)
    return predicted


TRUE = np.arange(600) % 3
COMMONEST = np.zeros(600, dtype=int)


def test_a_good_model_is_told_with_its_interval_and_the_baselines():
    result = judged(TRUE, wrong_on(TRUE, 20), majority=COMMONEST, tfidf=wrong_on(TRUE, 60))
    assert result.sentences == (
        "Right on 96.7 % of 600 unseen rows (95 % sure: 94.9 to 97.8).",
        "TF-IDF gets 90.0 %, guessing the commonest class 33.3 %.",
    )
    assert result.tone == "good"


@pytest.mark.parametrize(
    ("model", "tfidf", "first", "tone"),
    [
        (60, 20, "TF-IDF beats this model: right on 96.7 % against 90.0 % of the same 600 test rows.", "bad"),
        (31, 30, "This model is no better than TF-IDF: right on 94.8 % against 95.0 % of the same 600 test rows.", "bad"),  # noqa: E501
        (30, 30, "This model is no better than TF-IDF: both are right on 95.0 % of the same 600 test rows.", "bad"),
        (
            28,
            30,
            "This model is not clearly better than TF-IDF: right on 95.3 % against 95.0 % of the same 600 test rows, "
            "which may be chance.",
            "caution",
        ),
    ],
)  # fmt: skip
def test_a_baseline_that_is_as_good_comes_first(model, tfidf, first, tone):
    result = judged(TRUE, wrong_on(TRUE, model), majority=COMMONEST, tfidf=wrong_on(TRUE, tfidf))
    assert result.sentences[0] == first
    assert result.sentences[1].startswith("Right on ")
    assert result.tone == tone


def test_guessing_that_is_as_good_comes_before_tfidf():
    true = (np.arange(600) < 30).astype(int)
    model = (np.arange(600) < 1).astype(int)
    result = judged(true, model, majority=COMMONEST, tfidf=true)
    assert result.sentences[0].startswith("This model is not clearly better than guessing the commonest class")
    assert result.sentences[1].startswith("TF-IDF beats this model: right on 100.0 % against ")
    assert result.tone == "bad"


def test_a_model_that_always_says_the_same_has_learned_nothing():
    result = judged(TRUE, np.full(600, 1), majority=COMMONEST, tfidf=wrong_on(TRUE, 60))
    assert result.sentences == (
        "This model has learned nothing: it answers b to every one of the 600 test rows, which is right on 33.3 %; "
        "TF-IDF gets 90.0 %.",
    )
    assert result.tone == "bad"
    assert "Never predicted although there are rows of a, c." in result.findings


def test_what_training_gained_is_told_last():
    result = judged(TRUE, wrong_on(TRUE, 20), tfidf=wrong_on(TRUE, 60), untuned=wrong_on(TRUE, 400))
    assert result.sentences[0].startswith("Right on 96.7 %")
    assert result.sentences[-1] == "Before training the same model was right on 33.3 %."
    assert result.tone == "good"
    assert result.comparisons["untuned"].outcome == "better"


@pytest.mark.parametrize(
    ("model", "untuned", "first", "tone"),
    [
        (60, 20, "Training made this model worse: right on 96.7 % before it, on 90.0 % after it", "bad"),
        (31, 30, "Training did not help: right on 95.0 % before it, on 94.8 % after it", "bad"),
        (30, 30, "Training did not help: right on 95.0 % before it, on 95.0 % after it", "bad"),
        (28, 30, "Training did not clearly help: right on 95.0 % before it, on 95.3 % after it", "caution"),
    ],
)
def test_training_that_did_not_help_comes_first(model, untuned, first, tone):
    result = judged(TRUE, wrong_on(TRUE, model), tfidf=wrong_on(TRUE, 90), untuned=wrong_on(TRUE, untuned))
    chance = ", which may be chance" if tone == "caution" else ""
    assert result.sentences[0] == f"{first}, of the same 600 test rows{chance}."
    assert result.sentences[1].startswith("Right on ")
    assert not any(sentence.startswith("Before training") for sentence in result.sentences)
    assert result.tone == tone


def test_a_baseline_that_is_as_good_is_told_before_what_training_did():
    result = judged(TRUE, wrong_on(TRUE, 60), tfidf=wrong_on(TRUE, 20), untuned=wrong_on(TRUE, 30))
    assert result.sentences[0].startswith("TF-IDF beats this model")
    assert result.sentences[1].startswith("Training made this model worse")


def test_a_model_that_always_says_the_same_is_held_against_its_beginning():
    result = judged(TRUE, np.full(600, 1), untuned=wrong_on(TRUE, 60))
    assert result.sentences[0].endswith("which is right on 33.3 %; before training it was right on 90.0 %.")


def test_a_small_test_part_is_said_to_be_small():
    true = np.arange(30) % 3
    result = judged(true, wrong_on(true, 3), majority=np.zeros(30, dtype=int))
    assert result.sentences[0].startswith("The test part is small (30 rows), so its figures are rough: ")
    assert "anything from 74.4 % to 96.5 %" in result.sentences[0]
    assert result.tone == "caution"


def test_one_test_row():
    result = judged([1], [1], majority=[0], tfidf=[1])
    assert result.sentences[0].startswith("Every test row is of class b, so this test cannot tell")
    assert "Right on 100.0 % of 1 unseen row (95 % sure: 20.7 to 100.0)." in result.sentences
    assert "The test part has no row of a, c, so nothing is known of them." in result.findings


def test_small_classes_that_are_lost_are_named_even_where_accuracy_wins():
    true = np.array([0] * 300 + [1] * 290 + [2] * 10)
    model, tfidf = true.copy(), true.copy()
    model[590:] = 0
    tfidf[:60] = 1
    result = judged(true, model, tfidf=tfidf)
    assert result.sentences[0].startswith("Right on 98.3 %")
    assert result.sentences[-1].startswith("But over all classes alike TF-IDF is ahead (macro F1 ")


def test_without_baselines_only_the_figures_are_told():
    assert judged(TRUE, wrong_on(TRUE, 20)).sentences == (
        "Right on 96.7 % of 600 unseen rows (95 % sure: 94.9 to 97.8).",
    )


def test_the_worst_confusions_are_told_in_words():
    true = np.array([0] * 50 + [1] * 50)
    predicted = np.array([0] * 41 + [1] * 9 + [0] + [1] * 49)
    assert judged(true, predicted).findings[:2] == (
        "a taken for b, 9 times (18.0 % of its 50 rows).",
        "b taken for a, once (2.0 % of its 50 rows).",
    )


def test_the_comparison_is_an_exact_mcnemar_test():
    true = np.zeros(100, dtype=int)
    model, baseline = np.zeros(100, dtype=int), np.zeros(100, dtype=int)
    baseline[:12] = 1
    model[10:14] = 1
    result = compare("tfidf", true, model, baseline)
    assert (result.model_only, result.baseline_only) == (10, 2)
    assert result.p_value == pytest.approx(binomtest(10, 12).pvalue)
    assert result.outcome == "better"
    assert compare("tfidf", true, baseline, model).outcome == "worse"
    assert compare("tfidf", true, model, model).p_value == 1.0


@dataclass(frozen=True)
class Part:
    row_ids: np.ndarray
    texts: list[str]
    labels: np.ndarray


HOSTILE = "<script>alert('x')</script> & \"quotes\" <img src=http://example.com/x.png onerror=alert(1)>"
TEXTS = [HOSTILE, "ساده است", "100 % of it's fine", "long " * 1500, "two\nlines", "plain words"]
CLASSES = ["<b>bold</b>", "R&D", "plain"]


@pytest.fixture
def run(workspace, tmp_path):
    """A run of 120 rows whose model is wrong, and very sure, on the first test row of each class but the last."""
    rows = [(f"{TEXTS[number % 6]} {number}", CLASSES[number % 3]) for number in range(120)]
    table = tmp_path / "private folder" / "table.csv"
    table.parent.mkdir()
    cells = ('"' + text.replace('"', '""') + f'",{label}' for text, label in rows)
    table.write_text("text,label\n" + "\n".join(cells) + "\n", encoding="utf-8")
    content = {"data": {"train": {"path": str(table)}}, "mapping": {"text": ["text"], "label": "label"}}
    spec = parse_spec({"name": "A <i>name</i>", "split": {"test": 0.25}, **content}, "test")
    folder = workspace.run("a-run")
    facts = write_split(spec, workspace, folder)
    parts = {}
    for name in ("train", "validation", "test"):
        examples = read_examples(folder, name)
        labels = np.array([facts.labels.index(label) for label in examples["label"].to_pylist()])
        parts[name] = Part(examples["row_id"].to_numpy(), examples["text"].to_pylist(), labels)
    return folder, spec, facts, parts


def predictions(part, wrong=()):
    """Sure of the true class (0.8, 0.1, 0.1), but surer of the next one on the rows in `wrong`."""
    probabilities = np.full((len(part.labels), 3), 0.1, dtype=np.float32)
    probabilities[np.arange(len(part.labels)), part.labels] = 0.8
    for place, row in enumerate(wrong):
        probabilities[row] = 0.005
        probabilities[row, (part.labels[row] + 1) % 3] = 0.99 - 0.01 * place
    return Predictions(part.row_ids, part.labels, probabilities)


def training(points=500):
    history = [{"name": "train/loss", "step": step, "value": 1 / step, "time": 0.0} for step in range(1, points + 1)]
    history += [
        {"name": f"validation/{name}", "step": step, "value": 0.9, "time": 0.0}
        for step in (points // 2, points)
        for name in ("loss", "accuracy", "macro_f1")
    ]
    best = {"name": "macro_f1", "value": 0.9, "step": points // 2}
    machine = {"processor": "A processor", "cores": 2, "memory_bytes": 2**34, "gpu": None, "versions": {"torch": "2"}}
    return {"steps": points, "epochs": 3.0, "seconds": 75.0, "best": best, "history": history, "machine": machine}


def written(run, wrong=(0, 1), baselines=True):
    folder, spec, facts, parts = run
    return write_report(
        folder,
        spec,
        facts,
        test=predictions(parts["test"], wrong),
        validation=predictions(parts["validation"]),
        baselines=run_baselines(parts, facts.labels) if baselines else [],
        training=training(),
    )


def test_the_report_holds_what_was_measured_on_the_same_rows(run):
    folder, _, facts, parts = run
    report = written(run)
    assert report == json.loads((folder.report / "report.json").read_text(encoding="utf-8"))
    assert report["labels"] == facts.labels
    assert report["test"]["rows"] == facts.parts["test"] == len(parts["test"].labels)
    assert report["test"]["accuracy"] == pytest.approx(1 - 2 / facts.parts["test"])
    assert report["validation"]["accuracy"] == 1
    assert report["verdict"] == " ".join(report["verdict_sentences"])
    assert set(report["baselines"]) == set(report["comparisons"]) == {"majority", "tfidf"}
    for scores in report["baselines"].values():
        assert scores["rows"] == facts.parts["test"]
        assert scores["validation"]["rows"] == facts.parts["validation"]
        assert scores["fit_rows"] == facts.parts["train"]
    assert report["machine"]["cores"] == 2


def test_the_report_names_files_and_not_folders(run):
    folder, *_ = run
    report = written(run)
    assert report["settings"]["data"]["train"]["path"] == "table.csv"
    for name in ("report.json", "report.html"):
        assert "private folder" not in (folder.report / name).read_text(encoding="utf-8")


def test_training_curves_are_thinned_to_their_end(run):
    losses = [point for point in written(run)["training"]["history"] if point["name"] == "train/loss"]
    assert len(losses) <= CURVE_POINTS
    assert losses[-1]["step"] == 500
    assert [point["step"] for point in losses] == sorted(point["step"] for point in losses)


def test_predictions_stand_beside_their_texts(run):
    folder, _, facts, parts = run
    written(run)
    rows = pq.read_table(folder.report / "predictions.parquet").to_pylist()
    assert [row["part"] for row in rows] == ["validation"] * facts.parts["validation"] + ["test"] * facts.parts["test"]
    for name in ("validation", "test"):
        of_part = [row for row in rows if row["part"] == name]
        assert [row["row_id"] for row in of_part] == parts[name].row_ids.tolist()
        assert [row["text"] for row in of_part] == parts[name].texts
        assert [row["true"] for row in of_part] == [facts.labels[label] for label in parts[name].labels]
    for row in rows:
        assert row["predicted"] == facts.labels[int(np.argmax(row["probabilities"]))]
        assert row["confidence"] == max(row["probabilities"])


class Page(HTMLParser):
    """What a browser would see: elements, addresses, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_shows_text_as_text_and_asks_for_nothing(run):
    folder, *_ = run
    written(run, wrong=tuple(range(20)))
    page = Page((folder.report / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert page.tags.count("script") == 1
    assert not {"img", "link", "iframe", "object", "base", "form"} & set(page.tags)
    assert not {"src", "href", "onerror", "onclick", "action"} & {name for name, _ in page.attributes}
    words = " ".join(page.words)
    assert HOSTILE in words
    assert "A <i>name</i>" in words
    assert "<b>bold</b>" in words
    assert "url(" not in words
    assert "@import" not in words


def test_long_texts_are_cut_on_the_page_and_whole_in_the_file(run):
    folder, _, _, parts = run
    longest = max(range(len(parts["test"].texts)), key=lambda row: len(parts["test"].texts[row]))
    written(run, wrong=(longest,))
    page = (folder.report / "report.html").read_text(encoding="utf-8")
    assert page.count("long long") < 1000
    assert "more characters" in page
    assert page_of_rows(folder, RowFilter())[0]["text"] == parts["test"].texts[longest]


def test_the_page_of_a_run_without_baselines_curves_or_mistakes(run):
    folder, spec, facts, parts = run
    write_report(
        folder,
        spec,
        facts,
        test=predictions(parts["test"]),
        validation=predictions(parts["validation"]),
        baselines=[],
        training={**training(), "history": [], "best": {"name": "macro_f1", "value": None, "step": None}},
    )
    page = Page((folder.report / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert "Mistakes" not in page.words
    assert "How it learned" not in page.words
    assert "Against the baselines" in page.words


def of_language_model(run, before=(0, 1, 2, 3), answers=None):
    folder, spec, facts, parts = run
    return write_report(
        folder,
        spec,
        facts,
        test=predictions(parts["test"], (0,)),
        validation=predictions(parts["validation"]),
        baselines=run_baselines(parts, facts.labels),
        training={**training(), "backend": "transformers", "backend_reason": "There is <no> GPU."},
        untuned=predictions(parts["test"], before),
        free_answers=answers
        if answers is not None
        else {
            "untuned": FreeAnswers(
                12, 9, [{"text": HOSTILE, "answer": f"I think {HOSTILE}", "true": "<b>bold</b>"}] * 8
            ),
            "tuned": FreeAnswers(12, 0, []),
        },
    )


def test_the_untuned_model_is_measured_on_the_same_rows(run):
    *_, parts = run
    rows = len(parts["test"].labels)
    report = of_language_model(run)
    assert report["untuned"]["accuracy"] == pytest.approx(1 - 4 / rows)
    assert report["comparisons"]["untuned"]["model_only"] == 3
    assert report["comparisons"]["untuned"]["baseline_only"] == 0
    assert "confusion" not in report["untuned"]


def test_the_page_shows_a_language_model_before_and_after(run):
    folder, _, facts, _ = run
    report = of_language_model(run)
    page = Page((folder.report / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    words = " ".join(page.words)
    assert "The same model before training" in page.words
    assert re.search(
        r"No clear difference from the same model before training \(p = 0.\d{3}: by chance \d+ times in 100\): "
        r"3 rows right that it has wrong",
        words,
    )
    assert "Before training 9 of 12 answers (75.0 %) were no class." in words.replace("\xa0", " ")
    assert "After training 0 of 12 answers (0.0 %) were no class." in words.replace("\xa0", " ")
    assert page.words.count(f"I think {HOSTILE}") == 5
    assert "transformers. There is <no> GPU." in page.words
    changes = [
        (f"{before['f1']:.3f}", f"{after['f1'] - before['f1']:+.3f}")
        for before, after in zip(report["untuned"]["per_class"], report["test"]["per_class"], strict=True)
    ]
    assert len(changes) == len(facts.labels)
    assert {words for change in changes for words in change} <= set(page.words)


def test_a_language_model_that_was_not_left_to_itself_has_no_such_section(run):
    folder, *_ = run
    of_language_model(run, answers={})
    page = Page((folder.report / "report.html").read_text(encoding="utf-8"))
    assert "Left to itself" not in page.words
    assert "Change of F1" in page.words


def test_the_page_of_an_encoder_says_nothing_of_before(run):
    folder, *_ = run
    report = written(run)
    page = (folder.report / "report.html").read_text(encoding="utf-8")
    assert report["untuned"] is None
    for words in ("before training", "Left to itself", "Change of", "Trained with"):
        assert words not in page


def test_mistakes_come_surest_first_and_page_by_page(run):
    folder, _, _, parts = run
    written(run, wrong=(5, 2, 9, 0, 7))
    found = page_of_rows(folder, RowFilter())
    assert [row["row_id"] for row in found] == parts["test"].row_ids[[5, 2, 9, 0, 7]].tolist()
    assert [row["confidence"] for row in found] == pytest.approx([0.99, 0.98, 0.97, 0.96, 0.95])
    pages = [page_of_rows(folder, RowFilter(), offset=offset, limit=2) for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [row for page in pages for row in page] == found
    assert count_rows(folder, RowFilter()) == 5
    for least, expected in ((0.0, 5), (0.955, 4), (0.985, 1), (1.0, 0)):
        assert count_rows(folder, RowFilter(least=least)) == expected
        assert page_of_rows(folder, RowFilter(least=least)) == found[:expected]


def test_mistakes_are_filtered_by_class_and_by_what_they_contain(run):
    folder, _, facts, parts = run
    wrong = tuple(range(len(parts["test"].labels)))
    written(run, wrong=wrong)
    for true, label in enumerate(facts.labels):
        predicted = facts.labels[(true + 1) % 3]
        expected = int((parts["test"].labels == true).sum())
        assert (
            count_rows(folder, RowFilter(true=label))
            == count_rows(folder, RowFilter(true=label, predicted=predicted))
            == expected
        )
        assert {row["true"] for row in page_of_rows(folder, RowFilter(true=label))} == {label}
        assert count_rows(folder, RowFilter(true=label, predicted=label)) == 0
    for search in ("100 % OF IT'S", "ساده", "<SCRIPT>", "%", "_", "' OR 1 = 1 --"):
        expected = sum(search.lower() in text.lower() for text in parts["test"].texts)
        assert (
            count_rows(folder, RowFilter(search=search))
            == len(page_of_rows(folder, RowFilter(search=search)))
            == expected
        )


def test_right_rows_come_too_when_asked_for(run):
    folder, _, facts, parts = run
    written(run, wrong=(0, 1))
    assert count_rows(folder, RowFilter(shown="all")) == facts.parts["test"]
    assert count_rows(folder, RowFilter(shown="all", part="validation")) == facts.parts["validation"]
    label = facts.labels[2]
    right = page_of_rows(folder, RowFilter(true=label, predicted=label, shown="all"))
    assert all(row["true"] == row["predicted"] == label for row in right)
    assert len(right) == int((parts["test"].labels[2:] == 2).sum())


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.13, 0.97), (0.5, 0.5), (0.0, 0.0), (0, 513), (2.3e-5, 2.4e-5)]
)
def test_axis_marks_are_few_and_hold_the_values(low, high):
    marks = ticks(low, high)
    assert marks[0] <= low + 1e-12
    assert marks[-1] >= high - 1e-12
    assert 2 <= len(marks) <= 7


def test_every_field_is_described(run):
    folder, *_ = run
    report = written(run)
    assert_described(report)
    assert_described(add_folds(folder, report, [report, report], 5))
    assert_described(of_language_model(run))


def test_folds_are_told_by_the_figure_that_fits_the_labels():
    said = {"accuracy": 0.3, "macro_f1": 0.4, "micro_f1": 0.6}
    figures = {name: {"values": [value, value + 0.1], "mean": value, "spread": 0.01} for name, value in said.items()}
    folds = {"asked": 2, "measured": 2, "rows": 90, "test": figures, "baselines": {"tfidf": figures}}
    single, multi = (folds_sentence(folds, {"tfidf": "TF-IDF"}, kind) for kind in ("single", "multi"))
    assert "accuracy 0.300" in single and "macro F1 0.400" in single and "Accuracy beside it: TF-IDF 0.300" in single
    assert "micro F1 0.600" in multi and "macro F1 0.400" in multi and "Micro F1 beside it: TF-IDF 0.600" in multi
    assert "ccuracy" not in multi


def test_the_figures_are_files_of_their_own(run):
    folder, *_ = run
    written(run)
    names = {path.name for path in (folder.report / "figures").iterdir()}
    drawn = {"confusion-matrix", "classes", "loss", "validation", "reliability", "coverage"}
    assert names == {f"{name}.{ending}" for name in drawn for ending in ("svg", "png")}
    with zipfile.ZipFile(folder.report / "figures.zip") as archive:
        assert {Path(name).name for name in archive.namelist()} == names
    for name in drawn:
        svg = ElementTree.parse(folder.report / "figures" / f"{name}.svg").getroot()
        width, height = float(svg.get("width")), float(svg.get("height"))
        with Image.open(folder.report / "figures" / f"{name}.png") as png:
            assert png.size == (pytest.approx(2 * width, abs=1), pytest.approx(2 * height, abs=1))
            # Letters and lines: far more than the white ground.
            assert len(png.convert("L").getcolors(256)) > 20
    matrix = (folder.report / "figures" / "confusion-matrix.svg").read_text(encoding="utf-8")
    assert "<b>bold</b>" not in matrix
    assert "&lt;b&gt;bold&lt;/b&gt;" in matrix
    page = (folder.report / "report.html").read_text(encoding="utf-8")
    assert "SVG and PNG of classes, confusion-matrix" in page
