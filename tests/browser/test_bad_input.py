"""Bad input through the page: each says what is wrong and what to do, and nothing that was entered is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from core.runs.store import open_store
from tests.bad_files import huge_cell, many_classes, unlearnable, unreadable
from tests.browser.conftest import Server
from tests.browser.test_new_run import choose

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(context: BrowserContext, shared_server: Server) -> Iterator[Page]:
    """One page for all, as one person would go on with it."""
    page = context.new_page()
    page.goto(shared_server.url)
    yield page
    page.close()


def drop(page: Page, file: Path) -> None:
    """Drop a file, in place of the one that is open."""
    if page.locator("#other-file").is_visible():
        page.locator("#other-file").click()
    expect(page.locator("#source")).to_be_visible()
    page.set_input_files("#data-file input[type=file]", file)


def dropped(page: Page, file: Path) -> None:
    """Drop a file that can be read, and wait until it is checked."""
    drop(page, file)
    expect(page.locator("#file-facts strong")).to_have_text(file.name)
    expect(page.locator("#data-status")).not_to_be_empty()


def test_files_that_cannot_be_read_say_why_and_leave_the_start(page: Page, tmp_path: Path) -> None:
    for bad in unreadable(tmp_path):
        drop(page, bad.path)
        expect(page.locator("#data-problem .problem strong")).to_contain_text(bad.words)
        expect(page.locator("#data-problem .problem p")).not_to_be_empty()
        expect(page.locator("#source")).to_be_visible()


def test_tables_that_cannot_be_learned_from_stop_at_the_data(page: Page, tmp_path: Path) -> None:
    for bad in unlearnable(tmp_path):
        dropped(page, bad.path)
        if bad.path.name != "one_column.csv":
            choose(page, "#text-columns", "text")
            choose(page, "#label-column", "label")
        expect(page.locator("#findings")).to_contain_text(bad.words)
        if bad.path.name == "single.csv":
            expect(page.locator("#data-status")).to_contain_text("to look at")
            continue
        page.locator("#to-model").click()
        expect(page.locator(".step-button.active")).to_contain_text("Data")
        expect(page.locator("#file-facts strong")).to_have_text(bad.path.name)


def test_a_huge_cell_and_thousands_of_classes_are_shown_and_said(page: Page, tmp_path: Path) -> None:
    dropped(page, huge_cell(tmp_path))
    expect(page.locator("#findings")).to_contain_text("2,089,999 characters")
    assert len(page.content()) < 2_000_000
    dropped(page, many_classes(tmp_path))
    choose(page, "#text-columns", "text")
    choose(page, "#label-column", "label")
    expect(page.locator("#label-bars")).to_contain_text("3,000 classes")
    expect(page.locator("#findings")).to_contain_text("There are 3,000 classes")


def test_a_label_chosen_as_text_is_refused(page: Page) -> None:
    choose(page, "#text-columns", "label")
    expect(page.locator("#findings .error")).to_contain_text("both the label and a text column")
    page.locator("#to-model").click()
    expect(page.locator(".step-button.active")).to_contain_text("Data")
    page.locator("#text-columns .token", has_text="label").locator(".token-remove").click()
    expect(page.locator("#data-status")).to_contain_text("to look at")


def test_learning_rates_that_teach_nothing_do_not_start(page: Page, shared_server: Server) -> None:
    before = open_store(shared_server.workspace).count_runs()
    page.locator("#to-model").click()
    rate, said = (page.locator(f"#field-training-learning_rate {part}") for part in ("input", ".block.note"))
    for given in ("0", "-0.001"):
        rate.fill(given)
        expect(said).to_contain_text("greater than 0")
        page.locator("#to-review").click()
        expect(page.locator("#review-findings")).to_contain_text(f"'{given}' cannot be used for learning rate")
        expect(page.locator("#start-run")).to_be_disabled()
        page.locator("#back-to-model").click()
        expect(rate).to_be_visible()
        expect(rate).to_have_value(given)
    page.reload()
    expect(rate).to_have_value("-0.001")
    assert open_store(shared_server.workspace).count_runs() == before
