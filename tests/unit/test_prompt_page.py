"""The Prompt step without a browser: rows, tokenizers, what is shown of a draft, and that it goes into the run."""

import csv
import json
import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
import yaml
from huggingface_hub.errors import EntryNotFoundError

from core.chat_templates import ModelTokenizer, model_tokenizer
from core.data.prompt_sample import longest_row, random_row, row_beside, sample_row
from core.data.table import Table, open_table
from core.errors import UserError
from core.models.tokenizer_files import FILES, tokenizer_folder, tokenizer_of
from core.presets import find_preset, preset_spec
from core.prompt_preview import Preview, Problem, Segment
from core.runs.store import open_store
from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile
from core.spec_files import parse_spec, spec_yaml, with_overrides
from core.workspace import Workspace
from tests.small_tokenizers import LLAMA_3, LLAMA_3_SPECIAL, llama_3_tokens
from ui.new_run.draft import Draft, changed_keys, choose_preset, editing, keep, new_draft, read_draft, spec_of, usual
from ui.new_run.fitting import METHOD, has_meaning, method_choices
from ui.new_run.prompt_html import CHIPS_SHOWN, CUT_SHOWN, chips_html, note_html, text_html, visible
from ui.new_run.prompt_view import Look, Tokenizers, check_prompt, look_at
from ui.new_run.review_text import command_line, sentences

LLM = "llama-3.2-1b-4bit"
EVIL = "<img src=x onerror=alert(1)>"
MAPPING = MappingSpec(text=("title", "body"), label="label", class_names={"a": "Apple"})
ROWS = [
    ("title", "body", "label", "level"),
    ("", "", "a", "1"),
    ("one", "first", "a", "2"),
    ("two", "second text, and a long one", "", "3"),
    ("three", "third text, the longest", "b", "4"),
    ("four", "", "a", "5"),
    ("", "", "b", "6"),
]


@pytest.fixture
def table(tmp_path: Path, workspace: Workspace) -> Table:
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(ROWS)
    return open_table(TableFile(path=str(path)), workspace)


@pytest.fixture
def draft(table: Table) -> Draft:
    made = new_draft("d")
    made.put("data.train", table.file.model_dump(mode="json"))
    made.spec["mapping"] = MAPPING.model_dump(mode="json")
    choose_preset(made, LLM)
    return made


@pytest.fixture(scope="session")
def llama(shared_data: Path) -> ModelTokenizer:
    """Trained on the questions of the shared data."""
    return model_tokenizer(llama_3_tokens(), LLAMA_3, LLAMA_3_SPECIAL)


@pytest.fixture
def tokenizers(llama: ModelTokenizer) -> Tokenizers:
    return Tokenizers(lambda _model: llama)


def no_tokenizer(_model: ModelSpec) -> ModelTokenizer:
    raise UserError("The model is not here.", "model.source", "Connect to the internet.")


# Rows


def test_a_row_has_text_label_and_the_columns_asked_for(table: Table) -> None:
    row = sample_row(table, MAPPING, 1, ("level",))
    assert (row.number, row.label) == (1, "Apple")
    assert row.values == {"text": "one first", "level": "2"}


def test_rows_without_text_or_label_are_passed_over(table: Table) -> None:
    assert [sample_row(table, MAPPING, number).number for number in range(6)] == [1, 1, 3, 3, 4, 1]
    assert [row_beside(table, MAPPING, number) for number in (1, 3, 4)] == [3, 4, 1]
    assert [row_beside(table, MAPPING, number, back=True) for number in (1, 3, 4)] == [4, 1, 3]
    assert longest_row(table, MAPPING) == 3
    assert {random_row(table, MAPPING) for _ in range(60)} == {1, 3, 4}


