"""The whole model in 16 bits: an adapter added to its base's weights, shard by shard, never all of it in memory.

At any time there are in memory the shard being written, the tensor being added to, and the adapter. So a model merges
on a computer that could not load it. Heavy: imports torch, transformers and, for an adapter, peft.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification

from core.errors import UserError
from core.export.base_weights import INDEX, ONE_FILE, Stored, stored_tensors
from core.export.bundle import ADAPTER_CONFIG, CONFIG, copy_tokenizer
from core.export.lora import Adapter, read_adapter
from core.export_formats import Exported, Tell, exported_facts
from core.model_facts import ModelFacts
from core.models.source import download
from core.schema import ModelSpec

SHARD_BYTES = 2_000_000_000
FOUR_BIT_ENDINGS = ("-unsloth-bnb-4bit", "-bnb-4bit")
"""What names of ready-made 4-bit copies have behind the name of the model that they were made of."""
_OUTPUT, _INPUT = "lm_head.weight", "embed_tokens.weight"


def write_merged(model: Path, facts: ModelFacts, place: Path, tell: Tell, shard_bytes: int = SHARD_BYTES) -> Exported:
    """Write the whole model of a run's model folder in 16 bits to the folder `place`.

    Raises UserError where the base cannot be had, or its weights do not have the adapter's names.
    """
    adapter, base, notes = None, model, []
    if (model / ADAPTER_CONFIG).is_file():
        tell(0, 0, "looking for the base model")
        base, said = _base(facts)
        adapter, notes = read_adapter(model), [said] if said else []
    copy_tokenizer(model, place)
    tensors = stored_tensors(base)
    config = _config(base, place, facts, is_merged=adapter is not None)
    if adapter is not None:
        tensors = _with_whole(tensors, adapter, facts, config)
        _require_names(tensors, adapter, facts)
    dtype = _sixteen_bits(tensors)
    shards = list(_shards(tensors, shard_bytes))
    _write_shards(shards, adapter, dtype, place, tell)
    content = config | {"dtype": str(dtype).removeprefix("torch.")}
    (place / CONFIG).write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    for name in ("generation_config.json", "neobert.py"):
        if (base / name).is_file():
            shutil.copyfile(base / name, place / name)
    return Exported(exported_facts(facts, "merged"), "merged", notes=tuple(notes))


def _base(facts: ModelFacts) -> tuple[Path, str]:
    """The folder of the base in 16 bits where it can be had, else in 4; and what is to be said of that."""
    spec = ModelSpec(source=facts.base, revision=facts.base_revision, family=facts.family)
    folder = Path(download(spec))
    quantised = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("quantization_config")
    if not quantised:
        return folder, (
            "It was trained on the base in 4 bits and merged onto its 16-bit weights, as is usual; probabilities "
            "differ a little from those of the adapter on the 4-bit base."
            if facts.is_four_bits
            else ""
        )
    if quantised.get("quant_method") != "bitsandbytes":
        raise UserError(
            f"The base {facts.base} is quantised by {quantised.get('quant_method')}, which cannot be undone here.",
            "format",
            "Take it away as an adapter.",
        )
    for ending in FOUR_BIT_ENDINGS:
        if facts.base.endswith(ending):
            name = facts.base.removesuffix(ending)
            try:
                return Path(download(spec.model_copy(update={"source": name, "revision": None}))), (
                    f"It was trained on {facts.base} and merged onto the 16-bit weights of {name}."
                )
            except UserError:
                break
    return folder, (
        f"The 16-bit weights of {Path(facts.base).name} could not be had, so the adapter was merged onto its 4-bit "
        "weights, brought back to 16 bits: what quantising lost stays lost."
    )


def _config(base: Path, place: Path, facts: ModelFacts, *, is_merged: bool) -> dict[str, Any]:
    """The base's config.json for the merged model, with the run's classes where a head was put on it."""
    content: dict[str, Any] = json.loads((base / CONFIG).read_text(encoding="utf-8"))
    for name in ("quantization_config", "torch_dtype", "_name_or_path"):
        content.pop(name, None)
    if is_merged:
        config = AutoConfig.from_pretrained(base)
        content["tie_word_embeddings"] = bool(config.tie_word_embeddings)
        if facts.task == "classify":
            heads: Any = AutoModelForSequenceClassification._model_mapping
            content["architectures"] = [heads[type(config)].__name__]
            content["id2label"] = dict(enumerate(facts.labels))
            content["label2id"] = {name: number for number, name in enumerate(facts.labels)}
            # A head reads the last token that is no padding, so it has to know which that is.
            content["pad_token_id"] = _pad_token(place)
    if facts.label_kind == "multi":
        # Without it a pipeline takes the classes' probabilities for shares of one.
        content["problem_type"] = "multi_label_classification"
        content["thresholds"] = list(facts.thresholds)
    return content


def _pad_token(place: Path) -> int:
    token = json.loads((place / "tokenizer_config.json").read_text(encoding="utf-8"))["pad_token"]
    number = Tokenizer.from_file(str(place / "tokenizer.json")).token_to_id(token)
    assert number is not None
    return number


def _with_whole(tensors: list[Stored], adapter: Adapter, facts: ModelFacts, config: dict[str, Any]) -> list[Stored]:
    """The base's tensors; those that were trained whole in place of theirs, or behind them where they are new."""
    if facts.task == "classify":
        # A head stands in place of the output layer.
        tensors = [tensor for tensor in tensors if tensor.name != _OUTPUT]
    whole = adapter.whole
    trained = [name for name in whole if name.endswith((_OUTPUT, _INPUT))]
    if facts.task != "classify" and config["tie_word_embeddings"] and trained:
        if len(trained) == 2 and torch.equal(*(whole[name] for name in trained)):
            # Trained as the one tensor that they are.
            whole = {name: values for name, values in whole.items() if not name.endswith(_OUTPUT)}
        else:
            tensors = _untied(tensors, config)
    taken = {tensor.name: tensor for tensor in tensors}
    for name, values in whole.items():
        taken[name] = Stored(name, Path(), tuple(values.shape), values.dtype, partial(torch.clone, values))
    return list(taken.values())


