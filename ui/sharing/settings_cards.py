"""Settings / Sharing: what guests may take of this computer, and tokens for programs."""

from html import escape
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.runs.store import open_store
from core.sharing.allowance import NAMES, read_allowance, save_allowance
from core.sharing.tokens import make_token, revoke_token, tokens
from core.workspace import Workspace
from ui.events import PRIVATE, presses
from ui.new_run.data_html import problem_html
from ui.words import moment

EVERY_SHARED = "every shared run"
LABELS = {
    "guest_rows": "Rows of a file that a guest may have labelled",
    "guest_upload_bytes": "Largest file of a guest, MB",
    "guests_bytes": "All files of guests, GB; they are kept for a day",
    "upload_bytes": "Largest file of yours, GB",
    "workspace_bytes": "Largest workspace, GB; beyond it no file is taken",
}
UNITS = {
    "guest_rows": 1,
    "guest_upload_bytes": 10**6,
    "guests_bytes": 10**9,
    "upload_bytes": 10**9,
    "workspace_bytes": 10**9,
}
"""What a 1 in the field stands for, in rows or bytes."""
ABOUT = (
    "<h3>Sharing</h3><p class=quiet>A run is shared in its own menu, behind More. Guests come in with "
    "<code>launch.py --listen --guest</code>, which prints a name and a password for them.</p>"
)
ABOUT_TOKENS = (
    "<h3>Tokens for programs</h3><p class=quiet>With a token a program asks a run's model over HTTP: "
    "<code>POST /api/v1/runs/RUN/predict</code>.</p>"
)


def build_sharing_settings(workspace: Workspace) -> None:
    """Build both cards in the current Blocks."""
    with gr.Column(elem_classes="card", elem_id="sharing"):
        gr.HTML(ABOUT, apply_default_css=False)
        with gr.Row():
            fields = [gr.Number(label=LABELS[name], minimum=0, min_width=240) for name in NAMES]
        said = gr.HTML(apply_default_css=False)
        with gr.Row(elem_classes="right"):
            save = gr.Button("Save", size="md", min_width=120)
    with gr.Column(elem_classes="card", elem_id="tokens"):
        gr.HTML(ABOUT_TOKENS, apply_default_css=False)
        listed = gr.HTML(apply_default_css=False, elem_id="token-list", js_on_load=REVOKE)
        with gr.Row():
            name = gr.Textbox(label="What it is for", max_lines=1, max_length=100, min_width=200)
            run = gr.Dropdown([EVERY_SHARED], value=EVERY_SHARED, label="What it may ask", min_width=200)
        made = gr.HTML(apply_default_css=False, elem_id="token-made")
        with gr.Row(elem_classes="right"):
            make = gr.Button("Make a token", size="md", min_width=120, elem_id="make-token")

    def show() -> list[Any]:
        allowance = read_allowance(workspace)
        runs = [(one.name, one.id) for one in open_store(workspace).runs(limit=200, states=["finished"])]
        choices = gr.update(choices=[(EVERY_SHARED, EVERY_SHARED), *runs])
        shown = [round(getattr(allowance, field) / unit, 3) for field, unit in UNITS.items()]
        return [*(int(value) if value == int(value) else value for value in shown), _tokens_html(workspace), choices]

    def keep(*values: float | None) -> str:
        try:
            given = zip(UNITS.items(), values, strict=True)
            save_allowance(workspace, {field: round((value or 0) * unit) for (field, unit), value in given})
        except UserError as error:
            return problem_html(error)
        return "<p class=quiet role=status>Kept; it holds from now on.</p>"

    def add(name: str, run: str) -> tuple[str, str]:
        _, text = make_token(workspace, name, None if run == EVERY_SHARED else run)
        return _tokens_html(workspace), (
            f"<p role=status>Copy it now, it is shown this once: <code class=path>{escape(text)}</code></p>"
        )

    def revoke(event: gr.EventData) -> tuple[str, str]:
        revoke_token(workspace, event.key)
        return _tokens_html(workspace), ""

    Context.root_block.load(show, None, [*fields, listed, run], **PRIVATE)
    save.click(keep, fields, said, **PRIVATE)
    make.click(add, [name, run], [listed, made], **PRIVATE)
    listed.click(revoke, None, [listed, made], **presses("tokens"))


REVOKE = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-key]');
  if (button) trigger('click', {key: button.dataset.key});
});
"""


def _tokens_html(workspace: Workspace) -> str:
    lines = "".join(
        f'<tr><th scope=row dir="auto">{escape(token.name)}</th><td>{escape(token.run or EVERY_SHARED)}</td>'
        f"<td class=n>{moment(token.created)}</td><td class=n>"
        f'<button type="button" data-key="{escape(token.id)}" aria-label="Revoke {escape(token.name)}">Revoke</button>'
        "</td></tr>"
        for token in tokens(workspace)
    )
    return f'<table class="room"><tbody>{lines}</tbody></table>' if lines else '<p class="quiet">There is none yet.</p>'
