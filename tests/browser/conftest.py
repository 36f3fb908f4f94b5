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
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from core.runs.store import ACTIVE, Progress, Store, open_store
from core.workspace import Workspace, new_id, open_workspace
from tests.run_folders import add_running

PROJECT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SERVE = (
    "import sys; from core.workspace import open_workspace; from ui.app import serve; "
    "serve(open_workspace(sys.argv[1]), port=int(sys.argv[2]), open_browser=False)"
)
START_SECONDS = 120
HOLDER = '<img src=x onerror="document.title=1">'
"""The name of a run that holds a queue."""
WAIT_MS = 120_000
"""A page has as long as a busy machine may need."""
TRAINING_MS = 900_000
"""So has a run, which may wait for those of other tests before it trains, and a model that is loaded to answer."""


def assert_fits(page: Page) -> None:
    """Neither on a phone's screen nor on a desk's does the page scroll sideways."""
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        # Tabs and menus are laid out anew by scripts, a moment later.
        page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)


def slow_line(page: Page) -> None:
    """From now on whatever the page asks takes most of a second to leave, so that more is pressed meanwhile."""
    page.evaluate("""() => {
        const straight = window.fetch;
        window.fetch = async (address, options) => {
            if (String(address).includes('queue/join')) await new Promise((resolve) => setTimeout(resolve, 800));
            return straight(address, options);
        };
    }""")


def open_fold(page: Page, selector: str) -> None:
    """Open a fold and let its fields be filled.

    Gradio mounts them as the fold opens and sets them to their values a moment later, over what was typed meanwhile
    (https://github.com/gradio-app/gradio/pull/12904). A person is never that quick.
    """
    page.locator(f"{selector} > button").click()
    let_mount(page)


def let_mount(page: Page) -> None:
    """Let the fields that have come up be set to their values."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200)))")


class Server:
    """The real app over a workspace. It may be killed and started again at the same address."""

    def __init__(self, workspace: Workspace, **environment: str) -> None:
        self.workspace = workspace
        self.environment = environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once the page answers. The hub is out of reach, so that every machine sees the same."""
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(self.workspace.root / "no-hub-cache")}
        environment.pop("HF_TOKEN", None)
        environment |= self.environment
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


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        expect.set_options(timeout=WAIT_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all: the page's scripts are compiled once, not for each test."""
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
    """A server of this test's own, over an empty workspace, for what the runs of others would change."""
    server = Server(open_workspace(tmp_path / "workspace"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="package")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that all these tests share, since one takes seconds to start; each makes drafts and runs of its own.

    A run that is started trains, in a process that imports for seconds: where that is not the point, take `held`.
    """
    server = Server(open_workspace(tmp_path_factory.mktemp("shared") / "workspace"))
    server.start()
    yield server
    server.close()


@contextmanager
def queue_held(server: Server) -> Iterator[Store]:
    """A server's store while its queue does not move on: this process seems to train `HOLDER`."""
    store, run_id = open_store(server.workspace), new_id()
    add_running(store, run_id, HOLDER, "quickstart-minilm", "packaged", "questions.csv")
    process = psutil.Process()
    store.set_process(run_id, process.pid, process.create_time())
    store.set_progress(run_id, Progress("training", step=62, total_steps=100, epochs=3, seconds_left=236.0))
    yield store
    for run in store.runs(states=["queued"]):
        store.move(run.id, ["queued"], "stopped")
    store.move(run_id, ["running"], "finished")


@pytest.fixture
def held(shared_server: Server) -> Iterator[Store]:
    with queue_held(shared_server) as store:
        yield store
