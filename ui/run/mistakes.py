"""Run / Mistakes: the wrong predictions on the test part, the surest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.evaluation.colours import class_colour
from core.evaluation.report import count_mistakes, mistakes
from core.workspace import RunFolder, Workspace
from ui.plots import probability_bars
from ui.run.actions import QUIET, Updates
from ui.run.chat_report import is_chat
from ui.run.report import filled, read_report, unfilled

PAGE_ROWS = 20
TEXT_SHOWN = 4000
PROBABILITIES_SHOWN = 6
ANY = ""


@dataclass(frozen=True)
class MistakesTab:
    empty: gr.HTML
    body: gr.Column
    true: gr.Dropdown
    predicted: gr.Dropdown
    search: gr.Textbox
    least: gr.Slider
    list: gr.HTML
    offset: gr.State
    earlier: gr.Button
    later: gr.Button

    def parts(self) -> list[Any]:
        """What `mistakes_updates` may change."""
        return [self.empty, self.body, self.true, self.predicted, *self.page_parts()]

    def page_parts(self) -> list[Any]:
        """What another filter or page changes."""
        return [self.list, self.offset, self.earlier, self.later]


def build_mistakes(workspace: Workspace) -> MistakesTab:
    empty = gr.HTML(apply_default_css=False)
    with gr.Column(visible=False, elem_id="run-mistakes") as body:
        with gr.Row(elem_classes="td-filters"):
            true = gr.Dropdown(label="True class", choices=[("any", ANY)], value=ANY, min_width=150)
            predicted = gr.Dropdown(label="Predicted class", choices=[("any", ANY)], value=ANY, min_width=150)
            search = gr.Textbox("", label="Text contains", placeholder="a word", max_lines=1, min_width=150)
            least = gr.Slider(0, 95, 0, step=5, label="Sure of it, percent at least", min_width=150)
        rows = gr.HTML(apply_default_css=False)
        with gr.Row(elem_classes=["td-foot", "td-pager"]):
            earlier = gr.Button("Previous", size="md", min_width=80, visible=False)
            later = gr.Button("Next", size="md", min_width=80, visible=False, elem_id="mistakes-next")
    offset = gr.State(0)
    tab = MistakesTab(empty, body, true, predicted, search, least, rows, offset, earlier, later)
    filters = [true, predicted, search, least]

    def first_page(true: str, predicted: str, search: str, least: float, request: gr.Request) -> Updates:
        return _page_updates(tab, workspace.run(request.query_params["run"]), true, predicted, search, least, 0)

    def previous_page(
        true: str, predicted: str, search: str, least: float, offset: int, request: gr.Request
    ) -> Updates:
        folder = workspace.run(request.query_params["run"])
        return _page_updates(tab, folder, true, predicted, search, least, max(0, offset - PAGE_ROWS))

    def next_page(true: str, predicted: str, search: str, least: float, offset: int, request: gr.Request) -> Updates:
        folder = workspace.run(request.query_params["run"])
        return _page_updates(tab, folder, true, predicted, search, least, offset + PAGE_ROWS)

    changes = [true.change, predicted.change, search.change, least.change]
    gr.on(changes, first_page, filters, tab.page_parts(), trigger_mode="always_last", **QUIET)
    earlier.click(previous_page, [*filters, offset], tab.page_parts(), **QUIET)
    later.click(next_page, [*filters, offset], tab.page_parts(), **QUIET)
    return tab


def mistakes_updates(tab: MistakesTab, folder: RunFolder) -> Updates:
    report = read_report(folder)
    if report is None:
        words = "After evaluation, every wrong answer on the test part stands here with how sure the model was of it."
        return unfilled(tab.empty, tab.body, "No mistakes yet", words)
    if is_chat(report):
        words = (
            "Conversations have no classes that could be mistaken. Under Report, samples of the test part stand beside "
            "the answers in your data."
        )
        return unfilled(tab.empty, tab.body, "No mistakes to list", words)
    choices = gr.update(choices=[("any", ANY), *((label, label) for label in report["labels"])])
    return (
        filled(tab.empty, tab.body)
        | {tab.true: choices, tab.predicted: choices}
        | _page_updates(tab, folder, ANY, ANY, "", 0, 0)
    )


def _page_updates(
    tab: MistakesTab, folder: RunFolder, true: str, predicted: str, search: str, least: float, offset: int
) -> Updates:
    """One page of the rows that pass the filters; an empty filter lets everything pass."""
    report = read_report(folder)
    if report is None:
        return {tab.offset: 0}
    wanted = {"true": true or None, "predicted": predicted or None, "search": search.strip() or None}
    wanted["least_confidence"] = least / 100
    total = count_mistakes(folder, **wanted)
    rows = mistakes(folder, **wanted, offset=offset, limit=PAGE_ROWS)
    return {
        tab.list: list_html(rows, report["labels"], offset, total, report["test"]["rows"], any(wanted.values())),
        tab.offset: offset,
        tab.earlier: gr.update(visible=total > PAGE_ROWS, interactive=offset > 0),
        tab.later: gr.update(visible=total > PAGE_ROWS, interactive=offset + PAGE_ROWS < total),
    }


def list_html(
    rows: Sequence[dict[str, Any]], labels: Sequence[str], offset: int, total: int, tested: int, filtered: bool
) -> str:
    """One folded line a mistake; opening one closes the others."""
    if not total:
        words = "No mistake fits these filters." if filtered else f"Nothing to show: all {tested:,} rows are right."
        return f'<p class="td-count">{words}</p>'
    last = min(offset + len(rows), total)
    shown = f"{offset + 1:,} to {last:,} of " if total > len(rows) else ""
    noun = "mistake" if total == 1 else "mistakes"
    among = f" that {'fits' if total == 1 else 'fit'}" if filtered else f" in {tested:,} rows"
    head = f"{shown}{total:,} {noun}{among}, the surest first"
    index = {label: number for number, label in enumerate(labels)}
    return (
        f'<p class="td-count">{head}</p>'
        f'<div class="td-mistakes">{"".join(_mistake(row, labels, index) for row in rows)}</div>'
    )


def _mistake(row: dict[str, Any], labels: Sequence[str], index: dict[str, int]) -> str:
    text = row["text"] if len(row["text"]) <= TEXT_SHOWN else row["text"][:TEXT_SHOWN] + " …"
    ranked = sorted(zip(labels, row["probabilities"], strict=True), key=lambda pair: -pair[1])[:PROBABILITIES_SHOWN]
    bars = probability_bars(ranked, lambda label: class_colour(index[label]))
    chip = (
        _chip(row["true"], index)
        + '<span class="td-arrow" aria-label="predicted as">→</span>'
        + _chip(row["predicted"], index)
    )
    return (
        f'<details name="mistake"><summary><span class="td-sure">{row["confidence"] * 100:.0f} %</span>'
        f'<span class="td-text" dir="auto">{escape(text)}</span><span class="td-pairing">{chip}</span></summary>'
        f'<div class="td-open">{bars}</div></details>'
    )


def _chip(label: str, index: dict[str, int]) -> str:
    colour = class_colour(index[label]) if label in index else "var(--td-quiet)"
    return f'<span class="td-chip" style="--c:{colour}" dir="auto">{escape(label)}</span>'
