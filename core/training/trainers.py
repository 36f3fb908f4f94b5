"""transformers' Trainer, set up from a RunSpec. Worker only: imports torch and transformers."""

import importlib.util
import math
import os
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from peft import PeftModel
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from core.models.freezing import head_parameter_names
from core.models.losses import balanced_weights, cross_entropy
from core.models.tokens import TokenRows, collate
from core.schema import RunSpec, TrainingSpec
from core.workspace import RunFolder

POINTS_ON_A_CURVE = 1000


def classifier_trainer(
    spec: RunSpec,
    folder: RunFolder,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: TokenRows,
    validation: TokenRows,
    classes: int,
    callbacks: list[TrainerCallback],
) -> Trainer:
    """A Trainer over token rows that keeps the best checkpoint by `training.best_metric` on validation."""
    training = spec.training
    assert train.labels is not None
    weights = balanced_weights(train.labels, classes) if training.class_weights == "balanced" else None
    arguments = TrainingArguments(**argument_values(training, folder, len(train)))
    if spec.model.family == "encoder":
        torch.nn.Module.to(model, arguments.device)
    return Trainer(
        model=model,
        args=arguments,
        data_collator=partial(collate, pad_token_id=tokenizer.pad_token_id),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        compute_loss_func=cross_entropy(training.label_smoothing, weights),
        compute_metrics=_validation_metrics,
        callbacks=with_early_stopping(training, callbacks),
        optimizers=(_optimizer(model, training, arguments), None),
    )


def with_early_stopping(training: TrainingSpec, callbacks: list[TrainerCallback]) -> list[TrainerCallback]:
    """The callbacks, and early stopping where it is asked for."""
    if not training.early_stopping_patience:
        return callbacks
    stopping = EarlyStoppingCallback(training.early_stopping_patience, training.early_stopping_threshold)
    return [*callbacks, stopping]


def argument_values(training: TrainingSpec, folder: RunFolder, rows: int) -> dict[str, Any]:
    """What TrainingArguments and TRL's SFTConfig take of a RunSpec; `rows` to train on."""
    precision = _precision(training)
    every = training.evaluate_every_steps
    strategy = "steps" if every else "epoch"
    steps_an_epoch = math.ceil(rows / (training.batch_size * training.gradient_accumulation))
    steps = training.max_steps or math.ceil(steps_an_epoch * training.epochs)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.tensorboard)
    return dict(  # noqa: C408  reads as the arguments that it becomes
        output_dir=str(folder.checkpoints),
        run_name=folder.id,
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        learning_rate=training.learning_rate,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.evaluation_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        optim=_optimizer_name(training),
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup,
        lr_scheduler_type=training.schedule,
        max_grad_norm=training.max_grad_norm,
        eval_strategy=strategy,
        eval_steps=every,
        save_strategy=strategy,
        save_steps=every or 500,
        save_total_limit=training.keep_checkpoints,
        load_best_model_at_end=True,
        metric_for_best_model=training.best_metric,
        greater_is_better=training.best_metric != "loss",
        bf16=precision == "bfloat16",
        fp16=precision == "float16",
        gradient_checkpointing=training.gradient_checkpointing,
        train_sampling_strategy="group_by_length" if training.group_by_length else "random",
        seed=training.seed,
        logging_steps=max(1, steps // POINTS_ON_A_CURVE),
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        report_to=_trackers(training),
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
    )


def _precision(training: TrainingSpec) -> str:
    if training.precision != "auto":
        return training.precision
    if not torch.cuda.is_available():
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def _optimizer_name(training: TrainingSpec) -> str:
    """What transformers calls it. bitsandbytes' optimisers need CUDA."""
    return "adamw_torch_fused" if training.optimizer == "adamw" or not torch.cuda.is_available() else training.optimizer


def _trackers(training: TrainingSpec) -> list[str]:
    """TensorBoard and those asked for, as far as they are installed. W&B without a key writes to disk, never asks."""
    if "wandb" in training.trackers and not os.environ.get("WANDB_API_KEY"):
        os.environ["WANDB_MODE"] = "offline"
    installed: list[str] = []
    for tracker in ("tensorboard", *training.trackers):
        if importlib.util.find_spec(tracker) is None:
            print(f"{tracker} is not installed, so nothing is sent to it; `pip install {tracker}` changes that.")
        else:
            installed.append(tracker)
    return installed


def _optimizer(
    model: PreTrainedModel | PeftModel, training: TrainingSpec, arguments: TrainingArguments
) -> torch.optim.Optimizer:
    """AdamW in four groups: body and head (which learns faster), each with and without weight decay.

    Biases and normalisation weights, the one-dimensional ones, are not pulled towards zero.
    """
    base = cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model
    head = head_parameter_names(base)
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in base.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name in head, parameter.dim() > 1), []).append(parameter)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
    return kind(
        [
            {
                "params": parameters,
                "lr": training.learning_rate * (training.head_learning_rate_factor if in_head else 1),
                "weight_decay": training.weight_decay if decayed else 0.0,
            }
            for (in_head, decayed), parameters in groups.items()
        ],
        **options,
    )


def _validation_metrics(prediction: EvalPrediction) -> dict[str, float]:
    predicted = np.asarray(prediction.predictions).argmax(axis=-1)
    true = np.asarray(prediction.label_ids)
    return {
        "accuracy": float(accuracy_score(true, predicted)),
        "macro_f1": float(f1_score(true, predicted, average="macro", zero_division=0)),
        "weighted_f1": float(f1_score(true, predicted, average="weighted", zero_division=0)),
    }
