"""Which checkpoint is kept: the last one that is as good as the best, within the error of the validation figure."""

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from core.evaluation.paired import macro_f1_interval, standard_error
from core.schema import TrainingSpec
from core.training.as_good import choosing, figure_error


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.layer(x)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def kept_epoch(tmp_path, figures: list[float], **settings: object) -> tuple[int, float]:
    """Of a training whose evaluations say `figures`: the epoch that is kept, and its figure. Error: 0.02."""
    training = TrainingSpec(**settings)
    said = iter(figures)
    rows = [{"x": torch.rand(2), "labels": torch.tensor(row % 2)} for row in range(4)]
    trainer = Trainer(
        model=Linear(),
        args=TrainingArguments(
            str(tmp_path), num_train_epochs=len(figures), eval_strategy="epoch", save_strategy="epoch",
            load_best_model_at_end=True, metric_for_best_model=training.best_metric, greater_is_better=True,
            per_device_train_batch_size=4, report_to=[], disable_tqdm=True, use_cpu=True,
        ),
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=lambda _: {"macro_f1": next(said), "macro_f1_error": 0.02},
        callbacks=choosing(training),
    )  # fmt: skip
    trainer.train()
    assert trainer.state.best_global_step is not None and trainer.state.best_metric is not None
    assert trainer.state.best_model_checkpoint.endswith(f"checkpoint-{trainer.state.best_global_step}")
    return trainer.state.best_global_step, trainer.state.best_metric


@pytest.mark.parametrize(
    ("figures", "settings", "kept"),
    [
        ([0.5, 0.80, 0.79, 0.785], {}, 4),
        ([0.5, 0.80, 0.79, 0.77], {}, 3),
        # As good as the best, not as good as the one before it: many small steps down are no way out.
        ([0.80, 0.785, 0.770, 0.755], {}, 2),
        ([0.5, 0.80, 0.79, 0.785], {"best_tolerance": 0}, 2),
        ([0.5, 0.80, 0.79, 0.75], {"best_tolerance": 3}, 4),
        ([0.5, 0.80, 0.79, 0.785], {"early_stopping_patience": 2}, 2),
        ([0.5, 0.6, 0.7, 0.8], {}, 4),
    ],
)
def test_a_later_checkpoint_that_is_as_good_is_kept(tmp_path, figures, settings, kept):
    assert kept_epoch(tmp_path, figures, **settings) == (kept, figures[kept - 1])


def test_the_error_of_a_figure():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 400)
    given = np.where(rng.random(400) < 0.8, true, rng.integers(0, 5, 400))
    right = (true == given).mean()
    assert standard_error("accuracy", true, given, 5) == pytest.approx((right * (1 - right) / 400) ** 0.5)
    low, high = macro_f1_interval(true, given, 5)
    assert standard_error("macro_f1", true, given, 5) == pytest.approx((high - low) / 3.92, rel=0.15)
    assert figure_error(TrainingSpec(), true, true, 5) == {"macro_f1_error": 0.0}
    assert figure_error(TrainingSpec(best_metric="loss"), true, given, 5) == {}
