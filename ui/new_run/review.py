"""Step 4, Review: the whole run on one page, and the button that starts it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.data.findings import Finding, Fix
from core.data.table import Table
from core.errors import UserError
from core.models.checkpoint_room import checkpoint_room
from core.models.known import require_known_sizes
from core.models.source import Source, check_source
from core.presets import find_preset, wants_gpu
from core.prompts import prompt_problems
from core.runs.store import ACTIVE, Store, open_store
from core.runs.supervisor import submit
from core.schema import RunSpec
from core.spec_files import spec_yaml
from core.workspace import Workspace
from ui.events import CHOSEN, GO, PRIVATE, fills
from ui.new_run.cards import WITHOUT_GPU
from ui.new_run.checks import carry_out, checks_html, find_all, findings_html, settings_findings
from ui.new_run.data_html import busy_html, problem_html
from ui.new_run.draft import Draft, editing, read_draft, spec_of
from ui.new_run.files import ROLES, open_role
from ui.new_run.forecast_card import ForecastCard, build_forecast, connect_forecast, forecast_view
from ui.new_run.frozen_words import frozen_of, frozen_sentence
from ui.new_run.probe_part import end_probe
from ui.new_run.prompt_view import Tokenizers, check_prompt
from ui.new_run.review_division import same_rows_words
from ui.new_run.review_text import command_line, download_words, run_name, sentences
from ui.new_run.several import Several, build_several, connect_several, several_view
from ui.new_run.source import PICK_SCRIPT
from ui.sidebar import Machine

NO_GPU = Finding(
    "warning",
    "This computer shows no NVIDIA GPU, so the language model is trained on the processor.",
    "GPU",
    "A small model takes minutes; one of a billion weights or more takes days.",
    1,
)
HERE = ("model.", "training.")
"""Settings that buttons of this step change; the Data step shows what others do."""
_STARTING = threading.Lock()
"""Two browsers may press Start of one draft at once; the second one is to find the first one's run."""


@dataclass(frozen=True)
class ReviewStep:
    words: gr.HTML
    findings: gr.HTML
    model: gr.HTML
    name: gr.Textbox
    yaml: gr.Textbox
    command: gr.Textbox
    problem: gr.HTML
    status: gr.HTML
    back: gr.Button
    start: gr.Button
    ask: gr.Column
    asked: gr.HTML
    anyway: gr.Button
    wait: gr.Button
    several: Several
    forecast: ForecastCard

    def components(self) -> list[Any]:
        return [
            self.words, self.findings, self.model, self.name, self.yaml, self.command, self.problem, self.status,
            self.start, self.ask, self.asked, *self.several.components(), *self.forecast.components(),
        ]  # fmt: skip


def build_review() -> ReviewStep:
    with gr.Column(elem_classes="card", elem_id="review"):
        words = gr.HTML(apply_default_css=False, elem_id="sentences")
        name = gr.Textbox(
            label="Name", info="How you will find it again.", max_lines=1, max_length=200, elem_id="run-name"
        )
    forecast = build_forecast("review", probe=True)
    with gr.Column(elem_classes="card"):
        findings = gr.HTML(apply_default_css=False, js_on_load=PICK_SCRIPT, elem_id="review-findings")
        model = gr.HTML(apply_default_css=False, js_on_load=PICK_SCRIPT, elem_id="review-model")
    several = build_several()
    with gr.Accordion("As YAML", open=False, elem_classes="card fold", elem_id="as-yaml"):
        yaml = _to_copy("Save it as SPEC.yaml for launch.py train", 24)
    with gr.Accordion("As command line", open=False, elem_classes="card fold", elem_id="as-command"):
        command = _to_copy("Starts the same run in a terminal", 12)
    problem = gr.HTML(apply_default_css=False, visible=False, elem_id="start-problem")
    with gr.Column(visible=False, elem_classes="card", elem_id="start-ask") as ask:
        asked = gr.HTML(apply_default_css=False)
        with gr.Row(elem_classes="file-actions"):
            anyway = gr.Button("Start anyway", size="md", min_width=120, elem_id="start-anyway")
            wait = gr.Button("Not yet", size="md", min_width=90, elem_id="start-not-yet")
    with gr.Row(elem_classes="foot"):
        status = gr.HTML(apply_default_css=False, elem_id="review-status")
        back = gr.Button("Back", min_width=90, elem_id="back-to-model")
        start = gr.Button("Start", variant="primary", min_width=150, elem_id="start-run")
    return ReviewStep(
        words, findings, model, name, yaml, command, problem, status, back, start, ask, asked, anyway, wait, several,
        forecast,
    )  # fmt: skip


