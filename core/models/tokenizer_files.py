"""A model's tokenizer for the page: its few small files and no weights, fetched from the hub where it must be.

Light: no torch, no transformers.
"""

import functools
from pathlib import Path

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from core.chat_templates import ModelTokenizer, read_model_tokenizer
from core.errors import UserError
from core.files import folder_given
from core.models.source import HUB_TIMEOUT_SECONDS, asking_for, check_source, packaged_encoder
from core.schema import PACKAGED_ENCODER, ModelSpec

LAST = "tokenizer.json"
FILES = ("special_tokens_map.json", "chat_template.jinja", "tokenizer_config.json", LAST)
"""In the order in which they are fetched: where the last one is there, the others are too, or the model has none."""


def tokenizer_of(model: ModelSpec) -> ModelTokenizer:
    """The model's tokenizer and chat template, read once for each state of its files.

    Raises UserError where the model cannot be had or its tokenizer cannot be read.
    """
    folder = tokenizer_folder(model)
    return _read(folder, tuple((folder / name).stat().st_mtime_ns for name in FILES if (folder / name).is_file()))


def tokenizer_folder(model: ModelSpec) -> Path:
    """A folder with the tokenizer's files, fetched unless they are on this computer. Raises UserError."""
    if model.source == PACKAGED_ENCODER or folder_given(model.source) is not None:
        return Path(check_source(model).location)
    found = _cached(model)
    if found is not None:
        return found
    check_source(model)  # says what is wrong where the hub does not have it, or does not answer
    with asking_for(model):
        return _fetched(model)


def local_tokenizer_folder(model: ModelSpec) -> Path | None:
    """A folder on this computer with the tokenizer's files; None where they would have to be fetched."""
    folder = packaged_encoder() if model.source == PACKAGED_ENCODER else folder_given(model.source)
    if folder is not None:
        return folder if (folder / LAST).is_file() else None
    return _cached(model)


def _cached(model: ModelSpec) -> Path | None:
    try:
        found = try_to_load_from_cache(model.source, LAST, revision=model.revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _fetched(model: ModelSpec) -> Path:
    folder = None
    for name in FILES:
        try:
            found = hf_hub_download(
                model.source, name, revision=model.revision, etag_timeout=HUB_TIMEOUT_SECONDS
            )  # fmt: skip
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            continue
        folder = Path(found).parent
    if folder is None:
        raise UserError(
            f"{model.source} holds no tokenizer ({LAST}).", "model.source", "Choose a model with a fast tokenizer."
        )
    return folder


@functools.lru_cache(maxsize=4)
def _read(folder: Path, _changed: tuple[int, ...]) -> ModelTokenizer:
    return read_model_tokenizer(folder)
