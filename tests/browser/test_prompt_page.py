"""New run with a language model in a real browser: its prompt is edited beside one row as the model reads it."""

import csv
import json
import re
import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.runs.store import open_store
from core.schema import MappingSpec
from tests.browser.conftest import TRAINING_MS, Server, assert_fits, open_fold
from tests.small_llama import write_small_llama
from ui.new_run.draft import choose_preset, new_draft, write_draft

pytestmark = pytest.mark.browser

PRESET = "llama-3.2-1b-4bit"
PROMPT_STEP = 3
EVIL = "<img src=x onerror=\"document.title='hit'\">"
QUESTIONS = [
    ("Who wrote Hamlet ?", "HUM", "easy"),
    ("Where is Oslo ?", "LOC", "hard"),
    ("How many legs ?", "NUM", EVIL),
]
LONG = 7
"""The place of the row with the longest text."""


@pytest.fixture(scope="module")
def llama(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Llama with random weights, in a folder; its tokenizer is trained on the shared data."""
    return write_small_llama(tmp_path_factory.mktemp("model") / "small-llama", num_hidden_layers=2)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """60 questions in three classes with a column more; one of them is very long."""
    rows = [(f"{text} ({number})", label, level) for number in range(20) for text, label, level in QUESTIONS]
    rows[LONG] = (rows[LONG][0] + " and much more" * 200, *rows[LONG][1:])
    path = tmp_path / "questions.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "level"), *rows])
    return path


def to_model(page: Page, server: Server, data: Path, preset: str = PRESET) -> None:
    """Open the data and choose a language model's preset."""
    page.goto(server.url)
    page.set_input_files("#data-file input[type=file]", data)
    expect(page.locator("#findings h3")).to_be_visible()
    page.locator("#to-model").click()
    page.locator(f".preset[data-key='{preset}']").click()
    expect(page.locator(f".preset[data-key='{preset}']")).to_have_attribute("aria-checked", "true")


def at_prompt(page: Page, server: Server, data: Path, model: Path) -> None:
    """Open a draft that has come as far as its prompt."""
    draft = new_draft(f"20260101-000000-{secrets.token_hex(2)}")
    choose_preset(draft, PRESET)
    draft.put("data.train", {"path": str(data)})
    draft.put("model.source", str(model))
    draft.put("mapping", MappingSpec(text=("text",), label="label").model_dump(mode="json"))
    draft.step = PROMPT_STEP
    write_draft(open_store(server.workspace), draft)
    page.goto(f"{server.url}/?draft={draft.id}")
    expect(text(page)).to_contain_text("Who wrote Hamlet ? (0)")


def to_prompt(page: Page, server: Server, data: Path, model: Path) -> None:
    to_model(page, server, data)
    source = page.locator("#field-model-source input")
    source.fill(str(model))
    source.press("Tab")
    expect(page.locator("#field-model-source .block.note")).to_contain_text("Changed")
    page.locator("#to-review").click()
    expect(text(page)).to_contain_text("Who wrote Hamlet ? (0)")


def text(page: Page) -> Locator:
    return page.locator("#prompt-text .prompt-text")


def user(page: Page) -> Locator:
    return page.locator("#prompt-user textarea")


def active(page: Page) -> Locator:
    return page.locator(".step-button.active")


def draft_content(server: Server, page: Page) -> dict:
    return open_store(server.workspace).draft(page.url.split("draft=")[1])


def test_the_preview_follows_the_prompt_and_the_row(
    shared_server: Server, page: Page, questions: Path, llama: Path
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    at_prompt(page, shared_server, questions, llama)
    expect(active(page)).to_contain_text("Prompt")
    expect(page.locator("#prompt-row")).to_contain_text("Row 1 of 60")
    expect(page.locator("#prompt-count")).to_contain_text("of 1,024 tokens")
    expect(text(page).locator("mark.learned").last).to_have_text("<|eot_id|>")
    assert "".join(text(page).locator("mark.learned").all_inner_texts()) == "HUM<|eot_id|>"

    user(page).fill("Read this: {text}")
    expect(text(page)).to_contain_text("Read this: Who wrote Hamlet ? (0)")
    expect(page.locator("#prompt-note-user")).to_contain_text("Changed from the preset")
    user(page).press("Control+End")
    user(page).press_sequentially(" Level: ")
    page.locator("#prompt-user .chips button", has_text="{level}").click()
    expect(user(page)).to_have_value("Read this: {text} Level: {level}")
    expect(text(page)).to_contain_text("Level: easy")

    page.locator("#prompt-previous").click()
    expect(text(page)).to_contain_text(f"How many legs ? (19) Level: {EVIL}")
    expect(page.locator("#prompt-row")).to_contain_text("Row 60")
    page.locator("#prompt-next").click()
    expect(page.locator("#prompt-row")).to_contain_text("Row 1 ")
    page.locator("#prompt-longest").click()
    expect(page.locator("#prompt-row")).to_contain_text(f"Row {LONG + 1} ")
    assert_fits(page)
    page.locator("#prompt-max-length input").fill("100")
    expect(text(page).locator("del.cut")).to_contain_text("and much more")
    expect(page.locator("#prompt-note-max-length")).to_contain_text("are cut")
    expect(page.locator("#prompt-count")).to_contain_text("of 100 tokens")
    assert page.locator("main img").count() == 0
    assert page.title() == "Tunedesk"
    assert errors == []


def test_a_broken_prompt_is_said_and_blocks_the_review(
    shared_server: Server, page: Page, questions: Path, llama: Path
) -> None:
    at_prompt(page, shared_server, questions, llama)
    user(page).fill("{nonsense}: {text}")
    expect(page.locator("#prompt-note-user .bad")).to_contain_text("{nonsense} is not a column of the data.")
    expect(page.locator("#prompt-to-review")).to_be_disabled()
    expect(page.locator("#prompt-status")).to_contain_text("User")
    page.reload()
    expect(active(page)).to_contain_text("Prompt")
    expect(user(page)).to_have_value("{nonsense}: {text}")
    expect(page.locator("#prompt-note-user .bad")).to_contain_text("{nonsense}")
    user(page).press("Control+Home")
    for _ in "{nonsense}: ":
        user(page).press("Delete")
    expect(text(page)).to_contain_text("Who wrote Hamlet ? (0)")
    expect(page.locator("#prompt-to-review")).to_be_enabled()
    page.locator("#prompt-assistant textarea").fill("")
    expect(page.locator("#prompt-note-assistant .bad")).to_contain_text("Write {label} into it")
    page.locator("#prompt-note-assistant button").click()
    expect(page.locator("#prompt-assistant textarea")).to_have_value("{label}")
    expect(page.locator("#prompt-to-review")).to_be_enabled()


def test_everything_is_there_after_a_reload_and_goes_into_the_review(
    shared_server: Server, page: Page, questions: Path, llama: Path
) -> None:
    at_prompt(page, shared_server, questions, llama)
    page.get_by_label("Raw text").click()
    page.locator("#prompt-system textarea").fill("")
    user(page).fill("[INST] Is it {labels}? It's {text} [/INST]\n")
    page.locator("#prompt-separator input").fill(" or ")
    # The preset's 1,024 are more than this model reads, which the review would not let pass.
    page.locator("#prompt-max-length input").fill("256")
    page.locator("#prompt-next").click()
    expect(text(page)).to_contain_text("[INST] Is it HUM or LOC or NUM? It's Where is Oslo ? (0) [/INST]")
    expect(text(page)).not_to_contain_text("start_header_id")
    page.reload()
    expect(text(page)).to_contain_text("[INST] Is it HUM or LOC or NUM? It's Where is Oslo ? (0) [/INST]")
    expect(page.get_by_label("Raw text")).to_be_checked()
    expect(page.locator("#prompt-system textarea")).to_have_value("")
    expect(user(page)).to_have_value("[INST] Is it {labels}? It's {text} [/INST]\n")
    expect(page.locator("#prompt-separator input")).to_have_value(" or ")
    expect(page.locator("#prompt-row")).to_contain_text("Row 2 ")
    page.locator(".step-button", has_text="Model").click()
    expect(page.locator("#field-model-source input")).to_have_value(str(llama))
    page.locator("#to-review").click()
    expect(text(page)).to_contain_text("[INST]")
    page.locator("#prompt-to-review").click()
    expect(page.locator("#sentences")).to_contain_text("[INST] Is it {labels}? It's {text} [/INST]")
    expect(page.locator("#review-model")).to_contain_text("The model is on this computer.")
    expect(page.locator("#review-model")).to_contain_text("no NVIDIA GPU")
    expect(page.locator("#start-run")).to_be_enabled()
    open_fold(page, "#as-command")
    expect(page.locator("#as-command textarea")).to_have_value(re.compile("prompt.user="))
    assert draft_content(shared_server, page)["spec"]["prompt"]["labels_separator"] == " or "
    page.locator("#back-to-model").click()
    expect(active(page)).to_contain_text("Prompt")


def test_the_step_is_there_for_models_that_answer(shared_server: Server, page: Page, questions: Path) -> None:
    to_model(page, shared_server, questions)
    steps = page.locator(".step-item:visible")
    expect(steps).to_have_count(4)
    expect(page.locator("#to-review")).to_have_text("Prompt →")
    methods = page.locator("#field-model-method label input")
    expect(methods).to_have_count(4)
    expect(page.locator("#field-model-lora-rank")).to_be_visible()
    page.locator("#field-model-method label", has_text="head on the model").click()
    expect(page.locator("#to-review")).to_have_text("Review →")
    expect(steps).to_have_count(3)
    page.locator("#field-model-method label", has_text="QLoRA").click()
    expect(steps).to_have_count(4)
    page.locator("#to-review").click()
    expect(page.locator("#prompt-text .no-preview")).to_contain_text("not on this computer")
    expect(user(page)).to_have_value(re.compile(r"\{text\}"))
    user(page).fill("{text} {nonsense}")
    expect(page.locator("#prompt-note-user .bad")).to_contain_text("{nonsense}")
    expect(page.locator("#prompt-to-review")).to_be_disabled()
    user(page).fill("{text}!")
    expect(page.locator("#prompt-to-review")).to_be_enabled()
    page.locator("#prompt-to-review").click()
    expect(page.locator("#review-model .problem")).to_contain_text("NVIDIA GPU")
    expect(page.locator("#start-run")).to_be_disabled()


def test_a_small_model_is_trained_and_seen_before_and_after(
    shared_server: Server, page: Page, questions: Path, llama: Path
) -> None:
    """Prompt broken and put right, a real worker, the report beside the untuned model, and a question to the result."""
    to_prompt(page, shared_server, questions, llama)
    page.get_by_label("Raw text").click()
    page.locator("#prompt-system textarea").fill("")
    user(page).fill("{text} {nonsense}")
    expect(page.locator("#prompt-note-user .bad")).to_contain_text("{nonsense} is not a column of the data.")
    user(page).fill("{text} =")
    expect(text(page)).to_contain_text("Who wrote Hamlet ? (0) =")
    page.locator("#prompt-assistant textarea").fill(" {label}")
    page.locator("#prompt-max-length input").fill("128")
    expect(page.locator("#prompt-count")).to_contain_text("of 128 tokens")
    expect(text(page).locator("mark.learned").first).to_contain_text("H")
    page.locator("#prompt-to-review").click()
    expect(page.locator("#review-model")).to_contain_text("The model is on this computer.")
    page.locator("#start-run").click()
    page.wait_for_url("**run=*")
    run_id = page.url.split("run=")[1].split("&")[0]
    expect(page.locator("#run-head")).to_contain_text("Finished", timeout=TRAINING_MS)

    report = json.loads((shared_server.workspace.run(run_id).report / "report.json").read_text(encoding="utf-8"))
    page.locator("#run-tabs").get_by_role("tab", name="Report", exact=True).click()
    before = page.locator("#run-report").get_by_role("rowheader", name="The same model before training")
    expect(before).to_be_visible()
    expect(page.locator("#run-report")).to_contain_text(f"{report['untuned']['accuracy'] * 100:.1f} %")
    expect(page.locator("#run-report")).to_contain_text(f"{report['test']['accuracy'] * 100:.1f} %")
    expect(page.locator("#run-free")).to_contain_text("itself")
    page.locator("#run-tabs").get_by_role("tab", name="Try it", exact=True).click()
    page.locator("#try-0 textarea").fill("Where is Rome ?")
    page.locator("#run-predict").click()
    expect(page.locator("#run-result")).to_contain_text("LOC", timeout=TRAINING_MS)
    page.locator("#run-tabs").get_by_role("tab", name="Take away", exact=True).click()
    expect(page.locator("#run-tabs")).to_contain_text("PeftModel")
