"""The switch in a run's menu that lets guests see the run."""

from html import escape
from urllib.parse import quote

import gradio as gr

from core.runs.store import open_store
from core.workspace import Workspace
from ui.events import CHOSEN, PRIVATE


def build_share_switch(workspace: Workspace, opened: gr.Button) -> None:
    """Build it in the menu that `opened` opens."""
    shared = gr.Checkbox(label="Guests see this run", container=False, elem_id="run-shared")
    words = gr.HTML(apply_default_css=False)

    def look(request: gr.Request) -> tuple[bool, str]:
        run = open_store(workspace).run(request.query_params["run"])
        return run.shared, _words(run.id, run.shared)

    def switch(on: bool, request: gr.Request) -> str:
        open_store(workspace).share_run(request.query_params["run"], on)
        return _words(request.query_params["run"], on)

    opened.click(look, None, [shared, words], **PRIVATE)
    shared.input(switch, shared, words, **CHOSEN)


def _words(run_id: str, is_shared: bool) -> str:
    if not is_shared:
        return '<p class="td-hint">Its report, its model to try, and labelling a small file.</p>'
    return f'<p class="td-hint">At <a href="/shared?run={quote(run_id)}">/shared?run={escape(run_id)}</a>.</p>'
