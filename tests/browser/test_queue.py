"""The queue and sweeps in a real browser: moved and cancelled from the keyboard, several settings tried from Review.

Nothing trains: a run that is marked as running by the test's own process holds the queue.
"""

import pytest
from playwright.sync_api import Page, expect

from core.runs.queue import queued_ids
from core.runs.store import Store
from core.runs.supervisor import submit
from core.runs.sweeps import sweeps, trials
from core.schema import RunSpec
from core.spec_files import parse_spec
from tests.browser.conftest import HOLDER, Server, assert_fits, open_fold

pytestmark = pytest.mark.browser


def spec_of(server: Server) -> RunSpec:
    data = server.workspace.root / "questions.csv"
    rows = [f"{('Who wrote', 'Where is', 'How many')[n % 3]} {n},{('HUM', 'LOC', 'NUM')[n % 3]}" for n in range(90)]
    data.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    mapping = {"text": ["text"], "label": "label"}
    return parse_spec({"name": "questions", "data": {"train": {"path": str(data)}}, "mapping": mapping}, "the test")


def test_the_queue_is_reordered_and_left_from_the_keyboard(shared_server: Server, held: Store, page: Page) -> None:
    spec = spec_of(shared_server)
    first, second, third = (submit(shared_server.workspace, spec.model_copy(update={"name": name})) for name in "abc")
    page.goto(f"{shared_server.url}/runs")
    rows = page.locator("#queue li:not(.now)")
    expect(rows).to_have_count(3)
    expect(page.locator("#queue .now")).to_contain_text(HOLDER)
    expect(rows.nth(2)).to_contain_text(f"waits for '{HOLDER}', 62 %, about 4 min left; 2 before it")
    rows.nth(2).get_by_role("button", name="Move up").focus()
    page.keyboard.press("Enter")
    expect(rows.nth(1).get_by_role("link")).to_have_text("c")
    expect(rows.nth(1).get_by_role("button", name="Move up")).to_be_focused()
    page.keyboard.press("Enter")
    expect(rows.first.get_by_role("link")).to_have_text("c")
    assert queued_ids(held) == [third, first, second]
    rows.nth(1).get_by_role("button", name="Take out").focus()
    page.keyboard.press("Enter")
    expect(rows).to_have_count(2)
    assert held.run(first).state == "stopped"
    assert_fits(page)
    page.goto(f"{shared_server.url}/run?run={second}")
    expect(page.locator("#run-head")).to_contain_text("1 before it")
    page.locator("#run-first").click()
    expect(page.locator("#run-head")).not_to_contain_text("before it")
    assert queued_ids(held) == [second, third]


def test_several_settings_are_tried_as_a_group(shared_server: Server, held: Store, page: Page) -> None:
    draft = held.save_draft(None, {"spec": spec_of(shared_server).model_dump(mode="json"), "step": 4})
    page.goto(f"{shared_server.url}/?draft={draft}")
    expect(page.locator("#sentences")).to_contain_text("3 classes")
    open_fold(page, "#several")
    page.get_by_label("Setting 1").click()
    page.get_by_role("option", name="Learning rate", exact=True).click()
    values, told = page.locator("#several-values-0 :is(input, textarea)"), page.locator("#several-told")
    expect(values).to_have_value("3e-5, 0.0001, 0.0003")
    expect(told).to_contain_text("3 runs")
    values.fill("1e-4, much")
    values.press("Tab")
    expect(told.get_by_role("alert")).to_be_visible()
    expect(page.locator("#start-several")).to_be_disabled()
    values.fill("1e-4, 3e-4")
    values.press("Tab")
    expect(page.locator("#start-several")).to_have_text("Start 2 runs")
    assert_fits(page)
    page.locator("#start-several").click()
    anyway = page.get_by_role("button", name="Start anyway")
    expect(anyway.or_(page.locator("#sweeps summary"))).to_be_visible()
    if anyway.is_visible():
        anyway.click()
    page.wait_for_url("**/runs")
    group = page.locator("#sweeps details")
    expect(group.locator("tbody tr")).to_have_count(2)
    expect(group).to_contain_text("0 of 2 runs are through")
    (found,) = sweeps(held)
    worse, better = trials(held, found)
    for run_id, figure in ((worse.run_id, 0.7), (better.run_id, 0.8)):
        held.add_metrics(run_id, 10, {"validation/macro_f1": figure})
    # Both at once: the server would begin one that is queued while none runs, and bury one that runs without a process.
    with held.transaction() as connection:
        connection.execute(
            "UPDATE runs SET state = 'finished', summary = '{}' WHERE id IN (?, ?)", (worse.run_id, better.run_id)
        )
    expect(group.locator("tr.best")).to_contain_text("0.800")
    expect(group).to_contain_text("finished")
    assert_fits(page)
    group.get_by_role("button", name="Use these settings").click()
    page.wait_for_url("**draft=**")
    (_, _, content) = held.drafts()[0]
    assert content["spec"]["training"]["learning_rate"] == better.settings["training.learning_rate"]
