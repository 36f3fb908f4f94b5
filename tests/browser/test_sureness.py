"""The slider of thresholds on a run's report: what it says as it moves, and that a reload finds what was chosen."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from core.deciding import save_decision
from core.decision import Decision, shown_share
from core.model_facts import run_model_facts
from core.runs.store import open_store
from core.workspace import RunFolder
from tests.browser.conftest import Server, assert_fits, slow_line
from tests.run_folders import add_running, run_spec, sureness_figures, write_report, write_run

LABELS = ["ABBR", "<img src=x onerror=alert(1)>", "NUM"]


@pytest.fixture(scope="module")
def folder(shared_server: Server) -> RunFolder:
    """A finished run without weights: nothing here asks its model."""
    workspace, spec = shared_server.workspace, run_spec()
    made = write_run(workspace, "finished", spec, LABELS)
    report = write_report(made, LABELS, [0, 1, 2] * 10, [0, 1, 2] * 9 + [1, 1, 1]) | sureness_figures(len(LABELS))
    report |= {
        "data": json.loads(made.data_facts.read_text(encoding="utf-8")),
        "settings": spec.model_dump(mode="json"),
    }
    (made.report / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (made.report / "report.html").write_text("<p>report</p>", encoding="utf-8")
    row = {"row_id": [0], "part": ["test"], "text": ["a"], "true": ["NUM"], "predicted": ["NUM"]}
    table = {**row, "confidence": pa.array([0.9], pa.float32()), "probabilities": [[0.05, 0.05, 0.9]]}
    pq.write_table(pa.table(table), made.report / "predictions.parquet")
    store = open_store(workspace)
    add_running(store, "finished", "questions", spec.preset, spec.model.source, "questions.csv")
    store.move("finished", ["running"], "finished", summary={"test": report["test"]})
    return made


@pytest.fixture
def report(folder: RunFolder, shared_server: Server, page: Page) -> Page:
    save_decision(folder, Decision(temperature=3.0))
    page.goto(f"{shared_server.url}/?run=finished&tab=report")
    expect(page.locator(".td-comes-to")).to_contain_text("Without a threshold it labels 100.0 % of rows")
    return page


def test_the_slider_says_what_comes_of_it_and_is_kept(folder: RunFolder, report: Page) -> None:
    coverage = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))["coverage"]
    slider, said, saved = (report.locator(f"#run-sureness {css}") for css in ("input[type=range]", ".td-comes-to", "b"))
    for place in (1, 2, 3):
        slider.first.press("ArrowRight")
        expect(slider.first).to_have_value(str(place))
    part = coverage["test"]
    share = f"labels {100 * part['labelled'][3] / part['rows']:.1f} % of rows at "
    expect(said).to_contain_text(share)
    expect(report.locator("#run-decision")).to_contain_text(f"less than {shown_share(coverage['thresholds'][3])}.")
    expect(saved.last).to_have_text("Saved with the model.")
    report.reload()
    expect(said).to_contain_text(share)
    assert run_model_facts(folder).decision == Decision(temperature=3.0, abstain_below=coverage["thresholds"][3])
    report.get_by_role("tab", name="Try it").click()
    expect(report.locator("#run-try")).to_contain_text("A row gets no label where")


def test_of_quick_moves_the_last_is_saved(folder: RunFolder, report: Page) -> None:
    """While the first is on its way the others wait; what they carry must be theirs."""
    thresholds = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))["coverage"]["thresholds"]
    slow_line(report)
    for _ in range(4):
        report.locator("#run-sureness input[type=range]").first.press("ArrowRight")
    expect(report.locator("#run-decision")).to_contain_text(f"less than {shown_share(thresholds[4])}.")
    assert run_model_facts(folder).decision.abstain_below == thresholds[4]


def test_a_press_finds_the_threshold_for_an_accuracy_and_another_takes_it_back(folder: RunFolder, report: Page) -> None:
    report.get_by_role("button", name="90 % right").click()
    expect(report.locator("#run-decision")).to_contain_text("A row gets no label where")
    expect(report.locator("#run-sureness svg .chosen")).to_have_attribute("visibility", "visible")
    report.get_by_role("button", name="Label every row").click()
    expect(report.locator("#run-decision")).to_contain_text("Every row gets a label.")
    expect(report.locator(".td-comes-to")).to_contain_text("Without a threshold")
    assert run_model_facts(folder).decision == Decision(temperature=3.0)


def test_sets_of_likely_classes_are_chosen_and_kept(folder: RunFolder, report: Page) -> None:
    report.get_by_label("Likeliest until they sum to").click()
    expect(report.locator("#run-decision")).to_contain_text("until they sum to 90.0 %")
    expect(report.locator("#run-decision")).to_contain_text("The true class is among them in")
    report.get_by_label("The likeliest few").click()
    expect(report.locator("#run-decision")).to_contain_text("Beside it stand the 3 likeliest.")
    report.reload()
    expect(report.get_by_label("The likeliest few")).to_be_checked()
    expect(report.locator("#run-set-size")).to_be_visible()
    assert run_model_facts(folder).decision.label_set == "top"
    assert_fits(report)


def test_a_bar_opens_the_mistakes_of_its_sureness_by_keyboard(report: Page) -> None:
    bar = report.locator("#run-threshold [role=button][data-least]").last
    expect(bar).to_have_attribute("data-most", "1")
    bar.press("Enter")
    expect(report.get_by_role("tab", name="Mistakes")).to_have_attribute("aria-selected", "true")
    expect(report.get_by_label("number input for Sure ≥ %").first).to_have_value("90")
