"""Overfitting is named where curves show it, and not where they do not."""

import pytest

from core.evaluation.overfitting import overfitting_words


def falling(first: float, last: float, steps: int = 40) -> list[tuple[float, float]]:
    return [(step, first + (last - first) * step / steps) for step in range(1, steps + 1)]


def test_validation_up_while_training_falls_is_named_with_its_figures():
    words = overfitting_words(falling(2.0, 0.0), [(10, 0.9), (20, 0.5), (30, 0.6), (40, 0.8)])
    assert words.startswith("Overfitting from step 20 on: validation loss rose from 0.500 to 0.800")
    assert "to 0.800, while training loss fell from 1.225 to 0.225." in words


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        (falling(2.0, 0.0), [(10, 0.9), (20, 0.7), (30, 0.6), (40, 0.5)]),
        (falling(2.0, 0.0), [(10, 0.9), (20, 0.5), (30, 0.51), (40, 0.52)]),
        (falling(2.0, 0.0), [(20, 0.5), (40, 0.8)]),
        (falling(0.5, 1.0), [(10, 0.9), (20, 0.5), (30, 0.6), (40, 0.8)]),
        ([], [(10, 0.9), (20, 0.5), (30, 0.6), (40, 0.8)]),
        ([], []),
    ],
    ids=["still falling", "hardly risen", "measured twice", "training rises as well", "no training curve", "nothing"],
)
def test_nothing_is_said_without_a_reason(training, validation):
    assert overfitting_words(training, validation) == ""
