"""Step 1, Data: a file comes in, is read and shown, its columns are chosen, and the checks say what they found."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from html import escape
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import gradio as gr

from core.data.hub_data import PREFIX, Told
from core.deletion import delete_draft
from core.errors import UserError
from core.runs.store import open_store
from core.workspace import Workspace
from ui.new_run.big_file import build_big_file, check_waits, connect_big_file
from ui.new_run.chat_columns import build_chat_columns, build_kind, choose_chat_columns, choose_kind
from ui.new_run.checks import checks_html, find_all, fix, look
from ui.new_run.class_steps import choose_fold, class_steps_view, drop_picked, merge_picked, undo_step
from ui.new_run.columns import build_columns, choose_columns, names_from_file, rename_classes
from ui.new_run.data_html import busy_html, problem_html
from ui.new_run.data_view import DataStep, classes_html, data_view, page_rows, preview_view, ready_words
from ui.new_run.division import build_division, connect_division
from ui.new_run.draft import Draft, editing, read_draft
from ui.new_run.files import given_path, keep_uploads, open_role
from ui.new_run.inside import build_inside, choose_inside
from ui.new_run.label_columns import (
    choose_label_columns,
    choose_place,
    choose_rare,
    choose_separator,
    draft_counts,
    follow_label,
    rare_preview,
)
from ui.new_run.parts import PRIVATE, build_part, connect_part
from ui.new_run.reading import build_lines, build_reading, read_again
from ui.new_run.source import PICK_SCRIPT, ask_hub, build_source, drafts_view, start_over, take_files, take_sample
from ui.new_run.text_template import choose_template

MANY_ROWS = 50_000
TELLING_SECONDS = 0.2


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
            said = gr.HTML(apply_default_css=False, visible=False, elem_classes="said")
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
        source, problem, opened, facts, change, other, inside, reading, big, said, chat, columns, bars, lengths,
        profile, rows_shown, back, position, forth, gr.State(0), test, validation, division, findings, foot, status,
        onward,
    )  # fmt: skip


def connect_data(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, steps: list[gr.Step], keep_address: dict[str, Any]
) -> Callable[[str], dict[Any, Any]]:
    """Wire the step's events. Returns the function that checks the data; `checked(step, steps)` are its outputs."""
    check = _checker(workspace, step, steps)
    outputs, seen = step.components(), checked(step, steps)
    watch = _watched(workspace, step, check)
    then: dict[str, Any] = {"fn": watch, "inputs": draft_id, "outputs": seen, **PRIVATE}
    _connect_source(workspace, step, draft_id, outputs, then, keep_address)
    _connect_reading(workspace, step, draft_id, outputs, then)
    _connect_columns(workspace, step, draft_id, outputs, then)
    _connect_labels(workspace, step, draft_id, outputs, then)
    _connect_chat(workspace, step, draft_id, outputs, then)
    connect_part(workspace, step.test, draft_id, watch, seen)
    connect_part(workspace, step.validation, draft_id, watch, seen)
    connect_division(workspace, step.division, draft_id, watch, seen)
    connect_big_file(workspace, step.big, draft_id, lambda draft: data_view(workspace, step, draft), outputs, then)
    _connect_classes(workspace, step, draft_id, outputs, then)
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


