"""Settings: light or dark, where everything lies and how much room it takes, and what the doctor says."""

import platform
import shutil
from functools import cache, partial
from html import escape
from typing import Any

import gradio as gr
from gradio.context import Context

from core import doctor
from core.files import folder_bytes
from core.workspace import Workspace
from ui.events import PRIVATE
from ui.hub_login import build_hub_login
from ui.new_run.data_html import busy_html
from ui.past_forecasts import past_forecasts_html
from ui.sharing.settings_cards import build_sharing_settings
from ui.words import size

SIGNS = {"ok": "✓", "note": "i", "problem": "!"}
SET_THEME = "(theme) => { window.tunedeskTheme(theme); return theme; }"
GET_THEME = "() => window.tunedeskThemeNow()"
PURPOSES = {
    "runs": "models, reports and logs of every run",
    "uploads": "files that were uploaded",
    "tables": "tables as they were read; made anew when needed",
    "samples": "sample data",
}


def build_settings(workspace: Workspace) -> None:
    """Build the page in the current Blocks."""
    with gr.Column(elem_id="settings-page"):
        gr.HTML("<h1>Settings</h1>", apply_default_css=False)
        with gr.Column(elem_classes="card"):
            theme = gr.Radio(
                [("As the system", "system"), ("Light", "light"), ("Dark", "dark")], value="system", label="Appearance",
                elem_id="theme-choice",
            )  # fmt: skip
        build_sharing_settings(workspace)
        build_hub_login()
        room = gr.HTML(_room_html(workspace, None), apply_default_css=False, elem_classes="card", elem_id="room")
        past = gr.HTML(
            past_forecasts_html(workspace), apply_default_css=False, elem_classes="card", elem_id="forecasts"
        )
        with gr.Column(elem_classes="card"):
            findings = gr.HTML(_doctor_html(None), apply_default_css=False, elem_id="doctor")
            with gr.Row(elem_classes="right"):
                again = gr.Button("Look again", size="md", min_width=120)

    def measure() -> str:
        return _room_html(workspace, {name: folder_bytes(workspace.root / name) for name in PURPOSES})

    def examine() -> str:
        return _doctor_html(_examined(workspace))

    def examine_again() -> Any:
        _examined.cache_clear()
        yield _doctor_html(None)
        yield examine()

    load = Context.root_block.load
    load(None, None, theme, js=GET_THEME, **PRIVATE)
    load(measure, None, room, **PRIVATE)
    load(partial(past_forecasts_html, workspace), None, past, **PRIVATE)
    load(examine, None, findings, **PRIVATE)
    again.click(examine_again, None, findings, **PRIVATE)
    theme.input(None, theme, None, js=SET_THEME, **PRIVATE)


@cache
def _examined(workspace: Workspace) -> dict[str, Any]:
    """The doctor's answer, kept: asking torch takes seconds."""
    return doctor.examine(str(workspace.root))


def _room_html(workspace: Workspace, sizes: dict[str, int] | None) -> str:
    """The workspace with the size of each folder; without sizes while they are added up."""
    lines = "".join(
        f"<tr><th scope=row>{name}</th><td>{what}</td>"
        f"<td class=n>{'…' if sizes is None else size(sizes[name])}</td></tr>"
        for name, what in PURPOSES.items()
    )
    free = size(shutil.disk_usage(workspace.root).free)
    return (
        f'<h3>Workspace</h3><p class="path">{escape(str(workspace.root))}</p><table class="room"><tbody>{lines}'
        f"<tr><th scope=row>free</th><td>on this disk</td><td class=n>{free}</td></tr></tbody></table>"
        '<p class="quiet">Another one is chosen at the start, with --workspace DIR or TUNEDESK_HOME.</p>'
    )


def _doctor_html(content: dict[str, Any] | None) -> str:
    if content is None:
        return f"<h3>This computer</h3>{busy_html('Looking at Python, packages, GPU, disk and hub')}"
    items = "".join(
        f'<li class="{finding["state"]}"><i aria-hidden="true">{SIGNS[finding["state"]]}</i><div><strong>'
        f"{escape(finding['name'])}</strong> {escape(finding['what'])} "
        f"<span>{escape(finding['todo'])}</span></div></li>"
        for finding in content["findings"]
    )
    versions = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td class=n>{escape(version or 'not installed')}</td></tr>"
        for name, version in {"python": platform.python_version(), **content["versions"]}.items()
    )
    return (
        f'<h3>This computer</h3><ul class="findings">{items}</ul><details class="versions"><summary>Versions</summary>'
        f'<table class="room"><tbody>{versions}</tbody></table></details>'
    )
