"""Conversations on the pages, in the model's process and on the command line, without a browser."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import prediction_service
from core.cli import following, training
from core.cli.arguments import parse
from core.cli.commands import runs as list_runs
from core.errors import UserError
from core.prediction_service import PredictionService
from core.runs.store import MetricPoint, Progress, open_store
from core.schema import PromptSpec
from core.spec_files import read_spec, with_overrides
from core.workspace import RunFolder, Workspace
from tests.chat_runs import chat_spec, write_chat_run, write_lines
from ui.bubbles import CLAMPED_FROM, MESSAGES_SHOWN, conversation_html
from ui.new_run.chat_columns import FIELDS, choose_chat_columns, choose_kind, talks_html
from ui.new_run.checks import find_problems
from ui.new_run.draft import Draft, choose_preset, editing, missing, new_draft, read_draft, spec_of, unfit
from ui.new_run.files import open_role
from ui.new_run.review_text import command_line, sentences
from ui.new_run.source import take_files
from ui.run.chat import messages
from ui.run.chat_report import chat_verdict_html, samples_html
from ui.run.header import header_html
from ui.run.live import chat_curves_html, chat_figures_html
from ui.run.report import facts_html, read_report
from ui.runs import table_html
from ui.sidebar import short_state

EVIL = "<img src=x>"
STAND_IN = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    said = " | ".join(f"{m['role']}: {m['content']}" for m in request["messages"])
    untuned = None if "alone" in said else "before"
    print(json.dumps({"id": request["id"], "tuned": f"{said} ({request['max_new_tokens']})", "untuned": untuned}),
          flush=True)
"""


@pytest.fixture
def talks(workspace: Workspace) -> Path:
    rows = [{"instruction": f"Say {number}", "input": "", "output": f"It is {number}."} for number in range(40)]
    return write_lines(workspace.root / "talks.jsonl", rows)


@pytest.fixture
def draft(workspace: Workspace, talks: Path) -> Draft:
    return take_files(workspace, open_store(workspace), "d", [str(talks)], print)


# New run


def test_a_file_of_conversations_is_taken_as_one(workspace: Workspace, draft: Draft) -> None:
    assert draft.is_chat
    assert missing(draft) == ""
    assert unfit(draft) == ""
    spec = spec_of(draft)
    assert (spec.task, spec.mapping.chat.instruction, spec.mapping.chat.response) == ("chat", "instruction", "output")
    assert spec.preset == "llama-3.2-1b-4bit"
    assert any("Llama 3.2 1B" in reason for reason in draft.reasons)
    assert find_problems(workspace, draft) == []


def test_a_model_that_cannot_answer_is_refused_in_words(workspace: Workspace, draft: Draft) -> None:
    for preset in ("quickstart-minilm", "llama-3.2-1b-head"):
        choose_preset(draft, preset)
        assert "language model that answers" in unfit(draft)
        with pytest.raises(UserError, match="cannot learn from conversations"):
            spec_of(draft)


def test_the_kind_can_be_switched_and_switched_back(workspace: Workspace, draft: Draft) -> None:
    store, table = open_store(workspace), open_role(workspace, draft, "train")
    assert table is not None
    switched = choose_kind(store, "d", table, "single")
    assert not switched.is_chat
    assert missing(switched).startswith("Choose the column that holds the")
    back = choose_kind(store, "d", table, "none")
    assert spec_of(back).mapping == spec_of(draft).mapping
    assert read_draft(store, "d").spec == back.spec


def test_a_chosen_column_of_messages_puts_the_others_aside(workspace: Workspace, draft: Draft) -> None:
    store = open_store(workspace)
    chosen = choose_chat_columns(store, "d", "input", "instruction", "", "output", "", "instruction")
    assert {role: name for role, name in chosen.get("mapping.chat").items() if name} == {
        "conversation": "input", "tools": "instruction",
    }  # fmt: skip
    nothing = choose_chat_columns(store, "d", "", "instruction", "", "", "", "")
    assert missing(nothing).startswith("Choose the column of conversations")


def test_a_draft_without_a_kind_is_of_classes() -> None:
    assert not new_draft("d").is_chat


