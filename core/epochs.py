"""How often a run passes over its training rows, where it is not told.

Few rows need more passes before a model has seen enough of them, many rows need fewer. A rule of thumb: its middle was
tried on validation parts of sets from 4,000 to 10,000 rows (docs/decisions/0003-encoders.md), its ends were not.
"""

from core.schema import TrainingSpec

EPOCHS = ((500, 10), (15_000, 4), (40_000, 3))
"""Up to so many rows, so many epochs."""
BEYOND = 2


def suggested_epochs(rows: int) -> int:
    """For so many training rows."""
    return next((epochs for limit, epochs in EPOCHS if rows <= limit), BEYOND)


def epochs_of(training: TrainingSpec, rows: int) -> float:
    """The epochs that were asked for, else those suggested for so many training rows."""
    return suggested_epochs(rows) if training.epochs is None else training.epochs
