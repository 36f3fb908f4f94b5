"""What is known of the pretrained model that a run started from, without asking anyone."""

from pathlib import Path

import yaml
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.repocard import metadata_load

from core.files import folder_given
from core.model_facts import ModelFacts
from core.models.source import packaged_encoder
from core.schema import PACKAGED_ENCODER

PACKAGED_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
LICENSE_KEYS = ("license", "license_name", "license_link")


def hub_id(facts: ModelFacts) -> str | None:
    """The base's id on the hub: the packaged encoder's, or of a model that came from there; None for a local one."""
    if facts.base == PACKAGED_ENCODER:
        return PACKAGED_HUB_ID
    return facts.base if _cached(facts, "config.json") else None


def shown_base(facts: ModelFacts) -> str:
    """The base's name for other people: the hub id, or a folder's name without where it lies."""
    return hub_id(facts) or Path(facts.base).name


def base_license(facts: ModelFacts) -> dict[str, str]:
    """license (with license_name, license_link where given) as the base's own README.md states it; {} if unknown."""
    if facts.base == PACKAGED_ENCODER:
        readme: Path | None = packaged_encoder() / "README.md"
    elif folder := folder_given(facts.base):
        readme = folder / "README.md"
    else:
        readme = _cached(facts, "README.md")
    if readme is None or not readme.is_file():
        return {}
    try:
        stated = metadata_load(readme) or {}
    except (ValueError, yaml.YAMLError):
        return {}  # a card that cannot be read states nothing
    found = {key: stated[key] for key in LICENSE_KEYS if isinstance(stated.get(key), str)}
    return found if "license" in found else {}


def _cached(facts: ModelFacts, name: str) -> Path | None:
    if folder_given(facts.base) is not None:
        return None
    try:
        found = try_to_load_from_cache(facts.base, name, revision=facts.base_revision)
    except HFValidationError:
        return None  # a path, of a folder that is gone
    return Path(found) if isinstance(found, str) else None
