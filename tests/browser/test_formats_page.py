"""Workbooks, archives, folders of texts, several files and the hub on the Data page."""

import csv
import zipfile
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import Page, expect

from core.runs.store import open_store
from tests.browser.conftest import Server, assert_fits, open_fold

pytestmark = pytest.mark.browser

QUESTIONS = [("Who wrote Hamlet ?", "HUM"), ("Where is Oslo ?", "LOC"), ("How many legs has a spider ?", "NUM")]
ROWS = [(f"{text} ({number})", label) for number in range(20) for text, label in QUESTIONS]


def upload(page: Page, server: Server, *files: Path) -> None:
    page.goto(server.url)
    page.set_input_files("#data-file input[type=file]", files)


def opened(page: Page, words: str) -> None:
    expect(page.locator("#file-facts")).to_contain_text(words)
    expect(page.locator("#findings h3")).to_be_visible()


def data_of(server: Server, page: Page) -> dict:
    return open_store(server.workspace).draft(page.url.split("draft=")[1])["spec"]["data"]


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_another_sheet_and_the_preview_follows(shared_server: Server, page: Page, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    first, second = book.active, book.create_sheet("<b>News")
    first.title = "Questions"
    for row in [("Report of the year",), (), ("text", "label"), *ROWS]:
        first.append(row)
    for row in [("title", "body", "topic"), *((f"t {n}", f"a body of words {n}", "ab"[n % 2]) for n in range(30))]:
        second.append(row)
    book.save(tmp_path / "book.xlsx")
    upload(page, shared_server, tmp_path / "book.xlsx")
    opened(page, "60 rows")
    expect(page.locator("#file-facts")).to_contain_text("Report of the year")
    expect(page.locator("#preview")).to_contain_text("Who wrote Hamlet")
    page.locator("#inside-sheet input").click()
    page.get_by_role("option", name="<b>News").click()
    opened(page, "30 rows")
    expect(page.locator("#preview")).to_contain_text("a body of words")
    expect(page.locator("#reading-said")).to_contain_text("chosen anew")
    assert data_of(shared_server, page)["train"]["sheet"] == "<b>News"
    page.reload()
    opened(page, "30 rows")
    expect(page.locator("#inside-sheet input")).to_have_value("<b>News")
    page.locator("#change-reading").click()
    expect(page.locator("#column-names textarea")).to_have_value("title\nbody\ntopic")
    assert_fits(page)


def test_an_archive_of_folders_with_train_and_test(shared_server: Server, page: Page, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "reviews.zip", "w") as packed:
        for part, few in (("train", ROWS), ("test", ROWS[:12])):
            for number, (text, label) in enumerate(few):
                packed.writestr(f"reviews/{part}/{label}/{number}.txt", f"{text} {part}")
    upload(page, shared_server, tmp_path / "reviews.zip")
    opened(page, "60 rows")
    expect(page.locator("#part-test")).to_contain_text("12 rows")
    expect(page.locator("#label-bars")).to_contain_text("3 classes")
    data = data_of(shared_server, page)
    assert (data["train"]["member"], data["test"]["member"]) == ("reviews/train/", "reviews/test/")
    page.locator("#inside-source").get_by_role("checkbox").check()
    expect(page.locator("#profile")).to_contain_text("source file")
    assert_fits(page)


def test_several_files_and_files_that_do_not_agree(shared_server: Server, page: Page, tmp_path: Path) -> None:
    one = write_csv(tmp_path / "one.csv", [("text", "label"), *ROWS[:30]])
    two = write_csv(tmp_path / "two.csv", [("label", "text"), *((label, text) for text, label in ROWS[30:])])
    odd = write_csv(tmp_path / "odd.csv", [("text", "topic"), *ROWS])
    upload(page, shared_server, one, odd)
    expect(page.locator("#data-problem")).to_contain_text("only odd.csv has 'topic'")
    expect(page.locator("#data-file")).to_be_visible()
    page.set_input_files("#data-file input[type=file]", [one, two])
    opened(page, "60 rows")
    expect(page.locator("#file-facts strong")).to_have_text("one.csv and 1 more")
    assert_fits(page)


def test_the_hub_says_when_it_is_out_of_reach(shared_server: Server, page: Page) -> None:
    page.goto(shared_server.url)
    open_fold(page, "#hub")
    expect(page.locator("#hub-state")).to_contain_text("cannot be reached from this computer")
    expect(page.locator("#hub-name")).to_be_hidden()
    assert_fits(page)
