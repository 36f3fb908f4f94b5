"""What the model made of a text that was tried: its class, its classes, or the likeliest ones up to a share."""

from collections.abc import Sequence
from html import escape

import numpy as np

from core.decision import AS_IT_IS, Decision, label_sets, shown_share
from core.evaluation.colours import class_colour
from core.evaluation.multi_label import joined_labels
from core.model_facts import ModelFacts
from ui.plots import probability_bars

BARS = 10
USUAL_SHARE = 80
"""Percent that the likeliest themes have to sum to before the rest is left out."""

Ranked = Sequence[tuple[str, float]]
"""Every class with its probability, the most likely first."""


def shown_result(facts: ModelFacts, ranked: Ranked, share: float) -> str:
    """The answer as a heading, and bars. `share`, in percent, is of no effect but with soft labels."""
    if facts.label_kind == "multi":
        return several_html(facts, ranked)
    if facts.label_kind == "soft":
        return likeliest_html(facts, ranked, share)
    return result_html(ranked, facts.labels, facts.decision)


def answer_words(facts: ModelFacts, ranked: Ranked) -> str:
    """The answer in the line of a try."""
    if facts.label_kind == "single" and ranked[0][1] < facts.decision.abstain_below:
        return "no label"
    if facts.label_kind != "multi":
        return ranked[0][0]
    return joined_labels([label for label, _ in given_ones(facts, ranked)], ";") or "no class"


def given_ones(facts: ModelFacts, ranked: Ranked) -> list[tuple[str, float]]:
    """The classes whose probability reaches their threshold, the most likely first."""
    thresholds = dict(zip(facts.labels, facts.thresholds, strict=True))
    return [(label, probability) for label, probability in ranked if probability >= thresholds[label]]


def up_to_share(ranked: Ranked, share: float) -> list[tuple[str, float]]:
    """The likeliest classes, as few as sum to `share` percent."""
    kept, total = [], 0.0
    for label, probability in ranked:
        kept.append((label, probability))
        total += probability
        # What rounding leaves open does not call for one more.
        if total * 100 >= share - 1e-4:
            break
    return kept


def result_html(ranked: Ranked, labels: Sequence[str], decision: Decision = AS_IT_IS) -> str:
    """The ten likeliest classes as bars; what the others share, and what the saved decision makes of it, is below."""
    index = {label: number for number, label in enumerate(labels)}
    shown, rest = ranked[:BARS], ranked[BARS:]
    said = []
    if rest:
        said.append(f"{sum(probability for _, probability in rest) * 100:.1f} % on the other {len(rest)} classes.")
    (best, confidence), threshold = ranked[0], decision.abstain_below
    if confidence < threshold:
        said.append(f"{best} is below the saved threshold of {shown_share(threshold)}, the mark on its bar.")
    if decision.label_set != "one":
        said.append(f"Together: {', '.join(_set_of(ranked, decision))}.")
    bars = probability_bars(shown, lambda label: class_colour(index[label]), {best: threshold} if threshold else {})
    return (
        f'<div class="td-result"><h3 dir="auto">{escape(best if confidence >= threshold else "No label")}</h3>'
        f'{bars}<p class="td-hint" dir="auto">{escape(" ".join(said))}</p></div>'
    )


def _set_of(ranked: Ranked, decision: Decision) -> list[str]:
    """The classes beside the label, the likeliest first."""
    kept = label_sets(np.array([[probability for _, probability in ranked]]), decision)[0]
    return [label for (label, _), yes in zip(ranked, kept, strict=True) if yes]


def several_html(facts: ModelFacts, ranked: Ranked) -> str:
    """The classes that are given, then those that come nearest, each with its threshold drawn in."""
    index = {label: number for number, label in enumerate(facts.labels)}
    given = given_ones(facts, ranked)
    names = {label for label, _ in given}
    nearest = [pair for pair in ranked if pair[0] not in names][: max(0, BARS - len(given))]
    thresholds = dict(zip(facts.labels, facts.thresholds, strict=True))
    heading = ", ".join(label for label, _ in given) or "No class"
    unshown = len(ranked) - len(given) - len(nearest)
    words = f"{len(given)} of {len(ranked)} classes reach their threshold, the mark on the bar."
    words += f" {unshown} less likely ones are not shown." if unshown else ""

    def colour(label: str) -> str:
        return class_colour(index[label]) if label in names else "var(--td-quiet)"

    bars = probability_bars([*given, *nearest], colour, thresholds)
    return f'<div class="td-result"><h3 dir="auto">{escape(heading)}</h3>{bars}<p class="td-hint">{words}</p></div>'


def likeliest_html(facts: ModelFacts, ranked: Ranked, share: float) -> str:
    """The likeliest classes until their probabilities sum to the share, in percent."""
    index = {label: number for number, label in enumerate(facts.labels)}
    kept = up_to_share(ranked, share)
    total = sum(probability for _, probability in kept)
    left = len(ranked) - len(kept)
    words = f"Together {total * 100:.1f} %."
    words += f" The other {left} {'class has' if left == 1 else 'classes have'} the rest." if left else ""
    return (
        f'<div class="td-result"><h3 dir="auto">{escape(", ".join(label for label, _ in kept))}</h3>'
        f"{probability_bars(kept, lambda label: class_colour(index[label]))}"
        f'<p class="td-hint">{words}</p></div>'
    )
