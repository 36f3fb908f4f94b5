"""What the page says of freezing is what the model does: counts from the presets against models that are built."""

import json

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
)

from core.errors import UserError
from core.models.architecture import trainable_parameters
from core.models.freezing import apply_method
from core.models.heads import EncoderWithHead
from core.models.known import Known, known_of, require_known_sizes
from core.models.layers import (
    Parameters,
    parameter_counts,
    plan_states,
    suggested_frozen_layers,
    suggestion_words,
    work_of_a_step,
)
from core.models.neobert import NeoBERTConfig
from core.models.sizes import sizes_of
from core.models.source import packaged_encoder
from core.presets import load_presets
from core.schema import ModelSpec, TrainingSpec

PRESETS = {name: preset for name, preset in load_presets().items() if preset.group != "llm"}
PUBLISHED = {
    "packaged:all-MiniLM-L6-v2": lambda: AutoConfig.from_pretrained(packaged_encoder()),
    "google-bert/bert-base-uncased": BertConfig,
    "google-bert/bert-base-cased": lambda: BertConfig(vocab_size=28996),
    "distilbert/distilbert-base-cased": lambda: DistilBertConfig(vocab_size=28996),
    "answerdotai/ModernBERT-base": ModernBertConfig,
    "chandar-lab/NeoBERT": NeoBERTConfig,
}
CLASSES = 6


def built(spec):
    """The published architecture without its weights, with what the spec freezes."""
    config = PUBLISHED[spec.source]()
    config.num_labels = CLASSES
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
        if spec.head != "model":
            model = EncoderWithHead(model.base_model, spec.head, spec.pooling, spec.head_size, 0.0)
    return apply_method(model, spec)


@pytest.mark.parametrize("source", PUBLISHED)
@pytest.mark.parametrize("method", ["full", "freeze", "head"])
def test_counts_are_those_of_the_model(source, method):
    preset = next(preset for preset in PRESETS.values() if preset.model.source == source)
    assert preset.longest == PUBLISHED[source]().max_position_embeddings
    for frozen in (0, 1, sizes_of(preset.config).layers - 1, sizes_of(preset.config).layers):
        spec = ModelSpec(source=source, method=method, frozen_layers=frozen)
        found = parameter_counts(sizes_of(preset.config), spec, CLASSES)
        assert found == Parameters(*trainable_parameters(built(spec)))


@pytest.mark.parametrize("source", ["google-bert/bert-base-cased", "distilbert/distilbert-base-cased"])
@pytest.mark.parametrize(
    "head", [{"head": "linear"}, {"head": "linear", "pooling": "both"}, {"head": "two-layer", "pooling": "both"}]
)
def test_counts_with_an_own_head(source, head):
    preset = next(preset for preset in PRESETS.values() if preset.model.source == source)
    for method in ("full", "freeze", "head"):
        spec = ModelSpec(source=source, method=method, frozen_layers=4, **head)
        found = parameter_counts(sizes_of(preset.config), spec, CLASSES)
        assert found == Parameters(*trainable_parameters(built(spec)))


def test_every_preset_has_sizes_and_reads_what_it_asks_for():
    for preset in load_presets().values():
        sizes = sizes_of(preset.config)
        assert preset.parameters == sizes.pretrained
        assert preset.model.max_length <= preset.longest
        if preset.group != "llm":
            assert preset.model.frozen_layers <= sizes_of(preset.config).layers


def test_keeping_the_prefix_saves_its_share():
    work = work_of_a_step(6, 4)
    assert work.plain == pytest.approx(10 / 18)
    assert work.cached == pytest.approx(6 / 18)
    assert work.saved == pytest.approx(0.4)
    assert work_of_a_step(6, 0).saved == 0


@pytest.mark.parametrize(
    ("layers", "rows", "words"),
    [
        (12, 400, "8 of 12 layers: with fewer than 2,000 train rows at most 4 learn."),
        (4, 400, "0 of 4 layers: with fewer than 2,000 train rows all 4 learn."),
        (12, 1_999, "8 of 12 layers: with fewer than 2,000 train rows at most 4 learn."),
        (6, 5_000, "0 of 6 layers: with fewer than 8,000 train rows all 6 learn."),
        (12, 8_000, "0 of 12 layers: 8,000 train rows are enough for all to learn."),
    ],
)
def test_the_choice_says_why(layers, rows, words):
    assert suggestion_words(layers, rows) == words
    assert words.startswith(str(suggested_frozen_layers(layers, rows)))


def test_states_go_where_there_is_room():
    tokens = {"train": 1_000_000, "validation": 100_000, "test": 100_000}
    size = 1_200_000 * 384 * 2

    def plan(memory, disk, training=TrainingSpec(epochs=3)):  # noqa: B008  a frozen value
        return plan_states(6, 384, 4, training, tokens, 5_000, memory, disk)

    assert plan(4 * size, 0).place == "memory"
    assert plan(4 * size - 4, 0).place is None
    assert plan(0, size + 2 * 10**9).place == "disk"
    assert plan(0, size + 2 * 10**9 - 1).place is None
    assert plan(0, 0).words == "There is no room in memory or on disk for what frozen layers say, 922 MB."
    assert plan(4 * size, 0).words.endswith("kept: 922 MB in memory, saves about 40 % of each epoch.")


def folder(tmp_path, **config):
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return ModelSpec(source=str(tmp_path), max_length=128)


def test_a_folder_is_known_by_its_config(tmp_path):
    bert = folder(tmp_path, num_hidden_layers=4, hidden_size=32, max_position_embeddings=64)
    assert known_of(bert) == Known(layers=4, hidden_size=32, longest=64)
    assert known_of(folder(tmp_path, n_layers=6, dim=768)) == Known(layers=6, hidden_size=768)
    assert known_of(folder(tmp_path, n_layers="six")) == Known()
    (tmp_path / "config.json").write_text("[1", encoding="utf-8")
    assert known_of(bert) == Known()
    (tmp_path / "config.json").unlink()
    assert known_of(bert) == Known()


def test_a_preset_s_model_is_known_without_its_files():
    known = known_of(PRESETS["neobert-freeze"].model)
    assert (known.layers, known.hidden_size, known.longest) == (28, 768, 4096)
    assert known_of(ModelSpec(source="somebody/else")) == Known()
    assert known_of(ModelSpec(source="no id at all/ / ")) == Known()


def test_too_long_a_text_is_said_before_the_start(tmp_path):
    with pytest.raises(UserError, match=r"max_length is 128 tokens, but .* reads at most 64") as caught:
        require_known_sizes(folder(tmp_path, max_position_embeddings=64))
    assert caught.value.where == "model.max_length"
    require_known_sizes(folder(tmp_path, max_position_embeddings=128))
    with pytest.raises(UserError, match="reads at most 512"):
        require_known_sizes(ModelSpec(max_length=513))
