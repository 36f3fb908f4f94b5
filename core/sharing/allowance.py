"""What others may take of this computer: rows a file, bytes an upload, of all guests, and of the whole workspace.

They are kept in the store and hold from the next request on. The owner's uploads count against the workspace as well.
"""

import threading
import time
from dataclasses import asdict, dataclass, fields

from core.errors import UserError
from core.files import folder_bytes
from core.runs.store import open_store
from core.sharing.credentials import Role
from core.sharing.guest_files import KEPT_SECONDS, guest_jobs
from core.workspace import Workspace

MEASURED_SECONDS = 20.0
"""How long the size of a workspace is believed: adding it up takes a moment where there are many runs."""


@dataclass(frozen=True)
class Allowance:
    guest_rows: int = 1_000
    """Rows of a file that a guest has labelled."""
    guest_upload_bytes: int = 20 * 10**6
    """Bytes of one upload of a guest."""
    guests_bytes: int = 4 * 10**9
    """Bytes of all files of guests at a time: what they uploaded and what came of it."""
    upload_bytes: int = 16 * 10**9
    """Bytes of one upload of the owner."""
    workspace_bytes: int = 1000 * 10**9
    """Bytes of everything in the workspace, beyond which no upload is taken."""


NAMES = tuple(field.name for field in fields(Allowance))
WORDS = {
    "guest_rows": "rows of a file that a guest may have labelled",
    "guest_upload_bytes": "bytes of one upload of a guest",
    "guests_bytes": "bytes of all files of guests, which are kept for a day",
    "upload_bytes": "bytes of one upload of the owner",
    "workspace_bytes": "bytes of the whole workspace, beyond which no upload is taken",
}


def read_allowance(workspace: Workspace) -> Allowance:
    with open_store(workspace).connection() as connection:
        kept = dict(connection.execute("SELECT name, value FROM limits").fetchall())
    return Allowance(**{name: value for name, value in kept.items() if name in NAMES})


def save_allowance(workspace: Workspace, changes: dict[str, int]) -> Allowance:
    """Change what is named. Raises UserError for what is no limit, or below 1."""
    for name, value in changes.items():
        if name not in NAMES or value < 1:
            raise UserError(
                f"{name} cannot be {value}.", name, f"Give a whole number from 1; there are {', '.join(NAMES)}."
            )
    with open_store(workspace).transaction() as connection:
        connection.executemany("INSERT OR REPLACE INTO limits (name, value) VALUES (?,?)", list(changes.items()))
    return read_allowance(workspace)


def allowance_words(allowance: Allowance) -> list[str]:
    return [f"{name:<20}{value:>18,}  {WORDS[name]}" for name, value in asdict(allowance).items()]


class Room:
    """Whether an upload still fits."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._lock = threading.Lock()
        self._measured, self._bytes, self._guests_bytes = 0.0, 0, 0
        self._arrived: list[tuple[float, int]] = []
        """When guests uploaded how much in the last day: until it is labelled nothing on the disk says whose it is."""

    def most(self, role: Role) -> int:
        """Bytes that this person may upload at once now. Raises UserError where the workspace is full."""
        allowance = read_allowance(self.workspace)
        used, of_guests = self._used()
        left = allowance.workspace_bytes - used
        if left <= 0:
            raise UserError(
                "The workspace holds as much as it may, so no file is taken.",
                "workspace_bytes",
                "Delete runs that are not needed, or raise the limit in Settings.",
            )
        if role != "guest":
            return min(left, allowance.upload_bytes)
        if of_guests >= allowance.guests_bytes:
            raise UserError(
                "Guests' files take as much room as they may, so no file is taken.",
                "guests_bytes",
                "They go after a day. Come again then, or ask the owner to raise the limit in Settings.",
            )
        return min(left, allowance.guests_bytes - of_guests, allowance.guest_upload_bytes)

    def add(self, size: int, role: Role) -> None:
        """Note bytes that have come since the workspace was measured."""
        with self._lock:
            self._bytes += size
            if role == "guest":
                self._arrived.append((time.monotonic(), size))

    def _used(self) -> tuple[int, int]:
        """Bytes of all files, and of those of guests."""
        with self._lock:
            now = time.monotonic()
            if not self._measured or now - self._measured > MEASURED_SECONDS:
                self._bytes = folder_bytes(self.workspace.root)
                self._guests_bytes = guests_bytes(self.workspace)
                self._measured = now
            self._arrived = [(when, size) for when, size in self._arrived if now - when < KEPT_SECONDS]
            return self._bytes, self._guests_bytes + sum(size for _, size in self._arrived)


def guests_bytes(workspace: Workspace) -> int:
    """Bytes of what guests have had labelled, and of what came of it."""
    total = 0
    for job in guest_jobs(workspace):
        total += folder_bytes(job.folder) + (job.upload.stat().st_size if job.upload.exists() else 0)
    return total
