"""Tokens for programs that ask a model over HTTP: made by the owner, shown once, kept as digests in the store.

A token is `td_ID_SECRET`. Its secret is 256 random bits, so a plain digest is as good as a slow hash.
"""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

from core.errors import UserError
from core.runs.store import Run, Store, open_store
from core.workspace import Workspace

_FORM = re.compile(r"td_([0-9a-f]{8})_([\w-]{43})")


@dataclass(frozen=True)
class ApiToken:
    id: str
    name: str
    run: str | None
    """The one run that it may ask; None: every run that is shared."""
    created: float
    """Seconds since 1970."""


def make_token(workspace: Workspace, name: str, run_id: str | None = None) -> tuple[ApiToken, str]:
    """A new token, and its text, which cannot be had again. Raises UserError where there is no such run."""
    store = open_store(workspace)
    if run_id is not None:
        store.run(run_id)
    token = ApiToken(secrets.token_hex(4), name.strip()[:100] or "a program", run_id, time.time())
    secret = secrets.token_urlsafe(32)
    with store.transaction() as connection:
        connection.execute(
            "INSERT INTO api_tokens (id, name, run, digest, created) VALUES (?,?,?,?,?)",
            (token.id, token.name, run_id, _digest(secret), token.created),
        )
    return token, f"td_{token.id}_{secret}"


def tokens(workspace: Workspace) -> list[ApiToken]:
    """The newest first."""
    query = "SELECT id, name, run, created FROM api_tokens ORDER BY created DESC"
    with open_store(workspace).connection() as connection:
        return [ApiToken(*row) for row in connection.execute(query)]


def revoke_token(workspace: Workspace, token_id: str) -> None:
    """Raises UserError where there is no such token."""
    with open_store(workspace).transaction() as connection:
        found = connection.execute("DELETE FROM api_tokens WHERE id = ?", (token_id,)).rowcount
    if not found:
        raise UserError(
            f"There is no token '{token_id}'.", "token", "`python launch.py token --list` lists those there are."
        )


def token_of(workspace: Workspace, given: str) -> ApiToken | None:
    """The token that this text is, if it is one."""
    form = _FORM.fullmatch(given)
    digest = _kept_digest(workspace, form[1]) if form else None
    # Compared even where there is no such token, so that the time taken does not tell.
    fits = secrets.compare_digest(digest or _digest(""), _digest(form[2] if form else "none"))
    if not (form and digest and fits):
        return None
    return next((token for token in tokens(workspace) if token.id == form[1]), None)


def _kept_digest(workspace: Workspace, token_id: str) -> str | None:
    with open_store(workspace).connection() as connection:
        row = connection.execute("SELECT digest FROM api_tokens WHERE id = ?", (token_id,)).fetchone()
    return None if row is None else row[0]


def may_ask(token: ApiToken, run: Run) -> bool:
    return run.shared if token.run is None else token.run == run.id


def askable_runs(store: Store, token: ApiToken) -> list[Run]:
    """The newest first."""
    return [run for run in store.runs(limit=1000, states=["finished"]) if may_ask(token, run)]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
