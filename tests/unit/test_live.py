"""What a run's page says while the run goes on, and what its report shows of before and after."""

import re

import numpy as np
import pytest

from core.cli import following
from core.evaluation.metrics import classification_metrics
from core.model_facts import ModelFacts
from core.runs.store import Best, Event, MetricPoint, Progress, Run
from ui.run.class_table import class_table_html
from ui.run.free_answers import free_answers_html
from ui.run.header import course_html, header_html
from ui.run.live import curves_html, overfitting_html
from ui.run.notices import notes_html
from ui.run.report import verdict_html
from ui.run.try_it import FIELDS, model_text, own_columns, shown_text
from ui.words import progress_words

COUNTING = Progress("scoring the untuned model", step=150, total_steps=600, seconds_left=31.0)
TRAINING = Progress("training", 30, 120, 0.5, 2.0, 61.0, Best("macro_f1", 0.9, 20, 0.3))


def running(progress):
    return Run(
        "a-run", "tiny", "running", "", "llama", "llama", "q.csv", 0.0, 1.0, None, 0.0, 1, 1.0, progress, None, {}
    )


def test_a_phase_that_counts_rows_shows_how_far_it_is_and_how_long_it_takes():
    words = header_html(running(COUNTING))
    assert "Scoring the untuned model" in words
    assert "row 150 of 600" in words
    assert "35 s left" in words
    assert 'aria-valuenow="25"' in course_html(running(COUNTING))


def test_training_counts_steps_and_epochs():
    assert progress_words(TRAINING) == ["step 30 of 120", "epoch 1 of 2"]
    assert progress_words(Progress("loading model")) == []


def test_rows_of_a_phase_do_not_stretch_the_charts():
    curves = {"train/loss": [MetricPoint(step, "train/loss", 1 / step, 0.0) for step in range(1, 121)]}
    assert curves_html(curves, COUNTING, "macro_f1") == curves_html(curves, None, "macro_f1")
    assert curves_html(curves, Progress("training", 120, 900, 0.1, 2.0), "macro_f1") != curves_html(
        curves, None, "macro_f1"
    )


def test_overfitting_is_named_below_the_headline_figures():
    losses = {step: 0.3 + abs(step - 40) / 100 for step in (20, 40, 60, 80)}
    curves = {
        "train/loss": [MetricPoint(step, "train/loss", 1 / step, 0.0) for step in range(1, 81)],
        "validation/loss": [MetricPoint(step, "validation/loss", value, 0.0) for step, value in losses.items()],
    }
    assert "Overfitting from step 40 on: validation loss rose from 0.300 to 0.700" in overfitting_html(curves)
    assert overfitting_html({}) == ""


def test_rows_of_several_classes_show_micro_f1_beside_macro():
    names = ("macro_f1", "micro_f1", "accuracy")
    curves = {
        f"validation/{name}": [MetricPoint(step, f"validation/{name}", 0.5, 0.0) for step in (1, 2)] for name in names
    }
    several, one = curves_html(curves, None, "macro_f1", "multi"), curves_html(curves, None, "macro_f1")
    assert "micro F1" in several and "accuracy" not in several
    assert "accuracy" in one and "micro F1" not in one


def test_smaller_batches_and_a_refusal_are_said_quietly():
    batches = [
        Event(1.0, "smaller_batch", {"batch_size": 8, "gradient_accumulation": 2, "evaluation_batch_size": 8}),
        Event(2.0, "smaller_batch", {"batch_size": 4, "gradient_accumulation": 4, "evaluation_batch_size": 4}),
    ]
    assert "Memory was full: 4 rows a batch, 4 batches a step; it learns the same." in notes_html(batches)
    assert "8" not in notes_html(batches)
    refused = Event(3.0, "backend_refused", {"reason": "Unsloth does not take <x>:\n no such kernel"})
    assert "not Unsloth: Unsloth does not take &lt;x&gt;: no such kernel" in notes_html([refused])
    assert notes_html([Event(1.0, "queued", {}), Event(2.0, "running", {})]) == ""


