"""transformers' Trainer, set up from a RunSpec. Worker only: imports torch and transformers."""

import importlib.util
import math
import os
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from core.epochs import epochs_of
from core.models.architecture import find_layers, head_parameter_names, learning_rate_depths, output_layer
from core.models.device import best_device, gpu_format
from core.models.freezing import frozen_layer_count
from core.models.losses import Features, balanced_weights, training_loss
from core.models.prefix_cache import CachedRows
from core.models.tokens import TokenRows, collate
from core.schema import Family, LabelKind, RunSpec, TrainingSpec
from core.training.as_good import choosing, figure_error
from core.training.batches import ClassifierTrainer, RowBatches
from core.training.callbacks import StoreCallback
from core.training.collapse import class_shares, watch_figures
from core.training.saved_state import CheckpointWriter
from core.training.unfreezing import GradualUnfreezing
from core.workspace import RunFolder

POINTS_ON_A_CURVE = 300
"""Of the training loss. Each is a write to the store and to TensorBoard, which a small model's step would wait for."""


def classifier_trainer(
    spec: RunSpec,
    folder: RunFolder,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: TokenRows | CachedRows,
    validation: TokenRows | CachedRows,
    callbacks: list[TrainerCallback],
    identity: dict[str, Any] | None = None,
) -> Trainer:
    """A Trainer over token rows that keeps the best checkpoint by `training.best_metric` on validation, or a later one
    that is as good (core/training/as_good.py).

    Rows with cached states need core.models.prefix_cache.skipped_prefix around the training. identity: what the rows
    are, for the checkpoints.
    """
    training, kind = spec.training, spec.mapping.kind
    rows = train.rows if isinstance(train, CachedRows) else train
    assert rows.labels is not None
    classes = model.config.num_labels
    assert classes is not None
    weights = balanced_weights(rows.labels, classes, kind) if training.class_weights == "balanced" else None
    shares = class_shares(rows.labels, classes, kind)
    features = Features(output_layer(model)) if training.contrastive_alpha else None
    batches = RowBatches(
        rows.lengths,
        training.batch_size,
        training.batch_tokens,
        grouped=training.group_by_length,
        seed=training.seed,
    )
    # What the batches hold is not to be guessed from the forward pass, which need not take labels or kept states.
    arguments = TrainingArguments(
        **argument_values(spec, folder, len(train), len(batches), classes if kind == "single" else 0),
        remove_unused_columns=False,
        label_names=["labels"],
    )
    keep_to_one_gpu(arguments)
    if spec.model.family == "encoder":
        torch.nn.Module.to(model, arguments.device)
    trainer = ClassifierTrainer(
        model=model,
        args=arguments,
        data_collator=partial(collate, pad_token_id=tokenizer.pad_token_id),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        compute_loss_func=training_loss(
            training, kind, weights, features, torch.from_numpy(shares).float() if kind == "multi" else None
        ),
        compute_metrics=partial(_validation_metrics, training=training, kind=kind, shares=shares),
        callbacks=[*callbacks, *unfreezing(model, spec), *choosing(training)],
        optimizers=(_optimizer(model, training, arguments), None),
    )
    trainer.batches = batches
    trainer.writer = checkpoint_writer(training, folder, model, identity or {})
    watch_disk(callbacks, trainer.writer)
    return trainer


def checkpoint_writer(
    training: TrainingSpec, folder: RunFolder, model: PreTrainedModel | PeftModel, identity: dict[str, Any]
) -> CheckpointWriter:
    """What writes a run's checkpoints. A first one is taken for the weights and two averages of the trained.

    Of an adapter only the adapter is written.
    """
    trained = sum(parameter.numel() * 4 for parameter in model.parameters() if parameter.requires_grad)
    whole = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    weights = trained if isinstance(model, PeftModel) else whole
    return CheckpointWriter(folder.checkpoints, training.keep_checkpoints, identity, weights + 2 * trained)


def watch_disk(callbacks: list[TrainerCallback], writer: CheckpointWriter) -> None:
    """The run's own callback stops training where the disk gets full."""
    for callback in callbacks:
        if isinstance(callback, StoreCallback):
            callback.writer = writer


