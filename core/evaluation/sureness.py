"""How sure a model is, as SVG and HTML text: reliability diagram, coverage against accuracy, thresholds to choose from.

For report.html and the page alike; no script, no fonts, colours from the style around it (report.css names them).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from core.decision import shown_share
from core.evaluation.abstaining import (
    LEAST_LABELLED,
    TARGETS,
    Coverage,
    coverage_words,
    place_of,
    threshold_for_accuracy,
)
from core.evaluation.calibration import calibration_words
from core.evaluation.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Drawing, figure_html, ticks
from core.evaluation.outside import outside_sentence, threshold_and_outside
from core.evaluation.tables import Report, section, sentence
from core.evaluation.verdict import counted, percent

FEW = 0.01
"""Share of the rows below which a step of the reliability diagram is drawn faintly."""
SUMS_SHOWN = (0.5, 0.8, 0.9, 0.95, 0.99)
SIZES_SHOWN = (1, 2, 3, 5)
RIGHT_TITLE = "Right, by how sure it says it is"
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def section_html(report: Report) -> str:
    """The section of report.html: diagrams, thresholds for some accuracies, sets of likely classes."""
    coverage = report["coverage"]
    body = (
        f'<div class="charts">{reliability_chart(report["calibration"])}{coverage_chart(coverage)}</div>'
        f"{_outside(report)}{_targets_table(coverage)}{_sets_table(report['label_sets'])}"
    )
    return section("How sure it is", " ".join(calibration_words(report["calibration"])), body)


def _outside(report: Report) -> str:
    """What the threshold does to rows of classes that the model never learned; '' where there is none."""
    if "outside" not in report:
        return ""
    words = f"{outside_sentence(report)} {threshold_and_outside(report)}"
    return f'<p class="outside" dir="auto">{sentence(words)}</p>'


def targets(coverage: Coverage) -> Iterator[tuple[float, int]]:
    """(accuracy, place of its threshold) of the TARGETS that validation says can be reached by leaving rows out."""
    for target in TARGETS:
        threshold = threshold_for_accuracy(coverage, target)
        if threshold:
            yield target, place_of(coverage, threshold)


def _targets_table(coverage: Coverage) -> str:
    part = coverage["test"]
    rows = "".join(
        f'<tr><th scope="row">{target * 100:.0f} %</th><td>{shown_share(coverage["thresholds"][place])}</td>'
        f"<td>{percent(part['labelled'][place] / part['rows'])}</td>"
        f"<td>{percent(part['right'][place] / max(1, part['labelled'][place]))}</td></tr>"
        for target, place in targets(coverage)
    )
    said = f'<p class="hint">{sentence(f"Without a threshold it {coverage_words(coverage, 0)}.")}</p>'
    if not rows:
        return said
    return (
        f'{said}<div class="scroll card"><table class="figures short"><thead><tr><th scope="col">To be right on</th>'
        '<th scope="col">label from</th><th scope="col">Test rows labelled</th><th scope="col">of them right</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="hint">Thresholds are chosen on validation; what they come to is of the test part.</p>'
    )


def _sets_table(sets: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """How often the true class is among the likeliest: of sets by their sum, then of sets by their size."""
    named = [(f"until they sum to {percent(one['sum'])}", one) for one in sets["sums"] if one["sum"] in SUMS_SHOWN]
    named += [(f"{one['size']:.0f} of them", one) for one in sets["tops"] if one["size"] in SIZES_SHOWN]
    rows = "".join(
        f'<tr><th scope="row">{sentence(name)}</th><td>{one["size"]:.2f}</td><td>{percent(one["holds"])}</td></tr>'
        for name, one in named
    )
    return (
        '<details class="fold"><summary>Sets of likely classes</summary><div class="scroll card">'
        '<table class="figures short"><thead><tr><th scope="col">The likeliest classes</th>'
        '<th scope="col">classes on average</th><th scope="col">true class among them</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


@dataclass(frozen=True)
class _Frame:
    """From shares to the drawing: x from 0 to 1, y from `low` to 1."""

    low: float

    def x(self, share: float) -> float:
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, share: float) -> float:
        return round(TOP + (1 - share) / (1 - self.low) * (HEIGHT - TOP - BOTTOM), 1)


def reliability_chart(calibration: Mapping[str, Any], *, pressable: bool = False) -> str:
    """reliability_drawing as a figure. calibration: of report.json."""
    return figure_html(reliability_drawing(calibration, pressable=pressable))


def reliability_drawing(calibration: Mapping[str, Any], *, pressable: bool = False) -> Drawing:
    """How often it is right (bars) against how sure it says it is; on the diagonal the two are the same.

    What it was before the temperature is a line beside the bars. `pressable`: the bars can be pressed, also by
    keyboard, and hold from where to where they reach as data-least and data-most.
    """
    after = calibration["after"]
    fitted = not calibration["temperature"]["reason"]
    before = calibration["before"]["bins"] if fitted else []
    return _reliability(
        "Right, by how sure it says it is", after["bins"], before, after["calibration_error"], pressable
    )


def pairs_drawing(test: Mapping[str, Any], kind: str) -> Drawing:
    """The same of report.json's `test` where no temperature was fitted; of several classes over pairs of row and
    class."""
    title = "Was so, by how probable it said it is" if kind == "multi" else RIGHT_TITLE
    return _reliability(title, test["calibration"], [], test["calibration_error"], False, kind == "multi")


def _reliability(
    title: str,
    bins: Sequence[Mapping[str, Any]],
    before: Sequence[Mapping[str, Any]],
    error: float,
    pressable: bool,
    pairs: bool = False,
) -> Drawing:
    frame = _Frame(0.0)
    rows = sum(step["rows"] for step in bins)
    bars = "".join(_bar(step, frame, rows, pressable, pairs) for step in bins)
    line = [(step["confidence"], step["accuracy"]) for step in before if step["rows"] >= FEW * rows]
    diagonal = f'<path class="reference" d="M{frame.x(0)} {frame.y(0)}L{frame.x(1)} {frame.y(1)}"/>'
    keys = [("was so" if pairs else "right", "validation"), *([("before the temperature", "train")] if before else [])]
    said = f"expected calibration error {percent(error)}"
    return Drawing(title, keys, said, f"{_axes(frame, SHARES)}{bars}{diagonal}{_line(line, frame, 'train')}")


def _bar(step: Mapping[str, Any], frame: _Frame, rows: int, pressable: bool, pairs: bool) -> str:
    left, top = frame.x(step["from"]) + 1, frame.y(step["accuracy"])
    width = f"{frame.x(step['to']) - left - 1:.1f}"
    rows_words = counted(step["rows"], "pair" if pairs else "row")
    words = (
        f"{step['from'] * 100:.0f} to {step['to'] * 100:.0f} % sure: {rows_words}, "
        f"sure of {percent(step['confidence'])} on average, right on {percent(step['accuracy'])}"
    )
    few = " few" if step["rows"] < FEW * rows else ""
    x = frame.x(step["confidence"])
    drawn = (
        f'<rect class="share validation{few}" x="{left}" y="{top}" width="{width}" '
        f'height="{frame.y(0) - top:.1f}"><title>{escape(words)}</title></rect>'
        f'<path class="mean" d="M{x} {top - 3}V{top + 3}"/>'
    )
    if not pressable:
        return drawn
    # All of its column can be pressed: the bar of what is never right has no height.
    column = f'<rect class="column" x="{left}" y="{TOP}" width="{width}" height="{frame.y(0) - TOP:.1f}"/>'
    return (
        f'<g class="press" role="button" tabindex="0" data-least="{step["from"]:g}" data-most="{step["to"]:g}" '
        f'aria-label="{escape(words)}">{column}{drawn}</g>'
    )


def coverage_chart(coverage: Coverage) -> str:
    """coverage_drawing as a figure."""
    return figure_html(coverage_drawing(coverage))


def coverage_drawing(coverage: Coverage) -> Drawing:
    """The share of labelled rows that are right, against the share labelled; with a mark, hidden until it is placed."""
    test, validation = _points(coverage["test"]), _points(coverage["validation"])
    lows = [accuracy for _, accuracy in (*test, *validation)]
    marks = [mark for mark in ticks(min([*lows, 0.99]), 1.0) if mark <= 1]
    frame = _Frame(marks[0])
    drawn = (
        f"{_axes(frame, marks)}{_line(validation, frame, 'train')}{_line(test, frame, 'validation')}"
        f'<line class="chosen" x1="0" x2="0" y1="{TOP}" y2="{HEIGHT - BOTTOM}" visibility="hidden"/>'
    )
    keys = [("test", "validation"), ("validation", "train")]
    return Drawing("Right, by how many rows are labelled", keys, coverage_words(coverage, 0), drawn)


def mark_places(coverage: Coverage) -> list[float]:
    """Where the mark of coverage_chart stands for each kept threshold: its x."""
    part = coverage["test"]
    return [_Frame(0.0).x(labelled / part["rows"]) for labelled in part["labelled"]]


def _points(part: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(share labelled, share of them right), where more than a handful are labelled."""
    least = min(LEAST_LABELLED, part["rows"])
    pairs = zip(part["labelled"], part["right"], strict=True)
    return sorted({(labelled / part["rows"], right / labelled) for labelled, right in pairs if labelled >= least})


def _axes(frame: _Frame, marks: Sequence[float]) -> str:
    parts = []
    for mark in marks:
        y = frame.y(mark)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4}" text-anchor="end">{mark * 100:g} %</text>')
    parts += [
        f'<text x="{frame.x(share)}" y="{HEIGHT - 6}" text-anchor="{"end" if share == 1 else "middle"}">'
        f"{share * 100:.0f} %</text>"
        for share in SHARES
    ]
    return "".join(parts)


def _line(points: Sequence[tuple[float, float]], frame: _Frame, style: str) -> str:
    if not points:
        return ""
    way = "L".join(f"{frame.x(x)} {frame.y(y)}" for x, y in points)
    dots = ""
    if len(points) <= len(SHARES) * 2:
        dots = "".join(f'<circle class="point {style}" cx="{frame.x(x)}" cy="{frame.y(y)}" r="3"/>' for x, y in points)
    return f'<path class="line {style}" d="M{way}"/>{dots}'