def _connect_source(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any],
    keep_address: dict[str, Any],
) -> None:  # fmt: skip
    store, source = open_store(workspace), step.source

    def opening(name: str, take: Callable[[Told], Draft]) -> Iterator[dict[Any, Any]]:
        said: SimpleQueue[str] = SimpleQueue()
        yield {step.problem: gr.update(value=busy_html(f"Reading {name}"), visible=True)}
        try:
            with ThreadPoolExecutor(1) as working:
                taking = working.submit(take, said.put)
                while not wait([taking], TELLING_SECONDS).done:
                    while not said.empty():
                        yield {step.problem: gr.update(value=busy_html(said.get()), visible=True)}
                draft = taking.result()
        except UserError as error:
            yield {step.problem: gr.update(value=problem_html(error), visible=True), source.drop: None}
            return
        yield data_view(workspace, step, draft)

    def upload(draft_id: str, uploaded: list[str]) -> Iterator[dict[Any, Any]]:
        name = Path(uploaded[0]).name if len(uploaded) == 1 else f"{len(uploaded)} files"
        yield from opening(
            name, lambda tell: take_files(workspace, store, draft_id, keep_uploads(workspace, uploaded), tell)
        )

    def open_path(draft_id: str, text: str) -> Iterator[dict[Any, Any]]:
        name = Path(text.strip()).name or "the file"

        def take(tell: Told) -> Draft:
            word = text.strip() if text.strip().startswith(PREFIX) else str(given_path(text))
            return take_files(workspace, store, draft_id, [word], tell)

        yield from opening(name, take)

    def fetch(draft_id: str, name: str) -> Iterator[dict[Any, Any]]:
        yield from opening(
            f"{name} of the hub", lambda tell: take_files(workspace, store, draft_id, [f"{PREFIX}{name}"], tell)
        )

    def pick(draft_id: str, event: gr.EventData) -> Iterator[dict[Any, Any]]:
        yield from opening("the sample", lambda _: take_sample(workspace, store, draft_id, event.key))

    def another(draft_id: str) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            start_over(draft)
        return data_view(workspace, step, draft)

    def remove(draft_id: str, event: gr.EventData) -> dict[Any, Any]:
        delete_draft(workspace, event.key)
        return drafts_view(source, store, draft_id)

    quiet = PRIVATE
    for event in (
        source.drop.upload(upload, [draft_id, source.drop], outputs, **quiet),
        gr.on([source.open.click, source.path.submit], open_path, [draft_id, source.path], outputs, **quiet),
        gr.on([source.fetch.click, source.hub.submit], fetch, [draft_id, source.hub], outputs, **quiet),
        source.samples.click(pick, draft_id, outputs, **quiet),
        step.other.click(another, draft_id, outputs, **quiet),
    ):
        event.then(**keep_address).then(**then)
    source.drafts.click(remove, draft_id, source.drafts, **quiet)
    source.hub_fold.expand(partial(ask_hub, source), None, [source.hub_state, source.hub_row], **quiet)


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

    def choose(draft_id: str, *given: Any) -> dict[Any, Any]:
        try:
            draft, said = choose_inside(workspace, store, draft_id, *given)
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
            counts = [] if draft.is_chat else draft_counts(draft, table)
            size = page_rows(draft)
            last_page = (table.rows - 1) // size * size
            return preview_view(step, table, draft, min(max(0, offset + direction * size), last_page), counts)

        return page

    paged = [step.preview, step.position, step.back, step.forth, step.offset]
    step.change.click(toggle, is_open, [is_open, step.reading.box, step.change], **PRIVATE)
    gr.on(step.reading.changes(), again, [draft_id, *step.reading.inputs()], outputs, **PRIVATE).then(**then)
    inside = [step.inside.member, step.inside.sheet, step.inside.source]
    gr.on([one.input for one in inside], choose, [draft_id, *inside], outputs, **PRIVATE).then(**then)
    step.back.click(turn(-1), [draft_id, step.offset], paged, **PRIVATE)
    step.forth.click(turn(1), [draft_id, step.offset], paged, **PRIVATE)


