"""How a file of separated cells is read, for a person to correct: encoding, delimiter, quote, header, column names."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.data.table import Table, open_table
from core.runs.store import Store
from core.workspace import Workspace
from ui.new_run.data_html import DELIMITERS
from ui.new_run.draft import Draft, editing, read_draft
from ui.new_run.files import companion
from ui.new_run.source import suggest

AUTOMATIC = "detect"
ENCODINGS = [
    "utf-8", "utf-16", "cp1252", "iso-8859-1", "iso-8859-15", "cp1250", "cp1251", "koi8-r", "cp1256", "big5", "gb18030",
    "shift_jis", "euc_kr",
]  # fmt: skip
DELIMITER_CHOICES = [("detect", AUTOMATIC), ("comma  ,", ","), ("semicolon  ;", ";"), ("tab", "\t"), ("pipe  |", "|")]
QUOTES = {'"': "double", "'": "single", "": "none"}
QUOTE_CHOICES = [("detect", AUTOMATIC), ('double  "', '"'), ("single  '", "'"), ("none", "")]
HEADER_CHOICES = [("detect", AUTOMATIC), ("names the columns", "yes"), ("is data", "no")]


@dataclass(frozen=True)
class Reading:
    box: gr.Column
    cells: gr.Row
    encoding: gr.Dropdown
    delimiter: gr.Dropdown
    quote: gr.Dropdown
    header: gr.Radio
    names: gr.Textbox
    again: gr.Button

    def inputs(self) -> list[Any]:
        return [self.encoding, self.delimiter, self.quote, self.header, self.names]


def build_reading() -> Reading:
    with gr.Column(visible=False, elem_id="reading", elem_classes="inset") as box:
        with gr.Row() as cells:
            encoding = gr.Dropdown([AUTOMATIC, *ENCODINGS], label="Encoding", allow_custom_value=True, min_width=150)
            delimiter = gr.Dropdown(DELIMITER_CHOICES, label="Between cells", allow_custom_value=True, min_width=150)
            quote = gr.Dropdown(QUOTE_CHOICES, label="Around cells", min_width=150, filterable=False)
        header = gr.Radio(HEADER_CHOICES, label="The first line")
        names = gr.Textbox(
            label="Column names, one a line", info="Change them here; a file without a header gets these names.",
            lines=3, max_lines=12, elem_id="column-names",
        )  # fmt: skip
        with gr.Row(elem_classes="right"):
            again = gr.Button("Read it again", size="md", min_width=140, elem_id="read-again")
    return Reading(box, cells, encoding, delimiter, quote, header, names, again)


def reading_view(reading: Reading, draft: Draft, table: Table) -> dict[Any, Any]:
    """The options as chosen, with what was detected in their labels, and the names as they are now."""
    file = table.file
    separated, named = table.delimiter is not None, table.header is not None
    names = [name for name in table.names if name != file.source_column]
    header = AUTOMATIC if file.header is None else "yes" if file.header else "no"
    return {
        reading.cells: gr.update(visible=table.encoding is not None),
        reading.encoding: gr.update(
            value=file.encoding or AUTOMATIC, info=f"now: {table.encoding}", visible=table.encoding is not None
        ),
        reading.delimiter: gr.update(
            value=AUTOMATIC if file.delimiter is None else file.delimiter,
            info=f"now: {DELIMITERS.get(table.delimiter or '', table.delimiter)}",
            visible=separated,
        ),
        reading.quote: gr.update(
            value=AUTOMATIC if file.quote is None else file.quote,
            info=f"now: {QUOTES.get(table.quote or '', table.quote)}",
            visible=separated,
        ),
        reading.header: gr.update(
            value=header, info=f"now: it {'names the columns' if table.header else 'is data'}", visible=named
        ),
        reading.names: gr.update(value="\n".join(names), lines=min(max(3, len(names)), 10), visible=named),
    }


def read_again(workspace: Workspace, store: Store, draft_id: str, *given: Any) -> tuple[Draft, str]:
    """Read the training file with other options; given: the values of `Reading.inputs()`.

    Returns the draft, and what this changed of the choices made before, in words. Raises UserError.
    """
    encoding, delimiter, quote, header, names = given
    before = read_draft(store, draft_id)
    old_table = open_table(before.file("train"), workspace)
    old_names = tuple(name for name in old_table.names if name != old_table.file.source_column)
    wanted = tuple(name.strip() for name in names.splitlines() if name.strip())
    file = before.file("train").model_copy(
        update={
            "encoding": None if encoding in (AUTOMATIC, "", None) else encoding,
            "delimiter": None if delimiter in (AUTOMATIC, "", None) else delimiter,
            "quote": None if quote == AUTOMATIC else quote,
            "header": None if header == AUTOMATIC else header == "yes",
            "column_names": () if wanted == old_names and not before.file("train").column_names else wanted,
        }
    )
    if file.column_names and wanted == old_names and _shape(file) != _shape(old_table.file):
        file = file.model_copy(update={"column_names": ()})  # names of another shape were not typed, only left standing
    table = open_table(file, workspace)
    with editing(store, draft_id) as draft:
        draft.put("data.train", file.model_dump(mode="json"))
        said = _fit_mapping(draft, old_table.names, table)
        for role in ("validation", "test"):
            other = draft.file(role)
            if other is not None:
                plain = other.model_copy(update={"header": None, "column_names": ()})
                draft.put(f"data.{role}", companion(workspace, table, plain).model_dump(mode="json"))
    return draft, said


def _shape(file: Any) -> tuple[Any, ...]:
    return file.delimiter, file.quote, file.header


def _fit_mapping(draft: Draft, old: tuple[str, ...], table: Table) -> str:
    """Follow renamed columns; where the columns are others, suggest anew and say so."""
    mapping = draft.spec["mapping"]
    chat = {role: name for role, name in (mapping.get("chat") or {}).items() if name}
    columns = list(mapping.get("label_columns") or ())
    chosen = [*mapping["text"], *([mapping["label"]] if mapping["label"] else []), *columns, *chat.values()]
    if len(old) == len(table.names):
        renamed = dict(zip(old, table.names, strict=True))
        mapping["chat"] = {role: renamed.get(name) for role, name in chat.items()}
        mapping["text"] = [renamed[name] for name in mapping["text"]]
        mapping["label"] = renamed.get(mapping["label"], mapping["label"])
        if columns:
            mapping["label_columns"] = [renamed[name] for name in columns]
            names = mapping.get("class_names") or {}
            mapping["class_names"] = {renamed[value]: name for value, name in names.items() if value in renamed}
        draft.reasons = () if old != table.names else draft.reasons
        return ""
    if all(name in table.names for name in chosen) and chosen:
        return ""
    suggest(draft, table)
    return "The file has other columns now, so they were chosen anew."
