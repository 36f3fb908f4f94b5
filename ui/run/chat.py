"""Run / Try it of a run that learned from conversations: talk to its model, beside what it said before training."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.errors import UserError
from core.prediction_service import PredictionService
from core.workspace import Workspace
from ui.run.actions import QUIET
from ui.sharing.roles import count, open_to_guests, seen_run

LONGEST_ANSWER = 1024
USUAL_ANSWER = 256
HEIGHT = 420
WAITING = "…"

Turn = tuple[str, str, str | None]
"""What was asked, what the trained model answered, and what the untuned one would have (None: it was not kept)."""


@dataclass(frozen=True)
class ChatBox:
    box: gr.Column
    tuned: gr.Chatbot
    untuned: gr.Chatbot
    message: gr.Textbox
    limit: gr.Slider
    problem: gr.HTML


def build_chat(workspace: Workspace, service: PredictionService) -> ChatBox:
    with gr.Column(visible=False, elem_id="run-chat") as box:
        with gr.Row(elem_classes="chat-pair"):
            tuned = _chatbot("After training", "Say something to the trained model.", "chat-tuned")
            untuned = _chatbot("Before training", "The same words, answered by the untuned model.", "chat-untuned")
        problem = gr.HTML(apply_default_css=False, visible=False, elem_id="chat-problem")
        message = gr.Textbox(
            label="Your message", lines=2, max_lines=10, elem_id="chat-message", submit_btn=False,
            placeholder="Shift+Enter sends it",
        )  # fmt: skip
        with gr.Row(elem_classes="td-foot"):
            limit = gr.Slider(
                16, LONGEST_ANSWER, value=USUAL_ANSWER, step=16, label="Longest answer, tokens", min_width=200,
                elem_id="chat-limit",
            )  # fmt: skip
            fresh = gr.Button("New conversation", min_width=120, elem_id="chat-new")
            send = gr.Button("Send", variant="primary", min_width=120, elem_id="chat-send")
    turns = gr.State([])
    shown = [tuned, untuned, message, problem, turns]

    @open_to_guests
    def say(turns: list[Turn], text: str, limit: float, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        asked = text.strip()
        if not asked:
            yield gr.skip(), gr.skip(), gr.skip(), _note("Write a message first."), gr.skip()
            return
        folder = seen_run(workspace, request)
        pending = [*turns, (asked, WAITING, WAITING)]
        wait = "" if service.is_loaded(folder.id) else "Loading the model, some seconds the first time …"
        yield _said(pending, 1), _said(pending, 2), "", _note(wait), gr.skip()
        try:
            count("predict")
            after, before = service.chat(folder.id, messages(turns, asked), int(limit))
        except UserError as error:
            words = f"{error.what} {error.todo}"
            yield _said(turns, 1), _said(turns, 2), text, _note(words), gr.skip()
            return
        kept = [*turns, (asked, after, before)]
        yield _said(kept, 1), _said(kept, 2), "", _note(""), kept

    @open_to_guests
    def begin_again() -> tuple[Any, ...]:
        return [], [], "", _note(""), []

    gr.on([send.click, message.submit], say, [turns, message, limit], shown, trigger_mode="once", **QUIET)
    gr.on([fresh.click, tuned.clear, untuned.clear], begin_again, None, shown, **QUIET)
    return ChatBox(box, tuned, untuned, message, limit, problem)


def _chatbot(title: str, placeholder: str, name: str) -> gr.Chatbot:
    """Neither Markdown nor formulas. It takes text for HTML all the same, so `_said` escapes, and nothing is copied."""
    return gr.Chatbot(
        label=title, placeholder=placeholder, height=HEIGHT, render_markdown=False, sanitize_html=True,
        allow_tags=False, latex_delimiters=[], feedback_options=None, buttons=[], min_width=300, elem_id=name,
    )  # fmt: skip


def messages(turns: list[Turn], asked: str) -> list[dict[str, str]]:
    """The conversation so far as the trained model had it, and what is asked now: {"role", "content"} each."""
    said = []
    for question, answer, _ in turns:
        said += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [*said, {"role": "user", "content": asked}]


def _said(turns: list[Turn], side: int) -> list[dict[str, str]]:
    """What one side of the pair shows, as HTML: 1 the trained model, 2 the untuned one."""
    shown = []
    for turn in turns:
        answer = turn[side] if turn[side] is not None else "The untuned model was not kept: all of it was trained."
        shown += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": str(answer) or "(nothing)"}]
    return [{**message, "content": escape(message["content"])} for message in shown]


def _note(words: str) -> Any:
    return gr.update(
        value=f'<p class="td-hint" role="status">{escape(words)}</p>' if words else "", visible=bool(words)
    )
