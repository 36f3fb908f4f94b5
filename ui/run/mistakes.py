"""Run / Mistakes: the wrong predictions on the test part, the surest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

import gradio as gr

from core.evaluation.colours import class_colour
from core.evaluation.mistakes import count_mistakes, mistakes
from core.workspace import RunFolder, Workspace
from ui.plots import probability_bars
from ui.run.actions import QUIET, Updates
from ui.run.chat_report import is_chat
from ui.run.report import filled, read_report, unfilled
from ui.run.several_classes import is_several

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
    choices = [("any", ANY), *((label, label) for label in report["labels"])]
    names = ("Class it missed", "Class it wrongly added") if is_several(report) else ("True class", "Predicted class")
    return (
        filled(tab.empty, tab.body)
        | {
            box: gr.update(choices=choices, label=name)
            for box, name in zip((tab.true, tab.predicted), names, strict=True)
        }
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
        tab.list: list_html(
            rows, report["labels"], offset, total, report["test"]["rows"], any(wanted.values()), _thresholds(report)
        ),
        tab.offset: offset,
        tab.earlier: gr.update(visible=total > PAGE_ROWS, interactive=offset > 0),
        tab.later: gr.update(visible=total > PAGE_ROWS, interactive=offset + PAGE_ROWS < total),
    }


def _thresholds(report: dict[str, Any]) -> dict[str, float]:
    """Class -> the probability from which on a row is given it; of rows with one class nothing."""
    return {figures["label"]: figures["threshold"] for figures in report["test"]["per_class"] if "threshold" in figures}


def list_html(
    rows: Sequence[dict[str, Any]],
    labels: Sequence[str],
    offset: int,
    total: int,
    tested: int,
    filtered: bool,
    thresholds: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """One folded line a mistake; opening one closes the others. thresholds: of each class, where rows have several."""
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
        f'<div class="td-mistakes">{"".join(_mistake(row, labels, index, thresholds) for row in rows)}</div>'
    )


def _mistake(row: dict[str, Any], labels: Sequence[str], index: dict[str, int], thresholds: Mapping[str, float]) -> str:
    text = row["text"] if len(row["text"]) <= TEXT_SHOWN else row["text"][:TEXT_SHOWN] + " …"
    said = sorted(zip(labels, row["probabilities"], strict=True), key=lambda pair: -pair[1])
    several = "missed" in row
    if several:
        # Whatever was decided wrongly is among the bars, however improbable.
        wrong = {*row["missed"], *row["added"]}
        shown = [pair for place, pair in enumerate(said) if place < PROBABILITIES_SHOWN or pair[0] in wrong]
    else:
        shown = said[:PROBABILITIES_SHOWN]
    bars = probability_bars(shown, lambda label: class_colour(index[label]), thresholds)
    chip = _differing(row, index) if several else (
        _chip(row["true"], index)
        + '<span class="td-arrow" aria-label="predicted as">→</span>'
        + _chip(row["predicted"], index)
    )  # fmt: skip
    return (
        f'<details name="mistake"><summary><span class="td-sure">{row["confidence"] * 100:.0f} %</span>'
        f'<span class="td-text" dir="auto">{escape(text)}</span><span class="td-pairing">{chip}</span></summary>'
        f'<div class="td-open">{_in_full(row, labels)}{bars}</div></details>'
    )


def _differing(row: dict[str, Any], index: dict[str, int]) -> str:
    """The first class that was missed and the first that was added; how many more there are."""
    parts = []
    for words, found in (("missed", row["missed"]), ("added", row["added"])):
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            parts.append(f"<small>{words}{more}</small>{_chip(found[0], index)}")
    return f'<span class="td-several">{"".join(parts)}</span>'


def _in_full(row: dict[str, Any], labels: Sequence[str]) -> str:
    """All classes of a row, or the probabilities that the data gives it; '' where it has one class."""
    if "missed" in row:
        pairs = [("In the data", row["true"]), ("Given", row["predicted"])]
    elif "true_probabilities" in row:
        ranked = sorted(zip(labels, row["true_probabilities"], strict=True), key=lambda pair: -pair[1])
        likely = [
            f"<bdi>{escape(label)}</bdi> {share * 100:.0f} %"
            for label, share in ranked[:PROBABILITIES_SHOWN]
            if share >= 0.01
        ]
        return f'<p class="td-differ"><span>In the data <b>{", ".join(likely)}</b></span></p>'
    else:
        return ""
    words = "".join(f'<span>{name} <b dir="auto">{escape(classes) or "no class"}</b></span>' for name, classes in pairs)
    return f'<p class="td-differ">{words}</p>'


def _chip(label: str, index: dict[str, int]) -> str:
    colour = class_colour(index[label]) if label in index else "var(--td-quiet)"
    return f'<span class="td-chip" style="--c:{colour}" dir="auto">{escape(label)}</span>'
