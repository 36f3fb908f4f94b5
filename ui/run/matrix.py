"""The confusion matrix as a table that can be read, hovered and clicked."""

from collections.abc import Sequence
from html import escape

from core.evaluation.matrix_table import ORDER_HINT

ROOM_FOR_NUMBERS = 12


def matrix_html(counts: Sequence[Sequence[int]], labels: Sequence[str], *, left_out: str = "", whole: str = "") -> str:
    """`counts[true][predicted]`; shades are shares of the true class, right ones and wrong ones in two colours.

    left_out: what the last row and column stand for, in a sentence; '' where every class is shown. whole: a drawing of
    all classes, as HTML, folded below; '' where there is none.
    """
    wide = len(labels) <= ROOM_FOR_NUMBERS
    single = len(labels) - 1 if left_out else len(labels)
    head = "".join(
        f'<th scope="col" data-column="{number}"><span dir="auto" title="{escape(label)}">{escape(label)}</span></th>'
        for number, label in enumerate(labels)
    )
    body = "".join(_row(number, row, labels, wide, single) for number, row in enumerate(counts))
    kind = "td-wide" if wide else "td-dense"
    note = left_out or (ORDER_HINT if len(labels) > 2 else "")
    folded = (
        f'<details class="td-whole"><summary>All classes in one drawing</summary>{whole}</details>' if whole else ""
    )
    return (
        f'<section class="td-matrix {kind}" style="--n:{len(labels)}"><h3>Confusion matrix</h3>'
        f'<p class="td-hint">Rows are the true class, columns what the model said. {escape(note)}</p>'
        f'<div class="td-scroll"><table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        '<p class="td-said" data-rest="Point at a cell to read it; press a mistake to see its rows.">'
        f"Point at a cell to read it; press a mistake to see its rows.</p>{folded}</section>"
    )


def _row(number: int, row: Sequence[int], labels: Sequence[str], wide: bool, single: int) -> str:
    total = sum(row)
    cells = "".join(_cell(number, column, count, total, labels, wide, single) for column, count in enumerate(row))
    label = escape(labels[number])
    return f'<tr><th scope="row"><span dir="auto" title="{label}">{label}</span></th>{cells}</tr>'


def _cell(true: int, predicted: int, count: int, total: int, labels: Sequence[str], wide: bool, single: int) -> str:
    """`single`: classes from this index on are several taken together, which no filter can name."""
    if not count:
        return f'<td data-column="{predicted}"></td>'
    share = count / total
    words = cell_words(labels[true], labels[predicted], count, total)
    shown = f"{count:,}" if wide else ""
    if true == predicted:
        style = f"--s:{8 + 40 * share:.0f}%"
        return (
            f'<td class="td-right" style="{style}" data-column="{predicted}" data-said="{escape(words)}">{shown}</td>'
        )
    # The square root lifts small shares: one mistake in a hundred should still be seen.
    style = f"--s:{16 + 60 * share**0.5:.0f}%"
    if max(true, predicted) >= single:
        return (
            f'<td class="td-wrong" style="{style}" data-column="{predicted}" data-said="{escape(words)}">{shown}</td>'
        )
    button = (
        f'<button type="button" data-true="{escape(labels[true])}" data-predicted="{escape(labels[predicted])}" '
        f'aria-label="{escape(words)}">{shown}</button>'
    )
    return f'<td class="td-wrong" style="{style}" data-column="{predicted}" data-said="{escape(words)}">{button}</td>'


def cell_words(true: str, predicted: str, count: int, total: int) -> str:
    of = f"{count:,} of {total:,} rows of {true} ({count / total:.1%})".replace("%", " %")
    return f"{of} are recognised." if true == predicted else f"{of} are taken for {predicted}."
