"""Charts that have a place for every class, however many: the whole confusion matrix, and F1 as bars. As SVG text."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from core.evaluation.charts import Drawing
from core.evaluation.colours import class_colour
from core.evaluation.confusion import fold_confusion
from core.evaluation.tables import bar_words
from core.evaluation.verdict import counted

NUMBERS_UP_TO = 31
"""Classes up to which the cells have room for their numbers."""
NAMES_UP_TO = 200
CELLS_DRAWN = 4000
"""Of more cells that are not empty, the fullest."""
LETTER = 0.66
"""Width of a letter, of its height, at most about."""
NAME_LETTERS = 22
BAR_ROW = 17
BARS_WIDTH = 620.0


def matrix_drawing(report: Mapping[str, Any]) -> Drawing:
    """The confusion matrix of all classes in the report's order. report: of one class a row."""
    labels = report["labels"]
    confusion = report["test"]["confusion"]
    counts, names = fold_confusion(confusion, labels, len(labels), report.get("class_order"))
    found = np.asarray(counts)
    named, numbers = len(names) <= NAMES_UP_TO, len(names) <= NUMBERS_UP_TO
    size = 30.0 if numbers else 10.0 if named else max(1.0, 2000 / len(names))
    letter = 12.0 if numbers else 8.0
    left = _names_width(names, letter) + 8 if named else 4.0
    side = size * len(names)
    parts = [f'<rect class="ground" x="{left}" y="{left}" width="{side:g}" height="{side:g}"/>']
    parts += _cells(found, names, left, size, numbers)
    if named:
        parts += _names(names, left, size, letter)
    right = int(np.trace(found))
    said = f"{right:,} of {counted(int(found.sum()), 'row')} on the diagonal"
    keys = [("rows: true class, columns: what the model said", "")]
    return Drawing("Confusion matrix", keys, said, "".join(parts), left + side + 4, left + side + 4)


def _cells(found: Any, names: Sequence[str], left: float, size: float, numbers: bool) -> list[str]:
    """Shades are shares of the true class; the square root lifts small ones: one mistake in a hundred is seen."""
    totals = found.sum(axis=1)
    true, predicted = np.nonzero(found)
    if len(true) > CELLS_DRAWN:
        fullest = np.argsort(-found[true, predicted], kind="stable")[:CELLS_DRAWN]
        true, predicted = true[fullest], predicted[fullest]
    parts = []
    gap = 1 if size > 5 else 0
    for row, column in zip(true.tolist(), predicted.tolist(), strict=True):
        count, share = int(found[row, column]), found[row, column] / totals[row]
        kind, shade = ("right", 0.2 + 0.5 * share) if row == column else ("wrong", 0.25 + 0.7 * share**0.5)
        x, y = left + column * size, left + row * size
        words = escape(f"{names[row]} → {names[column]}: {count:,} of {counted(int(totals[row]), 'row')}")
        parts.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{size - gap:g}" height="{size - gap:g}" '
            f'fill-opacity="{shade:.2f}"><title>{words}</title></rect>'
        )
        if numbers:
            parts.append(
                f'<text class="count" x="{x + size / 2:g}" y="{y + size / 2 + 4:g}" text-anchor="middle">{count}</text>'
            )
    return parts


def _names(names: Sequence[str], left: float, size: float, letter: float) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        middle = left + (number + 0.5) * size
        shown, style = escape(short(name)), f'style="font-size:{letter:g}px"'
        below, away = middle + letter / 3, left - 5
        parts.append(
            f'<text {style} x="{away:g}" y="{below:g}" text-anchor="end">{shown}</text>'
            f'<text {style} x="0" y="0" transform="translate({below:g} {away:g}) rotate(-90)">{shown}</text>'
        )
    return parts


def classes_drawing(report: Mapping[str, Any]) -> Drawing:
    """F1 of every class as a bar, the best first; of a language model with a mark where it was before training."""
    untuned = report.get("untuned")
    before = [figures["f1"] for figures in untuned["per_class"]] if untuned else []
    per_class = report["test"]["per_class"]
    order = sorted(range(len(per_class)), key=lambda number: -per_class[number]["f1"])
    left = _names_width(report["labels"], 12) + 12
    reach = BARS_WIDTH - left - 120
    parts = []
    for place, number in enumerate(order):
        figures, y = per_class[number], place * BAR_ROW + 4
        name, rows = escape(short(figures["label"])), counted(figures["support"], "row")
        parts.append(
            f'<text class="name" x="{left - 8:g}" y="{y + 10}" text-anchor="end">{name}</text>'
            f'<rect class="ground" x="{left:g}" y="{y + 1}" width="{reach:g}" height="10" rx="2"/>'
            f'<rect x="{left:g}" y="{y + 1}" width="{reach * figures["f1"]:.1f}" height="10" rx="2" '
            f'fill="{class_colour(number)}"><title>{escape(bar_words(figures))}</title></rect>'
            f'<text x="{left + reach + 8:g}" y="{y + 10}">{figures["f1"]:.3f}, {rows}</text>'
        )
        if before:
            x = left + reach * before[number]
            parts.append(f'<path class="mean" d="M{x:.1f} {y - 2}v16"/>')
    keys = [("the mark: before training", "")] if before else []
    said = f"{counted(len(per_class), 'class', 'classes')}, macro F1 {report['test']['macro_f1']:.3f}"
    return Drawing("F1 of each class", keys, said, "".join(parts), BARS_WIDTH, len(order) * BAR_ROW + 8)


def short(name: str) -> str:
    return name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 1] + "…"


def _names_width(names: Sequence[str], letter: float) -> float:
    """About: letters are not measured."""
    return max(len(short(name)) for name in names) * letter * LETTER