def _to_copy(label: str, lines: int) -> gr.Textbox:
    """Text to take away, with a button that copies it."""
    return gr.Textbox(
        label=label, interactive=False, lines=2, max_lines=lines, buttons=["copy"], elem_classes="to-copy"
    )  # fmt: skip


def review_view(workspace: Workspace, store: Store, step: ReviewStep, draft: Draft) -> dict[Any, Any]:
    """The run as it would start now; what stands in the way where it cannot."""
    try:
        spec = spec_of(draft)
        found = find_all(workspace, draft)
        tables: dict[str, Table] = {
            role: table for role in ROLES if (table := open_role(workspace, draft, role)) is not None
        }
        parts = [
            *sentences(draft, spec, tables, found.steps), same_rows_words(workspace, spec, tables),
            frozen_sentence(frozen_of(workspace, draft)),
            escape(room.words) if (room := checkpoint_room(spec, workspace.root)) else "",
        ]  # fmt: skip
        told = "".join(f"<li>{sentence}</li>" for sentence in parts if sentence)
        if spec.task == "answer":
            for wrong in prompt_problems(spec.prompt, tables["train"].names, spec.mapping.label):
                raise wrong
    except UserError as error:
        return {
            step.words: "<h2>Not ready yet</h2>",
            step.findings: problem_html(error),
            step.model: "",
            step.start: gr.update(interactive=False),
            step.status: "",
            step.problem: gr.update(visible=False),
            step.ask: gr.update(visible=False),
            step.several.fold: gr.update(visible=False),
            step.forecast.box: gr.update(visible=False),
        }
    busy = bool(store.runs(limit=1, states=(*ACTIVE, "queued")))
    return {
        step.words: f'<h2>This is what will happen</h2><ol class="sentences">{told}</ol>',
        step.findings: f"<h3>Checks</h3>{checks_html(draft, found, only=HERE)}",
        step.model: busy_html("Looking for the model"),
        step.name: gr.update(value=spec.name, placeholder=run_name(spec)),
        step.yaml: spec_yaml(spec),
        step.command: command_line(spec),
        step.problem: gr.update(visible=False),
        step.ask: gr.update(visible=False),
        step.status: "Another run is busy; this one starts after it." if busy else "",
        **several_view(workspace, store, step.several, draft, spec),
        **forecast_view(workspace, store, step.forecast, draft),
        step.start: gr.update(
            value="Add to queue" if busy else "Start",
            interactive=all(finding.severity != "error" for finding in found.findings),
        ),
    }


def check_model(spec: RunSpec, has_gpu: bool) -> Source:
    """Where the run's model is. Raises UserError where it cannot be had, or not be trained here."""
    if not has_gpu and wants_gpu(spec.preset, spec.model.source):
        raise UserError("This model needs an NVIDIA GPU, and this computer shows none.", "GPU", WITHOUT_GPU)
    require_known_sizes(spec.model)
    return check_source(spec.model)


def find_model(spec: RunSpec, has_gpu: bool) -> tuple[str, bool]:
    """Markup that says where the run's model is, and whether it can be had and trained here."""
    preset = find_preset(spec.preset)
    try:
        source = check_model(spec, has_gpu)
    except UserError as error:
        return problem_html(error), False
    if source.kind == "hub":
        said = (
            download_words(preset)
            if spec.model.source == preset.model.source
            else "Its model is downloaded at the start."
        )
    else:
        said = "The model is on this computer."
    slow = findings_html([NO_GPU]) if preset.needs_gpu and not has_gpu else ""
    return f'<p class="fine"><i aria-hidden="true">✓</i>{escape(said)}</p>{slow}', True


def asking_html(findings: list[Finding]) -> str:
    """What is to be weighed before a run is started in spite of it."""
    items = "".join(f"<li>{escape(finding.what)}</li>" for finding in findings)
    return f"<h3>Start in spite of this?</h3><ul>{items}</ul>"


