"""Training from the start or the last checkpoint to the best weights, whatever the model. Worker only."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_model
from transformers import PreTrainedModel, Trainer

from core.errors import UserError
from core.models.architecture import trainable_parameters
from core.models.device import best_device
from core.models.processor_steps import quick_steps
from core.runs.store import Best, Progress
from core.training.callbacks import StoreCallback
from core.training.checkpoints import (
    best_checkpoint,
    checkpoint_step,
    read_state,
    remove_torn_checkpoints,
)
from core.training.job import Job, StopRequestedError
from core.training.machine import machine_facts, peak_memory
from core.training.measuring import Pace, forecast_of
from core.training.saved_state import GoingOn, is_over
from core.training.stopwatch import Stopwatch
from core.training.trimming import Trimming


@dataclass(frozen=True)
class Learned:
    """How far training went and where it was best by `metric`."""

    steps: int
    epochs: float
    metric: str
    best_value: float | None
    best_step: int | None
    pace: Pace | None = None
    """None where no step was trained in this process."""


def learn(
    job: Job,
    model: PreTrainedModel | PeftModel,
    metric: str,
    labels: Sequence[str],
    make_trainer: Callable[[StoreCallback], Trainer],
) -> Learned:
    """Train from the last whole checkpoint, or from the start; the model ends with its best weights by `metric`.

    labels: names of the classes; empty where there are none.

    Raises UserError, StopRequestedError.
    """
    trainable, total = trainable_parameters(model)
    job.say(f"{trainable:,} of {total:,} parameters are trained")
    whole = remove_torn_checkpoints(job.folder.checkpoints)
    if job.finish_only or (whole and is_over(whole[-1], job.spec.training.early_stopping_patience)):
        if whole:
            _tell_how_far(job, metric, read_state(whole[-1]))
        return _best_so_far(model, metric, whole)
    # Step 0 holds the baselines' scores, measured anew by this worker before it came here.
    job.store.forget_metrics_after(job.folder.id, checkpoint_step(whole[-1]) if whole else 0)
    callback = StoreCallback(job.store, job.folder.id, metric, job.spec, labels)
    trainer = make_trainer(callback)
    if job.prepare is not None:
        job.prepare(trainer)
    if whole:
        job.say(f"Going on from step {checkpoint_step(whole[-1]):,}")
        trainer.add_callback(GoingOn(trainer, whole, job.say))
    stopwatch = Stopwatch()
    trainer.add_callback(stopwatch)
    if best_device().type == "cpu":
        trainer.add_callback(Trimming())
    job.enter("training")
    with quick_steps(model, trainer.args.device, bfloat16=trainer.args.bf16):
        trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
    if callback.stopped:
        raise StopRequestedError(callback.stop_words)
    return replace(_learned(trainer.state.__dict__, metric), pace=stopwatch.pace)


def training_facts(job: Job, model: PreTrainedModel | PeftModel, learned: Learned) -> dict[str, Any]:
    """How training went, for the report."""
    trainable, total = trainable_parameters(model)
    return {
        "steps": learned.steps,
        "epochs": learned.epochs,
        "seconds": _seconds(job),
        "trainable_parameters": trainable,
        "parameters": total,
        "best": {"name": learned.metric, "value": learned.best_value, "step": learned.best_step},
        "history": [asdict(point) for point in job.store.metrics(job.folder.id)],
        "machine": machine_facts(),
        **peak_memory(),
        "pace": asdict(learned.pace) if learned.pace is not None else None,
        "forecast": forecast_of(job.store, job.folder.id),
    }


def _best_so_far(model: PreTrainedModel | PeftModel, metric: str, whole: list[Path]) -> Learned:
    """Load the best of these whole checkpoints: no step is trained any more. Raises UserError where there is none."""
    best = best_checkpoint(whole)
    if best is None:
        raise UserError(
            "The run was stopped before its first checkpoint, so there is no model to keep.",
            "run",
            "Resume it instead.",
        )
    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, load_peft_weights(str(best)))
    else:
        load_model(model, best / "model.safetensors")
    torch.nn.Module.to(model, best_device())
    return _learned(read_state(whole[-1]), metric)


def _tell_how_far(job: Job, metric: str, state: dict[str, Any]) -> None:
    """Progress as it was when the checkpoint was written: this worker trains no step."""
    best = None
    if state["best_metric"] is not None and state["best_global_step"]:
        epoch = state["best_global_step"] / state["max_steps"] * state["num_train_epochs"]
        best = Best(metric, float(state["best_metric"]), int(state["best_global_step"]), epoch)
    epochs = (float(state["epoch"] or 0), float(state["num_train_epochs"]))
    job.store.set_progress(
        job.folder.id, Progress("training", state["global_step"], state["max_steps"], *epochs, best=best)
    )


def _learned(state: dict[str, Any], metric: str) -> Learned:
    """From transformers' TrainerState, live or as its JSON."""
    return Learned(
        steps=state["global_step"],
        epochs=float(state["epoch"] or 0),
        metric=metric,
        best_value=state["best_metric"],
        best_step=state["best_global_step"],
    )


def _seconds(job: Job) -> float:
    """Wall time of the run so far, over every time that it ran."""
    run = job.store.run(job.folder.id)
    assert run.started is not None
    return run.seconds + time.time() - run.started
