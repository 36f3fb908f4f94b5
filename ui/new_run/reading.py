"""How a file of separated cells is read, for a person to correct; the preview follows each change."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import ValidationError

from core.data.table import Table, first_look
from core.errors import from_validation
from core.runs.store import Store
from core.schema import TableFile
from core.workspace import Workspace
from ui.new_run.data_html import DELIMITERS
from ui.new_run.draft import Draft, editing, read_draft
from ui.new_run.files import companion
from ui.new_run.source import suggest
from ui.run.downloads import offered

AUTOMATIC = "detect"
ENCODINGS = [
    "utf-8", "utf-16", "cp1252", "iso-8859-1", "iso-8859-15", "cp1250", "cp1251", "koi8-r", "cp1256", "big5", "gb18030",
    "shift_jis", "euc_kr",
]  # fmt: skip
DELIMITER_CHOICES = [("detect", AUTOMATIC), ("comma  ,", ","), ("semicolon  ;", ";"), ("tab", "\t"), ("pipe  |", "|")]
QUOTES = {'"': "double", "'": "single", "": "none"}
QUOTE_CHOICES = [("detect", AUTOMATIC), ('double  "', '"'), ("single  '", "'"), ("none", "")]
ESCAPES = {"\\": "backslash", "": "it is doubled"}
ESCAPE_CHOICES = [("detect", AUTOMATIC), ("it is doubled", ""), ("backslash  \\", "\\")]
COMMENT_CHOICES = [("detect", AUTOMATIC), ("none", ""), ("#", "#"), ("%", "%"), (";", ";")]
DECIMALS = {".": "point", ",": "comma"}
DECIMAL_CHOICES = [("detect", AUTOMATIC), ("point  0.5", "."), ("comma  0,5", ",")]
HEADER_CHOICES = [("detect", AUTOMATIC), ("names the columns", "yes"), ("is data", "no")]
RAGGED_CHOICES = [("are mended and listed", "mend"), ("are left out and listed", "reject")]


@dataclass(frozen=True)
class Reading:
    box: gr.Column
    cells: gr.Row
    encoding: gr.Dropdown
    delimiter: gr.Dropdown
    quote: gr.Dropdown
    escape: gr.Dropdown
    skip_lines: gr.Textbox
    comment: gr.Dropdown
    decimal: gr.Dropdown
    null_words: gr.Textbox
    header: gr.Radio
    ragged_rows: gr.Radio
    names: gr.Textbox
    again: gr.Button
    lines: gr.DownloadButton

    def inputs(self) -> list[Any]:
        """In the order that `read_again` takes their values."""
        return [
            self.encoding, self.delimiter, self.quote, self.escape, self.skip_lines, self.comment, self.decimal,
            self.null_words, self.header, self.ragged_rows, self.names,
        ]  # fmt: skip

    def components(self) -> list[Any]:
        return [*self.inputs(), self.lines]

    def changes(self) -> list[Any]:
        """The events after which the file is read again: a choice at once, what is typed when the field is left."""
        chosen = [self.encoding, self.delimiter, self.quote, self.escape, self.comment, self.decimal]
        typed = [self.skip_lines, self.null_words]
        return [
            *(field.input for field in (*chosen, self.header, self.ragged_rows)),
            *(event for field in typed for event in (field.blur, field.submit)),
            self.again.click,
        ]


def build_lines() -> gr.DownloadButton:
    """Where the list of lines left out and rows mended is fetched; beside the file's facts, not in the box."""
    return gr.DownloadButton("Download these lines", visible=False, size="md", elem_id="lines-file", min_width=140)


def build_reading(lines: gr.DownloadButton) -> Reading:
    with gr.Column(visible=False, elem_id="reading", elem_classes="inset") as box:
        with gr.Row() as cells:
            encoding = gr.Dropdown([AUTOMATIC, *ENCODINGS], label="Encoding", allow_custom_value=True, min_width=150)
            delimiter = gr.Dropdown(DELIMITER_CHOICES, label="Between cells", allow_custom_value=True, min_width=150)
            quote = gr.Dropdown(QUOTE_CHOICES, label="Around cells", min_width=150, allow_custom_value=True)
            escape = gr.Dropdown(ESCAPE_CHOICES, label="A quote in a cell", min_width=150, allow_custom_value=True)
        with gr.Row():
            skip = gr.Textbox(label="Lines before the table", max_lines=1, min_width=150, elem_id="skip-lines")
            comment = gr.Dropdown(COMMENT_CHOICES, label="Comments begin with", min_width=150, allow_custom_value=True)
            decimal = gr.Dropdown(DECIMAL_CHOICES, label="Decimals after a", min_width=150, filterable=False)
            null_words = gr.Textbox(label="Words for an empty cell", max_lines=1, min_width=150, elem_id="null-words")
        with gr.Row():
            header = gr.Radio(HEADER_CHOICES, label="The first line", min_width=220)
            ragged = gr.Radio(
                RAGGED_CHOICES, label="Rows that do not fit", min_width=220, elem_id="ragged-rows",
                info="Too few or too many cells, quotes that do not match.",
            )  # fmt: skip
        names = gr.Textbox(
            label="Column names, one a line", info="Change them here; a file without a header gets these names.",
            lines=3, max_lines=12, elem_id="column-names",
        )  # fmt: skip
        with gr.Row(elem_classes="right"):
            again = gr.Button("Read it again", size="md", min_width=140, elem_id="read-again")
    return Reading(
        box, cells, encoding, delimiter, quote, escape, skip, comment, decimal, null_words, header, ragged, names,
        again, lines,
    )  # fmt: skip


