"""Where a file with corrected labels came from: a small JSON file beside it, so that its rows are known for the same.

It counts only as long as both are as they were written: a file that was edited since is a file of its own.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.data.reading.sources import sha256_of
from core.files import replacing
from core.schema import TableFile

SUFFIX = ".corrected.json"


@dataclass(frozen=True)
class Origin:
    source_sha256: str
    """Of the file that was corrected, as data.json of a run has it."""
    sha256: str
    """Of the corrected file."""
    left_out: tuple[int, ...]
    """Rows of the source, 0-based and ascending, that the corrected file has not."""
    changes: tuple[dict[str, Any], ...] = ()
    """For people: row (of the source), old and new (classes)."""


def write_origin(path: Path, origin: Origin) -> None:
    """path: the corrected file."""
    with replacing(path.with_name(path.name + SUFFIX)) as target:
        target.write_text(json.dumps(asdict(origin), ensure_ascii=False, indent=1), encoding="utf-8")


def origin_of(file: TableFile) -> Origin | None:
    """None for a file that was not written with corrections, or has changed since."""
    path = Path(file.path)
    beside = path.with_name(path.name + SUFFIX)
    if file.more or not beside.is_file() or not path.is_file():
        return None
    content = json.loads(beside.read_text(encoding="utf-8"))
    origin = Origin(**{**content, "left_out": tuple(content["left_out"]), "changes": tuple(content["changes"])})
    return origin if origin.sha256 == sha256_of(file) else None
