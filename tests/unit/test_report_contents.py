"""A report of six classes holds what authors of such runs computed by hand, and a worthless model is called so first.

R4 (a language model on TREC): overall accuracy, accuracy of each class, classification report, confusion matrix, and
answers that are no class, before and after training. R6 (an encoder on news): the comparison with logistic regression.
"""

import json
import re
from html import unescape

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

from core.cli.following import follow
from core.data.split import read_examples, write_split
from core.evaluation.predictions import Baseline, FreeAnswers, Predictions
from core.evaluation.report import write_report
from core.runs.store import open_store
from core.spec_files import parse_spec, spec_yaml
from tests.label_kinds import reported, split_run
from tests.report_schema import assert_described
from ui.run.class_table import class_table_html
from ui.run.free_answers import free_answers_html
from ui.run.report import failures_html, verdict_html
from ui.run.several_classes import several_verdict_html

CLASSES = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
MACHINE = {"processor": "A processor", "cores": 2, "memory_bytes": 2**34, "gpu": None, "versions": {"torch": "2"}}
TRAINING = {
    "steps": 200, "epochs": 1.0, "seconds": 75.0, "best": {"name": "macro_f1", "value": 0.9, "step": 100},
    "history": [], "machine": MACHINE, "rows_per_second": 216.0,
}  # fmt: skip


@pytest.fixture
def questions(workspace, tmp_path):
    """A run of 600 questions up to its split: folder, spec, facts, and of each part the row ids and true classes."""
    table = tmp_path / "questions.csv"
    rng = np.random.default_rng(3)
    drawn = rng.choice(6, size=600, p=[0.05, 0.25, 0.25, 0.2, 0.15, 0.1])
    words = [" ".join(rng.choice(list("abcdefghijklmnop"), 12)) for _ in drawn]
    lines = [f"{text},{CLASSES[number]}" for text, number in zip(words, drawn, strict=True)]
    table.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    content = {"data": {"train": {"path": str(table)}}, "mapping": {"text": ["text"], "label": "label"}}
    spec = parse_spec({"name": "Questions", "split": {"test": 0.4}, **content}, "test")
    folder = workspace.run("a-run")
    facts = write_split(spec, workspace, folder)
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    parts = {}
    for name in ("validation", "test"):
        examples = read_examples(folder, name)
        true = np.array([facts.labels.index(label) for label in examples["label"].to_pylist()])
        parts[name] = (examples["row_id"].to_numpy(), true)
    return folder, spec, facts, parts


def said(part, wrong, seed):
    """Sure of the true class but for this share of the rows, which get the next one."""
    row_ids, true = part
    rng = np.random.default_rng(seed)
    given = np.where(rng.random(len(true)) < wrong, (true + 1) % 6, true)
    return answers(row_ids, true, given)


def answers(row_ids, true, given):
    probabilities = np.full((len(true), 6), 0.04, dtype=np.float32)
    probabilities[np.arange(len(true)), given] = 0.8
    return Predictions(row_ids, true, probabilities)


def finished(questions, test=None, **more):
    folder, spec, facts, parts = questions
    both = {name: said(part, 0.3, 5).probabilities for name, part in parts.items()}
    tfidf = Baseline("tfidf", "TF-IDF with logistic regression", 2.0, 270, "Words and characters.", both, None, 900.0)
    return write_report(
        folder, spec, facts, test=test or said(parts["test"], 0.06, 1), validation=said(parts["validation"], 0.06, 2),
        baselines=[tfidf], training=TRAINING, **more,
    )  # fmt: skip


def text_of(html):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).replace("\xa0", " ").split())


