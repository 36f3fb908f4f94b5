"""From a cell of the confusion matrix to a corrected label to a new run that has it, in a real browser; the error
browser by keyboard, on a phone, and after a reload."""

import csv
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from core.correcting.marks import data_keys
from core.runs.label_marks import marks_on
from core.runs.store import open_store
from core.spec_files import read_spec
from tests.browser.conftest import TRAINING_MS, Server, assert_fits
from tests.error_runs import finished, measured, split_file
from tests.label_kinds import KindRun, write_model_facts
from tests.run_folders import add_model

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def wrong(shared_server: Server, tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> tuple[Server, KindRun]:
    """A server with one finished run on 400 real questions, among them one text that is markup and a long one."""
    root = tmp_path_factory.mktemp("errors")
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))[:400]
    for row in rows:
        row["text"] = f"{HOSTILE} {row['text']}"
    path = root / "questions.csv"
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    workspace = shared_server.workspace
    mapping, short = {"text": ["text"], "label": "label"}, {"max_steps": 2, "batch_size": 8}
    spec = {"split": {"test": 0.3}, "training": short, "evaluation": {"baselines": False}}
    run = split_file(workspace, "a-run", path, mapping, **spec)
    finished(workspace, run.folder, measured(run))
    write_model_facts(run)
    train = run.parts["train"]
    add_model(run.folder, run.spec, train.texts, train.labels.tolist(), run.facts.labels)
    return shared_server, run


def test_from_a_confusion_to_a_corrected_label_to_a_new_run_that_has_it(
    wrong: tuple[Server, KindRun], page: Page
) -> None:
    server, run = wrong
    page.goto(f"{server.url}/?run=a-run&tab=report")
    cell = page.locator("#run-matrix td.td-wrong button").first
    true, predicted = cell.get_attribute("data-true"), cell.get_attribute("data-predicted")
    cell.click()
    expect(page.locator(".td-count")).to_contain_text("that fit")
    first = page.locator(".td-mistakes details").first
    first.locator("summary").click()
    form = first.locator("form.td-say")
    expect(form.locator("select")).to_have_value(str(predicted))
    form.get_by_role("button", name="Correct it").click()
    expect(first.locator("summary .td-mark")).to_contain_text(f"corrected {predicted}")
    expect(page.locator("#corrections-count")).to_contain_text("1 correction")

    page.reload()
    expect(page.locator("#corrections-count")).to_contain_text("1 label corrected")
    page.locator("#corrections-make").click()
    expect(page.locator("#corrections-diff h3")).to_have_text("1 label changes")
    expect(page.locator(".td-diff del")).to_have_text(str(true))
    expect(page.locator(".td-diff ins")).to_have_text(str(predicted))
    row = int(re.sub("[^0-9]", "", page.locator(".td-diff td").first.inner_text()))
    page.locator("#corrections-write").click()
    page.wait_for_url("**draft=*")
    expect(page.locator("#sentences")).to_contain_text("6 classes")
    page.locator("#start-run").click()
    page.wait_for_url("**run=*")
    new = page.url.split("run=")[1].split("&")[0]
    expect(page.locator("#run-head .td-state")).to_contain_text("Finished", timeout=TRAINING_MS)

    folder = server.workspace.run(new)
    assert read_spec(folder.spec).split.same_as == "a-run"
    labels = {one["row"]: (one["label"], one["part"]) for one in pq.read_table(folder.examples).to_pylist()}
    before = {one["row"]: (one["label"], one["part"]) for one in pq.read_table(run.folder.examples).to_pylist()}
    assert before[row] == (true, "test") and labels[row] == (predicted, "test")
    assert {place: told for place, told in labels.items() if place != row} == {
        place: told for place, told in before.items() if place != row
    }
    assert "img" in Path(run.spec.data.train.path).read_text(encoding="utf-8")


def test_one_row_is_open_with_all_there_is_to_know(wrong: tuple[Server, KindRun], page: Page) -> None:
    server, _ = wrong
    page.goto(f"{server.url}/?run=a-run&tab=mistakes")
    rows = page.locator(".td-mistakes details")
    expect(page.locator(".td-count")).to_contain_text("mistakes in")
    for number in (1, 2):
        rows.nth(number).locator("summary").focus()
        page.keyboard.press("Enter")
        expect(rows.nth(number).locator(".td-say")).to_be_visible()
        expect(page.locator(".td-mistakes details[open]")).to_have_count(1)
    open_row = rows.nth(2)
    open_row.get_by_role("button", name="Find them by shared words").click()
    expect(open_row.locator(".td-like li")).not_to_have_count(0)
    open_row.locator("button[data-do=words]").first.click()
    expect(open_row.locator(".td-words .td-word").first).to_be_visible(timeout=TRAINING_MS)
    expect(open_row.locator(".td-legend")).to_contain_text("speaks for")
    expect(open_row.locator(".td-like li")).not_to_have_count(0)
    assert page.locator("img[src=x]").count() == 0 and page.title() == "Tunedesk"
    assert_fits(page)


def test_filters_suspicion_and_undo(wrong: tuple[Server, KindRun], page: Page) -> None:
    server, run = wrong
    page.goto(f"{server.url}/?run=a-run&tab=mistakes")
    expect(page.locator(".td-count")).to_contain_text("mistakes in")
    page.get_by_label("Text contains").fill("nothing says this")
    expect(page.locator(".td-count")).to_have_text("No mistake fits these filters. Widen or empty them.")
    page.get_by_label("Text contains").fill("")
    page.get_by_role("radio", name="All rows").click()
    expect(page.locator(".td-count")).to_contain_text(f"of {len(run.parts['test'].texts)} rows")
    page.get_by_role("radio", name="Suspicious labels").click()
    expect(page.locator(".td-count")).to_contain_text("the most suspicious first")
    first = page.locator(".td-mistakes details").first
    first.locator("summary").click()
    expect(first.locator(".td-differ")).to_contain_text("Confident learning takes it for")
    first.get_by_role("button", name="It is ambiguous").click()
    expect(first.locator("summary .td-mark")).to_have_text("ambiguous")
    before = len(marks_on(open_store(server.workspace), _keys(run)))
    page.locator("#corrections-undo").click()
    expect(first.locator("summary .td-mark")).to_have_count(0)
    assert len(marks_on(open_store(server.workspace), _keys(run))) == before - 1


def _keys(run: KindRun) -> set[str]:

    return set(data_keys(run.folder).values())
