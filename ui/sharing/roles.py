"""Who may do what, checked in the function that acts, whatever page showed its button.

`close_to_guests` puts the owner's check around every function of the app, so a new one is closed before anybody thinks
of it. A function that guests may call is marked, and asks for its run by `seen_run` instead of `workspace.run`:

    @open_to_guests
    def show(request: gr.Request) -> Any:
        folder = seen_run(workspace, request)
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gradio as gr
from gradio import processing_utils
from gradio.context import LocalContext

from core.errors import UserError
from core.runs.store import open_store
from core.sharing.rates import What
from core.sharing.sessions import Visitor
from core.workspace import RunFolder, Workspace
from ui.run.actions import told
from ui.sharing.entrance import SCOPE_KEY, Entry

Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "open_to_guests"
GUARD = "guarded"


def open_to_guests(function: Function) -> Function:
    """Let guests call this function. It has to use `seen_run`, and to take nothing that names a place on the disk."""
    setattr(function, MARK, True)
    return function


def is_open_to_guests(function: Callable[..., Any]) -> bool:
    return MARK in inspect.unwrap(function).__dict__


def is_guarded(function: Callable[..., Any]) -> bool:
    return GUARD in function.__dict__


def close_to_guests(app: gr.Blocks) -> None:
    """Put the check of who asks into every function that a browser can call."""
    for event in app.fns.values():
        if event.fn is not None:
            event.fn = _guarded(event.fn)
    # Gradio fetches an address that stands where a file may, of any size and before a function is asked.
    processing_utils.async_ssrf_protected_download = _fetch_nothing


async def _fetch_nothing(url: str, cache_dir: str) -> str:
    raise gr.Error("Files come by upload, not by address.", print_exception=False)


def visitor() -> Visitor:
    """Who called the function that runs. Raises UserError where nobody known did."""
    return _entry().visitor


def owner() -> Visitor:
    """The same, if it is the owner. Raises UserError for anybody else."""
    found = visitor()
    if found.role != "owner":
        raise UserError(
            "Only the owner can do that.", "role", "Ask whoever shared this, or log in with the owner's password."
        )
    return found


def seen_run(workspace: Workspace, request: gr.Request) -> RunFolder:
    """The folder of the run that the address names, where this visitor may see it.

    Raises UserError otherwise; to a guest a run that is not shared is none.
    """
    folder = workspace.run(request.query_params.get("run", ""))
    if visitor().role != "owner":
        shared = [run.id for run in open_store(workspace).shared_runs()]
        if folder.id not in shared:
            raise UserError(f"There is no run '{folder.id}'.", "run", "Take one of those that are shared with you.")
    return folder


def count(what: What) -> None:
    """Count one request of a guest. Raises UserError where that is more than is allowed."""
    entry = _entry()
    if entry.visitor.role != "owner":
        entry.entrance.rates.take(what, entry.visitor.id)


def _entry() -> Entry:
    request = LocalContext.request.get()
    scope = request.request.scope if request is not None and request.request is not None else {}
    if not isinstance(scope.get(SCOPE_KEY), Entry):
        raise UserError("You are not logged in.", "role", "Log in first.")
    return scope[SCOPE_KEY]


def _check(function: Callable[..., Any]) -> None:
    """Raises gr.Error where the visitor may not call this function, or the tab is somebody else's."""
    try:
        if not is_open_to_guests(function):
            owner()
        entry, request = _entry(), LocalContext.request.get()
        tab = request.session_hash if request is not None else None
        if tab and not entry.entrance.sessions.owns_tab(entry.visitor, tab):
            raise UserError("This page was opened by somebody else.", "session", "Load it anew.")
    except UserError as error:
        raise told(error) from error


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*values: Any, **named: Any) -> Iterator[Any]:
            _check(function)
            yield from _plain_steps(function(*values, **named))

        checked: Callable[..., Any] = steps
    else:

        @functools.wraps(function)
        def once(*values: Any, **named: Any) -> Any:
            _check(function)
            try:
                return function(*values, **named)
            except UserError as error:
                raise told(error) from error

        checked = once
    setattr(checked, GUARD, True)
    return checked


def _plain_steps(steps: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from steps
    except UserError as error:
        raise told(error) from error
