"""Where the specs of runs differ, setting by setting, in the words of the schema.

Files are named without their folders, as in reports; where two have the same name and another content, rows and the
start of the content's digest tell them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.data.examples import read_data_facts
from core.schema import RunSpec
from core.spec_files import read_spec
from core.spec_settings import settings
from core.workspace import RunFolder

NAME = "name"
"""Not compared: runs that do the same may be called what they like."""
NOTHING: tuple[Any, ...] = (None, "", (), [], {})
EMPTY = "empty"
SHOWN_OF_DIGEST = 8


@dataclass(frozen=True)
class SettingValues:
    """A setting with its value in each run, in words."""

    key: str
    description: str
    unit: str
    values: tuple[str, ...]
    differs: bool


def setting_values(folders: Sequence[RunFolder]) -> tuple[SettingValues, ...]:
    """Every setting that any of the runs has a value for, in the order of the schema. Raises UserError."""
    contents = [read_spec(folder.spec).model_dump(mode="json") for folder in folders]
    found = []
    for leaf in settings(RunSpec):
        values = [_value(content, leaf.key) for content in contents]
        if leaf.key == NAME or all(value in NOTHING for value in values):
            continue
        shown, differs = tuple(map(value_words, values)), any(value != values[0] for value in values[1:])
        if leaf.key.endswith(".path"):
            shown = _file_words(folders, leaf.key.split(".")[1], values)
            differs = len(set(shown)) > 1
        found.append(SettingValues(leaf.key, leaf.description, leaf.unit, shown, differs))
    return tuple(found)


def _value(content: Mapping[str, Any], key: str) -> Any:
    value: Any = content
    for name in key.split("."):
        if value is None:
            return None
        value = value[name]
    return value


def value_words(value: Any) -> str:
    """As a person would write it: `yes`, `0.0001`, `title, description`, `1: World, 2: Sports`; `empty`."""
    if value in NOTHING and not isinstance(value, bool | int | float):
        return EMPTY
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {value_words(one)}" for name, one in value.items())
    return (
        ", ".join(map(value_words, value)) if isinstance(value, Sequence) and not isinstance(value, str) else f"{value}"
    )


def _file_words(folders: Sequence[RunFolder], role: str, paths: Sequence[Any]) -> tuple[str, ...]:
    names = [EMPTY if path is None else str(path).replace("\\", "/").rsplit("/", 1)[-1] for path in paths]
    facts = [_facts_of_file(folder, role) for folder in folders]
    told = [file is not None and name in (other for place, other in enumerate(names) if place != number)
            for number, (name, file) in enumerate(zip(names, facts, strict=True))]  # fmt: skip
    digests = {file["sha256"] for file in facts if file is not None}
    if len(digests) < 2 or not any(told):
        return tuple(names)
    return tuple(
        f"{name} ({file['rows']:,} rows, content {file['sha256'][:SHOWN_OF_DIGEST]})" if file else name
        for name, file in zip(names, facts, strict=True)
    )


def _facts_of_file(folder: RunFolder, role: str) -> Mapping[str, Any] | None:
    """None before the run has read its data, and where it has no such file."""
    return read_data_facts(folder).files.get(role) if folder.split.exists() else None
