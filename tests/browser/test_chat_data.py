"""Conversations in a real browser: the Data step on real and hostile files, and the page of a run that learned them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.runs.store import open_store
from core.workspace import open_workspace
from tests.browser import conftest
from tests.browser.conftest import Server, open_fold
from tests.chat_runs import write_chat_run, write_lines

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"document.title='hit'\">"
RUN = "20261121-000000-aaaa"


STAND_IN = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    said = [message["content"] for message in request["messages"]]
    if said[-1] == "break":
        error = {"what": "It is broken.", "where": "model", "todo": "Mend it."}
        print(json.dumps({"id": request["id"], "error": error}), flush=True)
        continue
    tuned = f"{len(said)} messages, the last {said[-1]}, at most {request['max_new_tokens']}"
    print(json.dumps({"id": request["id"], "tuned": tuned, "untuned": f"untuned {said[-1]}"}), flush=True)
"""
"""Answers in place of the model's process."""


@pytest.fixture(scope="module")
def chat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a finished run of conversations, with markup in every text, and a stand-in for its model."""
    folder = tmp_path_factory.mktemp("chat")
    (folder / "core").mkdir()
    (folder / "core" / "__init__.py").touch()
    (folder / "core" / "predict.py").write_text(STAND_IN, encoding="utf-8")
    server = Server(open_workspace(folder / "workspace"))
    write_chat_run(server.workspace, RUN, EVIL)
    with pytest.MonkeyPatch.context() as patch:
        told = f"import pathlib, core.prediction_service as s; s.PROJECT = pathlib.Path({str(folder)!r}); "
        patch.setattr(conftest, "SERVE", told + conftest.SERVE)
        server.start()
    yield server
    server.close()


def open_file(page: Page, server: Server, file: Path) -> None:
    page.goto(server.url)
    page.set_input_files("#data-file input[type=file]", file)
    expect(page.locator("#file-facts strong")).to_be_visible()
    expect(page.locator("#findings h3")).to_be_visible()


def draft_of(server: Server, page: Page) -> dict:
    return open_store(server.workspace).draft(page.url.split("draft=")[1])["spec"]


def test_a_real_file_is_offered_as_conversations(chat_server: Server, page: Page, shared_data: Path) -> None:
    open_file(page, chat_server, shared_data / "sft" / "alpaca_2k.json")
    expect(page.locator("#mapping-kind input[value=none]")).to_be_checked()
    expect(page.locator("#chat-instruction input")).to_have_value("instruction")
    expect(page.locator("#chat-response input")).to_have_value("output")
    expect(page.locator("#preview .said-by.user").first).to_contain_text("Check if the following Facebook post")
    expect(page.locator("#preview .said-by.assistant")).to_have_count(5)
    expect(page.locator("#data-status")).to_contain_text("ready")
    expect(page.locator("#stratified")).to_be_hidden()
    page.locator("#preview-next").click()
    expect(page.locator("#preview")).to_contain_text("Rows 6 to 10")
    expect(page.locator("#preview .talks > li")).to_have_count(5)
    page.reload()
    expect(page.locator("#chat-response input")).to_have_value("output")
    page.locator("#to-model").click()
    expect(page.locator(".preset[aria-checked=true]")).to_contain_text("Llama 3.2 1B, 4-bit")
    page.locator("#to-review").click()
    expect(page.locator("#sentences")).to_contain_text("It learns to answer from the conversations in alpaca_2k.json.")
    expect(page.locator("#sentences")).to_contain_text("about 1,600 rows")
    open_fold(page, "#as-command")
    expect(page.locator("#as-command textarea")).to_have_value(re.compile("--chat"))
    spec = draft_of(chat_server, page)
    assert spec["mapping"]["kind"] == "none"
    assert spec["mapping"]["chat"]["input"] == "input"


def test_messages_in_one_column_and_the_switch_of_kinds(chat_server: Server, page: Page, tmp_path: Path) -> None:
    said = [{"role": "user", "content": EVIL}, {"role": "assistant", "content": f"No {EVIL}"}]
    rows = [{"messages": said}] * 30 + [{"messages": said[:1]}] * 2
    open_file(page, chat_server, write_lines(tmp_path / "talks.jsonl", rows))
    expect(page.locator("#chat-conversation input")).to_have_value("messages")
    expect(page.locator("#chat-response")).to_be_hidden()
    expect(page.locator("#preview .said-by").first).to_contain_text(EVIL)
    expect(page.locator("#findings")).to_contain_text("2 rows are left out: it holds no answer")
    page.locator("#mapping-kind").get_by_text("Texts with a class").click()
    expect(page.locator("#text-columns")).to_be_visible()
    expect(page.locator("#chat-columns")).to_be_hidden()
    expect(page.locator("#data-status")).not_to_contain_text("ready")
    page.locator("#mapping-kind").get_by_text("Conversations to learn from").click()
    expect(page.locator("#preview .said-by").first).to_contain_text(EVIL)
    assert page.title() != "hit"


def test_the_page_of_a_run_that_learned_conversations(chat_server: Server, page: Page) -> None:
    page.goto(f"{chat_server.url}/?run={RUN}")
    expect(page.locator("#run-head")).to_contain_text("perplexity 3.32")
    expect(page.locator("#run-report")).to_contain_text("the right next word is 1.65 times as likely")
    expect(page.locator("#run-samples article")).to_have_count(2)
    expect(page.locator("#run-samples article").first).to_contain_text(f"Yes {EVIL}")
    expect(page.locator("#run-matrix")).to_be_hidden()
    page.get_by_role("tab", name="Mistakes").click()
    expect(page.get_by_text("Conversations have no classes that could be mistaken.")).to_be_visible()
    page.get_by_role("tab", name="Live").click()
    expect(page.locator(".td-figures")).to_contain_text("Best validation loss")
    expect(page.locator(".td-figures")).not_to_contain_text("F1")
    page.get_by_role("tab", name="Try it").click()
    expect(page.locator("#chat-tuned")).to_be_visible()
    expect(page.locator("#run-file")).to_be_hidden()
    page.goto(f"{chat_server.url}/runs")
    expect(page.locator("#runs-table")).to_contain_text("perplexity 3.32")
    assert page.title() != "hit"


def test_a_talk_with_both_models(chat_server: Server, page: Page) -> None:
    page.goto(f"{chat_server.url}/?run={RUN}&tab=try")
    message, tuned, untuned = (
        page.locator(name) for name in ("#chat-message textarea", "#chat-tuned", "#chat-untuned")
    )
    page.locator("#chat-send").click()
    expect(page.locator("#chat-problem")).to_contain_text("Write a message first.")
    message.fill(f"{EVIL}\n\nSecond    paragraph")
    page.locator("#chat-send").click()
    expect(tuned).to_contain_text(f"1 messages, the last {EVIL}")
    expect(tuned).to_contain_text("Second    paragraph, at most 256", use_inner_text=True)
    expect(untuned).to_contain_text(f"untuned {EVIL}")
    expect(message).to_have_value("")
    message.fill("**Why** so?")
    message.press("Shift+Enter")
    expect(tuned).to_contain_text("3 messages, the last **Why** so?")
    expect(untuned).to_contain_text("untuned **Why** so?")
    message.fill("break")
    page.locator("#chat-send").click()
    expect(page.locator("#chat-problem")).to_contain_text("It is broken. Mend it.")
    expect(message).to_have_value("break")
    expect(tuned).not_to_contain_text("break")
    page.locator("#chat-new").click()
    expect(tuned).not_to_contain_text("messages, the last")
    message.fill("again")
    page.locator("#chat-send").click()
    expect(tuned).to_contain_text("1 messages, the last again")
    assert page.title() != "hit"
