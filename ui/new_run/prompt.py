"""Step 3, Prompt: what a language model reads for a row and what it is to answer; beside it, one row as it reads it."""

import threading
from collections.abc import Callable
from typing import Any

import gradio as gr

from core.data.prompt_sample import longest_row, random_row, row_beside
from core.data.table import Table
from core.errors import UserError
from core.runs.store import open_store
from core.schema import MOST_PROMPT_CHARACTERS, MappingSpec, ModelSpec
from core.workspace import Workspace
from ui.events import CHOSEN, PRIVATE
from ui.forms import RESET_SCRIPT
from ui.new_run.draft import SETTINGS, Draft, editing, keep, read_draft, usual
from ui.new_run.files import open_role
from ui.new_run.prompt_html import legend_html
from ui.new_run.prompt_view import (
    TEMPLATES,
    PromptStep,
    Tokenizers,
    chips_view,
    field_value,
    prompt_view,
    row_view,
)

_SHOWING = threading.Lock()
"""One change is made and shown after the other, so that what is shown last is what was done last."""
TITLES = {"system": "System", "user": "User", "assistant": "Answer"}
LINES = {"system": (2, 8), "user": (6, 18), "assistant": (1, 4)}
INSERT_SCRIPT = """
element.addEventListener('mousedown', (event) => { if (event.target.closest('button')) event.preventDefault(); });
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-insert]');
  if (!button) return;
  const field = element.closest('.prompt-field').querySelector('textarea');
  field.focus();
  // Known to every browser, and unlike setRangeText it can be undone.
  document.execCommand('insertText', false, button.dataset.insert);
});
"""


def build_prompt_step() -> PromptStep:
    inputs: dict[str, Any] = {}
    notes: dict[str, gr.HTML] = {}
    chips: dict[str, gr.HTML] = {}
    with gr.Row(elem_classes="prompt"):
        with gr.Column(elem_classes="card", min_width=300, elem_id="prompt-fields"):
            gr.HTML("<h2>What shall it read and answer?</h2>", apply_default_css=False, elem_classes="lead")
            _build_templates(inputs, chips, notes)
        with gr.Column(elem_classes="card", min_width=300, elem_id="prompt-preview"):
            with gr.Row(elem_classes="pager"):
                position = gr.HTML(apply_default_css=False, elem_id="prompt-row")
                back_row, next_row, longest, random = (
                    gr.Button(name, size="md", min_width=60, elem_id=f"prompt-{name.lower()}")
                    for name in ("Previous", "Next", "Longest", "Random")
                )
            with gr.Row(elem_classes="length"):
                count = gr.HTML(apply_default_css=False, elem_id="prompt-count")
                with gr.Column(elem_classes="field prompt-field short", min_width=120, elem_id="prompt-max-length"):
                    inputs["model.max_length"] = gr.Textbox(label="At most, tokens", max_lines=1)
            notes["model.max_length"] = _note("max-length")
            text = gr.HTML(apply_default_css=False, elem_id="prompt-text")
            other = gr.HTML(apply_default_css=False, elem_classes="field-note", elem_id="prompt-other")
            gr.HTML(legend_html(), apply_default_css=False)
    with gr.Row(elem_classes="foot"):
        status = gr.HTML(apply_default_css=False, elem_id="prompt-status")
        back = gr.Button("Back", min_width=90, elem_id="back-to-model-from-prompt")
        onward = gr.Button("Review →", variant="primary", min_width=150, elem_id="prompt-to-review")
    return PromptStep(
        inputs, chips, notes, position, back_row, next_row, longest, random, count, text, other, status, back, onward
    )


def _build_templates(inputs: dict[str, Any], chips: dict[str, gr.HTML], notes: dict[str, gr.HTML]) -> None:
    """The fields of the left side, each with its chips and what is wrong under it."""
    choices = [("The model's own chat template", "chat"), ("Raw text", "raw")]
    with gr.Column(elem_classes="field prompt-field", elem_id="prompt-template"):
        inputs["prompt.template"] = gr.Radio(
            choices, label="Template", info="Raw: the user part as it stands, then the answer."
        )
        notes["prompt.template"] = _note("template")
    for name in TEMPLATES:
        setting = SETTINGS[f"prompt.{name}"]
        lines, most_lines = LINES[name]
        with gr.Column(elem_classes="field prompt-field", elem_id=f"prompt-{name}"):
            inputs[setting.key] = gr.Textbox(
                label=TITLES[name], info=setting.description, lines=lines, max_lines=most_lines,
                max_length=2000 if name == "assistant" else MOST_PROMPT_CHARACTERS, elem_classes="template",
            )  # fmt: skip
            chips[name] = gr.HTML(apply_default_css=False, js_on_load=INSERT_SCRIPT, elem_classes="chips")
            notes[setting.key] = _note(name)
    with gr.Column(elem_classes="field prompt-field separator", elem_id="prompt-separator"):
        inputs["prompt.labels_separator"] = gr.Textbox(label="Between the classes in {labels}", max_lines=1)
        notes["prompt.labels_separator"] = _note("separator")


