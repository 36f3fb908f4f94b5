"""Run / Try it: one text at a time, with bars and a history of tries; below it, a whole file. Or a chat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.errors import UserError
from core.model_facts import ModelFacts, ModelText, joined_text, run_model_facts
from core.prediction_service import PredictionService
from core.workspace import RunFolder, Workspace
from ui.run.actions import QUIET, Updates
from ui.run.chat import ChatBox, build_chat
from ui.run.label_file import LabelFile, build_label_file, label_file_updates
from ui.run.report import filled, unfilled
from ui.run.try_result import USUAL_SHARE, answer_words, shown_result
from ui.sharing.roles import count, open_to_guests, seen_run

FIELDS = 6
"""Text columns that get a box of their own; a model of more reads the rest joined from the last box."""
TRIES_KEPT = 20
PROMPT_FIELDS = 8
"""Boxes for the columns that a language model's prompt names; what is beyond them stays empty here, and is said."""

Try = tuple[str, str, float | None]
"""A text, the answer, and its probability; None where that is several classes."""


@dataclass(frozen=True)
class TryTab:
    empty: gr.HTML
    body: gr.Column
    texts: gr.Column
    """All of it where the model tells classes apart."""
    chat: ChatBox
    """All of it where it answers."""
    fields: list[gr.Textbox]
    columns: list[gr.Textbox]
    """For the columns that the model's prompt names beside the text."""
    beyond: gr.HTML
    """Says which of those have no box."""
    share: gr.Slider
    """Of soft labels: what the likeliest ones that are shown have to sum to, in percent."""
    file: LabelFile

    def parts(self) -> list[Any]:
        """What `try_updates` may change."""
        return [
            self.empty,
            self.body,
            self.texts,
            self.chat.box,
            *self.fields,
            *self.columns,
            self.beyond,
            self.share,
            *self.file.parts(),
        ]


def build_try_it(workspace: Workspace, service: PredictionService) -> TryTab:
    empty = gr.HTML(apply_default_css=False)
    with gr.Column(visible=False, elem_id="run-try") as body:
        with gr.Column() as texts:
            with gr.Row(elem_classes="td-try"):
                with gr.Column(min_width=300):
                    fields = [
                        gr.Textbox(
                            "", lines=5, max_lines=14, visible=number == 0, elem_id=f"try-{number}", label="Text"
                        )
                        for number in range(FIELDS)
                    ]
                    columns = [
                        gr.Textbox(
                            "", lines=1, max_lines=6, visible=False, elem_id=f"try-column-{number}", label="Column"
                        )
                        for number in range(PROMPT_FIELDS)
                    ]
                    beyond = gr.HTML(apply_default_css=False, visible=False)
                    with gr.Row(elem_classes="td-foot"):
                        ask = gr.Button("Predict", variant="primary", elem_id="run-predict")
                with gr.Column(min_width=300):
                    result = gr.HTML(
                        note_html("The answer appears here: how likely each class is."),
                        apply_default_css=False, elem_id="run-result",
                    )  # fmt: skip
                    share = gr.Slider(
                        10, 100, USUAL_SHARE, step=5, visible=False, elem_id="try-share",
                        label="Show the likeliest until they sum to, percent",
                    )  # fmt: skip
            history = gr.HTML(apply_default_css=False, elem_id="run-history")
            file = build_label_file(workspace)
        chat = build_chat(workspace, service)
    tries, answer = gr.State([]), gr.State([])

    @open_to_guests
    def predict(
        request: gr.Request, tries: list[Try], percent: float, *values: str
    ) -> Iterator[tuple[Any, Any, Any, Any]]:
        try:
            folder = seen_run(workspace, request)
            facts = run_model_facts(folder)
            asked = model_text(facts, values[:FIELDS], values[FIELDS:])
            text = shown_text(asked)
            words = "Reading …" if service.is_loaded(folder.id) else "Loading the model, some seconds the first time …"
            yield note_html(words if text else "Write a text first."), gr.skip(), gr.skip(), []
            if not text:
                return
            count("predict")
            (ranked,) = service.predict(folder.id, [asked])
        except UserError as error:
            yield note_html(f"{error.what} {error.todo}"), gr.skip(), gr.skip(), []
            return
        sure = None if facts.label_kind == "multi" else ranked[0][1]
        kept = [(text, answer_words(facts, ranked), sure), *tries][:TRIES_KEPT]
        yield shown_result(facts, ranked, percent), history_html(kept), kept, ranked

    @open_to_guests
    def with_share(request: gr.Request, percent: float, ranked: list[tuple[str, float]]) -> Any:
        """The last answer up to another share, without asking again."""
        if not ranked:
            return gr.skip()
        return shown_result(run_model_facts(seen_run(workspace, request)), ranked, percent)

    gr.on(
        [ask.click, *(field.submit for field in (*fields, *columns))],
        predict, [tries, share, *fields, *columns], [result, history, tries, answer],
        **QUIET,
    )  # fmt: skip
    share.change(with_share, [share, answer], result, trigger_mode="always_last", **QUIET)
    return TryTab(empty, body, texts, chat, fields, columns, beyond, share, file)


