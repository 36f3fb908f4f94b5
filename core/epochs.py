"""How often a run passes over its training rows, where it is not told.

Few rows need more passes before a model has seen enough of them, and so do few rows of each class; many rows need
fewer. A rule of thumb, tried on held-out parts of train files: its beginning with 150 to 1,500 rows
(benchmarks/results/few_rows.txt), its middle with 4,000 to 10,000 (docs/decisions/0003-encoders.md). Its end was run
once, with 50,000 rows (AG News in benchmarks/results/accuracy.txt).
"""

from core.schema import TrainingSpec

EPOCHS = ((300, 20), (500, 10), (15_000, 4), (40_000, 3))
"""Up to so many rows, so many epochs."""
BEYOND = 2
FEW_OF_A_CLASS, EPOCHS_FOR_FEW = 150, 8
"""Below so many rows a class on average at least so many epochs."""


def suggested_epochs(rows: int, classes: int = 0) -> int:
    """For so many training rows, each of one of so many classes; 0 classes where a row has none or several."""
    epochs = next((epochs for limit, epochs in EPOCHS if rows <= limit), BEYOND)
    return max(epochs, EPOCHS_FOR_FEW) if rows < FEW_OF_A_CLASS * classes else epochs


def epochs_of(training: TrainingSpec, rows: int, classes: int = 0) -> float:
    """The epochs that were asked for, else those suggested for so many training rows and classes."""
    return suggested_epochs(rows, classes) if training.epochs is None else training.epochs
