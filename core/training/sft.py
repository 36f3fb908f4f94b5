"""TRL's SFTTrainer, set up from a RunSpec, for models that answer. Worker only: imports torch and trl.

Only the tokens that carry loss are projected to the vocabulary (core/training/answer_loss.py), on a GPU and on a
processor, with Unsloth and without: Unsloth's own loss would project all of them. Models whose logits are more than
that have TRL's loss, or Unsloth's, on CUDA, and their own elsewhere. Unsloth, where it is used, has patched the trainer
by the time it is imported here. Rows come tokenised, with the loss mask in their targets.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value
from peft import PeftModel
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

from core.models.causal import BackendRefusedError, learn_in_float32
from core.prompt_rows import Example
from core.schema import RunSpec
from core.training.answer_loss import answer_token_loss, projects_plainly
from core.training.as_good import choosing
from core.training.batches import RowBatches, batch_loader
from core.training.saved_state import CheckpointWriter
from core.training.trainers import argument_values, checkpoint_writer, keep_to_one_gpu, watch_disk
from core.workspace import RunFolder

_FEATURES = Features({"input_ids": List(Value("int32")), "labels": List(Value("int32"))})


class AnswerTrainer(SFTTrainer):
    """An SFTTrainer that is judged by `measure` and not by the loss of whole batches."""

    measure: Callable[[], dict[str, float]]
    """Figures on the validation part, by their names in the store (accuracy, macro_f1, loss)."""
    batches: RowBatches
    writer: CheckpointWriter
    plain: bool
    """Whether the loss is that of `answer_token_loss`."""

    def get_train_dataloader(self) -> DataLoader[dict[str, object]]:
        return batch_loader(self, self.batches)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.writer.staged or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.writer.write(self, partial(super()._save_checkpoint, model, trial))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        if not self.plain and inputs["input_ids"].is_cuda:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        ids, mask, labels = inputs["input_ids"], inputs["attention_mask"], inputs["labels"]
        # accelerate puts the number format around the model's forward pass, which is not what runs here.
        with self.accelerator.autocast():
            if self.plain:
                loss = answer_token_loss(inner, ids, mask, labels, num_items_in_batch)
            else:
                more = {"labels": labels, "use_cache": False, "num_items_in_batch": num_items_in_batch}
                loss = inner(input_ids=ids, attention_mask=mask, **more).loss
        return (loss, None) if return_outputs else loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        # `measure` leaves the inner model in evaluation mode. Unsloth's training step puts it back into training only
        # where the adapters around it have left training, too.
        assert self.model is not None
        self.model.eval()
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
    classes: int = 0,
) -> AnswerTrainer:
    """A trainer over tokenised rows that keeps the best checkpoint by `metric`, a name that `measure` gives.

    classes: one a row; 0 where there are none. Raises BackendRefusedError.
    """
    values = argument_values(spec, folder, len(train), math.ceil(len(train) / spec.training.batch_size), classes) | {
        "metric_for_best_model": metric,
        "greater_is_better": metric != "loss",
    }
    arguments = SFTConfig(
        **values,
        max_length=None,
        packing=False,
        padding_free=False,  # left out, Unsloth may drop the mask that the loss is told by
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    keep_to_one_gpu(arguments)
    data = as_dataset(train)
    try:
        trainer = AnswerTrainer(
            model=model,
            args=arguments,
            train_dataset=data,
            # Never read: `measure` knows its rows. Without one, transformers refuses to evaluate.
            eval_dataset=data.select([0]),
            processing_class=tokenizer,
            callbacks=[*callbacks, *choosing(spec.training)],
        )
    except ValueError as error:
        # It looks through rows and embeddings for what it takes for mistakes.
        if str(error).startswith("Unsloth:"):
            raise BackendRefusedError(str(error)) from error
        raise
    trainer.measure = measure
    trainer.plain = projects_plainly(model.config)
    lengths = np.array([len(example.ids) for example in train], dtype=np.int64)
    own = spec.training
    trainer.batches = RowBatches(lengths, own.batch_size, None, grouped=own.group_by_length, seed=own.seed)
    trainer.writer = checkpoint_writer(own, folder, model, {})
    watch_disk(callbacks, trainer.writer)
    # TRL turns the adapters of a model in 4 bits into bfloat16.
    learn_in_float32(model)
    return trainer


def as_dataset(examples: Sequence[Example]) -> Dataset:
    """input_ids and labels (-100 where there is no loss)."""
    columns = {
        "input_ids": [example.ids for example in examples],
        "labels": [example.targets for example in examples],
    }
    return Dataset.from_dict(columns, features=_FEATURES)