def test_rows_are_shown_as_text_and_those_left_out_say_why(workspace: Workspace) -> None:
    rows = [{"instruction": EVIL, "output": EVIL}, {"instruction": "a", "output": ""}]
    file = write_lines(workspace.root / "evil.jsonl", rows)
    spec = chat_spec(file)
    with editing(open_store(workspace), "e") as draft:
        draft.spec |= {"data": spec.data.model_dump(mode="json"), "mapping": spec.mapping.model_dump(mode="json")}
    table = open_role(workspace, draft, "train")
    assert table is not None
    html = talks_html(table, spec.mapping.chat, 0, 10)
    assert "<img" not in html
    assert html.count("&lt;img src=x&gt;") == 2
    assert "Left out: it holds no answer to learn from." in html
    assert "Choose the columns" in talks_html(table, None, 0, 10)


def test_long_conversations_fold() -> None:
    said = [{"role": "user", "content": "x" * (CLAMPED_FROM + 1)}] * (MESSAGES_SHOWN + 3)
    html = conversation_html(said, 2)
    assert "3 more messages" in html
    assert "2 tools to call" in html
    assert html.count("<details") == MESSAGES_SHOWN + 3 + 1


# Run


@pytest.fixture
def run(workspace: Workspace) -> RunFolder:
    return write_chat_run(workspace, "20261121-000000-aaaa", EVIL)


def test_a_run_without_accuracy_is_listed_with_its_perplexity(workspace: Workspace, run: RunFolder) -> None:
    stored = open_store(workspace).run(run.id)
    assert short_state(stored) == "perplexity 3.32"
    assert "perplexity 3.32" in header_html(stored)
    assert "perplexity 3.32" in table_html([stored], ("accuracy", True))
    answer = list_runs(parse(["runs"]), workspace)
    assert "loss 1.20" in answer.text
    assert answer.content["runs"][0]["metrics"]["untuned"]["loss"] == 1.7


def test_the_command_line_tells_what_came_of_it(workspace: Workspace, run: RunFolder) -> None:
    answer = following._outcome(open_store(workspace).run(run.id), workspace)
    assert answer.code == 0
    assert answer.content["metrics"]["test"]["perplexity"] == 3.3201
    assert answer.content["metrics"]["untuned"]["loss"] == 1.7
    assert "before training         1.7000" in answer.text
    assert "predict" not in answer.text


def test_the_report_shows_figures_and_samples_as_text(run: RunFolder) -> None:
    report = read_report(run)
    assert report is not None
    verdict = chat_verdict_html(report)
    assert "Before training" in verdict
    assert "1.2000" in verdict
    samples = samples_html(report)
    assert "<img" not in samples + verdict
    assert samples.count("After training") == 2
    assert "In the data" in samples
    facts = facts_html(report, read_spec(run.spec))
    assert "instruction" in facts
    assert "Classes" not in facts
    assert "Before training" not in chat_verdict_html({**report, "untuned": None})


def test_live_shows_loss_alone() -> None:
    curves = {"validation/loss": [MetricPoint(step, "validation/loss", 2.0 / step, 0.0) for step in (10, 20)]}
    progress = Progress("training", 20, 40, 1.0, 2)
    figures = chat_figures_html(curves, progress)
    assert "at epoch 1" in figures
    assert "F1" not in figures + chat_curves_html(curves, progress)
    assert chat_figures_html({}, None).count("–") == 4


def test_what_was_said_goes_to_the_model_with_its_own_answers() -> None:
    assert messages([("a", "b", None)], "c") == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]


@pytest.fixture
def service(
    workspace: Workspace, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PredictionService]:
    package = tmp_path / "project" / "core"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "predict.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setattr(prediction_service, "PROJECT", package.parent)
    made = PredictionService(workspace, answer_seconds=30)
    yield made
    made.close()


def test_both_models_answer_the_conversation(service: PredictionService, run: RunFolder) -> None:
    asked = messages([("a", "b", None)], "c")
    assert service.chat(run.id, asked, 64) == ("user: a | assistant: b | user: c (64)", "before")
    assert service.chat(run.id, [{"role": "user", "content": "alone"}], 8) == ("user: alone (8)", None)


def test_a_chat_model_labels_nothing_and_needs_words(service: PredictionService, run: RunFolder) -> None:
    with pytest.raises(UserError, match="knows no classes"):
        service.predict(run.id, ["text"])
    with pytest.raises(UserError, match="nothing to answer"):
        service.chat(run.id, [{"role": "user", "content": " "}], 8)


