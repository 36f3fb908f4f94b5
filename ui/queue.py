"""The queue on the Runs page: what runs now, what waits and for what; a run moves up, down, to the front, or out."""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.runs.queue import Waiting, how_far, move, move_by, waiting
from core.runs.store import ACTIVE, Run, Store, open_store
from core.runs.supervisor import stop
from core.workspace import Workspace
from ui.events import looks, presses
from ui.run.actions import tell

SCRIPT = Path(__file__).with_name("queue.js").read_text(encoding="utf-8")
WATCHING_SECONDS = 2.0


def build_queue(workspace: Workspace) -> None:
    """A section that is there while runs wait."""
    store = open_store(workspace)
    section = gr.HTML(apply_default_css=False, js_on_load=SCRIPT, elem_id="queue", visible=False)
    shown, timer = gr.State(""), gr.Timer(WATCHING_SECONDS)

    def fill(shown: str) -> tuple[Any, str]:
        html = queue_html(store)
        # What the browser shows already is not sent again: its focus would be disturbed.
        return (gr.skip(), shown) if html == shown else (gr.update(value=html, visible=bool(html)), html)

    def act(shown: str, event: gr.EventData) -> tuple[Any, str]:
        try:
            if event.act == "out":
                stop(workspace, event.key)
            elif event.act == "first":
                move(store, event.key, 1)
            else:
                move_by(store, event.key, -1 if event.act == "up" else 1)
        except UserError as error:  # it has just begun
            tell(error)
        return fill(shown)

    gr.on([Context.root_block.load, timer.tick], fill, shown, [section, shown], **looks("queue"))
    section.click(act, shown, [section, shown], **presses("queue"))


def queue_html(store: Store) -> str:
    """What runs and what waits; '' where nothing waits."""
    found = waiting(store)
    if not found:
        return ""
    active = "".join(_active(run) for run in store.runs(limit=100, states=ACTIVE))
    rows = "".join(_row(one, len(found)) for one in found)
    count = f"{len(found)} run{'s' if len(found) > 1 else ''} waiting"
    return f'<h2>Queue <small>{count}</small></h2><ol class="queue">{active}{rows}</ol>'


def _active(run: Run) -> str:
    words = ", ".join(["stopping"] if run.state == "stopping" else ["running", *how_far(run)])
    return (
        f'<li class="now"><span class="dot {run.state}"></span><p><a href="/?run={escape(run.id)}" dir="auto">'
        f"{escape(run.name)}</a><small>{escape(words)}</small></p></li>"
    )


def _row(one: Waiting, count: int) -> str:
    run, first, last = one.run, one.before == 0, one.before == count - 1
    buttons = "".join(
        f'<button type="button" data-do="{act}" data-key="{escape(run.id)}" title="{title}" '
        f'aria-label="{title}: {escape(run.name)}"{" disabled" if off else ""}>{shown}</button>'
        for act, shown, title, off in (
            ("first", "First", "Start it next", first),
            ("up", "↑", "Move up", first),
            ("down", "↓", "Move down", last),
            ("out", "Take out", "Take out of the queue", False),
        )
    )
    return (
        f'<li><span class="place">{one.before + 1}</span><p><a href="/?run={escape(run.id)}" dir="auto">'
        f"{escape(run.name)}</a><small>{escape(one.words)}</small></p><span class=moves>{buttons}</span></li>"
    )
