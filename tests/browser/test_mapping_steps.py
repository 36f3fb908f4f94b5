"""Classes folded, merged by the slider, left out and undone in a real browser; rows divided in groups; the template."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.runs.store import open_store
from tests.browser.conftest import Server, assert_fits, open_fold

pytestmark = pytest.mark.browser


@pytest.fixture
def spelled(shared_data: Path, tmp_path: Path) -> Path:
    """800 TREC questions, a fifth of the labels in lower case, with an author and a topic beside each."""
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:800]
    path = tmp_path / "spelled.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "author", "topic"])
        for number, row in enumerate(rows):
            label = row["label"].lower() if number % 5 == 0 else row["label"]
            writer.writerow([row["text"], label, f"{row['text'].split()[0]} {number % 5}", row["fine_label"]])
    return path


def split_and_mapping(server: Server, page: Page) -> tuple[dict, dict]:
    spec = open_store(server.workspace).draft(page.url.split("draft=")[1])["spec"]
    return spec.get("split") or {}, spec["mapping"]


def test_classes_step_by_step(shared_server: Server, page: Page, spelled: Path) -> None:
    page.goto(shared_server.url)
    page.set_input_files("#data-file input[type=file]", spelled)
    bars, done = page.locator("#label-bars h3"), page.locator("#steps-done")
    expect(bars).to_contain_text("12 classes")
    expect(page.locator("#findings")).to_contain_text("differ from another only in case or white space")
    expect(page.locator("#variants-said")).to_contain_text("hum (36) would be HUM")
    page.locator("#fold-variants input").check()
    expect(bars).to_contain_text("6 classes")
    expect(done).to_contain_text("Spellings that differ in case, spaces or the like are one class: 160 rows.")

    open_fold(page, "#rare-classes")
    page.locator("#rare-how").get_by_text("Make them one class").click()
    slider = page.locator("#rare-below input[type=range]")
    slider.focus()
    slider.evaluate("""(bar) => {
        Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(bar, 150);
        for (const kind of ['input', 'change', 'pointerup']) bar.dispatchEvent(new Event(kind, {bubbles: true}));
    }""")
    expect(page.locator("#rare-said")).to_contain_text("made one, 'Other'")
    expect(done).to_contain_text("Classes with fewer than 150 rows are one, 'Other'.")
    expect(bars).not_to_contain_text("6 classes")
    merged = bars.inner_text()
    page.reload()
    expect(bars).to_contain_text(merged.split("\n")[0])
    expect(page.locator("#fold-variants input")).to_be_checked()
    expect(slider).to_have_value("150")

    page.locator("#steps-done li", has_text="Other").get_by_role("button").click()
    expect(bars).to_contain_text("6 classes")
    assert split_and_mapping(shared_server, page)[1]["rare_below"] == 0
    page.locator("#picked-classes input").click()
    page.get_by_role("option", name="ABBR", exact=True).click()
    page.keyboard.press("Escape")
    page.locator("#drop-classes").click()
    expect(bars).to_contain_text("5 classes")
    expect(page.locator("#findings")).to_contain_text("is left out by name")
    assert_fits(page)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator("#steps-done li", has_text="is left out").get_by_role("button").click()
    expect(bars).to_contain_text("6 classes")
    page.locator("#steps-done li", has_text="Spellings").get_by_role("button").click()
    expect(bars).to_contain_text("12 classes")
    expect(done).to_be_hidden()
    mapping = split_and_mapping(shared_server, page)[1]
    assert (mapping["fold_label_variants"], mapping["dropped_classes"]) == (False, [])


def test_groups_rows_and_template(shared_server: Server, page: Page, spelled: Path) -> None:
    page.goto(shared_server.url)
    page.set_input_files("#data-file input[type=file]", spelled)
    expect(page.locator("#findings h3")).to_be_visible()
    open_fold(page, "#more-mapping")
    page.locator("#text-template textarea").fill("{who} asks: {text}")
    page.locator("#text-template textarea").blur()
    expect(page.locator("#template-said")).to_contain_text("names {who}, and spelled.csv has no such column")
    expect(page.locator("#data-status")).to_contain_text("Correct the text template")
    page.locator("#text-template textarea").fill("{author} asks: {text}")
    page.locator("#text-template textarea").blur()
    expect(page.locator("#template-said")).to_contain_text("How 0 asks: How did serfdom")
    open_fold(page, "#division")
    page.locator("#divide-by").get_by_text("By time").click()
    expect(page.locator("#findings")).to_contain_text("Choose the column that the rows are divided by")
    page.locator("#divide-column input").click()
    page.get_by_role("option", name="topic").click()
    expect(page.locator("#findings")).to_contain_text("does not hold dates or numbers")
    page.locator("#divide-by").get_by_text("In groups").click()
    page.locator("#divide-column input").click()
    page.get_by_role("option", name="author").click()
    expect(page.locator("#findings")).not_to_contain_text("does not hold dates")
    page.locator("#part-test").get_by_text("A number of rows").click()
    expect(page.locator("#part-test .short input")).to_have_value("200")
    page.locator("#part-test .short input").fill("160")
    page.keyboard.press("Tab")
    page.locator("#folds input").click()
    page.get_by_role("option", name="3 folds").click()
    expect(page.locator("#folds-said")).to_contain_text("about 3 times as long")
    page.reload()
    expect(page.locator("#part-test .short input")).to_have_value("160")
    expect(page.locator("#data-status")).to_contain_text(re.compile("ready|look at"))
    page.locator("#to-model").click()
    page.locator("#to-review").click()
    told = page.locator("#sentences")
    expect(told).to_contain_text("put together as {author} asks: {text}")
    expect(told).to_contain_text("Rows with the same author are all in one part")
    expect(told).to_contain_text("Cross-validation in 3 folds")
    split, mapping = split_and_mapping(shared_server, page)
    assert (split["by"], split["column"], split["test_rows"], split["folds"]) == ("group", "author", 160, 3)
    assert mapping["text"] == ["author", "text"]
