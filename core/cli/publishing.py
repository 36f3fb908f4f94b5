"""`launch.py export RUN --hub USER/NAME`: publish from the command line, as the page does."""

import argparse
import getpass
import sys

from core.cli.answer import Answer, note
from core.errors import UserError
from core.workspace import Workspace


def publish_run(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Raises UserError."""
    from core.export.publication import publication_of, published_wish
    from core.export.publish import publish

    asked = publication_of(
        run=request.run,
        repository=request.hub or "",
        format=request.format or "",
        precision=request.precision,
        private=not request.public,
        revision=request.revision,
        pull_request=request.pull_request,
        language=tuple(request.language),
        data_repository=request.with_data or "",
        data_licence=request.data_licence or "",
        space_repository=request.hub_space or "",
        replace=request.replace,
    )
    published_wish(workspace.run(request.run), asked)
    token = _token()

    def show(files: list[tuple[str, int]]) -> None:
        whose = "for you alone" if asked.private else "for all to see"
        note(f"\nTo the hub, {whose}: {len(files)} files, {sum(size for _, size in files) / 1e6:,.1f} MB")
        for name, size in files:
            note(f"  {size:>14,} bytes  {name}")

    done = publish(workspace, asked, token, _tell, show)
    note("")
    published = [{"kind": each.kind, "repository": each.repository, **vars(each.pushed)} for each in done]
    lines = [f"Published: {each['pull_request'] or each['url']}" for each in published]
    return Answer("\n".join(lines), {"run": request.run, "published": published})


def _token() -> str:
    """Of huggingface_hub's own login, or typed without being shown. Raises UserError where nobody can be asked."""
    from core.export.hub_login import current_token, log_in

    token = current_token()
    if token is None and sys.stdin.isatty():
        token = getpass.getpass("Token of the hub (it is not shown and not kept): ").strip()
        log_in(token)
    if token is None:
        raise UserError(
            "Nobody is logged in to the hub.", "hub", "Log in with `hf auth login`, or set HF_TOKEN for this command."
        )
    return token


def _tell(done: int, total: int, words: str) -> None:
    share = f": {done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total else ""
    sys.stderr.write(f"\r{words}{share}".ljust(78))
    sys.stderr.flush()
