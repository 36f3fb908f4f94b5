"""The loss that trains may be smoothed, weighted, focused, contrasted; the one shown beside baselines never is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from core.evaluation.metrics import log_loss
from core.models.losses import Features, balanced_weights, row_losses, supervised_contrast, training_loss
from core.schema import TrainingSpec

CLASSES = 4
LOGITS = torch.randn(50, CLASSES, generator=torch.Generator().manual_seed(1)) * 3
SINGLE = torch.arange(50) % 4 % 3
MULTI = (torch.rand(50, CLASSES, generator=torch.Generator().manual_seed(2)) > 0.6).float()
SOFT = functional.softmax(torch.randn(50, CLASSES, generator=torch.Generator().manual_seed(3)), dim=-1)


def value(loss, labels, logits=LOGITS, items=None):
    return loss(SimpleNamespace(logits=logits.clone().requires_grad_()), labels, items)


def test_the_loss_of_an_evaluation_is_the_baselines_log_loss():
    weights = balanced_weights(SINGLE.numpy(), CLASSES, "single")
    plain = log_loss(SINGLE.numpy().astype(np.int64), LOGITS.softmax(-1).numpy().astype(np.float32))
    for name in ("cross_entropy", "focal"):
        loss = training_loss(TrainingSpec(label_smoothing=0.2, loss=name), "single", weights)
        with torch.no_grad():
            assert loss(SimpleNamespace(logits=LOGITS), SINGLE).item() == pytest.approx(plain, rel=1e-5)
            # Trainer gives the rows of a step in evaluation too; the mean is of this batch.
            assert loss(SimpleNamespace(logits=LOGITS), SINGLE, 400).item() == pytest.approx(plain, rel=1e-5)
        learned = value(loss, SINGLE)
        assert learned.requires_grad
        assert abs(learned.item() - plain) > 0.05


@pytest.mark.parametrize(
    ("kind", "labels", "given"),
    [
        ("single", SINGLE, TrainingSpec(label_smoothing=0.1)),
        ("single", SINGLE, TrainingSpec(loss="focal")),
        ("multi", MULTI, TrainingSpec(label_smoothing=0.1)),
        ("multi", MULTI, TrainingSpec(loss="focal")),
        ("soft", SOFT, TrainingSpec(label_smoothing=0.1)),
        ("soft", SOFT, TrainingSpec(loss="kl", label_smoothing=0)),
    ],
)
def test_batches_of_an_accumulated_step_add_up_to_its_mean(kind, labels, given):
    """Trainer passes how many numbers the labels of the whole step hold."""
    loss = training_loss(given, kind, None)
    whole = value(loss, labels).item()
    pieces = [value(loss, labels[at : at + 10], LOGITS[at : at + 10], labels.numel()).item() for at in range(0, 50, 10)]
    assert sum(pieces) == pytest.approx(whole, rel=1e-5)


def test_each_loss_is_what_its_name_says():
    smoothed = row_losses(LOGITS, SINGLE, "cross_entropy", 0.1).mean()
    assert smoothed == pytest.approx(functional.cross_entropy(LOGITS, SINGLE, label_smoothing=0.1).item(), rel=1e-5)
    binary = row_losses(LOGITS, MULTI, "bce").mean()
    assert binary == pytest.approx(functional.binary_cross_entropy_with_logits(LOGITS, MULTI).item(), rel=1e-5)
    divergence = functional.kl_div(LOGITS.log_softmax(-1), SOFT, reduction="batchmean")
    assert row_losses(LOGITS, SOFT, "kl").mean() == pytest.approx(divergence.item(), rel=1e-5)
    assert row_losses(LOGITS, SOFT, "cross_entropy").mean() == pytest.approx(
        functional.cross_entropy(LOGITS, SOFT).item(), rel=1e-5
    )


def test_focal_without_focus_is_cross_entropy_and_with_it_looks_at_what_is_wrong():
    plain = row_losses(LOGITS, SINGLE, "cross_entropy")
    assert torch.allclose(row_losses(LOGITS, SINGLE, "focal", gamma=0), plain, atol=1e-5)
    assert torch.allclose(row_losses(LOGITS, MULTI, "focal", gamma=0), row_losses(LOGITS, MULTI, "bce"), atol=1e-5)
    focused = row_losses(LOGITS, SINGLE, "focal", gamma=2) / plain
    sure = LOGITS.softmax(-1).gather(1, SINGLE[:, None])[:, 0]
    assert torch.equal(focused.argsort(), sure.argsort(descending=True))


def test_contrast_is_that_of_the_paper():
    """Equation 2 of arXiv 2004.11362, written out with loops."""
    features = torch.randn(9, 5, generator=torch.Generator().manual_seed(4))
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 3])
    z = functional.normalize(features, dim=-1)
    each = []
    for i in range(9):
        positives = [p for p in range(9) if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        others = sum(torch.exp(z[i] @ z[a] / 0.07) for a in range(9) if a != i)
        each.append(-sum(torch.log(torch.exp(z[i] @ z[p] / 0.07) / others) for p in positives) / len(positives))
    expected = sum(each) / len(each)
    assert supervised_contrast(features, labels, 0.07).item() == pytest.approx(expected.item(), rel=1e-4)
    one_hot = functional.one_hot(labels).float()
    assert supervised_contrast(features, one_hot, 0.07).item() == pytest.approx(expected.item(), rel=1e-4)
    assert supervised_contrast(features, one_hot * 0.9 + 0.025, 0.07).item() == pytest.approx(expected.item(), rel=1e-4)


def test_contrast_of_a_batch_without_a_pair_is_nothing():
    features = torch.randn(3, 5).requires_grad_()
    contrast = supervised_contrast(features, torch.tensor([0, 1, 2]), 0.07)
    contrast.backward()
    assert contrast.item() == 0
    assert torch.isfinite(features.grad).all()


def test_contrast_is_added_with_its_weight():
    output = torch.nn.Linear(6, CLASSES)
    features = Features(output)
    states = torch.randn(50, 6)
    logits = output(states)
    given = TrainingSpec(contrastive_alpha=0.5, contrastive_temperature=0.1, label_smoothing=0)
    total = training_loss(given, "single", None, features)(SimpleNamespace(logits=logits), SINGLE).item()
    expected = functional.cross_entropy(logits, SINGLE) + 0.5 * supervised_contrast(states, SINGLE, 0.1)
    assert total == pytest.approx(expected.item(), rel=1e-5)


def test_rare_classes_weigh_more():
    single = balanced_weights(np.array([0] * 8 + [1] * 2), 2, "single")
    assert single.tolist() == [0.625, 2.5]
    multi = balanced_weights(np.array([[1, 0]] * 8 + [[1, 1]] * 2, dtype=np.float32), 2, "multi")
    assert multi.tolist() == [1, 4]
    soft = balanced_weights(np.array([[0.8, 0.2]] * 10, dtype=np.float32), 2, "soft")
    assert soft.tolist() == pytest.approx([0.625, 2.5])


def least(labels, name, weights, smoothing, shares=None):
    """Probabilities of a model that gives every row the same answer, where it has learned all that it can."""
    logits = torch.zeros(1, len(shares if weights is None else weights), requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200)

    def step():
        optimizer.zero_grad()
        loss = row_losses(logits.expand(len(labels), -1), labels, name, smoothing, weights, shares=shares).mean()
        loss.backward()
        return loss

    optimizer.step(step)
    return torch.sigmoid(logits[0]) if name == "bce" else logits[0].softmax(-1)


def test_smoothing_beside_weights_does_not_make_the_rare_class_the_likeliest():
    """Rows that are all of the common class: a weight of the rare one changes nothing about them."""
    weights = torch.tensor([0.5, 50.0, 0.5])
    single = torch.zeros(20, dtype=torch.int64)
    assert least(single, "cross_entropy", weights, 0.1).tolist() == pytest.approx([0.9333, 0.0333, 0.0333], abs=1e-3)
    shares = functional.one_hot(single, 3).float()
    assert least(shares, "cross_entropy", weights, 0.1).tolist() == pytest.approx([0.9333, 0.0333, 0.0333], abs=1e-3)
    absent = torch.zeros(20, 3)
    assert least(absent, "bce", weights, 0.1).tolist() == pytest.approx([0.05] * 3, abs=1e-3)


def test_of_several_classes_smoothing_leaves_each_as_common_as_it_is():
    """Towards one half, a class of no row would be given to one in twenty."""
    shares = torch.tensor([0.8, 0.1, 0.001])
    labels = (torch.rand(20_000, 3, generator=torch.Generator().manual_seed(1)) < shares).float()
    assert least(labels, "bce", None, 0.1, shares).tolist() == pytest.approx(shares.tolist(), abs=0.01)
    smoothed = training_loss(TrainingSpec(label_smoothing=0.1), "multi", None, None, shares)
    expected = row_losses(LOGITS[:, :3], labels[: len(LOGITS)], "bce", 0.1, shares=shares).mean()
    assert value(smoothed, labels[: len(LOGITS)], LOGITS[:, :3]).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_weight_counts_a_row_several_times():
    weights = torch.tensor([1.0, 3.0])
    labels = torch.tensor([0, 0, 0, 1])
    assert least(labels, "cross_entropy", weights, 0).tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
    both = functional.one_hot(labels, 2).float()
    assert least(both, "bce", weights, 0).tolist() == pytest.approx([0.75, 0.5], abs=1e-3)


@pytest.mark.parametrize("labels", [torch.tensor([0]), torch.tensor([[1.0, 0.0]])])
def test_a_row_that_is_wholly_sure_has_a_finite_slope(labels):
    logits = torch.tensor([[60.0, -60.0]], requires_grad=True)
    row_losses(logits, labels, "focal", gamma=0.5).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_the_loss_of_soft_labels_is_shown_as_it_was_chosen():
    loss = training_loss(TrainingSpec(loss="kl"), "soft", None)
    with torch.no_grad():
        shown = loss(SimpleNamespace(logits=LOGITS), SOFT).item()
    assert shown == pytest.approx(
        functional.kl_div(LOGITS.log_softmax(-1), SOFT, reduction="batchmean").item(), rel=1e-5
    )
