"""Choosing what a finished run's model answers, and keeping it with the model: `launch.py decide RUN`. Without torch.

The temperature is fitted when the run is trained; chosen are the confidence below which a row gets no label, and the
set of likely classes beside the label. tunedesk.json keeps the choice; predictions and exports have it from then on.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from core.decision import Decision, LabelSet
from core.errors import UserError
from core.evaluation.abstaining import (
    best_accuracy,
    coverage_words,
    place_of,
    threshold_for_accuracy,
    threshold_for_coverage,
)
from core.evaluation.report_file import read_content
from core.evaluation.verdict import percent
from core.files import replacing
from core.model_facts import MODEL_FACTS_FILE, ModelFacts, run_model_facts
from core.workspace import RunFolder

NO_DECISION = {
    "none": ("learned from conversations, so it has no classes to be sure of", "Talk to it under Try it."),
    "multi": (
        "may give a row several classes, so no one class is the likeliest",
        "Each class has its own threshold already, chosen on validation.",
    ),
    "soft": (
        "learned how probable each class is, and answers with that",
        "Choose by the probabilities themselves, which `predict` gives.",
    ),
}
"""By label kind, why a run decides nothing by confidence, and what to do."""


@dataclass(frozen=True)
class Wish:
    """What is to change of a decision; what is None stays. At most one of the first three."""

    abstain_below: float | None = None
    accuracy: float | None = None
    """In place of a threshold: the share of labelled rows that should be right, 0 to 1."""
    coverage: float | None = None
    """In place of a threshold: the share of rows that should be labelled, 0 to 1."""
    label_set: LabelSet | None = None
    label_set_sum: float | None = None
    label_set_size: int | None = None


def decide(folder: RunFolder, wish: Wish) -> Decision:
    """Change a run's decision and keep it with the model. Raises UserError, and then changes nothing."""
    decision = decided(run_model_facts(folder), read_content(folder), wish)
    save_decision(folder, decision)
    return decision


def decided(facts: ModelFacts, report: Mapping[str, Any] | None, wish: Wish) -> Decision:
    """The decision that a wish makes of a model's own. report: content of report.json, for accuracy and coverage.

    Raises UserError for a model of another kind of label, a figure out of its bounds, an accuracy out of reach.
    """
    if facts.label_kind != "single" or facts.task == "chat":
        kind = "none" if facts.task == "chat" else facts.label_kind
        told, todo = NO_DECISION[kind]
        raise UserError(f"Run {facts.run} {told}.", facts.run, todo)
    given = [value for value in (wish.abstain_below, wish.accuracy, wish.coverage) if value is not None]
    if len(given) > 1:
        raise UserError(
            "A threshold, an accuracy and a coverage each say where to stop.", "decision", "Give one of them."
        )
    for name in ("abstain_below", "accuracy", "coverage", "label_set_sum"):
        value = asdict(wish)[name]
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"{name} is {value:g}; it is a share.", name, "Give a number from 0 to 1, such as 0.9.")
    if wish.label_set_size is not None and wish.label_set_size < 1:
        raise UserError(f"label_set_size is {wish.label_set_size}.", "label_set_size", "Ask for one class or more.")
    changes = {name: value for name, value in asdict(wish).items() if name not in ("accuracy", "coverage")}
    changes["abstain_below"] = _threshold(facts, report, wish)
    return replace(facts.decision, **{name: value for name, value in changes.items() if value is not None})


def _threshold(facts: ModelFacts, report: Mapping[str, Any] | None, wish: Wish) -> float | None:
    if wish.accuracy is None and wish.coverage is None:
        return wish.abstain_below
    if report is None or "coverage" not in report:
        raise UserError(
            f"The report of run {facts.run} has no curve of coverage and accuracy to choose from.",
            facts.run,
            "Give a threshold itself, or train the run again: reports of today's version have one.",
        )
    if wish.coverage is not None:
        return threshold_for_coverage(report["coverage"], wish.coverage)
    assert wish.accuracy is not None
    threshold = threshold_for_accuracy(report["coverage"], wish.accuracy)
    if threshold is None:
        best = best_accuracy(report["coverage"])
        raise UserError(
            f"No threshold makes {percent(wish.accuracy)} of the labelled validation rows right; the best is "
            f"{percent(best)}.",
            "accuracy",
            "Ask for less, or for a share of rows to label.",
        )
    return threshold


def save_decision(folder: RunFolder, decision: Decision) -> None:
    """Write it to the model's tunedesk.json, whole or not at all; whatever else stands there stays."""
    path = folder.model / MODEL_FACTS_FILE
    content = json.loads(path.read_text(encoding="utf-8")) | {"decision": asdict(decision)}
    with replacing(path) as target:
        target.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def threshold_words(report: Mapping[str, Any] | None, decision: Decision) -> str:
    """What the threshold comes to on the test part: `It labels 83.0 % of rows at 97.1 % accuracy (...).`

    '' where the report has no curve.
    """
    if report is None or "coverage" not in report:
        return ""
    coverage = report["coverage"]
    return f"On the test part it {coverage_words(coverage, place_of(coverage, decision.abstain_below))}."
