"""Training an encoder, from labelled texts to a saved model and its predictions. Worker only: imports torch."""

import json
import shutil
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from core.data.examples import DataFacts
from core.errors import UserError
from core.evaluation.predictions import Predictions
from core.models.encoder import load_encoder, save_encoder
from core.models.freezing import apply_method, trainable_parameters
from core.models.inference import best_device, class_logits
from core.models.tokens import TokenRows, tokenise
from core.training.callbacks import StoreCallback
from core.training.checkpoints import best_checkpoint, remove_torn_checkpoints, whole_checkpoints
from core.training.job import Job, LabelledTexts, StopRequestedError, Trained
from core.training.machine import machine_facts
from core.training.trainers import encoder_trainer

MODEL_FACTS_VERSION = 1


@dataclass(frozen=True)
class Learned:
    """How far training went and where it was best by `training.best_metric`."""

    steps: int
    epochs: float
    best_value: float | None
    best_step: int | None


def train_encoder(job: Job, facts: DataFacts, parts: dict[str, LabelledTexts]) -> Trained:
    """Train, predict validation and test with the best checkpoint, and save it to the run's `model` folder.

    Raises UserError, StopRequestedError.
    """
    set_seed(job.spec.training.seed)
    loaded, tokenizer = load_encoder(job.spec.model, facts.labels)
    model = apply_method(loaded, job.spec.model)
    trainable, total = trainable_parameters(model)
    print(f"{trainable:,} of {total:,} parameters are trained", flush=True)

    job.enter("tokenising")
    rows = {
        name: tokenise(tokenizer, part.texts, job.spec.model.max_length, part.labels) for name, part in parts.items()
    }
    remove_torn_checkpoints(job.folder.checkpoints)
    learned = _best_so_far(job, model) if job.finish_only else _learn(job, facts, model, tokenizer, rows)

    job.enter("evaluating")
    predicted = {name: _predict(job, model, tokenizer, rows[name], parts[name]) for name in ("validation", "test")}
    job.enter("saving")
    _save(job, facts, model, tokenizer)
    return Trained(
        validation=predicted["validation"],
        test=predicted["test"],
        facts={
            "steps": learned.steps,
            "epochs": learned.epochs,
            "seconds": _seconds(job),
            "trainable_parameters": trainable,
            "parameters": total,
            "best": {
                "name": job.spec.training.best_metric,
                "value": learned.best_value,
                "step": learned.best_step,
            },
            "tokens_cut": {name: _share_cut(rows[name], job.spec.model.max_length) for name in rows},
            "history": [asdict(point) for point in job.store.metrics(job.folder.id)],
            "machine": machine_facts(),
        },
    )


def _learn(
    job: Job,
    facts: DataFacts,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: dict[str, TokenRows],
) -> Learned:
    """Train from the last whole checkpoint, or from the start; the model ends with its best weights."""
    whole = whole_checkpoints(job.folder.checkpoints)
    step = int(whole[-1].name.removeprefix("checkpoint-")) if whole else 0
    # Step 0 holds the baselines' scores, measured anew by this worker before it came here.
    job.store.forget_metrics_after(job.folder.id, step)
    callback = StoreCallback(job.store, job.folder.id, job.spec.training.best_metric)
    trainer = encoder_trainer(
        job.spec, job.folder, model, tokenizer, rows["train"], rows["validation"], len(facts.labels), [callback]
    )
    job.enter("training")
    trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
    if callback.stopped:
        raise StopRequestedError
    return _learned(trainer.state.__dict__)


def _best_so_far(job: Job, model: PreTrainedModel | PeftModel) -> Learned:
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
    return _learned(json.loads((last / "trainer_state.json").read_text(encoding="utf-8")))


def _learned(state: dict[str, Any]) -> Learned:
    """From transformers' TrainerState, live or as its JSON."""
    return Learned(
        steps=state["global_step"],
        epochs=float(state["epoch"] or 0),
        best_value=state["best_metric"],
        best_step=state["best_global_step"],
    )


def _predict(
    job: Job,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: TokenRows,
    part: LabelledTexts,
) -> Predictions:
    logits = class_logits(model, rows, tokenizer.pad_token_id, job.spec.training.evaluation_batch_size)
    probabilities = torch.softmax(torch.from_numpy(logits), dim=-1).numpy()
    return Predictions(row_ids=part.row_ids, true=part.labels, probabilities=probabilities)


def _save(job: Job, facts: DataFacts, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write `model` (LoRA: merged, with `adapter` beside it), under another name first: it is whole or absent."""
    if isinstance(model, PeftModel):
        model.save_pretrained(str(job.folder.adapter))
        whole = cast(PreTrainedModel, model.merge_and_unload())
    else:
        whole = model
    partial = job.folder.root / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    save_encoder(whole, tokenizer, partial)
    (partial / "tunedesk.json").write_text(json.dumps(_model_facts(job, facts), ensure_ascii=False, indent=1), "utf-8")
    shutil.rmtree(job.folder.model, ignore_errors=True)
    partial.rename(job.folder.model)


def _model_facts(job: Job, facts: DataFacts) -> dict[str, Any]:
    """What predicting needs beside the model itself."""
    mapping, model = job.spec.mapping, job.spec.model
    return {
        "schema_version": MODEL_FACTS_VERSION,
        "run": job.folder.id,
        "name": job.spec.name,
        "preset": job.spec.preset,
        "base": model.source,
        "base_revision": model.revision,
        "method": model.method,
        "labels": list(facts.labels),
        "max_length": model.max_length,
        "text_columns": list(mapping.text),
        "joiner": mapping.joiner,
        "backslash_is_space": mapping.backslash_is_space,
        "class_names": dict(mapping.class_names),
    }


def _seconds(job: Job) -> float:
    """Wall time of the run so far, over every time that it ran."""
    run = job.store.run(job.folder.id)
    assert run.started is not None
    return run.seconds + time.time() - run.started


def _share_cut(rows: TokenRows, max_length: int) -> float:
    """Share of rows that fill `max_length` tokens, nearly all of which were cut there."""
    return float((rows.lengths >= max_length).mean()) if len(rows) else 0.0
