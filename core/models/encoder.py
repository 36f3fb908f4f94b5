"""BERT-like encoders with a classification head. Worker only: imports torch and transformers."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.errors import UserError
from core.models.architecture import head_parameter_names, output_layer
from core.models.heads import EncoderWithHead, begin_anew, save_with_head
from core.models.known import longest_text, require_length
from core.models.neobert import NeoBERTConfig, write_source
from core.models.pretrained import open_tokenizer
from core.models.source import download
from core.schema import LabelKind, ModelSpec

# What transformers calls the dropout before the classifier, where it is not `classifier_dropout`.
_DROPOUT_NAMES = {"distilbert": "seq_classif_dropout"}
_ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")
# What remains of the head of a NeoBERT that was tuned before, transformers' own or one of ours.
_OLD_HEAD = re.compile(r"(classifier|dense|head)\.")


# What transformers calls a problem with labels of a kind, in config.json.
_PROBLEMS: dict[LabelKind, str] = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    # Its loss takes probabilities as well as class numbers.
    "soft": "single_label_classification",
}


def load_encoder(
    spec: ModelSpec, labels: Sequence[str], kind: LabelKind = "single"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A float32 model with a head of one output a label, and its tokenizer.

    The head is new, but for that of a model which was tuned before on these very labels, where `head` is `model`.
    Raises UserError where the model cannot be had, is not an encoder, has no whole tokenizer, or is too short for
    `max_length`.
    """
    folder = download(spec)
    config = _config(spec, folder, labels, kind)
    tokenizer = _tokenizer(spec, folder)
    auto: Any = AutoModelForSequenceClassification if spec.head == "model" else AutoModel
    model, loading = auto.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
        # A model that was tuned before brings a head for its own classes, which gives way to the new one.
        ignore_mismatched_sizes=True,
    )
    unusable = set(loading["missing_keys"]) | {mismatch[0] for mismatch in loading["mismatched_keys"]}
    if spec.head != "model":
        _require_body(spec, config, {key for key in unusable if not key.startswith("pooler.")}, loading)
        model = EncoderWithHead(model, spec.head, spec.pooling, spec.head_size, spec.classifier_dropout)
    else:
        _require_body(spec, config, unusable - head_parameter_names(model), loading)
        output = output_layer(model)
        name = next(name for name, module in model.named_modules() if module is output)
        if f"{name}.weight" not in unusable and _labels(folder) != list(labels):
            begin_anew(output)
    _check_finite(spec, model, tokenizer)
    return model, tokenizer


def _require_body(spec: ModelSpec, config: PreTrainedConfig, missing: set[str], loading: Mapping[str, Any]) -> None:
    """Raises UserError where the file lacks a weight of the body."""
    # Another order of NeoBERT's sizes would load without a word, so no name of its body may be left over either.
    ours = config.model_type == NeoBERTConfig.model_type
    over = sorted(key for key in loading["unexpected_keys"] if ours and not _OLD_HEAD.match(key))
    if not missing and not over:
        return
    names = ", ".join((sorted(missing) or over)[:3])
    raise UserError(
        f"{spec.source} lacks {len(missing)} of its weights ({names} ...)."
        if missing
        else f"{spec.source} has {len(over)} weights that NeoBERT does not ({names} ...).",
        "model.source",
        "The files are incomplete or of another architecture: download the model again or choose another.",
    )


def _labels(folder: str) -> list[str]:
    """Of the head that the model brings; without one transformers makes up LABEL_0 and LABEL_1."""
    names = AutoConfig.from_pretrained(folder).id2label
    return [names[number] for number in sorted(names)]


@torch.inference_mode()
def _check_finite(spec: ModelSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """One short pass before any time is spent on training. Raises UserError where it gives no numbers."""
    logits = model.eval()(**tokenizer("one short pass", return_tensors="pt", return_token_type_ids=False)).logits
    if not bool(torch.isfinite(logits).all()):
        raise UserError(
            f"{spec.source} gives no numbers (NaN or infinity) for a short text.",
            "model.source",
            "Its weights are damaged or were saved in a format that lost them: download the model again.",
        )


def _config(spec: ModelSpec, folder: str, labels: Sequence[str], kind: LabelKind) -> PreTrainedConfig:
    names = dict(enumerate(labels))
    try:
        config = AutoConfig.from_pretrained(
            folder, num_labels=len(names), id2label=names, label2id={name: number for number, name in names.items()}
        )
    except ValueError as error:
        raise UserError(
            f"{spec.source} is of a kind that transformers does not know ({error}).",
            "model.source",
            "Choose a BERT, DistilBERT, RoBERTa, ModernBERT or similar encoder. Remote code is never run unasked.",
        ) from error
    if type(config) not in AutoModelForSequenceClassification._model_mapping:
        raise UserError(
            f"{spec.source} ({config.model_type}) cannot be given a classification head by transformers.",
            "model.source",
            "Choose a BERT-like encoder.",
        )
    known = config.to_dict()
    longest = longest_text(known)
    if longest is not None:
        require_length(spec, longest)
    config.problem_type = _PROBLEMS[kind]
    setattr(config, _DROPOUT_NAMES.get(config.model_type, "classifier_dropout"), spec.classifier_dropout)
    for name in _ATTENTION_DROPOUT_NAMES:
        if name in known:
            setattr(config, name, spec.attention_dropout)
    return config


def _tokenizer(spec: ModelSpec, folder: str) -> PreTrainedTokenizerBase:
    tokenizer = open_tokenizer(spec.source, folder)
    # Where tunedesk.json and the tokenizer disagree, a plain pipeline would read more than training did.
    tokenizer.model_max_length = spec.max_length
    return tokenizer


def save_encoder(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write config, safetensors and tokenizer, so that plain transformers loads the folder.

    Of an own head see core.models.heads. NeoBERT, which transformers does not know, goes with its source file.
    """
    if isinstance(model, EncoderWithHead):
        save_with_head(model, folder)
    else:
        model.save_pretrained(folder)
    if model.config.model_type == NeoBERTConfig.model_type:
        write_source(folder)
    tokenizer.save_pretrained(folder)
