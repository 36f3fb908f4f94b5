"""Freezing by point and click: the slider, what it says of cost, and the run that comes of it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.runs.store import open_store
from core.spec_files import read_spec
from tests.browser.conftest import TRAINING_MS, Server, assert_fits

pytestmark = pytest.mark.browser


@pytest.fixture
def questions(shared_data: Path, tmp_path: Path) -> Path:
    """The header and the first 150 questions of TREC."""
    lines = (shared_data / "trec/train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "questions.csv"
    path.write_text("".join(lines[:151]), encoding="utf-8")
    return path


def slider(page: Page) -> Locator:
    return page.locator("#frozen-slider input[type=range]")


def move_right(page: Page, times: int) -> None:
    slider(page).focus()
    for _ in range(times):
        page.keyboard.press("ArrowRight")


def test_the_slider_says_what_it_saves_and_the_run_does_it(shared_server: Server, page: Page, questions: Path) -> None:
    page.goto(shared_server.url)
    page.set_input_files("#data-file input[type=file]", questions)
    expect(page.locator("#findings h3")).to_be_visible()
    page.locator("#to-model").click()
    expect(page.locator("#frozen-layers")).to_be_hidden()
    page.locator("#field-model-method").get_by_label("freeze").click()
    expect(page.locator("#frozen-told")).to_contain_text("Every layer learns", ignore_case=True)
    expect(page.locator("#frozen-told")).to_contain_text("10.8 M of 22.7 M")
    move_right(page, 5)
    expect(page.locator("#frozen-told")).to_contain_text("1.9 M of 22.7 M")
    expect(page.locator("#frozen-told")).to_contain_text("Computed once", ignore_case=True)
    expect(page.locator("#frozen-told")).to_contain_text(re.compile(r"saves about \d+ % of each epoch"))
    assert_fits(page)

    page.reload()
    expect(slider(page)).to_have_value("5")
    page.locator("#field-model-choose_frozen_layers").get_by_role("checkbox").click()
    expect(slider(page)).to_be_disabled()
    expect(page.locator("#frozen-told")).to_contain_text("train rows. Frozen are")
    page.locator("#field-model-choose_frozen_layers").get_by_role("checkbox").click()
    expect(slider(page)).to_be_enabled()
    expect(slider(page)).to_have_value("5")

    page.locator("#to-review").click()
    expect(page.locator("#sentences")).to_contain_text("the lowest 5 of 6 layers")
    page.locator("#start-run").click()
    page.wait_for_url("**run=*")
    run_id = page.url.split("run=")[1].split("&")[0]
    expect(page.locator("#run-head")).to_contain_text("Finished", timeout=TRAINING_MS)
    folder = shared_server.workspace.run(run_id)
    assert read_spec(folder.spec).model.frozen_layers == 5
    assert open_store(shared_server.workspace).run(run_id).state == "finished"
    assert not folder.prefix_cache.exists()
    assert "kept" in folder.log.read_text(encoding="utf-8")
