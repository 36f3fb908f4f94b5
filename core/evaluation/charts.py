"""Learning curves as SVG text: no script, no fonts, colours from the page's style."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 230
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 26
SMOOTHED_FROM = 40
"""Points from which on a curve is drawn as its course over the faint raw line."""

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


def line_chart(
    title: str, lines: Sequence[Line], references: Sequence[tuple[str, float]], chosen_step: int | None
) -> str:
    """A figure of curves over steps; references are dashed across, the chosen step is marked. Empty without points."""
    drawn = [line for line in lines if line.points]
    if not drawn:
        return ""
    values = [value for line in drawn for _, value in line.points] + [value for _, value in references]
    marks = ticks(min(values), max(values))
    scale = _Scale(max(max(line.points[-1][0] for line in drawn), 1), marks[0], marks[-1])
    keys = "".join(f'<span class="key {line.style}">{escape(line.name)}</span>' for line in drawn)
    last = ", ".join(f"{line.name} ends at {line.points[-1][1]:.3f}" for line in drawn)
    return (
        f'<figure class="card"><figcaption><b>{escape(title)}</b><span>{keys}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {last}")}">'
        f"{_axes(scale, marks)}{_chosen(scale, chosen_step)}{''.join(_line(line, scale) for line in drawn)}"
        f"{''.join(_reference(scale, *reference) for reference in references)}</svg></figure>"
    )


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
