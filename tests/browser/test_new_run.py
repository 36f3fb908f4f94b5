"""New run, Runs and Settings in a real browser: files as people have them, good and bad, up to the start of a run."""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from core.runs.store import Store, open_store
from core.runs.supervisor import submit
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile
from core.spec_files import read_spec
from core.workspace import Workspace
from tests.browser.conftest import WAIT_MS, Server, assert_fits, let_mount, open_fold, slow_line

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"document.title='hit'\">"
QUESTIONS = [("Who wrote Hamlet ?", "HUM"), ("Where is Oslo ?", "LOC"), ("How many legs has a spider ?", "NUM")]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """60 different questions in three classes, with a header."""
    rows = [(f"{text} ({number})", label) for number in range(20) for text, label in QUESTIONS]
    return write_csv(tmp_path / "questions.csv", [("text", "label"), *rows])


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def upload(page: Page, server: Server, file: Path) -> None:
    page.goto(server.url)
    page.set_input_files("#data-file input[type=file]", file)


def opened(page: Page) -> None:
    """Wait until a file is shown and checked."""
    expect(page.locator("#file-facts strong")).to_be_visible()
    expect(page.locator("#findings h3")).to_be_visible()


def fill(field: Locator, text: str) -> None:
    field.fill(text)
    field.press("Tab")


def to_model(page: Page) -> None:
    page.locator("#to-model").click()
    expect(page.locator(".preset").first).to_be_visible()


def to_review(page: Page) -> None:
    to_model(page)
    page.locator("#to-review").click()
    expect(page.locator("#sentences h2")).to_be_visible()


def draft_spec(server: Server, page: Page) -> dict:
    return open_store(server.workspace).draft(page.url.split("draft=")[1])["spec"]


# The whole way


