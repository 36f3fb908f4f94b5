"""What of a model that trains on a GPU can wait in main memory: token embeddings, and what checkpointing keeps.

Losses and gradients are the same. On a processor nothing moves. Unsloth has options of its own for both, which
core/models/causal.py sets for what Unsloth loads. Worker only: imports torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.graph import save_on_cpu

if TYPE_CHECKING:
    # Not where it runs: core.models.causal imports this, and unsloth has to come before transformers.
    from transformers import PreTrainedModel


class EmbeddingOnCPU(nn.Module):
    """A token embedding of any kind that stays in main memory wherever the model around it is moved.

    A step reads some hundred rows of a table that may have 250,000: they are looked up where the table lies, and they
    alone go to the GPU. Neither the model's parameters nor its checkpoints hold the table.
    """

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        # In a list, so that moving and saving the model pass it by, and its device is that of the layers.
        self.table = [table.to("cpu")]

    @property
    def weight(self) -> torch.Tensor:
        weight = self.table[0].weight
        assert isinstance(weight, torch.Tensor)
        return weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids: int64 [batch, length]; gives [batch, length, hidden] on their device."""
        rows: torch.Tensor = self.table[0](ids.to("cpu"))
        return rows.to(ids.device)


def why_not_on_cpu(model: "PreTrainedModel") -> str:
    """Why the model's token embeddings have to be where its layers are, in a sentence; '' where they need not."""
    table = model.get_input_embeddings()
    if any(weight.requires_grad for weight in table.parameters()):
        return "Token embeddings stay with the layers: they are trained."
    head = model.get_output_embeddings()
    if head is not None and head.weight is table.weight:
        return "Token embeddings stay with the layers: they are the model's output layer, too."
    return ""


def move_embeddings(model: "PreTrainedModel") -> str:
    """Put the model's token embeddings into main memory, for good. Returns what was done, or why not, in a sentence."""
    refused = why_not_on_cpu(model)
    if refused:
        return refused
    table = model.get_input_embeddings()
    moved = EmbeddingOnCPU(table)
    _put(model, table, moved)
    torch.cuda.empty_cache()
    size = moved.weight.numel() * moved.weight.element_size()
    return f"Token embeddings, {size / 1e6:,.0f} MB, wait in main memory."


@contextmanager
def embeddings_moved(model: "PreTrainedModel") -> Iterator[str]:
    """As `move_embeddings`; afterwards the model is whole again, with its embeddings where its layers are."""
    table = model.get_input_embeddings()
    words = move_embeddings(model)
    moved = model.get_input_embeddings()
    try:
        yield words
    finally:
        if moved is not table:
            _put(model, moved, table.to(model.device))


def offload_checkpoints(model: "PreTrainedModel") -> None:
    """Let what gradient checkpointing keeps of each layer, its input, wait in main memory for the way back.

    The hooks are on the body: what the output layer keeps are its own weights. Without checkpointing everything that
    layers keep would move, which takes longer than to compute it anew.
    """
    body: Any = model.base_model
    # To memory that is pinned, copies go on beside the computation.
    moving = save_on_cpu(pin_memory=torch.cuda.is_available())
    body.register_forward_pre_hook(lambda *_: moving.__enter__())
    # Always: where memory runs out within the body, it must not stay switched on.
    body.register_forward_hook(lambda *_: moving.__exit__(), always_call=True)


def _put(model: "PreTrainedModel", old: nn.Module, new: nn.Module) -> None:
    """`new` in the place of `old`."""
    name = next(name for name, module in model.named_modules() if module is old)
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, new)
