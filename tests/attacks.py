"""What the tests of attacks share: how many were tried and refused, who attacks whom, and the functions of an app."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr
import httpx
import pytest

from core.runs.store import ENDED, open_store
from core.workspace import Workspace
from tests.hostile import SharedServer
from ui.sharing.roles import is_open_to_guests

TRIED: Counter[str] = Counter()
REFUSED: Counter[str] = Counter()


def tried(what: str, refused: bool, told: object = "") -> None:
    """Count one attack. Fails the test where it was not refused."""
    TRIED[what] += 1
    REFUSED[what] += bool(refused)
    assert refused, f"{what}: {told!r:.600}"


def figures_of_a_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """A fixture's work: begin to count, and print the table at the end."""
    TRIED.clear()
    REFUSED.clear()
    yield
    lines = [f"{what:<44}{TRIED[what]:>7,}{REFUSED[what]:>9,}" for what in TRIED]
    total = f"{'all':<44}{sum(TRIED.values()):>7,}{sum(REFUSED.values()):>9,}"
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + "\n".join([f"{'attack':<44}{'tried':>7}{'refused':>9}", *lines, total]))


@dataclass(frozen=True)
class Attacked:
    server: SharedServer
    run_id: str
    stranger: httpx.Client
    guest: httpx.Client
    other_guest: httpx.Client
    owner: httpx.Client

    @property
    def workspace(self) -> Workspace:
        return self.server.workspace

    def finished(self) -> str:
        """The run's id, once it is trained and shared."""
        store = open_store(self.workspace)
        while store.run(self.run_id).state not in ENDED:
            time.sleep(0.3)
        assert store.run(self.run_id).state == "finished", store.run(self.run_id).reason
        store.share_run(self.run_id, True)
        return self.run_id


def function_name(app: gr.Blocks, number: int) -> str:
    function = app.fns[number].fn
    return "" if function is None else function.__qualname__


def owners_functions(app: gr.Blocks) -> list[int]:
    return [number for number, event in app.fns.items() if event.fn is not None and not is_open_to_guests(event.fn)]


def usual_inputs(app: gr.Blocks, number: int) -> list[object]:
    """What the page sends: what each input shows at first."""
    return [block.get_config().get("value") for block in app.fns[number].inputs]


def function_on(app: gr.Blocks, name: str, page: str) -> int:
    """The number of a function on a page."""
    return next(
        number for number, event in app.fns.items() if function_name(app, number) == name and event.page == page
    )


def upload(client: httpx.Client, name: str, content: bytes) -> httpx.Response:
    return client.post("/gradio_api/upload", files={"files": (name, content)})
