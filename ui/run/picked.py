"""What a press in the report asks of Mistakes: the rows of a cell, of a class, of a bar of the reliability diagram."""

from pathlib import Path
from typing import TypedDict

import gradio as gr

PICK_SCRIPT = (Path(__file__).parent / "pick.js").read_text(encoding="utf-8")
"""For `gr.HTML(js_on_load=...)`: elements with data-true, data-predicted, data-least or data-most ask when pressed."""


class Picked(TypedDict):
    """None where a filter lets everything pass."""

    true: str | None
    predicted: str | None
    least: float | None
    """Confidence from, 0 to 1."""
    most: float | None
    """Confidence up to, 0 to 1."""


def picked(event: gr.EventData) -> Picked:
    return Picked(true=event.true, predicted=event.predicted, least=event.least, most=event.most)
