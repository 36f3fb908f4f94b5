"""A run that learns nothing is noticed from its evaluations, a healthy one is left alone."""

import numpy as np
import pytest
from transformers import TrainerState

from core.runs.store import Event, MetricPoint, open_store
from core.schema import ModelSpec, RunSpec
from core.training.callbacks import StoreCallback
from core.training.collapse import (
    NAMES,
    NOTICE,
    WITHDRAWN,
    class_shares,
    describe,
    evaluations,
    find,
    open_notices,
    still_holds,
    watch_figures,
)
from ui.run.notices import collapse_html

ROWS, CLASSES, STEPS, EPOCHS = 120, 3, 300, 3
SINGLE = np.arange(ROWS) % CLASSES
SETS = np.stack([number == SINGLE for number in range(CLASSES)], axis=1).astype(np.float32)
SETS[::2, 0] = 1
SOFT = 0.1 + 0.7 * np.eye(CLASSES, dtype=np.float32)[SINGLE]
LABELS = {"single": SINGLE, "multi": SETS, "soft": SOFT}


def spec(kind="single", **training):
    mapping = {"text": ["text"], "label": "label", "kind": kind}
    if kind == "soft":
        mapping = {"text": ["text"], "label_columns": ["a", "b"], "kind": kind}
    return RunSpec.model_validate({"data": {"train": {"path": "a.csv"}}, "mapping": mapping, "training": training})


def run(logits, kind="single", every=100, labels=None):
    """The evaluations as they come back from the store, from the logits of each."""
    labels = LABELS[kind] if labels is None else labels
    shares = class_shares(labels, logits[0].shape[1], kind)
    return evaluations([
        MetricPoint(step, f"validation/{name}", value, 0.0)
        for step, said in zip(range(every, every * len(logits) + 1, every), logits, strict=True)
        for name, value in watch_figures(said, labels, shares, kind).items()
    ])  # fmt: skip


def noise(size=1.0, seed=0):
    return np.random.default_rng(seed).normal(size=(ROWS, CLASSES)) * size


def told(seen, kind="single", commonest=None, **training):
    finding = find(seen, STEPS, EPOCHS)
    return describe(finding, seen, spec(kind, **training), "the <b>class</b> {}".format, commonest)


GOOD = {kind: 2 * np.eye(CLASSES)[SINGLE] for kind in ("single", "soft")} | {"multi": 4 * SETS - 2}
SAME = noise(0.3) + np.array([-2.0, 2.0, -2.0])
"""One class for every row, with probabilities that differ."""
SHARES = {
    "single": np.zeros((ROWS, CLASSES)),
    "multi": np.tile(np.log(SETS.mean(axis=0) / (1 - SETS.mean(axis=0))), (ROWS, 1)),
    "soft": np.zeros((ROWS, CLASSES)),
}


@pytest.mark.parametrize("kind", LABELS)
def test_what_comes_back_from_the_store_is_what_was_measured(kind):
    (seen,) = run([GOOD[kind]], kind)
    assert seen.step == 100
    assert seen.is_better
    assert set(watch_figures(GOOD[kind], LABELS[kind], class_shares(LABELS[kind], 3, kind), kind)) == set(NAMES)


@pytest.mark.parametrize("kind", LABELS)
def test_a_healthy_run_is_left_alone(kind):
    slow = [noise(0.01), GOOD[kind] * 0.1, GOOD[kind]]
    for many in range(1, 4):
        assert find(run(slow[:many], kind), STEPS, EPOCHS) is None


@pytest.mark.parametrize("kind", LABELS)
def test_the_shares_of_the_classes_and_no_more(kind):
    seen = run([SHARES[kind]] * 2, kind)
    assert find(seen[:1], STEPS, EPOCHS) is None
    assert find(seen, STEPS, EPOCHS) == "class_shares"
    assert "how common each class is" in told(seen, kind).what


