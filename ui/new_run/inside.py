"""Which table is read where what was given holds several: the sheet of a workbook, the table in an archive or a folder.

And, where several files are one table, whether a column says which file each row comes from.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.data.table import Table, first_look
from core.runs.store import Store
from core.schema import TableFile
from core.workspace import Workspace
from ui.new_run.draft import Draft, editing, read_draft
from ui.new_run.source import suggest

SOURCE_COLUMN = "source file"


@dataclass(frozen=True)
class Inside:
    box: gr.Column
    member: gr.Dropdown
    sheet: gr.Dropdown
    source: gr.Checkbox

    def components(self) -> list[Any]:
        return [self.box, self.member, self.sheet, self.source]


def build_inside() -> Inside:
    with gr.Column(visible=False, elem_id="inside") as box:
        member = gr.Dropdown([], label="Table", elem_id="inside-member")
        sheet = gr.Dropdown([], label="Sheet", elem_id="inside-sheet")
        source = gr.Checkbox(label="Add a column that names the file of each row", elem_id="inside-source")
    return Inside(box, member, sheet, source)


def inside_view(inside: Inside, table: Table) -> dict[Any, Any]:
    """What there is to choose from, with what was read; nothing where there is no choice."""
    has_members, has_sheets = len(table.members) > 1, len(table.sheets) > 1
    has_sources = bool(table.file.more) or table.format == "texts"
    return {
        inside.box: gr.update(visible=has_members or has_sheets or has_sources),
        inside.member: gr.update(choices=list(table.members), value=table.member, visible=has_members),
        inside.sheet: gr.update(choices=list(table.sheets), value=table.sheet, visible=has_sheets),
        inside.source: gr.update(value=bool(table.file.source_column), visible=has_sources),
    }


def choose_inside(
    workspace: Workspace, store: Store, draft_id: str, member: str | None, sheet: str | None, with_source: bool
) -> tuple[Draft, str]:
    """Read another table of the same file; the columns are chosen anew where they are others.

    Returns the draft, and what this changed of the choices made before, in words. Raises UserError.
    """
    file = read_draft(store, draft_id).file("train")
    assert file is not None
    before = first_look(file, workspace)
    chosen: dict[str, Any] = {"source_column": SOURCE_COLUMN if with_source else None}
    if member != before.member:
        # What was said of one table's reading need not be right of another's.
        file, chosen = TableFile(path=file.path, more=file.more), chosen | {"member": member}
    elif sheet != before.sheet:
        chosen |= {"sheet": sheet, "header": None, "column_names": ()}
    file = file.model_copy(update=chosen)
    table = first_look(file, workspace)
    with editing(store, draft_id) as draft:
        draft.put("data.train", file.model_dump(mode="json"))
        if set(before.names) ^ set(table.names) <= {SOURCE_COLUMN}:
            return draft, ""
        suggest(draft, table)
    return draft, "This table has other columns, so they were chosen anew."
