"""Epochs that nobody set follow the rows; those that somebody set stay."""

import pytest

from core.epochs import epochs_of, suggested_epochs
from core.schema import TrainingSpec


@pytest.mark.parametrize(
    ("rows", "epochs"),
    [(1, 20), (300, 20), (301, 10), (500, 10), (501, 4), (15_000, 4), (40_000, 3), (40_001, 2), (5_000_000, 2)],
)
def test_fewer_for_more_rows(rows, epochs):
    assert suggested_epochs(rows) == epochs
    assert epochs_of(TrainingSpec(), rows) == epochs
    assert epochs_of(TrainingSpec(epochs=0.5), rows) == 0.5


@pytest.mark.parametrize(
    ("rows", "classes", "epochs"),
    [(5_000, 6, 4), (5_000, 33, 4), (5_000, 34, 8), (9_000, 77, 8), (400, 50, 10), (30_000, 150, 3), (10_000, 0, 4)],
)
def test_more_for_few_rows_of_a_class(rows, classes, epochs):
    assert suggested_epochs(rows, classes) == epochs
    assert epochs_of(TrainingSpec(epochs=3), rows, classes) == 3