# Command line


def content(workspace: Workspace, *words: str) -> dict:
    return training._content_of_options(parse(["train", *words]), workspace)


def test_conversations_are_guessed_for_a_model_that_answers(
    workspace: Workspace, talks: Path, capsys: pytest.CaptureFixture
) -> None:
    found = content(workspace, "--preset", "llama-3.2-1b-4bit", "--data", str(talks))
    assert found["mapping"]["kind"] == "none"
    assert "Guessed: It learns from conversations (instruction 'instruction'" in capsys.readouterr().err
    for preset in ("quickstart-minilm", "llama-3.2-1b-head"):
        with pytest.raises(UserError, match="cannot be told from the others"):
            content(workspace, "--preset", preset, "--data", str(talks))


def test_classes_beside_conversations_are_not_taken_for_them_unless_asked(workspace: Workspace) -> None:
    rows = [{"question": f"Who is {n} of them all?", "answer": f"Me {n}", "category": f"c{n % 3}"} for n in range(60)]
    file = str(write_lines(workspace.root / "both.jsonl", rows))
    words = ["--preset", "llama-3.2-1b-4bit", "--data", file]
    assert content(workspace, *words)["mapping"]["label"] == "category"
    assert content(workspace, *words, "--chat")["mapping"]["chat"]["response"] == "answer"
    assert content(workspace, *words, "--text", "question", "--label", "category")["mapping"]["kind"] == "single"


def test_the_command_line_of_the_review_starts_the_same_run(workspace: Workspace, draft: Draft, talks: Path) -> None:
    columns = {"instruction": "output", "response": "instruction"}
    chosen = choose_chat_columns(open_store(workspace), "d", *(columns.get(role, "") for role in FIELDS))
    chosen.put("name", "Say")
    chosen.put("training.epochs", 2)
    spec = spec_of(chosen)
    line = shlex.split(command_line(spec).replace("\\\n", " "))[3:]
    request = parse(["train", *line])
    found = with_overrides(training._content_of_options(request, workspace), request.set)
    assert training.parse_spec(found | {"name": request.name}, "test") == spec


def test_the_review_says_what_is_learned(workspace: Workspace, draft: Draft) -> None:
    table = open_role(workspace, draft, "train")
    assert table is not None
    said = " ".join(sentences(draft, spec_of(draft), {"train": table}))
    assert 'learns the answers in <b dir="auto">output</b>' in said
    assert 'about <b dir="auto">32 rows</b>' in said
    assert 'best <b dir="auto">validation loss</b> is kept' in said
    assert "classes" not in said


def test_chat_with_classes_is_a_mistake(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["train", "--data", "a.csv", "--chat", "--label", "x", "--json"])
    assert caught.value.code == 2
    assert "--label" in json.loads(capsys.readouterr().out)["error"]["what"]


def test_chat_is_refused_for_a_file_of_other_columns(workspace: Workspace) -> None:
    file = write_lines(workspace.root / "a.jsonl", [{"text": f"t {n}", "label": "a"} for n in range(20)])
    with pytest.raises(UserError, match="columns: text, label"):
        content(workspace, "--preset", "llama-3.2-1b-4bit", "--data", str(file), "--chat")


def test_data_and_prompt_are_checked_before_a_run_is_queued(workspace: Workspace, talks: Path) -> None:
    training._check_data(chat_spec(talks), workspace)
    broken = chat_spec(write_lines(workspace.root / "few.jsonl", [{"instruction": "a", "output": "b"}] * 3))
    with pytest.raises(UserError, match="Only 3 rows"):
        training._check_data(broken, workspace)
    rows = [{"text": f"a text about thing {n}", "label": f"c{n % 2}"} for n in range(40)]
    file = str(write_lines(workspace.root / "classes.jsonl", rows))
    found = content(workspace, "--preset", "llama-3.2-1b-4bit", "--data", file)
    spec = training.parse_spec(found, "test")
    training._check_data(spec, workspace)
    wrong = spec.model_copy(update={"prompt": PromptSpec(user="{nothing}")})
    with pytest.raises(UserError, match="nothing"):
        training._check_data(wrong, workspace)