@pytest.mark.parametrize(
    ("kind", "words"), [("single", "the same class, the <b>class</b> 1"), ("soft", "the same class"), ("multi", "same")]
)
def test_one_answer_to_every_row(kind, words):
    seen = run([SAME, SAME], kind)
    assert find(seen[:1], STEPS, EPOCHS) is None
    assert find(seen, STEPS, EPOCHS) == "one_answer"
    assert words in told(seen, kind).what


def test_no_class_for_any_row():
    seen = run([noise(0.3) - 6] * 2, "multi")
    assert told(seen, "multi").what == "The model gives no class to any validation row."


def test_no_class_yet_is_no_collapse_where_the_probabilities_tell_rows_apart():
    """With many classes none reaches a half in the first epochs."""
    seen = run([GOOD["multi"] - 3] * 2, "multi")
    assert seen[0].answers == 1
    assert find(seen, STEPS, EPOCHS) is None


def test_one_class_is_no_collapse_where_its_probabilities_tell_rows_apart():
    rare = (np.arange(ROWS) % 20 == 0).astype(int)
    unsure = np.stack([np.full(ROWS, 1.0), np.where(rare == 1, 0.5, -3.0)], axis=1)
    seen = run([unsure] * 2, labels=rare)
    assert seen[0].answers == 1
    assert find(seen, STEPS, EPOCHS) is None


@pytest.mark.parametrize("kind", LABELS)
def test_never_better_than_guessing(kind):
    """Wrong, and differently for each row: no class is preferred."""
    random = [noise(3, seed) for seed in range(3)]
    assert find(run(random[:1], kind), STEPS, EPOCHS) is None
    seen = run(random, kind)
    assert find(seen, STEPS, EPOCHS) == "no_better"
    assert "After 3 evaluations the model is no better than" in told(seen, kind).what
    assert find(run([*random, GOOD[kind]], kind), STEPS, EPOCHS) is None
    assert find(run([GOOD[kind], *random], kind), STEPS, EPOCHS) is None


def test_what_follows_rare_classes_is_better_though_its_accuracy_is_not():
    """With balanced weights: 5 % are spam, all of it is found, and twice as many mails with it."""
    spam = (np.arange(400) % 20 == 0).astype(int)
    suspected = (np.arange(400) % 20 < 3).astype(int)
    logits = np.eye(2)[suspected] * 3
    (seen, _) = run([logits] * 2, labels=spam)
    assert (suspected == spam).mean() < (spam == 0).mean()
    assert seen.gain < 0
    assert seen.is_better


def test_the_first_epoch_is_too_early():
    """Evaluated every 10 steps of 300: the first hundred are an epoch."""
    seen = run([SAME] * 12, every=10)
    assert [find(seen[:many], STEPS, EPOCHS) for many in range(1, 11)] == [None] * 10
    assert find(seen[:11], STEPS, EPOCHS) == "one_answer"


def test_of_many_epochs_the_first_fifth_is_too_early():
    """3 steps an epoch, 20 epochs."""
    seen = run([SAME] * 20, every=3)
    assert [find(seen[:many], 60, 20) is None for many in range(1, 6)] == [True] * 4 + [False]


def test_no_numbers_are_told_at_once():
    broken = noise()
    broken[:30] = np.nan
    seen = run([broken], every=1)
    assert find(seen, STEPS, EPOCHS) == "not_finite"
    notice = told(seen, learning_rate=1e-3)
    assert "for 25 % of the validation rows" in notice.what
    assert "0.0001 (it is 0.001); float32 as precision" in notice.todo


def test_a_run_that_was_better_before_keeps_that():
    seen = run([GOOD["single"], SAME, SAME])
    assert find(seen, STEPS, EPOCHS) == "one_answer"
    assert told(seen).what.endswith("Earlier it was better; the best checkpoint is kept.")


