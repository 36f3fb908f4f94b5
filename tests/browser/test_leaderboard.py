"""The Runs page in a real browser: what it says while it is empty; then the leaderboard, sorted, and on a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.workspace import open_workspace
from tests.browser.conftest import Server, assert_fits, queue_held
from tests.browser.test_new_run import opened, to_review
from tests.unit.test_leaderboard import finished, table

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a workspace that is empty at first."""
    server = Server(open_workspace(tmp_path_factory.mktemp("empty") / "workspace"))
    server.start()
    yield server
    server.close()


def test_an_empty_history_leads_to_the_sample_and_a_busy_one_to_the_queue(empty_server: Server, page: Page) -> None:
    page.goto(f"{empty_server.url}/runs")
    page.get_by_role("link", name="Try the sample").click()
    opened(page)
    page.wait_for_url("**draft=*")
    to_review(page)
    expect(page.locator("#start-run")).to_have_text("Start")
    with queue_held(empty_server):
        page.locator("#back-to-model").click()
        page.locator("#to-review").click()
        expect(page.locator("#start-run")).to_have_text("Add to queue")


def test_an_empty_leaderboard_says_what_fills_it(empty_server: Server, page: Page) -> None:
    page.goto(f"{empty_server.url}/runs")
    page.get_by_role("button", name="Leaderboard").click()
    expect(page.locator("#leaderboard")).to_contain_text("Nothing can be compared yet.")


def test_runs_stand_beside_their_baselines_and_sort(empty_server: Server, page: Page, tmp_path: Path) -> None:
    finished(empty_server.workspace, "good", table(tmp_path / "table.csv"), 0.05)
    page.goto(f"{empty_server.url}/runs")
    expect(page.locator("#runs-table")).to_contain_text("Run good")
    page.get_by_role("button", name="Leaderboard").click()
    board = page.locator(".board")
    expect(board).to_contain_text("Better than TF-IDF (p < 0.001")
    names = board.locator("tbody .name :is(a, bdi)")
    expect(names).to_have_text(["Run good", "TF-IDF with logistic regression", "Guessing the commonest class"])
    board.get_by_role("button", name="Model or baseline").click()
    expect(board.locator("th[aria-sort=ascending]")).to_have_text("Model or baseline↑")
    expect(names).to_have_text(["Guessing the commonest class", "Run good", "TF-IDF with logistic regression"])
    assert_fits(page)
    page.set_viewport_size({"width": 1280, "height": 900})
    board.get_by_role("link", name="Run good").click()
    page.wait_for_url("**run=good")
