"""Step 1, Data: a file comes in, is read and shown, its columns are chosen, and the checks say what they found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from core.data.checks import Finding, check_data
from core.data.table import Table, label_counts, preview, text_lengths
from core.errors import UserError
from core.runs.store import Store, open_store
from core.schema import MappingSpec, SplitSpec
from core.workspace import Workspace
from ui.new_run.columns import Columns, build_columns, choose_columns, columns_view, names_from_file, rename_classes
from ui.new_run.data_html import (
    bars_html,
    busy_html,
    class_colours,
    columns_html,
    facts_html,
    findings_html,
    lengths_html,
    preview_html,
    problem_html,
)
from ui.new_run.draft import Draft, editing, missing, read_draft
from ui.new_run.files import given_path, keep_upload, open_role
from ui.new_run.parts import PRIVATE, PartBlock, build_part, connect_part, part_view
from ui.new_run.reading import Reading, build_reading, read_again, reading_view
from ui.new_run.source import Source, build_source, drafts_view, start_over, take_file, take_sample
from ui.run.words import rows

PAGE_ROWS = 10


@dataclass(frozen=True)
class DataStep:
    source: Source
    problem: gr.HTML
    opened: gr.Column
    facts: gr.HTML
    change: gr.Button
    other: gr.Button
    reading: Reading
    said: gr.HTML
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
    stratified: gr.Checkbox
    findings: gr.HTML
    foot: gr.Row
    status: gr.HTML
    next: gr.Button

    def components(self) -> list[Any]:
        """Everything that a look at the draft may change."""
        source, reading, columns = self.source, self.reading, self.columns
        return [
            source.box, source.drop, source.path, source.drafts, self.problem, self.opened, self.facts, reading.box,
            *reading.inputs(), self.said, columns.text, columns.label, columns.reasons, columns.names_fold, columns.names,
            columns.names_problem, columns.joiner, columns.backslash, self.bars, self.lengths, self.profile, self.preview,
            self.back, self.position, self.forth, self.offset, *self.test.components(), *self.validation.components(),
            self.stratified, self.findings, self.foot, self.status,
        ]  # fmt: skip


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
            reading = build_reading()
            said = gr.HTML(apply_default_css=False, visible=False, elem_classes="said")
            columns = build_columns()
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
            stratified = gr.Checkbox(label="Shares keep each class's part of the whole", elem_id="stratified")
        findings = gr.HTML(apply_default_css=False, elem_classes="card", elem_id="findings")
    with gr.Row(visible=False, elem_classes="foot") as foot:
        status = gr.HTML(apply_default_css=False, elem_id="data-status")
        onward = gr.Button("Model →", variant="primary", min_width=150, elem_id="to-model")
    return DataStep(
        source, problem, opened, facts, change, other, reading, said, columns, bars, lengths, profile, rows_shown, back,
        position, forth, gr.State(0), test, validation, stratified, findings, foot, status, onward,
    )  # fmt: skip


# What the draft looks like


def data_view(workspace: Workspace, step: DataStep, draft: Draft) -> dict[Any, Any]:
    """New values for everything but the findings, which take longer. An unreadable file shows the start, and why."""
    store = open_store(workspace)
    try:
        train = open_role(workspace, draft, "train")
    except UserError as error:
        return _start_view(step, store, draft, error)
    if train is None:
        return _start_view(step, store, draft, None)
    mapping = draft.spec["mapping"]
    text = tuple(name for name in mapping["text"] if name in train.names)
    label = mapping["label"] if mapping["label"] in train.names else None
    counts = label_counts(train, label) if label else []
    lengths = text_lengths(train, text, mapping["joiner"], mapping["backslash_is_space"]) if text else {}
    names = mapping.get("class_names") or {}
    return {
        step.source.box: gr.update(visible=False),
        step.source.drop: None,
        step.source.drafts: gr.update(visible=False),
        step.problem: gr.update(value="", visible=False),
        step.opened: gr.update(visible=True),
        step.foot: gr.update(visible=True),
        step.facts: facts_html(train),
        step.said: gr.update(value="", visible=False),
        **reading_view(step.reading, draft, train),
        **columns_view(step.columns, draft, train, counts),
        step.bars: bars_html(counts, names),
        step.lengths: lengths_html(lengths),
        step.profile: columns_html(train, text, label),
        **preview_view(step, train, draft, 0, counts),
        **_part_view(workspace, step.test, draft),
        **_part_view(workspace, step.validation, draft),
        step.stratified: draft.get("split.stratified"),
        step.findings: busy_html("Checking the data"),
        step.status: "",
    }


def _start_view(step: DataStep, store: Store, draft: Draft, error: UserError | None) -> dict[Any, Any]:
    return {
        step.source.box: gr.update(visible=True),
        step.source.drop: None,
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
    label, names = draft.spec["mapping"]["label"], draft.spec["mapping"].get("class_names") or {}
    found = preview(table, offset, PAGE_ROWS)
    last = min(offset + PAGE_ROWS, table.rows)
    return {
        step.preview: preview_html(table.names, found, offset, label, class_colours(counts, names)),
        step.position: f"<h3>Rows {offset + 1:,} to {last:,} <small>of {table.rows:,}</small></h3>",
        step.back: gr.update(interactive=offset > 0),
        step.forth: gr.update(interactive=last < table.rows),
        step.offset: offset,
    }


def find_problems(workspace: Workspace, draft: Draft) -> list[Finding]:
    """What the checks say of the draft's data. Raises UserError where a file cannot be read or something is missing."""
    needed = missing(draft)
    if needed:
        raise UserError(needed, "", "")
    train = open_role(workspace, draft, "train")
    mapping = MappingSpec.model_validate(draft.spec["mapping"])
    split = SplitSpec.model_validate(draft.spec.get("split") or {})
    if train is None:
        return []
    return check_data(
        train, open_role(workspace, draft, "validation"), open_role(workspace, draft, "test"), mapping, split
    )


