"""What guests see: the runs that are shared with them, and of each its report, its model to try, and a file to label.

A page of its own, with none of the owner's functions on it. The owner sees it too, as guests do.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.prediction_service import PredictionService
from core.runs.store import ENDED, Run, open_store
from core.sharing.sessions import OWNER
from core.workspace import RunFolder, Workspace
from ui.run.actions import QUIET, Updates
from ui.run.header import header_html
from ui.run.live import Seen, changed
from ui.run.try_it import TryTab, build_try_it, try_updates
from ui.sharing.roles import open_to_guests, seen_run, visitor
from ui.words import figure_words

STYLE = Path(__file__).with_name("shared.css").read_text(encoding="utf-8")
RUN_STYLE = (Path(__file__).parents[1] / "run" / "run.css").read_text(encoding="utf-8")
WATCHING_SECONDS = 5.0
RESTING_SECONDS = 60.0
NOTHING = '<div class="nothing-yet"><h2>Nothing is shared yet.</h2><p>Ask the owner to share a run with you.</p></div>'
NOT_YET = '<p class="td-hint">The report appears here once the run has finished.</p>'


@dataclass(frozen=True)
class SharedPage:
    top: gr.HTML
    listed: gr.HTML
    body: gr.Column
    head: gr.HTML
    report: gr.HTML
    try_it: TryTab
    timer: gr.Timer
    stage: gr.State
    """Where it changes, all of the page is looked at anew."""
    seen: gr.State

    def watched(self) -> list[Any]:
        return [
            self.top, self.listed, self.body, self.head, self.report, self.timer, self.seen, *self.try_it.parts(),
        ]  # fmt: skip


def build_shared(workspace: Workspace, service: PredictionService) -> None:
    """Build the page in the current Blocks; it shows the run that the address names (`/shared?run=ID`)."""
    page = _build(workspace, service)

    @open_to_guests
    def watch(seen: Seen, request: gr.Request) -> Updates:
        changes: Updates = {page.seen: seen}
        if changed(seen, "top", "shown"):
            changes[page.top] = _top_html()
        try:
            folder = seen_run(workspace, request) if request.query_params.get("run") else None
        except UserError as error:
            return changes | _listed(page, workspace, error.what)
        if folder is None:
            return changes | _listed(page, workspace, "")
        return changes | _watched(page, folder, open_store(workspace).run(folder.id), seen)

    @open_to_guests
    def glance(seen: Seen, request: gr.Request) -> Updates:
        """Gradio builds every output of an event anew, changed or not, so that few cost a third of all of them."""
        try:
            folder = seen_run(workspace, request)
        except UserError as error:
            return {page.seen: seen, page.stage: error.what}
        run, changes = open_store(workspace).run(folder.id), {page.seen: seen}
        head, stage = header_html(run), _stage(folder, run)
        if changed(seen, "head", head):
            changes |= {page.head: head}
        if changed(seen, "glanced", stage):
            changes |= {page.stage: stage}
        return changes

    for trigger in (Context.root_block.load, page.stage.change):
        trigger(watch, page.seen, page.watched(), concurrency_limit=None, **QUIET)
    page.timer.tick(glance, page.seen, [page.seen, page.head, page.stage], concurrency_limit=None, **QUIET)


def _build(workspace: Workspace, service: PredictionService) -> SharedPage:
    gr.HTML(f"<style>{RUN_STYLE}{STYLE}</style>", elem_classes="td-style", apply_default_css=False)
    top = gr.HTML(apply_default_css=False, elem_id="shared-top")
    listed = gr.HTML(apply_default_css=False, visible=False, elem_id="shared-list")
    with gr.Column(elem_id="run-page", visible=False) as body:
        head = gr.HTML(apply_default_css=False)
        with gr.Tabs(elem_id="run-tabs"):
            with gr.Tab("Report", id="report"):
                report = gr.HTML(NOT_YET, apply_default_css=False)
            with gr.Tab("Try it", id="try"):
                try_it = build_try_it(workspace, service)
    timer, stage = gr.Timer(WATCHING_SECONDS), gr.State("")
    return SharedPage(top, listed, body, head, report, try_it, timer, stage, gr.State({}))


def _top_html() -> str:
    """Who is here, and the way out where there was a way in."""
    who = visitor()
    if who == OWNER:
        return '<div class="shared-top"><a href="/shared">Tunedesk</a><span>as guests see it</span></div>'
    way = '<a href="/">Back</a>' if who.role == "owner" else ""
    return (
        f'<div class="shared-top"><a href="/shared">Tunedesk</a><span dir="auto">{escape(who.name)}</span>{way}'
        '<form method="post" action="/logout"><button type="submit">Log out</button></form></div>'
    )


def _listed(page: SharedPage, workspace: Workspace, wrong: str) -> Updates:
    """The runs to choose from."""
    runs = open_store(workspace).shared_runs()
    lines = "".join(
        f'<li><a href="/shared?run={quote(run.id)}" dir="auto">{escape(run.name)}</a>'
        f"<span>{escape(figure_words(run.summary) or run.state)}</span></li>"
        for run in runs
    )
    said = f'<p class="td-hint" role="alert">{escape(wrong)}</p>' if wrong else ""
    chosen = f"<h1>Shared with you</h1>{said}<ul>{lines}</ul>" if runs else said + NOTHING
    return {
        page.listed: gr.update(value=chosen, visible=True), page.body: gr.update(visible=False),
        page.timer: gr.Timer(active=False),
    }  # fmt: skip


def _watched(page: SharedPage, folder: RunFolder, run: Run, seen: Seen) -> Updates:
    """What the browser does not show yet. Cheap where nothing has changed: many guests may look."""
    changes: Updates = {}
    head = header_html(run)
    if changed(seen, "head", head):
        changes[page.head] = head
    if changed(seen, "body", "shown"):  # a glance may have come first, and have sent the head
        changes[page.body] = gr.update(visible=True)
    stage = _stage(folder, run)
    changed(seen, "glanced", stage)
    if changed(seen, "stage", stage):
        changes[page.report] = _report_html(folder)
        changes[page.timer] = gr.Timer(RESTING_SECONDS if run.state in ENDED else WATCHING_SECONDS)
        changes |= try_updates(page.try_it, folder)
    return changes


def _stage(folder: RunFolder, run: Run) -> str:
    """What all of the page depends on, but for the head."""
    return f"{run.state} {(folder.report / 'report.html').exists()}"


def _report_html(folder: RunFolder) -> str:
    """The report as the file that it is, in a frame that can reach nothing of the page around it."""
    if not (folder.report / "report.html").exists():
        return NOT_YET
    address = f"/shared/report?run={quote(folder.id)}"
    return (
        f'<iframe class="shared-report" title="Report" src="{address}" sandbox="allow-scripts"></iframe>'
        f'<p class="td-hint"><a href="{address}" target="_blank" rel="noopener">The report alone</a></p>'
    )
