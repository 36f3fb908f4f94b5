"""The login page: plain HTML without a script, so that nothing of the app is needed before somebody is let in."""

from html import escape
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.sharing.credentials import role_of
from core.sharing.rates import TooOftenError
from core.sharing.sessions import KEPT_SECONDS
from ui.sharing.entrance import Entrance
from ui.sharing.gate import cookie_name

LONGEST_FORM = 8192
STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:Canvas;color:CanvasText}
form{width:min(20rem,calc(100vw - 2.5rem));display:grid;gap:.9rem}h1{font-size:1.35rem;margin:0}p{margin:0;opacity:.75}
label{display:grid;gap:.25rem;font-size:.9rem}input{font:inherit;padding:.55rem .7rem;border:1px solid #8b8b95;
border-radius:8px;background:Field;color:FieldText}button{font:inherit;padding:.6rem;border:0;border-radius:8px;
background:#3b5bdb;color:#fff;cursor:pointer}:focus-visible{outline:3px solid #8098f6;outline-offset:1px}
.wrong{opacity:1;color:light-dark(#b91c1c,#fca5a5)}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def login_page(entrance: Entrance, request: Request) -> Response:
    wanted = local_address(request.query_params.get("next", ""))
    return _page(wanted) if entrance.logins else RedirectResponse(wanted, 303)


async def log_in(entrance: Entrance, request: Request) -> Response:
    """Open a session for whoever gives a name with its password."""
    if not request.headers.get("content-length", "").isdecimal():
        return _page("/", "The form could not be read.", 411)
    if int(request.headers["content-length"]) > LONGEST_FORM:
        return _page("/", "The form could not be read.", 413)
    form = parse_qs((await request.body()).decode("utf-8", errors="replace"))
    name, password, wanted = (form.get(field, [""])[0] for field in ("name", "password", "next"))
    wanted = local_address(wanted)
    link = entrance.link_of(request.headers.get("host", ""))
    # Who guesses by a link keeps nobody out who comes another way, be it from this computer.
    who = f"{request.client.host if request.client else 'nobody'} {link}"
    try:
        entrance.rates.ask("login", who)
        if link:
            entrance.rates.ask("link", link)
        entrance.rates.take("logins", "everybody")
    except TooOftenError as error:
        return _page(wanted, str(error), 429)
    role = await run_in_threadpool(role_of, entrance.logins, name, password)
    if role is None:
        entrance.rates.take("login", who)
        if link:
            entrance.rates.take("link", link)
        return _page(wanted, "Name and password do not fit.", 401)
    answer = RedirectResponse(wanted, 303)
    answer.set_cookie(
        cookie_name(request.scope), entrance.sessions.open(role, name), max_age=KEPT_SECONDS, httponly=True,
        samesite="lax", secure=bool(link) or is_encrypted(request), path="/",
    )  # fmt: skip
    return answer


def log_out(entrance: Entrance, request: Request) -> Response:
    key = request.cookies.get(cookie_name(request.scope))
    if key:
        entrance.sessions.close(key)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(request.scope), path="/")
    return answer


def is_encrypted(request: Request) -> bool:
    """Whether the browser came over https, here or at a tunnel's or proxy's end. Claiming so only makes the cookie
    stricter."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))


def local_address(wanted: str) -> str:
    """An address within this program; the first page for any other."""
    inside = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if inside and wanted.isprintable() and "\\" not in wanted else "/"


def _page(wanted: str, wrong: str = "", code: int = 200) -> Response:
    said = f'<p class="wrong" role="alert">{escape(wrong)}</p>' if wrong else ""
    content = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>Tunedesk: log in</title><style>{STYLE}</style></head>'
        '<body><form method="post" action="/login"><h1>Tunedesk</h1><p>Whoever started it has your name and password.'
        f'</p>{said}<input type="hidden" name="next" value="{escape(wanted)}">'
        '<label>Name<input name="name" autocomplete="username" required autofocus></label>'
        '<label>Password<input name="password" type="password" autocomplete="current-password" required></label>'
        '<button type="submit">Log in</button></form></body></html>'
    )
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(content, code, headers)