def ready_words(findings: list[Finding]) -> str:
    """One line beside the button: what stands in the way, or how the data look."""
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    if errors:
        return f'<span class="bad">{errors} thing{"s" if errors > 1 else ""} must be put right first.</span>'
    return f"{warnings} thing{'s' if warnings > 1 else ''} to look at." if warnings else "The data are ready."


# What a person does


def connect_data(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, steps: list[gr.Step], keep_address: dict[str, Any]
) -> Callable[[str], dict[Any, Any]]:
    """Wire the step's events. Returns the function that checks the data; `checked(step, steps)` are its outputs."""
    check = _checker(workspace, step, steps)
    outputs, seen = step.components(), checked(step, steps)
    then: dict[str, Any] = {"fn": check, "inputs": draft_id, "outputs": seen, **PRIVATE}
    _connect_source(workspace, step, draft_id, outputs, then, keep_address)
    _connect_reading(workspace, step, draft_id, outputs, then)
    _connect_columns(workspace, step, draft_id, outputs, then)
    connect_part(workspace, step.test, draft_id, check, seen)
    connect_part(workspace, step.validation, draft_id, check, seen)
    return check


def checked(step: DataStep, steps: list[gr.Step]) -> list[Any]:
    return [step.findings, step.status, *steps]


def _checker(workspace: Workspace, step: DataStep, steps: list[gr.Step]) -> Callable[[str], dict[Any, Any]]:
    store = open_store(workspace)

    def check(draft_id: str) -> dict[Any, Any]:
        """The findings, and whether the steps behind this one can be opened."""
        draft = read_draft(store, draft_id)
        reachable = False
        if not draft.spec["data"].get("train"):
            shown = {step.findings: "", step.status: ""}
        else:
            try:
                findings = find_problems(workspace, draft)
                shown = {step.findings: f"<h3>Checks</h3>{findings_html(findings)}", step.status: ready_words(findings)}
                reachable = all(finding.severity != "error" for finding in findings)
            except UserError as error:
                what = escape(error.what)
                shown = {step.findings: f'<h3>Checks</h3><p class="quiet">{what}</p>', step.status: what}
        return shown | {later: gr.Step(interactive=reachable) for later in steps}

    return check


