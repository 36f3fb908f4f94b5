"""Assembles the pages and serves them."""

import os
import threading
import webbrowser
from typing import Any

# Read by Gradio: nothing is counted, and no newer version is looked for.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# The same functions may run for several pages at a time.
os.environ["GRADIO_DEFAULT_CONCURRENCY_LIMIT"] = "8"

import gradio as gr
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from core.deletion import remove_unneeded_uploads
from core.errors import UserError
from core.prediction_service import PredictionService
from core.runs.supervisor import Supervisor
from core.workspace import Workspace
from ui.new_run.page import build_new_run
from ui.run.page import build_run
from ui.runs import build_runs
from ui.settings import build_settings
from ui.sidebar import Machine, build_sidebar
from ui.theme import head, theme

FIRST_PORT, PORTS_TRIED = 7860, 100
LOCAL = ("127.0.0.1", "localhost", "::1")


class RunAddress:
    """A run's address is `/?run=ID`; its screen is a Gradio page of its own, so those who ask for it are sent there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/" and b"run=" in scope["query_string"]:
            await RedirectResponse(f"/run?{scope['query_string'].decode()}")(scope, receive, send)
        else:
            await self.app(scope, receive, send)


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
        _page(app, "settings", "Settings")
        build_sidebar(workspace, machine, "settings")
        build_settings(workspace)
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
    auth: tuple[str, str] | None = None,
    open_browser: bool = True,
) -> None:
    """Serve the pages until interrupted; runs go on after it. Raises UserError for a port that is taken.

    auth: (name, password), asked of every visitor; needed wherever others can reach the page.
    """
    if (share or host not in LOCAL) and auth is None:
        raise UserError(
            "Others could open this page without a password.", "auth", "Give --auth USER:PASS, or leave --listen out."
        )
    # Uploads arrive on the workspace's disk, so that keeping one is a rename.
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.incoming)
    service = PredictionService(workspace)
    supervisor = Supervisor(workspace)
    app = build_app(workspace, service)
    try:
        port = _launch(app, host, port, share, auth)
        supervisor.start()
        threading.Thread(target=remove_unneeded_uploads, args=(workspace,), name="uploads", daemon=True).start()
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
        address = app.share_url or f"http://{shown}:{port}"
        print(f"Tunedesk is at {address}", flush=True)
        if open_browser:
            webbrowser.open(address)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        supervisor.close()
        service.close()
        app.close(verbose=False)


def _launch(app: gr.Blocks, host: str, port: int | None, share: bool, auth: tuple[str, str] | None) -> int:
    """Start the server on this port, or on the first free one. Returns it."""
    ports: Any = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS_TRIED)
    os.environ["GRADIO_NUM_PORTS"] = "1" if port is not None else str(PORTS_TRIED)
    try:
        app.launch(
            server_name=host,
            server_port=port,
            share=share,
            auth=auth,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            inline=False,
            show_error=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            app_kwargs={"middleware": [Middleware(RunAddress)], "docs_url": None, "redoc_url": None},
            theme=theme(),
            head=head(),
        )
    except OSError as error:
        raise UserError(
            f"No port is free at {host} ({ports[0]} to {ports[-1]})." if port is None else f"Port {port} is taken.",
            f"port {ports[0]}",
            "Close the program that uses it, or choose another with --port N.",
        ) from error
    return app.server_port
