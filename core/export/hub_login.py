"""Who is logged in to the hub: through huggingface_hub's own login, or with a token that this process holds in memory.

A token given here is written nowhere: not to the store, a file, a log or the environment of another process. It is
gone when the program ends. One login a program: everyone who may publish from the page publishes as it.
"""

import os
import re
import threading
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from core.errors import UserError
from core.export.hub_errors import explained
from core.hub_fetching import LOG_IN, hub_address

Source = Literal["page", "environment", "stored"]
DEVICE_MODULE = "huggingface_hub.utils._oauth_device"
"""Where the client keeps its login through a browser; not part of what it promises, so it may be absent."""
KNOWN_SECONDS = 600
"""So long an answer to "who is this" is taken for true: the hub counts these questions strictly."""
_TOKEN = re.compile(r"[\x21-\x7e]{8,512}")


@dataclass(frozen=True)
class Login:
    name: str
    organisations: tuple[str, ...]
    source: Source
    """page: this process's memory; environment: HF_TOKEN; stored: `hf auth login`."""
    role: str
    """read, write, fineGrained; "" where the hub does not say."""

    @property
    def may_write(self) -> bool:
        return self.role != "read"


@dataclass
class DeviceLogin:
    """A login through the browser that waits for its code to be entered there."""

    code: str
    address: str
    state: Literal["waiting", "done", "failed"] = "waiting"
    words: str = ""


class _Held:
    """What this process knows and never writes down."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.known: dict[str, tuple[float, Login]] = {}


_HELD = _Held()


def current_token() -> str | None:
    """The token to use: the one given here, else huggingface_hub's (HF_TOKEN, then `hf auth login`)."""
    from huggingface_hub import get_token

    return _HELD.token or get_token()


def required_token() -> str:
    """Raises UserError where nobody is logged in."""
    token = current_token()
    if token is None:
        raise UserError("Nobody is logged in to the hub.", "hub", "Log in under Settings, or with `hf auth login`.")
    return token


def log_in(token: str) -> Login:
    """Keep a token in memory, once the hub has said whose it is. Raises UserError."""
    given = token.strip()
    if not _TOKEN.fullmatch(given):
        raise UserError(
            "That is not a token: it has spaces or other letters in it, or it is too short.",
            "token",
            f"Copy it whole from {hub_address()}/settings/tokens; it begins with hf_.",
        )
    found = _asked(given, "page")
    _HELD.token = given
    return found


def who() -> Login | None:
    """Who is logged in; None for nobody. Raises UserError where the hub cannot be asked or refuses the token."""
    token = current_token()
    if token is None:
        return None
    known = _HELD.known.get(token)
    if known is not None and time.monotonic() - known[0] < KNOWN_SECONDS:
        return known[1]
    in_environment = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    return _asked(token, "page" if token == _HELD.token else "environment" if in_environment else "stored")


def log_out() -> str:
    """Forget the token given here; where there is none, undo `hf auth login`. Returns what was done, in words.

    Raises UserError for a token in HF_TOKEN, which only who set it can take away.
    """
    _HELD.known.clear()
    if _HELD.token is not None:
        _HELD.token = None
        return "Logged out: the token is forgotten."
    if os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN"):
        raise UserError(
            "The token comes from the environment variable HF_TOKEN.", "HF_TOKEN", "Start the program without it."
        )
    from huggingface_hub import logout

    logout()
    return "Logged out on this computer, also for other programs that use `hf auth login`."


def offers_device_login() -> bool:
    return find_spec(DEVICE_MODULE) is not None


def start_device_login() -> DeviceLogin:
    """Ask for a code to enter in the browser, and wait for that in a thread. Raises UserError.

    The token that comes of it is kept in memory like one that is typed; it lasts as long as the hub says (weeks).
    """
    from huggingface_hub.errors import DeviceCodeError
    from huggingface_hub.utils._oauth_device import poll_device_token, request_device_code

    try:
        asked = request_device_code()
    except DeviceCodeError:
        raise UserError(
            "The hub gives no code for a login through the browser.",
            hub_address(),
            "Check the network, or log in with a token.",
        ) from None
    login = DeviceLogin(asked["user_code"], asked["verification_uri_complete"])

    def wait() -> None:
        try:
            log_in(poll_device_token(asked)["access_token"])
            login.state = "done"
        except DeviceCodeError as error:
            login.state, login.words = "failed", f"{str(error).rstrip('.')}. Start again."
        except UserError as error:
            login.state, login.words = "failed", f"{error.what} {error.todo}"

    threading.Thread(target=wait, name="hub login", daemon=True).start()
    return login


def _asked(token: str, source: Source) -> Login:
    from huggingface_hub import HfApi

    with explained("hub", token):
        answer = HfApi(endpoint=hub_address(), library_name="tunedesk").whoami(token)
    if not isinstance(answer.get("name"), str):
        raise UserError("The hub does not say whose token this is.", "token", LOG_IN)
    auth = answer.get("auth") or {}
    role = (auth.get("accessToken") or {}).get("role") or ""
    organisations = tuple(str(each["name"]) for each in answer.get("orgs", []) if each.get("name"))
    found = Login(answer["name"], organisations, source, role)
    _HELD.known[token] = (time.monotonic(), found)
    return found
