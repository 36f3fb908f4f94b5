"""Two browsers on one draft: both press Start in the same moment, and there is one run."""

import csv
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from core.runs.store import open_store
from core.runs.supervisor import stop
from tests.browser.conftest import WAIT_MS, Server

pytestmark = pytest.mark.browser

QUESTIONS = (("Who wrote Hamlet ?", "HUM"), ("Where is Oslo ?", "LOC"), ("How many legs has a spider ?", "NUM"))
PRESS_AT = "(moment) => { setTimeout(() => document.querySelector('#start-run').click(), moment - Date.now()); }"
ROUNDS = 3


def to_review(page: Page) -> None:
    for button in ("#to-model", "#to-review"):
        page.locator(button).click()
    expect(page.locator("#start-run")).to_be_enabled()


def test_start_pressed_in_two_browsers_at_once_makes_one_run(
    server: Server, browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = tmp_path / "questions.csv", open_store(server.workspace)
    with file.open("w", encoding="utf-8", newline="") as out:
        rows = [(f"{text} ({number})", label) for number in range(20) for text, label in QUESTIONS]
        csv.writer(out).writerows([("text", "label"), *rows])
    # Each has cookies and a storage of its own, as two people's browsers have.
    pages = [browser.new_context().new_page() for _ in range(2)]
    for page in pages:
        page.set_default_timeout(WAIT_MS)
    for number in range(1, ROUNDS + 1):
        pages[0].goto(server.url)
        pages[0].set_input_files("#data-file input[type=file]", file)
        expect(pages[0].locator("#findings h3")).to_be_visible()
        to_review(pages[0])
        pages[1].goto(pages[0].url)  # the draft's address, opened at the step that is open
        expect(pages[1].locator("#start-run")).to_be_enabled()
        moment = 1000 * (time.time() + 3)
        for page in pages:
            page.evaluate(PRESS_AT, moment)
        for page in pages:
            page.wait_for_url("**run=*")
        assert len({page.url for page in pages}) == 1
        assert store.count_runs() == len(list(server.workspace.runs.iterdir())) == number
        assert store.drafts() == []
        stop(server.workspace, pages[0].url.split("run=")[1])
    with capsys.disabled():
        print(f"\n  {'Start pressed in two browsers at once':<52} tried {ROUNDS:>3}   survived {ROUNDS:>3}", flush=True)