def _connect_source(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any],
    keep_address: dict[str, Any],
) -> None:  # fmt: skip
    store, source = open_store(workspace), step.source

    def opening(name: str, take: Callable[[], Draft]) -> Iterator[dict[Any, Any]]:
        yield {step.problem: gr.update(value=busy_html(f"Reading {name}"), visible=True)}
        try:
            draft = take()
        except UserError as error:
            yield {step.problem: gr.update(value=problem_html(error), visible=True), source.drop: None}
            return
        yield data_view(workspace, step, draft)

    def upload(draft_id: str, uploaded: str) -> Iterator[dict[Any, Any]]:
        yield from opening(
            Path(uploaded).name, lambda: take_file(workspace, store, draft_id, keep_upload(workspace, uploaded))
        )

    def open_path(draft_id: str, text: str) -> Iterator[dict[Any, Any]]:
        yield from opening(
            Path(text.strip()).name or "the file", lambda: take_file(workspace, store, draft_id, given_path(text))
        )

    def pick(draft_id: str, event: gr.EventData) -> Iterator[dict[Any, Any]]:
        yield from opening("the sample", lambda: take_sample(workspace, store, draft_id, event.key))

    def another(draft_id: str) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            start_over(draft)
        return data_view(workspace, step, draft)

    def remove(draft_id: str, event: gr.EventData) -> dict[Any, Any]:
        store.delete_draft(event.key)
        return drafts_view(source, store, draft_id)

    quiet = PRIVATE
    for event in (
        source.drop.upload(upload, [draft_id, source.drop], outputs, **quiet),
        gr.on([source.open.click, source.path.submit], open_path, [draft_id, source.path], outputs, **quiet),
        source.samples.click(pick, draft_id, outputs, **quiet),
        step.other.click(another, draft_id, outputs, **quiet),
    ):
        event.then(**keep_address).then(**then)
    source.drafts.click(remove, draft_id, source.drafts, **quiet)


def _connect_reading(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, is_open = open_store(workspace), gr.State(False)

    def toggle(opened: bool) -> tuple[Any, ...]:
        return not opened, gr.update(visible=not opened), "Change" if opened else "Close"

    def again(draft_id: str, *given: Any) -> dict[Any, Any]:
        try:
            draft, said = read_again(workspace, store, draft_id, *given)
        except UserError as error:
            return {step.said: gr.update(value=problem_html(error), visible=True)}
        told = {step.said: gr.update(value=f'<p class="quiet">{said}</p>', visible=True)} if said else {}
        return data_view(workspace, step, draft) | told

    def turn(direction: int) -> Callable[[str, int], dict[Any, Any]]:
        def page(draft_id: str, offset: int) -> dict[Any, Any]:
            draft = read_draft(store, draft_id)
            table = open_role(workspace, draft, "train")
            if table is None:
                return {}
            label = draft.spec["mapping"]["label"]
            counts = label_counts(table, label) if label in table.names else []
            last_page = (table.rows - 1) // PAGE_ROWS * PAGE_ROWS
            return preview_view(step, table, draft, min(max(0, offset + direction * PAGE_ROWS), last_page), counts)

        return page

    paged = [step.preview, step.position, step.back, step.forth, step.offset]
    step.change.click(toggle, is_open, [is_open, step.reading.box, step.change], **PRIVATE)
    step.reading.again.click(again, [draft_id, *step.reading.inputs()], outputs, **PRIVATE).then(**then)
    step.back.click(turn(-1), [draft_id, step.offset], paged, **PRIVATE)
    step.forth.click(turn(1), [draft_id, step.offset], paged, **PRIVATE)


def _connect_columns(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, columns = open_store(workspace), step.columns

    def choose(draft_id: str, *chosen: Any) -> dict[Any, Any]:
        return data_view(workspace, step, choose_columns(store, draft_id, *chosen))

    def rename(draft_id: str, names: list[list[str]]) -> dict[Any, Any]:
        draft = rename_classes(store, draft_id, names)
        table = open_role(workspace, draft, "train")
        counts = label_counts(table, draft.spec["mapping"]["label"]) if table else []
        return {step.bars: bars_html(counts, draft.spec["mapping"]["class_names"])}

    def name_by_file(draft_id: str, uploaded: str) -> dict[Any, Any]:
        try:
            return data_view(workspace, step, names_from_file(workspace, store, draft_id, Path(uploaded)))
        except UserError as error:
            return {columns.names_problem: gr.update(value=problem_html(error), visible=True)}

    def clear(draft_id: str) -> dict[Any, Any]:
        return data_view(workspace, step, rename_classes(store, draft_id, []))

    def stratify(draft_id: str, stratified: bool) -> None:
        with editing(store, draft_id) as draft:
            draft.put("split.stratified", stratified)

    inputs = [draft_id, columns.text, columns.label, columns.joiner, columns.backslash]
    gr.on(
        [columns.text.input, columns.label.input, columns.backslash.input, columns.joiner.blur], choose, inputs, outputs,
        **PRIVATE,
    ).then(**then)  # fmt: skip
    columns.names.input(rename, [draft_id, columns.names], step.bars, **PRIVATE).then(**then)
    columns.names_file.upload(name_by_file, [draft_id, columns.names_file], outputs, **PRIVATE).then(**then)
    columns.names_clear.click(clear, draft_id, outputs, **PRIVATE).then(**then)
    step.stratified.input(stratify, [draft_id, step.stratified], None, **PRIVATE).then(**then)
