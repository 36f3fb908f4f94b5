"""A model on the hub that is to be opened: what it holds at which commit, and those files fetched. Light: no torch.

Weights are safetensors alone: pickled ones (.bin, .pt) and code (.py) are never fetched, whatever a repository holds.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils.tqdm import tqdm

from core.errors import UserError
from core.export_formats import Tell
from core.hub_fetching import fetching, hub_address

ENDINGS = (".json", ".jinja", ".txt", ".model", ".safetensors")
"""Of the files that are taken: data, and no other."""
_PATTERNS = [f"*{ending}" for ending in ENDINGS]
TIMEOUT_SECONDS = 20.0
_AWAY = "Check the spelling and the network, then open it again."


@dataclass(frozen=True)
class HubModel:
    repository: str
    commit: str
    """What the branch or tag that was asked for stood for when it was looked up; it is what is fetched."""
    files: tuple[tuple[str, int], ...]
    """Those that are fetched: names with `/`, and bytes."""

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.files}


def look_up(repository: str, revision: str | None, token: str | None) -> HubModel:
    """Ask the hub what a repository holds. Raises UserError; OutOfReachError where the hub does not answer."""
    api = HfApi(endpoint=hub_address(), library_name="tunedesk", token=token or False)
    with fetching(repository, "model", "model", _AWAY):
        info = api.model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    wanted = tuple((name, sizes[name]) for name in sorted(sizes) if name.endswith(ENDINGS))
    return HubModel(repository, info.sha or "", wanted)


def fetch(model: HubModel, to: Path, token: str | None, tell: Tell) -> None:
    """Write the files of the looked-up commit to the folder `to`. Raises UserError where one does not arrive."""
    _require_room(model, to)
    with fetching(model.repository, "model", "model", _AWAY):
        snapshot_download(
            model.repository,
            revision=model.commit,
            allow_patterns=_PATTERNS,
            local_dir=to,
            endpoint=hub_address(),
            token=token or False,
            library_name="tunedesk",
            tqdm_class=_counting(model.bytes, tell),
        )
    shutil.rmtree(to / ".cache", ignore_errors=True)


def cached(repository: str, revision: str | None) -> Path | None:
    """The folder of a copy that the hub's client keeps, whole."""
    try:
        found = snapshot_download(repository, revision=revision, allow_patterns=_PATTERNS, local_files_only=True)
    except (LocalEntryNotFoundError, OSError):
        return None
    return Path(found)


def _require_room(model: HubModel, to: Path) -> None:
    free = shutil.disk_usage(to).free
    if model.bytes > free:
        raise UserError(
            f"{model.repository} takes {model.bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free.",
            str(to),
            "Free some space, or choose another workspace with --workspace DIR.",
        )


def _counting(total: int, tell: Tell) -> type[Any]:
    """What the client takes for a progress bar: it draws nothing, and tells the bytes that are there."""

    class Counted(tqdm):
        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more | {"disable": True})
            self.of_bytes, self.there = more.get("unit") == "B", 0

        def update(self, n: float | None = 1) -> None:
            self.there += int(n or 0)
            if self.of_bytes:
                tell(min(self.there, total), total, "fetching")

    return Counted
