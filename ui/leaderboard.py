"""The leaderboard on the Runs page: a table for each set of test rows that runs share, which sorts by any column."""

from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from core.durations import duration
from core.evaluation.leaderboard import Board, Entry, leaderboard
from core.workspace import Workspace
from ui.events import PRIVATE, presses
from ui.words import interval, percent, size

NOTHING = (
    '<p class="quiet none">Nothing can be compared yet. When a run has finished, it stands here beside its baselines, '
    "and beside every other run on the same test rows. Duplicate a run to make another on the same rows.</p>"
)
COMPARING = '<p class="busy"><i></i>Comparing what the runs said …</p>'
HINT = (
    "Each table holds what was measured on the very same test rows. Bars and brackets: where the figure lies with 95 % "
    "confidence. Beside the best: paired tests on those rows (McNemar’s exact test, or a paired bootstrap where rows "
    "have several classes), corrected for their number (Holm). They speak of other rows like these, not of another "
    "training."
)
SORTS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-do]');
  if (button) trigger('click', {key: button.dataset.key});
});
"""
Sort = tuple[str, bool]
"""Column, and whether the largest comes first."""
BEST_FIRST: Sort = ("", True)
Column = tuple[str, str, str, Callable[[Entry], Any]]
COLUMNS: tuple[Column, ...] = (
    ("name", "Model or baseline", "", lambda entry: entry.title.casefold()),
    ("headline", "Accuracy", "Share of the test rows that are right", lambda entry: _headline(entry)[0]),
    ("macro_f1", "Macro F1", "F1 averaged over the classes", lambda entry: entry.figures.macro_f1),
    (
        "calibration_error",
        "Calibration error",
        "How far its confidence is from how often it is right; 0 is exact",
        lambda entry: entry.figures.calibration_error,
    ),
    ("rows_per_second", "Rows/s", "Rows labelled a second, where it was trained", lambda e: e.figures.rows_per_second),
    ("size_bytes", "Size", "Of the model’s folder; of adapters without their base", lambda e: e.figures.size_bytes),
    (
        "training_seconds",
        "Time",
        "The whole run; of a baseline fitting and answering",
        lambda entry: entry.figures.training_seconds,
    ),
    (
        "peak_memory_bytes",
        "Peak memory",
        "Of the GPU where it trained on one, else of its process",
        lambda entry: entry.figures.peak_memory_bytes,
    ),
    ("best", "Beside the best", "", lambda entry: entry.against_best.p_value if entry.against_best else 2.0),
)
SMALLEST_FIRST = ("name", "calibration_error", "size_bytes", "training_seconds", "peak_memory_bytes")
OUTCOMES = {"worse": "worse", "unclear": "no clear difference"}


def build_leaderboard(workspace: Workspace) -> None:
    """A section that folds open; its tables are made then, not before."""
    with gr.Accordion("Leaderboard", open=False, elem_id="leaderboard") as section:
        tables = gr.HTML(COMPARING, apply_default_css=False, js_on_load=SORTS)
    sort = gr.State(BEST_FIRST)

    def fill(sort: Sort) -> str:
        return boards_html(leaderboard(workspace), sort)

    def turn(sort: Sort, event: gr.EventData) -> tuple[Sort, str]:
        key = event.key
        sort = (key, not sort[1] if key == sort[0] else key not in SMALLEST_FIRST)
        return sort, fill(sort)

    section.expand(fill, sort, tables, **PRIVATE)
    tables.click(turn, sort, [sort, tables], **presses("leaderboard"))


def boards_html(boards: list[Board], sort: Sort = BEST_FIRST) -> str:
    if not boards:
        return NOTHING
    return f'{"".join(_board(board, sort) for board in boards)}<p class="quiet">{HINT}</p>'


def _board(board: Board, sort: Sort) -> str:
    heads = "".join(_head(column, board, sort) for column in COLUMNS)
    rows = "".join(_row(entry) for entry in _sorted(board.entries, sort))
    return (
        f'<section class="board"><h3><bdi>{escape(board.data)}</bdi> <small>{board.rows:,} test rows, '
        f'{board.classes:,} classes</small></h3><p dir="auto">{escape(board.sentence)}</p><div class="scroll">'
        f'<table class="runs boards"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _head(column: Column, board: Board, sort: Sort) -> str:
    key, title, hint, _ = column
    if key == "headline" and board.several:
        title, hint = "Micro F1", "All classes of all rows together"
    order = ("descending" if sort[1] else "ascending") if sort[0] == key else "none"
    arrow = {"descending": "↓", "ascending": "↑", "none": ""}[order]
    number = "" if key in ("name", "best") else " class=n"
    return (
        f'<th{number} aria-sort="{order}" title="{hint}"><button type="button" data-do="sort" data-key="{key}">{title}'
        f'<span aria-hidden="true">{arrow}</span></button></th>'
    )


def _sorted(entries: tuple[Entry, ...], sort: Sort) -> list[Entry]:
    """What is not known comes last either way."""
    if not sort[0]:
        return list(entries)
    by = next(value for key, _, _, value in COLUMNS if key == sort[0])
    known = [entry for entry in entries if by(entry) is not None]
    return [*sorted(known, key=by, reverse=sort[1]), *(entry for entry in entries if by(entry) is None)]


def _row(entry: Entry) -> str:
    figures = entry.figures
    headline, bounds = _headline(entry)
    cells = [
        ("Macro F1", f"{figures.macro_f1:.3f}{_small(figures.macro_f1_interval)}"),
        ("Calibration error", percent(figures.calibration_error) + _bounds(figures.calibration_error_interval)),
        ("Rows/s", _known(figures.rows_per_second, lambda value: f"{value:,.0f}" if value >= 10 else f"{value:.1f}")),
        ("Size", _known(figures.size_bytes, size)),
        ("Time", _known(figures.training_seconds, duration)),
        ("Peak memory", _known(figures.peak_memory_bytes, size)),
    ]
    low, high = bounds
    shown = (
        f"{headline:.3f}{_small(bounds)}" if figures.micro_f1_interval else f"{percent(headline)}{_percents(bounds)}"
    )
    bar = (
        f'<span class="track"><i style="width:{headline * 100:.2f}%"></i>'
        f'<u style="left:{low * 100:.2f}%;width:{(high - low) * 100:.2f}%"></u></span>'
    )
    title = f'<bdi title="{escape(figures.detail)}">{escape(entry.title)}</bdi>'
    if figures.rank == "run":
        title = f'<a href="/?run={escape(entry.run)}" dir="auto">{escape(entry.title)}</a>'
    detail = escape(figures.detail) if figures.rank != "baseline" else "baseline"
    return (
        f'<tr class="{figures.rank}"><td class="name">{title}<small>{detail}</small></td>'
        f'<td class=n data-title="{"Micro F1" if figures.micro_f1_interval else "Accuracy"}">{shown}{bar}</td>'
        + "".join(f'<td class=n data-title="{name}">{value}</td>' for name, value in cells)
        + f'<td class="beside">{_beside(entry)}</td></tr>'
    )


def _headline(entry: Entry) -> tuple[float, list[float]]:
    figures = entry.figures
    if figures.micro_f1_interval is not None:
        return figures.micro_f1, figures.micro_f1_interval
    return figures.accuracy, figures.accuracy_interval


def _small(bounds: list[float]) -> str:
    return f"<small>{bounds[0]:.3f} to {bounds[1]:.3f}</small>"


def _bounds(bounds: list[float] | None) -> str:
    return "" if bounds is None else _percents(bounds)


def _percents(bounds: list[float]) -> str:
    return f"<small>{interval(bounds)}</small>"


def _known(value: float | None, words: Callable[[float], str]) -> str:
    return "" if value is None else words(value)


def _beside(entry: Entry) -> str:
    found = entry.against_best
    if found is None:
        return "<b>the best</b>"
    _, _, sure = found.words.partition("(")
    low, high = found.macro_f1_interval
    macro = f"Macro F1 {found.macro_f1_difference:+.3f} (95 % sure: {low:+.3f} to {high:+.3f})"
    alone = f"{found.right_alone:,} rows right that the best has wrong, {found.best_alone:,} the other way round"
    ahead = "<small>clearly ahead by macro F1</small>" if found.macro_f1_outcome == "better" else ""
    words = f"{OUTCOMES[found.outcome]}<small>{escape(sure.removesuffix(')'))}</small>{ahead}"
    return f'<span title="{alone}. {macro}.">{words}</span>'
