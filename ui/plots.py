"""Charts as HTML and SVG text for `gr.HTML`.

`gr.Plot` builds a plotly figure anew at every update (it is keyed by its value) and first loads 4.6 MB of script;
`gr.LinePlot` draws neither dashed lines nor labels on them. `gr.HTML` compares old and new markup node by node, so a
chart drawn as SVG changes in place, follows the theme through CSS variables, and costs a few kilobytes.

The drawing surface is 1000 x 1000 and stretched; strokes do not scale and all text is HTML beside it, so that a chart
is as wide as its place and its letters keep their size. Everything that comes from data is escaped here.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType

POINTS_DRAWN = 600
SMOOTHING_STARTS_AT = 60


@dataclass(frozen=True)
class Series:
    """One line: ascending steps and a value for each."""

    name: str
    colour: str
    steps: Sequence[float]
    values: Sequence[float]
    dots: bool = False
    """Mark each point: for curves of a few evaluations."""
    smooth: bool = False
    """Draw the course boldly over the faint raw line, once there are enough points."""


@dataclass(frozen=True)
class Reference:
    """A dashed line across the chart, e.g. a baseline, with its label on it."""

    label: str
    value: float


def thin(steps: Sequence[float], values: Sequence[float], most: int = POINTS_DRAWN) -> list[tuple[float, float]]:
    """At most `most` points (even, >= 4) that keep the first, the last, and the least and greatest of each bucket."""
    points = list(zip(steps, values, strict=True))
    if len(points) <= most:
        return points
    buckets = most // 2 - 1
    inner = points[1:-1]
    kept = [points[0]]
    for bucket in range(buckets):
        part = inner[bucket * len(inner) // buckets : (bucket + 1) * len(inner) // buckets]
        low = min(part, key=lambda point: point[1])
        high = max(part, key=lambda point: point[1])
        kept += sorted({low, high})
    kept.append(points[-1])
    return kept


def smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Exponential moving average, corrected for its start; the window is a thirtieth of the points."""
    weight = 1 - 1 / max(2.0, len(points) / 30)
    total, mass, course = 0.0, 0.0, []
    for step, value in points:
        total = weight * total + (1 - weight) * value
        mass = weight * mass + (1 - weight)
        course.append((step, total / mass))
    return course


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    references: Sequence[Reference] = (),
    total_steps: int = 0,
    y_range: tuple[float, float] | None = None,
    show: Callable[[float], str] = "{:.3f}".format,
    height: int = 240,
    small: bool = False,
    waiting: str = "The first points appear here once training begins.",
    kept: int | None = None,
) -> str:
    """A chart of metrics against steps. The x axis spans the whole run from the start, so that it does not creep.

    `kept`: the step that is marked as the one whose model is used. `show` writes a value as text; `height` is in
    pixels; a `small` chart names the ends of its axes only.
    """
    drawn = [line for line in series if len(line.steps)]
    head = _chart_head(title, drawn, show, named=not small)
    if not drawn:
        return (
            f'<figure class="td-chart" style="--h:{height}px">{head}'
            f'<div class="td-plot td-plot-empty"><p>{escape(waiting)}</p></div></figure>'
        )
    points = [thin(line.steps, line.values) for line in drawn]
    y_ticks = ticks(*(y_range or _value_range(points, references)), 2 if small else 4)
    frame = _Frame(0, max(total_steps, max(line.steps[-1] for line in drawn), 1), y_ticks[0], y_ticks[-1])
    strokes = "".join(_stroke(line, its, frame) for line, its in zip(drawn, points, strict=True))
    return (
        f'<figure class="td-chart" style="--h:{height}px">{head}'
        f'<div class="td-plot" data-chart="{_hover_data(drawn, points, frame, show)}">'
        f"{_axes(frame, y_ticks, small)}"
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" '
        f'aria-label="{_spoken(title, drawn, show)}">'
        f"{strokes}{''.join(_dashed(line, frame) for line in references)}</svg>"
        f"{''.join(_reference_label(line, frame) for line in references)}{_kept(kept, frame)}"
        f'<i class="td-cursor"></i><div class="td-tip"></div></div></figure>'
    )