def reading_view(reading: Reading, table: Table) -> dict[Any, Any]:
    """The options as chosen, with what was detected in their labels, and the names as they are now."""
    file = table.file
    separated, named = table.delimiter is not None, table.header is not None
    names = _own_names(table)
    header = AUTOMATIC if file.header is None else "yes" if file.header else "no"

    def choice(chosen: str | None, now: str | None, words: dict[str, str]) -> Any:
        return gr.update(
            value=AUTOMATIC if chosen is None else chosen, info=f"now: {words.get(now or '', now) or 'none'}"
        )

    return {
        reading.cells: gr.update(visible=table.encoding is not None),
        reading.encoding: choice(file.encoding, table.encoding, {}),
        reading.delimiter: choice(file.delimiter, table.delimiter, DELIMITERS) | {"visible": separated},
        reading.quote: choice(file.quote, table.quote, QUOTES) | {"visible": separated},
        reading.escape: choice(file.escape, table.escape, ESCAPES) | {"visible": separated},
        reading.skip_lines: gr.update(
            value="" if file.skip_lines is None else str(file.skip_lines),
            placeholder=AUTOMATIC,
            info=f"now: {table.skipped or 0}",
            visible=separated,
        ),
        reading.comment: choice(file.comment, table.comment, {"": "none"}) | {"visible": separated},
        reading.decimal: choice(file.decimal, table.decimal, DECIMALS) | {"visible": separated},
        reading.null_words: gr.update(
            value=", ".join(file.null_words),
            placeholder="NA, None",
            info=f"now: {', '.join(file.null_words) or 'none'}",
        ),
        reading.header: gr.update(
            value=header, info=f"now: it {'names the columns' if table.header else 'is data'}", visible=named
        ),
        reading.ragged_rows: gr.update(value=file.ragged_rows, visible=separated),
        reading.names: gr.update(value="\n".join(names), lines=min(max(3, len(names)), 10), visible=named),
        reading.lines: gr.update(
            value=offered(table.lines_file) if table.lines_file else None, visible=table.lines_file is not None
        ),
    }


def read_again(workspace: Workspace, store: Store, draft_id: str, *given: Any) -> tuple[Draft, str]:
    """Read the training file with other options; given: the values of `Reading.inputs()`.

    Returns the draft, and what this changed of the choices made before, in words. Raises UserError.
    """
    before = read_draft(store, draft_id)
    old_table = first_look(before.file("train"), workspace)
    file = _file(old_table, *given)
    wanted = file.column_names
    if file.column_names and wanted == _own_names(old_table) and _shape(file) != _shape(old_table.file):
        file = file.model_copy(update={"column_names": ()})  # names of another shape were not typed, only left standing
    table = first_look(file, workspace)
    with editing(store, draft_id) as draft:
        draft.put("data.train", file.model_dump(mode="json"))
        said = _fit_mapping(draft, old_table.names, table)
        for role in ("validation", "test"):
            other = draft.file(role)
            if other is not None:
                plain = other.model_copy(update={"header": None, "column_names": ()})
                draft.put(f"data.{role}", companion(workspace, table, plain).model_dump(mode="json"))
    return draft, said


def _own_names(table: Table) -> tuple[str, ...]:
    """Without the column that says which file a row comes from."""
    return tuple(name for name in table.names if name != table.file.source_column)


def _file(table: Table, *given: Any) -> TableFile:
    """The table's file with the options given: the values of `Reading.inputs()`. Raises UserError."""
    encoding, delimiter, quote, escape, skip_lines, comment, decimal, null_words, header, ragged_rows, names = given
    wanted = tuple(name.strip() for name in names.splitlines() if name.strip())
    now = _own_names(table)

    def chosen(value: str | None) -> str | None:
        return None if value == AUTOMATIC else value or ""

    content = {
        **table.file.model_dump(),
        "encoding": chosen(encoding) or None,
        "delimiter": chosen(delimiter) or None,
        "quote": chosen(quote),
        "escape": chosen(escape),
        "skip_lines": skip_lines.strip() or None,
        "comment": chosen(comment),
        "decimal": chosen(decimal),
        "null_words": tuple(word.strip() for word in null_words.split(",") if word.strip()),
        "header": None if header == AUTOMATIC else header == "yes",
        "ragged_rows": ragged_rows,
        "column_names": () if wanted == now and not table.file.column_names else wanted,
    }
    try:
        return TableFile.model_validate(content)
    except ValidationError as error:
        raise from_validation(error, "How the file is read") from error


def _shape(file: Any) -> tuple[Any, ...]:
    return file.delimiter, file.quote, file.escape, file.header, file.skip_lines, file.comment


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
