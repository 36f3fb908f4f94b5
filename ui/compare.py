"""Compare: two runs or more side by side, at an address of its own (`/compare?runs=ID,ID`).

Figures with what the paired tests say, curves over each other, the rows that one of two alone has right, the classes
that differ, and the settings that do. Runs are told apart by a letter and a colour, as many have the same name.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from core.durations import duration
from core.errors import UserError
from core.evaluation.colours import class_colour
from core.evaluation.comparison import Compared, DifferingRow, Pair, Which, compare_runs, differing_rows
from core.evaluation.spec_differences import EMPTY, SettingValues
from core.runs.store import MetricPoint, Store, open_store
from core.schema import RunSpec
from core.spec_settings import Setting, settings
from core.workspace import Workspace
from ui.forms import empty_words, label
from ui.new_run.data_html import problem_html
from ui.plots import Series, line_chart
from ui.run.actions import QUIET, Updates
from ui.run.class_table import SORT_SCRIPT
from ui.run.live import CHART_SCRIPT
from ui.run.page import STYLE
from ui.words import STATE_WORDS, interval, percent, size

OWN_STYLE = (Path(__file__).parent / "compare.css").read_text(encoding="utf-8")
PAGE_ROWS = 10
TEXT_SHOWN = 2000
CURVES = (
    ("train/loss", "Training loss", True),
    ("validation/loss", "Validation loss", False),
    ("validation/macro_f1", "Validation, macro F1", False),
    ("validation/accuracy", "Validation, accuracy", False),
    ("validation/micro_f1", "Validation, micro F1", False),
)
NOTHING = (
    '<div class="nothing-yet"><h2>Nothing to compare yet.</h2><p>Tick two runs on the Runs page and press Compare.</p>'
    '<p><a class="button" href="/runs">Choose runs</a></p></div>'
)
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Rows:
    """The rows that one of two runs alone has right."""

    box: gr.Column
    pair: gr.Dropdown
    which: gr.Radio
    list: gr.HTML
    offset: gr.State
    earlier: gr.Button
    later: gr.Button

    def parts(self) -> list[Any]:
        return [self.box, self.pair, self.which, *self.page_parts()]

    def page_parts(self) -> list[Any]:
        return [self.list, self.offset, self.earlier, self.later]


def build_compare(workspace: Workspace) -> None:
    """Build the page in the current Blocks; it shows the runs that the address names."""
    store = open_store(workspace)
    gr.HTML(f"<style>{STYLE}{OWN_STYLE}</style>", elem_classes="td-style", apply_default_css=False)
    with gr.Column(elem_id="compare-page"):
        gr.HTML('<h1>Compare</h1><p class="quiet"><a href="/runs">All runs</a></p>', apply_default_css=False)
        head = gr.HTML('<p class="busy"><i></i>Comparing what the runs said …</p>', apply_default_css=False)
        curves = gr.HTML(apply_default_css=False, js_on_load=CHART_SCRIPT, elem_id="compare-curves")
        rows = _build_rows()
        classes = gr.HTML(apply_default_css=False, js_on_load=SORT_SCRIPT, elem_id="compare-classes")
        specs = gr.HTML(apply_default_css=False, elem_id="compare-settings")

    def show(request: gr.Request) -> Updates:
        asked = _asked(request)
        if not asked:
            return {head: NOTHING}
        try:
            found = compare_runs(workspace, asked)
        except UserError as error:
            return {head: problem_html(error)}
        return {
            head: head_html(found),
            curves: curves_html(store, found),
            classes: classes_html(found),
            specs: settings_html(found),
        } | _rows_updates(workspace, rows, found)

    def choose_pair(pair: str, request: gr.Request) -> Updates:
        found = compare_runs(workspace, _asked(request))
        chosen = next(one for one in found.pairs if one.second == pair)
        return _which(rows, found, chosen) | _page(workspace, rows, chosen.first, chosen.second, "first", chosen, 0)

    def turn(by: int) -> Any:
        def page(pair: str, which: Which, offset: int, request: gr.Request) -> Updates:
            found = compare_runs(workspace, _asked(request))
            chosen = next(one for one in found.pairs if one.second == pair)
            start = max(0, offset + by * PAGE_ROWS) if by else 0
            return _page(workspace, rows, chosen.first, chosen.second, which, chosen, start)

        return page

    Context.root_block.load(show, None, [head, curves, classes, specs, *rows.parts()], **QUIET)
    rows.pair.select(choose_pair, rows.pair, [rows.which, *rows.page_parts()], trigger_mode="always_last", **QUIET)
    inputs = [rows.pair, rows.which, rows.offset]
    for event, by in ((rows.which.select, 0), (rows.earlier.click, -1), (rows.later.click, 1)):
        event(turn(by), inputs, rows.page_parts(), **QUIET)


def _asked(request: gr.Request) -> list[str]:
    return [name for name in request.query_params.get("runs", "").split(",") if name]


def _build_rows() -> Rows:
    with gr.Column(visible=False, elem_id="compare-rows") as box:
        gr.HTML("<h2>Rows that one alone has right</h2>", apply_default_css=False)
        with gr.Row(elem_classes="filters"):
            pair = gr.Dropdown([], label="Runs", filterable=False, visible=False, min_width=220)
            which = gr.Radio([], show_label=False, container=False, min_width=280)
        listed = gr.HTML(apply_default_css=False)
        with gr.Row(elem_classes="right"):
            earlier = gr.Button("Earlier", size="md", min_width=90, visible=False)
            later = gr.Button("Later", size="md", min_width=90, visible=False)
    return Rows(box, pair, which, listed, gr.State(0), earlier, later)


def _rows_updates(workspace: Workspace, rows: Rows, found: Compared) -> Updates:
    if not found.pairs:
        return {rows.box: gr.update(visible=False)}
    first = found.pairs[0]
    letters = _letters(found)
    choices = [(f"{letters[pair.first]} and {letters[pair.second]}", pair.second) for pair in found.pairs]
    return (
        {
            rows.box: gr.update(visible=True),
            rows.pair: gr.update(choices=choices, value=first.second, visible=len(choices) > 1),
        }
        | _which(rows, found, first)
        | _page(workspace, rows, first.first, first.second, "first", first, 0)
    )


def _which(rows: Rows, found: Compared, pair: Pair) -> Updates:
    letters = _letters(found)
    one, two = letters[pair.first], letters[pair.second]
    choices = [
        (f"{one} right, {two} wrong: {pair.rows.first_only:,}", "first"),
        (f"{two} right, {one} wrong: {pair.rows.second_only:,}", "second"),
    ]
    return {rows.which: gr.update(choices=choices, value="first")}


def _page(workspace: Workspace, rows: Rows, first: str, second: str, which: Which, pair: Pair, offset: int) -> Updates:
    total = pair.rows.first_only if which == "first" else pair.rows.second_only
    listed = differing_rows(workspace.run(first), workspace.run(second), which, offset, PAGE_ROWS)
    return {
        rows.list: rows_html(listed, which, offset, total),
        rows.offset: offset,
        rows.earlier: gr.update(visible=total > PAGE_ROWS, interactive=offset > 0),
        rows.later: gr.update(visible=total > PAGE_ROWS, interactive=offset + PAGE_ROWS < total),
    }


def _letters(found: Compared) -> dict[str, str]:
    return {run.run: LETTERS[place] for place, run in enumerate(found.runs)}


def _key(place: int) -> str:
    return f'<b class="letter" style="--c:{class_colour(place)}">{LETTERS[place]}</b>'


def rows_html(rows: Sequence[DifferingRow], which: Which, offset: int, total: int) -> str:
    """One after the other, with both answers; which run is right: see core.evaluation.comparison."""
    if not total:
        return '<p class="quiet">There is no such row.</p>'
    shown = f"{offset + 1:,} to {offset + len(rows):,} of {total:,}, " if total > len(rows) else ""
    items = "".join(_differing(row, which) for row in rows)
    return f'<p class="quiet">{shown}the surest mistakes first</p><ol class="differing">{items}</ol>'


def _differing(row: DifferingRow, which: Which) -> str:
    text = row.text if len(row.text) <= TEXT_SHOWN else row.text[:TEXT_SHOWN] + " …"
    answers = (("first", row.first, row.first_confidence), ("second", row.second, row.second_confidence))
    said = "".join(
        f'<span class="{"hit" if name == which else "miss"}"><i aria-hidden="true">{"✓" if name == which else "✗"}</i>'
        f"{_key(place)} <bdi>{escape(answer) or 'no class'}</bdi> <small>{sure * 100:.0f} %</small></span>"
        for place, (name, answer, sure) in enumerate(answers)
    )
    truth = f'<span>true <b dir="auto">{escape(row.true) or "no class"}</b></span>'
    return f'<li><div class="text" dir="auto">{escape(text)}</div><div class="said">{truth}{said}</div></li>'


def head_html(found: Compared) -> str:
    """A line a run with its figures; below, what the paired tests say, or why there is none."""
    several = any(run.kind == "multi" for run in found.runs)
    named = ("Micro F1" if several else "Accuracy", "Macro F1", "Calibration error", "Rows/s", "Size", "Time")
    heads = "".join(f'<th scope="col" class="n">{name}</th>' for name in named)
    rows = "".join(_run(found, place, named, several) for place in range(len(found.runs)))
    if found.why_not:
        said = (
            f'<div class="td-trouble td-warn" role="note"><p dir="auto">{escape(found.why_not)} Rows and classes are '
        )
        said += "therefore not compared, and the figures say little of which is better.</p></div>"
    else:
        said = "".join(f'<p class="told" dir="auto">{escape(pair.words)}</p>' for pair in found.pairs)
        said += (
            '<p class="quiet">Paired tests on the very same rows: McNemar’s exact test, or a paired bootstrap where '
            "rows have several classes; of macro F1 a paired bootstrap.</p>"
        )
    return (
        f'<div class="scroll"><table class="runs compared"><thead><tr><th scope="col">Run</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{said}"
    )


def _run(found: Compared, place: int, named: Sequence[str], several: bool) -> str:
    run = found.runs[place]
    link = f'<a href="/?run={escape(run.run)}" dir="auto">{escape(run.name)}</a>'
    if run.figures is None:
        said = STATE_WORDS[run.state] if run.state != "finished" else "Not measured on classes"
        if run.chat is not None:
            said = f"Loss {run.chat['loss']:.3f}, perplexity {run.chat['perplexity']:,.3g}"
        return f'<tr><td class="name">{_key(place)} {link}</td><td colspan="{len(named)}">{said}</td></tr>'
    one = run.figures
    headline, bounds = (one.micro_f1, one.micro_f1_interval) if several else (one.accuracy, one.accuracy_interval)
    low, high = one.macro_f1_interval
    sure = one.calibration_error_interval
    figures = (
        f"<b>{percent(headline)}</b><small>{interval(bounds)}</small>" if bounds else f"<b>{percent(headline)}</b>",
        f"{one.macro_f1:.3f}<small>{low:.3f} to {high:.3f}</small>",
        percent(one.calibration_error) + (f"<small>{interval(sure)}</small>" if sure else ""),
        "" if one.rows_per_second is None else f"{one.rows_per_second:,.0f}",
        "" if one.size_bytes is None else size(one.size_bytes),
        "" if one.training_seconds is None else duration(one.training_seconds),
    )
    cells = "".join(f'<td class="n" data-title="{name}">{said}</td>' for name, said in zip(named, figures, strict=True))
    return f'<tr><td class="name">{_key(place)} {link}<small>{escape(one.detail)}</small></td>{cells}</tr>'


def curves_html(store: Store, found: Compared) -> str:
    """Training loss, validation loss and the metrics of all runs, over each other."""
    points: dict[str, dict[str, list[MetricPoint]]] = {}
    for run in found.runs:
        points[run.run] = defaultdict(list)
        for point in store.metrics(run.run, [name for name, _, _ in CURVES]):
            points[run.run][point.name].append(point)
    charts = []
    for name, title, smooth in CURVES:
        drawn = [
            Series(
                LETTERS[place],
                class_colour(place),
                [point.step for point in points[run.run][name]],
                [point.value for point in points[run.run][name]],
                dots=not smooth,
                smooth=smooth,
            )
            for place, run in enumerate(found.runs)
        ]
        if any(line.steps for line in drawn):
            charts.append(line_chart(title, drawn, height=200))
    if not charts:
        return ""
    return f'<h2>Curves</h2><p class="quiet">Against training steps.</p><div class="td-pair">{"".join(charts)}</div>'


def classes_html(found: Compared) -> str:
    """F1 of each class in each run, and the change from the first to the last; a press on a heading sorts."""
    if not found.classes:
        return ""
    runs = [f"F1 of {LETTERS[place]}" for place in range(len(found.runs))]
    change = f"{LETTERS[0]} to {LETTERS[len(runs) - 1]}"
    heads = "".join(
        f'<th scope="col"{" class=td-number" if number else ""}><button type="button" data-column="{number}">{name}'
        '<i aria-hidden="true"></i></button></th>'
        for number, name in enumerate(("Class", "Rows", *runs, f"Change, {change}"))
    )
    body = ""
    for one in found.classes:
        moved = one.f1[-1] - one.f1[0]
        tone = "td-up" if moved > 0 else "td-down" if moved < 0 else ""
        figures = "".join(f'<td data-value="{f1}">{f1:.3f}</td>' for f1 in one.f1)
        name = escape(one.label)
        body += (
            f'<tr><th scope="row" data-value="{name}"><span dir="auto" title="{name}">{name}</span></th>'
            f'<td data-value="{one.rows}">{one.rows:,}</td>{figures}<td data-value="{moved}" class="{tone}">'
            f"{moved:+.3f}</td></tr>"
        )
    return (
        '<section class="td-classes"><h2>Each class</h2><p class="quiet">Those that differ most first.</p>'
        f'<div class="td-scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def settings_html(found: Compared) -> str:
    """The settings that differ, and all of them folded."""
    differing = [one for one in found.settings if one.differs]
    said = (
        _settings_table(differing, len(found.runs)) if differing else '<p class="quiet">All settings are the same.</p>'
    )
    return (
        f'<h2>Settings that differ</h2>{said}<details class="all-settings"><summary>All settings</summary>'
        f"{_settings_table(found.settings, len(found.runs))}</details>"
    )


def _settings_table(shown: Sequence[SettingValues], runs: int) -> str:
    leaves = {leaf.key: leaf for leaf in settings(RunSpec)}
    heads = "".join(f'<th scope="col">{_key(place)}</th>' for place in range(runs))
    rows = "".join(
        f'<tr><th scope="row">{escape(_setting_name(leaves[one.key]))}<small>{escape(one.description)}</small></th>'
        + "".join(
            f'<td data-title="{LETTERS[place]}" class="{"other" if value != one.values[0] else ""}" dir="auto">'
            f"{escape(empty_words(leaves[one.key]) if value == EMPTY else value)}</td>"
            for place, value in enumerate(one.values)
        )
        + "</tr>"
        for one in shown
    )
    return (
        '<div class="scroll"><table class="differences"><thead><tr><th scope="col">Setting</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _setting_name(leaf: Setting) -> str:
    """Each file has the same settings, so theirs begin with its part."""
    part, _, rest = leaf.key.partition(".")
    role = rest.partition(".")[0]
    if part == "data" and role != "cleaning":
        return f"{role.capitalize()} file, {label(leaf)[0].lower()}{label(leaf)[1:]}"
    return label(leaf)
