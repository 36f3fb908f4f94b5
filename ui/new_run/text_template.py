"""The template that makes one text of several columns, and one row as it reads then."""

from html import escape
from typing import Any

import gradio as gr

from core.data.prompt_sample import text_of_row
from core.data.table import Table
from core.errors import UserError
from core.runs.store import Store
from core.text_template import template_columns
from ui.new_run.data_html import problem_html
from ui.new_run.draft import TEMPLATE_KEY, Draft, editing

SHOWN = 600
"""Characters of the row that is shown."""


def build_template() -> tuple[gr.Textbox, gr.HTML]:
    template = gr.Textbox(
        label="Text template", lines=2, max_lines=8, elem_id="text-template", placeholder="Title: {title}",
        info="How the columns become one text: {NAME} is a column's cell. Empty: they are joined.",
    )  # fmt: skip
    return template, gr.HTML(apply_default_css=False, visible=False, elem_id="template-said", elem_classes="said")


def template_view(template: gr.Textbox, said: gr.HTML, draft: Draft, table: Table) -> dict[Any, Any]:
    typed = draft.raw.get(TEMPLATE_KEY)
    used = draft.spec["mapping"].get("text_template") or ""
    shown = ""
    if typed is not None:
        shown = problem_html(template_problem(typed, table))
    elif used and set(template_columns(used)) <= set(table.names):
        text = text_of_row(table, draft.spec["mapping"]["text"], used)
        cut = "…" if len(text) > SHOWN else ""
        shown = f'<p class="quiet">The first row reads:</p><pre dir="auto">{escape(text[:SHOWN])}{cut}</pre>'
    return {template: used if typed is None else typed, said: gr.update(value=shown, visible=bool(shown))}


def template_problem(template: str, table: Table) -> UserError | None:
    """Why the template cannot be used with this file; None where it can."""
    try:
        named = template_columns(template)
    except ValueError as error:
        return UserError(f"The template cannot be used: {error}.", "", "Write each column like {title}.")
    absent = [name for name in named if name not in table.names]
    if absent:
        return UserError(
            f"The template names {{{absent[0]}}}, and {table.path.name} has no such column.",
            "",
            f"Its columns are {', '.join(table.names)}.",
        )
    if not named:
        return UserError("The template names no column.", "", "Write at least one, like {title}.")
    return None


def choose_template(store: Store, draft_id: str, table: Table, template: str) -> Draft:
    """Keep the template; its columns are then the text columns. One that cannot be used is kept beside."""
    with editing(store, draft_id) as draft:
        mapping = draft.spec["mapping"]
        draft.raw.pop(TEMPLATE_KEY, None)
        if not template.strip():
            mapping["text_template"] = ""
        elif template_problem(template, table):
            draft.raw[TEMPLATE_KEY] = template
        else:
            mapping |= {"text_template": template, "text": list(template_columns(template))}
    return draft
