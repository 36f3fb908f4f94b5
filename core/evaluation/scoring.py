"""The probability of each label as a model's answer. Worker only: imports torch.

The score of a label is log p(its tokens and its end | prompt), added up over the tokens; with the end counted, a label
that is the beginning of another has a mass of its own. A label's probability is its share among all labels (softmax of
the scores). Nothing is searched for in prose, so every answer is a label.

How it is computed. The labels form a tree of tokens: what labels begin with in common is one path. In one pass a row's
prompt and the whole tree go through the model, each token of the tree seeing the prompt and its own path alone, at the
position it would have. So a prompt's keys and values are computed once a row and not once a label. The tokens that all
prompts begin with (the instruction) are computed once for all rows and kept. Only the prompt's last token and the
tree's inner tokens are projected to the vocabulary. The last token of each label needs no pass at all, so that where
every label is one token, nothing but the prompts is computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache, PreTrainedModel

from core.evaluation.label_trees import TREE_TOKENS, LabelTree, Tokens, label_trees, tree_view
from core.evaluation.plain_scoring import padded, plain_scores
from core.models.batches_that_fit import in_batches

LOGITS_AT_ONCE = 2**25
"""Numbers in one block of logits: 128 MiB in float32."""
SHARED_AT_LEAST = 8
"""A shorter common beginning is not worth a pass of its own."""


@dataclass(frozen=True)
class Passes:
    """How a backend takes the passes that scoring makes."""

    share_beginning: bool = True
    """Compute what all prompts begin with once and keep it. Off where the decoder takes no transformers cache, such as
    Unsloth's."""
    tree_tokens: int = TREE_TOKENS
    """Inner tokens of one tree. A backend that cuts at a maximum length must allow that of the prompt and this more."""
    mask_dtype: torch.dtype | None = None
    """Number format of the mask, which must be that of the hidden states; Unsloth needs one. None: what transformers
    wants."""


@torch.inference_mode()
def score_labels(
    model: PreTrainedModel,
    prompts: Sequence[Tokens],
    labels: Sequence[Tokens],
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
    passes: Passes = Passes(),
) -> npt.NDArray[np.float32]:
    """log p(label | prompt): float32 [prompts, labels]. `labels`: tokens with their end (Prompt's answers' ids), none
    twice; `prompts`: tokens, none empty. `on_progress` gets (rows done, rows in all).

    For decoders of the usual build (Llama, Mistral, Qwen ...) with eager or sdpa attention; `agrees_with_plain` tells
    whether a model is one. Arithmetic is in the model's own number format.
    """
    model.eval()
    trees = label_trees(labels, passes.tree_tokens)
    if _longest(prompts, trees) >= _window(model):
        return plain_scores(model, prompts, labels, batch_size, on_progress)
    scores = np.zeros((len(prompts), len(labels)), dtype=np.float32)
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    shared = _shared_beginning(prompts) if passes.share_beginning else 0
    kept = _keys_and_values(model, prompts[0][:shared], passes) if shared else []

    def compute(rows: Sequence[int]) -> None:
        ends = [prompts[row][shared:] for row in rows]
        scores[rows] = _score_batch(model, kept, shared, ends, trees, passes).cpu().numpy()

    in_batches(order, batch_size, compute, on_progress)
    return scores


def agrees_with_plain(
    model: PreTrainedModel,
    prompts: Sequence[Tokens],
    labels: Sequence[Tokens],
    passes: Passes = Passes(),
) -> bool:
    """Whether score_labels and plain_scores say the same of two of these prompts.

    They differ where a model's attention does not follow a mask that is given whole (some patched or flash attention),
    or where it changes its logits after the projection. Compared in the mean over the labels: below float32, rounding
    alone moves an unlikely label by some tenths.
    """
    chosen = [min(prompts, key=len), max(prompts, key=len)]
    tree = score_labels(model, chosen, labels, batch_size=2, passes=passes)
    plain = plain_scores(model, chosen, labels, batch_size=8)
    allowed = 1e-3 if model.dtype == torch.float32 else 0.3
    return float(np.abs(tree - plain).mean()) <= allowed


