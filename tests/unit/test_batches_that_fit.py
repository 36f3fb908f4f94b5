"""Passes with fewer rows at once where the GPU is full."""

import weakref

import numpy as np
import pytest
import torch

from core.models.batches_that_fit import in_batches
from core.models.inference import class_logits
from core.training.neighbours import embeddings_of
from tests.small_encoders import small, token_rows


def full_beyond(most: int, seen: list[list[int]]):
    def compute(rows):
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        seen.append(list(rows))

    return compute


def test_rows_come_in_their_order_as_many_at_once_as_were_asked_for():
    seen, told = [], []
    in_batches([5, 3, 8, 1, 9], 2, full_beyond(2, seen), lambda done, total: told.append((done, total)))
    assert seen == [[5, 3], [8, 1], [9]]
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_where_the_gpu_is_full_half_as_many_are_tried_and_it_stays_so(capsys):
    seen = []
    in_batches(np.arange(20), 16, full_beyond(5, seen))
    assert [len(rows) for rows in seen] == [4, 4, 4, 4, 4]
    assert [row for rows in seen for row in rows] == list(range(20))
    assert capsys.readouterr().out.splitlines() == [
        "The GPU's memory does not hold 16 rows at once: 8 are tried",
        "The GPU's memory does not hold 8 rows at once: 4 are tried",
    ]


def test_what_one_row_alone_fills_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        in_batches([1, 2, 3], 2, full_beyond(0, []))


def test_another_error_is_not_tried_again():
    asked = []

    def compute(rows):
        asked.append(rows)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        in_batches([1, 2, 3], 2, compute)
    assert asked == [[1, 2]]


def test_nothing_of_the_pass_that_failed_is_kept_while_the_next_one_runs():
    held: list[weakref.ref] = []

    def compute(rows):
        assert all(reference() is None for reference in held)
        states = torch.zeros(len(rows), 100)
        held.append(weakref.ref(states))
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    in_batches([1, 2, 3, 4], 4, compute)
    assert len(held) == 6


@pytest.fixture
def full_of_three():
    """A model on a GPU that holds three rows."""

    def fill(model):
        def full(_module, _inputs, given):
            if len(given["input_ids"]) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        model.register_forward_pre_hook(full, with_kwargs=True)

    return fill


def test_logits_are_those_of_whole_batches(full_of_three):
    model, rows = small("bert"), token_rows(20)
    whole = class_logits(model, rows, 0, 8)
    full_of_three(model)
    assert np.allclose(class_logits(model, rows, 0, 8), whole, atol=1e-5)


def test_embeddings_are_those_of_whole_batches(full_of_three):
    model, rows = small("bert").eval(), token_rows(20)
    whole, told = embeddings_of(model, rows, 0, 8, lambda _: None), []
    full_of_three(model.base_model)
    assert np.allclose(embeddings_of(model, rows, 0, 8, told.append), whole, atol=1e-5)
    assert told[-1] == 20
