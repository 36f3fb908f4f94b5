"""Label scores the plain way, and free answers: what core/evaluation/scoring.py is held against. Imports torch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from core.evaluation.label_trees import Tokens
from core.models.batches_that_fit import in_batches
from core.models.pretrained import most_positions

ANSWERS_AT_ONCE = 4
"""Rows. Each keeps the keys and values of its prompt in all layers, twice where Unsloth writes: with more, the answers
would take more memory than the training."""


@torch.inference_mode()
def plain_scores(
    model: PreTrainedModel,
    prompts: Sequence[Tokens],
    labels: Sequence[Tokens],
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """The same as score_labels, the plain way: prompt and label go through the model once for each label.

    For models that score_labels cannot serve, and to hold it against. `batch_size`: labels of one row at once.
    """
    model.eval()
    scores = np.zeros((len(prompts), len(labels)), dtype=np.float32)

    def compute(row: int, chosen: Sequence[int]) -> None:
        part = [labels[number] for number in chosen]
        ids, mask = padded([[*prompts[row], *label[:-1]] for label in part], model.device)
        kept = ids.shape[1] - len(prompts[row]) + 1
        logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=kept).logits.float()
        log_probabilities = torch.log_softmax(logits, dim=-1)
        for place, (number, label) in enumerate(zip(chosen, part, strict=True)):
            steps = log_probabilities[place, torch.arange(len(label)), torch.tensor(list(label))]
            scores[row, number] = float(steps.sum())

    for row in range(len(prompts)):
        in_batches(range(len(labels)), batch_size, partial(compute, row))
        if on_progress is not None:
            on_progress(row + 1, len(prompts))
    return scores


@torch.inference_mode()
def generate_answers(
    model: PreTrainedModel,
    prompts: Sequence[Tokens],
    end_ids: Sequence[int],
    max_new_tokens: int,
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """What the model answers freely, most likely token first, up to an end token: tokens by row. Where a prompt leaves
    the model too few positions the answers are shorter.

    A check beside the scores: core.prompt_rows.answered_labels tells which of these are labels.
    """
    model.eval()
    answers: list[list[int]] = [[] for _ in prompts]
    positions = most_positions(model.config.get_text_config())
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    room = [max_new_tokens if positions is None else min(max_new_tokens, positions - len(row)) for row in prompts]
    free = [row for row in order if room[row] == max_new_tokens]
    # By themselves, so that they shorten no other answer.
    short = [row for row in order if 0 < room[row] < max_new_tokens]

    def compute(rows: Sequence[int]) -> None:
        ids, mask = padded([prompts[row] for row in rows], model.device, left=True)
        generate: Any = model.generate
        output = generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=room[rows[0]],
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=list(end_ids),
            pad_token_id=end_ids[0],
        )
        for row, tokens in zip(rows, output[:, ids.shape[1] :].tolist(), strict=True):
            answers[row] = tokens

    def tell(done: int) -> None:
        if on_progress is not None:
            on_progress(done, len(free) + len(short))

    in_batches(free, batch_size, compute, lambda done, _: tell(done))
    in_batches(short, 1, compute, lambda done, _: tell(len(free) + done))
    return answers


def padded(rows: Sequence[Tokens], device: torch.device, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """ids and attention mask: int64 [rows, longest]; padding (token 0, masked) on the right unless `left`."""
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(0, len(row))
        ids[place, span] = torch.tensor(list(row))
        mask[place, span] = 1
    return ids.to(device), mask.to(device)
