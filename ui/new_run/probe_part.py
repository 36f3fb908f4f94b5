"""On Review, below the forecast: a few real steps of the run, what they measured, and whether it was of these settings.

The draft remembers its probe, which runs on when the page closes; where settings were changed since, that is said.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr

from core.errors import UserError
from core.probe_jobs import ProbeJob, as_measured, as_too_large, probe_job, result_words, start_probe, stop_probe
from core.runs.store import Store, open_store
from core.schema import RunSpec
from core.training.devices import HERE
from core.workspace import Workspace
from ui.events import PRIVATE
from ui.new_run.data_html import problem_html
from ui.new_run.draft import Draft, editing, read_draft, spec_of
from ui.new_run.draft_plan import Plan, plan_of

LOOK_SECONDS = 1.5
STEPS_OF = "training"
"""The phase that counts steps; others count rows."""


@dataclass(frozen=True)
class ProbePart:
    box: gr.Column
    told: gr.HTML
    start: gr.Button
    stop: gr.Button
    timer: gr.Timer

    def components(self) -> list[Any]:
        return [self.box, self.told, self.start, self.stop, self.timer]


def build_probe() -> ProbePart:
    with gr.Column(elem_classes="probe", elem_id="probe") as box:
        told = gr.HTML(apply_default_css=False, visible=False, elem_id="probe-told")
        with gr.Row(elem_classes="probe-buttons"):
            start = gr.Button("Try a few real steps (about a minute)", size="md", min_width=200, elem_id="probe-start")
            stop = gr.Button("Cancel", size="md", visible=False, min_width=90, elem_id="probe-stop")
    return ProbePart(box, told, start, stop, gr.Timer(LOOK_SECONDS, active=False))


def probe_of(workspace: Workspace, draft: Draft) -> ProbeJob | None:
    """The draft's last probe; None where there is none, or it was cleared away."""
    if not draft.probe:
        return None
    try:
        return probe_job(workspace, draft.probe["job"])
    except UserError:
        return None


def mark_of(spec: RunSpec) -> int:
    """Another one where the run is another; its name does not count."""
    return zlib.crc32(spec.model_copy(update={"name": ""}).model_dump_json().encode())


@dataclass(frozen=True)
class Tried:
    """A probe of what would start now that has ended with a measurement."""

    job: ProbeJob

    @property
    def fits(self) -> bool:
        return not self.job.out_of_memory and (self.job.result is None or self.job.result.fits)

    def corrected(self, plan: Plan) -> Plan:
        """With memory forecast as it was found, for what makes it fit."""
        workload = plan.forecast.workload
        if workload is None:
            return plan
        if self.job.out_of_memory:
            workload = as_too_large(workload, plan.forecast)
        elif self.job.result is not None:
            workload = as_measured(workload, self.job.result)
        return replace(plan, forecast=replace(plan.forecast, workload=workload))


def tried_of(workspace: Workspace, draft: Draft) -> Tried | None:
    if draft.device != HERE or not is_current(draft):
        return None
    job = probe_of(workspace, draft)
    return Tried(job) if job is not None and (job.out_of_memory or job.result is not None) else None


def probe_view(workspace: Workspace, part: ProbePart, draft: Draft, problem: str = "") -> dict[Any, Any]:
    """Only a run on this computer's own device can be tried."""
    job = probe_of(workspace, draft)
    running = job is not None and job.state == "running"
    said = problem or ("" if job is None else job_html(job, is_current(draft)))
    return {
        part.box: gr.update(visible=draft.device == HERE),
        part.told: gr.update(value=said, visible=bool(said)),
        part.start: gr.update(visible=not running),
        part.stop: gr.update(visible=running),
        part.timer: gr.Timer(active=running),
    }


def is_current(draft: Draft) -> bool:
    """Whether the draft's probe tried what would start now."""
    try:
        return bool(draft.probe) and draft.probe["mark"] == mark_of(spec_of(draft))
    except UserError:
        return False


def job_html(job: ProbeJob, current: bool) -> str:
    if job.state == "running":
        unit = "step" if job.phase == STEPS_OF else "row"
        how_far = f", {unit} {job.done:,} of {job.total:,}" if job.total else ""
        share = f' style="width:{job.done / job.total * 100:.1f}%"' if job.total else ""
        return (
            f'<p class="busy" role="status"><i aria-hidden="true"></i>Trying: {escape(job.phase)}{how_far}</p>'
            f'<div class="probe-bar"><i{share}></i></div>'
        )
    if job.state == "stopped":
        return '<p class="quiet" role="status">Cancelled before it was measured.</p>'
    before = "" if current else '<p class="quiet">Tried with other settings than these:</p>'
    if job.result is None:
        error = job.error or {"what": "It ended without a word.", "where": "", "todo": ""}
        return before + problem_html(UserError(error["what"], error["where"], error["todo"]))
    kind = "fine" if job.result.fits else "bad"
    sign = '<i aria-hidden="true">✓</i>' if job.result.fits else ""
    first, *more = result_words(job.result)
    return (
        f'{before}<div class="probed" role="status"><p class="{kind}">{sign}<b>Tried:</b> {escape(first)}</p>'
        + "".join(f"<p>{escape(words)}</p>" for words in more)
        + "</div>"
    )


def end_probe(workspace: Workspace, draft: Draft) -> None:
    """Before the run itself starts, which needs the room."""
    job = probe_of(workspace, draft)
    if job is not None and job.state == "running":
        stop_probe(workspace, job.id)


def connect_probe(
    workspace: Workspace, part: ProbePart, draft_id: gr.Textbox, ended: Callable[[Draft], dict[Any, Any]],
    following: list[Any],
) -> None:  # fmt: skip
    """ended: what else changes when something was measured, into `following`."""
    store = open_store(workspace)

    def start(draft_id: str) -> dict[Any, Any]:
        try:
            return probe_view(workspace, part, begin_probe(workspace, store, draft_id))
        except UserError as error:
            return probe_view(workspace, part, read_draft(store, draft_id), problem_html(error))

    def look(draft_id: str) -> dict[Any, Any]:
        draft = read_draft(store, draft_id)
        view = probe_view(workspace, part, draft)
        job = probe_of(workspace, draft)
        return view | (ended(draft) if job is not None and job.state != "running" else {})

    def stop(draft_id: str) -> dict[Any, Any]:
        draft = read_draft(store, draft_id)
        end_probe(workspace, draft)
        return probe_view(workspace, part, draft)

    part.start.click(start, draft_id, part.components(), **PRIVATE)
    part.stop.click(stop, draft_id, part.components(), **PRIVATE)
    part.timer.tick(look, draft_id, [*part.components(), *following], **PRIVATE)


def begin_probe(workspace: Workspace, store: Store, draft_id: str) -> Draft:
    """Raises UserError where the draft cannot start, or something else is going on."""
    draft = read_draft(store, draft_id)
    spec = spec_of(draft)
    job = start_probe(workspace, spec, plan_of(workspace, store, draft).forecast)
    with editing(store, draft_id) as draft:
        draft.probe = {"job": job, "mark": mark_of(spec)}
    return draft
