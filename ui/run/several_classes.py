"""Run / Report where a row may have several classes: micro F1 in place of accuracy, and in place of the confusion
matrix the classes that are missed and wrongly added, each with its rows behind it."""

from collections.abc import Mapping
from html import escape
from typing import Any

from core.evaluation.colours import class_colour
from core.evaluation.multi_tables import class_count_words, comparison_words
from core.evaluation.multi_verdict import added_most, added_words, missed_most, missed_words
from ui.run.compared import compared_html
from ui.words import BASELINE_WORDS, percent

CLASSES_SHOWN = 20


def is_several(report: Mapping[str, Any]) -> bool:
    """Reports of before there were other kinds than single do not name theirs."""
    return bool(report.get("kind") == "multi")


def several_verdict_html(report: Mapping[str, Any]) -> str:
    """The verdict, then the model beside the baselines, on the same rows."""
    headline, *rest = report["verdict_sentences"]
    more = f"<p>{escape(' '.join(rest))}</p>" if rest else ""
    rows = [("This model", report["test"], "td-own")]
    rows += [
        ("Commonest classes" if name == "majority" else BASELINE_WORDS.get(name, name), scores, "")
        for name, scores in reversed(report["baselines"].items())
    ]
    return (
        f'<section class="td-verdict td-{report["tone"]}"><h2 dir="auto">{escape(headline)}</h2>{more}'
        '<div class="td-scroll"><table class="td-ladder"><thead><tr><th scope="col">On the test part</th>'
        '<th scope="col" class="td-track-head"></th><th scope="col" title="All classes of all rows together">Micro F1'
        '</th><th scope="col">95 % sure</th><th scope="col" title="Mean over the classes">Macro F1</th>'
        '<th scope="col" title="Mean over the rows">Samples F1</th>'
        '<th scope="col" title="Rows whose classes are all right, and none too many">All right</th>'
        '<th scope="col" title="Share of all yes and no that is wrong">Hamming loss</th></tr></thead><tbody>'
        f"{''.join(_rung(*row) for row in rows)}</tbody></table></div>{compared_html(comparison_words(report))}"
        f'<p class="td-hint">{escape(class_count_words(report["test"]))}</p></section>'
    )


def _rung(name: str, scores: Mapping[str, Any], kind: str) -> str:
    low, high = scores["micro_f1_interval"]
    return (
        f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td class="td-track-cell"><span class="td-track">'
        f'<i style="width:{scores["micro_f1"] * 100:.2f}%"></i>'
        f'<u style="left:{low * 100:.2f}%;width:{(high - low) * 100:.2f}%"></u></span></td>'
        f"<td><b>{scores['micro_f1']:.3f}</b></td><td>{low:.3f} to {high:.3f}</td><td>{scores['macro_f1']:.3f}</td>"
        f"<td>{scores['samples_f1']:.3f}</td><td>{percent(scores['accuracy'])}</td>"
        f"<td>{scores['hamming_loss']:.4f}</td></tr>"
    )


def several_failures_html(report: Mapping[str, Any]) -> str:
    """The classes missed and wrongly added most, each with its rows behind it, and whatever else was found."""
    missed, added = missed_most(report["test"]), added_most(report["test"])
    items = "".join(_item(figures["label"], "", missed_words(figures)) for figures in missed)
    items += "".join(_item("", figures["label"], added_words(figures)) for figures in added)
    # The findings begin with the same classes in words.
    rest = report["findings"][len(missed) + len(added) :]
    others = "".join(f'<p dir="auto">{escape(finding)}</p>' for finding in rest)
    body = f"<ul>{items}</ul>" if items else "<p>Nowhere: every row of the test part is right.</p>"
    return f'<section class="td-failures"><h3>Where it fails</h3>{body}{others}</section>'


def _item(missed: str, added: str, words: str) -> str:
    return (
        f'<li><button type="button" data-true="{escape(missed)}" data-predicted="{escape(added)}">'
        f"<b dir='auto'>{escape(missed or added)}</b><small>{escape(words)}</small></button></li>"
    )


def differences_html(report: Mapping[str, Any]) -> str:
    """The classes with the most wrong decisions: how often each is missed and wrongly added."""
    ordered = sorted(report["test"]["per_class"], key=lambda figures: -(figures["missed"] + figures["added"]))
    shown = [figures for figures in ordered[:CLASSES_SHOWN] if figures["missed"] or figures["added"]]
    most = max((max(figures["missed"], figures["added"]) for figures in shown), default=1)
    number = {label: place for place, label in enumerate(report["labels"])}
    rows = "".join(
        f'<tr><th scope="row"><i style="background:{class_colour(number[figures["label"]])}"></i>'
        f'<span dir="auto" title="{escape(figures["label"])}">{escape(figures["label"])}</span></th>'
        f"{_cell(figures, 'missed', most)}{_cell(figures, 'added', most)}</tr>"
        for figures in shown
    )
    left = len(ordered) - len(shown)
    more = (
        f" The other {left:,} have fewer; the table below holds them." if left and len(shown) == CLASSES_SHOWN else ""
    )
    return (
        '<section class="td-differences"><h3>Missed and wrongly added</h3><p class="td-hint">The classes '
        f"with the most wrong decisions, in rows; press a number to see them.{more}</p>"
        '<div class="td-scroll"><table><thead><tr><th scope="col">Class</th><th scope="col">Missed</th>'
        f'<th scope="col">Wrongly added</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _cell(figures: Mapping[str, Any], what: str, most: int) -> str:
    count, label = figures[what], escape(figures["label"])
    if not count:
        return "<td></td>"
    missed, added = (label, "") if what == "missed" else ("", label)
    words = escape(missed_words(figures) if what == "missed" else added_words(figures))
    return (
        f'<td><button type="button" data-true="{missed}" data-predicted="{added}" title="{words}" '
        f'aria-label="{label}: {words}"><i style="width:{count / most * 100:.1f}%"></i><b>{count:,}</b></button></td>'
    )
