"""Run / Live: headline figures and curves while a run learns, and the log."""

import math
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from core.evaluation.overfitting import overfitting_words
from core.runs.store import MetricPoint, Progress, Run, Store
from core.runs.supervisor import last_log_lines
from core.schema import LabelKind, RunSpec
from core.spec_files import read_spec
from core.workspace import Workspace
from ui.plots import Reference, Series, line_chart
from ui.run.live_gpu import gpu_of_run
from ui.run.notices import collapse_html, notes_html
from ui.words import METRIC_WORDS, training_steps

TRAIN_COLOUR = "var(--td-train)"
VALIDATION_COLOUR = "var(--td-validation)"
OTHER_COLOUR = "var(--td-other)"
LOG_LINES = 200
LOG_SECONDS = 2.0
CHART_SCRIPT = (Path(__file__).parent / "chart.js").read_text(encoding="utf-8")
DRAWN = (
    "train/loss", "train/learning_rate", "train/samples_per_second", "train/tokens_per_second",
    "memory/process_mb", "memory/gpu_mb",
    "validation/loss", "validation/accuracy", "validation/macro_f1", "validation/micro_f1", "validation/weighted_f1",
    "baseline/tfidf/loss", "baseline/tfidf/accuracy", "baseline/tfidf/macro_f1",
    "baseline/tfidf/micro_f1", "baseline/tfidf/weighted_f1",
)  # fmt: skip

Seen = dict[str, int]
"""A short fingerprint of each part that the browser shows already."""
Curves = dict[str, list[MetricPoint]]


@dataclass(frozen=True)
class Live:
    done: gr.HTML
    collapse: gr.HTML
    """What is wrong with the learning itself, and what to try."""
    notes: gr.HTML
    """What the run had to do otherwise than it was asked, quietly."""
    figures: gr.HTML
    curves: gr.HTML
    small: gr.HTML
    gpu: gr.HTML
    """What the card does; of a run without one it is not shown."""

    def parts(self) -> list[gr.HTML]:
        return [self.done, self.collapse, self.notes, self.figures, self.curves, self.small, self.gpu]


def build_live(workspace: Workspace) -> Live:
    done = gr.HTML(apply_default_css=False, visible=False, elem_id="run-done")
    collapse = gr.HTML(apply_default_css=False, visible=False, elem_id="run-collapse")
    notes = gr.HTML(apply_default_css=False, visible=False, elem_id="run-notes")
    figures = gr.HTML(figures_html({}, None, None), apply_default_css=False)
    curves = gr.HTML(elem_id="run-curves", apply_default_css=False, js_on_load=CHART_SCRIPT)
    small = gr.HTML(elem_id="run-small-curves", apply_default_css=False, js_on_load=CHART_SCRIPT)
    gpu = gr.HTML(elem_id="run-gpu", apply_default_css=False, visible=False, js_on_load=CHART_SCRIPT)
    with gr.Accordion("Log", open=False, elem_id="run-log", elem_classes="td-fold") as fold:
        log = gr.HTML(log_html(""), apply_default_css=False)
    timer = gr.Timer(LOG_SECONDS, active=False)

    def read_log(shown: str, request: gr.Request) -> Any:
        html = log_html(last_log_lines(workspace.run(request.query_params["run"]), LOG_LINES))
        return gr.skip() if html == shown else html

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    fold.expand(read_log, log, log, **quiet).then(lambda: gr.Timer(active=True), outputs=timer, **quiet)
    fold.collapse(lambda: gr.Timer(active=False), outputs=timer, **quiet)
    timer.tick(read_log, log, log, concurrency_limit=None, **quiet)
    return Live(done, collapse, notes, figures, curves, small, gpu)


def log_html(text: str) -> str:
    """The end of the log; it stays in view while lines come, unless someone scrolls up (see run.css)."""
    lines = escape(text) if text else "Nothing has been written yet."
    return f'<div class="td-log" tabindex="0" role="log" aria-label="Log"><pre>{lines}</pre></div>'