def _note(name: str) -> gr.HTML:
    return gr.HTML(
        apply_default_css=False, js_on_load=RESET_SCRIPT, elem_classes="note field-note", elem_id=f"prompt-note-{name}"
    )


def connect_prompt(
    workspace: Workspace, step: PromptStep, draft_id: gr.Textbox, tokenizers: Tokenizers
) -> tuple[Callable[[Draft], dict[Any, Any]], Callable[[str], dict[Any, Any]]]:
    """Wire the step's events. Returns what fills the fields, and what then reads the tokenizer and shows the row."""
    store = open_store(workspace)

    def show(draft: Draft) -> dict[Any, Any]:
        return prompt_view(step, draft) | chips_view(workspace, step, draft)

    def look(draft_id: str) -> dict[Any, Any]:
        tokenizers.look(ModelSpec.model_validate(read_draft(store, draft_id).spec["model"]))
        with _SHOWING:
            return row_view(workspace, step, read_draft(store, draft_id), tokenizers)

    for key in step.inputs:
        _connect_field(workspace, step, draft_id, tokenizers, key)
    for button, to in (
        (step.back_row, lambda table, mapping, row: row_beside(table, mapping, row, back=True)),
        (step.next_row, row_beside),
        (step.longest, lambda table, mapping, _row: longest_row(table, mapping)),
        (step.random, lambda table, mapping, _row: random_row(table, mapping)),
    ):
        go = _mover(workspace, step, tokenizers, to)
        button.click(go, draft_id, step.seen(), **PRIVATE)
    return show, look


def _connect_field(
    workspace: Workspace, step: PromptStep, draft_id: gr.Textbox, tokenizers: Tokenizers, key: str
) -> None:
    store, field = open_store(workspace), step.inputs[key]

    def change(draft_id: str, given: Any) -> Any:
        if given == field_value(read_draft(store, draft_id), key):
            return gr.skip()  # filled in by the page itself
        with _SHOWING:
            with editing(store, draft_id) as draft:
                keep(draft, key, given)
            return row_view(workspace, step, draft, tokenizers) | _chips(draft)

    def reset(draft_id: str) -> dict[Any, Any]:
        with _SHOWING:
            with editing(store, draft_id) as draft:
                draft.raw.pop(key, None)
                draft.put(key, usual(draft, key))
            return {field: field_value(draft, key)} | row_view(workspace, step, draft, tokenizers) | _chips(draft)

    def _chips(draft: Draft) -> dict[Any, Any]:
        return chips_view(workspace, step, draft) if key == "prompt.template" else {}

    outputs = [*step.seen(), *(step.chips.values() if key == "prompt.template" else ())]
    # A textbox's input event tells of typed characters alone, not of deleted, pasted or inserted ones.
    event = field.change if isinstance(field, gr.Textbox) else field.input
    event(change, [draft_id, field], outputs, **CHOSEN)
    step.notes[key].click(reset, draft_id, [field, *outputs], **PRIVATE)


def _mover(
    workspace: Workspace, step: PromptStep, tokenizers: Tokenizers, to: Callable[[Table, MappingSpec, int], int]
) -> Callable[[str], dict[Any, Any]]:
    """Goes to another row; `to` gives its number from the one that is shown."""
    store = open_store(workspace)

    def go(draft_id: str) -> dict[Any, Any]:
        with _SHOWING:
            draft = read_draft(store, draft_id)
            try:
                table = open_role(workspace, draft, "train")
                if table is not None:
                    row = to(table, MappingSpec.model_validate(draft.spec["mapping"]), draft.row)
                    with editing(store, draft_id) as draft:
                        draft.row = row
            except UserError:
                pass  # said by the view, which reads the same data
            return row_view(workspace, step, draft, tokenizers)

    return go
