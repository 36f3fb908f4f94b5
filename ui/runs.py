"""The history: every run with how it went; open, duplicate, delete, and tick some to compare them."""

from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr
from gradio.context import Context

from core.deletion import delete_run
from core.durations import duration
from core.errors import UserError
from core.evaluation.comparison import MOST_RUNS as MOST_COMPARED
from core.runs.store import ACTIVE, Run, open_store
from core.runs.sweeps import sweep_of_runs
from core.workspace import Workspace
from ui.events import GO, PRIVATE, looks, presses
from ui.leaderboard import build_leaderboard
from ui.new_run.data_html import problem_html
from ui.open_model import build_open_model
from ui.queue import build_queue
from ui.run.actions import duplicate_of
from ui.sidebar import short_state
from ui.sweeps import build_sweeps
from ui.words import figure_words, moment, percent

PAGE_ROWS = 50
MOST_RUNS = 10_000
WATCHING_SECONDS = 3.0
STATE_CHOICES = [
    ("every state", ""), ("finished", "finished"), ("running", "running"), ("queued", "queued"), ("stopped", "stopped"),
    ("interrupted", "interrupted"), ("failed", "failed"),
]  # fmt: skip
CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-do]');
  if (button) trigger('click', {act: button.dataset.do, key: button.dataset.key});
});
element.addEventListener('change', (event) => {
  const box = event.target.closest('input[data-tick]');
  if (box) trigger('click', {act: box.checked ? 'tick' : 'untick', key: box.dataset.tick});
});
"""
Ticked = tuple[str, ...]
"""Ids of the runs to compare, in the order of ticking."""
Column = tuple[str, str, Callable[[Run], Any]]
COLUMNS: tuple[Column, ...] = (
    ("name", "Run", lambda run: run.name.casefold()),
    ("state", "State", lambda run: run.state),
    ("data", "Data", lambda run: run.data_name.casefold()),
    ("accuracy", "Accuracy", lambda run: _figure(run, "micro_f1") or _figure(run, "accuracy") or -1.0),
    ("macro_f1", "Macro F1", lambda run: _figure(run, "macro_f1") or -1.0),
    ("seconds", "Time", lambda run: run.seconds),
    ("created", "Started", lambda run: run.created),
)
NUMBERS = ("accuracy", "macro_f1", "seconds", "created")
NOTHING = (
    '<div class="nothing-yet"><h2>Nothing here yet.</h2><p>Try the sample: two minutes on this computer.</p>'
    '<p><a class="button" href="/?sample=docstrings">Try the sample</a></p></div>'
)


def build_runs(workspace: Workspace) -> None:
    """Build the page in the current Blocks."""
    store = open_store(workspace)
    with gr.Column(elem_id="runs-page"):
        gr.HTML("<h1>Runs</h1>", apply_default_css=False)
        build_queue(workspace)
        build_sweeps(workspace)
        with gr.Row(elem_classes="filters") as filters:
            search = gr.Textbox(placeholder="Search name, data or preset", show_label=False, max_lines=1, min_width=180)
            state = gr.Dropdown(STATE_CHOICES, value="", show_label=False, filterable=False, min_width=150, scale=0)
        table = gr.HTML(apply_default_css=False, js_on_load=CLICKS, elem_id="runs-table")
        more = gr.Button("Show more", visible=False, size="md")
        comparing = gr.HTML(apply_default_css=False, visible=False, elem_id="compare-ticked")
        with gr.Column(visible=False, elem_id="delete-question", elem_classes="card") as asking:
            question = gr.HTML(apply_default_css=False)
            with gr.Row(elem_classes="right"):
                keep = gr.Button("Keep it", size="md", min_width=100)
                confirm = gr.Button("Delete", variant="stop", size="md", min_width=100, elem_id="confirm-delete")
        build_open_model(workspace)
        build_leaderboard(workspace)
    sort, shown, doomed = gr.State(("created", True)), gr.State(PAGE_ROWS), gr.State("")
    ticked = gr.State(())
    address = gr.Textbox(visible=False)
    timer = gr.Timer(WATCHING_SECONDS)
    asked = [search, state, sort, shown, ticked]
    filled = [table, more, filters]

    def fill(search: str, state: str, sort: tuple[str, bool], shown: int, ticked: Ticked) -> dict[Any, Any]:
        runs = store.runs(limit=MOST_RUNS, states=_states(state))
        if not runs and not search and not state:
            return {table: NOTHING, more: gr.update(visible=False), filters: gr.update(visible=False)}
        # A sweep's runs stand in its group, where they are compared by validation figures.
        grouped = {} if search or state else sweep_of_runs(store)
        found = _sorted([run for run in runs if run.id not in grouped and _matches(run, search)], *sort)
        return {
            table: table_html(found[:shown], sort, ticked) if found or not grouped else "",
            more: gr.update(visible=len(found) > shown), filters: gr.update(visible=True),
        }  # fmt: skip

    def act(
        search: str, state: str, sort: tuple[str, bool], shown: int, ticked: Ticked, event: gr.EventData
    ) -> dict[Any, Any]:
        if event.act == "sort":
            sort = (event.key, not sort[1] if event.key == sort[0] else event.key in NUMBERS)
            return {sort_state: sort, **fill(search, state, sort, shown, ticked)}
        if event.act in ("tick", "untick"):
            others = tuple(run_id for run_id in ticked if run_id != event.key)
            now = (*others, event.key) if event.act == "tick" else others
            return {ticked_state: now, comparing: gr.update(value=ticked_html(now), visible=bool(now))}
        if event.act == "duplicate":
            return {address: duplicate_of(workspace, event.key)}
        run = store.run(event.key)
        return {
            asking: gr.update(visible=True), question: _question(run), doomed: run.id,
            confirm: gr.update(visible=run.state not in ACTIVE),
        }  # fmt: skip

    def discard(doomed: str, *asked: Any) -> dict[Any, Any]:
        try:
            delete_run(workspace, doomed)
        except UserError as error:
            return {question: problem_html(error)}
        return {asking: gr.update(visible=False), **fill(*asked)}

    sort_state, ticked_state = sort, ticked
    gr.on([Context.root_block.load, timer.tick], fill, asked, filled, **looks("runs"))
    gr.on([search.input, state.input], fill, asked, filled, **looks("runs") | {"trigger_mode": "always_last"})
    more.click(lambda shown: shown + PAGE_ROWS, shown, shown, **PRIVATE).then(fill, asked, filled, **PRIVATE)
    changed = [*filled, sort, address, asking, question, doomed, confirm, ticked, comparing]
    table.click(act, asked, changed, **presses("runs")).then(None, address, None, js=GO, **PRIVATE)
    keep.click(lambda: gr.update(visible=False), None, asking, **PRIVATE)
    confirm.click(discard, [doomed, *asked], [*filled, asking, question], **PRIVATE)


def ticked_html(ticked: Ticked) -> str:
    """The way to the page that compares the ticked runs; the first ticked is what the others are compared with."""
    if len(ticked) < 2:
        return '<p class="quiet">Tick another run to compare the two.</p>'
    if len(ticked) > MOST_COMPARED:
        return f'<p class="quiet">Up to {MOST_COMPARED} runs can be compared; {len(ticked)} are ticked.</p>'
    address = f"/compare?runs={','.join(ticked)}"
    return f'<a class="button" href="{escape(address)}">Compare {len(ticked)} runs</a>'


def table_html(runs: list[Run], sort: tuple[str, bool], ticked: Ticked = ()) -> str:
    if not runs:
        return '<p class="quiet none">No run fits.</p>'
    heads = "".join(_head(key, title, sort) for key, title, _ in COLUMNS)
    return (
        f'<div class="scroll"><table class="runs"><thead><tr>{heads}<th><span class="unseen">What to do</span></th>'
        f"</tr></thead><tbody>{''.join(_row(run, run.id in ticked) for run in runs)}</tbody></table></div>"
    )


def _head(key: str, title: str, sort: tuple[str, bool]) -> str:
    order = ("descending" if sort[1] else "ascending") if sort[0] == key else "none"
    arrow = {"descending": "↓", "ascending": "↑", "none": ""}[order]
    number = " class=n" if key in NUMBERS else ""
    return (
        f'<th{number} aria-sort="{order}"><button type="button" data-do="sort" data-key="{key}">{title}'
        f'<span aria-hidden="true">{arrow}</span></button></th>'
    )


def _row(run: Run, ticked: bool) -> str:
    accuracy, macro_f1 = _figure(run, "accuracy"), _figure(run, "macro_f1")
    micro_f1 = _figure(run, "micro_f1")
    figures = "".join(
        f'<td class=n data-title="{title}">{"" if value is None else percent(value)}</td>'
        for title, value in (("Accuracy", accuracy), ("Macro F1", macro_f1))
    )
    if micro_f1 is not None and accuracy is not None and macro_f1 is not None:  # rows have several classes
        words = f"All classes of a row right: {percent(accuracy)}"
        figures = (
            f'<td class=n data-title="Micro F1" title="{words}">{percent(micro_f1)} <small>micro F1</small></td>'
            f'<td class=n data-title="Macro F1">{percent(macro_f1)}</td>'
        )
    if _figure(run, "perplexity") is not None:  # conversations have no other figure
        figures = f'<td class=n colspan=2 data-title="Learned">{figure_words(run.summary)}</td>'
    state = run.state if run.state == "finished" else short_state(run).split(",")[0]
    return (
        f'<tr><td class="name"><input type="checkbox" data-tick="{escape(run.id)}"{" checked" if ticked else ""} '
        f'aria-label="Compare {escape(run.name)}"><a href="/?run={escape(run.id)}" dir="auto">{escape(run.name)}</a>'
        f"<small>{escape(run.preset)}</small></td>"
        f'<td class="state"><span class="dot {run.state}"></span>{escape(state)}</td>'
        f'<td data-title="Data" dir="auto" title="{escape(run.data_name)}">{escape(run.data_name)}</td>'
        f'{figures}<td class=n data-title="Took">{duration(run.seconds) if run.seconds else ""}</td>'
        f'<td class=n data-title="Started">{moment(run.started or run.created)}</td><td class="acts">'
        f'<button type="button" data-do="duplicate" data-key="{escape(run.id)}">Duplicate</button>'
        f'<button type="button" data-do="delete" data-key="{escape(run.id)}" aria-label="Delete {escape(run.name)}">'
        "Delete</button></td></tr>"
    )


def _figure(run: Run, name: str) -> float | None:
    return run.summary["test"].get(name) if "test" in run.summary else None


def _states(state: str) -> tuple[str, ...]:
    return ACTIVE if state == "running" else (state,) if state else ()


def _matches(run: Run, search: str) -> bool:
    text = f"{run.name} {run.data_name} {run.preset} {run.id}".casefold()
    return all(word in text for word in search.casefold().split())


def _sorted(runs: list[Run], key: str, descending: bool) -> list[Run]:
    by = next(value for name, _, value in COLUMNS if name == key)
    return sorted(runs, key=by, reverse=descending)


def _question(run: Run) -> str:
    if run.state in ACTIVE:
        return (
            f"<h3><bdi>{escape(run.name)}</bdi> is still running.</h3>"
            f'<p class="quiet">Stop it first, on <a href="/?run={escape(run.id)}">its page</a>.</p>'
        )
    return (
        f'<h3>Delete <bdi>{escape(run.name)}</bdi>?</h3><p class="quiet">Its model, report, checkpoints and log are '
        "deleted and cannot be brought back.</p>"
    )
