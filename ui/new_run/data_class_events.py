"""What happens on the Data step when columns are chosen, classes renamed, merged or left out, or a chat form chosen."""

from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import UserError
from core.runs.store import open_store
from core.workspace import Workspace
from ui.events import CHOSEN, PRIVATE, without_sent
from ui.new_run.chat_columns import choose_chat_columns, choose_kind
from ui.new_run.class_steps import choose_fold, class_steps_view, drop_picked, merge_picked, undo_step
from ui.new_run.columns import choose_columns, names_from_file, rename_classes
from ui.new_run.data_html import problem_html
from ui.new_run.data_view import DataStep, classes_html, data_view, preview_view
from ui.new_run.draft import read_draft
from ui.new_run.files import open_role
from ui.new_run.label_columns import (
    choose_label_columns,
    choose_place,
    choose_rare,
    choose_separator,
    draft_counts,
    follow_label,
    rare_preview,
)
from ui.new_run.text_template import choose_template


def connect_columns(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, columns = open_store(workspace), step.columns

    def choose(draft_id: str, *chosen: Any) -> dict[Any, Any]:
        before = read_draft(store, draft_id)
        draft = choose_columns(store, draft_id, *chosen)
        table = open_role(workspace, draft, "train")
        if table and draft.kind == "multi" and draft.spec["mapping"]["label"] != before.spec["mapping"]["label"]:
            draft = follow_label(store, draft_id, table)
        if draft == before:  # Gradio tells of one choice in a list twice
            return {}
        return without_sent(data_view(workspace, step, draft), inputs[1:], chosen)

    def rename(draft_id: str, names: list[list[str]], offset: int) -> dict[Any, Any]:
        draft = read_draft(store, draft_id)
        table = open_role(workspace, draft, "train")
        if table is None:
            return {}
        counts = draft_counts(draft, table)
        draft = rename_classes(store, draft_id, names, (value for value, _ in counts))
        rows = preview_view(step, table, draft, offset, counts)
        return {
            step.bars: classes_html(draft, table, counts),
            step.preview: rows[step.preview],
            **class_steps_view(columns.steps, draft, table, counts),
        }

    def name_by_file(draft_id: str, uploaded: str) -> dict[Any, Any]:
        try:
            return data_view(workspace, step, names_from_file(workspace, store, draft_id, Path(uploaded)))
        except UserError as error:
            return {columns.names_problem: gr.update(value=problem_html(error), visible=True)}

    def clear(draft_id: str) -> dict[Any, Any]:
        return data_view(workspace, step, rename_classes(store, draft_id, [], _values(workspace, draft_id)))

    inputs = [draft_id, columns.text, columns.label, columns.joiner, columns.backslash]
    events = [columns.text.input, columns.label.input, columns.backslash.input, columns.joiner.blur]
    gr.on(events, choose, inputs, outputs, **CHOSEN).then(**then)
    renamed = [step.bars, step.preview, *columns.steps.components()]
    columns.names.input(rename, [draft_id, columns.names, step.offset], renamed, **CHOSEN).then(**then)
    columns.names_file.upload(name_by_file, [draft_id, columns.names_file], outputs, **PRIVATE).then(**then)
    columns.names_clear.click(clear, draft_id, outputs, **PRIVATE).then(**then)


def connect_labels(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, labels = open_store(workspace), step.columns.labels

    def place(draft_id: str, place: str) -> dict[Any, Any]:
        table = open_role(workspace, read_draft(store, draft_id), "train")
        return data_view(workspace, step, choose_place(store, draft_id, table, place)) if table else {}

    def choose(draft_id: str, columns: list[str]) -> dict[Any, Any]:
        view = data_view(workspace, step, choose_label_columns(store, draft_id, columns))
        return without_sent(view, [labels.columns], [columns])

    def separate(draft_id: str, separator: str | None) -> dict[Any, Any]:
        return data_view(workspace, step, choose_separator(store, draft_id, separator))

    def rare(draft_id: str, how: str, below: float) -> dict[Any, Any]:
        return data_view(workspace, step, choose_rare(store, draft_id, how, below))

    def moved(draft_id: str, how: str, below: float) -> dict[Any, Any]:
        draft = choose_rare(store, draft_id, how, below)
        table = open_role(workspace, draft, "train")
        return rare_preview(labels, draft, draft_counts(draft, table)) if table else {}

    labels.place.input(place, [draft_id, labels.place], outputs, **CHOSEN).then(**then)
    labels.columns.input(choose, [draft_id, labels.columns], outputs, **CHOSEN).then(**then)
    labels.separator.input(separate, [draft_id, labels.separator], outputs, **CHOSEN).then(**then)
    given = [draft_id, labels.rare, labels.rare_below]
    # Kept with each change; shown, which takes longer, when the field is left.
    labels.rare_below.input(moved, given, labels.rare_said, **CHOSEN)
    gr.on([labels.rare.input, labels.rare_below.release], rare, given, outputs, **CHOSEN).then(**then)


def connect_classes(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, columns, steps = open_store(workspace), step.columns, step.columns.steps

    def fold(draft_id: str, fold: bool) -> dict[Any, Any]:
        return data_view(workspace, step, choose_fold(store, draft_id, fold))

    def undo(draft_id: str, event: gr.EventData) -> dict[Any, Any]:
        return data_view(workspace, step, undo_step(store, draft_id, event.key, _values(workspace, draft_id)))

    def merge(draft_id: str, picked: list[str], into: str) -> dict[Any, Any]:
        draft = read_draft(store, draft_id)
        table = open_role(workspace, draft, "train")
        if table is None:
            return {}
        try:
            draft = merge_picked(store, draft_id, table, draft_counts(draft, table), picked, into)
        except UserError as error:
            return {steps.problem: gr.update(value=problem_html(error), visible=True)}
        return data_view(workspace, step, draft)

    def drop(draft_id: str, picked: list[str]) -> dict[Any, Any]:
        try:
            return data_view(workspace, step, drop_picked(store, draft_id, picked))
        except UserError as error:
            return {steps.problem: gr.update(value=problem_html(error), visible=True)}

    def template(draft_id: str, text: str) -> dict[Any, Any]:
        table = open_role(workspace, read_draft(store, draft_id), "train")
        return data_view(workspace, step, choose_template(store, draft_id, table, text)) if table else {}

    steps.variants.input(fold, [draft_id, steps.variants], outputs, **CHOSEN).then(**then)
    steps.done.click(undo, draft_id, outputs, **PRIVATE).then(**then)
    steps.merge.click(merge, [draft_id, steps.picked, steps.into], outputs, **PRIVATE).then(**then)
    steps.drop.click(drop, [draft_id, steps.picked], outputs, **PRIVATE).then(**then)
    columns.template.blur(template, [draft_id, columns.template], outputs, **PRIVATE).then(**then)


def _values(workspace: Workspace, draft_id: str) -> list[str]:
    """Of the draft's label, the most frequent first."""
    draft = read_draft(open_store(workspace), draft_id)
    table = open_role(workspace, draft, "train")
    return [value for value, _ in draft_counts(draft, table)] if table else []


def connect_chat(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, fields = open_store(workspace), list(step.chat.fields.values())

    def switch(draft_id: str, kind: str) -> dict[Any, Any]:
        table = open_role(workspace, read_draft(store, draft_id), "train")
        return data_view(workspace, step, choose_kind(store, draft_id, table, kind)) if table else {}

    def choose(draft_id: str, *given: str) -> dict[Any, Any]:
        view = data_view(workspace, step, choose_chat_columns(store, draft_id, *given))
        return without_sent(view, fields, given)

    step.chat.kind.input(switch, [draft_id, step.chat.kind], outputs, **CHOSEN).then(**then)
    gr.on([field.input for field in fields], choose, [draft_id, *fields], outputs, **CHOSEN).then(**then)
