"""From the path a person gave to plain bytes of a known format: exists, is a file, is unpacked, is what it says."""

import codecs
import hashlib
import json
import os
import re
from pathlib import Path

import pyarrow as pa

from core.data.reading.archives import limit_of, too_large
from core.data.reading.contents import entries_of
from core.data.reading.other_formats import refuse_other_formats
from core.errors import UserError
from core.files import path_given
from core.schema import TableFile

READER_VERSION = 7
"""Counts up when reading the same file gives another table, so that old caches are not used."""

CHUNK = 2**20
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_JSON_START = re.compile(rb"(?P<blank>\s*)(\[\s*\{\s*[\"}]|\{\s*\")")
JSON_ENDINGS = {".json", ".jsonl", ".ndjson"}
LONGEST_RECORD = 2**26
"""Bytes of a first line that may be a JSON record."""


def existing_file(file: TableFile) -> Path:
    """The absolute path of a file that is there and holds something, or of a folder. Raises UserError."""
    path = path_given(file.path)
    try:
        path = path.resolve(strict=True)
        if path.is_dir():
            return path
        with path.open("rb") as opened:
            first = opened.read(1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(
            f"{file.path} cannot be read ({reason}).", file.path, "Check the path and that you may read it."
        ) from error
    if not first:
        raise UserError(f"{path.name} is empty (0 bytes).", path.name, "Choose a file that holds rows.")
    return path


def fingerprint(path: Path, file: TableFile) -> str:
    """A name for this file, or these files, as they are now, read with these options; changes with any of them."""
    paths = [path, *(existing_file(file.model_copy(update={"path": more})) for more in file.more)]
    options = file.model_dump(mode="json", exclude={"path", "more"})
    told = json.dumps([READER_VERSION, [_state(one) for one in paths], options], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _state(path: Path) -> list[object]:
    """What changes with a file; of a folder, with any file in it."""
    if path.is_dir():
        return [str(path), [(entry.name, entry.bytes, entry.changed) for entry in entries_of(path)]]
    state = path.stat()
    return [str(path), state.st_size, state.st_mtime_ns]


def sha256_of(file: TableFile) -> str:
    """Of a file's bytes; of several files and of a folder, of the names and hashes of the files in it."""
    paths = [existing_file(file.model_copy(update={"path": path})) for path in (file.path, *file.more)]
    if len(paths) == 1 and paths[0].is_file():
        return _file_sha256(paths[0])
    inside = [(path, [path / entry.name for entry in entries_of(path)] if path.is_dir() else [path]) for path in paths]
    told = [(one.relative_to(path.parent).as_posix(), _file_sha256(one)) for path, files in inside for one in files]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def packing_of(path: Path) -> str | None:
    """gzip or zstd, told by the first bytes; None for a file that is not packed."""
    with path.open("rb") as opened:
        start = opened.read(4)
    return next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)


def unpacked(path: Path, folder: Path) -> tuple[Path, str | None]:
    """The file itself, or what a gzip or zstd file holds, written into `folder`; and which of the two it was.

    Told by the first bytes, whatever the name. Raises UserError for a damaged archive, and beyond its limit.
    """
    packing = packing_of(path)
    if packing is None:
        return path, None
    target, limit, done = folder / "unpacked", limit_of(path), 0
    try:
        with (
            pa.OSFile(str(path)) as packed,
            pa.CompressedInputStream(packed, packing) as stream,
            target.open("wb") as out,
        ):
            while block := stream.read(CHUNK):
                done += len(block)
                if done > limit:
                    raise too_large(path.name, limit)
                out.write(block)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error
    if target.stat().st_size == 0:
        raise UserError(f"{path.name} is empty once unpacked.", path.name, "Choose a file that holds rows.")
    return target, packing


def damaged(path: Path, error: Exception) -> UserError:
    """Of a gzip or zstd file that cannot be unpacked."""
    return UserError(
        f"{path.name} cannot be unpacked: {str(error).splitlines()[0]}.",
        path.name,
        "It was probably cut off; copy it again.",
    )


def format_of(source: Path, shown: Path) -> str:
    """parquet, json or csv: by content first, then by the name `shown`. Raises UserError for other kinds of file."""
    with source.open("rb") as opened:
        start = opened.read(2**16)
    if start.startswith(b"PAR1"):
        return "parquet"
    suffixes = [suffix.lower() for suffix in shown.suffixes if suffix.lower() not in {".gz", ".gzip", ".zst", ".zstd"}]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in {".parquet", ".pq"}:
        raise UserError(
            f"{shown.name} is not a Parquet file, though its name says so.",
            shown.name,
            "Copy it again, or give it the ending of what it holds (.csv, .json).",
        )
    refuse_other_formats(source, shown, start)
    return "json" if suffix in JSON_ENDINGS or _is_json(source) else "csv"


def _is_json(source: Path) -> bool:
    """Whether a file holds JSON, whatever its name: a list of records, or a record on its first line."""
    with source.open("rb") as opened:
        opened.seek(len(codecs.BOM_UTF8) if opened.read(3) == codecs.BOM_UTF8 else 0)
        start = opened.read(2**10)
        opened.seek(-len(start), os.SEEK_CUR)
        begins = _JSON_START.match(start)
        if begins is None:
            return False
        opened.seek(begins.end("blank"), os.SEEK_CUR)
        first = opened.readline(LONGEST_RECORD).decode("utf-8", "replace")
    try:
        _, end = json.JSONDecoder().raw_decode(first)
    except (ValueError, RecursionError):
        # A list may go on over lines; a record that does cannot be told from a text in braces.
        return first.startswith("[")
    # Anything more behind it is another cell of a table whose first one is JSON.
    return first[end:].strip() in {"", ","}
