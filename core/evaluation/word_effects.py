"""The words that mattered: how much the probability of a class falls where a word is hidden (leave one out).

It is captum's FeatureAblation over the words of a text, each hidden by the tokenizer's mask token. What it says is
exact for one word at a time, and blind to words that only matter together. Long texts are hidden some neighbouring
words at a time, so that the work stays bounded. Encoders only. Worker only: imports torch.
"""

from dataclasses import dataclass

import torch
from captum.attr import FeatureAblation
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.model_facts import ModelFacts
from core.models.device import evaluation_format

MOST_GROUPS, FEWEST_GROUPS = 64, 16
MOST_TOKENS = 6000
"""Passes through the model times the tokens of the text: some seconds on an ordinary processor."""
AT_ONCE = 8


@dataclass(frozen=True)
class WordEffects:
    pieces: list[tuple[str, float | None]]
    """The text in order, piece by piece. With each word (or some neighbouring ones) how much the probability falls
    without it, -1 to 1: above 0 it speaks for the class, below 0 against it. None: nothing the model reads."""
    probability: float
    """Of the class, with all words."""
    cut: bool
    """Whether the text is longer than the model reads."""
    grouped: int
    """Neighbouring words that were hidden together, 1 for each by itself."""


@torch.no_grad()
def word_effects(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: ModelFacts, text: str, label: int
) -> WordEffects:
    """label: place of the class in `facts.labels`. The model's temperature counts, as in all that it answers."""
    encoded = tokenizer(text, truncation=True, max_length=facts.max_length, return_offsets_mapping=True)
    words = encoded.word_ids(0)
    count = 1 + max((word for word in words if word is not None), default=-1)
    most = min(MOST_GROUPS, max(FEWEST_GROUPS, MOST_TOKENS // len(words)))
    together = max(1, -(-count // most))
    # Group 0 is what is no word; it keeps its own ids where it is "hidden".
    groups = [0 if word is None else 1 + word // together for word in words]
    ids = torch.tensor([encoded["input_ids"]], device=model.device)
    mask = torch.tensor([groups], device=model.device)
    hidden = torch.where(mask > 0, _hiding_token(tokenizer), ids)

    def probability(rows: torch.Tensor) -> torch.Tensor:
        with evaluation_format(model.device):
            logits = model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits.float()
        if facts.label_kind == "multi":
            return torch.sigmoid(logits)
        return torch.softmax(logits / facts.decision.temperature, dim=-1)

    with_all = float(probability(ids)[0, label])
    effects = [0.0] * len(groups)
    if count:
        ablation = FeatureAblation(probability)
        found = ablation.attribute(
            ids, baselines=hidden, target=label, feature_mask=mask, perturbations_per_eval=AT_ONCE
        )
        effects = found[0].tolist()
    spans: dict[int, tuple[int, int, float]] = {}
    for group, (start, end), effect in zip(groups, encoded["offset_mapping"], effects, strict=True):
        if group:
            first, last, _ = spans.get(group, (start, end, effect))
            spans[group] = min(first, start), max(last, end), effect
    longest = len(tokenizer(text, truncation=False, verbose=False)["input_ids"])
    return WordEffects(_pieces(text, list(spans.values())), with_all, longest > len(ids[0]), together)


def _hiding_token(tokenizer: PreTrainedTokenizerBase) -> int:
    known = (tokenizer.mask_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id)
    return next(int(number) for number in known if number is not None)


def _pieces(text: str, spans: list[tuple[int, int, float]]) -> list[tuple[str, float | None]]:
    pieces: list[tuple[str, float | None]] = []
    place = 0
    for start, end, effect in sorted(spans):
        if start > place:
            pieces.append((text[place:start], None))
        pieces.append((text[max(start, place) : end], effect))
        place = max(place, end)
    return [*pieces, (text[place:], None)] if place < len(text) else pieces
