"""The Run screen: assembles head and tabs, and keeps them up to date from the store.

Everything shown is read from the store and the run's folder under the id in the address, so a reload, a second browser
and a restarted server all find the same. What the browser shows already is not sent again.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.evaluation.row_filter import RowFilter
from core.prediction_service import PredictionService
from core.runs.queue import waiting_words
from core.runs.store import ENDED, Run, Store, open_store
from core.runs.supervisor import can_finish
from core.workspace import RunFolder, Workspace
from ui.run.actions import QUIET, Actions, Updates, build_actions, button_updates
from ui.run.header import course_html, header_html, missing_html, trouble_html
from ui.run.label_file import label_file_updates
from ui.run.live import Live, Seen, build_live, changed, live_updates
from ui.run.mistakes import MistakesTab, build_mistakes, mistakes_updates, show_rows
from ui.run.picked import Picked, picked
from ui.run.report import ReportTab, build_report, report_updates
from ui.run.take_away import TakeAwayTab, build_take_away, take_away_updates
from ui.run.try_it import TryTab, build_try_it, try_updates

STYLE = (Path(__file__).parent / "run.css").read_text(encoding="utf-8")
WATCHING_SECONDS = 1.5
RESTING_SECONDS = 10.0
TABS = {"live": "Live", "report": "Report", "mistakes": "Mistakes", "try": "Try it", "take": "Take away"}
KEEP_TAB = """
element.closest('#run-page').addEventListener('click', (event) => {
  const tab = event.target.closest('#run-tabs [role=tab]');
  if (!tab) return;
  const address = new URL(location.href);
  address.searchParams.set('tab', tab.dataset.tabId);
  history.replaceState(null, '', address);
});
"""
"""A pressed tab goes into the address, so that a reload opens it again. (`Tab.select` also fires unpressed.)"""

AT_MISTAKES = """() => {
  const address = new URL(location.href);
  address.searchParams.set('tab', 'mistakes');
  history.replaceState(null, '', address);
}"""
"""So does a tab that a link opened."""


@dataclass(frozen=True)
class Page:
    missing: gr.HTML
    body: gr.Column
    head: gr.HTML
    course: gr.HTML
    trouble: gr.HTML
    actions: Actions
    tabs: gr.Tabs
    live: Live
    report: ReportTab
    mistakes: MistakesTab
    try_it: TryTab
    take_away: TakeAwayTab
    timer: gr.Timer
    seen: gr.State
    stage: gr.State
    """Changes when the tabs after Live have something new to show."""

    def watched(self) -> list[Any]:
        """What a tick of the timer may change."""
        return [
            self.missing, self.body, self.head, self.course, self.trouble, *self.actions.parts(), *self.live.parts(),
            self.timer, self.stage, self.seen,
        ]  # fmt: skip

    def results(self) -> list[Any]:
        """What the end of a run fills."""
        return [*self.report.parts(), *self.mistakes.parts(), *self.try_it.parts(), *self.take_away.parts()]


def build_run(workspace: Workspace, prediction_service: PredictionService) -> None:
    """Build the Run screen in the current Blocks; it shows the run that the address names (`?run=ID`)."""
    store = open_store(workspace)
    page = _build(workspace, prediction_service)

    def watch(seen: Seen, request: gr.Request) -> Updates:
        run_id = request.query_params.get("run", "")
        run = _find(store, workspace, run_id)
        changes = _watched(page, store, workspace, run, seen) if run else _missing(page, run_id)
        return changes | {page.seen: seen}

    def fill(seen: Seen, request: gr.Request) -> Updates:
        run = _find(store, workspace, request.query_params.get("run", ""))
        # Two looks at once both tell of a new stage. Filling a second time would take away what was chosen since.
        if run is None or not changed(seen, "filled", _stage(workspace, run)):
            return {page.seen: seen}
        return {page.seen: seen} | _results(page, store, workspace.run(run.id))

    def open_tab(request: gr.Request) -> Any:
        run = _find(store, workspace, request.query_params.get("run", ""))
        asked = request.query_params.get("tab")
        usual = "report" if run is not None and run.state == "finished" else "live"
        return gr.Tabs(selected=asked if asked in TABS else usual)

    load = Context.root_block.load
    load(open_tab, None, page.tabs, concurrency_limit=None, **QUIET)
    for trigger in (load, page.timer.tick, *(event.then for event in page.actions.moved)):
        trigger(watch, page.seen, page.watched(), concurrency_limit=None, **QUIET)
    page.stage.change(fill, page.seen, [page.seen, *page.results()], concurrency_limit=None, **QUIET)
    _connect_failures(page)
    _connect_decision(page, workspace)


def _build(workspace: Workspace, service: PredictionService) -> Page:
    gr.HTML(f"<style>{STYLE}</style>", elem_classes="td-style", apply_default_css=False)
    missing = gr.HTML(apply_default_css=False, visible=False)
    with gr.Column(elem_id="run-page") as body:
        with gr.Row(elem_classes="td-top"):
            head = gr.HTML(apply_default_css=False, elem_id="run-head", js_on_load=KEEP_TAB)
            actions = build_actions(workspace)
        course = gr.HTML(apply_default_css=False, elem_id="run-course")
        trouble = gr.HTML(apply_default_css=False, visible=False, elem_id="run-trouble")
        with gr.Tabs(elem_id="run-tabs") as tabs:
            with gr.Tab(TABS["live"], id="live"):
                live = build_live(workspace)
            with gr.Tab(TABS["report"], id="report"):
                report = build_report(workspace)
            with gr.Tab(TABS["mistakes"], id="mistakes"):
                mistakes = build_mistakes(workspace, service)
            with gr.Tab(TABS["try"], id="try"):
                try_it = build_try_it(workspace, service)
            with gr.Tab(TABS["take"], id="take"):
                take_away = build_take_away(workspace)
    timer, seen, stage = gr.Timer(WATCHING_SECONDS), gr.State({}), gr.State("")
    return Page(
        missing, body, head, course, trouble, actions, tabs, live, report, mistakes, try_it, take_away,
        timer, seen, stage,
    )  # fmt: skip


def _connect_failures(page: Page) -> None:
    """A cell, a class or a bar pressed in the report opens its rows under Mistakes."""

    def show(event: gr.EventData) -> Updates:
        return show_these_rows(page, picked(event))

    report = page.report
    for part in (report.matrix, report.failures, report.classes, report.sureness.charts):
        shown = part.pick(show, None, [page.tabs, *page.mistakes.filters()], **QUIET)
        shown.then(None, None, None, js=AT_MISTAKES, **QUIET)


def show_these_rows(page: Page, asked: Picked) -> Updates:
    """Open Mistakes with these rows; the outputs are `page.tabs` and `page.mistakes.filters()`.

    Of a cell of right answers, and of a bar of the reliability diagram, all rows; of anything else the mistakes.
    """
    right = asked["true"] is not None and asked["true"] == asked["predicted"]
    bar = asked["least"] is not None or asked["most"] is not None
    wanted = RowFilter(
        shown="all" if right or bar else "mistakes",
        true=asked["true"] or None,
        predicted=asked["predicted"] or None,
        least=asked["least"] or 0.0,
        most=1.0 if asked["most"] is None else asked["most"],
    )
    return {page.tabs: gr.Tabs(selected="mistakes")} | show_rows(page.mistakes, wanted)


def _connect_decision(page: Page, workspace: Workspace) -> None:
    """What is chosen in the report changes what Try it says of files, and what is taken away."""

    def show(request: gr.Request) -> Updates:
        folder = workspace.run(request.query_params["run"])
        return label_file_updates(page.try_it.file, folder) | take_away_updates(page.take_away, folder)

    outputs = [*page.try_it.file.parts(), *page.take_away.parts()]
    for event in page.report.sureness.changed:
        event.then(show, None, outputs, **QUIET)


def _find(store: Store, workspace: Workspace, run_id: str) -> Run | None:
    """The run of this id, if there is one."""
    try:
        workspace.run(run_id)  # an id that could name anything but a run is none
        return store.run(run_id)
    except UserError:
        return None


def _missing(page: Page, run_id: str) -> Updates:
    """No run of this id; or none was asked for, and another screen is open."""
    if not run_id:
        return {page.timer: gr.Timer(active=False)}
    return {
        page.missing: gr.update(value=missing_html(run_id), visible=True),
        page.body: gr.update(visible=False),
        page.timer: gr.Timer(active=False),
    }


def _watched(page: Page, store: Store, workspace: Workspace, run: Run, seen: Seen) -> Updates:
    """What the browser does not show yet of the head and of Live."""
    folder = workspace.run(run.id)
    changes: Updates = {}
    for name, component, html in (
        ("head", page.head, header_html(run, waiting_words(store, run.id) if run.state == "queued" else "")),
        ("course", page.course, course_html(run)),
        ("trouble", page.trouble, trouble_html(run, can_finish(workspace, run))),
    ):
        if changed(seen, name, html):
            changes[component] = gr.update(value=html, visible=bool(html))
    if changed(seen, "state", run.state):
        changes |= button_updates(page.actions, workspace, run)
    began = time.monotonic()
    live = live_updates(page.live, store, folder.spec, run, seen)
    pace = _pace(run, time.monotonic() - began)
    if live and changed(seen, "pace", str(pace)):
        changes[page.timer] = gr.Timer(pace)
    changes |= live
    stage = _stage(workspace, run)
    if changed(seen, "stage", stage):
        changes[page.stage] = stage
    return changes


def _stage(workspace: Workspace, run: Run) -> str:
    return f"{run.state} {(workspace.run(run.id).report / 'report.json').exists()}"


def _pace(run: Run, seconds: float) -> float:
    """Seconds between looks: few, but never so few that reading long curves keeps the computer from training."""
    if run.state in ENDED:
        return RESTING_SECONDS
    return max(WATCHING_SECONDS, float(round(5 * seconds)))


def _results(page: Page, store: Store, folder: RunFolder) -> Updates:
    """Everything that evaluation found, or what each tab says before that."""
    return (
        report_updates(page.report, store, folder)
        | mistakes_updates(page.mistakes, store, folder)
        | try_updates(page.try_it, folder)
        | take_away_updates(page.take_away, folder)
    )
