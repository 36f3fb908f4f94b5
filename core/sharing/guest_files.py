"""Files of guests: what they uploaded to have it labelled, and what came of it. They are kept for a day.

A labelling's job.json names the session that asked. What was uploaded and not labelled yet lies among all that arrives,
which core.deletion clears away after a day as well.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.workspace import Workspace

KEPT_SECONDS = 24 * 3600
KEPT_WORDS = "Your file and its labels are deleted here after a day."


@dataclass(frozen=True)
class GuestJob:
    folder: Path
    upload: Path
    """The copy of the uploaded file."""
    created: float
    """Seconds since 1970."""


def guest_jobs(workspace: Workspace) -> Iterator[GuestJob]:
    """Every labelling that a guest asked for, of all runs."""
    for path in workspace.runs.glob("*/predictions/*/job.json"):
        try:
            asked = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue  # deleted meanwhile, or being written
        if asked.get("visitor"):
            yield GuestJob(path.parent, Path(asked["file"]["path"]), float(asked["created"]))


def old_guest_jobs(workspace: Workspace) -> list[GuestJob]:
    before = time.time() - KEPT_SECONDS
    return [job for job in guest_jobs(workspace) if job.created < before]
