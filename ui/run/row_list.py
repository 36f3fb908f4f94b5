"""The rows of the error browser as folded lines, one open at a time. Everything that comes from data is escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any

from core.evaluation.colours import class_colour
from core.evaluation.row_filter import RowFilter
from core.runs.label_marks import LabelMark
from ui.plots import probability_bars

TEXT_SHOWN = 400
"""Characters of a text in its line; opened, the row shows the whole."""
PROBABILITIES_SHOWN = 6
ORDER_WORDS = {
    "confidence": "the surest first",
    "loss": "the highest loss first",
    "suspicion": "the most suspicious first",
}
EVERY_MISTAKE = RowFilter()
NOTHING: Mapping[Any, Any] = MappingProxyType({})

RowKey = tuple[int, int]
"""Fold and row_id."""


def list_html(
    rows: Sequence[dict[str, Any]],
    labels: Sequence[str],
    offset: int,
    total: int,
    tested: int,
    filtered: bool,
    thresholds: Mapping[str, float] = NOTHING,
    *,
    wanted: RowFilter = EVERY_MISTAKE,
    opened: Mapping[RowKey, str] = NOTHING,
    marks: Mapping[RowKey, LabelMark] = NOTHING,
) -> str:
    """A folded line a row. thresholds: of each class, where rows have several. opened: what an open row shows below its
    line. marks: what was said of labels."""
    if not total:
        return f'<p class="td-count">{_no_rows(wanted, filtered, tested)}</p>'
    last = min(offset + len(rows), total)
    shown = f"{offset + 1:,} to {last:,} of " if total > len(rows) else ""
    head = f"{shown}{_counted(wanted, filtered, total, tested)}, {ORDER_WORDS[wanted.order]}"
    index = {label: number for number, label in enumerate(labels)}
    lines = "".join(_line(row, labels, index, thresholds, opened, marks) for row in rows)
    return f'<p class="td-count">{head}</p><div class="td-mistakes">{lines}</div>'


def _no_rows(wanted: RowFilter, filtered: bool, tested: int) -> str:
    if filtered:
        noun = {"mistakes": "mistake", "all": "row", "suspicious": "suspicious label"}[wanted.shown]
        return f"No {noun} fits these filters. Widen or empty them."
    if wanted.shown == "suspicious":
        return "No label looks wrong: the model agrees with all of them, or is not sure enough to doubt one."
    return f"Nothing to show: all {tested:,} rows are right."


def _counted(wanted: RowFilter, filtered: bool, total: int, tested: int) -> str:
    one = total == 1
    if wanted.shown == "suspicious":
        noun = "suspicious label" if one else "suspicious labels"
        return f"{total:,} {noun}" + (f" that {'fits' if one else 'fit'}" if filtered else "")
    noun = ("row" if one else "rows") if wanted.shown == "all" else ("mistake" if one else "mistakes")
    return f"{total:,} {noun}" + (f" that {'fits' if one else 'fit'}" if filtered else f" in {tested:,} rows")


def _line(
    row: dict[str, Any],
    labels: Sequence[str],
    index: dict[str, int],
    thresholds: Mapping[str, float],
    opened: Mapping[RowKey, str],
    marks: Mapping[RowKey, LabelMark],
) -> str:
    key = (row.get("fold", 1), row["row_id"])
    text = row["text"] if len(row["text"]) <= TEXT_SHOWN else row["text"][:TEXT_SHOWN] + " …"
    bars = bars_html(row, labels, index, thresholds)
    body = opened.get(key, f"{in_full_html(row, labels)}{bars}")
    mark = mark_chip(marks[key], index) if key in marks else ""
    return (
        f'<details name="mistake" data-fold="{key[0]}" data-row="{key[1]}"{" open" * (key in opened)}>'
        f'<summary><span class="td-sure">{row["confidence"] * 100:.0f} %</span>'
        f'<span class="td-text" dir="auto">{escape(text)}</span>'
        f'<span class="td-pairing">{pairing_html(row, index)}</span>{mark}</summary>'
        f'<div class="td-open">{body}</div></details>'
    )


def bars_html(
    row: dict[str, Any], labels: Sequence[str], index: dict[str, int], thresholds: Mapping[str, float]
) -> str:
    """The likeliest classes with their probabilities."""
    said = sorted(zip(labels, row["probabilities"], strict=True), key=lambda pair: -pair[1])
    # What was decided wrongly, or is the label, is among the bars, however improbable.
    also = {*row["missed"], *row["added"]} if "missed" in row else {row["true"]}
    shown = [pair for place, pair in enumerate(said) if place < PROBABILITIES_SHOWN or pair[0] in also]
    return probability_bars(shown, lambda label: class_colour(index[label]), thresholds)


def pairing_html(row: dict[str, Any], index: dict[str, int]) -> str:
    """The label, and what the model said in its place."""
    if "missed" in row:
        return _differing(row, index)
    if row["true"] == row["predicted"] and not row.get("suggested"):
        return f'{chip(row["true"], index)}<span class="td-arrow" title="right">✓</span><span></span>'
    said = row.get("suggested") or row["predicted"]
    arrow = '<span class="td-arrow" aria-label="predicted as">→</span>'
    return f"{chip(row['true'], index)}{arrow}{chip(said, index)}"


def _differing(row: dict[str, Any], index: dict[str, int]) -> str:
    """The first class that was missed and the first that was added; how many more there are."""
    parts = []
    for words, found in (("missed", row["missed"]), ("added", row["added"])):
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            parts.append(f"<small>{words}{more}</small>{chip(found[0], index)}")
    if not parts:
        return '<span class="td-arrow" title="right">✓</span>'
    return f'<span class="td-several">{"".join(parts)}</span>'


def in_full_html(row: dict[str, Any], labels: Sequence[str]) -> str:
    """All classes of a row, or the probabilities that the data gives it; '' where it has one class."""
    if "missed" in row:
        pairs = [("In the data", row["true"]), ("Given", row["predicted"])]
    elif "true_probabilities" in row:
        ranked = sorted(zip(labels, row["true_probabilities"], strict=True), key=lambda pair: -pair[1])
        likely = [
            f"<bdi>{escape(label)}</bdi> {share * 100:.0f} %"
            for label, share in ranked[:PROBABILITIES_SHOWN]
            if share >= 0.01
        ]
        return f'<p class="td-differ"><span>In the data <b>{", ".join(likely)}</b></span></p>'
    else:
        return ""
    words = "".join(f'<span>{name} <b dir="auto">{escape(classes) or "no class"}</b></span>' for name, classes in pairs)
    return f'<p class="td-differ">{words}</p>'


def mark_chip(mark: LabelMark, index: dict[str, int]) -> str:
    """What was said of a label, in its line."""
    if mark.verdict == "ambiguous":
        return '<span class="td-mark">ambiguous</span>'
    classes = " ".join(chip(name, index) for name in mark.classes) or "no class"
    return f'<span class="td-mark">corrected {classes}</span>'


def chip(label: str, index: dict[str, int]) -> str:
    colour = class_colour(index[label]) if label in index else "var(--td-quiet)"
    return f'<span class="td-chip" style="--c:{colour}" dir="auto">{escape(label)}</span>'
