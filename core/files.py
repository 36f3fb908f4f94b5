"""Paths as people write them, and files that are whole or not there. Light, so that a GPU machine without DuckDB has
it too."""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import UserError

LONGEST_SHOWN = 80


def path_given(text: str) -> Path:
    """A path as a person wrote it, `~` resolved. Raises UserError where no file can be called so."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except PermissionError:
        return Path(text).expanduser()  # whoever opens it says that it may not be read
    except (OSError, RuntimeError) as error:  # longer than names can be; the home of somebody who is not here
        reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
        raise UserError(f"'{shown}' is not a path ({reason}).", "path", "Check its spelling.") from error
    return path


def folder_given(text: str) -> Path | None:
    """The folder on this computer that a model's name stands for, if it does: other names are a hub's."""
    try:
        path = path_given(text)
    except UserError:
        return None
    return path if path.is_dir() else None


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder; one that goes away meanwhile counts nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def refuse_to_overwrite(target: Path, read: Iterable[str | Path]) -> None:
    """Raises UserError where writing to `target` would replace one of the files that are read, links resolved."""
    if target.resolve() in {Path(path).resolve() for path in read}:
        raise UserError(
            f"{target.name} is one of the files that are read here, so nothing is written over it.",
            str(target),
            "Give the result another name.",
        )


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder, and remove it again where what is done within fails.

    Raises FileExistsError for one that is there already, which stays as it is, and other OSErrors.
    """
    path.mkdir(parents=True)
    try:
        yield path
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to that becomes `target` in one step, and vanishes where writing fails."""
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def sync_file(file: Path) -> None:
    """Wait until the file's content is on the disk."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until what was made, renamed or removed in it is on the disk; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
