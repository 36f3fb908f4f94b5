"""Labels of several classes and of probabilities in a real browser: the Data step, a reload, and the Review."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.runs.store import open_store
from tests.browser.conftest import Server, open_fold
from tests.unit.labelled_tables import table_file

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"document.title='hit'\">"


def open_file(page: Page, server: Server, file: Path) -> None:
    page.goto(server.url)
    page.set_input_files("#data-file input[type=file]", file)
    expect(page.locator("#file-facts strong")).to_be_visible()
    expect(page.locator("#findings h3")).to_be_visible()


def mapping_of(server: Server, page: Page) -> dict:
    return open_store(server.workspace).draft(page.url.split("draft=")[1])["spec"]["mapping"]


def test_arxiv_with_all_its_classes(shared_server: Server, page: Page, shared_data: Path) -> None:
    open_file(page, shared_server, shared_data / "arxiv" / "sample_1500.csv")
    expect(page.locator("#label-column input")).to_have_value("primary")
    expect(page.locator(".block.reasons:visible")).to_contain_text("'categories' holds several classes a row")
    page.locator("#mapping-kind").get_by_text("Texts with several classes").click()
    expect(page.locator("#label-column input")).to_have_value("categories")
    expect(page.locator("#label-bars h3")).to_contain_text("88 classes 1.8 a row")
    expect(page.locator("#preview .one-class").first).to_be_visible()
    open_fold(page, "#rare-classes")
    page.locator("#rare-how").get_by_text("Make them one class").click()
    page.locator("#rare-below input[type=number]").fill("20")
    page.keyboard.press("Tab")
    expect(page.locator("#label-bars h3")).to_contain_text("19 classes")
    expect(page.locator("#findings")).to_contain_text("they become the class 'Other'")
    page.reload()
    expect(page.locator("#label-bars h3")).to_contain_text("19 classes")
    expect(page.locator("#rare-below input[type=number]")).to_have_value("20")
    page.locator("#to-model").click()
    expect(page.locator(".preset", has_text="Mistral 7B, QLoRA")).to_contain_text("Not for these data")
    page.locator("#to-review").click()
    expect(page.locator("#sentences")).to_contain_text("It learns which of 19 classes each text has")
    open_fold(page, "#as-command")
    expect(page.locator("#as-command textarea")).to_have_value(re.compile(r"--multi .*--label categories", re.DOTALL))
    mapping = mapping_of(shared_server, page)
    assert (mapping["kind"], mapping["label_separator"], mapping["rare_below"]) == ("multi", ";", 20)


def test_columns_of_classes_and_of_probabilities(shared_server: Server, page: Page) -> None:
    flags = [(f"text {n} {EVIL}", n % 2, int(n % 3 == 0), int(n % 5 == 0)) for n in range(90)]
    header = ("text", "toxic", EVIL, "threat")
    open_file(page, shared_server, Path(table_file(flags, shared_server.workspace, header, "flags.csv").path))
    expect(page.locator("#label-place input[value=each]")).to_be_checked()
    expect(page.locator("#label-bars")).to_contain_text(EVIL)
    expect(page.locator("#findings")).to_contain_text("rows have no class")
    page.locator("#label-columns .token-remove").first.click()
    expect(page.locator("#label-bars h3")).to_contain_text("2 classes")
    page.reload()
    expect(page.locator("#label-bars h3")).to_contain_text("2 classes")
    shares = [(f"text {n}", round(n / 90, 3), round(1 - n / 90, 3)) for n in range(90)]
    open_file(page, shared_server, Path(table_file(shares, shared_server.workspace, ("text", "a", "b"), "s.csv").path))
    expect(page.locator("#mapping-kind input[value=soft]")).to_be_checked()
    expect(page.locator("#label-bars h3")).to_contain_text("by the likeliest class")
    expect(page.locator("#data-status")).to_contain_text("ready")
    assert mapping_of(shared_server, page)["label_columns"] == ["a", "b"]
    assert page.title() != "hit"
