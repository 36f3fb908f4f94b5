"""Rows for test of classes that the train part does not have (out of scope): how well confidence parts them from the
rest, and how many of them a threshold turns away. For one class a row.

The model cannot be right on them, so they count in no other figure. The threshold that is proposed for them is chosen
on validation rows of the model's own classes alone, as rows of classes that nobody knows cannot be had beforehand.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.decision import confidence_of, shown_share
from core.evaluation.abstaining import Coverage, outside_figures, place_of, threshold_for_coverage
from core.evaluation.metrics import Floats
from core.evaluation.verdict import counted, percent

KEPT = 0.95
"""Share of validation rows of its classes that the proposed threshold keeps, at least."""
CLASSES_NAMED = 5


def outside_content(coverage: Coverage, known: Floats, outside: Floats, labels: Sequence[str]) -> dict[str, Any]:
    """What report.json holds as `outside`.

    {"rows", "classes": {class: rows}, the commonest first, "separation" (area under the ROC curve; 0.5 is none at all),
    "labelled": how many of the rows still get a label at each of coverage's thresholds, "proposed": a threshold}.
    known, outside: tempered probabilities, [rows, classes] each, of the test part and of these rows; labels: their own.
    """
    thresholds = np.array(coverage["thresholds"])
    figures = outside_figures(known, outside, 0.0)
    confidence = np.sort(confidence_of(outside))
    return {
        "rows": len(outside),
        "classes": dict(Counter(labels).most_common()),
        "separation": figures["separation"],
        "labelled": (len(confidence) - np.searchsorted(confidence, thresholds)).tolist(),
        "proposed": threshold_for_coverage(coverage, KEPT),
    }


def known_place(coverage: Coverage) -> int:
    """The place of the proposed threshold among coverage's."""
    return place_of(coverage, threshold_for_coverage(coverage, KEPT))


def outside_sentence(report: Mapping[str, Any]) -> str:
    """How many rows there are, and how well they are told apart; '' where there is none. report: report.json's."""
    if "outside" not in report:
        return ""
    found = report["outside"]
    names = list(found["classes"])
    more = f" and {len(names) - CLASSES_NAMED:,} more" if len(names) > CLASSES_NAMED else ""
    return (
        f"Kept apart from every figure are {counted(found['rows'], 'test row')} of classes that it never learned "
        f"({', '.join(names[:CLASSES_NAMED])}{more}): in {percent(found['separation'])} of pairs it is surer of a row "
        "of its own classes than of one of these (50 % would be chance)."
    )


def outside_words_at(report: Mapping[str, Any], place: int) -> str:
    """What a kept threshold does to both kinds of rows; '' where there are none of unknown classes."""
    if "outside" not in report:
        return ""
    outside, test = report["outside"], report["coverage"]["test"]
    kept, away = test["labelled"][place] / test["rows"], 1 - outside["labelled"][place] / outside["rows"]
    return (
        f"It keeps {percent(kept)} of the rows of its classes and turns away {percent(away)} of those of classes it "
        "never learned."
    )


def threshold_and_outside(report: Mapping[str, Any]) -> str:
    """The same of the proposed threshold, as a sentence that names it."""
    place = known_place(report["coverage"])
    words = outside_words_at(report, place)
    return f"From {shown_share(report['coverage']['thresholds'][place])} on it {words.removeprefix('It ')}"


def outside_finding(report: Mapping[str, Any]) -> str:
    """For the findings of the report."""
    return f"{outside_sentence(report)} {threshold_and_outside(report)}"
