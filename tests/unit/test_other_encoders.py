"""Encoders that are built otherwise than BERT: what cannot be done with them is left, and said."""

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    AutoConfig,
    AutoModelForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    XmodConfig,
)

from core.errors import UserError
from core.models.architecture import encoder_layers, find_layers
from core.models.known import BEHIND_PADDING, longest_text
from core.models.prefix_cache import can_be_skipped, fill_cache
from core.models.tokens import TokenRows
from core.runs.memory_ladder import is_before_the_model
from core.schema import RunSpec, TrainingSpec
from core.training.trainers import unfreezing

SHAPE = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 40, "num_labels": 3,
}  # fmt: skip
ROWS = TokenRows(
    np.random.default_rng(0).integers(5, 100, 60).astype(np.int32), np.arange(0, 61, 10, dtype=np.int64), np.zeros(6)
)
MODELS = {
    "deberta": lambda: DebertaV2ForSequenceClassification(DebertaV2Config(**SHAPE, relative_attention=True)),
    "mpnet": lambda: MPNetForSequenceClassification(MPNetConfig(**SHAPE)),
    "electra": lambda: ElectraForSequenceClassification(ElectraConfig(**SHAPE, embedding_size=16)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_layers_that_cannot_be_skipped_are_not(kind):
    torch.manual_seed(0)
    assert not can_be_skipped(MODELS[kind](), 2, ROWS, 0)


def test_layers_that_share_their_weights_cannot_be_told_apart():
    model = AlbertForSequenceClassification(AlbertConfig(**SHAPE, embedding_size=16))
    assert find_layers(model) is None
    with pytest.raises(UserError, match="cannot be told apart"):
        encoder_layers(model)
    spec = RunSpec(
        data={"train": {"path": "a.csv"}}, mapping={"text": ["text"], "label": "label"},
        model={"method": "full"}, training={"gradual_unfreezing": True},
    )  # fmt: skip
    assert unfreezing(model, spec) == []


def test_states_that_are_no_numbers_end_the_run():
    model = MODELS["electra"]()
    torch.nn.init.constant_(model.electra.embeddings_project.weight, float("nan"))
    with pytest.raises(UserError, match="not a finite number"):
        fill_cache(model, 2, TrainingSpec(), {"train": ROWS}, 0, None)


@pytest.mark.parametrize("kind", BEHIND_PADDING)
def test_the_longest_text_of_models_whose_positions_begin_behind_the_padding(kind):
    config = AutoConfig.for_model(kind, **SHAPE, pad_token_id=1, attention_window=8, attention_probs_dropout_prob=0.0)
    config = config if kind != "xmod" else XmodConfig(**SHAPE, pad_token_id=1, default_language="en_XX")
    if kind == "luke":
        config.entity_vocab_size = 4
    model = AutoModelForSequenceClassification.from_config(config).eval()
    longest = longest_text(config.to_dict())
    ids = torch.full((1, longest), 5)
    with torch.no_grad():
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
        with pytest.raises((IndexError, RuntimeError)):
            ids = torch.full((1, longest + 2), 5)
            model(input_ids=ids, attention_mask=torch.ones_like(ids))


def test_positions_that_begin_behind_the_padding_are_no_tokens():
    assert longest_text({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}) == 512
    assert longest_text({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}) == 512
    assert longest_text({"model_type": "t5"}) is None


@pytest.mark.parametrize(
    ("phase", "expected"), [("baselines", True), ("fold 2 of 5: baselines", True), ("fold 2 of 5: training", False)]
)
def test_phases_of_a_fold_are_those_of_a_run(phase, expected):
    assert is_before_the_model(phase) is expected
