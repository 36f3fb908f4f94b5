"""How a run goes over its training rows, where it is not told: how often, and whether against an adversary as well.

Few rows need more passes before a model has seen enough of them, and so do few rows of each class; many rows need
fewer. A rule of thumb: its middle was tried on held-out parts of train files of 4,000 to 10,000 rows with 6 to 77
classes (docs/decisions/0003-encoders.md), its ends were not.
"""

from core.schema import RunSpec, TrainingSpec

EPOCHS = ((500, 10), (15_000, 4), (40_000, 3))
"""Up to so many rows, so many epochs."""
BEYOND = 2
FEW_OF_A_CLASS, EPOCHS_FOR_FEW = 150, 8
"""Below so many rows a class on average at least so many epochs."""
MANY_CLASSES = 20
"""From so many on an adversary helped where they had few rows; with six classes it did not (benchmarks/adversarial.py;
where between them it begins was not looked for)."""


def suggested_epochs(rows: int, classes: int = 0) -> int:
    """For so many training rows, each of one of so many classes; 0 classes where a row has none or several."""
    epochs = next((epochs for limit, epochs in EPOCHS if rows <= limit), BEYOND)
    return max(epochs, EPOCHS_FOR_FEW) if _are_few(rows, classes) else epochs


def _are_few(rows: int, classes: int) -> bool:
    """Whether classes have few of so many training rows."""
    return rows < FEW_OF_A_CLASS * classes


def epochs_of(training: TrainingSpec, rows: int, classes: int = 0) -> float:
    """The epochs that were asked for, else those suggested for so many training rows and classes."""
    return suggested_epochs(rows, classes) if training.epochs is None else training.epochs


def is_adversarial(spec: RunSpec, rows: int, classes: int) -> bool:
    """Whether each batch is learned against moved embeddings too. classes: one a row; 0: a row has none or several."""
    if spec.training.adversarial == "auto":
        return spec.embeddings_learn and classes >= MANY_CLASSES and _are_few(rows, classes)
    return spec.training.adversarial == "on"
