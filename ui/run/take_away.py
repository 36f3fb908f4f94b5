"""Run / Take away: the trained model as a folder or a zip, and the lines of code that load it."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import UserError
from core.export.base import hub_id, shown_base
from core.export.bundle import export_folder, export_name, export_zip
from core.export.loading import loading_code, works_in
from core.model_facts import MODEL_FACTS_FILE, ModelFacts, run_model_facts
from core.workspace import RunFolder, Workspace
from ui.run.actions import Updates, tell
from ui.run.downloads import offered
from ui.run.report import filled, read_report, unfilled
from ui.run.words import size


@dataclass(frozen=True)
class TakeAwayTab:
    empty: gr.HTML
    body: gr.Column
    zip_card: gr.HTML
    make_zip: gr.Button
    zip: gr.DownloadButton
    folder_card: gr.HTML
    code: gr.Code

    def parts(self) -> list[Any]:
        """What `take_away_updates` may change."""
        return [self.empty, self.body, self.zip_card, self.make_zip, self.zip, self.folder_card, self.code]


def build_take_away(workspace: Workspace) -> TakeAwayTab:
    quiet: dict[str, Any] = {"api_visibility": "private"}
    empty = gr.HTML(apply_default_css=False)
    with gr.Column(visible=False, elem_id="run-take-away") as body:
        with gr.Row(elem_classes="td-cards"):
            with gr.Column(elem_classes="td-card", min_width=280):
                zip_card = gr.HTML(apply_default_css=False)
                make_zip = gr.Button("Make the zip", variant="primary", elem_id="run-make-zip")
                zip_button = gr.DownloadButton(
                    "Download the zip", variant="primary", visible=False, elem_id="run-download-zip"
                )
            with gr.Column(elem_classes="td-card", min_width=280):
                folder_card = gr.HTML(apply_default_css=False)
                make_folder = gr.Button("Write the folder", elem_id="run-make-folder")
        code = gr.Code(
            language="python", label="The lines that load it", interactive=False, max_lines=26, elem_id="run-code"
        )
    tab = TakeAwayTab(empty, body, zip_card, make_zip, zip_button, folder_card, code)

    def zipped(request: gr.Request) -> Updates:
        folder = workspace.run(request.query_params["run"])
        try:
            return _zip_updates(tab, folder, export_zip(folder, _target(folder, ".zip")))
        except UserError as error:
            tell(error)
            return _zip_updates(tab, folder, None)

    def written(request: gr.Request) -> str:
        folder = workspace.run(request.query_params["run"])
        try:
            return folder_html(folder, export_folder(folder, _target(folder, "")))
        except UserError as error:
            tell(error)
            return folder_html(folder, None)

    make_zip.click(zipped, None, [zip_card, make_zip, zip_button], show_progress_on=make_zip, **quiet)
    make_folder.click(written, None, folder_card, show_progress_on=make_folder, **quiet)
    return tab


def take_away_updates(tab: TakeAwayTab, folder: RunFolder) -> Updates:
    if read_report(folder) is None:
        words = "When training has ended, the model can be taken from here: plain files that load without this program."
        return unfilled(tab.empty, tab.body, "Nothing to take yet", words)
    zip_path, folder_path = _target(folder, ".zip"), _target(folder, "")
    return (
        filled(tab.empty, tab.body)
        | _zip_updates(tab, folder, zip_path if _is_of_today(zip_path, folder) else None)
        | {
            tab.folder_card: folder_html(folder, folder_path if _is_of_today(folder_path, folder) else None),
            tab.code: loading_code(run_model_facts(folder), folder_path.name),
        }
    )


def _target(folder: RunFolder, suffix: str) -> Path:
    return folder.exports / f"{export_name(folder)}{suffix}"


def _is_of_today(made: Path, folder: RunFolder) -> bool:
    """Whether an export is there and no older than what the model was last told to answer."""
    return made.exists() and made.stat().st_mtime_ns >= (folder.model / MODEL_FACTS_FILE).stat().st_mtime_ns


def _zip_updates(tab: TakeAwayTab, folder: RunFolder, made: Path | None) -> Updates:
    bytes_ = made.stat().st_size if made else _model_bytes(folder)
    return {
        tab.zip_card: card_html("Zip", "One file to send or to keep.", bytes_, run_model_facts(folder)),
        tab.make_zip: gr.update(visible=made is None),
        tab.zip: gr.update(visible=True, value=offered(made)) if made else gr.update(visible=False),
    }


def folder_html(folder: RunFolder, made: Path | None) -> str:
    place = f'<p class="td-place">Written to <code>{escape(str(made))}</code></p>' if made else ""
    words = "On the computer that this page runs on."
    return card_html("Folder", words, _model_bytes(folder), run_model_facts(folder)) + place


def card_html(title: str, words: str, bytes_: int, facts: ModelFacts) -> str:
    """What one way of taking the model holds, and where it works."""
    weights = "Adapter" if facts.is_adapter else "Weights"
    inside = {"answer": "prompt, class names, ", "classify": "class names, ", "chat": ""}[facts.task]
    return (
        f'<div class="td-card-text"><h3>{escape(title)}<span>{size(bytes_)}</span></h3><p>{escape(words)}</p>'
        f'<p class="td-hint">{weights} (safetensors), tokenizer, {inside}model card.</p>'
        f'<p class="td-hint">Works in: <b>{works_in(facts)}</b></p>{_needs_html(facts)}</div>'
    )


def _needs_html(facts: ModelFacts) -> str:
    """What an adapter cannot do by itself."""
    if not facts.is_adapter:
        return ""
    base = f"<b>{escape(shown_base(facts))}</b>"
    where = "which is downloaded from the hub" if hub_id(facts) else "which is a folder on this computer"
    return (
        f'<p class="td-hint">Needs its base model {base}, {where}. Merged weights and GGUF, for other programs, '
        "cannot be made here yet.</p>"
    )


def _model_bytes(folder: RunFolder) -> int:
    return sum(path.stat().st_size for path in folder.model.rglob("*") if path.is_file())
