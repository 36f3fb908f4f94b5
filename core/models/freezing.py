"""What is trained: every layer, the upper ones, the head alone, or adapters. Worker only: imports torch and peft."""

from collections.abc import Iterator

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from core.errors import UserError
from core.schema import ModelSpec


def apply_method(model: PreTrainedModel, spec: ModelSpec) -> PreTrainedModel | PeftModel:
    """Freeze what the method leaves as it is; with LoRA, wrap the model. Raises UserError for too many layers."""
    if spec.method == "lora":
        return _with_lora(model, spec)
    if spec.method == "head":
        _freeze(_body_parameters(model))
    elif spec.method == "freeze":
        layers = encoder_layers(model)
        if spec.frozen_layers > len(layers):
            raise UserError(
                f"frozen_layers is {spec.frozen_layers}, but {spec.source} has {len(layers)} layers.",
                "model.frozen_layers",
                f"Choose 0 to {len(layers)}; to train only the head choose the method head.",
            )
        _freeze(embeddings(model).parameters())
        _freeze(layers[: spec.frozen_layers].parameters())
    return model


def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, all) numbers in the model's parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The stack of transformer layers, lowest first."""
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == model.config.num_hidden_layers:
            return module
    raise UserError(
        f"The layers of {model.config.model_type} models cannot be told apart.",
        "model.method",
        "Choose the method full or lora for this model.",
    )


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


def _body_parameters(model: PreTrainedModel) -> Iterator[nn.Parameter]:
    head = head_parameter_names(model)
    return (parameter for name, parameter in model.named_parameters() if name not in head)


def _freeze(parameters: Iterator[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.requires_grad = False


def _with_lora(model: PreTrainedModel, spec: ModelSpec) -> PeftModel:
    """Adapters on the linear layers; the head (and pooler) is trained whole and saved with them."""
    linear = {
        name.rpartition(".")[2]
        for name, module in encoder_layers(model).named_modules()
        if isinstance(module, nn.Linear)
    }
    targets = set(spec.lora.target_modules) or linear
    unknown = sorted(targets - linear)
    if unknown:
        raise UserError(
            f"LoRA targets {', '.join(unknown)} are not linear layers of {spec.source}.",
            "model.lora.target_modules",
            f"Choose from: {', '.join(sorted(linear))}, or leave it empty for all.",
        )
    body = f"{model.base_model_prefix}."
    heads = {name.removeprefix(body).split(".")[0] for name in head_parameter_names(model)}
    # Full paths of the layers only: a pooler's or head's linear layer may bear a layer's name.
    stack = encoder_layers(model)
    prefix = next(name for name, module in model.named_modules() if module is stack)
    paths = [
        f"{prefix}.{name}"
        for name, module in stack.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in targets
    ]
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=spec.lora.rank,
        lora_alpha=spec.lora.alpha,
        lora_dropout=spec.lora.dropout,
        target_modules=paths,
        modules_to_save=sorted(heads),
    )
    return get_peft_model(model, config)
