"""What frozen layers say is computed once: exact step for step, in memory and on disk, for each architecture."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import core.models.heads as heads
from core.errors import UserError
from core.models import prefix_cache
from core.models.architecture import encoder_layers
from core.models.freezing import apply_method, frozen_layer_count
from core.models.inference import class_logits
from core.models.prefix_cache import CachedRows, can_be_skipped, fill_cache, plan_cache, skipped_prefix
from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec
from core.training.trainers import classifier_trainer
from core.workspace import RunFolder
from tests.small_encoders import CONFIGS, parts, small, tokenizer, without_dropout

EXACT = TrainingSpec(
    epochs=3, batch_size=8, cache_format="float32", precision="float32", optimizer="adamw", learning_rate=1e-3
)


@pytest.mark.parametrize("frozen", [2, 4])
@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_kept_gives_the_same_logits(kind, frozen, tmp_path):
    model = apply_method(small(kind), ModelSpec(method="freeze", frozen_layers=frozen))
    rows = parts()
    assert can_be_skipped(model, frozen, rows["train"], 0)
    kept = fill_cache(model, frozen, EXACT, rows, 0, None)
    plain = class_logits(model, rows["test"], 0, 4)
    with skipped_prefix(model, frozen):
        assert np.allclose(class_logits(model, kept["test"], 0, 4), plain, atol=1e-5)
    # And the model is itself again.
    assert np.allclose(class_logits(model, rows["test"], 0, 4), plain, atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert", "neobert"])
@pytest.mark.parametrize("method", ["freeze", "head"])
def test_training_is_the_same_step_for_step(kind, method, tmp_path):
    """Without dropout in the layers that learn, losses and weights equal those of a run that keeps nothing."""
    spec = _spec(ModelSpec(method=method, frozen_layers=2 if method == "freeze" else 0, classifier_dropout=0))
    outcomes = []
    for name in ("plain", "cached"):
        model = small(kind)
        without_dropout(model)
        model = apply_method(model, spec.model)
        outcomes.append(_trained(spec, model, tmp_path / name, cached=name == "cached"))
    (plain_losses, plain), (cached_losses, cached) = outcomes
    assert len(plain_losses) == 15
    assert cached_losses == pytest.approx(plain_losses, abs=1e-5)
    assert plain.keys() == cached.keys()
    for name, weights in plain.items():
        assert torch.allclose(weights, cached[name], atol=1e-5), name


def test_frozen_layers_have_no_dropout_in_training():
    model = apply_method(small("bert"), ModelSpec(method="freeze", frozen_layers=3))
    model.train()
    assert [layer.training for layer in encoder_layers(model)] == [False, False, False, True]
    assert not model.bert.embeddings.training


def test_states_on_disk_are_those_in_memory(tmp_path):
    model = apply_method(small("bert"), ModelSpec(method="freeze", frozen_layers=2))
    rows = parts()
    for kind in ("float16", "bfloat16", "float32"):
        training = TrainingSpec(cache_format=kind)
        memory = fill_cache(model, 2, training, rows, 0, None)
        disk = fill_cache(model, 2, training, rows, 0, tmp_path / kind)
        for part in rows:
            assert torch.equal(memory[part].states, disk[part].states)
        kept = sum(file.stat().st_size for file in (tmp_path / kind).iterdir())
        assert kept == plan_cache(model, 2, training, rows, tmp_path).bytes


def test_numbers_too_large_for_float16_are_kept_in_bfloat16():
    model = apply_method(small("neobert"), ModelSpec(method="freeze", frozen_layers=2))
    with torch.no_grad():
        model.model.encoder.weight[7] = 1e6
    kept = fill_cache(model, 2, TrainingSpec(), parts(), 0, None)
    assert {cached.states.dtype for cached in kept.values()} == {torch.bfloat16}
    assert torch.isfinite(kept["train"].states).all()


def test_every_row_is_counted_and_a_stop_gets_through():
    model = apply_method(small("bert"), ModelSpec(method="freeze", frozen_layers=2))
    told = []
    fill_cache(model, 2, TrainingSpec(), parts(), 0, None, lambda done, rows: told.append((done, rows)))
    assert told[-1] == (61, 61)

    def stop(done, rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_cache(model, 2, TrainingSpec(), parts(), 0, None, stop)


@pytest.mark.parametrize(
    ("training", "frozen", "place", "words"),
    [
        (TrainingSpec(epochs=5), 2, "memory", "saves about 25 % of each epoch"),
        (TrainingSpec(epochs=5), 0, None, "No layer is frozen"),
        (TrainingSpec(epochs=5), None, None, "No layer is frozen"),
        (TrainingSpec(epochs=5, prefix_cache="off"), 2, None, "switched off"),
        (TrainingSpec(epochs=0.5), 2, None, "would not pay in 0.5 epochs"),
        (TrainingSpec(epochs=5, max_steps=1, batch_size=8), 2, None, "would not pay in 0.2 epochs"),
        (TrainingSpec(epochs=0.5, prefix_cache="memory"), 2, "memory", "in memory"),
        (TrainingSpec(epochs=5, prefix_cache="disk"), 2, "disk", "in the run's folder"),
        (TrainingSpec(epochs=5, prefix_cache="disk", cache_disk_limit=1e-6), 2, None, "no room"),
    ],
)
def test_the_plan_says_why(training, frozen, place, words, tmp_path):
    model = small("bert")
    plan = plan_cache(model, frozen, training, parts(), tmp_path)
    assert plan.place == place
    assert words in plan.words


def test_an_own_head_on_kept_states(tmp_path):
    torch.manual_seed(1)
    body = small("bert").bert
    model = apply_method(
        heads.EncoderWithHead(body, "two-layer", "both", 16, 0.0), ModelSpec(method="head", head="two-layer")
    )
    rows = parts()
    frozen = frozen_layer_count(model, ModelSpec(method="head"))
    assert frozen == 4
    kept = fill_cache(model, frozen, EXACT, rows, 0, None)
    plain = class_logits(model, rows["test"], 0, 4)
    with skipped_prefix(model, frozen):
        assert np.allclose(class_logits(model, kept["test"], 0, 4), plain, atol=1e-5)


def _spec(model):
    return RunSpec(
        data=DataSpec(train=TableFile(path="t.csv")),
        mapping=MappingSpec(text=("a",), label="b"),
        model=model,
        training=EXACT,
    )


def _trained(spec, model, root, *, cached):
    root.mkdir()
    rows = parts()
    read = fill_cache(model, _frozen(model, spec), EXACT, rows, 0, None) if cached else rows
    assert isinstance(read["train"], CachedRows) == cached
    torch.manual_seed(5)
    trainer = classifier_trainer(spec, RunFolder(root), model, tokenizer(), read["train"], read["validation"], [])
    if cached:
        with skipped_prefix(model, _frozen(model, spec)):
            trainer.train()
    else:
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses, model.state_dict()


def _frozen(model, spec):
    return frozen_layer_count(model, spec.model)


@pytest.mark.parametrize(
    ("kept", "computed", "tried"),
    [
        ("float16", torch.float16, [("float16", "auto"), ("bfloat16", "float32")]),
        ("float16", torch.bfloat16, [("float16", "auto"), ("bfloat16", "auto")]),
        ("bfloat16", torch.bfloat16, [("bfloat16", "auto")]),
    ],
)
def test_what_is_tried_before_a_model_is_called_damaged(monkeypatch, kept, computed, tried):
    model, rows, seen = small("bert"), parts(), []

    def fill(_model, _frozen, cached, _pad, precision, _tell):
        seen.append((str(cached["train"].states.dtype).removeprefix("torch."), precision))
        return False

    monkeypatch.setattr(prefix_cache, "_fill", fill)
    monkeypatch.setattr(prefix_cache, "evaluation_format", lambda *_: SimpleNamespace(fast_dtype=computed))
    with pytest.raises(UserError, match="not a finite number"):
        fill_cache(model, 1, TrainingSpec(cache_format=kept), rows, 0, None)
    assert seen == tried
