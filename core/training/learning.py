"""Training from the start or the last checkpoint to the best weights, whatever the model. Worker only."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_model
from transformers import PreTrainedModel, Trainer

from core.errors import UserError
from core.models.architecture import trainable_parameters
from core.models.device import best_device
from core.training.callbacks import StoreCallback
from core.training.checkpoints import best_checkpoint, remove_torn_checkpoints, whole_checkpoints
from core.training.job import Job, StopRequestedError
from core.training.machine import machine_facts, peak_memory


@dataclass(frozen=True)
class Learned:
    """How far training went and where it was best by `metric`."""

    steps: int
    epochs: float
    metric: str
    best_value: float | None
    best_step: int | None


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
    remove_torn_checkpoints(job.folder.checkpoints)
    if job.finish_only:
        return _best_so_far(job, model, metric)
    whole = whole_checkpoints(job.folder.checkpoints)
    step = int(whole[-1].name.removeprefix("checkpoint-")) if whole else 0
    # Step 0 holds the baselines' scores, measured anew by this worker before it came here.
    job.store.forget_metrics_after(job.folder.id, step)
    callback = StoreCallback(job.store, job.folder.id, metric, job.spec, labels)
    trainer = make_trainer(callback)
    job.enter("training")
    trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
    if callback.stopped:
        raise StopRequestedError
    return _learned(trainer.state.__dict__, metric)


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
    }


def _best_so_far(job: Job, model: PreTrainedModel | PeftModel, metric: str) -> Learned:
    """Load the best checkpoint of a run that is to end where it stands. Raises UserError where there is none."""
    best = best_checkpoint(job.folder.checkpoints)
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
    last = whole_checkpoints(job.folder.checkpoints)[-1]
    return _learned(json.loads((last / "trainer_state.json").read_text(encoding="utf-8")), metric)


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
