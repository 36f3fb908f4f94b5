"""Training on the embeddings of the tokens that occur is training on all of them, and ends with all of them."""

import copy

import numpy as np
import pytest
import torch

from core.models.inference import class_logits
from core.models.used_tokens import UsedEmbedding, only_used_tokens
from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec
from core.training.trainers import classifier_trainer
from core.workspace import RunFolder
from tests.small_encoders import CONFIGS, small, token_rows, tokenizer, without_dropout

SPEC = RunSpec(
    data=DataSpec(train=TableFile(path="t.csv")),
    mapping=MappingSpec(text=("a",), label="b"),
    model=ModelSpec(method="full", classifier_dropout=0),
    training=TrainingSpec(epochs=2, batch_size=8, precision="float32", learning_rate=1e-3, weight_decay=0),
)


def few_tokens():
    """Rows in which only every third token occurs, so that places and ids differ."""
    rows = {"train": token_rows(40, 0), "validation": token_rows(12, 1)}
    for part in rows.values():
        part.flat[:] = part.flat // 3 * 3 + 1
    return rows


@pytest.mark.parametrize("kind", CONFIGS)
def test_losses_and_weights_are_those_of_the_whole_table(kind, tmp_path):
    rows = few_tokens()
    plain, trimmed = small(kind), small(kind)
    before = copy.deepcopy(trimmed.get_input_embeddings().weight.detach())
    expected = losses_of(plain, rows, tmp_path / "plain")
    with only_used_tokens(trimmed, rows.values(), 0) as counts:
        assert counts == (len({*rows["train"].flat, *rows["validation"].flat, 0}), 60)
        assert trimmed.get_input_embeddings().weight.shape[0] == counts[0]
        losses = losses_of(trimmed, rows, tmp_path / "trimmed")
        within = class_logits(trimmed, rows["validation"], 0, 4)
    assert losses == pytest.approx(expected, abs=1e-5)
    for name, weights in plain.state_dict().items():
        assert torch.allclose(weights, trimmed.state_dict()[name], atol=1e-5), name
    after = trimmed.get_input_embeddings().weight
    unseen = np.setdiff1d(np.arange(60), [*rows["train"].flat, 0])
    assert torch.equal(after[unseen], before[unseen])
    assert not torch.equal(after, before)
    assert np.allclose(class_logits(trimmed, rows["validation"], 0, 4), within, atol=1e-6)


def test_padding_stays_as_it_is():
    whole = torch.nn.Embedding(60, 8, padding_idx=0)
    small_table = UsedEmbedding(whole, torch.tensor([0, 5, 9]))
    small_table(torch.tensor([[5, 0], [9, 0]])).sum().backward()
    assert small_table.weight.grad[0].abs().sum() == 0
    assert small_table.weight.grad[1:].abs().sum() > 0


def test_a_table_of_another_kind_is_left_alone():
    model = small("bert")
    table = torch.nn.EmbeddingBag(60, 32)
    model.set_input_embeddings(table)
    with only_used_tokens(model, few_tokens().values(), 0) as counts:
        assert counts is None
        assert model.get_input_embeddings() is table


def losses_of(model, rows, root):
    root.mkdir()
    without_dropout(model)
    torch.manual_seed(5)
    trainer = classifier_trainer(SPEC, RunFolder(root), model, tokenizer(), rows["train"], rows["validation"], [])
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
