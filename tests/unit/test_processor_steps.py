"""Training steps on a processor: the same arithmetic as PyTorch's, only while training, and nothing left behind."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from core.models import processor_steps
from core.models.freezing import apply_method
from core.models.processor_steps import QuickDropout, attention_gradients, quick_steps
from core.schema import ModelSpec
from tests.small_encoders import CONFIGS, small, without_dropout

PROCESSOR = torch.device("cpu")
ROWS, HEADS, LENGTH, SIZE = 5, 3, 20, 16
SEEN = torch.ones(ROWS, 1, LENGTH, LENGTH, dtype=torch.bool)
SEEN[0, ..., -4:] = False
SEEN[3, :, 2] = False
BIAS = torch.randn(1, HEADS, LENGTH, LENGTH, generator=torch.Generator().manual_seed(3))
MASKS = {"none": None, "padding and a token that sees none": SEEN, "added": BIAS, "one for all": SEEN[0, 0]}


def inputs(dtype, length=LENGTH):
    """Query, key, value and the gradient of what attention says, laid out as encoders have them."""
    torch.manual_seed(0)
    shape = (ROWS, length, HEADS, SIZE)
    *tensors, gradient = (torch.randn(shape).to(dtype).transpose(1, 2) for _ in range(4))
    return [tensor.detach().requires_grad_() for tensor in tensors], gradient


def gradients(dtype, mask=None, **more):
    tensors, gradient = inputs(dtype)
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(dtype)
    scaled_dot_product_attention(*tensors, attn_mask=mask, **more).backward(gradient)
    return [tensor.grad for tensor in tensors]


def distance(found, exact):
    return max(float((one.double() - other).norm() / other.norm()) for one, other in zip(found, exact, strict=True))


@pytest.mark.parametrize("at_once", [1, 2 * LENGTH**2, 4 * HEADS * LENGTH**2, 10**9])
@pytest.mark.parametrize(
    ("mask", "more"),
    [(name, {}) for name in MASKS] + [("none", {"is_causal": True}), ("none", {"scale": 0.7})],
)
def test_gradients_are_those_of_the_definition(monkeypatch, mask, more, at_once):
    monkeypatch.setattr(processor_steps, "SCORES_AT_ONCE", at_once)
    exact = gradients(torch.float64, MASKS[mask], **more)
    of_pytorch = gradients(torch.bfloat16, MASKS[mask], **more)
    with quick_steps(nn.Identity(), PROCESSOR, bfloat16=True):
        in_float32 = gradients(torch.float32, MASKS[mask], **more)
        in_bfloat16 = gradients(torch.bfloat16, MASKS[mask], **more)
    assert distance(in_float32, exact) < 1e-6
    assert distance(in_bfloat16, exact) < 1.2 * distance(of_pytorch, exact)
    assert [one.dtype for one in in_bfloat16] == [torch.bfloat16] * 3


def test_each_gradient_lies_in_memory_as_what_it_is_of():
    tensors, gradient = inputs(torch.float32)
    attended, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*tensors)
    for tensor, found in zip(tensors, attention_gradients(gradient, *tensors, attended, sums, 0.0, False), strict=True):
        assert found.stride() == tensor.stride()


def test_pytorchs_own_attention_is_back_afterwards(monkeypatch):
    calls = []

    def counted(*given, **named):
        calls.append(given)
        return attention_gradients(*given, **named)

    monkeypatch.setattr(processor_steps, "attention_gradients", counted)
    before = gradients(torch.bfloat16, SEEN)
    with quick_steps(nn.Identity(), PROCESSOR, bfloat16=True):
        gradients(torch.bfloat16, SEEN)
    assert len(calls) == 1
    with pytest.raises(KeyError), quick_steps(nn.Identity(), PROCESSOR, bfloat16=True):
        raise KeyError
    with quick_steps(nn.Identity(), PROCESSOR, bfloat16=False):
        gradients(torch.float32, SEEN)
    after = gradients(torch.bfloat16, SEEN)
    assert len(calls) == 1
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", CONFIGS)
def test_without_dropout_an_encoder_learns_the_same(kind):
    model = small(kind).train()
    without_dropout(model)
    tokens = torch.randint(5, 60, (6, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(tokens)
    mask[2, -5:] = 0

    def learned(*, ours):
        own = copy.deepcopy(model)
        if ours:
            with quick_steps(own, PROCESSOR, bfloat16=True):
                own(input_ids=tokens, attention_mask=mask).logits.square().sum().backward()
        else:
            own(input_ids=tokens, attention_mask=mask).logits.square().sum().backward()
        return torch.cat([weights.grad.flatten() for weights in own.parameters() if weights.grad is not None])

    assert torch.allclose(learned(ours=True), learned(ours=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_sum(p, dtype):
    torch.manual_seed(4)
    numbers = torch.ones(999, 1001, dtype=dtype, requires_grad=True)
    dropped = QuickDropout(p)(numbers)
    share = (dropped == 0).double().mean()
    # Six standard errors of so many draws.
    assert abs(float(share) - p) < 6 * math.sqrt(p * (1 - p) / numbers.numel())
    assert float(dropped.detach().double().mean()) == pytest.approx(1, abs=0.02)
    assert dropped.dtype == dtype
    dropped.sum().backward()
    assert torch.equal(numbers.grad, dropped.detach())


def test_dropout_draws_anew_and_from_the_generator():
    numbers, dropout = torch.ones(33, 7), QuickDropout(0.3)
    torch.manual_seed(1)
    first, second = dropout(numbers), dropout(numbers)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(first, dropout(numbers))
    assert torch.equal(dropout.eval()(numbers), numbers)


def test_neighbours_are_dropped_independently():
    """Four numbers share a draw of 64 bits."""
    torch.manual_seed(2)
    fallen = (QuickDropout(0.5)(torch.ones(100_000, 4)) == 0).double()
    together = torch.corrcoef(fallen.T) - torch.eye(4)
    assert float(together.abs().max()) < 6 / math.sqrt(len(fallen))


def test_dropout_keeps_a_byte_a_number():
    kept = []
    numbers = torch.ones(10, 10, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        QuickDropout(0.5)(numbers)
    assert sum(tensor.nbytes for tensor in kept if tensor.numel() > 1) == 100


def test_a_models_dropouts_come_back_as_they_are_then():
    model = nn.Sequential(nn.Dropout(0.1), nn.ModuleDict({"within": nn.Dropout(0.2)}), nn.Dropout(0.0), nn.Dropout(1.0))
    own, names = list(model.modules()), list(model.state_dict())
    model[1].eval()
    with quick_steps(model, PROCESSOR, bfloat16=False):
        assert [type(model[0]), type(model[1]["within"])] == [QuickDropout, QuickDropout]
        assert [model[0].training, model[1]["within"].training] == [True, False]
        assert [type(model[2]), type(model[3])] == [nn.Dropout, nn.Dropout]
        model.eval()
    assert list(model.modules()) == own
    assert list(model.state_dict()) == names
    assert not any(module.training for module in model.modules())


def test_an_adapters_dropout_too():
    spec = {"method": "lora", "lora": {"rank": 2, "dropout": 0.1, "target_modules": []}}
    model = apply_method(small("bert"), ModelSpec.model_validate(spec))
    with quick_steps(model, PROCESSOR, bfloat16=False):
        assert not any(type(module) is nn.Dropout and module.p > 0 for module in model.modules())
        assert any("lora_dropout" in name for name, module in model.named_modules() if type(module) is QuickDropout)
    assert not any(type(module) is QuickDropout for module in model.modules())


def test_on_another_device_nothing_changes():
    model = nn.Sequential(nn.Dropout(0.1))
    with quick_steps(model, torch.device("cuda"), bfloat16=True):
        assert type(model[0]) is nn.Dropout
