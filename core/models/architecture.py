"""Where an encoder's embeddings, layers and head lie, whatever its architecture. Worker only: imports torch."""

from typing import TYPE_CHECKING

from torch import nn
from transformers import PreTrainedModel

from core.errors import UserError
from core.models.offloading import EmbeddingOnCPU

if TYPE_CHECKING:
    # Importing peft takes seconds that a prediction does not need.
    from peft import PeftModel


def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, all) numbers in the model's parameters, those in main memory counted."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    sizes += [(module.weight.numel(), False) for module in model.modules() if isinstance(module, EmbeddingOnCPU)]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def find_layers(model: PreTrainedModel) -> nn.ModuleList | None:
    """The stack of transformer layers, lowest first; None where there is none, as in ALBERT, whose layers share their
    weights."""
    stacks = (module for module in model.base_model.modules() if isinstance(module, nn.ModuleList))
    return next((stack for stack in stacks if len(stack) == model.config.num_hidden_layers), None)


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The same. Raises UserError where there is none."""
    found = find_layers(model)
    if found is None:
        raise UserError(
            f"The layers of {model.config.model_type} models cannot be told apart.",
            "model.method",
            "Choose the method full for this model.",
        )
    return found


def embeddings(model: PreTrainedModel) -> nn.Module:
    """The part of the body below its first layer: the child that holds the token embedding."""
    table = model.get_input_embeddings()
    return next(child for child in model.base_model.children() if any(module is table for module in child.modules()))


def head_parameter_names(model: PreTrainedModel) -> set[str]:
    """Parameters that are new in this task: everything outside the body, and the body's pooler, which feeds it."""
    body = f"{model.base_model_prefix}."
    return {
        name for name, _ in model.named_parameters() if not name.startswith(body) or name.startswith(f"{body}pooler.")
    }


def output_layer(model: "PreTrainedModel | PeftModel") -> nn.Linear:
    """The linear layer that gives the logits; of a model with adapters the copy that is trained."""
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.out_features == model.config.num_labels
    ]
    return layers[-1]


def learning_rate_depths(model: PreTrainedModel) -> dict[str, int]:
    """For each parameter of the body below its top, how many layers lie above it; the embeddings lie below all."""
    layers = encoder_layers(model)
    above = {id(parameter): len(layers) for parameter in embeddings(model).parameters()}
    for number, layer in enumerate(layers):
        above |= {id(parameter): len(layers) - 1 - number for parameter in layer.parameters()}
    return {name: above[id(parameter)] for name, parameter in model.named_parameters() if id(parameter) in above}
