"""Frozen lower layers run once: what they say of each token is kept, and the layers above train on that.

It is exact because frozen parts stay in evaluation mode (core.models.freezing): without dropout their output for a row
never changes, but for the padding's rounding. The model itself stays whole, so checkpoints and exports know nothing of
this: while a cache is in use, its frozen parts pass on the kept states in place of computing them.

Limits: methods freeze and head only; nothing is kept across runs or resumes. Worker only: imports torch.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn
from transformers import PreTrainedModel

from core.errors import UserError
from core.models.architecture import embeddings, encoder_layers
from core.models.device import evaluation_format, gpu_is_full
from core.models.layers import CachePlan, plan_states
from core.models.tokens import STATES, TokenRows, model_inputs
from core.schema import Precision, TrainingSpec

BATCH_TOKENS = {"cpu": 4096, "cuda": 32_768}
"""Tokens at once when the cache is filled, padding counted; halved where memory does not suffice. On a processor more
is slower, since what passes between layers no longer stays in its caches."""
FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
ALIKE = 1e-3
"""How far the logits of a trial may differ, relative to the largest, for the layers to count as skippable."""


@dataclass(frozen=True)
class CachedRows:
    """Token rows with the states of their tokens; an indexable data set as transformers' Trainer takes it.

    states: [all tokens, hidden], the rows one after the other as in TokenRows.flat.
    """

    rows: TokenRows
    states: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        start, end = self.rows.offsets[index], self.rows.offsets[index + 1]
        return {**self.rows[index], STATES: self.states[start:end]}


def plan_cache(
    model: PreTrainedModel, frozen: int | None, training: TrainingSpec, parts: Mapping[str, TokenRows], folder: Path
) -> CachePlan:
    """Decide from what is frozen, how often the rows are read, and the room in memory and in `folder`."""
    return plan_states(
        len(encoder_layers(model)),
        model.config.hidden_size,
        frozen,
        training,
        {name: int(rows.offsets[-1]) for name, rows in parts.items()},
        len(parts["train"]),
        psutil.virtual_memory().available,
        shutil.disk_usage(folder).free,
    )


def fill_cache(
    model: PreTrainedModel,
    frozen: int,
    training: TrainingSpec,
    parts: Mapping[str, TokenRows],
    pad_token_id: int,
    folder: Path | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, CachedRows]:
    """Run the lowest `frozen` layers over all rows; with a folder the states lie there, else in memory.

    `on_progress` gets (rows done, rows in all). Where a number is too large for float16, bfloat16 takes its place, and
    where a GPU computed in float16, float32. Raises UserError where a number is not finite there either.
    """
    first = FORMATS[training.cache_format]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    larger = torch.bfloat16 if first == torch.float16 else first
    in_float16 = evaluation_format(model.device, training.precision).fast_dtype == torch.float16
    tries: tuple[tuple[torch.dtype, Precision], ...] = (
        (first, training.precision),
        (larger, "float32" if in_float16 else training.precision),
    )
    for kind, precision in dict.fromkeys(tries):
        kept = {
            name: CachedRows(rows, _room(folder, name, (int(rows.offsets[-1]), model.config.hidden_size), kind))
            for name, rows in parts.items()
        }
        if _fill(model, frozen, kept, pad_token_id, precision, on_progress):
            return kept
    raise UserError(
        "What the frozen layers say of a row is not a finite number, so nothing can be learned from it.",
        "model.source",
        "Choose another model: its weights are damaged, or too large for this computer's arithmetic.",
    )


@contextmanager
def skipped_prefix(model: PreTrainedModel, frozen: int) -> Iterator[None]:
    """Within, the model takes STATES beside its inputs, and its embeddings and lowest `frozen` layers give way."""
    given: list[torch.Tensor] = []

    def take(_module: nn.Module, args: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given[:] = [inputs[STATES].to(model.device, model.dtype)]
        return args, {name: value for name, value in inputs.items() if name != STATES}

    lowest = embeddings(model)
    layers = encoder_layers(model)[:frozen]
    hook = model.register_forward_pre_hook(take, with_kwargs=True)
    lowest.forward = lambda *_args, **_kwargs: given[0]
    for layer in layers:
        layer.forward = _passed_on
    try:
        yield
    finally:
        hook.remove()
        for module in (lowest, *layers):
            del module.forward


@torch.inference_mode()
def can_be_skipped(model: PreTrainedModel, frozen: int, rows: TokenRows, pad_token_id: int) -> bool:
    """Whether the model says the same of some rows when its prefix is skipped: not every architecture is built so."""
    model.eval()
    batch = model_inputs(rows, np.arange(min(4, len(rows))), pad_token_id, model.device)
    plain = model(**batch).logits
    states: Any = _prefix(model, frozen, batch)
    if not isinstance(states, torch.Tensor) or states.shape[:2] != batch["input_ids"].shape:
        return False  # DeBERTa's and MPNet's layers give more than states
    try:
        with skipped_prefix(model, frozen):
            skipped = model(**batch, **{STATES: states}).logits
    except RuntimeError as error:
        if gpu_is_full(error):
            raise
        return False  # ELECTRA's small body widens what its embeddings say
    return bool((plain - skipped).abs().max() <= ALIKE * plain.abs().max())


class _PrefixDoneError(Exception):
    """Ends a forward pass where the frozen layers end."""


def _prefix(model: PreTrainedModel, frozen: int, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the last frozen layer says: [batch, length, hidden]."""
    found: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        found.append(output)
        raise _PrefixDoneError

    hook = encoder_layers(model)[frozen - 1].register_forward_hook(keep)
    try:
        model(**batch)
    except _PrefixDoneError:
        pass
    finally:
        hook.remove()
    return found[0]