def live_updates(live: Live, store: Store, spec_path: Path, run: Run, seen: Seen) -> dict[Any, Any]:
    """New markup for what the browser does not show yet.

    A worker writes progress whenever it has measured something, so an unchanged run has no new metrics, but for those
    of its card, which come with each sign of life.
    """
    gpu = _gpu_updates(live, store, run, seen)
    mark = f"{run.state} {run.progress}"
    if not changed(seen, "live", mark):
        return gpu
    curves: Curves = defaultdict(list)
    for point in store.curves(run.id, DRAWN):
        curves[point.name].append(point)
    spec = cached_spec(spec_path)
    metric = spec.training.best_metric
    if spec.task == "chat":
        figures, drawn = chat_figures_html(curves, run.progress), chat_curves_html(curves, run.progress)
    else:
        figures = figures_html(curves, run.progress, metric)
        drawn = curves_html(curves, run.progress, metric, spec.mapping.kind)
    pieces = (
        ("figures", live.figures, figures),
        ("curves", live.curves, drawn),
        ("small", live.small, small_html(curves, run.progress)),
    )
    updates: dict[Any, Any] = {component: html for name, component, html in pieces if changed(seen, name, html)}
    events = store.events(run.id)
    wrong = collapse_html(events, run.state)
    if changed(seen, "collapse", wrong):
        updates[live.collapse] = gr.update(value=wrong, visible=bool(wrong))
    notes = notes_html(events) + overfitting_html(curves)
    if changed(seen, "notes", notes):
        updates[live.notes] = gr.update(value=notes, visible=bool(notes))
    if changed(seen, "done", run.state):
        updates[live.done] = gr.update(value=done_html(run), visible=run.state == "finished")
    return updates | gpu


def _gpu_updates(live: Live, store: Store, run: Run, seen: Seen) -> dict[Any, Any]:
    if not changed(seen, "life", f"{run.state} {run.progress} {run.heartbeat}"):
        return {}
    html = gpu_of_run(store, run)
    return {live.gpu: gr.update(value=html, visible=bool(html))} if changed(seen, "gpu", html) else {}


def overfitting_html(curves: Curves) -> str:
    training, validation = (
        [(point.step, point.value) for point in curves.get(name, [])] for name in ("train/loss", "validation/loss")
    )
    words = overfitting_words(training, validation)
    return f'<p class="td-hint td-note">{escape(words)}</p>' if words else ""


def done_html(run: Run) -> str:
    """What a finished run has found, and the way to it."""
    if run.state != "finished":
        return ""
    verdict = escape(str(run.summary.get("verdict", "")))
    return (
        '<div class="td-trouble td-good" role="status"><strong>The report is ready.</strong>'
        f'<p dir="auto">{verdict}</p><p><a href="?run={escape(run.id)}&amp;tab=report">Read the report</a></p></div>'
    )


def changed(seen: Seen, part: str, content: str) -> bool:
    """Whether `content` differs from what was last sent for this part; remembers it."""
    mark = zlib.crc32(content.encode())
    if seen.get(part) == mark:
        return False
    seen[part] = mark
    return True


@lru_cache(maxsize=64)
def cached_spec(path: Path) -> RunSpec:
    """A run's spec never changes once it is written. Raises UserError."""
    return read_spec(path)


def best_point(curves: Curves, metric: str) -> MetricPoint | None:
    """The best evaluation so far: the least loss, else the greatest value."""
    points = curves.get(f"validation/{metric}")
    if not points:
        return None
    sign = -1 if metric == "loss" else 1
    return max(points, key=lambda point: sign * point.value)


def figures_html(curves: Curves, progress: Progress | None, metric: str | None) -> str:
    """The line of figures above the charts; a dash stands where nothing was measured yet."""
    drawn = metric or "macro_f1"
    best = best_point(curves, drawn)
    beaten = "accuracy" if drawn == "loss" else drawn
    baseline = curves.get(f"baseline/tfidf/{beaten}")
    note = _when(best, progress)
    figures = [
        ("Training loss", _last(curves, "train/loss"), ""),
        ("Validation loss", _last(curves, "validation/loss"), ""),
        (f"Best {METRIC_WORDS[drawn]}", f"{best.value:.3f}" if best else "–", note),
        ("TF-IDF to beat", f"{baseline[-1].value:.3f}" if baseline else "–", _passed(best, baseline, drawn)),
    ]
    return _tiles(figures)


def chat_figures_html(curves: Curves, progress: Progress | None) -> str:
    """The same line for conversations, which have no classes to be right about."""
    best = best_point(curves, "loss")
    perplexity = f"{math.exp(min(best.value, 700)):,.3g}" if best else "–"
    return _tiles([
        ("Training loss", _last(curves, "train/loss"), ""),
        ("Validation loss", _last(curves, "validation/loss"), ""),
        ("Best validation loss", f"{best.value:.3f}" if best else "–", _when(best, progress)),
        ("Perplexity there", perplexity, "as unsure as among so many words"),
    ])  # fmt: skip


def _tiles(figures: list[tuple[str, str, str]]) -> str:
    tiles = "".join(
        f'<div class="td-figure"><dt>{escape(name)}</dt><dd>{value}<small>{words or "&nbsp;"}</small></dd></div>'
        for name, value, words in figures
    )
    return f'<dl class="td-figures">{tiles}</dl>'


def _when(best: MetricPoint | None, progress: Progress | None) -> str:
    if best is None:
        return ""
    if progress is None or not training_steps(progress):
        return f"at step {best.step:,}"
    return f"at epoch {best.step / progress.total_steps * progress.epochs:.3g}"


