"""How well each class is found, as a table that sorts by any column. `gr.Dataframe` cuts its columns off on a phone."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

SORT_SCRIPT = (Path(__file__).parent / "class_table.js").read_text(encoding="utf-8")
COLUMNS = ("Class", "Rows", "Precision", "Recall", "F1", "Accuracy", "Predicted")
HINTS = {
    "Rows": "Rows of this class in the test part",
    "Precision": "Of the rows that were given this class, the share that has it",
    "Recall": "Of the rows that have this class, the share that was given it",
    "F1": "Precision and recall in one figure",
    "Accuracy": "Share of all its rows that are right; for single labels the same as recall",
    "Predicted": "Rows that the model gave this class",
}


def class_table_html(per_class: Sequence[dict[str, Any]]) -> str:
    """In the order of the labels at first; a press on a heading sorts, another turns it round."""
    head = "".join(
        f'<th scope="col"{" class=td-number" if number else ""} title="{HINTS.get(name, "")}">'
        f'<button type="button" data-column="{number}">{name}<i aria-hidden="true"></i></button></th>'
        for number, name in enumerate(COLUMNS)
    )
    body = "".join(_row(scores) for scores in per_class)
    return (
        '<section class="td-classes"><h3>Each class</h3><div class="td-scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _row(scores: dict[str, Any]) -> str:
    label = escape(scores["label"])
    figures = (
        scores["support"], scores["precision"], scores["recall"], scores["f1"], scores["accuracy"], scores["predicted"],
    )  # fmt: skip
    cells = "".join(
        f'<td data-value="{figure}">{f"{figure:,}" if isinstance(figure, int) else f"{figure:.3f}"}</td>'
        for figure in figures
    )
    return f'<tr><th scope="row" data-value="{label}"><span dir="auto" title="{label}">{label}</span></th>{cells}</tr>'
