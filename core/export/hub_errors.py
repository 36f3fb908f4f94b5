"""What the hub's client and the network raise, in plain words: what happened, where, what to do. No word holds a token.

Codes as the Hub answers them (huggingface_hub.utils._http.hf_raise_for_status): a repository that is not there and one
that may not be seen are the same to it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from core.errors import UserError
from core.hub_fetching import LOG_IN
from core.masking import masked

QUOTA = re.compile(r"quota|storage limit|storage.{0,20}(?:full|exceed)|payment", re.IGNORECASE)


class ConnectionCutError(UserError):
    """The hub did not answer, or stopped answering: worth another try, for what arrived is kept there."""


@contextmanager
def explained(repository: str, token: str | None = None) -> Iterator[None]:
    """Turn what the client raises into UserErrors about `repository`."""
    try:
        yield
    except UserError:
        raise
    except (httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
        # Without `from`: a traceback that shows the cause would show the request, and that holds the token.
        raise user_error(error, repository, token) from None


def user_error(error: BaseException, repository: str, token: str | None = None) -> UserError:
    """The words for one exception. The client wraps what happens in its threads: the cause counts."""
    while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    said = masked(_said(error), token=token)
    if isinstance(error, LocalTokenNotFoundError):
        return UserError(
            "Nobody is logged in to the hub.", repository, "Log in under Settings, or with `hf auth login`."
        )
    if isinstance(error, OfflineModeIsEnabled):
        return UserError(
            "The hub is switched off on this computer (HF_HUB_OFFLINE).",
            "HF_HUB_OFFLINE",
            "Start the program without HF_HUB_OFFLINE, or take the zip and upload it elsewhere.",
        )
    if isinstance(error, HfHubHTTPError):
        return _of_answer(error, repository, said)
    if isinstance(error, httpx.TransportError):
        return ConnectionCutError(
            f"The connection to the hub broke off or never came about ({type(error).__name__}).",
            repository,
            "Check the network and publish again: files that arrived are not sent twice.",
        )
    if QUOTA.search(said):
        return _no_room(repository, said)
    return UserError(
        f"The hub refused the upload: {said}",
        repository,
        "Change what it says and publish again: files that arrived are not sent twice.",
    )


def _said(error: BaseException) -> str:
    if isinstance(error, HfHubHTTPError):
        return " ".join((error.server_message or "").split())
    return " ".join(str(error).split())


def _of_answer(error: HfHubHTTPError, repository: str, said: str) -> UserError:
    code = error.response.status_code
    added = f" It says: {said}" if said else ""
    if code in (402, 413) or QUOTA.search(said):
        return _no_room(repository, said)
    if isinstance(error, RevisionNotFoundError):
        return UserError(
            f"{repository} has no such branch.{added}", repository, "Name another branch, or none for main."
        )
    if code == 401 and not isinstance(error, RepositoryNotFoundError):
        return UserError(f"The hub does not accept the token: it is wrong or has expired.{added}", "token", LOG_IN)
    if isinstance(error, RepositoryNotFoundError) or code == 404:
        return UserError(
            f"The hub has no {repository} that this login may see.{added}",
            repository,
            "Check the name: USER/NAME. For another one's repository log in as someone who may see it.",
        )
    if code == 403:
        return UserError(
            f"This login may not write to {repository}.{added}",
            repository,
            "Use a token with the role write, choose a name under your own user name or an organisation that lets you "
            "write, or open a pull request.",
        )
    if code in (409, 412):
        return UserError(
            f"{repository} was changed by someone else meanwhile, or its name is taken.{added}",
            repository,
            "Publish again: what arrived is not sent twice. If it stays so, choose another name.",
        )
    if code == 429:
        return UserError(
            f"The hub answers no more for now: too many requests.{_wait(error)}{added}",
            repository,
            "Wait, then publish again: what arrived is not sent twice.",
        )
    if code >= 500:
        return ConnectionCutError(
            f"The hub has trouble of its own (it answers with code {code}).{added}",
            repository,
            "Try again in some minutes; https://status.huggingface.co says how it is.",
        )
    return UserError(
        f"The hub refused the upload (code {code}).{added}", repository, "Change what it says, then try again."
    )


def _no_room(repository: str, said: str) -> UserError:
    added = f" It says: {said}" if said else ""
    return UserError(
        f"The hub has no room for it: a file is too large for it, or the storage of this login is full.{added}",
        repository,
        "Delete what you no longer need there, make the repository public (private storage is smaller), or take a "
        "smaller model or an adapter.",
    )


def _wait(error: HfHubHTTPError) -> str:
    after = error.response.headers.get("Retry-After", "")
    return f" It asks to wait {int(after):,} seconds." if after.isdigit() else ""
