"""Step 1, Data: a file comes in, is read and shown, its columns are chosen, and the checks say what they found."""

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio as gr

from core.errors import UserError
from core.runs.store import open_store
from core.workspace import Workspace
from ui.events import PRIVATE
from ui.new_run.big_file import build_big_file, check_waits, connect_big_file
from ui.new_run.chat_columns import build_chat_columns, build_kind
from ui.new_run.checks import checks_html, find_all, fix, look
from ui.new_run.columns import build_columns
from ui.new_run.data_class_events import connect_chat, connect_classes, connect_columns, connect_labels
from ui.new_run.data_file_events import connect_reading, connect_source
from ui.new_run.data_html import busy_html, problem_html
from ui.new_run.data_view import DataStep, data_view, ready_words
from ui.new_run.division import build_division, connect_division
from ui.new_run.draft import Draft, read_draft
from ui.new_run.files import open_role
from ui.new_run.inside import build_inside
from ui.new_run.parts import build_part, connect_part
from ui.new_run.reading import build_lines, build_reading
from ui.new_run.source import PICK_SCRIPT, build_source

MANY_ROWS = 50_000


def build_data() -> DataStep:
    problem = gr.HTML(apply_default_css=False, visible=False, elem_id="data-problem")
    source = build_source()
    with gr.Column(visible=False, elem_id="opened") as opened:
        with gr.Column(elem_classes="card"):
            with gr.Row(elem_classes="file-row"):
                facts = gr.HTML(apply_default_css=False, elem_id="file-facts")
                with gr.Row(elem_classes="file-actions"):
                    change = gr.Button("Change", size="md", min_width=60, elem_id="change-reading")
                    other = gr.Button("Another file", size="md", min_width=60, elem_id="other-file")
            with gr.Row(elem_classes="right"):
                lines = build_lines()
            big = build_big_file()
            inside = build_inside()
            reading = build_reading(lines)
            refused = gr.HTML(apply_default_css=False, visible=False, elem_id="reading-refused")
            said = gr.HTML(apply_default_css=False, visible=False, elem_id="reading-said")
            kind = build_kind()
            columns, chat = build_columns(), build_chat_columns(kind)
        with gr.Row(elem_classes="cards"):
            bars = gr.HTML(apply_default_css=False, elem_classes="card", elem_id="label-bars", min_width=300)
            with gr.Column(min_width=300, elem_classes="stack"):
                lengths = gr.HTML(apply_default_css=False, elem_classes="card", elem_id="lengths")
                profile = gr.HTML(apply_default_css=False, elem_classes="card", elem_id="profile")
        with gr.Column(elem_classes="card", elem_id="preview"):
            with gr.Row(elem_classes="pager"):
                position = gr.HTML(apply_default_css=False)
                back = gr.Button("Previous", size="md", min_width=60, elem_id="preview-back")
                forth = gr.Button("Next", size="md", min_width=60, elem_id="preview-next")
            rows_shown = gr.HTML(apply_default_css=False)
        with gr.Column(elem_classes="card", elem_id="parts"):
            gr.HTML("<h3>How shall it be tested?</h3>", apply_default_css=False)
            with gr.Row(elem_classes="two"):
                test, validation = build_part("test"), build_part("validation")
            division = build_division()
        findings = gr.HTML(apply_default_css=False, js_on_load=PICK_SCRIPT, elem_classes="card", elem_id="findings")
    with gr.Row(visible=False, elem_classes="foot") as foot:
        status = gr.HTML(apply_default_css=False, elem_id="data-status")
        onward = gr.Button("Model →", variant="primary", min_width=150, elem_id="to-model")
    return DataStep(
        source, problem, opened, facts, change, other, inside, reading, big, refused, said, chat, columns, bars,
        lengths, profile, rows_shown, back, position, forth, gr.State(0), test, validation, division, findings, foot,
        status, onward,
    )  # fmt: skip


