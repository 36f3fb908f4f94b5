"""How well each class is found, as a table that sorts by any column. `gr.Dataframe` cuts its columns off on a phone."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

SORT_SCRIPT = (Path(__file__).parent / "class_table.js").read_text(encoding="utf-8")
COLUMNS = ("Class", "Rows", "Precision", "Recall", "F1", "Accuracy", "Predicted")
SEVERAL_COLUMNS = tuple(name for name in COLUMNS if name != "Accuracy")
"""Where a row may have several classes, and accuracy is of whole rows."""
CHANGES = ("Change of F1", "Change of recall")
"""Columns more where the model was measured before training."""
HINTS = {
    "Rows": "Rows of this class in the test part",
    "Precision": "Of the rows that were given this class, the share that has it",
    "Recall": "Of the rows that have this class, the share that was given it",
    "F1": "Precision and recall in one figure",
    "Accuracy": "Share of all its rows that are right; for single labels the same as recall",
    "Predicted": "Rows that the model gave this class",
    "Threshold": "The probability from which on a row is given this class, chosen on validation",
    "Change of F1": "F1 before training and after; sorts by the difference",
    "Change of recall": "Recall before training and after; sorts by the difference",
}


def class_table_html(per_class: Sequence[dict[str, Any]], untuned: Sequence[dict[str, Any]] = ()) -> str:
    """In the order given at first; a press on a heading sorts, another turns it round.

    untuned: the same figures before training, of a language model.
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
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _row(scores: dict[str, Any], before: dict[str, Any] | None) -> str:
    label = escape(scores["label"])
    last = ("predicted", "threshold") if "threshold" in scores else ("accuracy", "predicted")
    figures = [scores[name] for name in ("support", "precision", "recall", "f1", *last)]
    cells = "".join(
        f'<td data-value="{figure}">{f"{figure:,}" if isinstance(figure, int) else f"{figure:.3f}"}</td>'
        for figure in figures
    )
    changes = "".join(_change(before[name], scores[name]) for name in ("f1", "recall")) if before else ""
    name = f'<th scope="row" data-value="{label}"><span dir="auto" title="{label}">{label}</span></th>'
    return f"<tr>{name}{cells}{changes}</tr>"


def _change(before: float, after: float) -> str:
    return f'<td data-value="{after - before}">{before:.3f} → {after:.3f}</td>'
