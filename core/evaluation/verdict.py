"""What a run's figures mean, in sentences; the first one says so when the model is not worth having."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from core.evaluation.confusion import top_confusions
from core.evaluation.paired import Difference, Outcome, macro_f1_difference, mcnemar

Integers = npt.NDArray[np.int64]

WIDE_INTERVAL = 0.10
"""An accuracy known no better than to ten points (about 240 rows at 80 %, 70 at 95 %) is called rough."""
WORST_CONFUSIONS = 5
FEW_ROWS = 20
"""With fewer test rows than this a class's own figures are called rough."""
BASELINE_WORDS = {
    "majority": "guessing the commonest class",
    "tfidf": "TF-IDF",
    "neighbours": "nearest-neighbour search in the untuned model",
}
UNTUNED = "untuned"
"""The comparison of a language model with itself before training."""
COMPARED_WORDS = {**BASELINE_WORDS, UNTUNED: "the same model before training"}

Tone = Literal["good", "caution", "bad"]


@dataclass(frozen=True)
class Comparison:
    """The model beside a baseline, or itself before training, on the same rows (exact McNemar test)."""

    name: str
    model_only: int
    """Rows that the model alone has right."""
    baseline_only: int
    p_value: float
    """How probable a difference at least this large is if both are equally good."""
    outcome: Outcome
    """Of the model; `unclear` where the difference may be chance (p >= 0.05)."""
    macro_f1: Difference
    """Macro F1 of the model less that of the baseline (paired bootstrap)."""


@dataclass(frozen=True)
class SetComparison:
    """The model beside a baseline on the same rows where a row may have several classes; see multi_verdict.py."""

    name: str
    difference: float
    """Micro F1 of the model less that of the baseline."""
    interval: list[float]
    """From, to: where the difference lies with 95 % confidence."""
    model_only: int
    """Rows of which the model alone has all classes right."""
    baseline_only: int
    p_value: float
    outcome: Outcome
    macro_f1: Difference


@dataclass(frozen=True)
class Verdict:
    sentences: tuple[str, ...]
    """The first stands alone: the headline."""
    tone: Tone
    """bad: collapsed, or no better than a baseline or than before training. caution: rough, or not clearly better.
    good: neither."""
    comparisons: Mapping[str, "Comparison | SetComparison"]
    findings: tuple[str, ...]
    """Where it fails, in words, the worst first."""


def compare(name: str, true: Integers, model: Integers, baseline: Integers) -> Comparison:
    """Exact McNemar test on the rows that only one of two sets of predictions has right, and a paired bootstrap on
    macro F1.

    true, model, baseline: int64 [rows], the true and the predicted classes of the same rows.
    """
    found = mcnemar(model == true, baseline == true)
    classes = int(max(true.max(), model.max(), baseline.max())) + 1
    macro_f1 = macro_f1_difference(true, model, baseline, classes)
    return Comparison(name, found.first_only, found.second_only, found.p_value, found.outcome, macro_f1)


def verdict(
    test: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    comparisons: Sequence[Comparison],
    untuned: Mapping[str, Any] | None = None,
) -> Verdict:
    """test, baselines (by name), untuned: classification_metrics of the test part; comparisons: one for each of them.

    `untuned`: of the same model before training, where that was measured.
    """
    by_name = {comparison.name: comparison for comparison in comparisons}
    beside = {**baselines, **({UNTUNED: untuned} if untuned else {})}
    sentences, tone = _warnings(test, beside, by_name)
    if _only_prediction(test) is None:
        if _is_rough(test):
            sentences.append(_rough(test, "Also, the" if sentences else "The"))
            tone = "caution" if tone == "good" else tone
        sentences += _right(test, baselines)
        if untuned and by_name[UNTUNED].outcome == "better":
            sentences.append(f"Before training the same model was right on {percent(untuned['accuracy'])}.")
    sentences += macro_sentence(test, baselines, by_name)
    return Verdict(tuple(sentences), tone, by_name, tuple(_findings(test)))


