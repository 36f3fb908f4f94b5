"""How much memory a run will take, part by part, before it begins. Light: no torch, and no weights are read.

Memory rises and falls within a step, so the forecast is that of the run's highest moment (core/training/moments.py):
its parts are those of that moment, on rows as long as the longest. An architecture without known sizes has no forecast.
docs/decisions/0011-memory.md has what it was held against.
"""

from dataclasses import dataclass
from typing import Literal

from core.models.parameters import learning_tensors, number_bytes, optimizer_bytes, weight_bytes
from core.models.sizes import Sizes
from core.schema import ADAPTER_METHODS, FOUR_BIT_METHODS, RunSpec
from core.training.activations import FLOAT32, Pass
from core.training.backends import product_bytes, uses_unsloth
from core.training.moments import Moment, moments_of

PartName = Literal["weights", "adapter", "gradients", "optimizer", "activations", "logits", "cache", "framework"]
GRADIENT_BYTES = 4
"""Weights that learn are float32, and so are their gradients."""
CUDA_CONTEXT = 500 * 10**6
"""Bytes that CUDA takes for itself before the first tensor: its context, and the kernels of torch, bitsandbytes and
Triton. Not torch's, so that torch's own figures lack it. 300 to 600 MB by GPU and driver are what people report; not
measured here yet (benchmarks/gpu_memory.py prints it)."""
WORKSPACES = 40 * 2**20
"""Of cuBLAS: 32 MiB on Hopper, 8 MiB on others, beside 1 MiB or 32 MiB of cublasLt (torch/aten/src/ATen/cuda/
CUDABlas.cpp); PyTorch counts the first as its own."""
SPARE_SHARE = {"cuda": 0.05, "cpu": 0.9}
"""Of what comes and goes that the allocator holds and cannot give out. PyTorch's on CUDA: batches differ in length; an
estimate, to be corrected by benchmarks/gpu_memory.py. On a processor glibc's, with what oneDNN keeps prepared: by so
much more than torch had given out do whole runs grow, with batches of many lengths, where some layers or adapters learn
(benchmarks/run_memory.py, MiniLM, 2026-11-22)."""
SPARE_SHARE_WHOLE = 0.45
"""The same on a processor where all layers learn."""
PROCESS = 925 * 10**6
"""Bytes of a worker on the processor once it has imported what an encoder's training takes, before it loads the model
(torch 2.14 built for CUDA, 2026-11-22)."""
PROCESS_GROWS = 125 * 10**6
"""By what it reads data with, imports as it goes and needs to write a checkpoint (benchmarks/run_memory.py)."""
FRAMEWORK = {"cuda": CUDA_CONTEXT + WORKSPACES, "cpu": PROCESS + PROCESS_GROWS}


@dataclass(frozen=True)
class Device:
    """What a run would train on: a GPU, or the computer's own memory."""

    kind: Literal["cuda", "cpu"]
    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Workload:
    """What memory follows from, besides the RunSpec."""

    sizes: Sizes
    classes: int
    tokens: int
    """Of the longest row, cut at max_length."""
    answer_tokens: int
    """With loss, in a row; 0 where a head gives the class."""
    cached_bytes: int
    """What frozen layers say, where it is kept in the device's memory."""
    measured_ratio: float = 1.0
    """Of what runs like it took here to what was forecast (core/training/past_forecasts.py)."""
    used_tokens: int | None = None
    """Of the vocabulary, that occur in the rows: an encoder that learns as a whole trains their embeddings alone.
    None: not known, so that all are counted."""


@dataclass(frozen=True)
class MemoryPart:
    name: PartName
    bytes: int
    words: str
    """What it is, and what it follows from."""


@dataclass(frozen=True)
class MemoryForecast:
    parts: tuple[MemoryPart, ...]
    """At the run's highest moment."""
    words: str = ""
    """Which moment that is, in a sentence."""
    moments: tuple[tuple[str, int], ...] = ()
    """Bytes at each moment that was looked at, by name: step, gradients, evaluation, ..."""

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def forecast_memory(
    spec: RunSpec, workload: Workload, device: Device, *, unsloth: bool | None = None
) -> MemoryForecast:
    """unsloth: whether it trains the model; None: as a worker on this computer would choose."""
    if unsloth is None:
        unsloth = uses_unsloth(spec, device.kind)
    held = _held(spec, workload, device)
    done = pass_of(spec, workload, device, unsloth)
    tensors = learning_tensors(workload.sizes, spec.model, workload.classes, workload.used_tokens)
    gradients = GRADIENT_BYTES * sum(tensor.all for tensor in tensors)
    free = device.free_bytes - sum(part.bytes for part in held)
    moments = moments_of(spec, done, workload.classes, workload.answer_tokens, gradients, free)
    highest = max(moments, key=lambda moment: moment.bytes)
    whole = device.kind == "cpu" and spec.model.method == "full"
    share = 1 + (SPARE_SHARE_WHOLE if whole else SPARE_SHARE[device.kind])
    always = sum(part.bytes for part in held) + FRAMEWORK[device.kind]
    parts = (*held, *_passing(highest), _framework(device, round(share * highest.bytes) - highest.bytes))
    return MemoryForecast(
        _corrected(tuple(part for part in parts if part.bytes), workload.measured_ratio),
        highest.words,
        tuple((moment.name, always + round(share * moment.bytes)) for moment in moments),
    )


