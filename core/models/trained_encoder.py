"""Loading an encoder that a run trained. Heavy: imports torch and transformers."""

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

import core.models.neobert  # noqa: F401  makes NeoBERT known to the Auto classes
from core.model_facts import ModelFacts
from core.models.heads import load_with_head


def load_trained_encoder(folder: Path, facts: ModelFacts) -> PreTrainedModel | None:
    """The model in a run's model folder; None where weights are absent.

    Raises OSError, ValueError, SafetensorError where files are absent or damaged.
    """
    if facts.head != "model":
        return load_with_head(folder, facts.head, facts.pooling, facts.head_size)
    network, loading = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    # transformers makes up what a file lacks, and only warns.
    return None if loading["missing_keys"] else network
