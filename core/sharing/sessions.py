"""Who is logged in: random session keys in memory, of which only digests are kept. A restart logs everybody out."""

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass

from core.sharing.credentials import Role

KEPT_SECONDS = 7 * 24 * 3600
MOST_SESSIONS = 10_000


@dataclass(frozen=True)
class Visitor:
    id: str
    """Tells one session from another; not its key."""
    role: Role
    name: str = ""


OWNER = Visitor("owner", "owner", "owner")
"""Whoever is at this computer, where no login is asked for."""


class Sessions:
    """Open sessions by the digest of their key, and which browser tab (Gradio's session hash) belongs to which."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Visitor, float]] = {}
        self._tabs: dict[str, str] = {}

    def open(self, role: Role, name: str) -> str:
        """A new session. Returns its key, for the cookie."""
        key = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._open) >= MOST_SESSIONS:
                del self._open[next(iter(self._open))]
            self._open[_digest(key)] = Visitor(secrets.token_hex(8), role, name), time.time() + KEPT_SECONDS
        return key

    def visitor(self, key: str) -> Visitor | None:
        with self._lock:
            found = self._open.get(_digest(key))
        return found[0] if found and found[1] > time.time() else None

    def close(self, key: str) -> None:
        with self._lock:
            self._open.pop(_digest(key), None)

    def owns_tab(self, visitor: Visitor, tab: str) -> bool:
        """Whether this tab is the visitor's; the first who comes with it has it. Its events reach nobody else."""
        with self._lock:
            while len(self._tabs) >= 10 * MOST_SESSIONS:
                del self._tabs[next(iter(self._tabs))]
            return self._tabs.setdefault(tab, visitor.id) == visitor.id


def _digest(key: str) -> str:
    """Keys are 256 random bits, so a plain digest cannot be guessed back."""
    return hashlib.sha256(key.encode()).hexdigest()
