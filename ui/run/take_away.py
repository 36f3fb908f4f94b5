"""Run / Take away: a card for each format that fits the model, and the lines of code that load it.

An export is made in a process of its own (core.export_jobs), so that it survives a reload; each card shows how its own
is going, or what was made.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import gradio as gr

from core.errors import UserError
from core.export.base import hub_id, shown_base
from core.export.bundle import export_name
from core.export.llama_cpp import found_llama_cpp
from core.export.loading import loading_code, loading_language
from core.export_formats import (
    FORMATS,
    PRECISION_WORDS,
    PRECISIONS,
    Format,
    Wish,
    exported_facts,
    formats_of,
    wished_words,
)
from core.export_jobs import ExportJob, export_jobs, start_export, stop_exports
from core.files import folder_bytes
from core.model_facts import ModelFacts, run_model_facts
from core.workspace import RunFolder, Workspace
from ui.run.actions import QUIET, Updates, tell
from ui.run.downloads import offered
from ui.run.job_list import download_html, job_html, jobs_html
from ui.run.publish import PublishPart, build_publish, form_updates, publish_updates
from ui.run.report import filled, unfilled
from ui.words import size, time_left

WATCHING_SECONDS = 1.0
Way = Literal["zip", "folder"]


@dataclass(frozen=True)
class FormatCard:
    column: gr.Column
    text: gr.HTML
    precision: gr.Radio | None
    make: gr.Button


@dataclass(frozen=True)
class TakeAwayTab:
    empty: gr.HTML
    body: gr.Column
    cards: dict[Format, FormatCard]
    stop: gr.Button
    shown: gr.Radio
    code: gr.Code
    timer: gr.Timer
    publish: PublishPart

    def parts(self) -> list[Any]:
        """What `take_away_updates` may change."""
        own = [part for card in self.cards.values() for part in (card.column, card.text, card.make)]
        return [self.empty, self.body, *own, self.stop, self.shown, self.code, self.timer, *self.publish.parts()]


def build_take_away(workspace: Workspace) -> TakeAwayTab:
    empty = gr.HTML(apply_default_css=False)
    with gr.Column(visible=False, elem_id="run-take-away") as body:
        with gr.Row(elem_classes="td-take-head"):
            way = gr.Radio(
                [("a zip to download", "zip"), ("a folder on the computer that this page runs on", "folder")],
                value="zip", label="Give it to me as", min_width=260, elem_id="run-way",
            )  # fmt: skip
            stop = gr.Button("Stop making it", visible=False, min_width=140, scale=0)
        with gr.Row(elem_classes="td-cards"):
            cards = {name: _card(name) for name in FORMATS}
        shown = gr.Radio([], label="The lines that load it", elem_id="run-lines")
        code = gr.Code(language="python", show_label=False, interactive=False, max_lines=26, elem_id="run-code")
        publish = build_publish(workspace)
    timer = gr.Timer(WATCHING_SECONDS, active=False)
    tab = TakeAwayTab(empty, body, cards, stop, shown, code, timer, publish)
    _connect(workspace, tab, way)
    return tab


def _card(name: Format) -> FormatCard:
    choices = [(f"{choice}: {PRECISION_WORDS[choice]}", choice) for choice in PRECISIONS.get(name, ())]
    with gr.Column(elem_classes="td-card", min_width=280, visible=False) as column:
        text = gr.HTML(apply_default_css=False, elem_id=f"run-format-{name}")
        precision = None
        if choices:
            precision = gr.Radio(choices, value=choices[0][1], label="Precision", elem_id=f"run-precision-{name}")
        make = gr.Button(f"Make {_noun(name)}", elem_id=f"run-make-{name}")
    return FormatCard(column, text, precision, make)


def _noun(name: Format) -> str:
    return {"merged": "the merged model", "onnx": "the ONNX file", "gguf": "the GGUF file"}.get(name, f"the {name}")


def _connect(workspace: Workspace, tab: TakeAwayTab, way: gr.Radio) -> None:
    def making(name: Format) -> Any:
        def make(chosen: Way, precision: str, request: gr.Request) -> Updates:
            folder = workspace.run(request.query_params["run"])
            wish = Wish(name, precision if PRECISIONS.get(name) else "", chosen == "zip")
            try:
                if name == "gguf":
                    found_llama_cpp(precision)
                start_export(workspace, folder.id, wish, f"{export_name(folder)}-{wished_words(wish)}")
            except UserError as error:
                tell(error)
            return _job_updates(tab, folder)

        return make

    def halt(request: gr.Request) -> Updates:
        folder = workspace.run(request.query_params["run"])
        stop_exports(workspace, folder.id)
        return _job_updates(tab, folder)

    def look(request: gr.Request) -> Updates:
        return _job_updates(tab, workspace.run(request.query_params["run"]))

    def lines(name: Format, request: gr.Request) -> Any:
        return code_update(workspace.run(request.query_params["run"]), name)

    moving = [part for card in tab.cards.values() for part in (card.text, card.make)] + [tab.stop, tab.timer]
    for name, card in tab.cards.items():
        card.make.click(making(name), [way, card.precision or way], moving, **QUIET)
    tab.stop.click(halt, None, moving, **QUIET)
    tab.timer.tick(look, None, moving, concurrency_limit=None, **QUIET)
    tab.shown.input(lines, tab.shown, tab.code, trigger_mode="always_last", **QUIET)


def take_away_updates(tab: TakeAwayTab, folder: RunFolder) -> Updates:
    try:
        possible = formats_of(folder)
    except UserError:
        words = "When training has ended, the model can be taken from here: plain files that load without this program."
        return unfilled(tab.empty, tab.body, "Nothing to take yet", words)
    choices = [(FORMATS[name].title, name) for name in possible]
    return (
        filled(tab.empty, tab.body)
        | {card.column: gr.update(visible=name in possible) for name, card in tab.cards.items()}
        | _job_updates(tab, folder)
        | {tab.shown: gr.update(choices=choices, value=possible[0]), tab.code: code_update(folder, possible[0])}
        | publish_updates(tab.publish, folder)
        | form_updates(tab.publish, folder)
    )


def code_update(folder: RunFolder, name: Format) -> Any:
    facts = exported_facts(run_model_facts(folder), name)
    precision = next(iter(PRECISIONS.get(name, ())), "")
    place = f"{export_name(folder)}-{wished_words(Wish(name, precision))}"
    return gr.update(value=loading_code(facts, place, name, precision), language=loading_language(name))


def _job_updates(tab: TakeAwayTab, folder: RunFolder) -> Updates:
    jobs = export_jobs(folder.workspace, folder.id)
    facts, possible = run_model_facts(folder), formats_of(folder)
    updates: Updates = {}
    running = False
    for name, card in tab.cards.items():
        if name not in possible:
            continue
        own = [job for job in jobs if job.wish.format == name]
        busy = any(job.state == "running" for job in own)
        running = running or busy
        updates[card.text] = card_html(folder, facts, name) + jobs_html(map(_job, own))
        updates[card.make] = gr.update(interactive=not busy, variant="primary" if name == possible[0] else "secondary")
    return updates | {tab.stop: gr.update(visible=running), tab.timer: gr.Timer(active=running)}


def card_html(folder: RunFolder, facts: ModelFacts, name: Format) -> str:
    """What a format is for, what it holds, and where it works."""
    words = FORMATS[name]
    inside = {"answer": "prompt, class names, ", "classify": "class names, ", "chat": ""}[facts.task]
    bytes_ = _bytes(folder, name)
    return (
        f'<div class="td-card-text"><h3>{escape(words.title)}<span>{f"about {size(bytes_)}" if bytes_ else ""}</span>'
        f"</h3><p>{escape(words.purpose)}</p>"
        f'<p class="td-hint">{escape(words.holds)}, {inside}model card.</p>'
        f'<p class="td-hint">Works in: <b>{escape(words.works_in)}</b></p>{_needs_html(facts, name)}</div>'
    )


def _needs_html(facts: ModelFacts, name: Format) -> str:
    """What is needed beside it, or to make it."""
    if name == "gguf":
        try:
            found_llama_cpp("q8_0")
        except UserError as error:
            return f'<p class="td-hint"><b>{escape(error.what)}</b> {escape(error.todo)}</p>'
        return ""
    if not exported_facts(facts, name).is_adapter:
        return ""
    base = f"<b>{escape(shown_base(facts))}</b>"
    where = "which is downloaded from the hub" if hub_id(facts) else "which is a folder on this computer"
    return f'<p class="td-hint">Needs its base model {base}, {where}.</p>'


def _bytes(folder: RunFolder, name: Format) -> int:
    """About how large it becomes; 0 where that hangs on the base."""
    if name == "adapter" and folder.adapter.is_dir():
        return folder_bytes(folder.adapter)
    if name in ("merged", "gguf") and (folder.model / "adapter_config.json").is_file():
        return 0
    return folder_bytes(folder.model) // (2 if name == "merged" else 1)


def _job(job: ExportJob) -> str:
    progress = job.progress
    if job.state == "failed" and job.error:
        words = f"{job.error['what']} {job.error['todo']}"
    elif job.state == "running":
        count = f", {progress.done:,} of {progress.total:,}" if progress.total else ""
        left = f", {time_left(progress.seconds_left)}" if progress.seconds_left is not None else " …"
        words = f"{progress.words or 'starting'}{count}{left}"
    else:
        words = "made" if job.state == "finished" else "stopped"
    old = (
        "<p>You have changed which rows get a label since this was made: make it again to include that.</p>"
        if job.is_outdated and job.output
        else ""
    )
    name = f"{'zip' if job.wish.zipped else 'folder'}{f', {job.wish.precision}' if job.wish.precision else ''}"
    notes = "".join(f"<p>{escape(note)}</p>" for note in job.notes)
    inside = f"{_output(job.output) if job.output else ''}{old}{notes}"
    return job_html(job.state, name, words, progress.done, progress.total, inside)


def _output(output: Path) -> str:
    if output.suffix != ".zip":
        return f'<p class="td-place">Written to <code>{escape(str(output))}</code></p>'
    return download_html("gradio_api/file=" + quote(offered(output)), output.name, output.stat().st_size)
