"""What is trained: every layer, the upper ones, the head alone, or adapters. Worker only: imports torch and peft.

Frozen parts stay in evaluation mode, without dropout: what they say of a text never changes, which is what lets
core.models.prefix_cache keep it.
"""

from collections.abc import Iterable, Iterator
from types import MethodType

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from core.errors import UserError
from core.models.architecture import embeddings, encoder_layers, head_parameter_names
from core.models.known import require_layers
from core.schema import ModelSpec


def apply_method(model: PreTrainedModel, spec: ModelSpec) -> PreTrainedModel | PeftModel:
    """Freeze what the method leaves as it is; with LoRA, wrap the model. Raises UserError for too many layers."""
    if spec.method == "lora":
        return _with_lora(model, spec)
    if spec.method == "head":
        _freeze(_body_parameters(model))
        _keep_in_evaluation([embeddings(model), *encoder_layers(model)])
    elif spec.method == "freeze":
        layers = encoder_layers(model)
        require_layers(spec, len(layers))
        frozen = [embeddings(model), *layers[: spec.frozen_layers]]
        for module in frozen:
            _freeze(module.parameters())
        _keep_in_evaluation(frozen)
    return model


def frozen_layer_count(model: PreTrainedModel, spec: ModelSpec) -> int | None:
    """How many of the lowest layers, embeddings below them, stay as they are; None where not even the embeddings do."""
    if spec.method == "head":
        return len(encoder_layers(model))
    return spec.frozen_layers if spec.method == "freeze" else None


def _body_parameters(model: PreTrainedModel) -> Iterator[nn.Parameter]:
    head = head_parameter_names(model)
    return (parameter for name, parameter in model.named_parameters() if name not in head)


def _freeze(parameters: Iterator[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.requires_grad = False


def _keep_in_evaluation(modules: Iterable[nn.Module]) -> None:
    """Trainer puts the whole model into training mode before each step; these stay as they are."""
    for module in modules:
        module.eval()
        module.train = MethodType(_unchanged, module)  # type: ignore[method-assign]


def _unchanged(module: nn.Module, mode: bool = True) -> nn.Module:
    return module


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
