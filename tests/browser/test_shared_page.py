"""What guests see of a run while it is at work and once it has finished, without loading the page anew."""

import os

import psutil
import pytest
from playwright.sync_api import Page, expect

from core.runs.store import Progress, open_store
from tests.browser.conftest import Server, assert_fits
from tests.run_folders import add_running, run_spec, write_report, write_run

pytestmark = pytest.mark.browser

RUN, LABELS = "20261121-000000-aaaa", ["HUM", "LOC"]


def test_a_guests_page_follows_a_run_to_its_report(server: Server, page: Page) -> None:
    store = open_store(server.workspace)
    folder = write_run(server.workspace, RUN, run_spec(max_length=24), LABELS)
    add_running(store, RUN, "Questions", "quickstart-minilm", "packaged", "questions.csv")
    # Without a process that lives it would be called interrupted.
    store.set_process(RUN, os.getpid(), psutil.Process().create_time())
    store.share_run(RUN, True)
    page.goto(f"{server.url}/shared?run={RUN}")
    expect(page.locator("#run-page h1")).to_contain_text("Questions")
    expect(page.locator("iframe.shared-report")).to_have_count(0)
    store.rename_run(RUN, "Questions, renamed")
    expect(page.locator("#run-page h1")).to_contain_text("renamed")
    write_report(folder, LABELS, [0, 1], [0, 1])
    (folder.report / "report.html").write_text("<!doctype html><p>the report</p>", encoding="utf-8")
    store.set_progress(RUN, Progress("saving"))
    with store.transaction() as connection:
        connection.execute("UPDATE runs SET state = 'finished' WHERE id = ?", (RUN,))
    expect(page.locator("iframe.shared-report")).to_have_count(1)
    page.get_by_role("tab", name="Try it").click()
    expect(page.locator("#run-file")).to_be_visible()
    assert_fits(page)