def _last(curves: Curves, name: str) -> str:
    return f"{curves[name][-1].value:.3f}" if curves.get(name) else "–"


def _passed(best: MetricPoint | None, baseline: list[MetricPoint] | None, metric: str) -> str:
    if best is None or not baseline or metric == "loss":
        return METRIC_WORDS["accuracy" if metric == "loss" else metric] if baseline else ""
    gap = best.value - baseline[-1].value
    return f"passed by {gap:.3f}" if gap > 0 else f"still {-gap:.3f} above this model"


def curves_html(
    curves: Curves,
    progress: Progress | None,
    metric: str,
    kind: LabelKind = "single",
    height: int = 260,
    kept: int | None = None,
) -> str:
    """Loss beside the chosen metric, each with the TF-IDF baseline as a dashed line. kept: the step to mark."""
    steps = training_steps(progress)
    second = "micro_f1" if kind == "multi" else "accuracy"
    main, other = ("macro_f1", second) if metric in ("macro_f1", "loss") else (metric, "macro_f1")
    loss = _loss_chart(curves, steps, height, kept)
    measured = line_chart(
        "Validation",
        [
            _series(curves, f"validation/{main}", METRIC_WORDS[main], VALIDATION_COLOUR, dots=True),
            _series(curves, f"validation/{other}", METRIC_WORDS[other], OTHER_COLOUR, dots=True),
        ],
        references=_baseline(curves, main),
        total_steps=steps,
        y_range=_metric_range(curves, (main, other)),
        height=height,
        waiting="The first point appears here after the first evaluation.",
        kept=kept,
    )
    return f'<div class="td-pair">{loss}{measured}</div>'


def chat_curves_html(curves: Curves, progress: Progress | None, height: int = 260, kept: int | None = None) -> str:
    """Loss alone: conversations have no other figure while they are learned."""
    return _loss_chart(curves, training_steps(progress), height, kept)


def _loss_chart(curves: Curves, steps: int, height: int, kept: int | None) -> str:
    return line_chart(
        "Loss",
        [
            _series(curves, "train/loss", "training", TRAIN_COLOUR, smooth=True),
            _series(curves, "validation/loss", "validation", VALIDATION_COLOUR, dots=True),
        ],
        references=_baseline(curves, "loss"),
        total_steps=steps,
        height=height,
        kept=kept,
    )


def _metric_range(curves: Curves, metrics: tuple[str, str]) -> tuple[float, float]:
    """From a round number below everything drawn to 1, so that the scale holds still."""
    names = [f"{part}/{metric}" for metric in metrics for part in ("validation", "baseline/tfidf")]
    values = [point.value for name in names for point in curves.get(name, ())]
    lowest = min(values, default=0.0)
    return (max(0.0, int((lowest - 0.05) * 10) / 10), 1.0)


def _baseline(curves: Curves, metric: str) -> list[Reference]:
    points = curves.get(f"baseline/tfidf/{metric}")
    return [Reference(f"TF-IDF {points[-1].value:.3f}", points[-1].value)] if points else []


def _series(curves: Curves, metric: str, name: str, colour: str, *, dots: bool = False, smooth: bool = False) -> Series:
    points = curves.get(metric, [])
    return Series(name, colour, [point.step for point in points], [point.value for point in points], dots, smooth)


def small_html(curves: Curves, progress: Progress | None) -> str:
    """Learning rate, speed and memory: small, one beside the other."""
    steps = training_steps(progress)
    memory = "memory/gpu_mb" if curves.get("memory/gpu_mb") else "memory/process_mb"
    gigabytes = Series(
        "most used" if memory == "memory/gpu_mb" else "process",
        OTHER_COLOUR,
        [point.step for point in curves.get(memory, [])],
        [point.value / 1024 for point in curves.get(memory, [])],
    )
    rate = _series(curves, "train/learning_rate", "rate", OTHER_COLOUR)
    rows = _series(curves, "train/samples_per_second", "rows", OTHER_COLOUR)
    tokens = _series(curves, "train/tokens_per_second", "tokens", OTHER_COLOUR)
    shown: list[tuple[str, Series, Callable[[float], str]]] = [
        ("Learning rate", rate, _rate_words),
        ("Rows a second", rows, "{:,.0f}".format),
        ("Tokens a second", tokens, "{:,.0f}".format),
        ("GPU memory" if curves.get("memory/gpu_mb") else "Memory", gigabytes, "{:.2f} GB".format),
    ]
    charts = [
        line_chart(title, [series], total_steps=steps, height=84, show=show, small=True, waiting="")
        for title, series, show in shown
    ]
    return f'<div class="td-small">{"".join(charts)}</div>'


def _rate_words(value: float) -> str:
    """`3.5e-5`."""
    if not value:
        return "0"
    return f"{value:.1e}".replace("e-0", "e-")
