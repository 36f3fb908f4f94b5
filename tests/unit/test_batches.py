"""Batches: every row once an epoch, of like length, within the tokens asked for, and the same after a resume."""

import numpy as np
import pytest
import torch

from core.models.processor_steps import quick_steps
from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec
from core.training.batches import ALIKE, RowBatches
from core.training.trainers import classifier_trainer
from core.workspace import RunFolder
from tests.small_encoders import small, token_rows, tokenizer

LENGTHS = np.random.default_rng(0).integers(3, 200, 1000)


@pytest.mark.parametrize("tokens", [None, 500, 50])
@pytest.mark.parametrize("grouped", [True, False])
def test_every_row_once_an_epoch_in_as_many_batches(tokens, grouped):
    batches = RowBatches(LENGTHS, 32, tokens, grouped=grouped, seed=1)
    for epoch in range(3):
        batches.set_epoch(epoch)
        seen = list(batches)
        assert len(seen) == len(batches)
        assert sorted(row for batch in seen for row in batch) == list(range(1000))
        assert max(map(len, seen)) <= 32


def test_tokens_bound_a_batch_unless_a_row_alone_is_longer():
    batches = RowBatches(LENGTHS, 32, 150, grouped=False, seed=1)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * LENGTHS[batch].max() <= 150
    few = RowBatches(np.full(10, 9), 32, 36, grouped=True, seed=1)
    assert [len(batch) for batch in few] == [2, 4, 4]


def test_rows_of_a_batch_are_of_like_length_and_change_company():
    batches = RowBatches(LENGTHS, 8, None, grouped=True, seed=1)
    first = list(batches)
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in first)
    # Three in a hundred of the batches span two groups of like length or more.
    assert padded <= LENGTHS.sum() * ALIKE * 1.03
    assert LENGTHS[first[0]].max() >= LENGTHS.max() / ALIKE
    batches.set_epoch(1)
    second = {frozenset(batch) for batch in batches}
    assert len(second & {frozenset(batch) for batch in first}) < 5


def test_seed_and_epoch_alone_decide():
    def drawn(seed, epoch):
        batches = RowBatches(LENGTHS, 16, None, grouped=True, seed=seed)
        batches.set_epoch(epoch)
        return list(batches)

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(1, 3)
    assert drawn(1, 2) != drawn(2, 2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_inside_an_epoch_a_run_ends_with_the_same_weights(tmp_path, precision):
    """Dropout included: what was drawn before the checkpoint is not drawn again."""
    spec = RunSpec(
        data=DataSpec(train=TableFile(path="t.csv")),
        mapping=MappingSpec(text=("a",), label="b"),
        model=ModelSpec(method="full"),
        training=TrainingSpec(
            epochs=3, batch_size=8, precision=precision, learning_rate=1e-3, evaluate_every_steps=7, keep_checkpoints=5
        ),
    )

    def trainer():
        return classifier_trainer(
            spec, RunFolder(tmp_path), small("bert"), tokenizer(), token_rows(40, 0), token_rows(12, 1), []
        )

    torch.manual_seed(5)
    whole = trainer()
    with quick_steps(whole.model, whole.args.device, bfloat16=whole.args.bf16):
        whole.train()
    torch.manual_seed(6)
    resumed = trainer()
    with quick_steps(resumed.model, resumed.args.device, bfloat16=resumed.args.bf16):
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoints" / "checkpoint-7"))
    assert resumed.state.global_step == whole.state.global_step == 15
    for name, weights in whole.model.state_dict().items():
        assert torch.allclose(weights, resumed.model.state_dict()[name], atol=1e-6), name
