"""A data set of the hub by its name: what it holds, and its files in the hub's own cache.

Parquet files, as the hub makes them of nearly every public data set; else the tables in its repository. Through
huggingface_hub alone, which imports no torch; scripts of data sets are never run.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from core.data.reading.contents import TABLE_ENDINGS, part_of
from core.errors import UserError
from core.schema import TableFile

PREFIX = "hub:"
"""Before a data set's name where a path could stand as well."""
CONVERTED = "refs/convert/parquet"
"""The revision in which the hub keeps data sets as CONFIG/SPLIT/0000.parquet."""
TIMEOUT_SECONDS = 15
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
Told = Callable[[str], None]


@dataclass(frozen=True)
class HubName:
    """`owner/name`, and which configuration and split of it where those are said."""

    repository: str
    config: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class HubFile:
    name: str
    """Its path in the repository."""
    bytes: int


@dataclass(frozen=True)
class HubData:
    """What a data set holds."""

    repository: str
    revision: str
    """The commit, so that another fetch gives the same rows."""
    configs: Mapping[str, Mapping[str, tuple[HubFile, ...]]]
    """Configuration -> split -> its files."""


def parse_hub_name(text: str) -> HubName:
    """Read `owner/name`, `owner/name:config` or `owner/name:config:split`, also as an address. Raises UserError."""
    cleaned = text.strip().removeprefix(PREFIX)
    cleaned = re.sub(r"^(https?://)?(www\.)?huggingface\.co/datasets/", "", cleaned).strip("/")
    repository, config, split, *rest = [*cleaned.split(":"), "", ""][: max(3, cleaned.count(":") + 1)]
    if rest or not _NAME.fullmatch(repository):
        raise UserError(
            f"'{text.strip()[:100]}' is no name of a data set.",
            "hub data set",
            "Write owner/name as on the hub, e.g. fancyzhx/ag_news; also owner/name:config:split.",
        )
    return HubName(repository, config or None, split or None)


def look_up(name: HubName) -> HubData:
    """Ask the hub what a data set holds. Raises UserError where there is none, or the hub does not answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    with _asking_for(name.repository):
        try:
            info = HfApi().dataset_info(
                name.repository, revision=CONVERTED, files_metadata=True, timeout=TIMEOUT_SECONDS
            )
        except RevisionNotFoundError:
            info = HfApi().dataset_info(name.repository, files_metadata=True, timeout=TIMEOUT_SECONDS)
    files = [HubFile(file.rfilename, file.size or 0) for file in info.siblings or ()]
    configs = _converted(files) or _as_they_lie(files)
    if not configs:
        raise UserError(
            f"The data set {name.repository} holds no tables that can be read.",
            name.repository,
            "Look at its page on the hub; download its files and give the path of one, or of the folder.",
        )
    return HubData(name.repository, info.sha or CONVERTED, configs)


def _converted(files: list[HubFile]) -> dict[str, dict[str, tuple[HubFile, ...]]]:
    """CONFIG/SPLIT/0000.parquet; of very large ones the hub converts a part, called partial-SPLIT."""
    found: dict[str, dict[str, tuple[HubFile, ...]]] = {}
    for file in sorted(files, key=lambda file: file.name):
        match = re.fullmatch(r"([^/]+)/([^/]+)/\d+\.parquet", file.name)
        if match:
            splits = found.setdefault(match[1], {})
            splits[match[2]] = (*splits.get(match[2], ()), file)
    return found


def _as_they_lie(files: list[HubFile]) -> dict[str, dict[str, tuple[HubFile, ...]]]:
    """The repository's own tables of the commonest format, by the part that their names tell."""
    tables = [file for file in files if Path(file.name).suffix.lower() in TABLE_ENDINGS]
    tables = [file for file in tables if not re.search(r"(^|/)(\.|dataset_infos?\.json|README)", file.name)]
    endings = [Path(file.name).suffix.lower() for file in tables]
    if not endings:
        return {}
    ending = ".parquet" if ".parquet" in endings else max(endings, key=endings.count)
    splits: dict[str, tuple[HubFile, ...]] = {}
    for file in sorted(tables, key=lambda file: file.name):
        if file.name.lower().endswith(ending):
            part = part_of(file.name) or "train"
            splits[part] = (*splits.get(part, ()), file)
    return {"default": splits}


def fetch(data: HubData, name: HubName, tell: Told = lambda _: None) -> tuple[dict[str, TableFile], tuple[str, ...]]:
    """The files of a configuration by part, fetched where the cache lacks them, and what was chosen, in words.

    Without a split: train, and test and validation where there are such. Raises UserError.
    """
    config = _config(data, name)
    splits = data.configs[config]
    roles = _roles(splits, name)
    files = {role: splits[split] for role, split in roles.items()}
    total = sum(file.bytes for some in files.values() for file in some)
    _require_room(data.repository, total)
    done, fetched = 0, {}
    for role, some in files.items():
        paths = []
        for file in some:
            tell(f"{data.repository}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")
            paths.append(_fetched(data, file))
            done += file.bytes
        fetched[role] = TableFile(path=paths[0], more=tuple(paths[1:]))
    chosen = ", ".join(f"{role} from its split '{split}'" for role, split in roles.items())
    said = [f"{data.repository} of the hub, configuration '{config}': {chosen}."]
    if any(split.startswith("partial-") for split in roles.values()):
        said.append("The hub keeps only the first part of this large data set as tables.")
    if len(data.configs) > 1:
        said.append(f"It has other configurations: {_listed(sorted(set(data.configs) - {config}))}.")
    return fetched, tuple(said)


def _config(data: HubData, name: HubName) -> str:
    if name.config is None:
        return "default" if "default" in data.configs else next(iter(data.configs))
    if name.config not in data.configs:
        raise UserError(
            f"{data.repository} has no configuration '{name.config}'.",
            data.repository,
            f"Choose one of: {_listed(list(data.configs))}.",
        )
    return name.config


def _roles(splits: Mapping[str, tuple[HubFile, ...]], name: HubName) -> dict[str, str]:
    """Part -> split."""
    if name.split is not None:
        if name.split not in splits:
            raise UserError(
                f"{name.repository} has no split '{name.split}'.",
                name.repository,
                f"Choose one of: {_listed(list(splits))}.",
            )
        return {"train": name.split}
    roles: dict[str, str] = {}
    for split in splits:
        part = part_of(split)
        if part is not None:
            roles.setdefault(part, split)
    if "train" not in roles:
        sizes = {split: sum(file.bytes for file in files) for split, files in splits.items()}
        return {"train": max(sizes, key=lambda split: sizes[split])}
    return {role: roles[role] for role in ("train", "validation", "test") if role in roles}


def _require_room(repository: str, total: int) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if total > free:
        raise UserError(
            f"{repository} takes {total / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free.",
            str(folder),
            "Free some space, or set HF_HOME to a folder on a larger disk.",
        )


def _fetched(data: HubData, file: HubFile) -> str:
    from huggingface_hub import hf_hub_download

    with _asking_for(data.repository):
        return str(hf_hub_download(data.repository, file.name, repo_type="dataset", revision=data.revision))


def _asking_for(repository: str) -> AbstractContextManager[None]:
    from core.hub_fetching import fetching

    away = "Check the network. Or download its files elsewhere and give their path here."
    return fetching(repository, "data set", "hub data set", away)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