def connect_review(
    workspace: Workspace, step: ReviewStep, draft_id: gr.Textbox, machine: Machine, tokenizers: Tokenizers
) -> tuple[Callable[[str], dict[Any, Any]], Callable[[str], dict[Any, Any]]]:
    """Wire the step's events. Returns what fills the step, and what then looks for the model."""
    store = open_store(workspace)

    def show(draft_id: str) -> dict[Any, Any]:
        return review_view(workspace, store, step, read_draft(store, draft_id))

    def look(draft_id: str) -> dict[Any, Any]:
        draft = read_draft(store, draft_id)
        try:
            spec = spec_of(draft)
        except UserError:
            return {step.model: ""}
        said, found = find_model(spec, machine.has_gpu())
        if found and spec.task == "answer":
            try:
                check_prompt(workspace, spec, tokenizers)
            except UserError as error:
                said, found = said + problem_html(error), False
        cut = settings_findings(workspace, draft, spec) if found else []
        said += findings_html(cut, draft, HERE) if cut else ""
        return {step.model: said} | ({} if found else {step.start: gr.update(interactive=False)})

    def rename(draft_id: str, name: str) -> Any:
        if store.run_of_draft(draft_id):  # the field is left by pressing Start, which knows the name
            return gr.skip()
        with editing(store, draft_id) as draft:
            draft.put("name", name.strip())
        try:
            spec = spec_of(draft)
        except UserError:
            return gr.skip()
        return {step.yaml: spec_yaml(spec), step.command: command_line(spec)}

    def fix(draft_id: str, event: gr.EventData) -> dict[Any, Any]:
        """Only of settings that are this step's to change, whatever the browser asks for."""
        draft = read_draft(store, draft_id)
        try:
            found = [*find_all(workspace, draft).findings, *settings_findings(workspace, draft, spec_of(draft))]
        except UserError:
            return show(draft_id)
        carry_out(store, draft_id, event.key, [f for f in found if f.fix and all_here(f.fix)])
        return show(draft_id)

    gr.on([step.name.input, step.name.blur], rename, [draft_id, step.name], [step.yaml, step.command], **CHOSEN)
    for shown in (step.findings, step.model):
        fills(shown.click, fix, draft_id, step.components(), **PRIVATE).then(
            look, draft_id, [step.model, step.start], **PRIVATE
        )
    connect_forecast(
        workspace, step.forecast, draft_id, lambda draft: review_view(workspace, store, step, draft), step.components()
    )
    _connect_start(workspace, step, draft_id, machine)

    def ready(draft: Draft) -> tuple[RunSpec, list[Finding]]:
        spec = spec_of(draft)
        check_model(spec, machine.has_gpu())
        return spec, [*find_all(workspace, draft).findings, *settings_findings(workspace, draft, spec)]

    connect_several(workspace, step.several, draft_id, ready)
    return show, look


def all_here(fix: Fix) -> bool:
    return all(key.startswith(HERE) for key in fix.settings)


def _connect_start(workspace: Workspace, step: ReviewStep, draft_id: gr.Textbox, machine: Machine) -> None:
    """Start, and the question before it where the checks found something of weight."""
    store = open_store(workspace)
    address = gr.Textbox(visible=False)

    def begin(draft_id: str, name: str, anyway: bool) -> dict[Any, Any]:
        off = gr.update(interactive=False)
        already = store.run_of_draft(draft_id)
        if already:
            return {address: f"/?run={already}", step.start: off, step.anyway: off}
        try:
            with editing(store, draft_id) as draft:
                draft.put("name", name.strip())
            spec = spec_of(draft)
            check_model(spec, machine.has_gpu())
            found = [] if anyway else [*find_all(workspace, draft).findings, *settings_findings(workspace, draft, spec)]
            weighty = [finding for finding in found if finding.asks]
            if weighty:
                return {step.asked: asking_html(weighty), step.ask: gr.update(visible=True)}
            end_probe(workspace, draft)
            run_id = submit(workspace, spec, draft_id=draft_id)
        except UserError as error:
            return {step.problem: gr.update(value=problem_html(error), visible=True)}
        return {address: f"/?run={run_id}", step.start: off, step.anyway: off}

    def start(draft_id: str, name: str) -> dict[Any, Any]:
        with _STARTING:
            return begin(draft_id, name, False)

    def start_anyway(draft_id: str, name: str) -> dict[Any, Any]:
        with _STARTING:
            return begin(draft_id, name, True)

    outputs = [address, step.problem, step.start, step.ask, step.asked, step.anyway]
    for button, act in ((step.start, start), (step.anyway, start_anyway)):
        button.click(act, [draft_id, step.name], outputs, **PRIVATE).then(None, address, None, js=GO, **PRIVATE)
    step.wait.click(lambda: gr.update(visible=False), None, step.ask, **PRIVATE)
