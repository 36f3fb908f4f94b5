"""Which columns hold the conversations, and the switch between those and the kinds of label."""

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.chat_rows import Conversation, NoConversationError, conversation, suggest_chat_columns
from core.data.conversations import chat_columns
from core.data.table import Table, preview
from core.runs.store import Store
from core.schema import ChatColumns
from ui.bubbles import conversation_html
from ui.new_run.draft import Draft, editing
from ui.new_run.label_columns import choose_label_kind
from ui.new_run.source import suggest_chat

KINDS = [
    ("Texts with a class", "single"),
    ("Texts with several classes", "multi"),
    ("Texts with probabilities", "soft"),
    ("Conversations to learn from", "none"),
]
NONE = ""
FIELDS = {
    "conversation": ("Conversations", "A column of messages, each with its role. None: each side has its own column."),
    "instruction": ("What is asked", "The question or the task."),
    "input": ("What it is about", "Follows what is asked; may be empty."),
    "response": ("What is answered", "What the model learns to say."),
    "system": ("System", "What the model is told to be."),
    "tools": ("Tools", "Lists of tools that the model may call."),
}
OF_SIDES = ("instruction", "input", "response")
ONLY_LISTED = ("tools",)


@dataclass(frozen=True)
class ChatChoice:
    kind: gr.Radio
    box: gr.Column
    fields: dict[str, gr.Dropdown]
    reasons: gr.HTML

    def components(self) -> list[Any]:
        return [self.kind, self.box, *self.fields.values(), self.reasons]


def build_kind() -> gr.Radio:
    return gr.Radio(KINDS, value="single", label="What is in it?", elem_id="mapping-kind")


def build_chat_columns(kind: gr.Radio) -> ChatChoice:
    fields = {}
    with gr.Column(visible=False, elem_id="chat-columns") as box:
        with gr.Row(elem_classes="fields"):
            for name, (title, info) in FIELDS.items():
                fields[name] = gr.Dropdown(
                    [], label=title, info=info, min_width=220, elem_id=f"chat-{name}", elem_classes="field"
                )
        reasons = gr.HTML(apply_default_css=False, visible=False, elem_classes="reasons")
    return ChatChoice(kind, box, fields, reasons)


def chat_columns_view(choice: ChatChoice, draft: Draft, table: Table) -> dict[Any, Any]:
    """New values; what means nothing for the chosen form is hidden."""
    chat = draft.spec["mapping"].get("chat") or {}
    listed = bool(chat.get("conversation"))
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in draft.reasons)
    updates: dict[Any, Any] = {
        choice.kind: draft.kind,
        choice.box: gr.update(visible=draft.is_chat),
        choice.reasons: gr.update(value=f"<ul>{reasons}</ul>", visible=bool(reasons)),
    }
    choices = [("none", NONE), *((name, name) for name in table.names)]
    for name, field in choice.fields.items():
        hidden = (listed and name in OF_SIDES) or (not listed and name in ONLY_LISTED)
        given = chat.get(name)
        value = given if given in table.names else NONE
        updates[field] = gr.update(choices=choices, value=value, visible=not hidden)
    return updates


def choose_kind(store: Store, draft_id: str, table: Table, kind: str) -> Draft:
    """Another kind of data: its columns are suggested anew."""
    if kind != "none":
        return choose_label_kind(store, draft_id, table, kind)
    with editing(store, draft_id) as draft:
        suggest_chat(draft, suggest_chat_columns(table.names))
    return draft


def choose_chat_columns(store: Store, draft_id: str, *given: str) -> Draft:
    """Keep the choice; given: the values of the fields, in their order."""
    chosen = {name: value or None for name, value in zip(FIELDS, given, strict=True)}
    unused = OF_SIDES if chosen["conversation"] else ONLY_LISTED
    with editing(store, draft_id) as draft:
        draft.put("mapping.chat", chosen | dict.fromkeys(unused))
        draft.reasons = ()
    return draft


def chosen_form(draft: Draft, table: Table) -> ChatColumns | None:
    """The draft's form, where it is complete and the table has its columns."""
    form = ChatColumns.model_validate(draft.spec["mapping"]["chat"])
    complete = form.conversation or (form.instruction and form.response)
    return form if complete and set(chat_columns(form)) <= set(table.names) else None


def talks_html(table: Table, form: ChatColumns | None, offset: int, count: int) -> str:
    """Rows of the file as conversations; a row that is none says why."""
    if form is None:
        return '<p class="quiet">Choose the columns to see the conversations.</p>'
    items = []
    for number, row in enumerate(preview(table, offset, count, chat_columns(form)), start=offset):
        try:
            shown = _talk_html(conversation(form, row, number))
        except NoConversationError as error:
            shown = f'<p class="talk-unfit">Left out: {escape(error.why)}.</p>'
        items.append(f'<li><span class="n">{number + 1:,}</span>{shown}</li>')
    return f'<ol class="talks">{"".join(items)}</ol>'


def _talk_html(talk: Conversation) -> str:
    return conversation_html(talk.messages, len(talk.tools))
