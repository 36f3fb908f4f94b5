"""What the running program knows of those who may come in: logins, open sessions, rates, room, and its own names."""

import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from core.sharing.allowance import Room
from core.sharing.credentials import Login
from core.sharing.rates import Rates
from core.sharing.sessions import OWNER, Sessions, Visitor
from core.workspace import Workspace

SCOPE_KEY = "tunedesk.entry"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Entrance:
    workspace: Workspace
    logins: tuple[Login, ...] = ()
    """None: whoever reaches the page is the owner, which only this computer's own people do."""
    bound_to: str = "127.0.0.1"
    names: set[str] = field(default_factory=set)
    """Further names that this computer is reached by; that of a share link comes once it is made."""
    links: set[str] = field(default_factory=set)
    """Those of `names` that are a tunnel's end, reached over https: a share link."""
    sessions: Sessions = field(default_factory=Sessions)
    rates: Rates = field(default_factory=Rates)
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "room", Room(self.workspace))
        if self.bound_to not in LOOPBACK:
            own = socket.gethostname().lower()
            self.names.update({own, own.split(".")[0], f"{own.split('.')[0]}.local"})

    def visitor(self, cookie: str | None) -> Visitor | None:
        if not self.logins:
            return OWNER
        return self.sessions.visitor(cookie) if cookie else None

    def link_of(self, host: str) -> str:
        """The share link that a Host header names; '' where somebody came another way."""
        name = _name_in(host)
        return name if name in self.links else ""

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this computer.

        A page of another site can have its own name lead here (DNS rebinding) and would then be of one origin with
        ours; an address written in digits cannot be made to lead elsewhere.
        """
        name = _name_in(host)
        if name in LOOPBACK or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.bound_to not in LOOPBACK


def _name_in(host: str) -> str:
    """Of a Host header, without the port; '' where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


@dataclass(frozen=True)
class Entry:
    """One request's visitor; the gate puts it where no header can."""

    visitor: Visitor
    entrance: Entrance


def entry_of(scope: Any) -> Entry:
    """Of a request that came through the gate."""
    found = scope[SCOPE_KEY]
    assert isinstance(found, Entry)
    return found


def visitor_of(request: Request) -> Visitor:
    return entry_of(request.scope).visitor