@pytest.mark.parametrize(
    ("logits", "training", "words"),
    [
        (SAME, {"learning_rate": 1e-2, "warmup": 0}, "learning rate of 0.0001 (it is 0.01); a warmup of 0.1"),
        (SAME * 3, {"learning_rate": 1e-4}, "learning rate of 1e-5 (it is 0.0001)"),
        (SHARES["single"], {"learning_rate": 1e-6}, "twice as many epochs, or a learning rate of 3e-6 (it is 1e-6)"),
    ],
)
def test_what_to_try_follows_from_the_settings(logits, training, words):
    assert words in told(run([logits] * 2), **training).todo


def test_a_lopsided_data_set_is_told_of_weights():
    seen = run([SAME] * 2)
    assert "balanced class weights, since 95 % of the rows" in told(seen, commonest=0.95).todo
    assert "weights" not in told(seen, commonest=0.95, class_weights="balanced").todo
    assert "weights" not in told(seen, commonest=0.4).todo


def test_a_notice_holds_until_an_evaluation_is_better():
    """Also where a resume has forgotten the evaluations before."""
    (bad,), (good,) = run([SAME]), run([GOOD["single"]])
    assert still_holds("one_answer", bad)
    assert still_holds("no_better", bad)
    assert not still_holds("not_finite", bad)
    for finding in ("one_answer", "class_shares", "no_better"):
        assert not still_holds(finding, good)


def test_the_store_has_each_notice_once_and_a_resumed_run_keeps_it(workspace, capsys):
    store = open_store(workspace)
    store.add_run("20260101-000000-abcd", "n", "p", "m", "d")
    shares = class_shares(SINGLE, CLASSES, "single")

    def evaluate(logits, step):
        callback = StoreCallback(store, "20260101-000000-abcd", "macro_f1", spec(), ["zero", "<b>one</b>", "two"])
        figures = {f"eval_{name}": value for name, value in watch_figures(logits, SINGLE, shares, "single").items()}
        state = TrainerState(global_step=step, max_steps=800, num_train_epochs=8)
        callback.on_evaluate(None, state, None, metrics=figures)
        return [notice.what for notice in open_notices(store.events("20260101-000000-abcd"))]

    assert evaluate(SAME, 200) == []
    first = "The model gives every validation row the same class, <b>one</b>."
    assert evaluate(SAME, 300) == [first]
    assert evaluate(SAME, 400) == [first]
    store.forget_metrics_after("20260101-000000-abcd", 100)
    assert evaluate(SAME, 200) == [first]
    assert evaluate(GOOD["single"], 300) == []
    kinds = [event.kind for event in store.events("20260101-000000-abcd")]
    assert (kinds.count(NOTICE), kinds.count(WITHDRAWN)) == (1, 1)
    assert evaluate(SAME, 400) == []
    assert evaluate(SAME, 500) == [f"{first} Earlier it was better; the best checkpoint is kept."]


def test_the_page_says_what_is_wrong_and_what_to_try_until_it_is_withdrawn():
    notice = {"finding": "one_answer", "what": "Every row is <b>x</b>.", "todo": "Try <i>less</i>.", "step": 200}
    events = [Event(1.0, "running", {}), Event(2.0, NOTICE, notice)]
    shown = collapse_html(events, "running")
    assert "Every row is &lt;b&gt;x&lt;/b&gt;." in shown
    assert "Try &lt;i&gt;less&lt;/i&gt;." in shown
    assert "Stop and keep" in shown
    assert "Stop and keep" not in collapse_html(events, "finished")
    assert "Every row" in collapse_html(events, "finished")
    withdrawn = [*events, Event(3.0, WITHDRAWN, {"finding": "one_answer", "step": 300})]
    assert open_notices(withdrawn) == []
    assert collapse_html(withdrawn, "running") == ""
    assert collapse_html([*withdrawn, Event(4.0, NOTICE, notice)], "running") == shown


def test_answers_in_words_are_not_told_of_class_weights():
    answers = spec().model_copy(update={"model": ModelSpec(family="causal", method="qlora")})
    (last,) = run([SAME])
    for asked, said in ((spec(), True), (answers, False)):
        todo = describe("one_answer", [last], asked, str, 0.9).todo
        assert ("balanced class weights" in todo) == said
