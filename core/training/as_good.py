"""Which checkpoint is kept: the last one that is as good as the best, within the error of the validation figure.

With few validation rows, or many classes, the best of several checkpoints is best by chance, while the later ones have
learned longer and at falling rates: docs/decisions/0003-encoders.md has what both choices came to on held-out rows.
The margin of one standard error is that of Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3.
"""

from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.evaluation.paired import Classes, standard_error
from core.schema import TrainingSpec


def figure_error(training: TrainingSpec, true: Classes, given: Classes, classes: int) -> dict[str, float]:
    """The standard error of `training.best_metric` on validation rows with one class each, by its name among the
    figures of an evaluation; nothing where the figure is the loss."""
    if training.best_metric == "loss":
        return {}
    return {f"{training.best_metric}_error": standard_error(training.best_metric, true, given, classes)}


def choosing(training: TrainingSpec) -> list[TrainerCallback]:
    """What is added to transformers' choice of a checkpoint; early stopping goes by the best figure alone."""
    if training.early_stopping_patience:
        return [EarlyStoppingCallback(training.early_stopping_patience, training.early_stopping_threshold)]
    return [LaterAsGood(training.best_metric, training.best_tolerance)] if training.best_tolerance else []


class LaterAsGood(TrainerCallback):
    """Lets transformers take this checkpoint for the best where it is as good as the best so far.

    Comes after whatever shows the best so far, which is unknown until transformers has chosen. tolerance: standard
    errors.
    """

    def __init__(self, metric: str, tolerance: float) -> None:
        self.figure, self.error = f"eval_{metric}", f"eval_{metric}_error"
        self.tolerance = tolerance

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        metrics: dict[str, float] = kwargs["metrics"]
        if self.error not in metrics:
            return
        best = max(entry[self.figure] for entry in state.log_history if self.figure in entry)
        if metrics[self.figure] >= best - self.tolerance * metrics[self.error]:
            state.best_metric = None
