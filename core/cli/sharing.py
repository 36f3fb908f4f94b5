"""Commands that say what others may see and take: sharing a run, tokens for programs, limits."""

import argparse
from dataclasses import asdict

from core.cli.answer import Answer
from core.errors import UserError
from core.runs.store import open_store
from core.sharing.allowance import allowance_words, read_allowance, save_allowance
from core.sharing.tokens import make_token, revoke_token, tokens
from core.workspace import Workspace


def share(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Let guests see a run, or no longer."""
    open_store(workspace).share_run(request.run, not request.off)
    words = (
        f"Guests no longer see {request.run}."
        if request.off
        else f"Guests see {request.run}, at /shared?run={request.run}. They come in with "
        "`python launch.py --listen --guest`."
    )
    return Answer(words, {"run": request.run, "shared": not request.off})


def token(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Make a token, list those there are, or revoke one."""
    if request.revoke:
        revoke_token(workspace, request.revoke)
        return Answer(f"Token {request.revoke} no longer holds.", {"revoked": request.revoke})
    if request.list:
        found = tokens(workspace)
        lines = [f"{one.id}  {one.run or 'every shared run':<26}{one.name}" for one in found]
        return Answer("\n".join(lines) or "There is no token.", {"tokens": [asdict(one) for one in found]})
    made, text = make_token(workspace, request.name or "", request.run)
    words = f"{text}\nIt is shown this once. It may ask {made.run or 'every shared run'}; docs/api.md says how."
    return Answer(words, asdict(made) | {"token": text})


def limits(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Change what guests and uploads may take; without --set say it only."""
    changes = dict(_change(line) for line in request.set)
    allowance = save_allowance(workspace, changes) if changes else read_allowance(workspace)
    return Answer("\n".join(allowance_words(allowance)), {"limits": asdict(allowance)})


def _change(line: str) -> tuple[str, int]:
    name, _, value = line.partition("=")
    if not value.replace("_", "").isdecimal():
        raise UserError(f"--set {line}: there is no whole number.", "--set", "Write --set guest_rows=500.")
    return name, int(value)
