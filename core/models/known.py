"""What is known of a pretrained model before it is loaded: from the presets, or from its config.json on this computer.

Light: no torch, and the hub is never asked. Where nothing is known, the worker finds out when it loads the model.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from core.errors import UserError
from core.files import folder_given
from core.models.sizes import Sizes, sizes_of
from core.models.source import packaged_encoder
from core.presets import load_presets
from core.schema import PACKAGED_ENCODER, ModelSpec

LAYER_NAMES = ("num_hidden_layers", "n_layers", "num_layers")
WIDTH_NAMES = ("hidden_size", "dim", "d_model")
"""What architectures call these numbers in config.json."""


@dataclass(frozen=True)
class Known:
    """None where it is not known."""

    layers: int | None = None
    hidden_size: int | None = None
    longest: int | None = None
    """Most tokens of a text."""
    sizes: Sizes | None = None


BEHIND_PADDING = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "roberta-prelayernorm",
    "data2vec-text",
    "ibert",
    "xmod",
    "luke",
)
"""Kinds of model whose positions are counted from their padding token's number on."""


def known_of(model: ModelSpec) -> Known:
    """From a preset with the same model, else from config.json in a folder or in the hub's cache."""
    if model.revision is None and model.source in _of_presets():
        return _of_presets()[model.source]
    config = local_config(model)
    if config is None:
        return Known()
    text = config.get("text_config", config)
    return Known(_first(text, LAYER_NAMES), _first(text, WIDTH_NAMES), longest_text(text), sizes_of(text))


def longest_text(config: Mapping[str, Any]) -> int | None:
    """Most tokens of a text by a model's config.json; None where that says nothing of it."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int):
        return None
    # Their first position stands behind that of the padding.
    unused = int(config.get("pad_token_id") or 0) + 1 if config.get("model_type") in BEHIND_PADDING else 0
    return positions - unused


def require_length(spec: ModelSpec, longest: int) -> None:
    """Raises UserError where the model reads fewer tokens than `max_length`."""
    if spec.max_length > longest:
        raise UserError(
            f"max_length is {spec.max_length} tokens, but {spec.source} reads at most {longest}.",
            "model.max_length",
            f"Set it to {longest} or less, or choose a model that reads more.",
        )


def require_layers(spec: ModelSpec, layers: int) -> None:
    """Raises UserError where more layers are to be frozen than the model has."""
    if spec.method == "freeze" and not spec.choose_frozen_layers and spec.frozen_layers > layers:
        raise UserError(
            f"frozen_layers is {spec.frozen_layers}, but {spec.source} has {layers} layers.",
            "model.frozen_layers",
            f"Choose 0 to {layers}; to train only the head choose the method head.",
        )


def require_known_sizes(spec: ModelSpec) -> None:
    """`require_length` and `require_layers` before the model is loaded, as far as its sizes are known."""
    known = known_of(spec)
    if known.longest is not None:
        require_length(spec, known.longest)
    if known.layers is not None:
        require_layers(spec, known.layers)


def local_config(model: ModelSpec) -> dict[str, Any] | None:
    """The model's config.json where it is on this computer and can be read, else None."""
    path = _config_path(model)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or damaged: looking for the model says so
        return None
    return content if isinstance(content, dict) else None


def _config_path(model: ModelSpec) -> Path | None:
    if model.source == PACKAGED_ENCODER:
        return packaged_encoder() / "config.json"
    folder = folder_given(model.source)
    if folder is not None:
        return folder / "config.json"
    try:
        found = try_to_load_from_cache(model.source, "config.json", revision=model.revision)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


@lru_cache(maxsize=1)
def _of_presets() -> dict[str, Known]:
    found = {}
    for preset in load_presets().values():
        sizes = sizes_of(preset.config)
        found[preset.model.source] = Known(
            sizes.layers if sizes else None, sizes.hidden_size if sizes else None, preset.longest, sizes
        )
    return found


def _first(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """The first of these that is a positive whole number."""
    return next((config[name] for name in names if isinstance(config.get(name), int) and config[name] > 0), None)
