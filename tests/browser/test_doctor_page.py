"""What the checks find, put right by a button, undone, and asked about before a run starts; in a real browser."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.runs.store import Store
from core.spec_files import read_spec
from tests.browser.conftest import Server, assert_fits
from tests.browser.test_new_run import draft_spec, fill, opened, to_model, to_review, upload

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>"


def test_the_leak_of_sentipers_is_found_fixed_and_undone(
    shared_server: Server, held: Store, page: Page, shared_data: Path
) -> None:
    before = held.count_runs()
    files = shared_data / "sentipers_fa"
    upload(page, shared_server, files / "train.csv")
    opened(page)
    page.locator("#part-test").get_by_text("A file of its own").click()
    page.set_input_files("#test-file input[type=file]", files / "test.csv")
    leak = page.locator("#findings li[data-kind=shared_text]")
    expect(leak).to_contain_text("92 texts stand both in train and in test.csv (3 of them but for case or spacing)")
    leak.locator("summary").click()
    expect(leak.locator("q").first).to_be_visible()
    page.wait_for_url("**draft=*")
    leak.get_by_role("button", name="Leave them out of train").click()
    steps = page.locator("#findings .steps")
    expect(steps).to_contain_text("are left out of train: 136 rows.")
    expect(leak).to_have_count(0)
    assert draft_spec(shared_server, page)["data"]["cleaning"] == {"leaked_rows": "drop"}

    page.reload()
    opened(page)
    expect(steps).to_contain_text("136 rows")
    expect(leak).to_have_count(0)
    assert_fits(page)
    steps.get_by_role("button", name="Undo").click()
    expect(leak).to_contain_text("92 texts")
    expect(steps).to_have_count(0)

    # Not put right, it is asked about; put right, it is not.
    to_review(page)
    expect(page.locator("#review-findings")).to_contain_text("The Data step has a button for this")
    expect(page.locator("#review-model")).to_contain_text("on this computer")
    page.locator("#start-run").click()
    expect(page.locator("#start-ask")).to_contain_text("92 texts stand both in train")
    assert held.count_runs() == before
    page.locator("#start-not-yet").click()
    expect(page.locator("#start-ask")).not_to_be_visible()
    page.locator(".step-button").filter(has_text="Data").click()
    leak.get_by_role("button", name="Leave them out of train").click()
    expect(steps).to_contain_text("136 rows")
    to_review(page)
    expect(page.locator("#sentences")).to_contain_text("are left out of train: 136 rows")
    page.locator("#start-run").click()
    page.wait_for_url("**run=*")
    run = page.url.split("run=")[1].split("&")[0]
    assert read_spec(shared_server.workspace.run(run).spec).data.cleaning.leaked_rows == "drop"


def test_findings_show_text_as_text_and_settings_are_changed_and_undone(
    shared_server: Server, page: Page, tmp_path: Path
) -> None:
    rows = [(f"{EVIL} about thing {n} of {n * 7}", "ab"[n % 2]) for n in range(60)]
    rows += [rows[0], (rows[1][0], "a"), ("ok", "a"), (f"{EVIL} once", f"c{EVIL}")]
    path = tmp_path / "evil.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    upload(page, shared_server, path)
    opened(page)
    for kind in ("repeated_text", "conflicting_labels", "short_text", "single_row_class"):
        finding = page.locator(f"#findings li[data-kind={kind}]")
        expect(finding).to_be_visible()
        if finding.locator("summary").count():
            finding.locator("summary").click()
    expect(page.locator("#findings q").first).to_contain_text("<img src=x onerror=")
    page.locator("#findings li[data-kind=single_row_class] button").click()
    steps = page.locator("#findings .steps")
    expect(steps).to_contain_text("Leave out classes of one row: done.")
    expect(page.locator("#rare-below textarea, #rare-below input").first).to_have_value("2")
    steps.get_by_role("button", name="Undo").click()
    expect(page.locator("#findings li[data-kind=single_row_class]")).to_be_visible()
    page.locator("#findings li[data-kind=conflicting_labels] button").click()
    expect(steps).to_contain_text("2 rows")
    to_model(page)
    page.locator("#to-review").click()
    expect(page.locator("#sentences")).to_contain_text("Texts that stand with different labels are left out: 2 rows")
    assert page.title() != "hit"
    assert page.locator("#findings img, #review-findings img, #preview img").count() == 0


def test_texts_that_are_cut_are_shown_and_the_length_is_set(shared_server: Server, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [(" ".join(f"word{n} {k}" for k in range(150)), "ab"[n % 2]) for n in range(60)]
        csv.writer(file).writerows([("text", "label"), *rows])
    upload(page, shared_server, path)
    opened(page)
    to_review(page)
    cut = page.locator("#review-model li[data-kind=texts_cut]")
    expect(cut).to_contain_text("100 % of the texts")
    before = draft_spec(shared_server, page)["model"]["max_length"]
    page.locator("#start-run").click()
    expect(page.locator("#start-ask")).to_contain_text("their end is cut")
    cut.locator("button").click()
    expect(page.locator("#sentences")).not_to_contain_text(f"longer than {before} tokens")
    assert draft_spec(shared_server, page)["model"]["max_length"] > before


def test_epochs_that_are_too_few_are_said_and_a_press_makes_them_follow_the_rows(
    shared_server: Server, page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "few.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((f"about thing {n}", "ab"[n % 2]) for n in range(200))])
    upload(page, shared_server, path)
    opened(page)
    to_model(page)
    fill(page.locator("#field-training-epochs input"), "2")
    page.locator("#to-review").click()
    few = page.locator("#review-model li[data-kind=few_steps]")
    expect(few).to_contain_text("2 passes over 160 training rows are about 10 steps, hardly enough to learn from.")
    few.get_by_role("button", name="Make 20 passes").click()
    expect(page.locator("#sentences")).to_contain_text("It makes 20 passes")
    expect(few).to_have_count(0)
    assert draft_spec(shared_server, page)["training"]["epochs"] is None
    assert_fits(page)
