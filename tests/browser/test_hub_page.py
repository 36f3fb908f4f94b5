"""Logging in and publishing on the page, against a small hub on this computer; and the exported Space in a browser."""

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from core.export.bundle import export_folder
from core.export.publish_form import read_form
from core.export.space import APP_NAME, write_space
from core.runs.store import open_store
from core.schema import RunSpec
from core.workspace import RunFolder, open_workspace
from tests.browser.conftest import TRAINING_MS, Server, assert_fits, open_fold
from tests.hub_server import Hub, running_hub
from tests.run_folders import add_model, run_spec, write_report, write_run

pytestmark = pytest.mark.browser

RUN = "20261121-000000-aaaa"
LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
TOKEN, READER = "hf_goodtoken123456", "hf_readtoken123456"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub({TOKEN: ("ada", "write"), READER: ("ada", "read")}) as hub:
        yield hub


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> RunFolder:
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:300]
    workspace = open_workspace(tmp_path_factory.mktemp("hub") / "workspace")
    spec = run_spec(max_length=24)
    made = write_run(workspace, RUN, spec, LABELS)
    add_model(made, spec, [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows], LABELS)
    report = write_report(made, LABELS, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 4])
    complete_report(made, report, spec)
    store = open_store(workspace)
    store.add_run(RUN, spec.name, spec.preset, spec.model.source, "questions.csv")
    store.claim_next()
    store.move(RUN, ["running"], "finished", summary={"test": report["test"]})
    return made


def complete_report(folder: RunFolder, report: dict, spec: RunSpec) -> None:
    """What the run's page reads beside the figures."""
    data = json.loads(folder.data_facts.read_text(encoding="utf-8"))
    report |= {"data": data, "settings": spec.model_dump(mode="json")}
    for scores in report["baselines"].values():
        scores.setdefault("accuracy_interval", [0.1, 0.9])
    rows = {
        "row_id": [0], "part": ["test"], "text": ["What is ABC ?"], "true": ["ABBR"], "predicted": ["ABBR"],
        "confidence": pa.array([0.9], pa.float32()), "probabilities": [[0.9, 0.1, 0.0, 0.0, 0.0, 0.0]],
    }  # fmt: skip
    pq.write_table(pa.table(rows), folder.report / "predictions.parquet")
    (folder.report / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder.report / "report.html").write_text("<p>report</p>", encoding="utf-8")


@pytest.fixture(scope="module")
def hub_page(hub: Hub, folder: RunFolder) -> Iterator[Server]:
    here = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    server = Server(folder.workspace, **here)
    server.start()
    yield server
    server.close()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TRAINING_MS / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def assert_form_survives_a_reload(page: Page, folder: RunFolder) -> None:
    page.locator("#publish-private").get_by_text("Public: everyone").click()
    page.locator("#publish-space input").check()
    wait_until(lambda: (form := read_form(folder)).space and form.data and not form.private)
    page.reload()
    name = page.locator("#publish-name textarea, #publish-name input").first
    expect(name).to_have_value("ada/from-the-page")
    expect(page.locator("#publish-private input[type=radio]").nth(1)).to_be_checked()
    open_fold(page, "#publish-more")
    expect(page.locator("#publish-language textarea, #publish-language input").first).to_have_value("en")
    for tick in ("#publish-space", "#publish-data"):
        expect(page.locator(f"{tick} input")).to_be_checked()
    expect(page.locator("#publish-licence")).to_be_visible()
    page.locator("#publish-private").get_by_text("Private: you alone").click()
    page.locator("#publish-space input").uncheck()


