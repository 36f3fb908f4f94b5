"""TRL's SFTTrainer, set up from a RunSpec, for models that answer. Worker only: imports torch and trl.

Only the positions that carry loss are projected to the vocabulary: by TRL's own kernel on CUDA (Triton, in tiles), by
`answer_token_loss` elsewhere. Unsloth, where it is used, has patched the trainer by the time it is imported here. Rows
come tokenised, with the loss mask in their targets.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset, Features, List, Value
from peft import PeftModel
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

from core.evaluation.held_out import learned_tokens
from core.prompt_rows import Example
from core.schema import RunSpec
from core.training.trainers import argument_values, with_early_stopping
from core.workspace import RunFolder

_FEATURES = Features({"input_ids": List(Value("int32")), "labels": List(Value("int32"))})


class AnswerTrainer(SFTTrainer):
    """An SFTTrainer that is judged by `measure` and not by the loss of whole batches."""

    measure: Callable[[], dict[str, float]]
    """Figures on the validation part, by their names in the store (accuracy, macro_f1, loss)."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if inputs["input_ids"].is_cuda:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        loss = answer_token_loss(
            inner, inputs["input_ids"], inputs["attention_mask"], inputs["labels"], num_items_in_batch
        )
        return (loss, None) if return_outputs else loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.measure().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def answer_trainer(
    spec: RunSpec,
    folder: RunFolder,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    measure: Callable[[], dict[str, float]],
    metric: str,
    callbacks: list[TrainerCallback],
) -> AnswerTrainer:
    """A trainer over tokenised rows that keeps the best checkpoint by `metric`, a name that `measure` gives."""
    values = argument_values(spec, folder, len(train), math.ceil(len(train) / spec.training.batch_size)) | {
        "metric_for_best_model": metric,
        "greater_is_better": metric != "loss",
    }
    data = as_dataset(train)
    trainer = AnswerTrainer(
        model=model,
        args=SFTConfig(**values, max_length=None, packing=False, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=data,
        # Never read: `measure` knows its rows. Without one, transformers refuses to evaluate.
        eval_dataset=data.select([0]),
        processing_class=tokenizer,
        callbacks=with_early_stopping(spec.training, callbacks),
    )
    trainer.measure = measure
    _float32(model)
    return trainer


def answer_token_loss(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    labels: torch.Tensor,
    tokens: torch.Tensor | int | None,
) -> torch.Tensor:
    """Cross-entropy of the tokens whose label is not -100, over `tokens` (of the whole step; None: of this batch).

    input_ids, attention_mask, labels: int64 [rows, length].
    """
    states, expected = learned_tokens(model, input_ids, attention_mask, labels)
    logits = model.get_output_embeddings()(states).float()
    total = functional.cross_entropy(logits, expected, reduction="sum")
    return total / (len(expected) if tokens is None else tokens)


def as_dataset(examples: Sequence[Example]) -> Dataset:
    """input_ids and labels (-100 where there is no loss)."""
    columns = {
        "input_ids": [example.ids for example in examples],
        "labels": [example.targets for example in examples],
    }
    return Dataset.from_dict(columns, features=_FEATURES)


def _float32(model: PreTrainedModel | PeftModel) -> None:
    """TRL turns the adapters of a model in 4 bits into bfloat16, in which small updates are lost.

    They are some ten million numbers beside billions, so that float32 costs next to nothing.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
