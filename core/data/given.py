"""From what a person gave (a file, several, a folder, a pattern, an archive, a hub data set) to the files of a run.

Where names say which file is for training and which for the test (train.csv, test.csv; folders train/ and test/), they
are taken at their word, and that is said. All other files are put together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from core.data.hub_data import PREFIX, Told, fetch, look_up, parse_hub_name
from core.data.reading.contents import entries_of, find_members, part_of
from core.data.table import Table, first_look
from core.errors import UserError
from core.files import path_given
from core.schema import TableFile
from core.workspace import Workspace

_WORDS = {"test": "the final test", "validation": "validation"}


@dataclass(frozen=True)
class Given:
    files: dict[str, TableFile]
    """train, and validation and test where what was given holds them."""
    table: Table
    """That of train."""
    said: tuple[str, ...]
    """What was taken for what, a sentence each."""


@dataclass(frozen=True)
class _Named:
    path: str
    name: str
    """What its part is told from."""


def files_given(
    words: Sequence[str], workspace: Workspace, reading: TableFile | None = None, tell: Told = lambda _: None
) -> Given:
    """The files that these words name, training's read. reading: options for all of them; its path does not count.

    A word is a path, a pattern (`data/*.csv`), or `hub:owner/name`; `tell` hears how fetching goes. Raises UserError.
    """
    options = reading.model_dump(exclude={"path", "more"}, exclude_defaults=True) if reading else {}
    if any(word.startswith(PREFIX) for word in words):
        return _of_hub(words, options, workspace, tell)
    found = [named for word in words for named in _named(word)]
    parts = _by_part(found) if not options.get("member") else {"train": found}
    said = [
        f"{_listed(parts[role])}: {_WORDS[role]}, as the name says." for role in ("test", "validation") if role in parts
    ]
    if parts.get("left"):
        said.append(f"Left out, since others are named as training data: {_listed(parts['left'])}.")
    files = {role: _stacked(some, options) for role, some in parts.items() if role != "left"}
    table = first_look(files["train"], workspace)
    if len(found) == 1 and not options.get("member") and not options.get("sheet"):
        inside = _parts_inside(table)
        for role, chosen in inside.items():
            files[role] = files["train"].model_copy(update=chosen)
            said.append(f"'{next(iter(chosen.values()))}' in {table.path.name}: {_WORDS[role]}, as the name says.")
        if inside:
            files["train"] = files["train"].model_copy(update={"member": table.member, "sheet": table.sheet})
            table = first_look(files["train"], workspace)
    return Given(files, table, tuple(said))


def _of_hub(words: Sequence[str], options: dict[str, object], workspace: Workspace, tell: Told) -> Given:
    if len(words) > 1:
        raise UserError("A data set of the hub stands alone.", words[0], "Give it without other files.")
    name = parse_hub_name(words[0])
    files, said = fetch(look_up(name), name, tell)
    files = {role: file.model_copy(update=options) for role, file in files.items()}
    return Given(files, first_look(files["train"], workspace), said)


def _named(word: str) -> list[_Named]:
    """The files of a word: those that a pattern fits, the tables of a folder, or the one that it names."""
    path = path_given(word)
    if has_magic(word) and not path.exists():
        found = sorted(one for one in glob(str(path), recursive=True) if Path(one).is_file())  # noqa: PTH207
        if not found:
            raise UserError(f"No file fits {word}.", word, "Check the pattern: * stands for any letters.")
        return [_Named(one, Path(one).name) for one in found]
    if path.is_dir():
        members = find_members(entries_of(path))
        if members and not members[0].is_texts:
            names = sorted(entry.name for member in members for entry in member.files)
            return [_Named(str(path / name), name) for name in names]
    return [_Named(word, path.name)]


def _by_part(found: list[_Named]) -> dict[str, list[_Named]]:
    """Files by part, where their names tell more than one; under `left` those that no part was told of."""
    parts: dict[str, list[_Named]] = {}
    for named in found:
        parts.setdefault(part_of(named.name) or "other", []).append(named)
    others = parts.pop("other", [])
    if "train" in parts:
        return parts if not others else {**parts, "left": others}
    return {**parts, "train": others} if others else {"train": found}


def _stacked(files: list[_Named], options: dict[str, object]) -> TableFile:
    paths = [named.path for named in files]
    return TableFile.model_validate({"path": paths[0], "more": tuple(paths[1:]), **options})


def file_for_part(file: TableFile, role: str, workspace: Workspace) -> TableFile:
    """The table for that part, where the file holds several and the name of one says so. Raises UserError."""
    table = first_look(file, workspace)
    chosen = {} if file.member or file.sheet else _of_part(table, role)
    return file.model_copy(update=chosen)


def _parts_inside(table: Table) -> dict[str, dict[str, str]]:
    """What to read for test and validation, where those lie beside the table for training."""
    if part_of(table.member or table.sheet or "") != "train":
        return {}
    return {role: chosen for role in ("test", "validation") if (chosen := _of_part(table, role))}


def _of_part(table: Table, role: str) -> dict[str, str]:
    for option, names in (("member", table.members), ("sheet", table.sheets)):
        fitting = [name for name in names if part_of(name) == role]
        if fitting:
            return {option: fitting[0]}
    return {}


def _listed(files: list[_Named]) -> str:
    names = [named.name for named in files]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
