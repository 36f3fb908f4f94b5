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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache, PreTrainedModel

Tokens = Sequence[int]

TREE_TOKENS = 512
"""Inner tokens of one tree; the labels of a larger one are divided among several passes over the same prompts."""
LOGITS_AT_ONCE = 2**25
"""Numbers in one block of logits: 128 MiB in float32."""
SHARED_AT_LEAST = 8
"""A shorter common beginning is not worth a pass of its own."""


@dataclass(frozen=True)
class LabelTree:
    """Some of the labels as a tree. Inner tokens are those that another token follows.

    tokens, parents, depths: int64 [inner]; the token, the inner token before it (-1: the prompt's last token), and its
    distance from the prompt's last token (1, 2 ...). steps: [(inner token or -1, token that follows it)], each once.
    paths: for each label its steps, as places in `steps`. labels: their places among all labels.
    """

    tokens: list[int]
    parents: list[int]
    depths: list[int]
    steps: list[tuple[int, int]]
    paths: list[list[int]]
    labels: list[int]


@torch.inference_mode()
def score_labels(
    model: PreTrainedModel,
    prompts: Sequence[Tokens],
    labels: Sequence[Tokens],
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """log p(label | prompt): float32 [prompts, labels]. `labels`: tokens with their end (Prompt's answers' ids), none
    twice; `prompts`: tokens, none empty. `on_progress` gets (rows done, rows in all).

    For decoders of the usual build (Llama, Mistral, Qwen ...) with eager or sdpa attention; `agrees_with_plain_scoring`
    tells whether a model is one.
    """
    model.eval()
    trees = label_trees(labels)
    scores = np.zeros((len(prompts), len(labels)), dtype=np.float32)
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    shared = _shared_beginning(prompts)
    kept = _keys_and_values(model, prompts[0][:shared]) if shared else []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ends = [prompts[row][shared:] for row in rows]
        scores[rows] = _score_batch(model, kept, shared, ends, trees, len(labels)).cpu().numpy()
        if on_progress is not None:
            on_progress(start + len(rows), len(order))
    return scores


def label_probabilities(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each label's share: float32 [rows, labels], rows add up to 1."""
    return torch.softmax(torch.from_numpy(scores), dim=-1).numpy()


def label_mass(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The probability that the model, left to itself, answers with any of the labels: float32 [rows]."""
    return torch.logsumexp(torch.from_numpy(scores), dim=-1).exp().numpy()


def label_trees(labels: Sequence[Tokens], largest: int = TREE_TOKENS) -> list[LabelTree]:
    """The labels in trees of at most `largest` inner tokens (more only where a single label has more)."""
    trees: list[LabelTree] = []
    places: dict[tuple[int, ...], int] = {}
    steps: dict[tuple[int, int], int] = {}
    for label in sorted(range(len(labels)), key=lambda place: tuple(labels[place])):
        tokens = tuple(labels[label])
        new = sum(tokens[:depth] not in places for depth in range(1, len(tokens)))
        if not trees or (trees[-1].tokens and len(trees[-1].tokens) + new > largest):
            trees.append(LabelTree([], [], [], [], [], []))
            places, steps = {(): -1}, {}
        _add_label(trees[-1], places, steps, label, tokens)
    return trees


def _add_label(
    tree: LabelTree,
    places: dict[tuple[int, ...], int],
    steps: dict[tuple[int, int], int],
    label: int,
    tokens: tuple[int, ...],
) -> None:
    path = []
    for depth, token in enumerate(tokens):
        before = tokens[:depth]
        if before not in places:
            places[before] = len(tree.tokens)
            tree.tokens.append(before[-1])
            tree.parents.append(places[before[:-1]])
            tree.depths.append(depth)
        step = (places[before], token)
        if step not in steps:
            steps[step] = len(tree.steps)
            tree.steps.append(step)
        path.append(steps[step])
    tree.paths.append(path)
    tree.labels.append(label)


def _shared_beginning(prompts: Sequence[Tokens]) -> int:
    """Tokens that all prompts begin with; at least one is left to each."""
    if len(prompts) < 2:
        return 0
    first, last = min(prompts), max(prompts)  # in order of their tokens, so all others lie between these two
    most = min(len(first), len(last), min(map(len, prompts)) - 1)
    shared = next((place for place in range(most) if first[place] != last[place]), most)
    return shared if shared >= SHARED_AT_LEAST else 0


def _keys_and_values(model: PreTrainedModel, tokens: Tokens) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each layer's keys and values of some tokens: [1, heads, tokens, head size] each."""
    cache = DynamicCache()
    width = len(tokens)
    sees = torch.ones(1, width, width, dtype=torch.bool, device=model.device).tril()
    ids = torch.tensor([list(tokens)], device=model.device)
    _hidden_states(model, ids, torch.arange(width, device=model.device)[None], sees, cache)
    return [(layer.keys, layer.values) for layer in cache.layers]


def _score_batch(
    model: PreTrainedModel,
    kept: Sequence[tuple[torch.Tensor, torch.Tensor]],
    shared: int,
    ends: Sequence[Tokens],
    trees: Sequence[LabelTree],
    label_count: int,
) -> torch.Tensor:
    """float32 [rows, labels]. `kept`: keys and values of the `shared` first tokens; `ends`: what follows, by row.

    The first tree goes through the model together with the prompts; the others follow on the prompts' kept keys.
    """
    rows = len(ends)
    cache = DynamicCache([(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in kept])
    lengths = torch.tensor([len(end) for end in ends], device=model.device)
    width = int(lengths.max())
    ids = torch.zeros(rows, width, dtype=torch.int64)
    for row, end in enumerate(ends):
        ids[row, : len(end)] = torch.tensor(list(end))
    ids = ids.to(model.device)
    places = torch.arange(width, device=model.device)
    last = None
    scores = torch.zeros(rows, label_count, dtype=torch.float32, device=model.device)
    for tree in trees:
        positions, sees = _tree_view(tree, shared, width, lengths)
        tokens = torch.tensor(tree.tokens, dtype=torch.int64, device=model.device).expand(rows, -1)
        if last is None:
            before = (places[:, None] >= places[None, :]).expand(rows, -1, -1)
            before = torch.cat([torch.ones(rows, width, shared, dtype=torch.bool, device=model.device), before], 2)
            before = torch.cat([before, before.new_zeros(rows, width, len(tree.tokens))], 2)
            positions = torch.cat([(shared + places).expand(rows, -1), positions], 1)
            hidden = _hidden_states(
                model, torch.cat([ids, tokens], 1), positions, torch.cat([before, sees], 1), cache
            )
            last = hidden[torch.arange(rows, device=model.device), lengths - 1][:, None]
            hidden = hidden[:, width:]
        else:
            hidden = _hidden_states(model, tokens, positions, sees, cache)
        cache.crop(-len(tree.tokens))
        scores[:, tree.labels] = _path_scores(model, torch.cat([last, hidden], 1), tree)
    return scores
