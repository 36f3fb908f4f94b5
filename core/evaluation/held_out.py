"""How well a language model foretells answers that it has not learned from. Worker only: imports torch."""

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from core.evaluation.plain_scoring import padded
from core.prompt_rows import IGNORED, Example

TOKENS_PROJECTED_AT_ONCE = 512
"""Of a vocabulary of 128,000 these are 256 MiB of logits in float32."""


@torch.inference_mode()
def held_out_figures(
    model: PreTrainedModel,
    examples: Sequence[Example],
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """loss (nats a learned token), perplexity (its exponential) and tokens (learned ones, their number).

    `on_progress` gets (rows done, rows in all). Batches hold neighbours in length.
    """
    model.eval()
    order = sorted(range(len(examples)), key=lambda number: len(examples[number].ids))
    total, tokens = 0.0, 0
    for start in range(0, len(order), batch_size):
        batch = [examples[number] for number in order[start : start + batch_size]]
        ids, mask = padded([example.ids for example in batch], model.device)
        targets, _ = padded([example.targets for example in batch], model.device)
        targets[mask == 0] = IGNORED
        states, expected = learned_tokens(model, ids, mask, targets)
        for first in range(0, len(expected), TOKENS_PROJECTED_AT_ONCE):
            part = slice(first, first + TOKENS_PROJECTED_AT_ONCE)
            logits = model.get_output_embeddings()(states[part]).float()
            total += float(functional.cross_entropy(logits, expected[part], reduction="sum"))
        tokens += len(expected)
        if on_progress is not None:
            on_progress(start + len(batch), len(order))
    loss = total / max(tokens, 1)
    return {"loss": loss, "perplexity": math.exp(min(loss, 700)), "tokens": tokens}


def learned_tokens(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The hidden states that foretell the learned tokens, [tokens, hidden], and those tokens, int64 [tokens].

    Nothing else need be projected to the vocabulary. input_ids, attention_mask, targets (IGNORED where there is no
    loss): int64 [rows, length].
    """
    hidden = model.get_decoder()(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
    learned = targets[:, 1:] != IGNORED
    return hidden[:, :-1][learned], targets[:, 1:][learned]
