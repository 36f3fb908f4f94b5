"""How the training file's rows come to parts: by chance, in groups, by time, as a column says; and cross-validation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.data.table import Table
from core.runs.store import open_store
from core.workspace import Workspace
from ui.events import CHOSEN, PRIVATE, without_sent
from ui.new_run.draft import Draft, editing
from ui.new_run.files import open_role

WAYS = [
    ("By chance", "chance"),
    ("In groups: no author in two parts", "group"),
    ("By time: oldest train, newest test", "time"),
    ("As a column says", "column"),
]
COLUMN_WORDS = {
    "group": ("Column of the groups", "Rows with the same value in it stay together, e.g. an author or a patient."),
    "time": ("Column of the times", "Dates like 2024-12-31, or numbers."),
    "column": ("Column that names the part", "Holds train, validation (or dev) and test."),
}
FOLDS = [("One division", 0), ("3 folds", 3), ("5 folds", 5), ("10 folds", 10)]


@dataclass(frozen=True)
class DivisionBlock:
    by: gr.Radio
    column: gr.Dropdown
    stratified: gr.Checkbox
    folds: gr.Dropdown
    said: gr.HTML

    def components(self) -> list[Any]:
        return [self.by, self.column, self.stratified, self.folds, self.said]


def build_division() -> DivisionBlock:
    with gr.Accordion("How rows are divided", open=False, elem_id="division", elem_classes="fold"):
        by = gr.Radio(WAYS, value="chance", show_label=False, elem_id="divide-by")
        with gr.Row(elem_classes="two"):
            column = gr.Dropdown([], label="Column", min_width=220, visible=False, elem_id="divide-column")
            folds = gr.Dropdown(
                FOLDS, value=0, label="Cross-validation", min_width=220, elem_id="folds",
                info="Each row is tested once; the report gives mean and spread.",
            )  # fmt: skip
        stratified = gr.Checkbox(label="Shares keep each class's part of the whole", elem_id="stratified")
        said = gr.HTML(apply_default_css=False, visible=False, elem_classes="said", elem_id="folds-said")
    return DivisionBlock(by, column, stratified, folds, said)


def division_view(block: DivisionBlock, draft: Draft, table: Table) -> dict[Any, Any]:
    by, folds = draft.get("split.by"), draft.get("split.folds")
    label, info = COLUMN_WORDS.get(by, ("Column", ""))
    column = draft.get("split.column")
    known = FOLDS if folds in dict(FOLDS).values() else [*FOLDS, (f"{folds} folds", folds)]
    said = (
        f'<p class="quiet">{folds} models are trained, one after the other, so it takes about {folds} times as long. '
        "The model of the first is kept. The share for the final test is then a fold.</p>"
    )
    return {
        block.by: gr.update(value=by, visible=not draft.is_chat),
        block.column: gr.update(
            choices=list(table.names), value=column if column in table.names else None, label=label, info=info,
            visible=by != "chance" and not draft.is_chat,
        ),
        block.stratified: gr.update(
            value=draft.get("split.stratified"), visible=by in ("chance", "group") and not draft.is_chat
        ),
        block.folds: gr.update(
            choices=known, value=folds, visible=not draft.is_chat and (bool(folds) or by in ("chance", "group"))
        ),
        block.said: gr.update(value=said if folds else "", visible=bool(folds)),
    }  # fmt: skip


def connect_division(
    workspace: Workspace, block: DivisionBlock, draft_id: gr.Textbox, check: Callable[..., Any], checked: list[Any]
) -> None:
    """Wire the block's events; `check` runs after each change and fills `checked`."""
    store = open_store(workspace)

    def choose(draft_id: str, by: str, column: str | None, stratified: bool, folds: int) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            if by != draft.get("split.by"):
                column = ""
            chosen = {"by": by, "column": column or "", "stratified": stratified, "folds": folds or 0}
            draft.spec["split"] = {**(draft.spec.get("split") or {}), **chosen}
        table = open_role(workspace, draft, "train")
        if table is None:
            return {}
        return without_sent(division_view(block, draft, table), inputs[1:], (by, column, stratified, folds))

    inputs = [draft_id, block.by, block.column, block.stratified, block.folds]
    chosen = [block.by.input, block.column.input, block.stratified.input, block.folds.input]
    gr.on(chosen, choose, inputs, block.components(), **CHOSEN).then(check, draft_id, checked, **PRIVATE)