@dataclass(frozen=True)
class _Frame:
    """What the drawing surface shows, in steps and values."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, step: float) -> float:
        return round((step - self.x0) / (self.x1 - self.x0) * 1000, 1)

    def y(self, value: float) -> float:
        """Pixels run downwards; what lies outside is drawn at the edge."""
        inside = min(max((value - self.y0) / (self.y1 - self.y0), 0.0), 1.0)
        return round(1000 - inside * 1000, 1)


def _value_range(
    points: Sequence[Sequence[tuple[float, float]]], references: Sequence[Reference]
) -> tuple[float, float]:
    values = [value for line in points for _, value in line] + [line.value for line in references]
    low, high = min(values), max(values)
    if low == high:
        return (0.0, high * 2) if high > 0 else (low - 1, low + 1)
    return low, high


def _chart_head(title: str, series: Sequence[Series], show: Callable[[float], str], *, named: bool) -> str:
    legend = "".join(
        f'<span class="td-key" style="--c:{line.colour}">{f"<i></i>{escape(line.name)}" if named else ""}'
        f"<b>{show(line.values[-1])}</b></span>"
        for line in series
    )
    name = f'<span class="td-chart-title">{escape(title)}</span>'
    return f'<figcaption>{name}<span class="td-keys">{legend}</span></figcaption>'


def _axes(frame: _Frame, y_ticks: Sequence[float], small: bool) -> str:
    parts = []
    for value in y_ticks:
        height = 100 - frame.y(value) / 10
        parts.append(f'<span class="td-grid" style="bottom:{height:.2f}%"><em>{_tick_words(value)}</em></span>')
    for step in (frame.x0, frame.x1) if small else ticks(frame.x0, frame.x1, 5):
        if step <= frame.x1:
            parts.append(f'<span class="td-step" style="left:{frame.x(step) / 10:.2f}%">{step:,.0f}</span>')
    return "".join(parts)


def _tick_words(value: float) -> str:
    """`0.95`, `2,500`, `5e-5`."""
    if value and abs(value) < 1e-3:
        return f"{value:.2g}".replace("e-0", "e-")
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _stroke(line: Series, points: Sequence[tuple[float, float]], frame: _Frame) -> str:
    strokes = []
    if line.smooth and len(points) >= SMOOTHING_STARTS_AT:
        strokes.append(_path(points, frame, line.colour, "td-line td-faint"))
        strokes.append(_path(smoothed(points), frame, line.colour, "td-line"))
    else:
        strokes.append(_path(points, frame, line.colour, "td-line"))
    if line.dots or len(points) == 1:
        # A stroke of no length with round ends is a dot that stretching leaves round.
        dots = "".join(f"M{frame.x(step)} {frame.y(value)}h0" for step, value in points)
        strokes.append(f'<path class="td-dots" style="stroke:{line.colour}" d="{dots}"/>')
    return "".join(strokes)


def _path(points: Sequence[tuple[float, float]], frame: _Frame, colour: str, kind: str) -> str:
    way = "L".join(f"{frame.x(step)} {frame.y(value)}" for step, value in points)
    return f'<path class="{kind}" style="stroke:{colour}" d="M{way}"/>'


def _dashed(line: Reference, frame: _Frame) -> str:
    return f'<path class="td-dashed" d="M0 {frame.y(line.value)}H1000"/>'


def _reference_label(line: Reference, frame: _Frame) -> str:
    height = 100 - frame.y(line.value) / 10
    side = "td-below" if height > 85 else "td-above"
    return f'<span class="td-reference {side}" style="bottom:{height:.2f}%">{escape(line.label)}</span>'


def _kept(step: int | None, frame: _Frame) -> str:
    if step is None:
        return ""
    left = frame.x(step) / 10
    side = "td-before" if left > 60 else "td-after"
    return f'<span class="td-kept {side}" style="left:{left:.2f}%" title="Step {step:,}"><em>kept</em></span>'


def _hover_data(
    series: Sequence[Series],
    points: Sequence[Sequence[tuple[float, float]]],
    frame: _Frame,
    show: Callable[[float], str],
) -> str:
    lines = [
        {
            "name": line.name,
            "colour": line.colour,
            "points": [(step, frame.y(value), show(value)) for step, value in its],
        }
        for line, its in zip(series, points, strict=True)
    ]
    return escape(json.dumps({"from": frame.x0, "to": frame.x1, "lines": lines}, separators=(",", ":")))


def _spoken(title: str, series: Sequence[Series], show: Callable[[float], str]) -> str:
    said = ", ".join(f"{line.name} {show(line.values[-1])} at step {line.steps[-1]:g}" for line in series)
    return escape(f"{title}: {said}")


def probability_bars(
    pairs: Sequence[tuple[str, float]],
    colour_of: Callable[[str], str],
    thresholds: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """A bar a label, in the order given; probabilities are 0 to 1. thresholds: a mark on the bars of these labels."""
    rows = "".join(
        f'<li><span class="td-bar-name" dir="auto" title="{escape(label)}">{escape(label)}</span>'
        f'<span class="td-bar"><i style="width:{probability * 100:.2f}%;background:{colour_of(label)}"></i>'
        f"{_threshold_mark(thresholds, label)}</span>"
        f'<span class="td-bar-value">{probability * 100:.1f} %</span></li>'
        for label, probability in pairs
    )
    return f'<ol class="td-bars">{rows}</ol>'


def _threshold_mark(thresholds: Mapping[str, float], label: str) -> str:
    if label not in thresholds:
        return ""
    share = thresholds[label] * 100
    return f'<u style="left:{share:.1f}%" title="Given from {share:.0f} % on"></u>'
