"""Memory of a language model's loss: logits of every position against those of the answer's tokens alone.

python benchmarks/answer_logits.py [--batch 8] [--length 512] [--vocabulary 128256] [--answer 4]

A Llama with a narrow body (2 layers of 256) and the vocabulary of Llama 3, so that nearly all of the memory of a step
is the loss's. Each side is a process of its own that makes one step, forward and backward, on the same rows, each of
which ends with an answer. On a GPU (bfloat16) the peak is what torch gave out at most, on a processor (float32) what
the operating system says of the process, and in both cases what was held before the step is taken off.

all positions: `model(input_ids, labels).loss`, as transformers computes it. chunked: Unsloth's way, which projects all
positions too, but an eighth of them at a time, and again on the way back; its kernels need a GPU, so the arithmetic is
plain torch here. answers alone: core/training/answer_loss.py, what a run does.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

SIDES = ("all positions", "chunked", "answers alone")
CHUNKS = 8
BODY = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2}  # fmt: skip


def main() -> None:
    from benchmarks.machine import heading

    options = parsed()
    print(heading("torch", "transformers"))
    told = {side: in_process(side, options) for side in SIDES}
    first = next(iter(told.values()))
    print(
        f"{first['device']}, {first['format']}; {options.batch} rows of {options.length} tokens, {options.answer} of "
        f"them with loss; vocabulary {options.vocabulary:,}"
    )
    print(f"{'':14}{'peak of the step':>18}{'loss':>11}{'gradient':>11}")
    for side, found in told.items():
        print(f"{side:14}{found['bytes'] / 1e6:>15,.0f} MB{found['loss']:>11.6f}{found['gradient']:>11.6f}")
    one = options.batch * options.length * options.vocabulary * first["width"]
    print(f"logits of all positions once, {first['format']}: {one / 1e6:,.0f} MB")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=128_256)
    parser.add_argument("--answer", type=int, default=4)
    parser.add_argument("--side", choices=SIDES)
    return parser.parse_args()


def in_process(side: str, options: argparse.Namespace) -> dict[str, Any]:
    given = [f"--{name}={getattr(options, name)}" for name in ("batch", "length", "vocabulary", "answer")]
    words = [sys.executable, __file__, f"--side={side}", *given]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side}: ended with {done.returncode}; was there too little memory?")
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One step of one side, after one on a few short rows, which brings in the libraries' own memory."""
    import torch

    model = narrow_llama(options.vocabulary)
    step(model, options.side, batch_of(2, 16, options.answer, model))
    model.zero_grad()
    batch = batch_of(options.batch, options.length, options.answer, model)
    before, peak = held(), Peak()
    with peak:
        loss = step(model, options.side, batch)
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    gradient = torch.stack([grad.float().norm() for grad in gradients]).norm()
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "processor",
        "format": str(model.dtype).removeprefix("torch."),
        "width": model.dtype.itemsize,
        "bytes": peak.bytes - before,
        "loss": loss,
        "gradient": gradient.item(),
    }


def narrow_llama(vocabulary: int) -> Any:
    """Body and gradients are small, and made before anything is measured."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    cuda = torch.cuda.is_available()
    config = LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=True, **BODY)
    model = LlamaForCausalLM(config).to("cuda" if cuda else "cpu", torch.bfloat16 if cuda else torch.float32)
    # As with an adapter: neither table learns, and their gradients would hide what is measured.
    model.get_input_embeddings().requires_grad_(False)
    return model.train()


def batch_of(rows: int, length: int, answer: int, model: Any) -> tuple[Any, Any, Any]:
    import torch

    random = torch.Generator().manual_seed(1)
    ids = torch.randint(5, model.config.vocab_size, (rows, length), generator=random)
    labels = torch.full_like(ids, -100)
    labels[:, -answer:] = ids[:, -answer:]
    return tuple(values.to(model.device) for values in (ids, torch.ones_like(ids), labels))


def step(model: Any, side: str, batch: tuple[Any, Any, Any]) -> float:
    from core.training.answer_loss import answer_token_loss

    ids, mask, labels = batch
    if side == "answers alone":
        loss = answer_token_loss(model, ids, mask, labels, None)
    elif side == "chunked":
        loss = chunked_loss(model, ids, mask, labels)
    else:
        loss = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
    loss.backward()
    return float(loss.detach())


def chunked_loss(model: Any, ids: Any, mask: Any, labels: Any) -> Any:
    from torch.nn import functional
    from torch.utils.checkpoint import checkpoint

    states = model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    head = model.get_output_embeddings()

    def summed(part: Any, expected: Any) -> Any:
        return functional.cross_entropy(head(part).float(), expected, reduction="sum", ignore_index=-100)

    parts = zip(states[:, :-1].flatten(0, 1).chunk(CHUNKS), labels[:, 1:].flatten().chunk(CHUNKS), strict=True)
    return sum(checkpoint(summed, *part, use_reentrant=False) for part in parts) / (labels[:, 1:] != -100).sum()


def held() -> int:
    """Bytes now: of torch's on the GPU, else of the process."""
    import psutil
    import torch

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss


class Peak:
    """Most that is held within it, in bytes; of a process every hundredth of a second is looked at."""

    def __init__(self) -> None:
        self.bytes = 0
        self.over = threading.Event()

    def __enter__(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self.watch = threading.Thread(target=self._watch, daemon=True)
        self.watch.start()

    def __exit__(self, *_: object) -> None:
        import torch

        self.over.set()
        self.watch.join()
        if torch.cuda.is_available():
            self.bytes = torch.cuda.max_memory_allocated()

    def _watch(self) -> None:
        while not self.over.wait(0.01):
            self.bytes = max(self.bytes, held())


if __name__ == "__main__":
    if any(word.startswith("--side") for word in sys.argv):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        print(json.dumps(measure(parsed())))
    else:
        main()
