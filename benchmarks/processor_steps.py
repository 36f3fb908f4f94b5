"""A training step on a processor with PyTorch's own kernels and with ours (core/models/processor_steps.py).

    python benchmarks/processor_steps.py [LENGTH ...]

The packaged encoder in full with 77 classes, batches of 32 rows of LENGTH tokens, three of them padding in one row, in
bfloat16 where the processor multiplies it, else in float32. Steps of both sides take turns; printed are the medians of
the same number of steps each, and how far the gradients lie from those in float64, without dropout.
"""

import contextlib
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402
from core.models.processor_steps import quick_steps  # noqa: E402
from core.models.source import packaged_encoder  # noqa: E402
from core.training.backends import processor_has_bfloat16  # noqa: E402

ROWS, CLASSES, STEPS = 32, 77, 8
LENGTHS = (16, 32, 64, 128, 256, 512)
PROCESSOR = torch.device("cpu")


def main(lengths: list[int]) -> None:
    bfloat16 = processor_has_bfloat16()
    print(heading("torch", "transformers"))
    print(f"{ROWS} rows, {'bfloat16' if bfloat16 else 'float32'}, {torch.get_num_threads()} threads")
    print("tokens a row   PyTorch's own          ours   times faster   gradients off, PyTorch's own and ours")
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(
        packaged_encoder(), num_labels=CLASSES, attention_probs_dropout_prob=0.0, dtype=torch.float32
    ).train()
    for length in lengths or LENGTHS:
        own, ours = _steps(model, length, bfloat16)
        off = _distances(model, length, bfloat16)
        print(
            f"{length:12}   {own * 1000:10.0f} ms {ours * 1000:10.0f} ms {own / ours:14.2f}   "
            f"{off[0]:.2%} and {off[1]:.2%}",
            flush=True,
        )


def _steps(model: PreTrainedModel, length: int, bfloat16: bool) -> tuple[float, float]:
    """Median seconds of a step, forward, back and AdamW's: PyTorch's own kernels and ours."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * (STEPS + 1)):
        with _sides(model, ours=bool(turn % 2), bfloat16=bfloat16):
            began = time.perf_counter()
            _back(model, length, bfloat16)
            optimizer.step()
            optimizer.zero_grad()
            seconds[bool(turn % 2)].append(time.perf_counter() - began)
    own, ours = (float(torch.tensor(seconds[side][1:]).median()) for side in (False, True))
    return own, ours


def _distances(model: PreTrainedModel, length: int, bfloat16: bool) -> list[float]:
    """Of both sides' gradients from float64's, of all parameters together, as a share of their norm."""
    model.eval()  # without dropout; gradients flow all the same
    _back(model.double(), min(length, 64), bfloat16=False)
    exact = _taken(model)
    model.float()
    found = []
    for ours in (False, True):
        with _sides(model, ours=ours, bfloat16=bfloat16):
            _back(model, min(length, 64), bfloat16)
        found.append(float((_taken(model) - exact).norm() / exact.norm()))
    model.train()
    return found


def _sides(model: PreTrainedModel, *, ours: bool, bfloat16: bool) -> contextlib.AbstractContextManager[None]:
    return quick_steps(model, PROCESSOR, bfloat16=bfloat16) if ours else contextlib.nullcontext()


def _back(model: PreTrainedModel, length: int, bfloat16: bool) -> None:
    torch.manual_seed(2)
    tokens = torch.randint(1000, 20000, (ROWS, length))
    mask = torch.ones_like(tokens)
    mask[0, -3:] = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = model(input_ids=tokens, attention_mask=mask).logits
    torch.nn.functional.cross_entropy(logits.float(), torch.arange(ROWS) % CLASSES).backward()


def _taken(model: PreTrainedModel) -> torch.Tensor:
    gradients = torch.cat(
        [parameter.grad.flatten().double() for parameter in model.parameters() if parameter.grad is not None]
    )
    model.zero_grad()
    return gradients


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
