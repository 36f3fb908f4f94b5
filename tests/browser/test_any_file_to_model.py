"""Two awkward published files, as they are, from the upload to a trained model."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.spec_files import read_spec
from tests.browser.conftest import TRAINING_MS, Server, open_fold

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("file", "facts", "label", "text", "classes", "asked"),
    [
        (
            "gnad10_de/test_raw_semicolon_noheader.csv",
            ("1,028 rows", "semicolon", "no header"),
            "column_1", ["column_2"], 9, "94 % of the texts have more than 256 tokens",
        ),
        (
            "ag_news/train_4k_raw_noheader.csv",
            ("4,000 rows", "comma", "no header"),
            "column_1", ["column_2", "column_3"], 4, "",
        ),
    ],
)  # fmt: skip
def test_from_a_headerless_file_to_a_model(
    shared_server: Server, page: Page, shared_data: Path, file: str, facts: tuple[str, ...], label: str,
    text: list[str], classes: int, asked: str,
) -> None:  # fmt: skip
    page.goto(shared_server.url)
    page.set_input_files("#data-file input[type=file]", shared_data / file)
    for fact in facts:
        expect(page.locator("#file-facts")).to_contain_text(fact)
    expect(page.locator("#label-column input")).to_have_value(label)
    expect(page.locator("#findings h3")).to_be_visible()
    page.locator("#to-model").click()
    page.locator(".preset[data-key=quickstart-minilm]").click()
    page.locator("#field-training-epochs input").fill("0.05")
    page.locator("#field-training-epochs input").press("Tab")
    # TF-IDF reads a thousand long texts for longer than the rest takes.
    open_fold(page, "#all-settings")
    page.locator("#field-evaluation-baselines").get_by_role("checkbox").uncheck()
    expect(page.locator("#all-settings")).to_contain_text("(1 changed)")
    page.locator("#to-review").click()
    expect(page.locator("#sentences")).to_contain_text(f"{classes} classes")
    page.locator("#start-run").click()
    if asked:
        expect(page.get_by_text("Start in spite of this?")).to_be_visible()
        expect(page.locator("#step-review")).to_contain_text(asked)
        page.get_by_role("button", name="Start anyway").click()
    page.wait_for_url("**run=*")
    run_id = page.url.split("run=")[1].split("&")[0]
    expect(page.locator("#run-head .td-state")).to_contain_text("Finished", timeout=TRAINING_MS)
    mapping = read_spec(shared_server.workspace.run(run_id).spec).mapping
    assert (list(mapping.text), mapping.label) == (text, label)
