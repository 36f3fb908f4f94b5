"""Run / Try it: one text at a time, with bars and a history of tries; below it, a whole file. Or a chat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.errors import UserError
from core.evaluation.colours import class_colour
from core.model_facts import joined_text, run_model_facts
from core.prediction_service import PredictionService
from core.workspace import RunFolder, Workspace
from ui.plots import probability_bars
from ui.run.actions import QUIET, Updates
from ui.run.chat import ChatBox, build_chat
from ui.run.label_file import LabelFile, build_label_file, label_file_updates
from ui.run.report import filled, unfilled

FIELDS = 6
"""Text columns that get a box of their own; a model of more reads the rest joined from the last box."""
BARS = 10
TRIES_KEPT = 20

Try = tuple[str, str, float]
"""A text, its likeliest label and that label's probability."""


@dataclass(frozen=True)
class TryTab:
    empty: gr.HTML
    body: gr.Column
    texts: gr.Column
    """All of it where the model tells classes apart."""
    chat: ChatBox
    """All of it where it answers."""
    fields: list[gr.Textbox]
    file: LabelFile

    def parts(self) -> list[Any]:
        """What `try_updates` may change."""
        return [self.empty, self.body, self.texts, self.chat.box, *self.fields, *self.file.parts()]


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
                    with gr.Row(elem_classes="td-foot"):
                        ask = gr.Button("Predict", variant="primary", elem_id="run-predict")
                result = gr.HTML(
                    note_html("The answer appears here: how likely each class is."),
                    apply_default_css=False, elem_id="run-result", min_width=300,
                )  # fmt: skip
            history = gr.HTML(apply_default_css=False, elem_id="run-history")
            file = build_label_file(workspace)
        chat = build_chat(workspace, service)
    tries = gr.State([])

    def predict(request: gr.Request, tries: list[Try], *values: str) -> Iterator[tuple[Any, Any, Any]]:
        folder = workspace.run(request.query_params["run"])
        try:
            facts = run_model_facts(folder)
            text = joined_text(facts, values)
            words = "Reading …" if service.is_loaded(folder.id) else "Loading the model, some seconds the first time …"
            yield note_html(words if text else "Write a text first."), gr.skip(), gr.skip()
            if not text:
                return
            (ranked,) = service.predict(folder.id, [text])
        except UserError as error:
            yield note_html(f"{error.what} {error.todo}"), gr.skip(), gr.skip()
            return
        kept = [(text, *ranked[0]), *tries][:TRIES_KEPT]
        yield result_html(ranked, facts.labels), history_html(kept), kept

    gr.on(
        [ask.click, *(field.submit for field in fields)],
        predict, [tries, *fields], [result, history, tries],
        **QUIET,
    )  # fmt: skip
    return TryTab(empty, body, texts, chat, fields, file)


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
    columns = facts.text_columns
    # Never the bare name: gradio translates labels, and takes a column called "file" for a key of its own.
    labels = [f"Column {name}" for name in columns[:FIELDS]]
    if len(columns) > FIELDS:
        labels[-1] = f"{labels[-1]} and the {len(columns) - FIELDS} columns after it"
    boxes = {
        field: gr.update(visible=True, label=label, lines=5 if len(labels) == 1 else 2)
        for field, label in zip(tab.fields, labels, strict=False)
    }
    return filled(tab.empty, tab.body) | boxes | label_file_updates(tab.file, folder)


def note_html(words: str) -> str:
    return f'<div class="td-result td-result-empty"><p>{escape(words)}</p></div>'


def result_html(ranked: Sequence[tuple[str, float]], labels: Sequence[str]) -> str:
    """The ten likeliest classes as bars; what the others share is said below."""
    index = {label: number for number, label in enumerate(labels)}
    shown = ranked[:BARS]
    rest = ranked[BARS:]
    others = (
        f"{sum(probability for _, probability in rest) * 100:.1f} % on the other {len(rest)} classes" if rest else ""
    )
    return (
        f'<div class="td-result"><h3 dir="auto">{escape(ranked[0][0])}</h3>'
        f"{probability_bars(shown, lambda label: class_colour(index[label]))}"
        f'<p class="td-hint">{others}</p></div>'
    )


def history_html(tries: Sequence[Try]) -> str:
    """Tries of this visit, the newest first."""
    lines = "".join(
        f'<li><span class="td-text" dir="auto">{escape(text[:300])}</span><b dir="auto">{escape(label)}</b>'
        f"<span>{probability * 100:.0f} %</span></li>"
        for text, label, probability in tries
    )
    return f'<section class="td-history"><h3>Tries on this visit</h3><ol>{lines}</ol></section>'
