"""Gradual unfreezing: the head alone in the first epoch, then one more layer an epoch, from the top.

Howard and Ruder 2018 (arXiv 1801.06146). What has no gradient is not stepped, so one optimiser serves throughout; it
depends on the epoch alone, so a resumed run goes on with the same layers. Worker only: imports torch.
"""

from typing import Any

from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.models.architecture import embeddings, encoder_layers


class GradualUnfreezing(TrainerCallback):
    """Lets layers learn as the epochs go by; never the lowest `frozen` ones, nor then the embeddings."""

    def __init__(self, model: PreTrainedModel, frozen: int | None) -> None:
        self.stack = [*([embeddings(model)] if frozen is None else []), *encoder_layers(model)[frozen or 0 :]]

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        learning = int(state.epoch or 0)
        for number, module in enumerate(self.stack):
            module.requires_grad_(number >= len(self.stack) - learning)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        for module in self.stack:
            module.requires_grad_(True)
