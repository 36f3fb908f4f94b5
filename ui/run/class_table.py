"""How well each class is found, as a table that sorts by any column. `gr.Dataframe` cuts its columns off on a phone."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.evaluation.tables import CHANGES, averages, bar_words, change_cells
from ui.run.picked import PICK_SCRIPT

SORT_SCRIPT = (Path(__file__).parent / "class_table.js").read_text(encoding="utf-8") + PICK_SCRIPT
COLUMNS = ("Class", "Rows", "Precision", "Recall", "F1", "Accuracy", "Predicted")
SEVERAL_COLUMNS = tuple(name for name in COLUMNS if name != "Accuracy")
"""Where a row may have several classes, and accuracy is of whole rows."""
HINTS = {
    "Class": "Press a class to see its mistakes",
    "Rows": "Rows of this class in the test part",
    "Precision": "Of the rows that were given this class, the share that has it",
    "Recall": "Of the rows that have this class, the share that was given it",
    "F1": "Precision and recall in one figure",
    "Accuracy": "Share of all its rows that are right; for single labels the same as recall",
    "Predicted": "Rows that the model gave this class",
    "Threshold": "The probability from which on a row is given this class, chosen on validation",
    "F1 before": "F1 before training",
    "Change of F1": "F1 after training less that before",
    "Recall before": "Recall before training",
    "Change of recall": "Recall after training less that before",
}


def class_table_html(
    per_class: Sequence[dict[str, Any]],
    untuned: Sequence[dict[str, Any]] = (),
    test: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """In the order given at first; a press on a heading sorts, another turns it round.

    untuned: the same figures before training, of a language model. test: of report.json, for the means below.
    """
    columns = (*COLUMNS, *CHANGES) if untuned else COLUMNS
    if per_class and "threshold" in per_class[0]:
        columns = (*SEVERAL_COLUMNS, "Threshold")
    earlier = untuned or [None] * len(per_class)
    head = "".join(
        f'<th scope="col"{" class=td-number" if number else ""} title="{HINTS.get(name, "")}">'
        f'<button type="button" data-column="{number}">{name}<i aria-hidden="true"></i></button></th>'
        for number, name in enumerate(columns)
    )
    body = "".join(_row(scores, before) for scores, before in zip(per_class, earlier, strict=True))
    return (
        '<section class="td-classes"><h3>Each class</h3><div class="td-scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot>{_means(test, len(columns))}</tfoot></table></div>"
        "</section>"
    )


def _means(test: Mapping[str, Any], columns: int) -> str:
    if not test:
        return ""
    return "".join(
        f'<tr><th scope="row">{words}</th><td>{rows:,}</td>{"".join(f"<td>{figure:.3f}</td>" for figure in figures)}'
        f"{'<td></td>' * (columns - 5)}</tr>"
        for words, rows, figures in averages(test)
    )


def _row(scores: dict[str, Any], before: dict[str, Any] | None) -> str:
    label = escape(scores["label"])
    last = ("predicted", "threshold") if "threshold" in scores else ("accuracy", "predicted")
    figures = {name: scores[name] for name in ("support", "precision", "recall", "f1", *last)}
    cells = "".join(_f1_cell(scores, before) if name == "f1" else _cell(figure) for name, figure in figures.items())
    changes = change_cells(before, scores) if before else ""
    name = (
        f'<th scope="row" data-value="{label}"><button type="button" data-true="{label}" dir="auto" '
        f'title="{label}: see its mistakes">{label}</button></th>'
    )
    return f"<tr>{name}{cells}{changes}</tr>"


def _cell(figure: float) -> str:
    return f'<td data-value="{figure}">{f"{figure:,}" if isinstance(figure, int) else f"{figure:.3f}"}</td>'


def _f1_cell(scores: dict[str, Any], before: dict[str, Any] | None) -> str:
    """With a bar, in which a mark says where it was before training."""
    mark = f'<u style="left:{before["f1"] * 100:.1f}%"></u>' if before else ""
    bar = f'<span class="td-track"><i style="width:{scores["f1"] * 100:.1f}%"></i>{mark}</span>'
    words = escape(bar_words(scores, before))
    return f'<td class="td-barred" data-value="{scores["f1"]}" title="{words}">{bar}{scores["f1"]:.3f}</td>'