def try_updates(tab: TryTab, folder: RunFolder) -> Updates:
    try:
        facts = run_model_facts(folder)
    except UserError:
        words = "Once the run has finished, you can ask its model here, one text at a time or a whole file."
        return unfilled(tab.empty, tab.body, "No model to try yet", words)
    if facts.task == "chat":
        return filled(tab.empty, tab.body) | {
            tab.texts: gr.update(visible=False),
            tab.chat.box: gr.update(visible=True),
        }
    return (
        filled(tab.empty, tab.body)
        | _text_boxes(tab, facts)
        | _column_boxes(tab, facts)
        | {tab.share: gr.update(visible=facts.label_kind == "soft")}
        | label_file_updates(tab.file, folder)
    )


def model_text(facts: ModelFacts, cells: Sequence[str], more: Sequence[str]) -> ModelText:
    """What the model is asked. cells: of the text columns, more: of `own_columns`; a text alone where no prompt names
    a column."""
    text = joined_text(facts, cells)
    if not facts.prompt_columns:
        return text
    given = dict(zip(facts.text_columns[:FIELDS], cells, strict=False)) | dict(
        zip(own_columns(facts), more, strict=False)
    )
    return {**{name: given.get(name, "") for name in facts.prompt_columns}, "text": text}


def own_columns(facts: ModelFacts) -> list[str]:
    """The prompt's columns that have no box yet as a text column."""
    boxed = facts.text_columns if len(facts.text_columns) <= FIELDS else facts.text_columns[: FIELDS - 1]
    return [name for name in facts.prompt_columns if name not in boxed]


def shown_text(asked: ModelText) -> str:
    """One line of the tries: the text, then what the other columns hold; '' where all are empty."""
    if isinstance(asked, str):
        return asked
    columns = [f"{name}: {cell}" for name, cell in asked.items() if name != "text" and cell.strip()]
    return " · ".join(filter(None, [asked["text"], *columns]))


def _text_boxes(tab: TryTab, facts: ModelFacts) -> Updates:
    columns = facts.text_columns
    # Never the bare name: gradio translates labels, and takes a column called "file" for a key of its own.
    labels = [f"Column {name}" for name in columns[:FIELDS]]
    if len(columns) > FIELDS:
        labels[-1] = f"{labels[-1]} and the {len(columns) - FIELDS} columns after it"
    return {
        field: gr.update(visible=True, label=label, lines=5 if len(labels) == 1 else 2)
        for field, label in zip(tab.fields, labels, strict=False)
    }


def _column_boxes(tab: TryTab, facts: ModelFacts) -> Updates:
    names = own_columns(facts)
    boxes = {
        field: gr.update(visible=True, label=f"Column {name}") for field, name in zip(tab.columns, names, strict=False)
    }
    hidden = names[PROMPT_FIELDS:]
    words = f"Left empty here: {', '.join(hidden)}. Label a file to fill them too." if hidden else ""
    beyond = f'<p class="td-hint" dir="auto">{escape(words)}</p>'
    return {**boxes, tab.beyond: gr.update(value=beyond, visible=bool(hidden))}


def note_html(words: str) -> str:
    return f'<div class="td-result td-result-empty"><p>{escape(words)}</p></div>'


def history_html(tries: Sequence[Try]) -> str:
    """Tries of this visit, the newest first."""
    lines = "".join(
        f'<li><span class="td-text" dir="auto">{escape(text[:300])}</span><b dir="auto">{escape(label)}</b>'
        f"<span>{'' if probability is None else f'{probability * 100:.0f} %'}</span></li>"
        for text, label, probability in tries
    )
    return f'<section class="td-history"><h3>Tries on this visit</h3><ol>{lines}</ol></section>'
