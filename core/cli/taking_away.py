"""The commands for what leaves the program and comes back: `export` and `open`."""

import argparse
import sys

from core.cli.answer import Answer, note
from core.files import path_given
from core.workspace import Workspace


def export(request: argparse.Namespace, workspace: Workspace) -> Answer:
    if request.hub or request.hub_space:
        from core.cli.publishing import publish_run

        return publish_run(request, workspace)
    if request.format == "space":
        return _space(request, workspace)
    from core.export.make import export_run
    from core.export_formats import Wish, default_wish

    as_saved = request.format in (None, "folder", "zip")
    chosen = default_wish(workspace.run(request.run)).format if as_saved else request.format
    wish = Wish(chosen, request.precision, request.zip or request.format == "zip")
    made = export_run(workspace, request.run, wish, path_given(request.to), _tell)
    note("")
    content = {
        "run": request.run,
        "format": made.exported.format,
        "precision": made.exported.precision,
        "zip": wish.zipped,
        "path": str(made.path.absolute()),
        "notes": list(made.exported.notes),
    }
    return Answer("\n".join([f"Written: {made.path}", *made.exported.notes]), content)


def _space(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """The model with a small Gradio app beside it, started and asked once."""
    from core.export.space import try_space, write_space

    written = write_space(workspace.run(request.run), path_given(request.to))
    note("Starting the app and asking it one text")
    try_space(written)
    content = {"run": request.run, "format": "space", "path": str(written.absolute())}
    return Answer(f"Written: {written}", content)


def open_model(request: argparse.Namespace, workspace: Workspace) -> Answer:
    from core.export.hub_login import current_token
    from core.hub_fetching import OutOfReachError
    from core.opening import Asked, look, on_this_computer, open_model

    asked = Asked(request.model, request.revision, request.base, request.name)
    token = None
    if not on_this_computer(asked.model):
        token = current_token()
        try:
            there = look(asked, token)
        except OutOfReachError as error:
            note(error.what)
        else:
            note(f"{there.repository}, commit {there.commit}: {len(there.files)} files, {there.bytes / 1e6:,.1f} MB")
            for name, size in there.files:
                note(f"  {size:>14,} bytes  {name}")
    run_id = open_model(workspace, asked, token, _tell)
    return Answer(f"Opened as run {run_id}.", {"run": run_id, "status": "finished"})


def _tell(done: int, total: int, words: str) -> None:
    sys.stderr.write(f"\r{words}{f', {done:,} of {total:,}' if total else ''}{' ' * 20}")
    sys.stderr.flush()