def pass_of(spec: RunSpec, workload: Workload, device: Device, unsloth: bool) -> Pass:
    """A training step's, with as many of the longest rows as a batch has."""
    training = spec.training
    rows = training.batch_size
    if training.batch_tokens is not None and spec.model.family == "encoder":
        rows = min(rows, max(1, training.batch_tokens // max(1, workload.tokens)))
    weights = number_bytes(spec.model, device.kind)
    return Pass(
        workload.sizes,
        spec.model,
        rows,
        workload.tokens,
        product_bytes(spec, device.kind),
        weights,
        device.kind == "cuda",
        unsloth,
    )


def _held(spec: RunSpec, workload: Workload, device: Device) -> list[MemoryPart]:
    """From the first step to the last."""
    sizes, model = workload.sizes, spec.model
    weights = weight_bytes(sizes, model, workload.classes, device.kind)
    words = f"{sizes.pretrained / 1e6:,.0f} million numbers of the pretrained model"
    if model.method in FOUR_BIT_METHODS:
        words += ", those of its layers in 4 bits with their scales"
    if model.method == "full" and model.family == "encoder" and workload.used_tokens is not None:
        # What trains is a copy of the rows that are used; the whole table stays in the computer's memory.
        used = min(workload.used_tokens, sizes.vocabulary) * sizes.hidden_size
        weights += 4 * (used - (sizes.token_embeddings if device.kind == "cuda" else 0))
    if away := _embeddings_away(spec, workload, device):
        weights -= away
        words += f"; token embeddings, {away / 1e6:,.0f} MB, wait in main memory"
    tensors = learning_tensors(sizes, model, workload.classes, workload.used_tokens)
    numbers = sum(tensor.all for tensor in tensors)
    averages = optimizer_bytes(tensors, spec.training, device.kind)
    adapter = GRADIENT_BYTES * numbers if model.method in ADAPTER_METHODS else 0
    paged = (
        f" {averages.paged / 1e6:,.0f} MB more are paged: they move to main memory when the GPU is full."
        if averages.paged
        else ""
    )
    return [
        MemoryPart("weights", weights, f"{words}."),
        MemoryPart("adapter", adapter, f"{numbers / 1e6:,.1f} million numbers that LoRA adds, in float32."),
        MemoryPart("optimizer", averages.held, f"Two averages of each number that learns.{paged}"),
        MemoryPart("cache", workload.cached_bytes, "What frozen layers say, computed once."),
    ]


def _passing(moment: Moment) -> list[MemoryPart]:
    return [
        MemoryPart("gradients", moment.gradients, "One for each number that learns, in float32."),
        MemoryPart("activations", moment.activations, moment.activation_words),
        MemoryPart("logits", moment.logits, moment.logit_words),
    ]


def _framework(device: Device, spare: int) -> MemoryPart:
    if device.kind == "cpu":
        words = "The process: Python, torch and other libraries, and what is held in pieces that are too small."
        return MemoryPart("framework", FRAMEWORK[device.kind] + spare, words)
    words = "CUDA's own, room to multiply in, and what PyTorch holds in pieces that are too small."
    return MemoryPart("framework", FRAMEWORK[device.kind] + spare, words)


def _embeddings_away(spec: RunSpec, workload: Workload, device: Device) -> int:
    """Bytes of token embeddings that wait in main memory (core/models/offloading.py)."""
    sizes, model = workload.sizes, spec.model
    if device.kind == "cpu" or not model.embeddings_on_cpu or model.method == "full":
        return 0
    if model.family == "encoder":
        return FLOAT32 * sizes.token_embeddings
    are_output_too = not sizes.output and model.method != "head-on-llm"
    trained = model.lora.train_embeddings and model.method != "head-on-llm"
    return 0 if are_output_too or trained else number_bytes(model, device.kind) * sizes.token_embeddings


def _corrected(parts: tuple[MemoryPart, ...], ratio: float) -> tuple[MemoryPart, ...]:
    """The least exact part, the framework's, takes up by how much earlier runs differed from their forecasts."""
    more = round((ratio - 1) * sum(part.bytes for part in parts))
    if not more:
        return parts
    words = f" Corrected by {100 * (ratio - 1):+.0f} % of the whole, by what earlier runs here took."
    return tuple(
        MemoryPart(part.name, max(0, part.bytes + more), part.words + words) if part.name == "framework" else part
        for part in parts
    )