@torch.inference_mode()
def _fill(
    model: PreTrainedModel,
    frozen: int,
    kept: Mapping[str, CachedRows],
    pad_token_id: int,
    precision: Precision,
    on_progress: Callable[[int, int], None] | None,
) -> bool:
    """False where a state is too large for the format."""
    model.eval()
    done, rows_in_all = 0, sum(len(cached) for cached in kept.values())
    budget = BATCH_TOKENS.get(model.device.type, BATCH_TOKENS["cpu"])
    for cached in kept.values():
        order = cached.rows.shortest_first()[::-1]
        start = 0
        while start < len(order):
            # The longest row of the batch comes first, so that its length is the batch's.
            chosen = order[start : start + max(1, budget // max(1, int(cached.rows.lengths[order[start]])))]
            try:
                batch = model_inputs(cached.rows, chosen, pad_token_id, model.device)
                with evaluation_format(model.device, precision):
                    states = _prefix(model, frozen, batch).to(cached.states.dtype).cpu()
            except RuntimeError as error:
                if len(chosen) == 1 or not gpu_is_full(error):
                    raise
                budget //= 2
                continue
            if not bool(torch.isfinite(states).all()):
                return False
            for row, found in zip(chosen, states, strict=True):
                first, end = cached.rows.offsets[row], cached.rows.offsets[row + 1]
                cached.states[first:end] = found[: end - first]
            start += len(chosen)
            done += len(chosen)
            if on_progress is not None:
                on_progress(done, rows_in_all)
    return True


def _room(folder: Path | None, name: str, shape: tuple[int, int], kind: torch.dtype) -> torch.Tensor:
    if folder is None:
        return torch.empty(shape, dtype=kind)
    file = folder / f"{name}.{str(kind).removeprefix('torch.')}"
    size = max(1, shape[0] * shape[1])
    return torch.from_file(str(file), shared=True, size=size, dtype=kind)[: shape[0] * shape[1]].view(shape)


def _passed_on(states: torch.Tensor, *_args: Any, **_kwargs: Any) -> torch.Tensor:
    return states
