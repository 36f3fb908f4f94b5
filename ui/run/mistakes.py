"""Run / Mistakes, the error browser: filters, rows a page at a time, one row open, and what is said of its label."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from core.correcting.marks import mark_ambiguous, mark_wrong, run_marks, take_back
from core.data.examples import read_data_facts
from core.errors import UserError
from core.evaluation.mistakes import count_rows, one_row, page_of_rows, places_of
from core.evaluation.nearest_rows import nearest_rows
from core.evaluation.neighbours import NEAREST_FILE
from core.evaluation.row_filter import Order, RowFilter, Shown
from core.evaluation.suspicious import why_not_judged
from core.model_facts import run_model_facts
from core.prediction_service import PredictionService
from core.runs.label_marks import LabelMark
from core.runs.store import Store, open_store
from core.workspace import RunFolder, Workspace
from ui.run.actions import QUIET, Updates, tell
from ui.run.chat_report import is_chat
from ui.run.corrections import CorrectionsBox, build_corrections, corrections_updates
from ui.run.open_row import OpenRow, open_row_html, words_html, words_wait_html
from ui.run.report import filled, read_report, unfilled
from ui.run.row_list import RowKey, list_html
from ui.run.several_classes import is_several

PAGE_ROWS = 20
ANY = ""
SCRIPT = (Path(__file__).parent / "mistakes.js").read_text(encoding="utf-8")
SHOWN = [("Mistakes", "mistakes"), ("Suspicious labels", "suspicious"), ("All rows", "all")]
ORDERS = [("Surest first", "confidence"), ("Highest loss first", "loss"), ("Most suspicious first", "suspicion")]


@dataclass(frozen=True)
class Opened:
    """The one row that is open, and what has been asked about it."""

    key: RowKey
    words: str = ""
    like: bool = False


@dataclass(frozen=True)
class MistakesTab:
    empty: gr.HTML
    body: gr.Column
    shown: gr.Radio
    true: gr.Dropdown
    predicted: gr.Dropdown
    search: gr.Textbox
    least: gr.Slider
    most: gr.Slider
    order: gr.Dropdown
    corrections: CorrectionsBox
    list: gr.HTML
    offset: gr.State
    opened: gr.State
    earlier: gr.Button
    later: gr.Button

    def parts(self) -> list[Any]:
        """What `mistakes_updates` may change."""
        return [self.empty, self.body, *self.filters(), *self.corrections.parts(), *self.page_parts()]

    def filters(self) -> list[Any]:
        """What `asked_filter` takes, in order; what `show_rows` changes."""
        return [self.shown, self.true, self.predicted, self.search, self.least, self.most, self.order]

    def page_parts(self) -> list[Any]:
        """What another filter, page or open row changes."""
        return [self.list, self.offset, self.opened, self.earlier, self.later]


def asked_filter(
    shown: Shown, true: str, predicted: str, search: str, least: float, most: float, order: Order
) -> RowFilter:
    """What stands in the fields; percents become shares."""
    return RowFilter(
        shown, true or None, predicted or None, search or "", min(least, most) / 100, max(least, most) / 100, order
    )


def show_rows(tab: MistakesTab, wanted: RowFilter) -> Updates:
    """The fields so that these rows are shown: whatever else on the page has rows behind it ends here."""
    return {
        tab.shown: wanted.shown,
        tab.true: wanted.true or ANY,
        tab.predicted: wanted.predicted or ANY,
        tab.search: wanted.search,
        tab.least: round(100 * wanted.least),
        tab.most: round(100 * wanted.most),
        tab.order: wanted.order,
    }


def build_mistakes(workspace: Workspace, service: PredictionService) -> MistakesTab:
    store = open_store(workspace)
    empty = gr.HTML(apply_default_css=False)
    with gr.Column(visible=False, elem_id="run-mistakes") as body:
        with gr.Row(elem_classes="td-filters"):
            shown = gr.Radio(SHOWN, value="mistakes", label="Show", elem_id="mistakes-shown", min_width=300)
            order = gr.Dropdown(ORDERS, value="confidence", label="Order", min_width=150, elem_id="mistakes-order")
        with gr.Row(elem_classes="td-filters"):
            true = gr.Dropdown(label="True class", choices=[("any", ANY)], value=ANY, min_width=150)
            predicted = gr.Dropdown(label="Predicted class", choices=[("any", ANY)], value=ANY, min_width=150)
            search = gr.Textbox("", label="Text contains", placeholder="a word", max_lines=1, min_width=150)
            least = gr.Slider(0, 100, 0, step=1, label="Sure ≥ %", min_width=130)
            most = gr.Slider(0, 100, 100, step=1, label="Sure ≤ %", min_width=130)
        corrections = build_corrections(workspace)
        rows = gr.HTML(apply_default_css=False, js_on_load=SCRIPT, elem_id="mistakes-list")
        with gr.Row(elem_classes=["td-foot", "td-pager"]):
            earlier = gr.Button("Previous", size="md", min_width=80, visible=False)
            later = gr.Button("Next", size="md", min_width=80, visible=False, elem_id="mistakes-next")
    offset, opened = gr.State(0), gr.State(None)
    tab = MistakesTab(
        empty, body, shown, true, predicted, search, least, most, order, corrections, rows, offset, opened, earlier,
        later,
    )  # fmt: skip
    _connect_filters(tab, workspace, store)
    _connect_rows(tab, workspace, store)
    _connect_questions(tab, workspace, store, service)
    return tab


def _connect_filters(tab: MistakesTab, workspace: Workspace, store: Store) -> None:
    def first_page(request: gr.Request, *filters: Any) -> Updates:
        return _page_updates(tab, store, workspace.run(request.query_params["run"]), asked_filter(*filters))

    def turned(request: gr.Request, offset: int, by: int, *filters: Any) -> Updates:
        folder = workspace.run(request.query_params["run"])
        return _page_updates(tab, store, folder, asked_filter(*filters), max(0, offset + by))

    def previous_page(offset: int, request: gr.Request, *filters: Any) -> Updates:
        return turned(request, offset, -PAGE_ROWS, *filters)

    def next_page(offset: int, request: gr.Request, *filters: Any) -> Updates:
        return turned(request, offset, PAGE_ROWS, *filters)

    gr.on(
        [part.change for part in tab.filters()],
        first_page, tab.filters(), tab.page_parts(), trigger_mode="always_last", **QUIET,
    )  # fmt: skip
    # By hand alone: a link that opens rows says their order itself.
    tab.shown.input(
        lambda shown: "suspicion" if shown == "suspicious" else "confidence",
        tab.shown,
        tab.order,
        trigger_mode="always_last",
        **QUIET,
    )
    tab.earlier.click(previous_page, [tab.offset, *tab.filters()], tab.page_parts(), **QUIET)
    tab.later.click(next_page, [tab.offset, *tab.filters()], tab.page_parts(), **QUIET)


def _connect_rows(tab: MistakesTab, workspace: Workspace, store: Store) -> None:
    def open_one(event: gr.EventData, offset: int, request: gr.Request, *filters: Any) -> Updates:
        folder = workspace.run(request.query_params["run"])
        opened = Opened((int(event.fold), int(event.row)))
        return _page_updates(tab, store, folder, asked_filter(*filters), offset, opened)

    def mark(event: gr.EventData, offset: int, opened: Opened | None, request: gr.Request, *filters: Any) -> Updates:
        folder = workspace.run(request.query_params["run"])
        key = int(event.fold), int(event.row)
        try:
            _mark(store, folder, key, str(event.verdict), [str(name) for name in event.classes])
        except UserError as error:
            tell(error)
        kept = opened if opened is not None and opened.key == key else Opened(key)
        page = _page_updates(tab, store, folder, asked_filter(*filters), offset, kept)
        return page | corrections_updates(tab.corrections, store, folder)

    def again(offset: int, opened: Opened | None, request: gr.Request, *filters: Any) -> Updates:
        folder = workspace.run(request.query_params["run"])
        return _page_updates(tab, store, folder, asked_filter(*filters), offset, opened)

    # Each press is about a row of its own: none may be dropped while another is on its way.
    each: dict[str, Any] = QUIET | {"trigger_mode": "multiple"}
    tab.list.openrow(open_one, [tab.offset, *tab.filters()], tab.page_parts(), **each)
    inputs = [tab.offset, tab.opened, *tab.filters()]
    tab.list.mark(mark, inputs, [*tab.page_parts(), *tab.corrections.parts()], **each)
    tab.corrections.undone.then(again, inputs, tab.page_parts(), **QUIET)


def _mark(store: Store, folder: RunFolder, key: RowKey, verdict: str, classes: list[str]) -> None:
    """Raises UserError for a row that is not the run's, or classes that it does not know."""
    place = places_of(folder, key[0], [key[1]]).get(key[1])
    if place is None:
        raise UserError("The run has no such row.", "row", "Open the row again.")
    if verdict == "wrong":
        mark_wrong(store, folder, place, classes)
    elif verdict == "ambiguous":
        mark_ambiguous(store, folder, place)
    else:
        take_back(store, folder, place)