def as_json(judged: Verdict) -> dict[str, Any]:
    """For report.json: `verdict` is the sentences as one text, the rest under its own names."""
    return {
        "verdict": " ".join(judged.sentences),
        "verdict_sentences": list(judged.sentences),
        "tone": judged.tone,
        "comparisons": {name: asdict(comparison) for name, comparison in judged.comparisons.items()},
        "findings": list(judged.findings),
    }


def percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 row`, `1,200 rows`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _only_prediction(test: Mapping[str, Any]) -> str | None:
    """The class that every row was given, where there is more than one to give."""
    given = [figures["label"] for figures in test["per_class"] if figures["predicted"]]
    occurring = sum(figures["support"] > 0 for figures in test["per_class"])
    return given[0] if len(given) == 1 and occurring > 1 else None


def _collapse(label: str, test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> str:
    tfidf = f"; TF-IDF gets {percent(baselines['tfidf']['accuracy'])}" if "tfidf" in baselines else ""
    before = (
        f"; before training it was right on {percent(baselines[UNTUNED]['accuracy'])}" if UNTUNED in baselines else ""
    )
    return (
        f"This model has learned nothing: it answers {label} to every one of the {counted(test['rows'], 'test row')}, "
        f"which is right on {percent(test['accuracy'])}{tfidf}{before}."
    )


def _warnings(
    test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]], comparisons: Mapping[str, Comparison]
) -> tuple[list[str], Tone]:
    """What must come before the figures, the cheapest baseline that is as good first, and how bad it is."""
    only = _only_prediction(test)
    if only is not None:
        return [_collapse(only, test, baselines)], "bad"
    occurring = [figures["label"] for figures in test["per_class"] if figures["support"]]
    if len(occurring) == 1:
        sentence = f"Every test row is of class {occurring[0]}, so this test cannot tell whether the model is good."
        return [sentence], "bad"
    unbeaten = [name for name in COMPARED_WORDS if name in comparisons and comparisons[name].outcome != "better"]
    told = [_beaten(test, baselines[name], comparisons[name]) for name in unbeaten]
    tones = {tone for _, tone in told}
    return [sentence for sentence, _ in told], "bad" if "bad" in tones else "caution" if tones else "good"


def _beaten(test: Mapping[str, Any], baseline: Mapping[str, Any], comparison: Comparison) -> tuple[str, Tone]:
    """What is said of a baseline that the model does not clearly beat."""
    if comparison.name == UNTUNED:
        return _not_helped(test, baseline, comparison)
    words, rows = BASELINE_WORDS[comparison.name], counted(test["rows"], "test row")
    model, other = percent(test["accuracy"]), percent(baseline["accuracy"])
    both = f"{model} against {other}"
    if comparison.outcome == "worse":
        return f"{capital(words)} beats this model: right on {other} against {model} of the same {rows}.", "bad"
    if comparison.model_only == comparison.baseline_only:
        return f"This model is no better than {words}: both are right on {model} of the same {rows}.", "bad"
    if comparison.model_only < comparison.baseline_only:
        return f"This model is no better than {words}: right on {both} of the same {rows}.", "bad"
    sentence = (
        f"This model is not clearly better than {words}: right on {both} of the same {rows}, which may be chance."
    )
    return sentence, "caution"


def _not_helped(test: Mapping[str, Any], untuned: Mapping[str, Any], comparison: Comparison) -> tuple[str, Tone]:
    """What is said where training did not clearly make the model better."""
    both = (
        f"right on {percent(untuned['accuracy'])} before it, on {percent(test['accuracy'])} after it, of the same "
        f"{counted(test['rows'], 'test row')}"
    )
    if comparison.outcome == "worse":
        return f"Training made this model worse: {both}.", "bad"
    if comparison.model_only <= comparison.baseline_only:
        return f"Training did not help: {both}.", "bad"
    return f"Training did not clearly help: {both}, which may be chance.", "caution"


def _is_rough(test: Mapping[str, Any]) -> bool:
    low, high = test["accuracy_interval"]
    return bool(high - low > WIDE_INTERVAL)


def _rough(test: Mapping[str, Any], opening: str) -> str:
    low, high = test["accuracy_interval"]
    return (
        f"{opening} test part is small ({counted(test['rows'], 'row')}), so its figures are rough: "
        f"the accuracy may be anything from {percent(low)} to {percent(high)}."
    )


def _right(test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    low, high = test["accuracy_interval"]
    sure = f"95 % sure: {low * 100:.1f} to {high * 100:.1f}"
    sentences = [f"Right on {percent(test['accuracy'])} of {counted(test['rows'], 'unseen row')} ({sure})."]
    scores = []
    if "tfidf" in baselines:
        scores.append(f"TF-IDF gets {percent(baselines['tfidf']['accuracy'])}")
    if "neighbours" in baselines:
        scores.append(f"{BASELINE_WORDS['neighbours']} {percent(baselines['neighbours']['accuracy'])}")
    if "majority" in baselines:
        scores.append(f"guessing the commonest class {percent(baselines['majority']['accuracy'])}")
    if scores:
        sentences.append(f"{capital(', '.join(scores))}.")
    return sentences


def macro_sentence(
    test: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    comparisons: Mapping[str, Comparison] | Mapping[str, SetComparison],
) -> list[str]:
    """What is as good by the headline figure can be so on the large classes while the small ones are lost."""
    if "tfidf" not in comparisons or comparisons["tfidf"].outcome == "worse":
        return []
    model, tfidf = test["macro_f1"], baselines["tfidf"]["macro_f1"]
    if model >= tfidf:
        return []
    both = f"(macro F1 {tfidf:.3f} against {model:.3f})"
    if comparisons["tfidf"].macro_f1.outcome == "unclear":
        if comparisons["tfidf"].outcome == "unclear":
            return []
        return [f"Over all classes alike TF-IDF is ahead {both}, which may be chance."]
    return [f"But over all classes alike TF-IDF is ahead {both}: this model does worse on small classes."]


def _findings(test: Mapping[str, Any]) -> list[str]:
    """The commonest confusions, then what `unjudged` says."""
    per_class = test["per_class"]
    support = {figures["label"]: figures["support"] for figures in per_class}
    labels = [figures["label"] for figures in per_class]
    worst = top_confusions(test["confusion"], labels, WORST_CONFUSIONS)
    found = [confusion_words(*confusion, support) for confusion in worst]
    return [*found, *unjudged(per_class)]


def confusion_words(true: str, predicted: str, rows: int, support: Mapping[str, int]) -> str:
    """`ENTY taken for DESC, 9 times (9.6 % of its 94 rows).`; support: test rows of each class."""
    times = "once" if rows == 1 else f"{rows:,} times"
    share = f"{percent(rows / support[true])} of its {counted(support[true], 'row')}"
    return f"{true} taken for {predicted}, {times} ({share})."


def unjudged(per_class: Sequence[Mapping[str, Any]]) -> list[str]:
    """The classes that are never found, and those that cannot be judged."""
    found = []
    never = [figures["label"] for figures in per_class if figures["support"] and not figures["predicted"]]
    if never:
        found.append(f"Never predicted although there are rows of {_these(never)}.")
    absent = [figures["label"] for figures in per_class if not figures["support"]]
    if absent:
        found.append(f"The test part has no row of {_these(absent)}, so nothing is known of {_it(absent)}.")
    few = [figures["label"] for figures in per_class if 0 < figures["support"] < FEW_ROWS]
    if few:
        found.append(f"Fewer than {FEW_ROWS} test rows, so the figures are rough: {_these(few)}.")
    return found


def _these(labels: Sequence[str], most: int = 8) -> str:
    more = len(labels) - most
    return ", ".join(labels[:most]) + (f" and {counted(more, 'other class', 'other classes')}" if more > 0 else "")


def _it(labels: Sequence[str]) -> str:
    return "it" if len(labels) == 1 else "them"


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]
