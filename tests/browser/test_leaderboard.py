"""The leaderboard on the Runs page in a real browser: empty, filled, sorted, and on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, assert_fits
from tests.unit.test_leaderboard import finished, table

pytestmark = pytest.mark.browser


def test_runs_stand_beside_their_baselines_and_sort(server: Server, page: Page, tmp_path: Path) -> None:
    finished(server.workspace, "good", table(tmp_path / "table.csv"), 0.05)
    page.goto(f"{server.url}/runs")
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


def test_an_empty_leaderboard_says_what_fills_it(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/runs")
    page.get_by_role("button", name="Leaderboard").click()
    expect(page.locator("#leaderboard")).to_contain_text("Nothing can be compared yet.")