def _connect_columns(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, columns = open_store(workspace), step.columns

    def choose(draft_id: str, *chosen: Any) -> dict[Any, Any]:
        before = read_draft(store, draft_id)
        draft = choose_columns(store, draft_id, *chosen)
        table = open_role(workspace, draft, "train")
        if table and draft.kind == "multi" and draft.spec["mapping"]["label"] != before.spec["mapping"]["label"]:
            draft = follow_label(store, draft_id, table)
        return data_view(workspace, step, draft)

    def rename(draft_id: str, names: list[list[str]], offset: int) -> dict[Any, Any]:
        draft = rename_classes(store, draft_id, names)
        table = open_role(workspace, draft, "train")
        if table is None:
            return {}
        counts = draft_counts(draft, table)
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
        return data_view(workspace, step, rename_classes(store, draft_id, []))

    inputs = [draft_id, columns.text, columns.label, columns.joiner, columns.backslash]
    chosen = [columns.text.input, columns.label.input, columns.backslash.input, columns.joiner.blur]
    gr.on(chosen, choose, inputs, outputs, **PRIVATE).then(**then)
    renamed = [step.bars, step.preview, *columns.steps.components()]
    columns.names.input(rename, [draft_id, columns.names, step.offset], renamed, **PRIVATE).then(**then)
    columns.names_file.upload(name_by_file, [draft_id, columns.names_file], outputs, **PRIVATE).then(**then)
    columns.names_clear.click(clear, draft_id, outputs, **PRIVATE).then(**then)


def _connect_labels(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, labels = open_store(workspace), step.columns.labels

    def place(draft_id: str, place: str) -> dict[Any, Any]:
        table = open_role(workspace, read_draft(store, draft_id), "train")
        return data_view(workspace, step, choose_place(store, draft_id, table, place)) if table else {}

    def choose(draft_id: str, columns: list[str]) -> dict[Any, Any]:
        return data_view(workspace, step, choose_label_columns(store, draft_id, columns))

    def separate(draft_id: str, separator: str | None) -> dict[Any, Any]:
        return data_view(workspace, step, choose_separator(store, draft_id, separator))

    def rare(draft_id: str, how: str, below: float) -> dict[Any, Any]:
        return data_view(workspace, step, choose_rare(store, draft_id, how, below))

    def moved(draft_id: str, how: str, below: float) -> dict[Any, Any]:
        draft = choose_rare(store, draft_id, how, below)
        table = open_role(workspace, draft, "train")
        return rare_preview(labels, draft, draft_counts(draft, table)) if table else {}

    labels.place.input(place, [draft_id, labels.place], outputs, **PRIVATE).then(**then)
    labels.columns.input(choose, [draft_id, labels.columns], outputs, **PRIVATE).then(**then)
    labels.separator.input(separate, [draft_id, labels.separator], outputs, **PRIVATE).then(**then)
    given = [draft_id, labels.rare, labels.rare_below]
    # Kept with each change; shown, which takes longer, when the field is left.
    labels.rare_below.input(moved, given, labels.rare_said, **PRIVATE | {"trigger_mode": "always_last"})
    gr.on([labels.rare.input, labels.rare_below.release], rare, given, outputs, **PRIVATE).then(**then)


def _connect_classes(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, columns, steps = open_store(workspace), step.columns, step.columns.steps

    def fold(draft_id: str, fold: bool) -> dict[Any, Any]:
        return data_view(workspace, step, choose_fold(store, draft_id, fold))

    def undo(draft_id: str, event: gr.EventData) -> dict[Any, Any]:
        return data_view(workspace, step, undo_step(store, draft_id, event.key))

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

    steps.variants.input(fold, [draft_id, steps.variants], outputs, **PRIVATE).then(**then)
    steps.done.click(undo, draft_id, outputs, **PRIVATE).then(**then)
    steps.merge.click(merge, [draft_id, steps.picked, steps.into], outputs, **PRIVATE).then(**then)
    steps.drop.click(drop, [draft_id, steps.picked], outputs, **PRIVATE).then(**then)
    columns.template.blur(template, [draft_id, columns.template], outputs, **PRIVATE).then(**then)


def _connect_chat(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, fields = open_store(workspace), list(step.chat.fields.values())

    def switch(draft_id: str, kind: str) -> dict[Any, Any]:
        table = open_role(workspace, read_draft(store, draft_id), "train")
        return data_view(workspace, step, choose_kind(store, draft_id, table, kind)) if table else {}

    def choose(draft_id: str, *given: str) -> dict[Any, Any]:
        return data_view(workspace, step, choose_chat_columns(store, draft_id, *given))

    step.chat.kind.input(switch, [draft_id, step.chat.kind], outputs, **PRIVATE).then(**then)
    gr.on([field.input for field in fields], choose, [draft_id, *fields], outputs, **PRIVATE).then(**then)
