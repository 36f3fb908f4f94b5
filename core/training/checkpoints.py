"""Checkpoints that are whole or not there: written aside, synced, renamed; and which of them can be trusted.

A checkpoint lists its files with size and CRC-32 in `whole.json`, so that one that a failing disk has damaged is found
out too; one without that list, of an earlier Tunedesk, counts if its `trainer_state.json` can be read.
"""

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

from core.files import sync_file, sync_folder

MANIFEST = "whole.json"
STATE = "trainer_state.json"
STAGING = ".partial"
CHUNK_BYTES = 2**22


def staging_folder(folder: Path) -> Path:
    """Where a checkpoint is written until it is whole; emptied."""
    staged = folder / STAGING
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    return staged


def put_in_place(staged: Path, folder: Path, facts: dict[str, Any]) -> Path:
    """List a checkpoint's files with `facts`, sync everything, and rename it into the run's folder of checkpoints.

    staged: `.../.partial/checkpoint-N`. Returns where it is now. Raises OSError.
    """
    files = {path.relative_to(staged).as_posix(): _synced(path) for path in sorted(staged.rglob("*")) if path.is_file()}
    manifest = staged / MANIFEST
    manifest.write_text(json.dumps({"files": files, "facts": facts}), encoding="utf-8")
    _synced(manifest)
    sync_folder(staged)
    target = folder / staged.name
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    sync_folder(folder)
    return target


def checkpoint_facts(checkpoint: Path) -> dict[str, Any]:
    """What was written down beside the files; empty of a checkpoint of an earlier Tunedesk."""
    manifest = checkpoint / MANIFEST
    if not manifest.exists():
        return {}
    facts: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))["facts"]
    return facts


def facts_of_last_checkpoint(folder: Path) -> dict[str, Any]:
    """Of the newest whose list can be read; empty where there is none."""
    for path in reversed(_found(folder)):
        try:
            return checkpoint_facts(path)
        except (OSError, ValueError, KeyError):
            continue
    return {}


def whole_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, lowest step first. Every byte of them is read."""
    return [path for path in _found(folder) if _is_whole(path)]


def remove_torn_checkpoints(folder: Path) -> list[Path]:
    """Delete what a crash, a full or a failing disk left damaged. Returns the whole ones, lowest step first."""
    shutil.rmtree(folder / STAGING, ignore_errors=True)
    whole = whole_checkpoints(folder)
    for path in folder.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)
    return whole


def best_checkpoint(whole: list[Path]) -> Path | None:
    """The best of these whole checkpoints by the run's metric, else the last, else None."""
    if not whole:
        return None
    best = read_state(whole[-1])["best_model_checkpoint"]
    # The recorded path is absolute; the run folder may have been moved since.
    named = whole[-1].parent / Path(best).name if best else None
    return named if named in whole else whole[-1]


def read_state(checkpoint: Path) -> dict[str, Any]:
    """transformers' TrainerState as it was."""
    state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    return state


def checkpoint_step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def keep_best_and_last(folder: Path, best: str | None, last: int) -> None:
    """Delete all but the `last` newest checkpoints and the best one."""
    found = _found(folder)
    for path in found[: max(0, len(found) - last)]:
        if best is None or path.name != Path(best).name:
            shutil.rmtree(path, ignore_errors=True)


def _found(folder: Path) -> list[Path]:
    named = (path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit())
    return sorted((path for path in named if path.is_dir()), key=checkpoint_step)


def _is_whole(path: Path) -> bool:
    try:
        read_state(path)
        if not (path / MANIFEST).exists():
            return True
        files = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all(_figures(path / name) == (told["bytes"], told["crc32"]) for name, told in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _figures(file: Path) -> tuple[int, int]:
    """Size and CRC-32."""
    size, checksum = 0, 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            size += len(chunk)
            checksum = zlib.crc32(chunk, checksum)
    return size, checksum


def _synced(file: Path) -> dict[str, int]:
    size, checksum = _figures(file)
    sync_file(file)
    return {"bytes": size, "crc32": checksum}
