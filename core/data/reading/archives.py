"""Zip archives: what they are, and single files out of them, never more bytes than a limit that is said.

Sizes are counted while unpacking; what an archive states of itself is not trusted.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import UserError

MOST_UNPACKED = 8 * 2**30
"""Bytes that may come out of one archive."""
MOST_RATIO = 250
"""Bytes that may come out for each byte of the archive, beyond ALWAYS_UNPACKED; tables seldom reach 50."""
ALWAYS_UNPACKED = 256 * 2**20
CHUNK = 2**20
MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_DOCUMENTS = {"word/document.xml": "a Word document", "ppt/presentation.xml": "a PowerPoint file"}


def is_archive(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def workbook_inside(path: Path, shown: str) -> bool:
    """Whether an archive is an Excel or OpenDocument workbook. Raises UserError for other documents."""
    with open_archive(path, shown) as archive:
        names = set(archive.namelist())
        document = next((words for name, words in _DOCUMENTS.items() if name in names), None)
        if document:
            raise UserError(f"{shown} is {document}, not a table.", shown, "Save its table as Excel or CSV first.")
        if names & {"xl/workbook.xml", "xl/workbook.bin"}:
            return True
        return "mimetype" in names and b"opendocument.spreadsheet" in read_some(archive, "mimetype", 200)


@contextmanager
def open_archive(path: Path, shown: str) -> Iterator[zipfile.ZipFile]:
    """A zip archive to read from. Raises UserError where it is damaged, encrypted or packed in an unusual way."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise UserError(
            f"{shown} is not a whole zip archive or Excel file ({error}).",
            shown,
            "It was probably cut off; copy it again.",
        ) from error
    except (RuntimeError, NotImplementedError) as error:
        # zipfile's own words for a password and for methods of packing that it does not know.
        raise UserError(
            f"{shown} cannot be unpacked ({error}).", shown, "Unpack it yourself and give the file inside."
        ) from error


def limit_of(path: Path) -> int:
    """Bytes that may come out of this archive."""
    return min(MOST_UNPACKED, max(ALWAYS_UNPACKED, MOST_RATIO * path.stat().st_size))


def require_small(path: Path, shown: str) -> None:
    """Raises UserError where an archive says itself that it unpacks to more than its limit."""
    with open_archive(path, shown) as archive:
        if sum(info.file_size for info in archive.infolist()) > limit_of(path):
            raise too_large(shown, limit_of(path))


def extract(path: Path, name: str, target: Path, shown: str) -> None:
    """Write the file `name` of an archive to `target`. Raises UserError beyond the limit."""
    limit, done = limit_of(path), 0
    with open_archive(path, shown) as archive, archive.open(name) as packed, target.open("wb") as out:
        while block := packed.read(CHUNK):
            done += len(block)
            if done > limit:
                raise too_large(shown, limit)
            out.write(block)


def read_some(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """The first `most` bytes of a file in an archive."""
    with archive.open(name) as packed:
        return packed.read(most)


def too_large(shown: str, limit: int) -> UserError:
    return UserError(
        f"{shown} unpacks to more than {limit / 2**20:,.0f} MB, which is the limit for an archive of its size.",
        shown,
        "If that is right, unpack it yourself and give the path of the file inside.",
    )
