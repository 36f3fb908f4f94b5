"""The confusion matrix of a run's test part, for the model card: the figure that evaluation drew."""

from pathlib import Path

from core.evaluation.figures import FOLDER
from core.workspace import RunFolder

PICTURE_NAME = "confusion_matrix.png"


def confusion_picture(folder: RunFolder) -> Path | None:
    """A PNG file. None where the run was not evaluated, or has no such matrix (conversations, several labels a row)."""
    path = folder.report / FOLDER / "confusion-matrix.png"
    return path if path.is_file() else None