def _connect_questions(tab: MistakesTab, workspace: Workspace, store: Store, service: PredictionService) -> None:
    def ask(
        event: gr.EventData, offset: int, opened: Opened | None, request: gr.Request, *filters: Any
    ) -> Iterator[Updates]:
        folder, wanted = workspace.run(request.query_params["run"]), asked_filter(*filters)
        key = int(event.fold), int(event.row)
        had = opened if opened is not None and opened.key == key else Opened(key)
        if event.what == "like":
            yield _page_updates(tab, store, folder, wanted, offset, Opened(key, had.words, like=True))
            return
        row = one_row(folder, *key)
        if row is None:
            return
        wait = words_wait_html(_words_seconds(folder, row["text"]), service.is_loaded(folder.id))
        yield _page_updates(tab, store, folder, wanted, offset, Opened(key, wait, had.like))
        try:
            words = words_html(service.explain(folder.id, row["text"], str(event.label)), str(event.label))
        except UserError as error:
            tell(error)
            words = ""
        yield _page_updates(tab, store, folder, wanted, offset, Opened(key, words, had.like))

    tab.list.ask(ask, [tab.offset, tab.opened, *tab.filters()], tab.page_parts(), trigger_mode="multiple", **QUIET)


def _words_seconds(folder: RunFolder, text: str) -> float | None:
    """About how long the words of this text take, from the pace at which the run was evaluated."""
    report = read_report(folder) or {}
    pace = report.get("training", {}).get("rows_per_second")
    # Evaluation reads many texts at once, which is about twice as fast.
    return 2 * min(64, len(text.split())) / pace if pace else None


