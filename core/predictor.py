"""A run's model in memory, and what it makes of texts. Heavy: imports torch and transformers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.errors import UserError
from core.model_facts import ModelFacts, read_model_facts
from core.models.inference import best_device, class_probabilities

MOST_BATCH_ROWS = 64
BATCH_TOKENS = 16_384
"""Most tokens in a batch, padding counted."""


@dataclass(frozen=True)
class Predictor:
    facts: ModelFacts
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_predictor(model: Path) -> Predictor:
    """Load a run's model onto the GPU where there is one. Raises UserError where a part is absent or damaged."""
    facts = read_model_facts(model)
    todo = "Resume or duplicate the run to make its model again."
    try:
        network, loading = AutoModelForSequenceClassification.from_pretrained(
            model, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"The model of run {facts.run} cannot be loaded: {error}", str(model), todo) from error
    # transformers makes up what a file lacks, and only warns.
    if loading["missing_keys"] or network.config.num_labels != len(facts.labels):
        raise UserError(f"The model of run {facts.run} is not whole.", str(model), todo)
    return Predictor(facts, network.to(best_device()).eval(), tokenizer)


def predict_probabilities(
    predictor: Predictor, texts: Sequence[str], on_progress: Callable[[int, int], None] | None = None
) -> npt.NDArray[np.float32]:
    """The probability of each class for each text: float32 [texts, classes], classes as in `facts.labels`."""
    length = predictor.facts.max_length
    batch = max(1, min(MOST_BATCH_ROWS, BATCH_TOKENS // length))
    return class_probabilities(predictor.model, predictor.tokenizer, texts, length, batch, on_progress)
