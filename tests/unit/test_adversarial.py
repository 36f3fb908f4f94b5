"""Adversarial training: where embeddings are moved to, what is learned there, and when it is done at all."""

import copy

import pytest
import torch

from core.epochs import is_adversarial
from core.errors import UserError
from core.models.tokens import collate
from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec
from core.spec_files import parse_spec
from core.training.adversarial import Adversary, moved_against
from core.training.trainers import classifier_trainer
from core.workspace import RunFolder
from tests.small_encoders import small, token_rows, tokenizer, without_dropout

DATA, MAPPING = DataSpec(train=TableFile(path="t.csv")), MappingSpec(text=("a",), label="b")


def spec_of(method="full", **training):
    common = {"epochs": 2, "batch_size": 8, "precision": "float32", "learning_rate": 1e-3}
    model = ModelSpec(method=method, frozen_layers=2 if method == "freeze" else 0)
    return RunSpec(data=DATA, mapping=MAPPING, model=model, training=TrainingSpec(**common | training))


def plain(kind):
    """Without dropout."""
    model = small(kind)
    without_dropout(model)
    return model


def trainer_of(folder, spec, model):
    rows = token_rows(40, 0), token_rows(12, 1)
    return classifier_trainer(spec, RunFolder(folder), model, tokenizer(), *rows, [])


# One step


def test_embeddings_go_along_the_gradient_of_the_batch_and_come_back():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(7, 5))
    before, batch = torch.randn(7, 5), torch.randn(7, 5)
    as_it_was = weight.detach().clone()
    weight.grad = before + batch
    with pytest.raises(RuntimeError, match="in the pass"), moved_against(Adversary(weight, 0.3), before):
        moved = weight.detach() - as_it_was
        assert torch.allclose(moved, 0.3 * batch / batch.norm(), atol=1e-6)
        raise RuntimeError("in the pass")
    assert torch.equal(weight.detach(), as_it_was)


def test_without_a_gradient_nothing_is_moved():
    weight = torch.nn.Parameter(torch.ones(3, 2))
    weight.grad = torch.zeros(3, 2)
    with moved_against(Adversary(weight, 1.0), None):
        assert torch.equal(weight.detach(), torch.ones(3, 2))


def test_a_step_has_the_mean_of_the_gradients_here_and_there(tmp_path):
    """Also of two batches added up: each has a direction of its own."""
    distance = 0.5
    model = plain("bert")
    trainer = trainer_of(
        tmp_path, spec_of(adversarial="on", adversarial_distance=distance, label_smoothing=0.0), copy.deepcopy(model)
    )
    batches = [collate([trainer.train_dataset[row] for row in rows], 0) for rows in ((0, 1, 2), (3, 4, 5, 6))]
    losses = [trainer.training_step(trainer.model, batch) for batch in batches]

    def gradients(moved, batch):
        moved.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            moved(**{name: batch[name] for name in ("input_ids", "attention_mask")}).logits, batch["labels"]
        )
        loss.backward()
        return float(loss), {name: parameter.grad.clone() for name, parameter in moved.named_parameters()}

    wanted = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for batch, loss in zip(batches, losses, strict=True):
        here, at = gradients(copy.deepcopy(model), batch)
        assert float(loss) == pytest.approx(here, rel=1e-5)
        moved = copy.deepcopy(model)
        table = moved.get_input_embeddings().weight
        slope = at[next(name for name, parameter in moved.named_parameters() if parameter is table)]
        with torch.no_grad():
            table.add_(distance * slope / slope.norm())
        there, against = gradients(moved, batch)
        assert there > here
        wanted = {name: total + (at[name] + against[name]) / 2 for name, total in wanted.items()}
    for name, parameter in trainer.model.named_parameters():
        assert torch.allclose(parameter.grad, wanted[name], atol=1e-6), name


# A whole training


@pytest.mark.parametrize("kind", ["bert", "modernbert", "neobert"])
def test_it_learns_otherwise_and_evaluates_alike(tmp_path, kind):
    ends = {}
    for word in ("off", "on"):
        trainer = trainer_of(tmp_path / word, spec_of(adversarial=word), plain(kind))
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        ends[word] = before, trainer.state.log_history[0]["loss"], trainer.model.state_dict()
    assert ends["off"][0] == ends["on"][0]
    assert ends["off"][1] == pytest.approx(ends["on"][1], rel=1e-4), "the first batch's loss is told as it is"
    changed = [name for name, one in ends["off"][2].items() if not torch.equal(one, ends["on"][2][name])]
    assert changed


def test_resumed_it_ends_with_the_same_weights(tmp_path):
    """Dropout included, which is drawn twice a step."""
    spec = spec_of(adversarial="on", evaluate_every_steps=3, keep_checkpoints=5, gradient_accumulation=2)
    torch.manual_seed(5)
    whole = trainer_of(tmp_path, spec, small("bert"))
    whole.train()
    torch.manual_seed(6)
    resumed = trainer_of(tmp_path, spec, small("bert"))
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoints" / "checkpoint-3"))
    assert resumed.state.global_step == whole.state.global_step == 6
    for name, weights in whole.model.state_dict().items():
        assert torch.allclose(weights, resumed.model.state_dict()[name], atol=1e-6), name


# When


@pytest.mark.parametrize(
    ("spec", "classes", "found"),
    [
        (spec_of(), 100, False),
        (spec_of(adversarial="on"), 2, True),
        (spec_of(adversarial="auto"), 34, True),
        (spec_of(adversarial="auto"), 33, False),
        (spec_of(adversarial="auto"), 0, False),
        (spec_of("freeze", adversarial="auto"), 34, False),
        (spec_of(adversarial="auto", gradual_unfreezing=True), 34, False),
    ],
)
def test_auto_is_where_they_have_few_rows_and_embeddings_learn(spec, classes, found):
    assert is_adversarial(spec, 5000, classes) is found


@pytest.mark.parametrize(("classes", "found"), [(6, False), (19, False), (20, True)])
def test_auto_is_for_many_classes(classes, found):
    assert is_adversarial(spec_of(adversarial="auto"), 500, classes) is found


@pytest.mark.parametrize(
    "changed",
    [{"model": {"method": "freeze", "frozen_layers": 2}}, {"training": {"gradual_unfreezing": True}}],
)
def test_it_is_refused_where_no_embedding_learns(changed):
    content = spec_of().model_dump(mode="json")
    for part, values in [("training", {"adversarial": "on"}), *changed.items()]:
        content[part] |= values
    with pytest.raises(UserError, match="method full"):
        parse_spec(content, "the test")
