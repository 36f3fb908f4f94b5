"""Labels as trees of tokens, so that what labels begin with in common is computed once. Worker only: imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

Tokens = Sequence[int]

TREE_TOKENS = 512
"""Inner tokens of one tree; the labels of a larger one are divided among several passes over the same prompts."""


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


def tree_view(tree: LabelTree, shared: int, lengths: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where prompts and a tree behind them stand and what each token sees.

    Prompts are `shared` kept tokens that all rows begin with, then `lengths` (int64 [rows]) of `width` tokens, the rest
    padding on the right. Positions: int64 [rows, width + inner]. Sees: bool [rows, width + inner, shared + width +
    inner]; a prompt's token sees what is before it, a tree's token the prompt and its own path. Padding is seen by
    padding alone (a token that sees nothing would have no number).
    """
    rows, inner, device = len(lengths), len(tree.tokens), lengths.device
    path = torch.eye(inner, dtype=torch.bool)
    for place, parent in enumerate(tree.parents):
        if parent >= 0:
            path[place] |= path[parent]
    sees = torch.zeros(rows, width + inner, shared + width + inner, dtype=torch.bool, device=device)
    sees[:, :width, : shared + width] = torch.ones(width, shared + width, dtype=torch.bool, device=device).tril(shared)
    sees[:, width:, :shared] = True
    sees[:, width:, shared : shared + width] = (torch.arange(width, device=device) < lengths[:, None])[:, None]
    sees[:, width:, shared + width :] = path.to(device)
    depths = torch.tensor(tree.depths, dtype=torch.int64, device=device)
    prompt = torch.arange(shared, shared + width, device=device).expand(rows, -1)
    return torch.cat([prompt, shared - 1 + lengths[:, None] + depths], 1), sees
