"""The Run screen in a real browser: the whole job on a real file with a real worker, and what the page finds again."""

import csv
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from core.runs.store import Best, Progress, open_store
from core.schema import RunSpec
from core.spec_files import spec_yaml
from core.training.collapse import NOTICE, WITHDRAWN, Notice
from core.workspace import Workspace, open_workspace
from tests.browser.conftest import TRAINING_MS, Server
from tests.run_folders import add_running, run_spec, write_report, write_run

pytestmark = pytest.mark.browser

LONG = 1500
EVIL = '<img src=x onerror="document.title=1">'


@pytest.fixture
def questions(shared_data: Path, tmp_path: Path) -> Path:
    """180 real questions in six classes."""
    lines = (shared_data / "trec" / "train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "questions.csv"
    path.write_text("".join(lines[:181]), encoding="utf-8")
    return path


def start_run(page: Page, server: Server, file: Path, **settings: str) -> str:
    """Upload, map, choose and start, as a person does. Returns the run's id."""
    page.goto(server.url)
    page.set_input_files("#data-file input[type=file]", file)
    expect(page.locator("#file-facts")).to_contain_text("180 rows")
    expect(page.locator("#label-column input")).to_have_value("label")
    expect(page.locator("#findings h3")).to_be_visible(timeout=TRAINING_MS)
    page.locator("#to-model").click()
    page.locator(".preset[data-key=quickstart-minilm]").click()
    for key, value in settings.items():
        field = page.locator(f"#field-{key.replace('__', '-')} input")
        field.fill(value)
        field.press("Tab")
    page.locator("#to-review").click()
    expect(page.locator("#sentences")).to_contain_text("6 classes")
    page.locator("#start-run").click()
    page.wait_for_url("**run=*")
    return page.url.split("run=")[1].split("&")[0]


def state(page: Page) -> Locator:
    return page.locator("#run-head .td-state")


def loss_points(page: Page) -> int:
    """How many points the training loss has on the chart that the page shows."""
    chart = page.locator("#run-curves .td-plot").first.get_attribute("data-chart")
    return len(json.loads(chart)["lines"][0]["points"]) if chart else 0


def wait_for_points(page: Page, more_than: int) -> int:
    deadline = time.monotonic() + TRAINING_MS / 1000
    while (found := loss_points(page)) <= more_than:
        assert time.monotonic() < deadline, page.locator("#run-page").inner_text()
        page.wait_for_timeout(200)
    return found


def open_tab(page: Page, name: str) -> None:
    page.locator("#run-tabs").get_by_role("tab", name=name, exact=True).click()


def test_from_a_file_to_a_model_in_hand(shared_server: Server, page: Page, questions: Path, tmp_path: Path) -> None:
    start_run(page, shared_server, questions, training__epochs="2", training__batch_size="8")
    wait_for_points(page, 0)
    expect(state(page)).to_contain_text("Finished", timeout=TRAINING_MS)
    expect(page.locator("#run-curves .td-dashed")).not_to_have_count(0)

    open_tab(page, "Report")
    expect(page.locator(".td-verdict h2")).to_contain_text("%")
    expect(page.locator(".td-ladder")).to_contain_text("TF-IDF")
    classes = page.locator("#run-classes tbody tr")
    expect(classes.nth(4)).to_be_visible()
    expect(page.locator("#run-matrix tbody tr")).to_have_count(classes.count())
    with page.expect_download() as download:
        page.locator("#run-download-report").click()
    assert "TF-IDF" in download.value.path().read_text(encoding="utf-8")

    open_tab(page, "Mistakes")
    expect(page.locator(".td-count")).to_contain_text("rows")

    open_tab(page, "Try it")
    page.locator("#try-0 textarea").fill("How many feet are in a mile ?")
    page.locator("#run-predict").click()
    expect(page.locator("#run-result h3")).to_be_visible(timeout=TRAINING_MS)
    shares = [float(text.rstrip(" %")) for text in page.locator("#run-result .td-bar-value").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.5)
    label_a_file(page, tmp_path)
    take_the_zip(page)


def label_a_file(page: Page, folder: Path) -> None:
    """A file without labels comes back with them, and is found again after a reload."""
    asked = ["Who wrote Hamlet ?", "Where is the Nile ?", "How far away is the Moon ?", "What is an atom ?"] * 10
    unlabelled = folder / "asked.csv"
    unlabelled.write_text("text\n" + "\n".join(asked) + "\n", encoding="utf-8")
    page.set_input_files("#run-file input[type=file]", unlabelled)
    # Gradio parts a name from its ending once the file is there.
    expect(page.locator("#run-file")).to_contain_text(re.compile(r"asked\s*\.csv"))
    page.locator("#run-label-file").click()
    expect(page.locator(".td-download")).to_be_visible(timeout=TRAINING_MS)
    page.reload()
    expect(page.locator(".td-job")).to_contain_text("40 of 40 rows")
    with page.expect_download() as download:
        page.locator(".td-download").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert [row["text"] for row in rows] == asked
    assert all(row["label"] and 0 < float(row["probability"]) <= 1 for row in rows)


def take_the_zip(page: Page) -> None:
    open_tab(page, "Take away")
    expect(page.locator("#run-format-gguf")).to_be_hidden()
    page.locator("#run-make-model").click()
    expect(page.locator("#run-format-model .td-job")).to_be_visible()
    page.reload()
    made = page.locator("#run-format-model .td-download")
    expect(made).to_be_visible(timeout=TRAINING_MS)
    with page.expect_download() as download:
        made.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        assert {"model.safetensors", "tokenizer.json", "README.md"} <= set(names)
        assert "ENTY" in json.loads(archive.read(names["config.json"]))["label2id"]


def test_a_run_goes_on_through_reload_and_restart(
    shared_server: Server, page: Page, browser: Browser, questions: Path
) -> None:
    run_id = start_run(page, shared_server, questions, training__epochs="60", training__batch_size="8")
    before = wait_for_points(page, 0)

    page.reload()
    expect(state(page)).to_contain_text("Training")
    assert wait_for_points(page, before) > before
    context = browser.new_context()
    second = context.new_page()
    second.goto(f"{shared_server.url}/?run={run_id}")
    expect(state(second)).to_contain_text("Training")
    context.close()

    store = open_store(shared_server.workspace)
    worker = store.run(run_id).pid
    seen = loss_points(page)
    shared_server.kill()
    assert psutil.pid_exists(worker)
    shared_server.start()
    # The page noticed, and comes back by itself.
    wait_for_points(page, seen)
    assert store.run(run_id).pid == worker

    page.locator("#run-stop").click()
    expect(state(page)).to_contain_text("Stopped", timeout=TRAINING_MS)
    expect(page.locator("#run-resume")).to_be_visible()
    steps = [point.step for point in store.metrics(run_id, ["train/loss"])]
    assert steps == sorted(set(steps))


def write_runs(workspace: Workspace) -> None:
    """A finished run with markup in every text, one that failed, one that runs and has a long curve."""
    store = open_store(workspace)
    spec = run_spec(name=EVIL)
    report = write_finished(workspace, spec)
    cause = {"what": f"Column {EVIL} is gone.", "where": "train.csv", "todo": "Choose another."}
    for run_id in ("failed", "long"):
        workspace.run(run_id).root.mkdir()
        workspace.run(run_id).spec.write_text(spec_yaml(spec), encoding="utf-8")
    for run_id in ("finished", "failed", "long"):
        store.add_run(run_id, EVIL, spec.preset, spec.model.source, "questions.csv")
        assert store.claim_next().id == run_id
        if run_id == "finished":
            store.move(run_id, ["running"], "finished", summary={"test": report["test"]})
        if run_id == "failed":
            store.move(run_id, ["running"], "failed", cause["what"], error=cause)
    # The running one needs a process that lives, or the supervisor calls it interrupted.
    store.set_process("long", os.getpid(), psutil.Process().create_time())
    for step in range(1, LONG + 1):
        store.add_metrics("long", step, {"train/loss": 1.0 / step})
    store.set_progress("long", Progress("training", LONG, 4000, 1.5, 2, 100.0, Best("macro_f1", 0.9, 900, 1.0)))


def write_finished(workspace: Workspace, spec: RunSpec) -> dict:
    labels = [EVIL, "b"]
    answers = [(0, 0, 0.9), (1, 1, 0.9), (0, 1, 0.8), (1, 1, 0.9), (1, 1, 0.9)]
    folder = write_run(workspace, "finished", spec, labels)
    report = write_report(folder, labels, [true for true, _, _ in answers], [given for _, given, _ in answers])
    report |= {
        "data": json.loads(folder.data_facts.read_text(encoding="utf-8")),
        "settings": spec.model_dump(mode="json"),
    }
    for scores in report["baselines"].values():
        scores.setdefault("accuracy_interval", [0.1, 0.9])
    table = {
        "row_id": list(range(len(answers))),
        "part": ["test"] * len(answers),
        "text": [f"{EVIL} {number}" for number in range(len(answers))],
        "true": [labels[true] for true, _, _ in answers],
        "predicted": [labels[given] for _, given, _ in answers],
        "confidence": pa.array([sure for _, _, sure in answers], pa.float32()),
        "probabilities": [[1 - sure, sure] for _, _, sure in answers],
    }
    pq.write_table(pa.table(table), folder.report / "predictions.parquet")
    (folder.report / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder.report / "report.html").write_text("<p>report</p>", encoding="utf-8")
    return report


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over runs in every kind of state; nothing is trained."""
    server = Server(open_workspace(tmp_path_factory.mktemp("states") / "workspace"))
    write_runs(server.workspace)
    server.start()
    yield server
    open_store(server.workspace).move("long", ["running"], "stopped")
    server.close()


def test_an_unknown_run_is_said_kindly(states: Server, page: Page) -> None:
    page.goto(f"{states.url}/?run=nothing-of-this-name")
    expect(page.get_by_text("There is no such run")).to_be_visible()
    page.get_by_role("link", name="See all runs").click()
    page.wait_for_url("**/runs")


def test_a_failed_run_says_why_and_what_to_do(states: Server, page: Page) -> None:
    page.goto(f"{states.url}/?run=failed")
    expect(page.locator("#run-trouble")).to_contain_text(f"Column {EVIL} is gone.")
    expect(page.locator("#run-trouble")).to_contain_text("Choose another.")
    for tab, words in {
        "Report": "No report yet",
        "Mistakes": "No mistakes yet",
        "Try it": "No model to try yet",
        "Take away": "Nothing to take yet",
    }.items():
        open_tab(page, tab)
        expect(page.get_by_text(words)).to_be_visible()
    page.locator("#run-retry").click()
    page.wait_for_url("**draft=*")


def test_what_comes_from_data_is_text(states: Server, page: Page) -> None:
    page.goto(f"{states.url}/?run=finished")
    expect(page.locator("#run-head h1")).to_have_text(EVIL)
    for tab, place in {"Report": "#run-classes", "Mistakes": ".td-mistakes", "Take away": "#run-format-model"}.items():
        open_tab(page, tab)
        expect(page.locator(place).first).to_be_visible()
    for tab in ("Try it", "Live"):
        open_tab(page, tab)
        page.wait_for_timeout(300)
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "Tunedesk"


def test_a_confusion_opens_its_rows(states: Server, page: Page) -> None:
    page.goto(f"{states.url}/?run=finished&tab=report")
    wrong = page.locator("#run-matrix td.td-wrong button")
    expect(wrong).to_have_count(1)
    wrong.hover()
    expect(page.locator("#run-matrix .td-said")).to_contain_text("1 of 2 rows")
    wrong.click()
    expect(page.locator(".td-count")).to_contain_text("1 mistake that fits")
    page.locator(".td-mistakes summary").click()
    expect(page.locator(".td-mistakes .td-bar-value").first).to_have_text("80.0 %")


def test_a_class_opens_its_mistakes(states: Server, page: Page) -> None:
    page.goto(f"{states.url}/?run=finished&tab=report")
    page.locator("#run-classes").get_by_role("button", name="b", exact=True).press("Enter")
    expect(page.locator(".td-count")).to_contain_text("No mistake fits these filters")
    open_tab(page, "Report")
    page.locator("#run-classes tbody button").first.click()
    expect(page.locator(".td-count")).to_contain_text("1 mistake that fits")


def test_classes_sort_by_any_column(states: Server, page: Page) -> None:
    page.goto(f"{states.url}/?run=finished&tab=report")
    rows = page.locator("#run-classes tbody tr")
    expect(rows.first).to_contain_text(EVIL)
    page.locator("#run-classes").get_by_role("button", name="Rows").click()
    expect(rows.first).to_contain_text("b")


def test_a_long_curve_is_thinned_and_changes_in_place(states: Server, page: Page) -> None:
    page.goto(f"{states.url}/?run=long")
    expect(state(page)).to_contain_text(f"step {LONG:,} of 4,000")
    assert 100 < wait_for_points(page, 100) <= 600
    page.evaluate("window.kept = document.querySelector('#run-curves svg')")
    store = open_store(states.workspace)
    store.add_metrics("long", LONG + 1, {"train/loss": 0.5})
    store.set_progress("long", Progress("training", LONG + 1, 4000, 1.5, 2, 99.0))
    expect(page.locator("#run-curves .td-key b").first).to_have_text("0.500")
    assert page.evaluate("window.kept === document.querySelector('#run-curves svg')")


def test_collapse_is_said_while_it_holds(states: Server, page: Page) -> None:
    store = open_store(states.workspace)
    notice = Notice("one_answer", f"The model says {EVIL} of every row.", "Halve the learning rate.", 10)
    store.add_event("long", NOTICE, asdict(notice))
    page.goto(f"{states.url}/?run=long")
    told = page.get_by_role("status").filter(has_text="of every row")
    expect(told).to_contain_text(f"The model says {EVIL} of every row.")
    expect(told).to_contain_text("Halve the learning rate.")
    # A worker that withdraws it has evaluated, and says how far it is.
    store.add_event("long", WITHDRAWN, {"finding": "one_answer"})
    store.set_progress("long", Progress("training", LONG + 2, 4000, 1.5, 2, 98.0))
    expect(told).to_have_count(0)


def test_the_log_is_read_when_it_is_opened(states: Server, page: Page) -> None:
    states.workspace.run("long").log.write_text(f"a first line\n{EVIL}\n", encoding="utf-8")
    page.goto(f"{states.url}/?run=long")
    page.locator("#run-log button").first.click()
    expect(page.locator(".td-log")).to_contain_text(EVIL)
    states.workspace.run("long").log.open("a", encoding="utf-8").write("and another\n")
    expect(page.locator(".td-log")).to_contain_text("and another")


def test_deleting_asks_first(states: Server, page: Page) -> None:
    store = open_store(states.workspace)
    states.workspace.run("spare").root.mkdir()
    states.workspace.run("spare").spec.write_text(spec_yaml(run_spec()), encoding="utf-8")
    add_running(store, "spare", "Spare", "quickstart-minilm", "packaged", "questions.csv")
    store.move("spare", ["running"], "stopped")
    page.goto(f"{states.url}/?run=spare")
    page.locator("#run-more").click()
    page.locator("#run-delete").click()
    expect(page.get_by_text("cannot be brought back")).to_be_visible()
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_text("cannot be brought back")).to_be_hidden()
    assert store.run("spare").state == "stopped"
    page.locator("#run-more").click()
    page.locator("#run-delete").click()
    page.locator("#run-delete-confirm").click()
    page.wait_for_url("**/runs")
    assert not states.workspace.run("spare").root.exists()
