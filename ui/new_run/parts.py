"""Where the rows for test or validation come from: a share of the training file, or a file of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.data.given import file_for_part
from core.data.table import Table, first_look
from core.errors import UserError
from core.runs.store import Store, open_store
from core.schema import TableFile
from core.workspace import Workspace
from ui.events import CHOSEN, PRIVATE
from ui.forms import read_value
from ui.new_run.data_html import facts_html, problem_html
from ui.new_run.draft import SETTINGS, Draft, editing, read_draft
from ui.new_run.files import FILE_TYPES, companion, given_path, keep_upload, open_role

TITLES = {"test": "Final test", "validation": "Validation"}
PURPOSES = {
    "test": "Held back to the end: it tells how good the model is.",
    "validation": "Decides, while it trains, which checkpoint is kept.",
}
USUAL_ROWS = 200


@dataclass(frozen=True)
class PartBlock:
    role: str
    source: gr.Radio
    share: gr.Textbox
    own: gr.Column
    drop: gr.File
    path: gr.Textbox
    open: gr.Button
    facts: gr.HTML
    problem: gr.HTML

    def components(self) -> list[Any]:
        return [self.source, self.share, self.own, self.drop, self.path, self.facts, self.problem]


def build_part(role: str) -> PartBlock:
    with gr.Column(elem_classes="part", min_width=280, elem_id=f"part-{role}"):
        source = gr.Radio(
            [("A share of this file", "share"), ("A number of rows", "rows"), ("A file of its own", "own")],
            value="share", label=TITLES[role], info=PURPOSES[role],
        )  # fmt: skip
        share = gr.Textbox(label="Share, percent", max_lines=1, elem_classes="short")
        with gr.Column(visible=False, elem_classes="own") as own:
            drop = gr.File(
                label=f"File for {TITLES[role].lower()}", file_types=FILE_TYPES, height=110, elem_id=f"{role}-file"
            )
            with gr.Row(elem_classes="path-row"):
                path = gr.Textbox(
                    label="or its path on this computer", placeholder="/home/me/test.csv", max_lines=1, scale=5,
                    min_width=160,
                )  # fmt: skip
                opening = gr.Button("Open", min_width=72, scale=0, size="md")
        facts = gr.HTML(visible=False, apply_default_css=False, elem_classes="part-facts")
        problem = gr.HTML(visible=False, apply_default_css=False)
    return PartBlock(role, source, share, own, drop, path, opening, facts, problem)


def connect_part(
    workspace: Workspace, block: PartBlock, draft_id: gr.Textbox, check: Callable[..., Any], checked: list[Any]
) -> None:
    """Wire a part's events; `check` runs after each change and fills `checked`."""
    store = open_store(workspace)

    def choose(draft_id: str, source: str) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            draft.own = tuple({*draft.own, block.role} if source == "own" else {*draft.own} - {block.role})
            if source != "own":
                draft.put(f"data.{block.role}", None)
            _measure_in(draft, block.role, source)
        return part_view(block, draft, None)

    def share(draft_id: str, text: str) -> dict[Any, Any]:
        return {block.problem: _set_share(store, draft_id, block.role, text)}

    def share_typed(draft_id: str, text: str) -> Any:
        return _set_share(store, draft_id, block.role, text)

    def take(draft_id: str, given: Callable[[], Any]) -> dict[Any, Any]:
        try:
            draft, table = _take_file(workspace, store, draft_id, block.role, given)
        except UserError as error:
            return {block.problem: gr.update(value=problem_html(error), visible=True), block.drop: None}
        return part_view(block, draft, table)

    def upload(draft_id: str, uploaded: str) -> dict[Any, Any]:
        return take(draft_id, lambda: keep_upload(workspace, uploaded))

    def open_path(draft_id: str, text: str) -> dict[Any, Any]:
        return take(draft_id, lambda: given_path(text))

    outputs = block.components()
    then: dict[str, Any] = {"fn": check, "inputs": draft_id, "outputs": checked, **PRIVATE}
    block.source.input(choose, [draft_id, block.source], outputs, **CHOSEN).then(**then)
    # Kept with each change; checked, which takes longer, when the field is left.
    block.share.input(share_typed, [draft_id, block.share], block.problem, **CHOSEN)
    gr.on([block.share.blur, block.share.submit], share, [draft_id, block.share], outputs, **PRIVATE).then(**then)
    block.drop.upload(upload, [draft_id, block.drop], outputs, **PRIVATE | {"show_progress": "minimal"}).then(**then)
    gr.on([block.open.click, block.path.submit], open_path, [draft_id, block.path], outputs, **PRIVATE).then(**then)


