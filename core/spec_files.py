"""A RunSpec as YAML and as plain content: read, checked, written, and changed by `--set key=value`."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import ValidationError

from core.errors import UserError, from_validation
from core.schema import RunSpec
from core.spec_settings import Setting, settings


class _Loader(yaml.SafeLoader):
    """Of bare words only true and false are anything but text, as in YAML 1.2: `prefix_cache: off`, a class named `no`
    and a column named 2024-12-31 are the words that they are."""


_BOOLEAN, _TIMESTAMP = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOLEAN, _TIMESTAMP)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def parse_spec(content: dict[str, Any], source: str) -> RunSpec:
    """Validate a RunSpec; `source` names where it came from in the UserError that a wrong one raises."""
    try:
        return RunSpec.model_validate(content)
    except ValidationError as error:
        raise from_validation(error, source) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UserError where it cannot be read or holds something else."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  it is a SafeLoader
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).", str(path), "Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}.", str(path), "Correct the line that it names.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold settings.", str(path), "Write `key: value` lines, as in presets/.")
    return content


def read_spec(path: Path) -> RunSpec:
    """Read a RunSpec from YAML. Raises UserError."""
    return parse_spec(read_yaml(path), path.name)


def spec_yaml(spec: RunSpec) -> str:
    """Without the prompt where none is read."""
    unread = {"prompt"} if spec.task != "answer" else set()
    return yaml.safe_dump(spec.model_dump(mode="json", exclude=unread), sort_keys=False, allow_unicode=True)


def with_overrides(content: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Apply `--set training.epochs=5` style settings to a spec's content; values are read as YAML, texts as they stand.

    Raises UserError for a word without `=` or a key that is not in the schema.
    """
    known = {leaf.key: leaf for leaf in settings(RunSpec)}
    changed = dict(content)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or key not in known:
            raise UserError(
                f"--set {override}: " + (f"'{key}' is not a setting." if equals else "there is no '='."),
                key,
                f"{_like(key, known)}Write --set key=value; `python launch.py settings` lists every key.",
            )
        *parents, name = key.split(".")
        part = changed
        for parent in parents:
            part[parent] = dict(part.get(parent) or {})
            part = part[parent]
        part[name] = _given_value(known[key], text)
    return changed


def _like(key: str, known: Iterable[str]) -> str:
    """A sentence that asks whether a key like this one was meant; '' where none is like it, or it is one itself."""
    keys = list(known)
    if key in keys:
        return ""
    meant = [one for one in keys if one.endswith(f".{key}")] or get_close_matches(key, keys, 1)
    return f"Did you mean {' or '.join(meant)}? " if meant else ""


def _given_value(setting: Setting, text: str) -> Any:
    """Of a setting that is text, or a list or mapping of texts, no word is a number: a class may be called 010."""
    several = get_origin(setting.type) in (tuple, dict) and get_args(setting.type)[0] is str
    if setting.type is not str and not several:
        return setting_value(text)
    if setting.optional and text in ("", "null", "~"):
        return None
    if setting.type is str and not (len(text) > 1 and text[0] == text[-1] and text[0] in "'\""):
        return text
    try:
        value = yaml.load(text, yaml.BaseLoader)  # noqa: S506  it makes texts, lists and mappings of them alone
    except yaml.YAMLError:
        return text
    return [value] if several and isinstance(value, str) and get_origin(setting.type) is tuple else value


def setting_value(text: str) -> Any:
    """YAML 1.1 reads `1e-4` as text; people mean the number. What is no YAML, as `,`, is the text that it is."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  it is a SafeLoader
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