def test_a_language_model_on_questions(questions):
    """R4."""
    folder, _, _, parts = questions
    strays = [{"text": "What is NASA?", "answer": "NUM, LOC", "true": "ABBR"}]
    free = {"untuned": FreeAnswers(100, 42, strays), "tuned": FreeAnswers(100, 1, [])}
    untuned = said(parts["test"], 0.6, 3)
    report = finished(questions, untuned=untuned, free_answers=free)
    assert_described(report)
    true = parts["test"][1]
    page = text_of((folder.report / "report.html").read_text(encoding="utf-8"))
    table = text_of(class_table_html(report["test"]["per_class"], report["untuned"]["per_class"], report["test"]))
    for figures, probabilities in (
        (report["test"], said(parts["test"], 0.06, 1).probabilities),
        (report["untuned"], untuned.probabilities),
    ):
        given = probabilities.argmax(axis=1)
        assert figures["accuracy"] == pytest.approx(accuracy_score(true, given))
        assert f"{figures['accuracy'] * 100:.1f} %" in page
        expected = classification_report(true, given, target_names=CLASSES, output_dict=True, zero_division=0)
        for entry in figures["per_class"]:
            of_class = true == CLASSES.index(entry["label"])
            assert entry["accuracy"] == pytest.approx((given[of_class] == true[of_class]).mean())
            theirs = expected[entry["label"]]
            assert (entry["precision"], entry["recall"], entry["f1"], entry["support"]) == pytest.approx(
                (theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"])
            )
            for shown in (page, table):
                assert f"{entry['accuracy']:.3f}" in shown
                assert f"{entry['f1']:.3f}" in shown
        for name in ("macro", "weighted"):
            theirs = expected[f"{name} avg"]
            ours = [figures[f"{name}_{figure}"] for figure in ("precision", "recall", "f1")]
            assert ours == pytest.approx([theirs["precision"], theirs["recall"], theirs["f1-score"]])
    given = said(parts["test"], 0.06, 1).probabilities.argmax(axis=1)
    assert report["test"]["confusion"] == confusion_matrix(true, given).tolist()
    means = [
        f"{report['test'][f'{name}_{figure}']:.3f}" for name in ("macro", "weighted") for figure in ("f1", "recall")
    ]
    assert all(mean in shown for mean in means for shown in (page, table))
    # Unparsable answers: how many, and which.
    assert {name: found["no_label"] for name, found in report["answers"].items()} == {"untuned": 42, "tuned": 1}
    for shown in (page, text_of(free_answers_html(report["answers"]))):
        assert "Before training 42 of 100 answers (42.0 %) were no class." in shown
        assert "NUM, LOC" in shown


def test_an_encoder_beside_logistic_regression(questions):
    """R6."""
    folder, *_ = questions
    report = finished(questions)
    assert_described(report)
    page = text_of((folder.report / "report.html").read_text(encoding="utf-8"))
    screen = text_of(verdict_html(report))
    tfidf = report["baselines"]["tfidf"]
    assert tfidf["rows_per_second"] == 900.0
    assert [entry["label"] for entry in tfidf["per_class"]] == CLASSES
    for shown in (page, screen):
        assert f"TF-IDF gets {tfidf['accuracy'] * 100:.1f} %" in shown
        assert "Better than TF-IDF (p < 0.001" in shown
    assert "Rows labelled a second 216" in page
    cells = re.findall(r'title="(\w+ → \w+: [^"]+)"', (folder.report / "report.html").read_text(encoding="utf-8"))
    counts = np.array(report["test"]["confusion"])
    assert len(cells) == (counts > 0).sum()
    worst = text_of(failures_html(report))
    true, predicted = np.unravel_index(np.argmax(counts - np.diag(np.diag(counts))), counts.shape)
    assert f"{CLASSES[true]} is taken for {CLASSES[predicted]} {counts[true, predicted]} times" in worst
    assert f"{CLASSES[true]} taken for {CLASSES[predicted]}, {counts[true, predicted]} times" in page


def first_lines(folder, workspace, screen):
    """The first line of the page, of report.html, of report.json and of the command line."""
    store = open_store(workspace)
    store.add_run(folder.id, "Questions", "quickstart-minilm", "a model", "questions.csv")
    assert store.claim_next().id == folder.id
    store.move(folder.id, ["running"], "finished", summary={})
    page = (folder.report / "report.html").read_text(encoding="utf-8")
    report = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))
    told = follow(folder.id, workspace)
    assert told.content["tone"] == report["tone"] == "bad"
    assert told.content["verdict"].startswith(report["verdict_sentences"][0])
    return [
        text_of(re.search(r"<h2[^>]*>(.*?)</h2>", screen)[1]),
        text_of(re.search(r'<div class="verdict bad"><strong>(.*?)</strong>', page)[1]),
        report["verdict_sentences"][0],
        told.text.splitlines()[0],
    ]


def test_a_collapsed_model_is_called_so_in_the_first_line(questions, workspace):
    folder, _, _, parts = questions
    row_ids, true = parts["test"]
    report = finished(questions, answers(row_ids, true, np.full(len(true), 2)))
    for line in first_lines(folder, workspace, verdict_html(report)):
        assert line.startswith("This model has learned nothing: it answers ENTY to every one of the 240 test rows")


def test_a_model_that_a_baseline_beats_is_called_so_in_the_first_line(questions, workspace):
    folder, _, _, parts = questions
    report = finished(questions, said(parts["test"], 0.5, 8))
    for line in first_lines(folder, workspace, verdict_html(report)):
        assert line.startswith("TF-IDF beats this model: right on ")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("multi", "Giving every row the commonest classes beats this model: micro F1"),
        ("soft", "The probabilities of this model say no more than the mean of all rows"),
    ],
)
def test_so_is_a_worthless_one_of_other_kinds(workspace, tmp_path, kind, words):
    run = split_run(workspace, tmp_path / "table.csv", kind)
    report = reported(run, noise=1.0)
    screen = several_verdict_html(report) if kind == "multi" else verdict_html(report)
    for line in first_lines(run.folder, workspace, screen):
        assert line.startswith(words)
