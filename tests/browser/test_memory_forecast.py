"""Memory and time before a run: bar and verdict follow every setting, one button makes a run fit, and it starts."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.runs.store import open_store
from core.spec_files import read_spec
from tests.browser.conftest import TRAINING_MS, Server, assert_fits, open_fold

pytestmark = pytest.mark.browser

ROWS = 90


@pytest.fixture
def articles(shared_data: Path, tmp_path: Path) -> Path:
    """The header and the first articles of BBC News, as they stand."""
    import pandas as pd

    path = tmp_path / "articles.csv"
    pd.read_csv(shared_data / "bbc_news/train.csv", nrows=ROWS).to_csv(path, index=False)
    return path


def verdict(page: Page, step: str = "model") -> Locator:
    return page.locator(f"#forecast-{step} .verdict")


def together(page: Page) -> float:
    """Bytes, as the legend says them."""
    words = page.locator("#forecast-model .memory-legend .total b").text_content()
    number, unit = words.split()
    return float(number) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]


def after(page: Page, act) -> tuple[float, float]:
    """What the legend said before `act` and what it says once it has changed; the bar also tells of memory that other
    programs take and give back meanwhile."""
    legend = page.locator("#forecast-model .memory-legend")
    before, parts = together(page), legend.text_content()
    act()
    expect(legend).not_to_have_text(parts)
    return before, together(page)


def fill(page: Page, field: str, value: str) -> None:
    page.locator(f"#field-{field} :is(input, textarea)").fill(value)


def choose_card(page: Page, gigabytes: int) -> None:
    page.locator("#device-model").get_by_label(f"{gigabytes} GB", exact=True).click()


def test_the_bar_follows_what_is_changed_and_make_it_fit_keeps_its_word(
    shared_server: Server, page: Page, articles: Path
) -> None:
    page.goto(shared_server.url)
    page.set_input_files("#data-file input[type=file]", articles)
    expect(page.locator("#findings h3")).to_be_visible()
    page.locator("#to-model").click()
    expect(verdict(page)).to_be_visible()
    expect(verdict(page)).to_contain_text("Fits")
    expect(verdict(page)).to_contain_text("free")

    # Length, batch and method.
    before, longer = after(page, lambda: fill(page, "model-max_length", "512"))
    assert longer > before
    before, smaller = after(page, lambda: fill(page, "training-batch_size", "4"))
    assert smaller < before
    after(page, lambda: fill(page, "training-batch_size", "32"))
    before, head = after(page, lambda: page.locator("#field-model-method").get_by_label("head", exact=True).click())
    assert head < before
    height = page.locator("#forecast-model").bounding_box()["height"]
    after(page, lambda: fill(page, "model-max_length", "256"))
    assert page.locator("#forecast-model").bounding_box()["height"] == height

    # A language model on a card of 6 GB: too much, until it is made to fit.
    page.locator("#presets button[data-key=mistral-7b-head]").click()
    expect(page.locator("#field-model-source :is(input, textarea)")).to_have_value(re.compile("mistral"))
    choose_card(page, 6)
    expect(verdict(page)).to_contain_text("6 GB card")
    fill(page, "model-max_length", "2048")
    fill(page, "training-batch_size", "8")
    expect(page.locator("#note-batch_size, #note-max_length").first).to_contain_text("Changed")
    open_fold(page, "#all-settings")
    page.locator("#field-training-gradient_checkpointing input").uncheck()
    expect(verdict(page)).to_contain_text(re.compile(r"Too much by \d+\.\d GB for the 6 GB card: press Make it fit"))
    page.locator("#make-it-fit-model").click()
    expect(verdict(page)).to_contain_text("Fits")
    fitted = page.locator("#fitted-model")
    expect(fitted).to_contain_text("Changed so that it fits")
    expect(fitted.locator("li").first).to_contain_text("→")
    assert_fits(page)

    # The same after a reload, and undone.
    page.reload()
    expect(fitted).to_contain_text("Changed so that it fits")
    expect(page.locator("#device-model").get_by_label("6 GB", exact=True)).to_be_checked()
    fitted.get_by_role("button", name="Undo").click()
    expect(verdict(page)).to_contain_text("Too much by")
    expect(fitted).to_be_hidden()
    expect(page.locator("#field-training-batch_size :is(input, textarea)")).to_have_value("8")
    draft = open_store(shared_server.workspace).draft(page.url.split("draft=")[1])
    assert draft["spec"]["training"]["gradient_checkpointing"] is False and draft["fit"] == []

    # A small model on this computer, and it starts.
    page.locator("#presets button[data-key=quickstart-minilm]").click()
    page.locator("#device-model").get_by_label("This computer").click()
    expect(verdict(page)).to_contain_text("in this computer's memory")
    fill(page, "model-max_length", "32")
    fill(page, "training-epochs", "1")
    expect(page.locator("#note-epochs")).to_contain_text("Changed")
    page.locator("#to-review").click()
    expect(verdict(page, "review")).to_contain_text("Fits")
    expect(page.locator("#forecast-review .memory-bar")).to_have_attribute("aria-label", re.compile("Activations"))
    assert_fits(page)

    # A few real steps may be tried first, and given up.
    page.locator("#probe-start").click()
    expect(page.locator("#probe-told")).to_contain_text("Trying")
    page.locator("#probe-stop").click()
    expect(page.locator("#probe-told")).to_contain_text("Cancelled")
    expect(page.locator("#probe-start")).to_be_visible()

    page.locator("#start-run").click()
    page.locator("#start-anyway").click()  # nearly all articles are longer than 32 tokens
    page.wait_for_url("**run=*")
    run_id = page.url.split("run=")[1].split("&")[0]
    expect(page.locator("#run-head")).to_contain_text("Finished", timeout=TRAINING_MS)
    assert read_spec(shared_server.workspace.run(run_id).spec).model.max_length == 32
    assert open_store(shared_server.workspace).run(run_id).state == "finished"
    # Without a GPU nothing is said of one.
    expect(page.locator("#run-gpu")).to_be_hidden()
