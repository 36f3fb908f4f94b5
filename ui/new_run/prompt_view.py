"""What the Prompt step shows of a draft: what is wrong under each field, and one row as the model reads it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from core.chat_templates import ModelTokenizer
from core.data.class_steps import class_counts, steps_of
from core.data.mapping import natural_order
from core.data.prompt_sample import SampleRow, row_beside, sample_row
from core.data.table import Table, label_counts, open_table
from core.errors import UserError
from core.models.tokenizer_files import tokenizer_of
from core.prompt_preview import Preview, Problem, preview
from core.prompts import build_prompt, prompt_columns, prompt_problems
from core.schema import MappingSpec, ModelSpec, PromptSpec, RunSpec
from core.workspace import Workspace
from ui.forms import label, read_value, shown
from ui.new_run.data_html import busy_html
from ui.new_run.draft import SETTINGS, Draft, missing, same, usual
from ui.new_run.files import open_role
from ui.new_run.prompt_html import (
    chips_html,
    count_html,
    no_preview_html,
    note_html,
    position_html,
    text_html,
)

TEMPLATES = ("system", "user", "assistant")
FIELDS = ("prompt.template", *(f"prompt.{name}" for name in TEMPLATES), "prompt.labels_separator", "model.max_length")


@dataclass(frozen=True)
class PromptStep:
    inputs: dict[str, gr.components.Component]
    """By setting, in the order of FIELDS."""
    chips: dict[str, gr.HTML]
    """By template: system, user, assistant."""
    notes: dict[str, gr.HTML]
    """What is wrong with each of `inputs`."""
    position: gr.HTML
    back_row: gr.Button
    next_row: gr.Button
    longest: gr.Button
    random: gr.Button
    count: gr.HTML
    text: gr.HTML
    other: gr.HTML
    """What is wrong and belongs to none of the fields."""
    status: gr.HTML
    back: gr.Button
    next: gr.Button

    def seen(self) -> list[Any]:
        """What a change of a field may change; the fields themselves stay as they are typed."""
        return [*self.notes.values(), self.position, self.count, self.text, self.other, self.status, self.next]

    def components(self) -> list[Any]:
        return [*self.inputs.values(), *self.chips.values(), *self.seen()]


class Tokenizers:
    """The tokenizers of models that were looked for; asked for again when the Prompt step is opened.

    One that cannot be had is remembered as such, so that typing does not wait for a hub that does not answer.
    """

    def __init__(self, read: Callable[[ModelSpec], ModelTokenizer] = tokenizer_of) -> None:
        self._read = read
        self._lost: dict[tuple[str, str | None], UserError] = {}

    def look(self, model: ModelSpec) -> None:
        """Look for the model's tokenizer again."""
        try:
            self._read(model)
        except UserError as error:
            self._lost[model.source, model.revision] = error
        else:
            self._lost.pop((model.source, model.revision), None)

    def find(self, model: ModelSpec) -> ModelTokenizer:
        """Raises UserError where it cannot be had."""
        lost = self._lost.get((model.source, model.revision))
        if lost is not None:
            raise lost
        return self._read(model)


@dataclass(frozen=True)
class Look:
    """One row through the draft's prompt."""

    row: SampleRow
    rows: int
    columns: tuple[str, ...]
    preview: Preview | None
    problems: tuple[Problem, ...]
    control_tokens: tuple[str, ...]
    lost: UserError | None
    """Why there is no tokenizer, and so no preview."""


def prompt_typed(draft: Draft) -> PromptSpec:
    """The prompt as it stands in the fields, whether or not it can be used."""
    names = PromptSpec.model_fields
    return PromptSpec().model_copy(
        update={name: draft.raw.get(f"prompt.{name}", draft.get(f"prompt.{name}")) for name in names}
    )


def class_names(table: Table, mapping: MappingSpec) -> list[str]:
    """The classes in the order in which a prompt lists them, after all that the mapping does to them."""
    if mapping.rare_below or mapping.fold_label_variants or mapping.dropped_classes:
        return natural_order([name for name, _ in class_counts(table, mapping)])
    values = [value for value, _ in label_counts(table, mapping.label)]
    return natural_order(list(dict.fromkeys(mapping.class_names.get(value, value) for value in values)))


def look_at(workspace: Workspace, draft: Draft, tokenizers: Tokenizers) -> Look:
    """The draft's row through its prompt. Raises UserError where the data cannot be read or are not complete."""
    table = open_role(workspace, draft, "train")
    if table is None or missing(draft):
        raise UserError("The data is not complete.", "Data", missing(draft))
    mapping, spec = MappingSpec.model_validate(draft.spec["mapping"]), prompt_typed(draft)
    labels = class_names(table, mapping)
    row = _learned(table, mapping, sample_row(table, mapping, draft.row, prompt_columns(spec, table.names)), labels)
    wrong = _cannot_be_used(draft)
    try:
        tokenizer = tokenizers.find(ModelSpec.model_validate(draft.spec["model"]))
    except UserError as error:
        problems = [
            Problem("error", e.where, e.what, e.todo) for e in prompt_problems(spec, table.names, mapping.label)
        ]
        return Look(row, table.rows, table.names, None, (*wrong, *problems), (), error)
    found = preview(
        spec, tokenizer, row.values, row.label, columns=table.names, label_column=mapping.label,
        labels=labels, max_length=draft.get("model.max_length"),
    )  # fmt: skip
    control = tuple(str(tokenizer.tokens.id_to_token(index)) for index in tokenizer.special_ids)
    return Look(row, table.rows, table.names, found, (*wrong, *found.problems), control, None)