def mistakes_updates(tab: MistakesTab, store: Store, folder: RunFolder) -> Updates:
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
        | show_rows(tab, RowFilter())
        | {
            box: gr.update(choices=choices, label=name, value=ANY)
            for box, name in zip((tab.true, tab.predicted), names, strict=True)
        }
        | _page_updates(tab, store, folder, RowFilter())
        | corrections_updates(tab.corrections, store, folder)
    )


def _page_updates(
    tab: MistakesTab, store: Store, folder: RunFolder, wanted: RowFilter, offset: int = 0, opened: Opened | None = None
) -> Updates:
    """One page of the rows that pass the filters, with at most one row open."""
    report = read_report(folder)
    if report is None:
        return {tab.offset: 0}
    why_not = why_not_judged(folder) if wanted.shown == "suspicious" else ""
    if why_not:
        hidden = gr.update(visible=False)
        words = f'<p class="td-count">{why_not}</p>'
        return {tab.list: words, tab.offset: 0, tab.opened: None, tab.earlier: hidden, tab.later: hidden}
    total = count_rows(folder, wanted)
    rows = page_of_rows(folder, wanted, offset, PAGE_ROWS)
    keys = [(row["fold"], row["row_id"]) for row in rows]
    marks = _marks(store, folder, keys)
    here = opened if opened is not None and opened.key in keys else None
    bodies = {here.key: _body(folder, report, here, marks.get(here.key))} if here is not None else {}
    return {
        tab.list: list_html(
            rows, report["labels"], offset, total, report["test"]["rows"], wanted.is_narrowed, _thresholds(report),
            wanted=wanted, opened=bodies, marks=marks,
        ),
        tab.offset: offset,
        tab.opened: here,
        tab.earlier: gr.update(visible=total > PAGE_ROWS, interactive=offset > 0),
        tab.later: gr.update(visible=total > PAGE_ROWS, interactive=offset + PAGE_ROWS < total),
    }  # fmt: skip


def _marks(store: Store, folder: RunFolder, keys: list[RowKey]) -> dict[RowKey, LabelMark]:
    """What was said of the labels of these rows."""
    marks = run_marks(store, folder)
    found = {}
    for fold in {fold for fold, _ in keys} if marks else ():
        for row_id, place in places_of(folder, fold, [row_id for one, row_id in keys if one == fold]).items():
            if place in marks:
                found[fold, row_id] = marks[place]
    return found


def _body(folder: RunFolder, report: dict[str, Any], opened: Opened, mark: LabelMark | None) -> str:
    fold, row_id = opened.key
    row = one_row(folder, fold, row_id)
    assert row is not None  # it is on the page
    known = (fold == 1 and (folder.report / NEAREST_FILE).exists()) or opened.like
    place = places_of(folder, fold, [row_id])[row_id]
    return open_row_html(
        OpenRow(
            row=row,
            place=place,
            file_name=read_data_facts(folder).files[place[0]]["name"],
            labels=report["labels"],
            several=is_several(report),
            thresholds=_thresholds(report),
            mark=mark,
            like=nearest_rows(folder, fold, row_id, row["text"]) if known else None,
            words=opened.words,
            explains=_explains(folder),
        )
    )


def _explains(folder: RunFolder) -> bool:
    try:
        return run_model_facts(folder).family == "encoder"
    except UserError:
        return False


def _thresholds(report: Mapping[str, Any]) -> dict[str, float]:
    """Class -> the probability from which on a row is given it; of rows with one class nothing."""
    return {figures["label"]: figures["threshold"] for figures in report["test"]["per_class"] if "threshold" in figures}
