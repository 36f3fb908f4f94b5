"""What the Data step shows of a draft: the file, its columns, classes, lengths, rows, and what the checks found."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.data.findings import Finding
from core.data.table import Table, preview, text_lengths
from core.errors import UserError
from core.runs.store import Store, open_store
from core.workspace import Workspace
from ui.new_run.big_file import BigFile, big_file_view
from ui.new_run.chat_columns import FIELDS, ChatChoice, chat_columns_view, chosen_form, talks_html
from ui.new_run.class_steps import shown_classes
from ui.new_run.columns import Columns, columns_view
from ui.new_run.data_html import (
    bars_html,
    busy_html,
    columns_html,
    facts_html,
    lengths_html,
    preview_html,
    problem_html,
)
from ui.new_run.division import DivisionBlock, division_view
from ui.new_run.draft import TEMPLATE_KEY, Draft, by_columns
from ui.new_run.files import open_role
from ui.new_run.inside import Inside, inside_view
from ui.new_run.label_columns import counts_shown, draft_counts
from ui.new_run.parts import PartBlock, part_view
from ui.new_run.reading import Reading, reading_view
from ui.new_run.source import Source, drafts_view

PAGE_ROWS = 10
PAGE_TALKS = 5
"""Conversations are longer than rows."""


@dataclass(frozen=True)
class DataStep:
    source: Source
    problem: gr.HTML
    opened: gr.Column
    facts: gr.HTML
    change: gr.Button
    other: gr.Button
    inside: Inside
    reading: Reading
    big: BigFile
    refused: gr.HTML
    """Why a file cannot be read as it was asked for."""
    said: gr.HTML
    """What reading it otherwise changed of the choices made before."""
    chat: ChatChoice
    columns: Columns
    bars: gr.HTML
    lengths: gr.HTML
    profile: gr.HTML
    preview: gr.HTML
    back: gr.Button
    position: gr.HTML
    forth: gr.Button
    offset: gr.State
    test: PartBlock
    validation: PartBlock
    division: DivisionBlock
    findings: gr.HTML
    foot: gr.Row
    status: gr.HTML
    next: gr.Button

    def components(self) -> list[Any]:
        """Everything that a look at the draft may change."""
        source, reading, columns = self.source, self.reading, self.columns
        return [
            source.box, source.path, source.hub, source.drafts, self.problem, self.opened, self.facts,
            *self.inside.components(), reading.box, reading.cells, *reading.components(),
            *self.big.components(), self.refused, self.said, *self.chat.components(), columns.box, columns.text,
            columns.label, *columns.labels.components(), columns.reasons, columns.names_fold,
            columns.names, columns.names_problem, *columns.steps.components(), columns.joiner, columns.backslash,
            columns.template, columns.template_said, self.bars, self.lengths, self.profile,
            self.preview, self.back, self.position, self.forth, self.offset, *self.test.components(),
            *self.validation.components(), *self.division.components(), self.findings, self.foot, self.status,
        ]  # fmt: skip


def data_view(workspace: Workspace, step: DataStep, draft: Draft) -> dict[Any, Any]:
    """New values for everything but the findings, which take longer. An unreadable file shows the start, and why."""
    store = open_store(workspace)
    try:
        train = open_role(workspace, draft, "train")
    except UserError as error:
        return _start_view(step, store, draft, error)
    if train is None:
        return _start_view(step, store, draft, None)
    return {
        step.source.box: gr.update(visible=False),
        step.source.drafts: gr.update(visible=False),
        step.problem: gr.update(value="", visible=False),
        step.opened: gr.update(visible=True),
        step.foot: gr.update(visible=True),
        step.facts: facts_html(train),
        step.refused: gr.update(value="", visible=False),
        step.said: gr.update(value="", visible=False),
        **inside_view(step.inside, train),
        **reading_view(step.reading, train),
        **big_file_view(step.big, workspace, draft),
        **chat_columns_view(step.chat, draft, train),
        **(_chat_view(step, draft, train) if draft.is_chat else _class_view(step, draft, train)),
        **_part_view(workspace, step.test, draft),
        **_part_view(workspace, step.validation, draft),
        **division_view(step.division, draft, train),
        step.findings: busy_html("Checking the data"),
        step.status: "",
    }


def _class_view(step: DataStep, draft: Draft, table: Table) -> dict[Any, Any]:
    """Columns, classes, lengths and rows of texts with labels."""
    mapping = draft.spec["mapping"]
    text = tuple(name for name in mapping["text"] if name in table.names)
    labels = [name for name in label_names(draft) if name in table.names]
    counts = draft_counts(draft, table)
    lengths = lengths_of(draft, table)
    roles = dict.fromkeys(text, "text") | dict.fromkeys(labels, "class" if by_columns(draft) else "label")
    return {
        **columns_view(step.columns, draft, table, counts),
        step.bars: gr.update(value=classes_html(draft, table, counts), visible=True),
        step.lengths: lengths_html(lengths),
        step.profile: columns_html(table, roles),
        **preview_view(step, table, draft, 0, counts),
    }


def label_names(draft: Draft) -> list[str]:
    """The columns that hold the labels, as far as they are chosen."""
    mapping = draft.spec["mapping"]
    return list(mapping["label_columns"]) if by_columns(draft) else [mapping["label"]] if mapping["label"] else []


def lengths_of(draft: Draft, table: Table) -> dict[str, float]:
    """Of the texts as the mapping makes them; {} until their columns are chosen."""
    mapping = draft.spec["mapping"]
    text = tuple(name for name in mapping["text"] if name in table.names)
    if not text:
        return {}
    # A template counts once it fits the columns; what is wrong with it stands beside its field.
    template = "" if TEMPLATE_KEY in draft.raw else mapping.get("text_template", "")
    return text_lengths(table, text, mapping["joiner"], mapping["backslash_is_space"], template)


def classes_html(draft: Draft, table: Table, counts: list[tuple[str, int]]) -> str:
    """The chart of classes, with rare ones merged or dropped as chosen."""
    shown, names = counts_shown(draft, table, counts)
    return bars_html(shown, names, draft.kind, table.rows)


def _chat_view(step: DataStep, draft: Draft, table: Table) -> dict[Any, Any]:
    """Columns, lengths and rows of conversations."""
    form = chosen_form(draft, table)
    said = [name for name in (form.conversation, form.instruction, form.input, form.response) if name] if form else []
    roles = {
        name: FIELDS[role][0].lower() for role, name in (form.model_dump() if form else {}).items() if name is not None
    }
    return {
        step.columns.box: gr.update(visible=False),
        step.bars: gr.update(value="", visible=False),
        step.lengths: lengths_html(text_lengths(table, tuple(said)) if said else {}, "conversations"),
        step.profile: columns_html(table, roles),
        **preview_view(step, table, draft, 0, []),
    }


def _start_view(step: DataStep, store: Store, draft: Draft, error: UserError | None) -> dict[Any, Any]:
    return {
        step.source.box: gr.update(visible=True),
        step.problem: gr.update(value=problem_html(error), visible=error is not None),
        step.opened: gr.update(visible=False),
        step.foot: gr.update(visible=False),
        **drafts_view(step.source, store, draft.id),
    }


def _part_view(workspace: Workspace, block: PartBlock, draft: Draft) -> dict[Any, Any]:
    try:
        return part_view(block, draft, open_role(workspace, draft, block.role))
    except UserError as error:
        return part_view(block, draft, None, error)


def preview_view(
    step: DataStep, table: Table, draft: Draft, offset: int, counts: list[tuple[str, int]]
) -> dict[Any, Any]:
    """A page of the file's rows."""
    last = min(offset + page_rows(draft), table.rows)
    return {
        step.preview: _rows_html(table, draft, offset, counts),
        step.position: f"<h3>Rows {offset + 1:,} to {last:,} <small>of {table.rows:,}</small></h3>",
        step.back: gr.update(interactive=offset > 0),
        step.forth: gr.update(interactive=last < table.rows),
        step.offset: offset,
    }


def page_rows(draft: Draft) -> int:
    return PAGE_TALKS if draft.is_chat else PAGE_ROWS


def _rows_html(table: Table, draft: Draft, offset: int, counts: list[tuple[str, int]]) -> str:
    if draft.is_chat:
        return talks_html(table, chosen_form(draft, table), offset, PAGE_TALKS)
    mapping = draft.spec["mapping"]
    class_names, colours = shown_classes(draft, table, counts)
    found = preview(table, offset, PAGE_ROWS)
    label = None if by_columns(draft) else mapping["label"]
    separator = mapping.get("label_separator", ";") if draft.kind == "multi" else None
    return preview_html(table.names, found, offset, mapping["text"], label, colours, class_names, separator)


def ready_words(findings: list[Finding]) -> str:
    """One line beside the button: what stands in the way, or how the data look."""
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    if errors:
        return f'<span class="bad">{errors} thing{"s" if errors > 1 else ""} must be put right first.</span>'
    return f"{warnings} thing{'s' if warnings > 1 else ''} to look at." if warnings else "The data are ready."
