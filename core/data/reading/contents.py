"""What a folder or a zip archive holds: its tables, and folders of text files for each class.

Names inside are compared and shown, and never made into paths on disk. What systems leave behind (`__MACOSX`,
`.DS_Store`, hidden files) does not count.
"""

import os
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

from core.data.reading.archives import open_archive
from core.errors import UserError

MOST_FILES = 500_000
"""Files in one folder or archive."""
MOST_PIECES = 1000
"""Files of one table; more are rather a file for each row."""
NAMED = 5
"""Members that a message lists."""
TABLE_ENDINGS = {
    ".csv", ".tsv", ".tab", ".label", ".parquet", ".pq", ".json", ".jsonl", ".ndjson", ".xlsx", ".xlsm", ".xlsb",
    ".xls", ".ods",
}  # fmt: skip
TEXT_ENDINGS = {"", ".txt", ".text", ".md", ".eml", ".rst"}
PACKED_ENDINGS = {".gz", ".gzip", ".zst", ".zstd"}
_PART_WORDS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
_AGAIN = re.compile(r"(?<![a-z])(fold|cv|seed|v|version)[-_ ]?\*", re.IGNORECASE)
"""The same rows once more, divided otherwise or corrected: no pieces."""
_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Entry:
    """A file inside."""

    name: str
    """Its path inside, with /."""
    bytes: int
    changed: int
    """Nanoseconds since 1970; 0 in an archive."""


@dataclass(frozen=True)
class Member:
    """A table inside."""

    name: str
    """Of a table its path inside, with * for numbers where it lies in several files; of folders for each class the path
    of the folder around them, with / at its end."""
    files: tuple[Entry, ...]
    """Of a table mostly one; all the text files below folders of classes."""

    @property
    def is_texts(self) -> bool:
        return self.name.endswith("/")

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.files)


def entries_of(path: Path) -> list[Entry]:
    """The files in a folder or an archive, in the order of their names. Raises UserError where there are too many."""
    found = list(_in_folder(path) if path.is_dir() else _in_archive(path))
    return sorted(found, key=lambda entry: entry.name)


def _in_folder(path: Path) -> Iterable[Entry]:
    count = 0
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if _counts(name)]
        for name in filter(_counts, names):
            file = Path(folder, name)
            try:
                state = file.stat()
            except OSError:  # a link to nothing
                continue
            count += 1
            if count > MOST_FILES:
                raise _too_many(path)
            yield Entry(file.relative_to(path).as_posix(), state.st_size, state.st_mtime_ns)


def _in_archive(path: Path) -> Iterable[Entry]:
    with open_archive(path, path.name) as archive:
        inside = archive.infolist()
        if len(inside) > MOST_FILES:
            raise _too_many(path)
        seen: set[str] = set()
        for info in inside:
            if not info.is_dir() and info.filename not in seen and all(map(_counts, _segments(info))):
                seen.add(info.filename)
                yield Entry(info.filename, info.file_size, 0)


def _segments(info: zipfile.ZipInfo) -> list[str]:
    return [segment for segment in info.filename.split("/") if segment not in ("", ".", "..")]


def _counts(name: str) -> bool:
    return name.casefold() not in _LEFT_BEHIND and not name.startswith(("._", ".", "~$"))


def _too_many(path: Path) -> UserError:
    return UserError(
        f"{path.name} holds more than {MOST_FILES:,} files.", path.name, "Give the folder or the file that matters."
    )


def find_members(entries: Sequence[Entry]) -> tuple[Member, ...]:
    """Its tables; where most files are texts in folders, the folders around those before them."""
    tables = _tables([entry for entry in entries if _ending(entry.name) in TABLE_ENDINGS])
    texts = [entry for entry in entries if _is_text(entry.name)]
    folders = _class_folders(texts)
    if folders and sum(len(folder.files) for folder in folders) > sum(len(table.files) for table in tables):
        return (*folders, *tables)
    plain = [Member(entry.name, (entry,)) for entry in texts if _ending(entry.name) == ".txt"]
    return tuple(tables or plain)


