"""How what is pressed and chosen reaches the program, where Gradio's own way would lose some of it without a word.

While an event is on its way Gradio drops the next of the same kind (trigger mode "once"), which is right for a button
that starts something. A choice in a form would then be shown and not kept, a tick on the second of two rows be gone.
"always_last" sends the newest state of the inputs when the way is free again, but with the event's data of the *first*
(js/core/src/dependency.ts, `dispatch(event_meta)`), so it is for events that carry none.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
CHOSEN = PRIVATE | {"trigger_mode": "always_last"}
"""For what a person sets: the last choice is the one that is kept."""
GO = "(address) => { if (address) window.location.href = address; }"
"""What a browser does with an address that an event has given."""


def looks(about: str) -> dict[str, Any]:
    """For looks at a thing that changes: what one finds does not arrive after what was pressed since.

    about: what they are about; looks and presses with the same word wait for each other.
    """
    return PRIVATE | {"concurrency_limit": 1, "concurrency_id": about}


def presses(about: str) -> dict[str, Any]:
    """For presses that each mean a thing of their own, such as rows of a list: none is dropped."""
    return looks(about) | {"trigger_mode": "multiple"}


def chosen_in_turn(about: str) -> dict[str, Any]:
    """For what a person sets in a form that presses fill anew: Gradio's queue takes up events of different kinds in an
    order drawn by chance (queueing.py, `get_events`), and a choice could be kept before the press that came before it.
    """
    return looks(about) | {"trigger_mode": "always_last"}


def fills(
    event: Callable[..., Any], fn: Callable[..., Any], inputs: gr.Textbox, outputs: Sequence[Any], **how: Any
) -> Any:
    """Wire an event that fills a form anew. Until it has, the form takes nothing: it would be overwritten.

    Returns the event, for what follows it.
    """
    filled = event(fn, inputs, outputs, js="(sent) => { tunedeskHold(); return sent; }", **how)
    filled.then(None, None, None, js="() => { tunedeskFree(); return []; }", **PRIVATE)
    return filled


def without_sent(view: dict[Any, Any], inputs: Sequence[Any], sent: Sequence[Any]) -> dict[Any, Any]:
    """New values by component, but those that are as the page sent them: a choice made there since would be undone.

    inputs: the components of an event. sent: their values as it began.
    """
    kept = dict(view)
    for part, value in zip(inputs, sent, strict=True):
        update = view.get(part)
        if isinstance(update, dict) and update.get("value") == value:
            kept[part] = {name: change for name, change in update.items() if name != "value"}
    return kept
