"""Language models: which library loads them, whole or in 4 bits, with adapters or with a head. Worker only.

The only file that imports unsloth, which changes transformers, peft and trl as it is imported and so must come before
them: nothing here imports those at the top, and a worker calls `choose_backend` before anything else that does.
Predictions never need unsloth: the adapters that it trains are ordinary ones.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import torch
from torch import nn

from core.chat_templates import ModelTokenizer, model_tokenizer
from core.errors import UserError
from core.model_facts import ModelFacts
from core.models.device import best_device, gpu_format, gpu_is_full
from core.models.known import require_length
from core.models.offloading import move_embeddings, offload_checkpoints
from core.models.pretrained import most_positions, open_tokenizer
from core.models.source import download
from core.schema import FOUR_BIT_METHODS, ModelSpec, TrainingSpec

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

BackendName = Literal["unsloth", "transformers"]
PAD_TOKENS = ("<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<unk>")
"""What may fill a batch where the tokenizer names nothing for it; the end token otherwise."""
_UNSLOTH_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_UNSLOTH_SAYS_NO = (
    *(ImportError, NotImplementedError, RuntimeError, OSError, ValueError, TypeError, KeyError, AttributeError),
    AssertionError,
)
"""What it raises for models, libraries and GPUs that it was not made for."""
_HEADS = ["score", "classifier"]
"""What transformers calls the new layer of a decoder with a classification head."""


@dataclass(frozen=True)
class Backend:
    name: BackendName
    reason: str
    """Why it is not unsloth; '' where it is."""


class BackendRefusedError(Exception):
    """Unsloth was imported but does not take this model; a fresh process must go on without it."""


def choose_backend(spec: ModelSpec, training: TrainingSpec, refused: str = "") -> Backend:
    """Unsloth on CUDA, else TRL with PEFT and bitsandbytes. `refused`: why Unsloth did not take the model earlier.

    Raises UserError for an adapter that neither would train.
    """
    if "lm_head" in spec.lora.target_modules and spec.method in ("lora", "qlora"):
        raise UserError(
            "lm_head cannot get an adapter: the loss is computed from its weights themselves.",
            "model.lora.target_modules",
            "Leave it out, or set model.lora.train_embeddings, which trains token embeddings and output layer whole.",
        )
    if refused:
        return Backend("transformers", refused)
    if not torch.cuda.is_available():
        return Backend("transformers", "There is no CUDA GPU, which Unsloth needs.")
    if spec.method == "head-on-llm":
        return Backend("transformers", "A head needs one position of each row, so that Unsloth's loss gains nothing.")
    if spec.method == "full":
        return Backend("transformers", "All weights learn in float32, which Unsloth would keep in bfloat16.")
    if training.precision != "auto":
        return Backend("transformers", f"It is to compute in {training.precision}; Unsloth has a format of its own.")
    if spec.lora.train_embeddings:
        return Backend("transformers", "Token embeddings are trained too, which PEFT does as they are saved.")
    if "embed_tokens" in spec.lora.target_modules:
        return Backend("transformers", "Token embeddings get an adapter, and Unsloth would train them whole.")
    if spec.method in FOUR_BIT_METHODS and not spec.double_quantization:
        return Backend("transformers", "Scales are to stay whole, and Unsloth always quantises them, too.")
    os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
    try:
        import unsloth  # noqa: F401
    except _UNSLOTH_SAYS_NO as error:
        return Backend("transformers", f"Unsloth cannot be used here: {error}")
    return Backend("unsloth", "")


def load_causal(
    spec: ModelSpec, backend: Backend, scoring_tokens: int = 0
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A model that answers in words, and its tokenizer; it takes `scoring_tokens` more than `max_length` tokens.

    Raises UserError; BackendRefusedError.
    """
    folder = download(spec)
    tokenizer = load_tokenizer(spec.source, folder)
    longest = check_length(spec, folder)
    if backend.name == "unsloth":
        # Beyond what the model was made for, Unsloth would stretch its positions, for other libraries not to follow.
        model = _from_unsloth(spec, folder, min(spec.max_length + scoring_tokens, longest))
        # There it cuts rows. Where labels are scored as a tree more tokens stand in a row than have their own places.
        for module in model.modules():
            module.max_seq_length = spec.max_length + scoring_tokens  # type: ignore[assignment]
    else:
        from transformers import AutoModelForCausalLM

        model = _exact(AutoModelForCausalLM.from_pretrained(folder, **_loading(spec)))
        _check_class(spec, model, "ForCausalLM")
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def load_causal_classifier(spec: ModelSpec, labels: Sequence[str]) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A model in 4 bits with a new head of one output a label, which reads the last token of rows padded on the right.

    Raises UserError.
    """
    from transformers import AutoModelForSequenceClassification

    folder = download(spec)
    tokenizer = load_tokenizer(spec.source, folder)
    tokenizer.padding_side = "right"
    check_length(spec, folder)
    names = dict(enumerate(labels))
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(names),
        id2label=names,
        label2id={name: number for number, name in names.items()},
        pad_token_id=tokenizer.pad_token_id,
        **_loading(spec),
    )
    _check_class(spec, model, "ForSequenceClassification")
    return _exact(model), tokenizer


def with_adapter(
    model: "PreTrainedModel", spec: ModelSpec, training: TrainingSpec, backend: Backend
) -> "PreTrainedModel | PeftModel":
    """Adapters on the linear layers, never on the output layer; with method full the model as it is.

    What may wait in main memory, and is to, does from here on. Raises UserError for target modules that the model does
    not have; BackendRefusedError.
    """
    offloads = training.gradient_checkpointing and training.offload_checkpoints
    if offloads and backend.name != "unsloth":
        offload_checkpoints(model)
    if spec.method == "full":
        return model
    lora = spec.lora
    if backend.name == "unsloth":
        from unsloth import FastLanguageModel

        try:
            return FastLanguageModel.get_peft_model(
                model,
                r=lora.rank,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=list(lora.target_modules or _UNSLOTH_LINEAR),
                use_gradient_checkpointing="unsloth" if offloads else training.gradient_checkpointing,
                random_state=training.seed,
            )
        except _UNSLOTH_SAYS_NO as error:
            _refuse(spec, error)
    from peft import LoraConfig, TaskType, get_peft_model

    has_head = spec.method == "head-on-llm"
    whole = [name for name, _ in model.named_children() if name in _HEADS] if has_head else []
    tied = False
    if spec.lora.train_embeddings and not has_head:
        table, output = model.get_input_embeddings(), model.get_output_embeddings()
        tied = output.weight is table.weight
        whole = _names(model, [table] if tied else [table, output])
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS if has_head else TaskType.CAUSAL_LM,
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules) or "all-linear",
        modules_to_save=whole or None,
        ensure_weight_tying=tied,
    )
    torch.manual_seed(training.seed)
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise UserError(
            f"LoRA cannot be put on {spec.source}: {error}",
            "model.lora.target_modules",
            "Name linear layers that the model has, or leave it empty for all.",
        ) from error
    inner: Any = adapted.get_base_model()
    if has_head:
        learn_in_float32(adapted)
        for name, module in inner.named_children():
            if name in _HEADS:
                _take_and_give(module, model.dtype)
    elif spec.lora.train_embeddings:
        for module in (inner.get_input_embeddings(), inner.get_output_embeddings()):
            _take_and_give(module, model.dtype)
    if spec.embeddings_on_cpu:
        print(move_embeddings(model))
    return adapted


def learn_in_float32(model: "PreTrainedModel | PeftModel") -> None:
    """Weights that learn, of a model in 16 or 4 bits: there small updates would be lost.

    They are some ten million numbers beside billions, so that float32 costs next to nothing.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _names(model: "PreTrainedModel", modules: "Sequence[nn.Module | None]") -> list[str]:
    return [name for name, module in model.named_modules() if any(module is one for one in modules)]


