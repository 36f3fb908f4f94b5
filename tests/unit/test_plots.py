"""Charts: what is drawn of long series, where, and that data never becomes markup."""

import html
import json
import re

import pytest

from ui.plots import POINTS_DRAWN, Reference, Series, line_chart, probability_bars, smoothed, thin, ticks
from ui.run.matrix import matrix_html


def hover_data(chart: str) -> dict:
    (found,) = re.findall(r'data-chart="([^"]*)"', chart)
    return json.loads(html.unescape(found))


def test_thinning_keeps_ends_and_extremes():
    values = [0.0] * 100_000
    values[41_234], values[77_777] = 9.0, -9.0
    points = thin(range(100_000), values)
    assert len(points) <= POINTS_DRAWN
    assert {(0, 0.0), (41_234, 9.0), (77_777, -9.0), (99_999, 0.0)} <= set(points)
    assert [step for step, _ in points] == sorted(step for step, _ in points)


def test_short_series_are_drawn_whole():
    points = thin(range(POINTS_DRAWN), [float(step) for step in range(POINTS_DRAWN)])
    assert len(points) == POINTS_DRAWN


def test_a_long_run_sends_few_points():
    chart = line_chart(
        "Loss", [Series("training", "red", range(100_000), [1.0 / (1 + step) for step in range(100_000)])]
    )
    assert len(hover_data(chart)["lines"][0]["points"]) <= POINTS_DRAWN
    assert len(chart) < 60_000


def test_smoothing_starts_at_the_first_value_and_leaves_a_constant_alone():
    assert [value for _, value in smoothed([(1, 0.5), (2, 0.5), (3, 0.5)])] == pytest.approx([0.5, 0.5, 0.5])
    assert smoothed([(1, 3.0), *((step, 1.0) for step in range(2, 100))])[0] == (1, 3.0)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (0.31, 1.93, [0, 0.5, 1.0, 1.5, 2.0]),
        (0.8, 1.0, [0.8, 0.85, 0.9, 0.95, 1.0]),
    ],
)
def test_ticks_are_round_and_hold_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_single_value_gets_an_axis():
    assert "td-dots" in line_chart("Loss", [Series("validation", "blue", [10], [0.0])])


def test_the_axis_spans_the_whole_run_from_the_start():
    assert hover_data(line_chart("Loss", [Series("training", "red", [1, 2], [2.0, 1.0])], total_steps=500))["to"] == 500


def test_the_baseline_is_dashed_and_named():
    chart = line_chart("F1", [Series("macro F1", "red", [1], [0.9])], references=[Reference("TF-IDF 0.892", 0.892)])
    assert 'class="td-dashed"' in chart
    assert ">TF-IDF 0.892</span>" in chart


def test_an_empty_chart_says_when_it_fills():
    assert "once training begins" in line_chart("Loss", [Series("training", "red", [], [])])


def test_labels_are_text():
    label = '<img src=x onerror="alert(1)">'
    bars = probability_bars([(label, 0.7)], lambda _: "red")
    matrix = matrix_html([[3, 1], [0, 2]], [label, "b"])
    assert "<img" not in bars + matrix
    assert html.escape(label) in bars
    assert html.escape(label) in matrix


def test_the_matrix_offers_mistakes_only_and_never_the_rest():
    matrix = matrix_html([[3, 1, 2], [0, 2, 0], [1, 0, 5]], ["a", "b", "rest"], left_out="The 2 worst <b>of 6.")
    assert re.findall(r'data-true="(\w+)" data-predicted="(\w+)"', matrix) == [("a", "b")]
    assert "The 2 worst &lt;b&gt;of 6." in matrix


def test_the_step_that_was_kept_is_marked():
    series = [Series("training", "red", [0, 100], [1.0, 0.0])]
    assert 'class="td-kept td-before" style="left:75.00%" title="Step 75"' in line_chart("Loss", series, kept=75)
    assert "td-kept" not in line_chart("Loss", series)