def _tables(entries: Sequence[Entry]) -> list[Member]:
    """Each file, or files that are called alike but for numbers, as the pieces of one table are."""
    pieces: dict[str, list[Entry]] = {}
    for entry in entries:
        pieces.setdefault(re.sub("[0-9]+", "*", entry.name), []).append(entry)
    members = []
    for name, files in pieces.items():
        if 1 < len(files) <= MOST_PIECES and not _AGAIN.search(name):
            members.append(Member(name, tuple(files)))
        else:
            members += [Member(entry.name, (entry,)) for entry in files]
    return members


def _ending(name: str) -> str:
    endings = [ending.lower() for ending in PurePosixPath(name).suffixes]
    return next((ending for ending in reversed(endings) if ending not in PACKED_ENDINGS), "")


def _is_text(name: str) -> bool:
    ending = PurePosixPath(name).suffix.lower()
    return ending in TEXT_ENDINGS or ending[1:].isdecimal()


def _class_folders(texts: Sequence[Entry]) -> list[Member]:
    """The folder around folders of texts; one each for train, test and validation where those stand above them."""
    around = ""
    while True:
        below = [entry for entry in texts if entry.name.startswith(around)]
        inside = sorted({rest[0] for entry in below if len(rest := entry.name[len(around) :].split("/")) > 1})
        if len(inside) != 1:
            break
        around += f"{inside[0]}/"
    if not inside:
        return []
    parts = [part_of(name) for name in inside]
    if all(parts) and "train" in parts:
        members = [_texts_below(f"{around}{name}/", below) for name in inside]
        return [member for member in members if member.files]
    return [_texts_below(around or "./", below, around)]


def _texts_below(name: str, entries: Sequence[Entry], around: str | None = None) -> Member:
    """The texts that lie in a folder of a class, not beside those folders."""
    start = name if around is None else around
    return Member(name, tuple(e for e in entries if e.name.startswith(start) and "/" in e.name[len(start) :]))


def part_of(name: str) -> str | None:
    """train, validation or test, where a path says that it is one of them; the words nearest its end count."""
    for segment in reversed(name.strip("/").split("/")):
        found = {_PART_WORDS[word] for word in re.split(r"[^a-z]+", segment.casefold()) if word in _PART_WORDS}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def chosen_member(members: Sequence[Member], wanted: str | None, shown: str) -> Member:
    """The one that is wanted; else that for training, else the largest. Raises UserError where there is none."""
    if not members:
        raise UserError(
            f"{shown} holds no table that can be read.",
            shown,
            "Give a CSV, Parquet, JSON or Excel file, or a folder with a folder of text files for each class.",
        )
    name = chosen_name([member.name for member in members], [member.bytes for member in members], wanted, shown)
    return next(member for member in members if member.name == name)


def chosen_name(names: Sequence[str], sizes: Sequence[int], wanted: str | None, shown: str) -> str:
    """The same of names and sizes. Raises UserError where the one that is wanted is not there."""
    if wanted is None:
        training = [name for name in names if part_of(name) == "train"]
        folders = [name for name in names if name.endswith("/")]
        possible = training or folders or list(names)
        return max(possible, key=lambda name: sizes[names.index(name)])
    if wanted not in names:
        listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        raise UserError(f"{shown} holds no table '{wanted}'.", "member", f"Choose one of: {listed}.")
    return wanted


def members_note(names: Sequence[str], chosen: str) -> str:
    """What was read of several, and what was not."""
    others = [name for name in names if name != chosen]
    listed = ", ".join(others[:NAMED]) + (f" and {len(others) - NAMED} more" if len(others) > NAMED else "")
    return f"It holds {len(names)} tables; '{chosen}' was read, not {listed}."


def apart(members: Sequence[Member]) -> tuple[Member, ...]:
    """Each file of a table by itself."""
    found = (
        [member] if member.is_texts else [Member(entry.name, (entry,)) for entry in member.files] for member in members
    )
    return tuple(chain.from_iterable(found))
