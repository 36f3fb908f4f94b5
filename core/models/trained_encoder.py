"""Loading an encoder that a run trained. Heavy: imports torch and transformers."""

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

import core.models.neobert  # noqa: F401  makes NeoBERT known to the Auto classes
from core.model_facts import ModelFacts
from core.models.heads import load_with_head
from core.models.source import download
from core.schema import ModelSpec


def load_trained_encoder(folder: Path, facts: ModelFacts) -> PreTrainedModel | None:
    """The model in a run's model folder; None where weights are absent.

    Raises OSError, ValueError, SafetensorError where files are absent or damaged.
    """
    if facts.is_adapter:
        return _merged(folder, facts)
    if facts.head != "model":
        return load_with_head(folder, facts.head, facts.pooling, facts.head_size)
    network, loading = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    # transformers makes up what a file lacks, and only warns.
    return None if loading["missing_keys"] else network


def _merged(folder: Path, facts: ModelFacts) -> PreTrainedModel:
    """The base with the adapter, head and all, that an export of a LoRA run holds. Raises UserError without a base."""
    # Importing peft takes seconds that other encoders do not need.
    from peft import PeftModel

    source = download(ModelSpec(source=facts.base, revision=facts.base_revision))
    names = dict(enumerate(facts.labels))
    base = AutoModelForSequenceClassification.from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, id2label=names, ignore_mismatched_sizes=True
    )
    merged: PreTrainedModel = PeftModel.from_pretrained(base, str(folder)).merge_and_unload()
    return merged