def connect_data(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, steps: list[gr.Step], keep_address: dict[str, Any]
) -> Callable[[str], dict[Any, Any]]:
    """Wire the step's events. Returns the function that checks the data; `checked(step, steps)` are its outputs."""
    check = _checker(workspace, step, steps)
    outputs, seen = step.components(), checked(step, steps)
    watch = _watched(workspace, step, check)
    then: dict[str, Any] = {"fn": watch, "inputs": draft_id, "outputs": seen, **PRIVATE}
    connect_source(workspace, step, draft_id, outputs, then, keep_address)
    connect_reading(workspace, step, draft_id, outputs, then)
    connect_columns(workspace, step, draft_id, outputs, then)
    connect_labels(workspace, step, draft_id, outputs, then)
    connect_chat(workspace, step, draft_id, outputs, then)
    connect_part(workspace, step.test, draft_id, watch, seen)
    connect_part(workspace, step.validation, draft_id, watch, seen)
    connect_division(workspace, step.division, draft_id, watch, seen)
    connect_big_file(workspace, step.big, draft_id, lambda draft: data_view(workspace, step, draft), outputs, then)
    connect_classes(workspace, step, draft_id, outputs, then)
    _connect_fixes(workspace, step, draft_id, outputs, then)
    return check


def checked(step: DataStep, steps: list[gr.Step]) -> list[Any]:
    return [step.findings, step.status, *steps]


def _checker(workspace: Workspace, step: DataStep, steps: list[gr.Step]) -> Callable[[str], dict[Any, Any]]:
    store = open_store(workspace)

    def check(draft_id: str) -> dict[Any, Any]:
        """The findings, and whether the steps behind this one can be opened; of the draft as it is afterwards.

        Another file may come while one is checked. What was found of the first must not stand beside the second.
        """
        while True:
            draft = read_draft(store, draft_id)
            shown = _check(draft)
            if _data_of(read_draft(store, draft_id)) == _data_of(draft):
                return shown

    def _check(draft: Draft) -> dict[Any, Any]:
        reachable = False
        if not draft.spec["data"].get("train"):
            shown = {step.findings: "", step.status: ""}
        else:
            try:
                check_waits(workspace, draft)
                found = find_all(workspace, draft)
                shown = {
                    step.findings: f"<h3>Checks</h3>{checks_html(draft, found)}",
                    step.status: ready_words(found.findings),
                }
                reachable = all(finding.severity != "error" for finding in found.findings)
            except UserError as error:
                shown = {
                    step.findings: f'<h3>Checks</h3><p class="quiet">{escape(f"{error.what} {error.todo}")}</p>',
                    step.status: escape(error.todo),
                }
        return shown | {later: gr.Step(interactive=reachable) for later in steps}

    return check


def _watched(
    workspace: Workspace, step: DataStep, check: Callable[[str], dict[Any, Any]]
) -> Callable[[str], Iterator[dict[Any, Any]]]:
    """The same, saying meanwhile what is looked at: of many rows it takes a while."""
    store = open_store(workspace)

    def watch(draft_id: str) -> Iterator[dict[Any, Any]]:
        draft = read_draft(store, draft_id)
        if draft.spec["data"].get("train"):
            try:
                check_waits(workspace, draft)
                for words in look(workspace, draft):
                    yield {step.findings: f'{busy_html(words)}<p class="quiet">{_many_rows(workspace, draft)}</p>'}
            except UserError:
                pass  # said by check
        yield check(draft_id)

    return watch


def _many_rows(workspace: Workspace, draft: Draft) -> str:
    train = open_role(workspace, draft, "train")
    if train is None or train.rows < MANY_ROWS:
        return ""
    return f"{train.rows:,} rows: words, scripts and likeness are looked at in a sample, all else in every row."


def _connect_fixes(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store = open_store(workspace)

    def press(draft_id: str, event: gr.EventData) -> dict[Any, Any]:
        try:
            return data_view(workspace, step, fix(workspace, store, draft_id, event.key))
        except UserError as error:
            return {step.findings: problem_html(error)}

    step.findings.click(press, draft_id, outputs, **PRIVATE).then(**then)


def _data_of(draft: Draft) -> tuple[Any, ...]:
    """What the checks depend on."""
    return draft.spec["data"], draft.spec["mapping"], draft.spec.get("split"), draft.own, sorted(draft.raw)