def label_probabilities(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each label's share: float32 [rows, labels], rows add up to 1."""
    return torch.softmax(torch.from_numpy(scores), dim=-1).numpy()


def _shared_beginning(prompts: Sequence[Tokens]) -> int:
    """Tokens that all prompts begin with; at least one is left to each."""
    if len(prompts) < 2:
        return 0
    ordered = sorted(map(list, prompts))  # by their tokens, so all others lie between the first and the last
    first, last = ordered[0], ordered[-1]
    most = min(len(first), len(last), min(map(len, prompts)) - 1)
    shared = next((place for place in range(most) if first[place] != last[place]), most)
    return shared if shared >= SHARED_AT_LEAST else 0


def _keys_and_values(model: PreTrainedModel, tokens: Tokens, passes: Passes) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each layer's keys and values of some tokens: [1, heads, tokens, head size] each."""
    cache = DynamicCache()
    width = len(tokens)
    sees = torch.ones(1, width, width, dtype=torch.bool, device=model.device).tril()
    ids = torch.tensor([list(tokens)], device=model.device)
    _hidden_states(model, ids, torch.arange(width, device=model.device)[None], sees, cache, passes)
    return [(keys, values) for keys, values, _ in cache]


def _score_batch(
    model: PreTrainedModel,
    kept: Sequence[tuple[torch.Tensor, torch.Tensor]],
    shared: int,
    ends: Sequence[Tokens],
    trees: Sequence[LabelTree],
    passes: Passes,
) -> torch.Tensor:
    """float32 [rows, labels]. `kept`: keys and values of the `shared` first tokens; `ends`: what follows, by row."""
    rows = len(ends)
    ids, mask = padded(ends, model.device)
    lengths, width = mask.sum(1), ids.shape[1]
    scores = torch.zeros(rows, sum(len(tree.labels) for tree in trees), dtype=torch.float32, device=model.device)
    for tree in trees:
        tokens = torch.tensor(tree.tokens, dtype=torch.int64, device=model.device).expand(rows, -1)
        positions, sees = tree_view(tree, shared, lengths, width)
        cache = [(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in kept]
        hidden = _hidden_states(
            model, torch.cat([ids, tokens], 1), positions, sees, DynamicCache(cache) if kept else None, passes
        )
        last = hidden[torch.arange(rows, device=model.device), lengths - 1]
        scores[:, tree.labels] = _path_scores(model, torch.cat([last[:, None], hidden[:, width:]], 1), tree)
    return scores


def _hidden_states(
    model: PreTrainedModel,
    ids: torch.Tensor,
    positions: torch.Tensor,
    sees: torch.Tensor,
    cache: DynamicCache | None,
    passes: Passes,
) -> torch.Tensor:
    """The decoder's last hidden states: [rows, tokens, hidden]. `sees`: bool [rows, tokens, kept and new tokens]."""
    mask = sees[:, None]
    # Eager attention adds the mask; sdpa also takes it as yes and no.
    dtype = passes.mask_dtype or (model.dtype if model.config._attn_implementation == "eager" else None)
    if dtype is not None:
        mask = torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)
    output = model.get_decoder()(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=cache is not None,
    )
    return output.last_hidden_state


def _path_scores(model: PreTrainedModel, hidden: torch.Tensor, tree: LabelTree) -> torch.Tensor:
    """float32 [rows, labels of the tree]. `hidden`: [rows, 1 + inner, hidden], the prompt's last token first."""
    rows, places = hidden.shape[:2]
    head = model.get_output_embeddings()
    block = max(1, LOGITS_AT_ONCE // (rows * model.config.get_text_config().vocab_size))
    where = torch.tensor([place + 1 for place, _ in tree.steps], device=hidden.device)
    tokens = torch.tensor([token for _, token in tree.steps], device=hidden.device)
    # One more step, of log 1, fills up the paths of shorter labels.
    steps = torch.zeros(rows, len(tree.steps) + 1, dtype=torch.float32, device=hidden.device)
    for start in range(0, places, block):
        logits = head(hidden[:, start : start + block]).float()
        (chosen,) = torch.where((where >= start) & (where < start + block))
        picked = logits[:, where[chosen] - start, tokens[chosen]]
        steps[:, chosen] = picked - torch.logsumexp(logits, dim=-1)[:, where[chosen] - start]
    longest = max(map(len, tree.paths))
    paths = [path + [len(tree.steps)] * (longest - len(path)) for path in tree.paths]
    return steps[:, torch.tensor(paths, device=hidden.device)].sum(-1)


def _longest(prompts: Sequence[Tokens], trees: Sequence[LabelTree]) -> int:
    """Tokens of the longest prompt with the longest label."""
    return max(map(len, prompts), default=0) + max((depth for tree in trees for depth in tree.depths), default=0)


def _window(model: PreTrainedModel) -> float:
    """How many tokens back the model sees; the masks made here know no such bound."""
    window = model.config.get_text_config().to_dict().get("sliding_window")
    return float("inf") if window is None else float(window)