def test_news_without_header_to_a_run_with_class_names(
    shared_server: Server, held: Store, page: Page, shared_data: Path
) -> None:
    news = shared_data / "ag_news"
    upload(page, shared_server, news / "train_4k_raw_noheader.csv")
    opened(page)
    expect(page.locator("#file-facts")).to_contain_text("4,000 rows · 3 columns")
    expect(page.locator("#file-facts")).to_contain_text("no header")
    page.locator("#change-reading").click()
    expect(page.locator("#column-names textarea")).not_to_have_value("")
    let_mount(page)
    page.locator("#column-names textarea").fill("class\ntitle\ndescription")
    page.locator("#read-again").click()
    expect(page.locator("#label-column input")).to_have_value("class")
    with page.expect_file_chooser() as chooser:
        page.locator("#names-file").click()
    chooser.value.set_files(news / "classes.txt")
    expect(page.locator("#label-bars")).to_contain_text("Sci/Tech")
    page.locator("#part-test").get_by_text("A file of its own").click()
    page.set_input_files("#test-file input[type=file]", news / "test_raw_noheader.csv")
    expect(page.locator("#part-test")).to_contain_text("7,600 rows")
    expect(page.locator("#data-status")).to_contain_text("ready")
    to_review(page)
    expect(page.locator("#sentences")).to_contain_text("4 classes apart (Business, Sci/Tech, Sports, World)")
    expect(page.locator("#sentences")).to_contain_text("7,600 rows (test_raw_noheader.csv)")
    expect(page.locator("#review-model")).to_contain_text("The model is on this computer.")
    fill(page.locator("#run-name input"), "News")
    page.locator("#start-run").click()
    page.wait_for_url("**run=*")
    run_id = page.url.split("run=")[1].split("&")[0]
    expect(page.locator(f"#sidebar-runs a[href='/?run={run_id}']")).to_contain_text("News")
    spec = read_spec(shared_server.workspace.run(run_id).spec)
    assert spec.mapping.text == ("title", "description")
    assert spec.mapping.class_names == {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
    assert spec.data.test is not None
    assert spec.data.test.column_names == ("class", "title", "description")
    assert Path(spec.data.train.path).name == "train_4k_raw_noheader.csv"
    assert shared_server.workspace.uploads in Path(spec.data.train.path).parents
    assert held.run(run_id).name == "News"


def test_the_sample_needs_one_press(shared_server: Server, page: Page) -> None:
    page.goto(shared_server.url)
    page.locator("#samples button[data-key=docstrings]").click()
    opened(page)
    expect(page.locator("#label-bars")).to_contain_text("network")
    expect(page.locator("#part-test")).to_contain_text("test.csv")
    to_review(page)
    expect(page.locator("#start-run")).to_be_enabled()


# Nothing is lost


def test_a_draft_survives_reload_and_restart(shared_server: Server, page: Page, questions: Path) -> None:
    upload(page, shared_server, questions)
    opened(page)
    fill(page.locator("#part-validation .short input"), "20")
    to_model(page)
    fill(page.locator("#field-training-learning_rate input"), "0")
    expect(page.locator("#field-training-learning_rate .block.note")).to_contain_text("greater than 0")
    fill(page.locator("#field-training-epochs input"), "5")
    expect(page.locator("#field-training-epochs .block.note")).to_contain_text("Changed; was chosen by the rows.")
    with page.expect_navigation():  # the page comes back by itself
        shared_server.kill()
        shared_server.start()
    expect(page.locator("#field-training-epochs input")).to_have_value("5")
    page.reload()
    expect(page.locator(".step-button.active")).to_contain_text("Model")
    expect(page.locator("#field-training-learning_rate input")).to_have_value("0")
    expect(page.locator("#field-training-learning_rate .block.note")).to_contain_text("greater than 0")
    expect(page.locator("#field-training-epochs input")).to_have_value("5")
    expect(page.locator("#model-status")).to_contain_text("Learning rate")
    page.locator("#to-review").click()
    expect(page.locator("#start-run")).to_be_disabled()
    expect(page.locator("#review-findings")).to_contain_text("learning rate")
    page.locator("#back-to-model").click()
    page.locator("#field-training-learning_rate .note button").click()
    expect(page.locator("#field-training-learning_rate input")).to_have_value("0.0002")
    page.locator("#to-review").click()
    expect(page.locator("#sentences")).to_contain_text("5 passes")
    expect(page.locator("#sentences")).to_contain_text("(20 %)")
    expect(page.locator("#start-run")).to_be_enabled()
    page.goto(shared_server.url)
    expect(page.locator("#drafts")).to_contain_text("questions.csv")


def test_what_is_deleted_or_pasted_is_kept_at_once(shared_server: Server, page: Page, questions: Path) -> None:
    """Without leaving the field."""
    upload(page, shared_server, questions)
    opened(page)
    page.locator("#part-validation .short input").fill("70")
    expect(page.locator("#part-validation .problem")).to_contain_text("'70' is no share")
    page.locator("#part-validation .short input").press("Backspace")
    expect(page.locator("#part-validation .problem")).to_have_count(0)
    to_model(page)
    rate, said = (page.locator(f"#field-training-learning_rate {part}") for part in ("input", ".block.note"))
    rate.fill("0.00012")
    expect(said).to_contain_text("Changed; was 0.0002.")
    for _ in "12":
        rate.press("Backspace")
    expect(said).to_contain_text("greater than 0")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('5')")
    rate.press("ControlOrMeta+v")
    expect(said).to_contain_text("Changed; was 0.0002.")
    page.reload()
    expect(rate).to_have_value("0.0005")
    assert draft_spec(shared_server, page)["split"]["validation"] == 0.07


def test_what_is_typed_after_a_card_was_picked_is_kept(shared_server: Server, page: Page, questions: Path) -> None:
    upload(page, shared_server, questions)
    opened(page)
    to_model(page)
    epochs = page.locator("#field-training-epochs")
    slow_line(page)
    page.locator(".preset[data-key=bert-base]").click()
    fill(epochs.locator("input"), "0.05")
    expect(epochs).to_contain_text("Changed; was")
    expect(epochs.locator("input")).to_have_value("0.05")
    page.locator("#to-review").click()
    expect(page.locator("#sentences")).to_contain_text("bert-base-cased")
    assert draft_spec(shared_server, page)["training"]["epochs"] == 0.05


def test_a_file_dropped_while_another_is_checked_is_checked_itself(
    shared_server: Server, page: Page, questions: Path, tmp_path: Path
) -> None:
    many = [(f"a text {number} with words {number % 977}", f"c{number % 7}") for number in range(40_000)]
    upload(page, shared_server, write_csv(tmp_path / "many.csv", [("text", "label"), *many]))
    opened(page)
    page.reload()
    page.locator("#other-file").click()
    page.set_input_files("#data-file input[type=file]", write_csv(tmp_path / "one.csv", [("text",), ("word",)] * 9))
    expect(page.locator("#file-facts")).to_contain_text("one.csv")
    expect(page.locator("#findings")).to_contain_text("only one column")
    page.locator("#other-file").click()
    page.set_input_files("#data-file input[type=file]", questions)
    expect(page.locator("#file-facts")).to_contain_text("questions.csv")
    expect(page.locator("#data-status")).to_contain_text("ready")
    expect(page.locator("#findings")).not_to_contain_text("only one column")


def test_a_duplicate_fills_the_form(shared_server: Server, held: Store, page: Page, questions: Path) -> None:
    run_id = queued_run(shared_server.workspace, questions, "Twice")
    page.goto(f"{shared_server.url}/runs")
    page.locator(f"#runs-table button[data-do=duplicate][data-key='{run_id}']").click()
    page.wait_for_url("**draft=*")
    opened(page)
    expect(page.locator("#file-facts")).to_contain_text("questions.csv")
    to_model(page)
    expect(page.locator("#field-training-epochs input")).to_have_value("0.01")
    expect(page.locator("#field-training-epochs .block.note")).to_contain_text("Changed; was chosen by the rows.")


def queued_run(workspace: Workspace, file: Path, name: str) -> str:
    spec = RunSpec(
        name=name, data=DataSpec(train=TableFile(path=str(file))), mapping=MappingSpec(text=("text",), label="label")
    )
    short = spec.training.model_copy(update={"epochs": 0.01})
    return submit(workspace, spec.model_copy(update={"training": short}))


# Bad input


def test_files_that_cannot_be_read_say_why(shared_server: Server, page: Page, tmp_path: Path) -> None:
    empty, binary, truncated = tmp_path / "empty.csv", tmp_path / "picture.csv", tmp_path / "cut.parquet"
    empty.touch()
    binary.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)
    truncated.write_bytes(b"PAR1" + b"\x00" * 400)
    page.goto(shared_server.url)
    for path, words in (
        (empty, "empty"),
        (binary, "picture"),
        (truncated, "cut.parquet"),
        (tmp_path / "no.csv", "no.csv"),
    ):
        page.locator("#data-path input").fill(str(path))
        page.locator("#open-path").click()
        expect(page.locator("#data-problem .problem")).to_contain_text(words)
        expect(page.locator("#source")).to_be_visible()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("text",), *[(f"word{n}",) for n in range(30)]], "only one column"),
        ([("text", "label"), *[(f"a text {n}", "same") for n in range(30)]], "class"),
        ([("text", "label"), *[("", "ab"[n % 2]) for n in range(30)]], "text"),
        ([("text", "label"), *[(f"a text {n}", f"class {n}") for n in range(30)]], "class"),
    ],
    ids=["one column", "one class", "no text", "a class for each row"],
)
def test_data_that_cannot_be_learned_from_stop_at_the_data(
    shared_server: Server, page: Page, tmp_path: Path, rows: list[tuple[str, ...]], words: str
) -> None:
    upload(page, shared_server, write_csv(tmp_path / "table.csv", rows))
    opened(page)
    if len(rows[0]) > 1:
        choose(page, "#text-columns", "text")
        choose(page, "#label-column", "label")
    page.locator("#to-model").click()
    expect(page.locator("#data-status")).not_to_be_empty()
    expect(page.locator("#findings")).to_contain_text(words)
    expect(page.locator(".step-button.active")).to_contain_text("Data")
    expect(page.locator("#file-facts")).to_contain_text("table.csv")