def _take_and_give(module: nn.Module, dtype: torch.dtype) -> None:
    """Let a module that is trained in float32 stand among layers of another format, outside autocast, too."""

    def take(_module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        weights = list(module.parameters())
        own = next((weight.dtype for weight in weights if weight.requires_grad), weights[-1].dtype)
        return (args[0].to(own) if args[0].is_floating_point() else args[0],)

    module.register_forward_pre_hook(take)
    module.register_forward_hook(lambda _module, _args, output: output.to(dtype))


def load_trained(model: Path, facts: ModelFacts) -> "PreTrainedModel | PeftModel":
    """A run's model for predictions: its base as it was trained on, in 4 bits or not, with the adapter.

    Raises UserError where the base cannot be had any more.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    spec = ModelSpec.model_validate(
        {
            "source": facts.base,
            "revision": facts.base_revision,
            "family": "causal",
            # Whole weights are loaded as they are after `full`, also where an adapter was merged into them.
            "method": facts.method if facts.is_adapter else "full",
            "double_quantization": facts.double_quantization,
        }
    )
    if not facts.is_adapter:
        auto: Any = AutoModelForSequenceClassification if facts.task == "classify" else AutoModelForCausalLM
        return auto.from_pretrained(model, **_loading(spec)).eval()
    from peft import PeftModel

    pad = load_tokenizer(facts.base, str(model)).pad_token_id
    if facts.method == "head-on-llm":
        base = AutoModelForSequenceClassification.from_pretrained(
            download(spec), num_labels=len(facts.labels), pad_token_id=pad, **_loading(spec)
        )
    else:
        base = AutoModelForCausalLM.from_pretrained(download(spec), pad_token_id=pad, **_loading(spec))
    return PeftModel.from_pretrained(_exact(base), str(model)).eval()


def load_tokenizer(source: str, folder: str) -> "PreTrainedTokenizerBase":
    """With a token for padding. Raises UserError where it cannot be loaded."""
    tokenizer = open_tokenizer(source, folder)
    if tokenizer.pad_token is None:
        vocabulary = tokenizer.get_vocab()
        tokenizer.pad_token = next((token for token in PAD_TOKENS if token in vocabulary), tokenizer.eos_token)
    return tokenizer


def prompt_tokenizer(tokenizer: "PreTrainedTokenizerBase") -> ModelTokenizer:
    """The tokenizer as prompts use it. One without a chat template gets the fallback, and keeps it when it is saved."""
    own = model_tokenizer(tokenizer.backend_tokenizer, tokenizer.chat_template, tokenizer.special_tokens_map)
    tokenizer.chat_template = own.chat_template
    return own


def check_length(spec: ModelSpec, folder: str) -> int:
    """Most tokens that the model reads.

    Raises UserError where these are fewer than `max_length`, or the model is of a kind that is not known.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder).get_text_config()
    except ValueError as error:
        raise UserError(
            f"{spec.source} is of a kind that transformers does not know ({error}).",
            "model.source",
            "Choose a Llama, Mistral, Qwen or similar model. Remote code is never run unasked.",
        ) from error
    longest = most_positions(config)
    if longest is None:
        return spec.max_length
    require_length(spec, longest)
    return longest


