"""Assembles the pages and serves them."""

import os
import threading
import webbrowser
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

# Read by Gradio: nothing is counted, and no newer version is looked for.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# The same functions may run for several pages at a time.
os.environ["GRADIO_DEFAULT_CONCURRENCY_LIMIT"] = "8"

import gradio as gr
from starlette.middleware import Middleware

from core.deletion import tidy_for_ever
from core.doctor import find_gpus
from core.errors import UserError
from core.prediction_service import PredictionService
from core.runs.locks import ServerLock, lock_workspace
from core.runs.supervisor import Supervisor
from core.sharing.credentials import Login
from core.workspace import Workspace
from ui.compare import build_compare
from ui.new_run.page import build_new_run
from ui.run.page import build_run
from ui.runs import build_runs
from ui.settings import build_settings
from ui.sharing.entrance import LOOPBACK, Entrance
from ui.sharing.gate import Gate
from ui.sharing.roles import close_to_guests
from ui.sharing.routes import GUESTS, OWNERS, routes
from ui.sharing.shared_page import build_shared
from ui.sidebar import Machine, build_sidebar
from ui.theme import head, theme

FIRST_PORT, PORTS_TRIED = 7860, 100


def build_app(workspace: Workspace, prediction_service: PredictionService | None = None) -> gr.Blocks:
    """Every page over one workspace."""
    service = prediction_service or PredictionService(workspace)
    machine = Machine()
    with gr.Blocks(title="Tunedesk", analytics_enabled=False) as app:
        build_sidebar(workspace, machine, "new")
        build_new_run(workspace, machine)
        _page(app, "run", "Run")
        build_sidebar(workspace, machine, "run")
        build_run(workspace, service)
        _page(app, "runs", "Runs")
        build_sidebar(workspace, machine, "runs")
        build_runs(workspace)
        _page(app, "compare", "Compare")
        build_sidebar(workspace, machine, "compare")
        build_compare(workspace)
        _page(app, "settings", "Settings")
        build_sidebar(workspace, machine, "settings")
        build_settings(workspace)
        _page(app, "shared", "Shared")
        build_shared(workspace, service)
    close_to_guests(app)
    return app


def _page(app: gr.Blocks, path: str, title: str) -> None:
    """What follows belongs to another page: as `app.route` does it, but without leaving the context of `app`.

    Each time that context is left, Gradio builds the whole web application, which takes half a second a page.
    """
    app.pages.append((path, title, False))
    app.current_page = path


def serve(
    workspace: Workspace,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    logins: Sequence[Login] = (),
    open_browser: bool = True,
    names: Iterable[str] = (),
) -> None:
    """Serve the pages until interrupted; runs go on after it.

    Raises UserError for a port that is taken, and where another server has this workspace.

    logins: who is let in; needed wherever others can reach the page. names: what it is reached by beside its address.
    """
    if (share or host not in LOOPBACK) and not any(login.role == "owner" for login in logins):
        raise UserError(
            "Others could open this page without a password.", "auth", "Give --auth USER:PASS, or leave --listen out."
        )
    # Uploads arrive on the workspace's disk, so that keeping one is a rename.
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.incoming)
    entrance = Entrance(workspace, tuple(logins), host, {name.lower() for name in names})
    held = lock_workspace(workspace)
    try:
        _serve(workspace, held, entrance, host, port, share, open_browser)
    finally:
        held.release()


def _serve(
    workspace: Workspace,
    held: ServerLock,
    entrance: Entrance,
    host: str,
    port: int | None,
    share: bool,
    open_browser: bool,
) -> None:
    service = PredictionService(workspace)
    supervisor = Supervisor(workspace, service.make_room if find_gpus()[0] else None)
    closing = threading.Event()
    app = build_app(workspace, service)
    try:
        port = _launch(app, host, port, share, entrance, service)
        supervisor.start()
        threading.Thread(target=tidy_for_ever, args=(workspace, closing), name="tidying", daemon=True).start()
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
        address = app.share_url or f"http://{shown}:{port}"
        entrance.names.add(urlsplit(address).hostname or "")
        if app.share_url:
            entrance.links.add(urlsplit(app.share_url).hostname or "")
        held.tell(address)
        print(f"Tunedesk is at {address}", flush=True)
        if open_browser:
            webbrowser.open(address)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        closing.set()
        supervisor.close()
        service.close()
        app.close(verbose=False)


def _launch(
    app: gr.Blocks, host: str, port: int | None, share: bool, entrance: Entrance, service: PredictionService
) -> int:
    """Start the server on this port, or on the first free one. Returns it."""
    ports: Any = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS_TRIED)
    os.environ["GRADIO_NUM_PORTS"] = "1" if port is not None else str(PORTS_TRIED)
    pages = [f"/{path}" for path, *_ in app.pages]
    gate = Middleware(Gate, entrance=entrance, pages=[*pages, *OWNERS], guests=GUESTS)
    try:
        app.launch(
            server_name=host,
            server_port=port,
            share=share,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            inline=False,
            show_error=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            app_kwargs={
                "middleware": [gate], "routes": routes(entrance, service), "docs_url": None, "redoc_url": None,
                "openapi_url": None,
            },
            theme=theme(),
            head=head(),
        )  # fmt: skip
    except OSError as error:
        raise UserError(
            f"No port is free at {host} ({ports[0]} to {ports[-1]})." if port is None else f"Port {port} is taken.",
            f"port {ports[0]}",
            "Close the program that uses it, or choose another with --port N.",
        ) from error
    return app.server_port