@pytest.mark.parametrize(("rows", "words"), [(1, "1 row a batch, 16 batches a step"), (2, "2 rows a batch, 8 batches")])
def test_one_row_is_one_row(rows, words):
    detail = {"batch_size": rows, "gradient_accumulation": 16 // rows, "evaluation_batch_size": 1}
    assert words in notes_html([Event(1.0, "smaller_batch", detail)])


def test_the_command_line_follows_rows_and_steps(capsys):
    display = following._Display()
    for progress in (COUNTING, TRAINING):
        display.show(running(progress))
    rows, steps = capsys.readouterr().err.splitlines()
    assert rows == "scoring the untuned model, row 150 of 600, 31 s left"
    assert steps.startswith("training, step 30 of 120, 61 s left")


# The report


def measured(predicted):
    true = np.arange(60) % 3
    return classification_metrics(true, np.eye(3)[predicted], ["a", "<b>", "c"])


def report_of(untuned):
    test = measured(np.arange(60) % 3)
    return {
        "verdict_sentences": ["Good."],
        "tone": "good",
        "test": test,
        "baselines": {},
        "comparisons": {},
        "untuned": untuned,
    }


def test_the_same_model_before_training_stands_in_the_ladder():
    ladder = verdict_html(report_of(measured(np.zeros(60, dtype=int))))
    assert ladder.index("This model") < ladder.index("The same model before training")
    assert "33.3 %" in ladder
    assert "before training" not in verdict_html(report_of(None))


def test_a_report_from_before_language_models_still_opens():
    report = report_of(None)
    del report["untuned"]
    assert verdict_html(report) == verdict_html(report_of(None))


def test_each_class_shows_its_change_and_sorts_by_it():
    before, after = measured(np.zeros(60, dtype=int)), measured(np.arange(60) % 3)
    table = class_table_html(after["per_class"], before["per_class"])
    assert '<td data-value="0.0">0.000</td><td data-value="1.0">+1.000</td>' in table
    assert '<td data-value="0.5">0.500</td><td data-value="0.5">+0.500</td>' in table
    assert table.count("<thead><tr><th") == 1
    assert table.count("data-column") == 11
    assert re.findall(r'data-true="([^"]*)"', table) == ["a", "&lt;b&gt;", "c"]
    assert table.count('<u style="left:') == 3
    assert "&lt;b&gt;" in table
    assert "<b>" not in table
    assert "Change of" not in class_table_html(after["per_class"])


def test_free_answers_are_text_and_folded():
    evil = "<script>alert(1)</script>"
    strays = [{"text": evil, "answer": "word " * 200, "true": evil}] * 9 + [{"text": "a", "answer": " ", "true": "b"}]
    section = free_answers_html({
        "untuned": {"rows": 12, "no_label": 10, "examples": strays},
        "tuned": {"rows": 12, "no_label": 1, "examples": strays[-1:]},
    })  # fmt: skip
    assert "Before training 10 of 12 answers (83.3 %) were no class." in section
    assert "After training 1 of 12 answers (8.3 %) were no class." in section
    assert "<script" not in section
    assert "(nothing)" in section
    assert section.count("<article>") == 6
    assert '<details class="clamp">' in section
    assert free_answers_html({}) == ""


# Try it


def facts(text_columns=("text",), prompt_columns=()):
    return ModelFacts(
        2, "r", "n", "", "base", None, "lora", ("a", "b"), 64, tuple(text_columns), " - ", False, {},
        family="causal", task="answer", prompt_columns=tuple(prompt_columns),
    )  # fmt: skip


def test_without_columns_in_the_prompt_a_text_is_asked():
    assert model_text(facts(("title", "body")), ["A ", "b", "", "", "", ""], [""] * 8) == "A - b"


def test_columns_of_the_prompt_are_asked_beside_the_text():
    asked = model_text(facts(prompt_columns=("topic", "year")), ["Who?", *[""] * 5], ["people", "1999", *[""] * 6])
    assert asked == {"text": "Who?", "topic": "people", "year": "1999"}
    assert shown_text(asked) == "Who? · topic: people · year: 1999"
    assert shown_text({"text": "", "topic": " "}) == ""


def test_a_text_column_that_the_prompt_names_has_one_box():
    both = facts(("title", "body"), ("title", "topic"))
    assert own_columns(both) == ["topic"]
    asked = model_text(both, ["T", "b", *[""] * 4], ["people", *[""] * 7])
    assert asked == {"text": "T - b", "title": "T", "topic": "people"}


def test_a_text_column_without_a_box_of_its_own_gets_one_for_the_prompt():
    names = [f"c{number}" for number in range(FIELDS + 2)]
    crowded = facts(names, (names[0], names[FIELDS - 1]))
    assert own_columns(crowded) == [names[FIELDS - 1]]
    asked = model_text(crowded, ["x"] * FIELDS, ["y", *[""] * 7])
    assert asked == {"text": " - ".join("x" * FIELDS), names[0]: "x", names[FIELDS - 1]: "y"}