def number_format() -> torch.dtype:
    """What a language model computes in on this machine."""
    return gpu_format() if torch.cuda.is_available() else torch.float32


def _loading(spec: ModelSpec) -> dict[str, Any]:
    """Arguments of from_pretrained. A model that is trained whole keeps its weights in float32."""
    return {
        "dtype": torch.float32 if spec.method == "full" else number_format(),
        "use_safetensors": True,
        "quantization_config": _four_bits(spec) if spec.method in FOUR_BIT_METHODS else None,
        "device_map": {"": best_device()},
        "attn_implementation": "sdpa",
    }


def _exact(model: "PreTrainedModel") -> "PreTrainedModel":
    """Keep bitsandbytes from packing layers in 4 bits for inference on processors with AVX512-BF16.

    It does so in the first pass in evaluation mode, and the packed layers round to bfloat16 and pass no gradient on: a
    model that was scored before training would learn next to nothing, with no more than a warning.
    """
    if model.device.type == "cpu":
        for module in model.modules():
            if type(module).__name__ == "Linear4bit":
                module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
    return model


def _four_bits(spec: ModelSpec) -> "BitsAndBytesConfig":
    """NF4, as in QLoRA (arXiv 2305.14314); a new head stays whole."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=number_format(),
        bnb_4bit_use_double_quant=spec.double_quantization,
        llm_int8_skip_modules=["lm_head", *_HEADS],
    )


def _from_unsloth(spec: ModelSpec, folder: str, tokens: int) -> "PreTrainedModel":
    from unsloth import FastLanguageModel

    try:
        model, _ = FastLanguageModel.from_pretrained(
            model_name=folder,
            max_seq_length=tokens,
            dtype=None,
            load_in_4bit=spec.method in FOUR_BIT_METHODS,
            # Left out, Unsloth moves them where it finds memory to be short.
            **({"offload_embedding": True} if spec.embeddings_on_cpu else {}),
        )
    except _UNSLOTH_SAYS_NO as error:
        _refuse(spec, error)
    if not type(model).__name__.endswith("ForCausalLM"):
        raise BackendRefusedError(f"Unsloth loads {spec.source} as {type(model).__name__}, which is made for more.")
    named = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if not spec.lora.target_modules and not named.issuperset(_UNSLOTH_LINEAR):
        raise BackendRefusedError(f"Unsloth would put adapters on some linear layers of {spec.source} alone.")
    return model


def _refuse(spec: ModelSpec, error: Exception) -> NoReturn:
    """Raises BackendRefusedError; full memory as such."""
    if gpu_is_full(error):
        raise error
    if "does not fit in GPU memory" in str(error):
        raise torch.OutOfMemoryError(str(error)) from error
    raise BackendRefusedError(f"Unsloth does not take {spec.source}: {error}") from error


def _check_class(spec: ModelSpec, model: "PreTrainedModel", ending: str) -> None:
    """What was asked for and what was loaded can differ: some loaders ignore `num_labels` without a word."""
    if not type(model).__name__.endswith(ending):
        raise UserError(
            f"{spec.source} was loaded as {type(model).__name__}, which cannot do what this run needs.",
            "model.source",
            "Choose a decoder such as Llama, Mistral or Qwen.",
        )
