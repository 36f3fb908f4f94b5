"""Charts as SVG text: no script, no fonts, colours from the style around it. What a figure is, and learning curves.

A Drawing becomes a figure of a page (`figure_html`) or a file of its own (figures.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 230
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 26
SMOOTHED_FROM = 40
"""Points from which on a curve is drawn as its course over the faint raw line."""


@dataclass(frozen=True)
class Drawing:
    title: str
    keys: Sequence[tuple[str, str]]
    """(name, a class of report.css that sets the colour) of what is drawn."""
    said: str
    """What it shows, for those who do not see it."""
    inner: str
    """SVG elements, escaped."""
    width: float = WIDTH
    height: float = HEIGHT


def figure_html(drawing: Drawing | None) -> str:
    """As a figure of a page; '' where there is nothing to draw."""
    if drawing is None:
        return ""
    keys = "".join(f'<span class="key {style}">{escape(name)}</span>' for name, style in drawing.keys)
    return (
        f'<figure class="card"><figcaption><b>{escape(drawing.title)}</b><span>{keys}</span></figcaption>'
        f'<svg viewBox="0 0 {drawing.width:g} {drawing.height:g}" role="img" '
        f'aria-label="{escape(f"{drawing.title}: {drawing.said}")}">{drawing.inner}</svg></figure>'
    )


Points = Sequence[tuple[float, float]]
"""(step, value), ascending steps."""


@dataclass(frozen=True)
class Line:
    name: str
    style: str
    """A class of report.css that sets the colour."""
    points: Points


@dataclass(frozen=True)
class _Scale:
    last_step: float
    low: float
    high: float

    def x(self, step: float) -> float:
        return round(LEFT + step / self.last_step * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(TOP + (self.high - value) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM), 1)


def line_drawing(
    title: str, lines: Sequence[Line], references: Sequence[tuple[str, float]], chosen_step: int | None
) -> Drawing | None:
    """Curves over steps; references are dashed across, the chosen step is marked. None without points."""
    drawn = [line for line in lines if line.points]
    if not drawn:
        return None
    values = [value for line in drawn for _, value in line.points] + [value for _, value in references]
    marks = ticks(min(values), max(values))
    scale = _Scale(max(max(line.points[-1][0] for line in drawn), 1), marks[0], marks[-1])
    inner = (
        f"{_axes(scale, marks)}{_chosen(scale, chosen_step)}{''.join(_line(line, scale) for line in drawn)}"
        f"{''.join(_reference(scale, *reference) for reference in references)}"
    )
    said = ", ".join(f"{line.name} ends at {line.points[-1][1]:.3f}" for line in drawn)
    if chosen_step is not None:
        said += f"; kept is step {chosen_step:,}"
    return Drawing(title, [(line.name, line.style) for line in drawn], said, inner)


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers from at or below `low` to at or above `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= span / 4 * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _axes(scale: _Scale, marks: Sequence[float]) -> str:
    parts = []
    for value in marks:
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    for step in ticks(0, scale.last_step):
        if step <= scale.last_step and step == int(step):
            parts.append(f'<text x="{scale.x(step)}" y="{HEIGHT - 6}" text-anchor="middle">{int(step):,}</text>')
    return "".join(parts)


def _line(line: Line, scale: _Scale) -> str:
    if len(line.points) >= SMOOTHED_FROM:
        return _path(line.points, scale, f"line faint {line.style}") + _path(
            _course(line.points), scale, f"line {line.style}"
        )
    dots = "".join(
        f'<circle class="point {line.style}" cx="{scale.x(step)}" cy="{scale.y(value)}" r="3"/>'
        for step, value in line.points
    )
    return _path(line.points, scale, f"line {line.style}") + dots


def _path(points: Points, scale: _Scale, style: str) -> str:
    way = "L".join(f"{scale.x(step)} {scale.y(value)}" for step, value in points)
    return f'<path class="{style}" d="M{way}"/>'


def _course(points: Points) -> list[tuple[float, float]]:
    """Centred moving mean over a twentieth of the points."""
    reach = max(1, len(points) // 40)
    course = []
    for place, (step, _) in enumerate(points):
        near = [value for _, value in points[max(0, place - reach) : place + reach + 1]]
        course.append((step, sum(near) / len(near)))
    return course


def _reference(scale: _Scale, label: str, value: float) -> str:
    y = scale.y(value)
    below = y < TOP + 14
    return (
        f'<line class="reference" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text x="{LEFT + 4}" y="{y + 14 if below else y - 5}">{escape(label)}</text>'
    )


def _chosen(scale: _Scale, step: int | None) -> str:
    if step is None:
        return ""
    x = scale.x(step)
    side = "end" if x > WIDTH / 2 else "start"
    return (
        f'<line class="chosen" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{x + (-5 if side == "end" else 5)}" y="{HEIGHT - BOTTOM - 6}" text-anchor="{side}">kept</text>'
    )