def _measure_in(draft: Draft, role: str, source: str) -> None:
    """A part of so many rows, or of a share: what the other one said is forgotten."""
    for key in (f"split.{role}", f"split.{role}_rows"):
        draft.raw.pop(key, None)
    draft.put(f"split.{role}_rows", USUAL_ROWS if source == "rows" else None)


def in_rows(draft: Draft, role: str) -> bool:
    """Whether the part is given as a number of rows."""
    return draft.get(f"split.{role}_rows") is not None or f"split.{role}_rows" in draft.raw


def _set_rows(store: Store, draft_id: str, role: str, text: str) -> Any:
    """Keep a number of rows; what is wrong with it, for beside the field."""
    key, given = f"split.{role}_rows", text.replace(",", "").strip()
    good = given.isdecimal() and int(given) >= 1
    with editing(store, draft_id) as draft:
        if good:
            draft.raw.pop(key, None)
            draft.put(key, int(given))
        else:
            draft.raw[key] = text
    said = UserError(f"'{text}' is no number of rows.", "", "Give a whole number above 0.")
    return gr.update(value="" if good else problem_html(said), visible=not good)


def _set_share(store: Store, draft_id: str, role: str, text: str) -> Any:
    """Keep a share given in percent, or a number of rows; what is wrong with it, for beside the field."""
    if in_rows(read_draft(store, draft_id), role):
        return _set_rows(store, draft_id, role, text)
    key = f"split.{role}"
    try:
        percent = float(text.replace("%", "").replace(",", "."))
        value = read_value(SETTINGS[key], f"{percent / 100:.10g}")
    except (ValueError, UserError):
        value = None
    with editing(store, draft_id) as draft:
        if value is None:
            draft.raw[key] = text
        else:
            draft.raw.pop(key, None)
            draft.put(key, value)
    said = UserError(f"'{text}' is no share.", "", "Give a number of percent above 0 and below 50.")
    return gr.update(value=problem_html(said) if value is None else "", visible=value is None)


def _take_file(
    workspace: Workspace, store: Store, draft_id: str, role: str, given: Callable[[], Any]
) -> tuple[Draft, Table]:
    """Read the given file like the training file and make it the draft's. Raises UserError."""
    train = open_role(workspace, read_draft(store, draft_id), "train")
    file = companion(workspace, train, file_for_part(TableFile(path=str(given())), role, workspace))
    table = first_look(file, workspace)
    with editing(store, draft_id) as draft:
        draft.put(f"data.{role}", file.model_dump(mode="json"))
        draft.own = tuple({*draft.own, role})
    return draft, table


def part_view(block: PartBlock, draft: Draft, table: Table | None, problem: UserError | None = None) -> dict[Any, Any]:
    """New values for the part's components."""
    key, own, rows = f"split.{block.role}", block.role in draft.own, in_rows(draft, block.role)
    amount = draft.raw.get(f"{key}_rows", str(draft.get(f"{key}_rows"))) if rows else (
        draft.raw.get(key, f"{draft.get(key) * 100:.4g}")
    )  # fmt: skip
    return {
        block.source: "own" if own else "rows" if rows else "share",
        block.share: gr.update(value=amount, label="Rows" if rows else "Share, percent", visible=not own),
        block.own: gr.update(visible=own and table is None),
        block.drop: None,
        block.path: "",
        block.facts: gr.update(value=facts_html(table) if own and table else "", visible=bool(own and table)),
        block.problem: gr.update(value=problem_html(problem), visible=problem is not None),
    }