def _learned(table: Table, mapping: MappingSpec, row: SampleRow, labels: list[str]) -> SampleRow:
    """The row with the class that it is learned with; where its class is dropped, the next row that has one."""
    if not labels:
        raise UserError("Every class is left out.", "Data", "Set the number for rare classes lower, or keep more.")
    steps = steps_of(table, mapping)
    while steps.of(row.label) not in labels:
        columns = [name for name in row.values if name != "text"]
        row = sample_row(table, mapping, row_beside(table, mapping, row.number), columns)
    return replace(row, label=steps.of(row.label))


def _cannot_be_used(draft: Draft) -> list[Problem]:
    """What the schema refuses. Of an empty template the prompt's own checks say more."""
    problems = []
    for key in FIELDS:
        if draft.raw.get(key):
            try:
                read_value(SETTINGS[key], draft.raw[key])
            except UserError as error:
                problems.append(Problem("error", key, error.what, ""))
    if draft.raw.get("model.max_length") == "":
        problems.append(Problem("error", "model.max_length", "This cannot be empty.", ""))
    return problems


def prompt_view(step: PromptStep, draft: Draft) -> dict[Any, Any]:
    """New values for the fields; the row follows, since the tokenizer may have to be read or fetched first."""
    fields = {step.inputs[key]: field_value(draft, key) for key in FIELDS}
    waiting = gr.update(value=busy_html("Reading the model's tokenizer"))
    return fields | {step.text: waiting, step.other: "", step.status: ""}


def field_value(draft: Draft, key: str) -> Any:
    return draft.raw.get(key, shown(SETTINGS[key], draft.get(key)))


def row_view(workspace: Workspace, step: PromptStep, draft: Draft, tokenizers: Tokenizers) -> dict[Any, Any]:
    """The row as the model reads it, and what is wrong, for `step.seen()`."""
    try:
        look = look_at(workspace, draft, tokenizers)
    except UserError as error:
        return {step.text: no_preview_html(error), step.next: gr.update(interactive=False)}
    by_field = {key: [problem for problem in look.problems if problem.field == key] for key in FIELDS}
    rest = [_of_this_row(problem) for problem in look.problems if problem.field not in FIELDS]
    notes = {}
    for key in FIELDS:
        changed = key in draft.raw or not same(draft.get(key), usual(draft, key))
        notes[step.notes[key]] = note_html(by_field[key], changed)
    return {
        **notes,
        step.position: position_html(look.row.number, look.rows),
        step.other: note_html(rest, False),
        **_text_view(step, look),
        **_status_view(step, look),
    }


def chips_view(workspace: Workspace, step: PromptStep, draft: Draft) -> dict[Any, Any]:
    """The placeholders that each template may hold."""
    try:
        table = open_role(workspace, draft, "train")
    except UserError:
        return {}  # said by the row's view
    reserved = {draft.spec["mapping"]["label"], "text", "labels", "label"}
    names = ["text", "labels", *(name for name in (table.names if table else ()) if name not in reserved)]
    is_raw = draft.get("prompt.template") == "raw"
    user = ["system", *(name for name in names if name != "system")] if is_raw else names
    return {
        step.chips["system"]: chips_html(names),
        step.chips["user"]: chips_html(user),
        step.chips["assistant"]: chips_html(["label"]),
    }


def _of_this_row(problem: Problem) -> Problem:
    """The prompt's code counts the rows that it is given, and here that is always one."""
    what = problem.what.removeprefix("Row 1: ")
    return Problem(problem.severity, problem.field, what[:1].upper() + what[1:], problem.todo)


def _text_view(step: PromptStep, look: Look) -> dict[Any, Any]:
    if look.preview is None:
        assert look.lost is not None
        return {step.text: no_preview_html(look.lost), step.count: ""}
    if not look.preview.segments:
        wrong = '<div class="no-preview">The row is shown once what is wrong is put right.</div>'
        return {step.text: wrong, step.count: ""}
    return {step.text: text_html(look.preview, look.control_tokens), step.count: count_html(look.preview)}


def _status_view(step: PromptStep, look: Look) -> dict[Any, Any]:
    wrong = [problem.field for problem in look.problems if problem.severity == "error"]
    names = dict.fromkeys(label(SETTINGS[key]) if key in SETTINGS else "this row" for key in wrong)
    said = f'<span class="bad">Put right first: {", ".join(names)}.</span>' if wrong else ""
    return {step.status: said, step.next: gr.update(interactive=not wrong)}


def check_prompt(workspace: Workspace, spec: RunSpec, tokenizers: Tokenizers) -> None:
    """Raises UserError where the run's prompt cannot be used with its data and its model."""
    table = open_table(spec.data.train, workspace)
    for problem in prompt_problems(spec.prompt, table.names, spec.mapping.label):
        raise problem
    build_prompt(
        spec.prompt, tokenizers.find(spec.model), columns=table.names, label_column=spec.mapping.label,
        labels=class_names(table, spec.mapping), max_length=spec.model.max_length,
    )  # fmt: skip
