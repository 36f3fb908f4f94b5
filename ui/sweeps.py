"""Sweeps on the Runs page: each a group that folds, with its leaderboard by validation figures."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from core.durations import duration
from core.errors import UserError
from core.runs.store import Store, open_store
from core.runs.sweep_board import WHY_VALIDATION, Entry, SweepBoard, sweep_board
from core.runs.sweeps import resume_sweep, stop_sweep, sweeps, ungroup
from core.sweep_spec import is_greater_better, key_words, settings_words, value_words
from core.workspace import Workspace
from ui.events import GO, PRIVATE, looks, presses
from ui.run.actions import duplicate_of, tell
from ui.words import METRIC_WORDS

SCRIPT = Path(__file__).with_name("queue.js").read_text(encoding="utf-8")
WATCHING_SECONDS = 3.0
MOST_SHOWN = 30
"""Sweeps, the newest first."""
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 220, 60, 28, 190
LINE = 16
"""Labels of an axis are at least so far apart."""
STATE_WORDS = {"pruned": "stopped early", "queued": "waiting"}


def build_sweeps(workspace: Workspace) -> None:
    """A section that is there once a sweep was started."""
    store = open_store(workspace)
    section = gr.HTML(apply_default_css=False, js_on_load=SCRIPT, elem_id="sweeps", visible=False)
    shown, timer, address = gr.State(""), gr.Timer(WATCHING_SECONDS), gr.Textbox(visible=False)

    def fill(shown: str) -> tuple[Any, str]:
        html = sweeps_html(store)
        return (gr.skip(), shown) if html == shown else (gr.update(value=html, visible=bool(html)), html)

    def act(shown: str, event: gr.EventData) -> tuple[Any, ...]:
        if event.act == "use":
            return gr.skip(), shown, duplicate_of(workspace, event.key)
        acts = {"stop": stop_sweep, "resume": resume_sweep, "ungroup": ungroup}
        try:
            acts[event.act](workspace, event.key)
        except UserError as error:  # it has just ended
            tell(error)
        return *fill(shown), ""

    gr.on([Context.root_block.load, timer.tick], fill, shown, [section, shown], **looks("sweeps"))
    section.click(act, shown, [section, shown, address], **presses("sweeps")).then(
        None, address, None, js=GO, **PRIVATE
    )


def sweeps_html(store: Store) -> str:
    """Every group, the newest first and open while it searches; '' where there is none."""
    found = sweeps(store)[:MOST_SHOWN]
    if not found:
        return ""
    groups = "".join(_group(sweep_board(store, one), number == 0) for number, one in enumerate(found))
    return f"<h2>Several settings tried <small>{len(found)} group{'s' if len(found) > 1 else ''}</small></h2>{groups}"


def _group(board: SweepBoard, is_newest: bool) -> str:
    found = board.sweep
    done = len(board.entries) - board.open
    state = {"searching": f"{done} of {board.planned} runs are through"}.get(found.state, found.state)
    best = board.best
    figure = f"best validation {_metric(board)} {best.figure:.3f}" if best and best.figure is not None else ""
    is_open = " open" if is_newest or found.state == "searching" else ""
    reason = f'<p class="quiet" dir="auto">{escape(found.reason)}</p>' if found.reason else ""
    told = f'<p dir="auto">{escape(board.sentence)}</p>' if board.sentence else ""
    told += f'<p class="quiet">{WHY_VALIDATION}</p>'
    return (
        f'<details class="group" data-key="{escape(found.id)}"{is_open}><summary><strong dir="auto">'
        f"{escape(found.name)}</strong><span>{state}</span><span>{figure}</span></summary>"
        f"<div>{reason}{told}{_acts(board)}{_table(board)}{lanes_svg(board)}</div></details>"
    )


def _acts(board: SweepBoard) -> str:
    found, best = board.sweep, board.best
    buttons = []
    if best is not None:
        buttons.append(
            f'<button type="button" class="use" data-do="use" data-key="{escape(best.trial.run_id)}">'
            "Use these settings</button>"
        )
    acts = {"searching": [("stop", "Stop trying")], "stopped": [("resume", "Go on"), ("ungroup", "Ungroup")]}
    for act, words in acts.get(found.state, [("ungroup", "Ungroup")]):
        title = ' title="Forget the group; its runs stay"' if act == "ungroup" else ""
        buttons.append(f'<button type="button" data-do="{act}" data-key="{escape(found.id)}"{title}>{words}</button>')
    return f'<div class="group-acts">{"".join(buttons)}</div>'


def _metric(board: SweepBoard) -> str:
    return METRIC_WORDS[board.metric]


def _table(board: SweepBoard) -> str:
    if not board.entries:
        return '<p class="quiet">Its runs are being made.</p>'
    keys = list(board.sweep.plan.fields)
    heads = "".join(f"<th>{escape(key_words(key).capitalize())}</th>" for key in keys)
    rows = "".join(_row(entry, keys, _metric(board)) for entry in board.entries)
    return (
        f'<div class="scroll"><table class="runs"><thead><tr><th>Run</th>{heads}<th class=n>Validation '
        f"{_metric(board)}</th><th>State</th><th class=n>Time</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(entry: Entry, keys: Sequence[str], metric: str) -> str:
    trial, run = entry.trial, entry.trial.run
    name = f"Run {trial.number + 1}"
    link = f'<a href="/?run={escape(trial.run_id)}">{name}</a>' if run is not None else name
    cells = "".join(
        f'<td class="value" data-title="{escape(key_words(key).capitalize())}">'
        f"{escape(value_words(trial.settings[key]))}</td>"
        for key in keys
    )
    figure = "" if entry.figure is None else f"{entry.figure:.3f}"
    why = f"<small>{escape(trial.pruned)}</small>" if entry.state == "pruned" else ""
    best = "<small>the best</small>" if entry.is_best else ""
    return (
        f'<tr{" class=best" if entry.is_best else ""}><td class="name">{link}{best}</td>{cells}'
        f'<td class=n data-title="Validation {metric}">{figure}</td><td data-title="State">'
        f"{STATE_WORDS.get(entry.state, entry.state)}{why}</td>"
        f'<td class=n data-title="Took">{duration(run.seconds) if run is not None and run.seconds else ""}</td></tr>'
    )


def lanes_svg(board: SweepBoard) -> str:
    """An axis for each setting and one for the figure, a line for each run: which values go with good figures."""
    entries = [entry for entry in board.entries if entry.figure is not None]
    if len(entries) < 2:
        return ""
    keys = list(board.sweep.plan.fields)
    columns = [[entry.trial.settings[key] for entry in entries] for key in keys]
    columns.append([entry.figure for entry in entries])
    titles = [*(key_words(key) for key in keys), f"validation {_metric(board)}"]
    xs = [LEFT + (WIDTH - 2 * LEFT) * place / (len(columns) - 1) for place in range(len(columns))]
    places = [_places(values) for values in columns]
    if not is_greater_better(board.metric):
        places[-1] = {value: 1 - place for value, place in places[-1].items()}
    axes = "".join(_axis(x, title, column) for x, title, column in zip(xs, titles, places, strict=True))
    lines = []
    for number in sorted(range(len(entries)), key=lambda number: entries[number].is_best):
        entry = entries[number]
        points = " L ".join(
            f"{x:.1f} {_y(column[values[number]]):.1f}" for x, column, values in zip(xs, places, columns, strict=True)
        )
        kind = "best" if entry.is_best else "pruned" if entry.state == "pruned" else ""
        words = f"{settings_words(entry.trial.settings)}: {entry.figure:.3f}"
        lines.append(f'<path class="{kind}" d="M {points}"><title>{escape(words)}</title></path>')
    return (
        f'<div class="scroll"><svg class="lanes" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Values of the '
        f'settings beside the figure, a line for each run; the table above says the same">{"".join(lines)}{axes}'
        "</svg></div>"
    )


def _places(values: Sequence[Any]) -> dict[Any, float]:
    """Where each value stands on its axis, 0 below to 1 above: numbers by size, the wide ones by factors."""
    different = list(dict.fromkeys(values))
    numbers = [value for value in different if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(different):
        return {value: number / max(1, len(different) - 1) for number, value in enumerate(different)}
    low, high = min(numbers), max(numbers)
    if low == high:
        return dict.fromkeys(numbers, 0.5)
    if low > 0 and high / low >= 8:
        return {value: math.log(value / low) / math.log(high / low) for value in numbers}
    return {value: (value - low) / (high - low) for value in numbers}


def _y(place: float) -> float:
    return BOTTOM - (BOTTOM - TOP - 8) * place


def _axis(x: float, title: str, places: dict[Any, float]) -> str:
    shown: list[Any] = []
    for value in sorted(places, key=lambda value: places[value], reverse=True):
        if not shown or _y(places[value]) - _y(places[shown[-1]]) >= LINE:
            shown.append(value)
    labels = "".join(
        f'<text x="{x - 6:.1f}" y="{_y(places[value]) + 4:.1f}" text-anchor="end">{escape(_short(value))}</text>'
        for value in shown
    )
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM + 6}"/>{labels}'
        f'<text class="title" x="{x:.1f}" y="{TOP - 12}" text-anchor="middle">{escape(title)}</text>'
    )


def _short(value: Any) -> str:
    return f"{value:.3g}".replace("e-0", "e-") if isinstance(value, float) else value_words(value)[:12]
