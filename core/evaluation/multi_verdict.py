"""What a run's figures mean where a row may have several classes, in sentences. As verdict.py, with micro F1 in place
of accuracy: where classes are many, few rows have all of them right, and those say little of the rest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from core.evaluation.metrics import CONFIDENCE, Floats
from core.evaluation.multi_label import Yes, micro_f1, resampled_micro_f1, row_counts
from core.evaluation.paired import bootstrap_p_value, macro_f1_difference, outcome_of
from core.evaluation.verdict import (
    BASELINE_WORDS,
    WIDE_INTERVAL,
    SetComparison,
    Tone,
    Verdict,
    capital,
    counted,
    macro_sentence,
    percent,
    unjudged,
)

GUESSING = "giving every row the commonest classes"
WORST_CLASSES = 3
"""Named of those missed, and of those wrongly added."""
COMPARED_SETS = {**BASELINE_WORDS, "majority": GUESSING}


def compare_sets(name: str, true: Floats, model: Yes, baseline: Yes) -> SetComparison:
    """Paired bootstrap on micro F1 (Koehn 2004, "Statistical significance tests for machine translation evaluation").

    true, model, baseline: [rows, classes], the classes that the same rows have and are given. The same samples of rows
    are drawn for both; p is twice the share of them in which the one that is better in all is not. Micro F1 rather than
    an exact McNemar test on rows with all classes right, since it also sees a row that became better and not perfect.
    """
    ours, theirs = row_counts(true, model), row_counts(true, baseline)
    drawn = resampled_micro_f1([ours, theirs])
    differences: npt.NDArray[np.float64] = drawn[0] - drawn[1]
    p_value = bootstrap_p_value(differences)
    difference = micro_f1(ours) - micro_f1(theirs)
    low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    right, others = ((true > 0) == model).all(axis=1), ((true > 0) == baseline).all(axis=1)
    return SetComparison(
        name=name,
        difference=difference,
        interval=[float(low), float(high)],
        model_only=int((right & ~others).sum()),
        baseline_only=int((others & ~right).sum()),
        p_value=p_value,
        outcome=outcome_of(p_value, difference),
        macro_f1=macro_f1_difference(true > 0, model, baseline, true.shape[1]),
    )


def multi_verdict(
    test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]], comparisons: Sequence[SetComparison]
) -> Verdict:
    """test, baselines (by name): multi_label_metrics of the test part; comparisons: one for each baseline."""
    by_name = {comparison.name: comparison for comparison in comparisons}
    sentences, tone = _warnings(test, baselines, by_name)
    if test["only_prediction"] is None:
        if _is_rough(test):
            low, high = test["micro_f1_interval"]
            sentences.append(
                f"{'Also, the' if sentences else 'The'} test part is small ({counted(test['rows'], 'row')}), so its "
                f"figures are rough: micro F1 may be anything from {low:.3f} to {high:.3f}."
            )
            tone = "caution" if tone == "good" else tone
        sentences += _right(test, baselines)
    sentences += macro_sentence(test, baselines, by_name)
    return Verdict(tuple(sentences), tone, by_name, (*_worst_classes(test), *unjudged(test["per_class"])))


def missed_most(test: Mapping[str, Any], most: int = WORST_CLASSES) -> list[Mapping[str, Any]]:
    """Classes of per_class that were not given to the most rows that have them, most first."""
    ordered = sorted(test["per_class"], key=lambda figures: -figures["missed"])
    return [figures for figures in ordered[:most] if figures["missed"]]


def added_most(test: Mapping[str, Any], most: int = WORST_CLASSES) -> list[Mapping[str, Any]]:
    """Classes of per_class that were given to the most rows that do not have them, most first."""
    ordered = sorted(test["per_class"], key=lambda figures: -figures["added"])
    return [figures for figures in ordered[:most] if figures["added"]]


def missed_words(figures: Mapping[str, Any]) -> str:
    missed, rows = figures["missed"], figures["support"]
    return f"not found in {missed:,} of the {counted(rows, 'row')} that have it ({percent(missed / rows)})"


def added_words(figures: Mapping[str, Any]) -> str:
    added, rows = figures["added"], figures["predicted"]
    return f"wrong for {added:,} of the {counted(rows, 'row')} that were given it ({percent(added / rows)})"


def _worst_classes(test: Mapping[str, Any]) -> Iterator[str]:
    for figures in missed_most(test):
        yield f"{figures['label']}: {missed_words(figures)}."
    for figures in added_most(test):
        yield f"{figures['label']}: {added_words(figures)}."


def _warnings(
    test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]], comparisons: Mapping[str, SetComparison]
) -> tuple[list[str], Tone]:
    """What must come before the figures, the cheapest baseline that is as good first, and how bad it is."""
    if test["only_prediction"] is not None:
        return [_collapse(test, baselines)], "bad"
    if not any(figures["support"] for figures in test["per_class"]):
        return ["No test row has any class, so this test cannot tell whether the model is good."], "bad"
    unbeaten = [name for name in COMPARED_SETS if name in comparisons and comparisons[name].outcome != "better"]
    told = [_beaten(test, baselines[name], comparisons[name]) for name in unbeaten]
    tones = {tone for _, tone in told}
    return [sentence for sentence, _ in told], "bad" if "bad" in tones else "caution" if tones else "good"


def _collapse(test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> str:
    given = ", ".join(test["only_prediction"][:8]) or "no class at all"
    tfidf = f"; TF-IDF gets {baselines['tfidf']['micro_f1']:.3f}" if "tfidf" in baselines else ""
    return (
        f"This model has learned nothing: it gives {given} to every one of the {counted(test['rows'], 'test row')}, "
        f"a micro F1 of {test['micro_f1']:.3f}{tfidf}."
    )


def _beaten(test: Mapping[str, Any], baseline: Mapping[str, Any], comparison: SetComparison) -> tuple[str, Tone]:
    """What is said of a baseline that the model does not clearly beat."""
    words, rows = COMPARED_SETS[comparison.name], counted(test["rows"], "test row")
    model, other = f"{test['micro_f1']:.3f}", f"{baseline['micro_f1']:.3f}"
    if comparison.outcome == "worse":
        return f"{capital(words)} beats this model: micro F1 {other} against {model} on the same {rows}.", "bad"
    if comparison.difference <= 0:
        return f"This model is no better than {words}: micro F1 {model} against {other} on the same {rows}.", "bad"
    return (
        f"This model is not clearly better than {words}: micro F1 {model} against {other} on the same {rows}, which "
        "may be chance."
    ), "caution"


def _is_rough(test: Mapping[str, Any]) -> bool:
    low, high = test["micro_f1_interval"]
    return bool(high - low > WIDE_INTERVAL)


def _right(test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    low, high = test["micro_f1_interval"]
    sentences = [
        f"{percent(test['micro_precision'])} of the classes that it gives are right, and it finds "
        f"{percent(test['micro_recall'])} of those that are there.",
        f"On {counted(test['rows'], 'unseen row')} that is a micro F1 of {test['micro_f1']:.3f} (95 % sure: {low:.3f} "
        f"to {high:.3f}); on {percent(test['accuracy'])} of them all classes are right.",
    ]
    scores = [
        f"{COMPARED_SETS[name]} {'gets' if name == 'tfidf' else ''} {baselines[name]['micro_f1']:.3f}".replace(
            "  ", " "
        )
        for name in ("tfidf", "neighbours", "majority")
        if name in baselines
    ]
    return [*sentences, f"{capital(', '.join(scores))}."] if scores else sentences
