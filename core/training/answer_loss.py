"""The loss of a language model, projecting to the vocabulary only the tokens that carry it. Worker only: imports torch.

Of a row that ends with its class a few tokens of some hundred carry loss, and logits are the largest thing of a step:
4 bytes for each of 128,256 tokens of Llama 3's vocabulary, at every position, several times over. Here the model's body
runs by itself and its output layer gets the states of those tokens alone. It is the loss and the gradient of all logits
(benchmarks/answer_logits.py has what that saves), on any device, with Unsloth's patched bodies as with transformers'.

Limits: models that change their logits behind the output layer, or add a loss of their own, have to compute theirs;
`projects_plainly` tells them.
"""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedConfig, PreTrainedModel

from core.evaluation.held_out import TOKENS_PROJECTED_AT_ONCE, learned_tokens

_LOGITS_CHANGED_BY = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
)
"""Of config.json, as TRL 1.15 reads them (trl.trainer.utils.add_fused_lm_head): Gemma 2, Cohere, Falcon-H1, Granite."""


def projects_plainly(config: PreTrainedConfig) -> bool:
    """Whether logits are what the output layer says of the body's last states, and the loss is theirs alone."""
    known = config.get_text_config().to_dict()
    changed = any((known.get(name) or 1) != 1 for name in _LOGITS_CHANGED_BY)
    return not changed and not known.get("output_router_logits")


def answer_token_loss(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    labels: torch.Tensor,
    tokens: torch.Tensor | int | None,
) -> torch.Tensor:
    """Cross-entropy of the tokens whose label is not -100, over `tokens` (of the whole step; None: of this batch).

    input_ids, attention_mask, labels: int64 [rows, length], padded on the right. Where many tokens carry loss, as in
    conversations, they are projected some at a time, and again on the way back, so that never more logits are held.
    """
    states, expected = learned_tokens(model, input_ids, attention_mask, labels)
    head = model.get_output_embeddings()
    # An empty sum, so that a batch in which nothing carries loss has a gradient, too: of zero.
    total = states[:0].float().sum()
    parts = range(0, len(expected), TOKENS_PROJECTED_AT_ONCE)
    for first in parts:
        part = slice(first, first + TOKENS_PROJECTED_AT_ONCE)
        if len(parts) == 1:
            total = total + _summed_loss(head, states[part], expected[part])
        else:
            total = total + checkpoint(_summed_loss, head, states[part], expected[part], use_reentrant=False)
    return total / (max(1, len(expected)) if tokens is None else tokens)


def _summed_loss(head: nn.Module, states: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(head(states).float(), expected, reduction="sum")
