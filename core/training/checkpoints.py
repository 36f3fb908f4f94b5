"""Which checkpoints can be trusted. transformers writes `trainer_state.json` last, so one that has it is whole."""

import json
import shutil
from pathlib import Path


def whole_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, lowest step first."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and _is_whole(path)]
    return sorted(found, key=_step)


def remove_torn_checkpoints(folder: Path) -> None:
    """Delete what a crash or a full disk left half-written."""
    for path in folder.glob("checkpoint-*"):
        if not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)


def best_checkpoint(folder: Path) -> Path | None:
    """The best of the whole checkpoints by the run's metric, else the last, else None."""
    whole = whole_checkpoints(folder)
    if not whole:
        return None
    state = json.loads((whole[-1] / "trainer_state.json").read_text(encoding="utf-8"))
    best = state["best_model_checkpoint"]
    # The recorded path is absolute; the run folder may have been moved since.
    named = folder / Path(best).name if best else None
    return named if named in whole else whole[-1]


def _is_whole(path: Path) -> bool:
    try:
        json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _step(path: Path) -> int:
    return int(path.name.removeprefix("checkpoint-"))
