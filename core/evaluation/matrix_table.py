"""The confusion matrix of report.html: a table of at most some thirty classes, a drawing of all of them where there are
more, and the commonest confusions in words. As HTML text; everything that comes from data is escaped."""

from collections.abc import Sequence
from html import escape

from core.evaluation.charts import figure_html
from core.evaluation.class_charts import matrix_drawing
from core.evaluation.confusion import fold_confusion, folded_words, top_confusions
from core.evaluation.tables import Report, section, sentence
from core.evaluation.verdict import WORST_CONFUSIONS, confusion_words, counted

ROOM_FOR_WIDE_CELLS = 12
"""Classes up to which the matrix has room for wide cells."""
SHORT_NAME = 6
"""Characters that fit above a wide cell; longer names stand upright."""
CONFUSIONS_SHOWN = 25
ORDER_HINT = "Classes that are taken for each other stand beside each other."


def matrix(report: Report) -> str:
    """The section."""
    confusion, labels = report["test"]["confusion"], report["labels"]
    counts, names = fold_confusion(confusion, labels, order=report.get("class_order"))
    head = "".join(
        f'<th scope="col" title="{escape(name)}"><span dir="auto">{escape(name)}</span></th>' for name in names
    )
    rows = "".join(_row(number, row, names) for number, row in enumerate(counts))
    hint = "Rows are the true class, columns what the model said; the shade is the share of the row. "
    hint += folded_words(confusion, counts, len(labels)) or (ORDER_HINT if len(labels) > 2 else "")
    kind = "wide" if len(names) <= ROOM_FOR_WIDE_CELLS else ""
    if kind and max(map(len, names)) <= SHORT_NAME:
        kind += " short"
    table = (
        f'<div class="scroll" tabindex="0"><table class="matrix {kind}"><thead><tr><td class="corner"></td>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
    return section("Confusion matrix", hint, table + _confusions(report) + _all_classes(report, len(names)))


def _confusions(report: Report) -> str:
    """The commonest ones in words, more than stand under Where it fails."""
    support = {figures["label"]: figures["support"] for figures in report["test"]["per_class"]}
    found = top_confusions(report["test"]["confusion"], report["labels"], CONFUSIONS_SHOWN)
    if len(found) <= WORST_CONFUSIONS:
        return ""
    items = "".join(f"<li>{sentence(confusion_words(*one, support))}</li>" for one in found)
    return (
        f'<details class="fold"><summary>The {len(found)} commonest confusions in words</summary>'
        f'<ol class="fails">{items}</ol></details>'
    )


def _all_classes(report: Report, shown: int) -> str:
    """Every class in one drawing, where the table could not hold them."""
    classes = len(report["labels"])
    if shown == classes:
        return ""
    return (
        f'<details class="fold"><summary>All {classes:,} classes in one drawing</summary>'
        f'<p class="hint">{ORDER_HINT} What is off the diagonal is wrong; point at a cell to read it.</p>'
        f'<div class="scroll whole" tabindex="0">{figure_html(matrix_drawing(report))}</div></details>'
    )


def _row(true: int, row: Sequence[int], names: Sequence[str]) -> str:
    total = sum(row)
    cells = []
    for predicted, count in enumerate(row):
        if not count:
            cells.append("<td></td>")
            continue
        share = count / total
        # The square root lifts small shares: one mistake in a hundred should still be seen.
        kind, shade = ("right", 0.15 + 0.55 * share) if true == predicted else ("wrong", 0.12 + 0.6 * share**0.5)
        words = f"{names[true]} → {names[predicted]}: {count:,} of {counted(total, 'row')}"
        cells.append(f'<td class="{kind}" style="--s:{shade:.2f}" title="{escape(words)}">{count}</td>')
    name = escape(names[true])
    return f'<tr><th scope="row" title="{name}"><span dir="auto">{name}</span></th>{"".join(cells)}</tr>'
