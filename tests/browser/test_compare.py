"""Two ticked runs stand side by side at an address of their own, on a phone and on a desk, after a reload too."""

import re

import pytest
from playwright.sync_api import Page, expect

from core.runs.store import open_store
from tests.browser.conftest import WAIT_MS, Server, assert_fits, slow_line
from tests.unit.test_leaderboard import finished, table


@pytest.fixture(scope="module")
def two_runs(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    workspace = shared_server.workspace
    file = table(tmp_path_factory.mktemp("data") / "questions.csv")
    finished(workspace, "good", file, 0.05)
    finished(workspace, "poor", file, 0.30, seed=2, content={"training": {"learning_rate": 3e-4}})
    for run_id in ("good", "poor"):
        for step in (1, 2, 3):
            open_store(workspace).add_metrics(run_id, step, {"train/loss": 1 / step, "validation/macro_f1": step / 4})
    return shared_server


def test_from_two_ticks_to_rows_and_settings_that_differ(two_runs: Server, page: Page):
    page.goto(f"{two_runs.url}/runs")
    page.get_by_label("Compare Run good").check(timeout=WAIT_MS)
    expect(page.locator("#compare-ticked")).to_contain_text("Tick another run", timeout=WAIT_MS)
    page.get_by_label("Compare Run poor").check()
    page.get_by_role("link", name="Compare 2 runs").click(timeout=WAIT_MS)
    expect(page).to_have_url(re.compile(r"/compare\?runs=good,poor$"), timeout=WAIT_MS)
    body = page.locator("#compare-page")
    expect(body).to_contain_text("“Run poor” is worse than “Run good”", timeout=WAIT_MS)
    expect(page.locator("#compare-curves figure")).to_have_count(2)
    expect(page.locator("#compare-settings")).to_contain_text("Learning rate")
    first = page.locator(".differing li").first
    expect(first.locator(".hit")).to_contain_text("A")
    shown = first.locator(".text").inner_text()
    page.get_by_role("button", name="Later").click()
    expect(page.locator("#compare-rows")).to_contain_text("11 to 20 of", timeout=WAIT_MS)
    assert page.locator(".differing .text").first.inner_text() != shown
    page.locator("#compare-rows input[type=radio]").nth(1).check()
    expect(page.locator(".differing li").first.locator(".hit")).to_contain_text("B", timeout=WAIT_MS)
    page.reload()
    expect(body).to_contain_text("“Run poor” is worse than “Run good”", timeout=WAIT_MS)
    assert_fits(page)


def test_two_quick_ticks_both_count(two_runs: Server, page: Page):
    page.goto(f"{two_runs.url}/runs")
    expect(page.get_by_label("Compare Run poor")).to_be_visible(timeout=WAIT_MS)
    slow_line(page)
    for name in ("good", "poor"):
        page.get_by_label(f"Compare Run {name}").check()
    expect(page.get_by_role("link", name="Compare 2 runs")).to_be_visible(timeout=WAIT_MS)


def test_an_address_without_runs_says_what_to_do(two_runs: Server, page: Page):
    page.goto(f"{two_runs.url}/compare")
    expect(page.locator("#compare-page")).to_contain_text("Tick two runs on the Runs page", timeout=WAIT_MS)
    page.goto(f"{two_runs.url}/compare?runs=good,gone")
    expect(page.locator("#compare-page")).to_contain_text("gone", timeout=WAIT_MS)
