"""Which parameters each method trains, on tiny models of the true architectures."""

import pytest
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    TrainerState,
    TrainingArguments,
)

from core.errors import UserError
from core.models.architecture import encoder_layers, learning_rate_depths, trainable_parameters
from core.models.freezing import apply_method
from core.models.layers import suggested_frozen_layers, with_chosen_layers
from core.schema import LoraSpec, ModelSpec, TrainingSpec
from core.training.trainers import _optimizer
from core.training.unfreezing import GradualUnfreezing

CONFIGS = {
    "bert": BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64),
    "distilbert": DistilBertConfig(vocab_size=60, dim=32, n_layers=4, n_heads=2, hidden_dim=64),
    "modernbert": ModernBertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, pad_token_id=0
    ),
}
HEADS = {
    "bert": {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"},
    "distilbert": {"pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"},
    "modernbert": {"head.dense.weight", "head.norm.weight", "classifier.weight", "classifier.bias"},
}


def tiny(kind):
    return AutoModelForSequenceClassification.from_config(CONFIGS[kind])


def trained_names(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("kind", CONFIGS)
def test_full_trains_everything(kind):
    trained, total = trainable_parameters(apply_method(tiny(kind), ModelSpec(method="full")))
    assert trained == total


@pytest.mark.parametrize("kind", CONFIGS)
def test_head_trains_the_head_alone(kind):
    assert trained_names(apply_method(tiny(kind), ModelSpec(method="head"))) == HEADS[kind]


@pytest.mark.parametrize("kind", CONFIGS)
def test_freeze_keeps_embeddings_and_lower_layers(kind):
    model = apply_method(tiny(kind), ModelSpec(method="freeze", frozen_layers=3))
    for number, layer in enumerate(encoder_layers(model)):
        assert all(parameter.requires_grad == (number == 3) for parameter in layer.parameters())
    assert not model.base_model.get_input_embeddings().weight.requires_grad
    assert HEADS[kind] <= trained_names(model)


@pytest.mark.parametrize("kind", CONFIGS)
def test_lora_trains_adapters_of_the_layers_and_the_head(kind):
    names = trained_names(apply_method(tiny(kind), ModelSpec(method="lora")))
    adapters = {name for name in names if ".lora_" in name}
    assert adapters
    assert all(".layer." in name or ".layers." in name for name in adapters)
    heads = {
        name.replace("modules_to_save.default.", "").removeprefix("base_model.model.") for name in names - adapters
    }
    assert heads == HEADS[kind]


def test_more_frozen_layers_than_there_are():
    with pytest.raises(UserError, match="has 4 layers"):
        apply_method(tiny("bert"), ModelSpec(method="freeze", frozen_layers=5))


def test_lora_on_layers_that_do_not_exist():
    with pytest.raises(UserError, match="q_proj") as caught:
        apply_method(tiny("bert"), ModelSpec(method="lora", lora=LoraSpec(target_modules=("q_proj",))))
    assert "query" in caught.value.todo


@pytest.mark.parametrize("kind", CONFIGS)
def test_lower_layers_learn_more_slowly(kind):
    depths = learning_rate_depths(tiny(kind))
    by_depth = {}
    for name, depth in depths.items():
        by_depth.setdefault(depth, set()).add(name)
    assert sorted(by_depth) == [0, 1, 2, 3, 4]
    assert all("embeddings" in name for name in by_depth[4])
    assert all(".3." in name for name in by_depth[0])
    assert not depths.keys() & HEADS[kind]


def test_the_optimiser_has_a_rate_for_each_depth(tmp_path):
    model = apply_method(tiny("bert"), ModelSpec())
    training = TrainingSpec(learning_rate=1e-3, layer_decay=0.5, head_learning_rate_factor=4)
    optimizer = _optimizer(model, training, TrainingArguments(output_dir=str(tmp_path), report_to=[]))
    rates = {name: group["lr"] for group in optimizer.param_groups for name in _names(model, group["params"])}
    assert rates["classifier.weight"] == rates["bert.pooler.dense.weight"] == pytest.approx(4e-3)
    assert rates["bert.encoder.layer.3.output.dense.weight"] == pytest.approx(1e-3)
    assert rates["bert.encoder.layer.0.output.dense.weight"] == pytest.approx(1e-3 / 8)
    assert rates["bert.embeddings.word_embeddings.weight"] == pytest.approx(1e-3 / 16)
    assert len(rates) == len(list(model.parameters()))


def test_layers_join_from_the_top_with_each_epoch():
    model = apply_method(tiny("bert"), ModelSpec(method="freeze", frozen_layers=1))
    unfreezing = GradualUnfreezing(model, 1)
    learning = []
    for epoch in range(5):
        unfreezing.on_epoch_begin(None, TrainerState(epoch=float(epoch)), None)
        learning.append([next(layer.parameters()).requires_grad for layer in encoder_layers(model)])
    assert learning == [
        [False, False, False, False],
        [False, False, False, True],
        [False, False, True, True],
        [False, True, True, True],
        [False, True, True, True],
    ]
    assert all(parameter.requires_grad for parameter in model.classifier.parameters())
    assert not any(parameter.requires_grad for parameter in model.bert.embeddings.parameters())


def test_embeddings_join_last_where_nothing_is_frozen():
    model = apply_method(tiny("distilbert"), ModelSpec())
    unfreezing = GradualUnfreezing(model, None)
    for epoch, expected in ((0, False), (4, False), (5, True)):
        unfreezing.on_epoch_begin(None, TrainerState(epoch=float(epoch)), None)
        assert model.get_input_embeddings().weight.requires_grad == expected


def test_fewer_rows_freeze_more_layers():
    found = [suggested_frozen_layers(12, rows) for rows in (100, 500, 1_999, 2_000, 7_999, 8_000, 10**6)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 8
    assert found[-1] == 0
    assert suggested_frozen_layers(4, 10) == 0
    spec = ModelSpec(method="freeze", choose_frozen_layers=True)
    assert with_chosen_layers(spec, 12, 100).frozen_layers == 8
    assert with_chosen_layers(spec.model_copy(update={"choose_frozen_layers": False}), 12, 100).frozen_layers == 0


def _names(model, parameters):
    wanted = {id(parameter) for parameter in parameters}
    return [name for name, parameter in model.named_parameters() if id(parameter) in wanted]
