"""What browser tests share: the app as a process of its own on a free port, and a page in headless Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from core.runs.store import ACTIVE, open_store
from core.workspace import Workspace, open_workspace

PROJECT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SERVE = (
    "import sys; from core.workspace import open_workspace; from ui.app import serve; "
    "serve(open_workspace(sys.argv[1]), port=int(sys.argv[2]), open_browser=False)"
)
START_SECONDS = 120
WAIT_MS = 60_000
"""A page has as long as a busy machine may need."""


def assert_fits(page: Page) -> None:
    """Neither on a phone's screen nor on a desk's does the page scroll sideways."""
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


class Server:
    """The real app over a workspace. It may be killed and started again at the same address."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once the page answers. The hub is out of reach, so that every machine sees the same."""
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(self.workspace.root / "no-hub-cache")}
        log = self.workspace.root / "server.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(self.workspace.root), str(self.port)],
                cwd=PROJECT, env=environment, stdout=output, stderr=output,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert self.process.poll() is None, log.read_text()
                time.sleep(0.2)
        raise TimeoutError(log.read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End the server, and the workers and models that live on without it."""
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.kill()
        workers = [run.pid for run in open_store(self.workspace).runs(states=ACTIVE) if run.pid]
        for process in [*children, *(psutil.Process(pid) for pid in workers if psutil.pid_exists(pid))]:
            if process.is_running():
                process.kill()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The Chromium to drive; without one the test is skipped, or fails where browsers are required."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("TUNEDESK_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = "no Chromium is on this computer (the README says how to get it)"
        if os.environ.get("TUNEDESK_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        expect.set_options(timeout=WAIT_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for a module: the page's scripts are compiled once, not for each test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    yield page
    page.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own, over an empty workspace."""
    server = Server(open_workspace(tmp_path / "workspace"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share; each makes drafts and runs of its own."""
    server = Server(open_workspace(tmp_path_factory.mktemp("shared") / "workspace"))
    server.start()
    yield server
    server.close()