def choose(page: Page, field: str, option: str) -> None:
    """Choose an option of a dropdown unless it is chosen already."""
    chosen = page.locator(f"{field} input").input_value(), page.locator(f"{field} .token").all_inner_texts()
    if option in chosen[0] or any(option in token for token in chosen[1]):
        return
    page.locator(f"{field} input").click()
    page.get_by_role("option", name=option, exact=True).click()
    page.keyboard.press("Escape")


def test_the_label_cannot_be_a_text_column(shared_server: Server, page: Page, questions: Path) -> None:
    upload(page, shared_server, questions)
    opened(page)
    page.locator("#text-columns input").click()
    page.get_by_role("option", name="label", exact=True).click()
    expect(page.locator("#findings .error")).to_contain_text("both the label and a text column")
    expect(page.locator("#data-status")).to_contain_text("put right")


def test_a_model_out_of_reach_is_said_before_the_start(shared_server: Server, page: Page, questions: Path) -> None:
    upload(page, shared_server, questions)
    opened(page)
    to_model(page)
    bert = page.locator(".preset[data-key=bert-base]")
    expect(bert).to_contain_text("Cannot run now")
    fill(page.locator("#field-training-epochs input"), "7")
    bert.click()
    expect(page.locator("#preset-said")).to_contain_text("Epochs")
    expect(page.locator("#field-training-epochs input")).to_have_value("2")
    page.locator("#to-review").click()
    expect(page.locator("#review-model .problem")).to_contain_text("google-bert/bert-base-cased")
    expect(page.locator("#start-run")).to_be_disabled()


