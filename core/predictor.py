"""A run's model in memory, and what it makes of texts. Heavy: imports torch and transformers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.chat_rows import answer_prompt
from core.errors import UserError
from core.evaluation.answers import Scorer, label_scorer
from core.evaluation.plain_scoring import generate_answers
from core.evaluation.scoring import Passes, label_probabilities
from core.model_facts import PROMPT_FILE, ModelFacts, ModelText, read_model_facts
from core.models.causal import load_trained, prompt_tokenizer
from core.models.device import best_device
from core.models.inference import class_probabilities
from core.models.trained_encoder import load_trained_encoder
from core.prompt_rows import encode_prompts
from core.prompts import Prompt, prompt_from_content

if TYPE_CHECKING:
    # Importing peft takes seconds that an encoder does not need.
    from peft import PeftModel

MOST_BATCH_ROWS = 64
BATCH_TOKENS = 16_384
"""Most tokens in a batch, padding counted."""
MAKE_AGAIN = "Resume or duplicate the run to make its model again."


@dataclass(frozen=True)
class Predictor:
    facts: ModelFacts
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompt: Prompt | None
    """Of a model that answers in words."""
    score: Scorer | None
    """Likewise: from prompts to the score of each label."""
    adapted: "PeftModel | None"
    """The model with its adapter, where that can be switched off."""


def load_predictor(model: Path) -> Predictor:
    """Load a run's model onto the GPU where there is one. Raises UserError where a part is absent or damaged."""
    facts = read_model_facts(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        loaded: Any = load_trained(model, facts) if facts.family == "causal" else _load_encoder(model, facts)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"The model of run {facts.run} cannot be loaded: {error}", str(model), MAKE_AGAIN) from error
    adapted = loaded if facts.is_adapter and facts.family == "causal" else None
    network = loaded if adapted is None else adapted.get_base_model()
    if facts.task != "answer":
        return Predictor(facts, network.eval(), tokenizer, None, None, adapted)
    own = prompt_tokenizer(tokenizer)
    prompt = prompt_from_content(json.loads((model / PROMPT_FILE).read_text(encoding="utf-8")), own)
    sample = encode_prompts(prompt, [dict.fromkeys(prompt.columns, text) for text in ("a", "a b c")])
    score = label_scorer(network, prompt, [tokens.ids for tokens in sample], _batch_rows(facts), Passes())
    return Predictor(facts, network.eval(), tokenizer, prompt, score, adapted)


def predict_probabilities(
    predictor: Predictor, texts: Sequence[ModelText], on_progress: Callable[[int, int], None] | None = None
) -> npt.NDArray[np.float32]:
    """The probability of each class for each text: float32 [texts, classes], classes as in `facts.labels`.

    A row sums to 1; where a text may have several classes each stands by itself between 0 and 1. Raises UserError for
    a row whose prompt is too long even without its text.
    """
    facts = predictor.facts
    if predictor.prompt is not None and predictor.score is not None:
        rows = [{"text": text} if isinstance(text, str) else text for text in texts]
        prompts = [tokens.ids for tokens in encode_prompts(predictor.prompt, rows)]
        return label_probabilities(predictor.score(prompts, on_progress))
    plain = [text if isinstance(text, str) else text["text"] for text in texts]
    return class_probabilities(
        predictor.model, predictor.tokenizer, plain, facts.max_length, _batch_rows(facts), on_progress, facts.label_kind
    )


def chat_answers(
    predictor: Predictor, messages: Sequence[Mapping[str, str]], max_new_tokens: int
) -> tuple[str, str | None]:
    """What the tuned and the untuned model answer to these messages; None where all of the model was trained.

    Raises UserError where the chat template refuses the messages, or they are too long.
    """
    own = prompt_tokenizer(predictor.tokenizer)
    ids = answer_prompt(own, messages)
    if len(ids) > predictor.facts.max_length:
        raise UserError(
            f"The conversation is {len(ids)} tokens long; the model was trained on {predictor.facts.max_length}.",
            "messages",
            "Begin a new conversation, or write less.",
        )
    ends = [own.eos_id, *(end for end in own.special_ids if end != own.eos_id)]

    def answer() -> str:
        (written,) = generate_answers(predictor.model, [ids], ends, max_new_tokens, 1)
        return own.tokens.decode(written).strip()

    tuned = answer()
    if predictor.adapted is None:
        return tuned, None
    with predictor.adapted.disable_adapter():
        return tuned, answer()


def _batch_rows(facts: ModelFacts) -> int:
    return max(1, min(MOST_BATCH_ROWS, BATCH_TOKENS // facts.max_length))


def _load_encoder(model: Path, facts: ModelFacts) -> PreTrainedModel:
    network: Any = load_trained_encoder(model, facts)
    if network is None or network.config.num_labels != len(facts.labels):
        raise UserError(f"The model of run {facts.run} is not whole.", str(model), MAKE_AGAIN)
    return cast(PreTrainedModel, network.to(best_device()))
