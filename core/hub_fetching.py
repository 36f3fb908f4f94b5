"""What the hub's client and the network raise while something is asked for or fetched, in plain words. Light: no torch.

The same for models, tokenizers and data sets; what publishing raises is worded in core/export/hub_errors.py.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import httpx
from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from core.errors import UserError

Kind = Literal["model", "data set"]

LOG_IN = "Log in again under Settings, or with `hf auth login`."
OFFLINE = "the hub is switched off on this computer (HF_HUB_OFFLINE)"


class OutOfReachError(UserError):
    """The hub does not answer, so that a copy in its client's cache is as good as it gets."""


def hub_address() -> str:
    """HF_ENDPOINT, or the hub itself. Read when asked, for the client reads it once at its import."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


@contextmanager
def fetching(repository: str, kind: Kind, field: str, away: str, gated: str = "") -> Iterator[None]:
    """Turn what the client raises into UserErrors, without its cause: a request in a traceback holds the token.

    field: the place that the errors name. away: what to do where the hub cannot be reached (an OutOfReachError).
    gated: what else can be done about a repository whose terms were not accepted.
    """
    try:
        yield
    except HFValidationError:
        raise UserError(
            f"'{repository}' is neither a folder on this computer nor a name on the hub.",
            field,
            f"Check the spelling: OWNER/NAME, as on the {kind}'s page.",
        ) from None
    except (httpx.HTTPError, OSError) as error:
        # Where a copy would have done, the client raises that there is none; why the hub was of no use is the cause.
        found = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        refused = _refusal(found, repository, kind, field, gated) if isinstance(found, HfHubHTTPError) else None
        raise refused or _away(repository, field, away, _reason(found)) from None


def _refusal(error: HfHubHTTPError, repository: str, kind: Kind, field: str, gated: str) -> UserError | None:
    """The words for an answer of the hub that is about this repository or this login; None for trouble of its own."""
    code = error.response.status_code
    page = f"{hub_address()}/{'datasets/' if kind == 'data set' else ''}{repository}"
    if isinstance(error, GatedRepoError):
        return UserError(
            f"{repository} is only given to people who accepted its terms.",
            field,
            f"Accept them at {page}, then log in under Settings, or with `hf auth login`.{gated}",
        )
    if isinstance(error, DisabledRepoError):
        return UserError(f"The hub has shut {repository}.", field, f"Read why at {page}, or choose another {kind}.")
    if isinstance(error, RevisionNotFoundError):
        return UserError(f"{repository} has no such branch, tag or commit.", field, "Name another, or none for main.")
    if isinstance(error, RemoteEntryNotFoundError):
        name = error.response.url.path.rpartition("/")[2]
        return UserError(f"{repository} on the hub holds no {name}.", field, f"See {page}, or choose another {kind}.")
    if code == 401 and not isinstance(error, RepositoryNotFoundError):
        return UserError("The hub does not accept the token: it is wrong or has expired.", "token", LOG_IN)
    if isinstance(error, RepositoryNotFoundError) or code in (403, 404):
        return UserError(
            f"The hub has no {kind} {repository} that this login may see.",
            field,
            f"Check the spelling. For a private {kind} log in under Settings, or with `hf auth login`.",
        )
    if code == 429:
        return UserError(
            "The hub answers no more for now: too many requests.", repository, "Wait some minutes, then try again."
        )
    return None


def _reason(error: BaseException) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"the hub answers with code {error.response.status_code}"
    return OFFLINE if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError) else type(error).__name__


def _away(repository: str, field: str, away: str, why: str) -> OutOfReachError:
    return OutOfReachError(
        f"{repository} is not on this computer and could not be fetched from the hub ({why}).", field, away
    )
