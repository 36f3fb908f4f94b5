"""Which columns are text, which is the label, and what the classes are called."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from core.data.mapping import class_names_from_lines, natural_order
from core.data.table import Table, first_look
from core.errors import UserError
from core.runs.store import Store
from core.workspace import Workspace
from ui.new_run.class_steps import ClassStepChoice, build_class_steps, class_steps_view, name_classes
from ui.new_run.draft import TEMPLATE_KEY, Draft, by_columns, editing, read_draft
from ui.new_run.label_columns import (
    UNTOUCHED,
    LabelChoice,
    build_label_columns,
    build_place,
    build_rare,
    draft_counts,
    label_view,
)
from ui.new_run.text_template import build_template, template_view

MOST_NAMED = 200
"""Classes whose names can be edited here; more are named by a file."""


@dataclass(frozen=True)
class Columns:
    box: gr.Column
    text: gr.Dropdown
    label: gr.Dropdown
    labels: LabelChoice
    reasons: gr.HTML
    names_fold: gr.Accordion
    names: gr.Dataframe
    names_file: gr.UploadButton
    names_clear: gr.Button
    names_problem: gr.HTML
    joiner: gr.Textbox
    backslash: gr.Checkbox
    template: gr.Textbox
    template_said: gr.HTML
    steps: ClassStepChoice


def build_columns() -> Columns:
    with gr.Column() as box:
        place = build_place()
        with gr.Row(elem_classes="two"):
            text = gr.Dropdown(
                [], multiselect=True, label="Text columns", min_width=260, elem_id="text-columns",
                info="What the model reads. Several are joined in this order.",
            )  # fmt: skip
            with gr.Column(min_width=260, elem_classes="labels"):
                label = gr.Dropdown(
                    [], label="Label column", info="The class of each row.", min_width=260, elem_id="label-column"
                )
                label_columns, separator = build_label_columns()
        reasons = gr.HTML(apply_default_css=False, visible=False, elem_classes="reasons")
        with gr.Accordion("Class names", open=False, elem_id="class-names", elem_classes="fold") as fold:
            gr.HTML(
                '<p class="quiet">What the classes are called on every page and in the model. Edit a name, or give a '
                "text file with a name a line, the first for the smallest label.</p>",
                apply_default_css=False,
            )
            names = gr.Dataframe(
                headers=["In the file", "Name"], datatype="str", type="array", interactive=True, static_columns=[0],
                show_label=False, max_height=320, buttons=[], elem_id="names-table",
            )  # fmt: skip
            problem = gr.HTML(apply_default_css=False, visible=False)
            with gr.Row(elem_classes="left"):
                names_file = gr.UploadButton(
                    "Take names from classes.txt", file_types=[".txt"], size="md", elem_id="names-file"
                )
                clear = gr.Button("Names as in the file", size="md", elem_id="names-clear")
        rare = build_rare()
        steps = build_class_steps()
        with gr.Accordion("More", open=False, elem_classes="fold", elem_id="more-mapping"):
            joiner = gr.Textbox(
                label="Between joined columns", max_lines=1,
                info="What stands between the texts of several columns; usually a space.",
            )  # fmt: skip
            backslash = gr.Checkbox(
                label="Backslashes are spaces", info="As in the AG News files, where one stands for a line break."
            )
            template, template_said = build_template()
    labels = LabelChoice(place, label_columns, separator, *rare)
    return Columns(
        box, text, label, labels, reasons, fold, names, names_file, clear, problem, joiner, backslash, template,
        template_said, steps,
    )  # fmt: skip


def columns_view(columns: Columns, draft: Draft, table: Table, counts: list[tuple[str, int]]) -> dict[Any, Any]:
    """New values; counts: the label's values with their rows."""
    mapping = draft.spec["mapping"]
    given = mapping.get("class_names") or {}
    nameable = 0 < len(counts) <= MOST_NAMED
    ordered = natural_order([value for value, _ in counts]) if nameable else []
    # Opened where numbers stand for classes; closed by nobody but the person.
    wanted = bool(given) or (nameable and all(value.lstrip("-").isdigit() for value in ordered))
    said = "The classes of each row." if draft.kind == "multi" else "The class of each row."
    found = f"{len(counts):,} class{'es' if len(counts) != 1 else ''}." if counts else said
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in draft.reasons)
    return {
        columns.box: gr.update(visible=not draft.is_chat),
        columns.text: gr.update(
            choices=list(table.names), value=[name for name in mapping["text"] if name in table.names]
        ),
        columns.label: gr.update(
            choices=list(table.names),
            value=mapping["label"] if mapping["label"] in table.names else None,
            info=found,
            visible=not by_columns(draft),
        ),
        **label_view(columns.labels, draft, table, counts),
        columns.reasons: gr.update(value=f"<ul>{reasons}</ul>", visible=bool(reasons)),
        columns.names_fold: gr.update(visible=bool(counts), **({"open": True} if wanted else {})),
        columns.names: gr.update(value=[[value, given.get(value, value)] for value in ordered], visible=nameable),
        columns.names_problem: gr.update(value="", visible=False),
        columns.joiner: mapping.get("joiner", " "),
        columns.backslash: mapping.get("backslash_is_space", False),
        **template_view(columns.template, columns.template_said, draft, table),
        **class_steps_view(columns.steps, draft, table, counts),
    }


def choose_columns(
    store: Store, draft_id: str, text: list[str], label: str | None, joiner: str, backslash: bool
) -> Draft:
    """Keep the choice of columns; class names of another label are forgotten."""
    with editing(store, draft_id) as draft:
        mapping = draft.spec["mapping"]
        if by_columns(draft):
            label = ""
        if mapping["label"] != label:
            mapping |= UNTOUCHED
        if list(mapping["text"]) != list(text):
            # A template says which columns are text, so it goes where others are chosen.
            mapping["text_template"] = ""
            draft.raw.pop(TEMPLATE_KEY, None)
        if mapping["label"] != label or list(mapping["text"]) != list(text):
            draft.reasons = ()
        mapping |= {"text": list(text), "label": label, "joiner": joiner, "backslash_is_space": backslash}
    return draft


def rename_classes(store: Store, draft_id: str, rows: list[list[str]], values: Iterable[str]) -> Draft:
    """Keep the names that differ from what stands in the file. values: the label's."""
    names = {str(value): str(name).strip() for value, name in rows if str(name or "").strip() not in ("", str(value))}
    with editing(store, draft_id) as draft:
        name_classes(draft.spec["mapping"], names, values)
    return draft


def names_from_file(workspace: Workspace, store: Store, draft_id: str, file: Path) -> Draft:
    """Names from a text file, one a line. Raises UserError where it is no such file or counts disagree."""
    draft = read_draft(store, draft_id)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file.name} is not UTF-8 text.", file.name, "Save it as UTF-8, with a class name a line."
        ) from error
    values = [value for value, _ in draft_counts(draft, first_look(draft.file("train"), workspace))]
    names = class_names_from_lines(lines, values)
    with editing(store, draft_id) as draft:
        name_classes(draft.spec["mapping"], names, values)
    return draft