# What the page is like


def test_what_comes_from_a_file_is_text(shared_server: Server, page: Page, tmp_path: Path) -> None:
    texts = [f"{EVIL} {{{{constructor}}}} ${{document.title='hit'}} {n} " + "long " * 60 for n in range(40)]
    labels = [EVIL + "ab"[n % 2] for n in range(40)]
    pq.write_table(pa.table({f"text {EVIL}": texts, "label": labels}), tmp_path / "evil.parquet")
    upload(page, shared_server, tmp_path / "evil.parquet")
    opened(page)
    expect(page.locator("#label-bars")).to_contain_text(EVIL)
    expect(page.locator("#preview")).to_contain_text("{{constructor}} ${document.title='hit'}")
    to_review(page)
    expect(page.locator("#sentences")).to_contain_text(EVIL)
    assert page.locator("main img").count() == 0
    assert page.title() == "Tunedesk"


def test_pages_fit_the_screen_and_stay_at_home(shared_server: Server, page: Page, questions: Path) -> None:
    """On a phone and on a desk no page scrolls sideways; none fetches anything from elsewhere or logs an error."""
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    upload(page, shared_server, questions)
    opened(page)
    assert_fits(page)
    to_model(page)
    open_fold(page, "#all-settings")
    expect(page.locator("#search-settings")).to_be_visible()
    assert_fits(page)
    page.locator("#to-review").click()
    expect(page.locator("#sentences li").first).to_be_visible()
    assert_fits(page)
    for path, heading in (("/runs", "Runs"), ("/settings", "Settings")):
        page.goto(shared_server.url + path)
        expect(page.locator("h1")).to_have_text(heading)
        assert_fits(page)
    assert [url for url in asked if not url.startswith((shared_server.url, "data:", "blob:"))] == []
    assert errors == []


def test_all_settings_are_searched_and_reset(shared_server: Server, page: Page, questions: Path) -> None:
    upload(page, shared_server, questions)
    opened(page)
    to_model(page)
    open_fold(page, "#all-settings")
    search, found = page.locator("#search-settings input"), page.locator("#all-settings .field:visible")
    search.press_sequentially("smoothingg")
    expect(found).to_have_count(0)
    search.press("Backspace")
    expect(found).to_have_count(1)
    fill(page.locator("#field-training-label_smoothing input"), "0.3")
    expect(page.locator("#all-settings")).to_contain_text("(1 changed)")
    page.locator("#field-training-label_smoothing .note button").click()
    expect(page.locator("#field-training-label_smoothing input")).to_have_value("0.1")
    expect(page.locator("#all-settings")).not_to_contain_text("changed)")
    assert draft_spec(shared_server, page)["training"]["label_smoothing"] == 0.1


def test_runs_are_found_and_deleted_after_a_question(
    shared_server: Server, held: Store, page: Page, questions: Path
) -> None:
    keep = queued_run(shared_server.workspace, questions, "Keep me")
    away = queued_run(shared_server.workspace, questions, "Away with me")
    for run_id in (keep, away):
        held.move(run_id, ["queued"], "stopped")
    page.goto(f"{shared_server.url}/runs")
    page.get_by_placeholder("Search name, data or preset").press_sequentially("away")
    expect(page.locator("#runs-table tbody tr")).to_have_count(1)
    page.locator(f"#runs-table button[data-do=delete][data-key='{away}']").click()
    expect(page.locator("#delete-question")).to_contain_text("Away with me")
    assert held.run(away).name == "Away with me"
    page.locator("#confirm-delete").click()
    expect(page.locator("#runs-table")).to_contain_text("No run fits.")
    expect(page.locator(f"#sidebar-runs a[href='/?run={away}']")).to_have_count(0)
    assert not shared_server.workspace.run(away).root.exists()
    assert held.run(keep).name == "Keep me"


def test_dark_is_kept(shared_server: Server, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{shared_server.url}/settings")
        page.locator("#theme-choice").get_by_text("Dark").click()
        expect(page.locator("body")).to_have_class("dark")
        page.goto(shared_server.url)
        expect(page.locator("#source")).to_be_visible()
        expect(page.locator("body")).to_have_class("dark")