def test_log_in_publish_and_find_it_again(hub_page: Server, hub: Hub, folder: RunFolder, page: Page) -> None:
    page.goto(f"{hub_page.url}/run?run={RUN}&tab=take")
    expect(page.locator("#publish-about")).to_contain_text("Nobody is logged in")
    page.goto(f"{hub_page.url}/settings")
    expect(page.locator("#hub-login")).to_contain_text("Nobody is logged in")
    page.locator("#hub-token input").fill("hf_wrongtoken")
    page.locator("#hub-enter").click()
    expect(page.get_by_text("does not accept the token")).to_be_visible()
    page.locator("#hub-token input").fill(TOKEN)
    page.locator("#hub-enter").click()
    expect(page.locator("#hub-login")).to_contain_text("Logged in as ada, who may write for acme")
    expect(page.locator("#hub-token input")).to_be_hidden()
    assert_fits(page)

    page.goto(f"{hub_page.url}/run?run={RUN}&tab=take")
    expect(page.locator("#publish-about")).to_contain_text("You are ada there")
    page.locator("#publish-plan summary").click()
    expect(page.locator("#publish-plan")).to_contain_text("model.safetensors")
    name = page.locator("#publish-name textarea, #publish-name input").first
    expect(name).to_have_attribute("placeholder", "ada/questions-quickstart")
    name.press_sequentially("ada/a--b")
    expect(page.locator("#publish-problem")).to_contain_text("no -- or ..")
    name.fill("")
    name.press_sequentially("ada/from-the-page")
    expect(page.locator("#publish-problem")).to_have_text("")
    open_fold(page, "#publish-more")
    page.locator("#publish-language textarea, #publish-language input").first.fill("en")
    page.locator("#publish-data input").check()
    expect(page.locator("#publish-licence")).to_be_visible()
    assert_form_survives_a_reload(page, folder)
    page.locator("#run-publish").click()
    expect(page.get_by_text("only with a licence")).to_be_visible()
    assert not hub.repositories
    page.locator("#publish-data input").uncheck()
    assert_fits(page)
    page.locator("#run-publish").click()
    expect(page.locator("#run-publications li")).to_have_count(1)
    page.reload()
    link = page.locator("#run-publications .td-download")
    expect(link).to_be_visible(timeout=TRAINING_MS)
    expect(link).to_have_attribute("href", f"{hub.url}/ada/from-the-page")
    assert hub.repositories["model", "ada/from-the-page"].private
    there = hub.files("ada/from-the-page")
    assert there["model.safetensors"] == (folder.model / "model.safetensors").read_bytes()
    assert b"- en" in there["README.md"]
    publish_as_onnx(page, hub)
    for path in folder.workspace.root.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def publish_as_onnx(page: Page, hub: Hub) -> None:
    """Another format: offered under a name of its own, made first, and listed before it goes out."""
    open_fold(page, "#publish-more")
    name = page.locator("#publish-name textarea, #publish-name input").first
    name.fill("")
    page.locator("#publish-format input").click()
    page.get_by_role("option", name=re.compile("ONNX, int8")).click()
    expect(name).to_have_attribute("placeholder", "ada/questions-quickstart-onnx-int8")
    expect(page.locator("#publish-plan")).to_contain_text("ONNX, int8 is made first")
    assert_fits(page)
    page.locator("#run-publish").click()
    link = page.locator("#run-publications .td-download")
    expect(link).to_have_count(2, timeout=TRAINING_MS)
    expect(link.first).to_have_attribute("href", f"{hub.url}/ada/questions-quickstart-onnx-int8")
    assert "model.onnx" in hub.files("ada/questions-quickstart-onnx-int8")


def test_log_in_through_the_browser_and_out(hub_page: Server, hub: Hub, page: Page) -> None:
    page.goto(f"{hub_page.url}/settings")
    out = page.locator("#hub-leave")
    expect(page.locator("#hub-login")).to_contain_text(re.compile("Nobody is|Logged in as"))
    if "Logged in as" in page.locator("#hub-login").inner_text():
        out.click()
    expect(page.locator("#hub-login")).to_contain_text("Nobody is logged in")
    page.locator("#hub-device").click()
    expect(page.locator("#hub-code")).to_contain_text("ABCD-1234")
    hub.authorised_codes["secret-code"] = READER
    expect(page.locator("#hub-login")).to_contain_text("This token may read only")
    expect(page.locator("#hub-code")).to_be_hidden()
    out.click()
    expect(page.locator("#hub-login")).to_contain_text("Nobody is logged in")


def test_a_model_of_the_hub_is_opened(
    hub_page: Server, hub: Hub, folder: RunFolder, tmp_path: Path, page: Page
) -> None:
    """Its files are listed, a reload finds it, it can be stopped; opened again it goes on to the new run."""
    made = export_folder(folder, tmp_path / "away")
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    commit = hub.put("ada/public", files, private=False)
    hub.hold = "model.safetensors"
    page.goto(f"{hub_page.url}/runs")
    open_fold(page, "#open-model")
    place = page.locator("#open-place textarea, #open-place input").first
    place.fill("ada/public")
    page.locator("#open-go").click()
    told = page.locator("#open-told")
    expect(told).to_contain_text(commit[:12], timeout=TRAINING_MS)
    page.reload()
    expect(told).to_contain_text("model.safetensors")
    assert_fits(page)
    page.locator("#open-stop").click()
    expect(told).to_contain_text("Stopped; nothing of it was kept")
    hub.hold = ""
    hub.go_on.set()
    place.fill("ada/public")
    page.locator("#open-go").click()
    page.wait_for_url("**run=*tab=try", timeout=TRAINING_MS)
    expect(page.locator("#run-try")).to_be_visible()


def test_the_space_answers(folder: RunFolder, tmp_path: Path, page: Page) -> None:
    space = write_space(folder, tmp_path / "space")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    app = subprocess.Popen([sys.executable, APP_NAME], cwd=space, env={**environment, "HF_HUB_OFFLINE": "1"})
    try:
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert app.poll() is None
            page.wait_for_timeout(500)
        page.goto(f"http://127.0.0.1:{port}")
        page.get_by_label("text").fill("How many feet are in a mile ?")
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_label("Class")).to_have_value("NUM", timeout=TRAINING_MS)
        expect(page.get_by_text("HUM").first).to_be_visible()
    finally:
        app.kill()
        app.wait()
