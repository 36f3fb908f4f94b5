"""A folder of text files for each class: a row for each file, its text and the name of its folder.

From a folder on disk or out of an archive. The label is the folder nearest the top; what lies deeper belongs to it.
"""

import codecs
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from core.data.reading.archives import limit_of, open_archive, read_some, too_large
from core.data.reading.contents import Entry, Member
from core.data.reading.encodings import TELLING, guess_encoding, is_binary, known_encoding, telling_lines
from core.data.reading.result import KEPT_REJECTED_LINES, Reading, RejectedLine
from core.data.reading.write import text_batches, text_schema, write_batches
from core.errors import UserError
from core.schema import TableFile

LONGEST_TEXT = 16 * 2**20
"""Bytes of a text file; a longer one is no example to learn from."""
TEXT, LABEL = "text", "label"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass
class _LeftOut:
    count: int = 0
    lines: list[RejectedLine] = field(default_factory=list)

    def add(self, row: int, name: str, reason: str) -> None:
        self.count += 1
        if len(self.lines) < KEPT_REJECTED_LINES:
            self.lines.append(RejectedLine(row, reason, name))


def read_class_folders(path: Path, member: Member, file: TableFile, target: Path) -> Reading:
    """Write a row for each text file: text, label and, where it is asked for, the file. Raises UserError for none."""
    start = "" if member.name == "./" else member.name
    labels = sorted({entry.name[len(start) :].split("/")[0] for entry in member.files})
    names: tuple[str, ...] = (TEXT, LABEL)
    if file.source_column:
        if file.source_column in names:
            raise UserError(f"There is a column '{file.source_column}' already.", "source_column", "Name it otherwise.")
        names = (*names, file.source_column)
    encoding, notes = _encoding(path, member, file)
    left_out = _LeftOut()
    rows = _rows(path, member, start, encoding, left_out)
    write_batches(text_schema(names), text_batches((row[: len(names)] for row in rows), names), target)
    if left_out.count == len(member.files):
        raise UserError(
            f"None of the {left_out.count:,} files in {path.name} is a text.", path.name, "Give folders of text files."
        )
    notes.append(f"Each file is a text, and the folder that it lies in its class: {len(labels)} folders.")
    if left_out.count:
        notes.append(f"{left_out.count:,} {'file was' if left_out.count == 1 else 'files were'} left out.")
    return Reading(
        format="texts",
        names=names,
        types=("text",) * len(names),
        encoding=encoding,
        rejected=left_out.count,
        rejected_lines=tuple(left_out.lines),
        notes=tuple(notes),
    )


def _rows(
    path: Path, member: Member, start: str, encoding: str, left_out: _LeftOut
) -> Iterator[tuple[str | None, str, str]]:
    total = 0
    for number, (entry, content) in enumerate(_contents(path, member.files), start=1):
        total += len(content)
        if path.is_file() and total > limit_of(path):
            raise too_large(path.name, limit_of(path))
        if len(content) > LONGEST_TEXT:
            left_out.add(number, entry.name, f"is longer than {LONGEST_TEXT // 2**20} MB")
        elif _is_binary(content):
            left_out.add(number, entry.name, "is a binary file, not a text")
        else:
            yield _decoded(content, encoding).strip() or None, entry.name[len(start) :].split("/")[0], entry.name


def _contents(path: Path, entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, bytes]]:
    """Each file with its bytes, one more than LONGEST_TEXT at most."""
    with open_archive(path, path.name) if path.is_file() else nullcontext() as archive:
        for entry in entries:
            yield entry, _content(path, archive, entry)


def _content(path: Path, archive: zipfile.ZipFile | None, entry: Entry) -> bytes:
    if archive is not None:
        return read_some(archive, entry.name, LONGEST_TEXT + 1)
    try:
        with (path / entry.name).open("rb") as file:
            return file.read(LONGEST_TEXT + 1)
    except OSError as error:
        raise UserError(
            f"{entry.name} cannot be read ({error.strerror}).", str(path / entry.name), "Check that you may read it."
        ) from error


def _encoding(path: Path, member: Member, file: TableFile) -> tuple[str, list[str]]:
    """The encoding of the files that are not UTF-8, guessed from all of them together, and what to say of it."""
    if file.encoding:
        return known_encoding(file.encoding), []
    telling = b""
    for _, content in _contents(path, member.files):
        if len(telling) < TELLING and not _is_utf8(content) and not _is_binary(content):
            telling += b"\n".join(telling_lines(content)) + b"\n"
    if not telling:
        return "utf-8", []
    found = guess_encoding(telling)
    return found, [f"Files that are not UTF-8 were taken to be {found}; choose another where letters look wrong."]


def _is_binary(content: bytes) -> bool:
    return not content.startswith(_UTF16_MARKS) and is_binary(content)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(content: bytes, encoding: str) -> str:
    if content.startswith(_UTF16_MARKS):
        return content.decode("utf-16", errors="replace")
    if encoding == "utf-8" or not _is_utf8(content):
        return content.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")
    return content.decode("utf-8-sig")
