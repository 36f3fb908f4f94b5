"""Run / Take away and Runs / Open a model: cards that fit, an export that survives a reload, and one opened again."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.runs.store import open_store
from tests.browser.conftest import TRAINING_MS, Server, assert_fits, open_fold
from tests.run_folders import add_model, add_running, run_spec, write_run

pytestmark = pytest.mark.browser

RUN = "20261121-000000-aaaa"
LABELS = ["HUM", "LOC", "NUM"]


@pytest.fixture(scope="module")
def exporting(shared_server: Server, shared_data: Path) -> Server:
    """A server with a finished run of a real model."""
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in LABELS][:150]
    spec = run_spec(max_length=24)
    made = write_run(shared_server.workspace, RUN, spec, LABELS)
    add_model(made, spec, [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows], LABELS)
    store = open_store(shared_server.workspace)
    add_running(store, RUN, spec.name, spec.preset, spec.model.source, "questions.csv")
    store.move(RUN, ["running"], "finished")
    return shared_server


def test_a_format_is_made_and_the_page_finds_it_again(exporting: Server, page: Page) -> None:
    page.goto(f"{exporting.url}/?run={RUN}&tab=take")
    expect(page.locator("#run-format-model")).to_contain_text("transformers")
    expect(page.locator("#run-format-onnx")).to_contain_text("ONNX Runtime")
    expect(page.locator("#run-format-gguf")).to_be_hidden()
    page.locator("#run-make-onnx").click()
    expect(page.locator("#run-format-onnx .td-job")).to_be_visible()
    page.reload()
    expect(page.locator("#run-format-onnx .td-download")).to_contain_text("onnx-float32.zip", timeout=TRAINING_MS)
    page.locator("#run-lines").get_by_text("ONNX", exact=True).click()
    expect(page.locator("#run-code")).to_contain_text("onnxruntime.InferenceSession")
    assert_fits(page)


def test_a_folder_is_written_and_opened_again(exporting: Server, page: Page) -> None:
    page.goto(f"{exporting.url}/?run={RUN}&tab=take")
    page.locator("#run-way").get_by_text("a folder on").click()
    page.locator("#run-make-model").click()
    place = page.locator("#run-format-model .td-place code")
    expect(place).to_be_visible(timeout=TRAINING_MS)
    written = place.inner_text()
    page.goto(f"{exporting.url}/runs")
    open_fold(page, "#open-model")
    page.locator("#open-place textarea, #open-place input").fill(str(exporting.workspace.root))
    page.locator("#open-go").click()
    expect(page.locator("#open-told")).to_contain_text("not a model that Tunedesk trained")
    page.locator("#open-place textarea, #open-place input").fill(written)
    page.locator("#open-go").click()
    page.wait_for_url("**run=*tab=try")
    expect(page.locator("#run-try")).to_be_visible()
    page.locator("#try-0 textarea").fill("Where is the river ?")
    page.locator("#run-predict").click()
    expect(page.locator("#run-result")).to_contain_text("LOC", timeout=TRAINING_MS)
