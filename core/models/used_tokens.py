"""Training without the embeddings of tokens that occur in no row.

Their gradient is zero at every step, yet AdamW keeps two averages of each and visits all of them: of a multilingual
encoder's 250,000 tokens that is more work and memory than its layers. Here the model trains on a table of the tokens
that occur, and what it learned is written back at the end. Weights and losses are those of the whole table, but for
weight decay, which leaves the absent tokens alone. Worker only: imports torch.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from core.models.tokens import TokenRows


class UsedEmbedding(nn.Module):
    """Some rows of an embedding, found by the ids of the whole one.

    used: int64 [tokens], the ids in order. weight: float32 [tokens, hidden].
    """

    place: torch.Tensor

    def __init__(self, whole: nn.Embedding, used: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(whole.weight.detach()[used].clone())
        place = torch.full((whole.num_embeddings,), -1)
        place[used] = torch.arange(len(used))
        # Checkpoints need it not: the rows of a run, and with them its tokens, never change.
        self.register_buffer("place", place, persistent=False)
        self.padding = None if whole.padding_idx is None else int(place[whole.padding_idx])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids: int64 [batch, length], each of them used; gives [batch, length, hidden]."""
        return functional.embedding(self.place[ids], self.weight, self.padding)


@contextmanager
def only_used_tokens(
    model: PreTrainedModel, rows: Iterable[TokenRows], pad_token_id: int
) -> Iterator[tuple[int, int] | None]:
    """Within it the model has the embeddings of the tokens in `rows` and of padding alone: (those, all).

    None, and nothing is changed, where the architecture's token embedding is no plain table.
    """
    whole = model.get_input_embeddings()
    if type(whole) is not nn.Embedding:
        yield None
        return
    special = [pad_token_id] if whole.padding_idx is None else [pad_token_id, whole.padding_idx]
    used = torch.from_numpy(np.unique(np.concatenate([special, *(part.flat for part in rows)])).astype(np.int64))
    name = next(name for name, module in model.named_modules() if module is whole)
    parent, _, attribute = name.rpartition(".")
    small = UsedEmbedding(whole, used)
    # On a GPU it would go on taking the memory that this is to save.
    whole.to("cpu")
    setattr(model.get_submodule(parent), attribute, small)
    yield len(used), whole.num_embeddings
    with torch.no_grad():
        whole.weight[used.to(whole.weight.device)] = small.weight.to(whole.weight.device)
    setattr(model.get_submodule(parent), attribute, whole.to(small.weight.device))
