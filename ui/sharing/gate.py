"""The gate before every page and route: whose computer is meant, where the request comes from, who asks, and how much.

Only routes that the pages use are let through, so that one which a newer Gradio adds is closed. What a guest does not
need is closed to guests. Functions behind these routes check the visitor again (ui/sharing/roles.py).
"""

from collections.abc import Iterable
from urllib.parse import parse_qs, quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import UserError
from core.sharing.rates import TooOftenError
from core.sharing.sessions import Visitor
from ui.sharing.entrance import SCOPE_KEY, Entrance, Entry

UNKNOWN = (
    "Tunedesk does not know this address. Open the one that it printed at its start, or start it with "
    "`python launch.py --host-name NAME`."
)
ELSEWHERE = "Another web site asked for this, so it was refused. Open the page by its own address."
FILES = ("/assets/", "/static/", "/svelte/")
"""Gradio's own scripts and styles."""
EVERYONE = {"/theme.css", "/gradio_api/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json", "/logout"}
RECONNECT = ("/gradio_api/app_id", "/gradio_api/app_id/")
"""By this a page finds out that the server was started anew, and loads itself again."""
EVENTS = {
    "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/upload",
    "/gradio_api/upload_progress",
}  # fmt: skip
HEARTBEAT = "/gradio_api/heartbeat/"
OWNERS = {"/config"}
OWNERS_FILES = ("/gradio_api/file=", "/gradio_api/run/")
NO_LOGIN = {"/login", "/gradio_api/startup-events"}
"""Gradio asks itself for the second when it starts; it answers true or false and does nothing after that."""
API = "/api/"
"""Asks for a token of its own."""
SAFE = ("GET", "HEAD", "OPTIONS")
MOST_BODY = {"owner": 64 * 2**20, "guest": 2**20}
"""Bytes of a request that is no upload."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def cookie_name(scope: Scope) -> str:
    """Cookies are shared by all ports of a computer, so the port is in the name."""
    return f"tunedesk-{(scope.get('server') or ('', 0))[1]}"


class Gate:
    """pages: paths of the owner's pages. guests: paths that guests have beside the files and events of a page."""

    def __init__(self, app: ASGIApp, entrance: Entrance, pages: Iterable[str], guests: Iterable[str]) -> None:
        self.app = app
        self.entrance = entrance
        self.guests = {*guests, *EVERYONE, *EVENTS, *RECONNECT}
        self.owners = {*pages, *self.guests, *OWNERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # no page uses one
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = await self._refusal(scope, Headers(scope=scope))
        await (answer or self.app)(scope, receive, send_guarded)

    async def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Why this request goes no further; None where it may. Notes the visitor in the scope."""
        host = headers.get("host", "")
        if not self.entrance.knows_host(host):
            return PlainTextResponse(UNKNOWN, 421)
        if not from_here(scope["method"], headers, host):
            return PlainTextResponse(ELSEWHERE, 403)
        path = scope["path"]
        if path.startswith(API):
            return None
        cookies = cookie_parser(headers.get("cookie", ""))
        visitor = self.entrance.visitor(cookies.get(cookie_name(scope)))
        if visitor is not None:
            scope[SCOPE_KEY] = Entry(visitor, self.entrance)
        if path in NO_LOGIN:
            return None
        if visitor is None:
            return _to_login(scope, headers)
        return self._closed(scope, visitor) or await self._too_much(scope, headers, visitor)

    def _closed(self, scope: Scope, visitor: Visitor) -> Response | None:
        """A route that this visitor does not have."""
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        run = parse_qs(query).get("run", [""])[0]
        if visitor.role == "owner":
            if path == "/" and run:
                return RedirectResponse(f"/run?{query}")  # a run's address is /?run=ID, its screen a page of its own
            known = path in self.owners or path.startswith((*FILES, HEARTBEAT, *OWNERS_FILES))
            elsewhere = path.startswith("/gradio_api/file=http")
            if elsewhere or not known:
                return PlainTextResponse("There is nothing here.", 404)
            return self._of_another_tab(path, query, visitor)
        if path in ("/", "/run"):
            return RedirectResponse(f"/shared?run={quote(run)}" if run else "/shared")
        if path not in self.guests and not path.startswith((*FILES, HEARTBEAT)):
            return PlainTextResponse("Only the owner can see this.", 403)
        return self._of_another_tab(path, query, visitor)

    def _of_another_tab(self, path: str, query: str, visitor: Visitor) -> Response | None:
        """Events of a tab reach only the session that opened it."""
        tab = parse_qs(query).get("session_hash", [""])[0]
        if path.startswith(HEARTBEAT):
            tab = path.removeprefix(HEARTBEAT)
        if tab and not self.entrance.sessions.owns_tab(visitor, tab):
            return PlainTextResponse("This page was opened by somebody else.", 403)
        return None

    async def _too_much(self, scope: Scope, headers: Headers, visitor: Visitor) -> Response | None:
        """A body without a length, or too long a one; an upload that comes too often or finds no room."""
        if scope["method"] in SAFE:
            return None
        stated = headers.get("content-length", "")
        if not stated.isdecimal():
            return PlainTextResponse("The request does not say how long it is.", 411)
        if scope["path"] != "/gradio_api/upload":
            too_long = int(stated) > MOST_BODY[visitor.role]
            return PlainTextResponse("The request is too long.", 413) if too_long else None
        try:
            if visitor.role == "guest":
                self.entrance.rates.take("upload", visitor.id)
            most = await run_in_threadpool(self.entrance.room.most, visitor.role)
        except TooOftenError as error:
            return PlainTextResponse(str(error), 429, {"Retry-After": str(error.seconds)})
        except UserError as error:
            return PlainTextResponse(str(error), 507)
        if int(stated) > most:
            return PlainTextResponse(f"A file may have {most:,} bytes at most; this one has {int(stated):,}.", 413)
        self.entrance.room.add(int(stated), visitor.role)
        return None


def from_here(method: str, headers: Headers, host: str) -> bool:
    """Whether a page of ours asks, or no page at all, by what browsers say of where a request comes from.

    Another site may link here, nothing else: neither post, nor fetch, nor show what is here as an image or a frame.
    """
    site = headers.get("sec-fetch-site", "none")
    is_link = method in SAFE and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not (is_link and headers.get("sec-fetch-dest") == "document"):
        return False
    # Over plain http browsers do not say the site, and Gradio would let scripts of any origin read the answer.
    origin = headers.get("origin")
    if origin is None:
        return True
    asked = urlsplit(origin)
    # Browsers leave the usual port out; a proxy before us may write it.
    usual = ":443" if asked.scheme == "https" else ":80"
    return asked.netloc.lower().removesuffix(usual) == host.lower().removesuffix(usual)


def _to_login(scope: Scope, headers: Headers) -> Response:
    if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        query = scope["query_string"].decode("latin-1")
        wanted = scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)
    return PlainTextResponse("Log in first.", 401)