def test_columns_may_be_called_like_the_query_s_own(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.csv").write_text("number,text,label,file_row\n7,seven,x,q\n8,eight,y,r\n")
    table = open_table(TableFile(path=str(tmp_path / "a.csv")), workspace)
    mapping = MappingSpec(text=("text",), label="label")
    assert sample_row(table, mapping, 1, ("number", "file_row")).values == {
        "text": "eight", "number": "8", "file_row": "r",
    }  # fmt: skip
    assert row_beside(table, mapping, 1) == 0


def test_far_rows_are_found(tmp_path: Path, workspace: Workspace) -> None:
    lines = ["text,label"] + [f"{'words' if n in (3, 2990) else ''},a" for n in range(3000)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    table = open_table(TableFile(path=str(tmp_path / "a.csv")), workspace)
    mapping = MappingSpec(text=("text",), label="label")
    assert row_beside(table, mapping, 3) == 2990
    assert row_beside(table, mapping, 2990) == 3
    assert row_beside(table, mapping, 3, back=True) == 2990


def test_no_usable_row_is_said(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.csv").write_text("text,label\n,a\nb,\n")
    table = open_table(TableFile(path=str(tmp_path / "a.csv")), workspace)
    with pytest.raises(UserError, match="No row"):
        sample_row(table, MappingSpec(text=("text",), label="label"), 0)


# Tokenizers


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").touch()
    (folder / "tokenizer.json").write_text(llama_3_tokens().to_str(), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({**LLAMA_3_SPECIAL, "chat_template": LLAMA_3}))
    return folder


def test_a_folder_s_tokenizer_is_read_again_when_it_changes(shared_data: Path, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    model = ModelSpec(family="causal", method="full", source=str(folder))
    first = tokenizer_of(model)
    assert first.chat_template == LLAMA_3
    assert tokenizer_of(model) is first
    (folder / "chat_template.jinja").write_text("{{ bos_token }}")
    assert tokenizer_of(model).chat_template == "{{ bos_token }}"


def test_only_the_tokenizer_s_files_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(_source: str, name: str, **_options: object) -> str:
        asked.append(name)
        if name == "chat_template.jinja":
            raise EntryNotFoundError("404")
        return str(tmp_path / name)

    monkeypatch.setattr("core.models.tokenizer_files.hf_hub_download", download)
    monkeypatch.setattr("core.models.tokenizer_files.check_source", lambda _model: None)
    monkeypatch.setattr("core.models.tokenizer_files.try_to_load_from_cache", lambda *_, **__: None)
    assert tokenizer_folder(ModelSpec(source="someone/model")) == tmp_path
    assert tuple(asked) == FILES


def test_without_a_network_the_model_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="not on this computer") as raised:
        tokenizer_folder(ModelSpec(source="someone/no-such-model-here"))
    assert raised.value.where == "model.source"


# What is shown


def test_text_from_data_is_text(draft: Draft, workspace: Workspace, tokenizers: Tokenizers, tmp_path: Path) -> None:
    (tmp_path / "evil.csv").write_text(f'title,body,label,level\n"{EVIL}","a\nb",{EVIL},1\nx,y,b,2\n')
    draft.put("data.train.path", str(tmp_path / "evil.csv"))
    look = look_at(workspace, draft, tokenizers)
    html = text_html(seen(look), look.control_tokens)
    assert "<img" not in html
    shown = unescape(re.sub("<[^>]+>", "", html))
    assert f"{EVIL} a\nb<|eot_id|>" in shown
    assert shown.endswith(f"{EVIL}<|eot_id|>")
    assert "<img" not in chips_html([EVIL]) + note_html([Problem("error", "f", EVIL, EVIL)], True)


def seen(look: Look) -> Preview:
    assert look.preview is not None
    return look.preview


def test_every_learned_token_has_a_mark_of_its_own() -> None:
    segments = [Segment("read <eot>", "prompt"), Segment(" one", "learned"), Segment("\n", "learned")]
    html = text_html(Preview(tuple(segments), 3, 2, 10, ()), ["<eot>"])
    assert html.count('<mark class="learned">') == 2
    assert '<i class="control">&lt;eot&gt;</i>' in html
    assert "<b>↵</b>\n</mark>" in html


def test_a_long_cut_is_clamped_and_control_characters_are_seen() -> None:
    segments = (Segment("a", "prompt"), Segment("x" * (CUT_SHOWN + 5), "cut"))
    html = text_html(Preview(segments, 1, 0, 1, ()), [])
    assert html.count("x") < CUT_SHOWN + 50
    assert "and 5 more characters" in html
    assert visible("a\x00\x1b\tb\n\x7f") == "a␀␛\tb\n␡"


def test_chips_leave_out_what_cannot_be_a_placeholder() -> None:
    html = chips_html(["text", "a{b", "c\nd", 'quo"te'])
    assert html.count("<button") == 2
    assert 'data-insert="{quo&quot;te}"' in html
    assert "and 3 more" in chips_html([f"column {number}" for number in range(CHIPS_SHOWN + 3)])


# A draft


def test_the_row_is_shown_as_it_is_learned(draft: Draft, workspace: Workspace, tokenizers: Tokenizers) -> None:
    draft.row = 3
    look = look_at(workspace, draft, tokenizers)
    text = "".join(segment.text for segment in seen(look).segments)
    assert "Which of these classes does the text belong to: Apple, b?\n\nthree third text, the longest" in text
    assert [segment.text for segment in seen(look).segments if segment.kind == "learned"] == ["b", "<|eot_id|>"]
    assert look.problems == ()


@pytest.mark.parametrize(
    ("key", "given", "words"),
    [
        ("prompt.user", "{text} {nonsense}", "nonsense"),
        ("prompt.user", "{text} {label}", "gives the answer away"),
        ("prompt.user", "", "nothing of the row"),
        ("prompt.system", "{text}", "more than once"),
        ("prompt.assistant", "", "does not hold the class"),
        ("prompt.assistant", "It is {level}: {label}", "differ between rows"),
        ("model.max_length", "8", "before any text"),
        ("model.max_length", "many", "whole number"),
        ("model.max_length", "", "empty"),
    ],
)
def test_what_is_wrong_is_said_with_and_without_a_tokenizer(
    draft: Draft, workspace: Workspace, tokenizers: Tokenizers, key: str, given: str, words: str
) -> None:
    keep(draft, key, given)
    found = look_at(workspace, draft, tokenizers).problems
    (said,) = [problem for problem in found if words in problem.what + problem.todo]
    assert said.severity == "error"
    if words != "before any text":
        without = look_at(workspace, draft, Tokenizers(no_tokenizer))
        assert without.preview is None
        assert said in without.problems
        assert said.field in (key, "prompt.user")


def test_a_lost_tokenizer_is_not_asked_for_at_every_key(draft: Draft, workspace: Workspace) -> None:
    asked = []

    def read(model: ModelSpec) -> ModelTokenizer:
        asked.append(model.source)
        return no_tokenizer(model)

    tokenizers = Tokenizers(read)
    tokenizers.look(ModelSpec.model_validate(draft.spec["model"]))
    for _ in range(3):
        assert look_at(workspace, draft, tokenizers).lost is not None
    assert len(asked) == 1


def test_the_prompt_is_kept_as_it_was_typed(draft: Draft, workspace: Workspace) -> None:
    store = open_store(workspace)
    with editing(store, "d") as kept:
        kept.spec, kept.row, kept.step = draft.spec, 4, 3
        keep(kept, "prompt.user", "  {text}\n\n")
        keep(kept, "prompt.labels_separator", " | ")
        keep(kept, "prompt.assistant", "")
    again = read_draft(store, "d")
    assert (again.row, again.step) == (4, 3)
    assert again.get("prompt.user") == "  {text}\n\n"
    assert again.raw == {"prompt.assistant": ""}
    assert changed_keys(again) == ["prompt.user", "prompt.assistant", "prompt.labels_separator"]
    with pytest.raises(UserError, match="assistant part"):
        spec_of(again)
    keep(again, "prompt.assistant", "{label}.")
    assert spec_of(again).prompt.user == "  {text}\n\n"
    keep(again, METHOD, "head-on-llm")
    assert changed_keys(again) == ["model.method"]


def test_a_preset_brings_its_prompt(draft: Draft) -> None:
    assert draft.get("prompt.system") == find_preset(LLM).prompt.system
    keep(draft, "prompt.user", "{text}?")
    assert choose_preset(draft, "mistral-7b-qlora") == ["prompt.user"]
    assert draft.get("prompt.user") == usual(draft, "prompt.user") == find_preset("mistral-7b-qlora").prompt.user


# The Model step


def test_only_what_means_something_is_asked(draft: Draft) -> None:
    def shown(*keys: str) -> list[bool]:
        return [has_meaning(draft, key) for key in keys]

    keys = ("model.lora.rank", "model.double_quantization", "training.label_smoothing", "evaluation.untuned")
    assert shown(*keys) == [True, True, False, True]
    assert [choice for _, choice in method_choices(draft)["choices"]] == ["qlora", "lora", "full", "head-on-llm"]
    assert "freeze" not in method_choices(draft)["info"]
    keep(draft, METHOD, "full")
    assert shown(*keys) == [False, False, False, True]
    keep(draft, METHOD, "head-on-llm")
    assert shown(*keys) == [True, True, True, False]
    choose_preset(draft, "bert-base")
    assert shown(*keys, "training.optimizer", "training.epochs") == [False, False, True, False, False, True]
    assert [choice for _, choice in method_choices(draft)["choices"]] == ["full", "freeze", "head", "lora"]


# Review


def llm_spec(**prompt: str) -> RunSpec:
    made = preset_spec(
        find_preset(LLM), DataSpec(train=TableFile(path="/data/a.csv")), MappingSpec(text=("text",), label="label")
    )
    return made.model_copy(update={"prompt": made.prompt.model_copy(update=prompt)})


@pytest.mark.parametrize(
    "user",
    [
        "It's {text}",
        'Say "yes": {text}\n\n  and \\n, $HOME `x` !y #z',
        "{text} 日本 😀 Zeile\u2028Ende\x85 ab\tc",
        "- {text}",
        "yes",
        "{{json}}: {text}",
    ],
)
def test_the_command_line_carries_the_prompt(user: str) -> None:
    given = llm_spec(user=user, labels_separator=" | ")
    words = shlex.split(command_line(given).replace("\\\n", ""))
    changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    assert {change.split("=")[0] for change in changes} == {"prompt.user", "prompt.labels_separator"}
    content = with_overrides(llm_spec().model_dump(mode="json"), changes)
    assert parse_spec(json.loads(json.dumps(content)), "test") == given
    assert parse_spec(yaml.safe_load(spec_yaml(given)), "test") == given


def test_the_command_line_of_a_head_says_nothing_of_a_prompt() -> None:
    made = llm_spec(user="{text}")
    head = made.model_copy(update={"model": made.model.model_copy(update={"method": "head-on-llm"})})
    assert "prompt." not in command_line(head)


def test_the_sentences_say_what_is_asked(draft: Draft, table: Table) -> None:
    keep(draft, "prompt.user", f"{EVIL} {{text}} {{level}}")
    keep(draft, "model.max_length", "300")
    told = " ".join(sentences(draft, spec_of(draft), {"train": table}))
    assert "2 classes" in told
    assert "&lt;img" in told
    assert "<img" not in told
    assert "300 tokens" in told
    assert "QLoRA" in told
    assert "level" in told
    assert "the prompt's user part" in unescape(told)
    assert "Before it is trained" in told


def test_a_prompt_that_the_template_refuses_stops_the_start(
    draft: Draft, workspace: Workspace, llama: ModelTokenizer
) -> None:
    refusing = replace(llama, chat_template="{{ raise_exception('no system') if messages[0].role == 'system' }}")
    check_prompt(workspace, spec_of(draft), Tokenizers(lambda _model: llama))
    with pytest.raises(UserError, match="no system"):
        check_prompt(workspace, spec_of(draft), Tokenizers(lambda _model: refusing))