def _untied(tensors: list[Stored], config: dict[str, Any]) -> list[Stored]:
    """Input and output embeddings by themselves, since only one of them was trained."""
    names = {tensor.name for tensor in tensors}
    config["tie_word_embeddings"] = False
    if _OUTPUT in names:
        return tensors
    (shared,) = [tensor for tensor in tensors if tensor.name.endswith(_INPUT)]
    return [*tensors, replace(shared, name=_OUTPUT)]


def _module(name: str, adapter: Adapter) -> str | None:
    """The adapter's module whose weight a tensor is. Bodies that were saved alone lack the `model.` before the name."""
    module = name.removesuffix(".weight")
    return next((found for found in (module, f"model.{module}") if found in adapter.low), None)


def _require_names(tensors: Sequence[Stored], adapter: Adapter, facts: ModelFacts) -> None:
    absent = set(adapter.low) - {_module(tensor.name, adapter) for tensor in tensors}
    if absent:
        raise UserError(
            f"The weights of {Path(facts.base).name} have other names than the adapter's ({min(absent)} is one of "
            f"{len(absent)} that are not among them).",
            "format",
            "Take it away as an adapter.",
        )


def _sixteen_bits(tensors: Sequence[Stored]) -> torch.dtype:
    """The base's own 16-bit format; of wider weights float16, which keeps three more bits of them than bfloat16."""
    return torch.bfloat16 if any(tensor.dtype == torch.bfloat16 for tensor in tensors) else torch.float16


def _shards(tensors: Sequence[Stored], shard_bytes: int) -> Iterator[list[Stored]]:
    shard: list[Stored] = []
    size = 0
    for tensor in tensors:
        if shard and size + 2 * tensor.numbers > shard_bytes:
            yield shard
            shard, size = [], 0
        shard.append(tensor)
        size += 2 * tensor.numbers
    yield shard


def _write_shards(
    shards: Sequence[list[Stored]], adapter: Adapter | None, dtype: torch.dtype, place: Path, tell: Tell
) -> None:
    total, done = sum(len(shard) for shard in shards), 0
    weight_map: dict[str, str] = {}
    size = 0
    for number, shard in enumerate(shards, start=1):
        name = ONE_FILE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        content = {}
        for tensor in shard:
            content[tensor.name] = _sixteen(tensor, adapter, dtype)
            done += 1
            tell(done, total, f"merging, file {number} of {len(shards)}")
        save_file(content, place / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(content, name)
        size += sum(values.nbytes for values in content.values())
        del content
    if len(shards) > 1:
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        (place / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def _sixteen(tensor: Stored, adapter: Adapter | None, dtype: torch.dtype) -> torch.Tensor:
    """A tensor with what its module gains; raises UserError where 16 bits cannot hold it."""
    values = tensor.read()
    module = _module(tensor.name, adapter) if adapter is not None else None
    if adapter is not None and module is not None:
        values = adapter.added(module).add_(values)
    if not values.is_floating_point():
        return values
    rounded = values.to(dtype).contiguous()
    if dtype == torch.float16 and not bool(torch.isfinite(rounded).all()):
        raise UserError(
            f"{tensor.name} holds numbers beyond float16.", "format", "Take the model away as it is, without merging."
        )
    return rounded