def unfreezing(model: PreTrainedModel | PeftModel, spec: RunSpec) -> list[TrainerCallback]:
    """Gradual unfreezing, where it is asked for and the model has layers that can be told apart."""
    if not spec.training.gradual_unfreezing or spec.model.method not in ("full", "freeze"):
        return []
    assert isinstance(model, PreTrainedModel)
    if find_layers(model) is None:
        print(f"The layers of {model.config.model_type} models cannot be told apart: all of them learn from the start")
        return []
    return [GradualUnfreezing(model, frozen_layer_count(model, spec.model))]


def argument_values(spec: RunSpec, folder: RunFolder, rows: int, batches: int, classes: int = 0) -> dict[str, Any]:
    """What TrainingArguments and TRL's SFTConfig take of a RunSpec.

    rows: to train on. batches: of one epoch. classes: one a row; 0 where a row has none or several.
    """
    training, family = spec.training, spec.model.family
    precision = _precision(training, family)
    every = training.evaluate_every_steps
    strategy = "steps" if every else "epoch"
    steps_an_epoch = math.ceil(batches / training.gradient_accumulation)
    epochs = epochs_of(training, rows, classes)
    steps = training.max_steps or math.ceil(steps_an_epoch * epochs)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.tensorboard)
    return dict(  # noqa: C408  reads as the arguments that it becomes
        output_dir=str(folder.checkpoints),
        run_name=folder.id,
        num_train_epochs=epochs,
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
        # Old ones are deleted by core.training.saved_state, which keeps the best beside the last.
        save_total_limit=None,
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=True,
        metric_for_best_model=training.best_metric,
        greater_is_better=training.best_metric != "loss",
        bf16=precision == "bfloat16",
        fp16=precision == "float16",
        # transformers takes bfloat16 for a GPU's unless it is told.
        use_cpu=best_device().type == "cpu",
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


def keep_to_one_gpu(arguments: TrainingArguments) -> None:
    """Where transformers sees several GPUs it would part each batch among them all (nn.DataParallel)."""
    arguments._n_gpu = min(1, arguments.n_gpu)


def _precision(training: TrainingSpec, family: Family) -> str:
    if training.precision != "auto":
        return training.precision
    if torch.cuda.is_available():
        return "bfloat16" if gpu_format() == torch.bfloat16 else "float16"
    if best_device().type == "cpu" and family == "encoder" and _processor_has_bfloat16():
        return "bfloat16"
    return "float32"


def _processor_has_bfloat16() -> bool:
    """Whether it multiplies bfloat16 itself: elsewhere torch's emulation is slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


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
    """AdamW in groups of one learning rate: the head, which learns faster, and the layers, slower towards the lowest.

    Biases and normalisation weights, the one-dimensional ones, are not pulled towards zero.
    """
    base = cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model
    head = head_parameter_names(base)
    decays = training.layer_decay < 1
    if decays and find_layers(base) is None:
        print(f"The layers of {base.config.model_type} models cannot be told apart: all learn at one rate.")
        decays = False
    depths = learning_rate_depths(base) if decays else {}
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in base.named_parameters():
        if parameter.requires_grad:
            factor = training.head_learning_rate_factor if name in head else training.layer_decay ** depths.get(name, 0)
            groups.setdefault((factor, parameter.dim() > 1), []).append(parameter)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
    return kind(
        [
            {
                "params": parameters,
                "lr": training.learning_rate * factor,
                "weight_decay": training.weight_decay if decayed else 0.0,
            }
            for (factor, decayed), parameters in groups.items()
        ],
        **options,
    )


def _validation_metrics(
    prediction: EvalPrediction, training: TrainingSpec, kind: LabelKind, shares: npt.NDArray[np.float64]
) -> dict[str, float]:
    """Of several classes a row those with a probability of a half or more; thresholds are tuned when training is over.

    Of soft labels the likeliest class, in truth and prediction. shares: of the classes in train, [classes].
    """
    logits, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    predicted: npt.NDArray[Any] = (logits >= 0).astype(int) if kind == "multi" else logits.argmax(axis=-1)
    true = labels.argmax(axis=-1) if kind == "soft" else labels.astype(int)
    return {
        "accuracy": float(accuracy_score(true, predicted)),
        "macro_f1": float(f1_score(true, predicted, average="macro", zero_division=0)),
        "micro_f1": float(f1_score(true, predicted, average="micro", zero_division=0)),
        "weighted_f1": float(f1_score(true, predicted, average="weighted", zero_division=0)),
        **({} if kind == "multi" else figure_error(training, true, predicted, logits.shape[1])),
        **watch_figures(logits, labels, shares, kind),
    }
