"""The New run form without a browser: drafts, fields made from the schema, and the run in words and as a command."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from core.presets import find_preset
from core.runs.store import open_store
from core.runs.supervisor import submit
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile
from core.spec_files import parse_spec, with_overrides
from core.workspace import Workspace
from ui.forms import label, number_words, read_value, shown
from ui.new_run.data_html import preview_html
from ui.new_run.draft import (
    SETTINGS,
    changed_keys,
    choose_preset,
    editing,
    missing,
    new_draft,
    read_draft,
    spec_of,
    usual,
    write_draft,
)
from ui.new_run.files import keep_upload
from ui.new_run.page import draft_for
from ui.new_run.review_text import command_line
from ui.new_run.source import start_over

PROJECT = Path(__file__).resolve().parents[2]


def spec(**changes: object) -> RunSpec:
    preset = find_preset("quickstart-minilm")
    content = {
        "preset": preset.name,
        "data": DataSpec(train=TableFile(path="/data/a b.csv")),
        "mapping": MappingSpec(text=("title", "the text"), label="label"),
        "model": preset.model,
        "training": preset.training,
    }
    return RunSpec(**{**content, **changes})


def test_pages_import_no_torch() -> None:
    code = "import sys, ui.app; print([m for m in ('torch', 'transformers', 'peft', 'unsloth') if m in sys.modules])"
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "[]"


def test_every_setting_goes_through_its_field_unchanged() -> None:
    """What a field shows of a value is read back as that value."""
    settings = spec(training=spec().training.model_copy(update={"trackers": ("trackio",), "max_steps": 7}))
    content = settings.model_dump(mode="json")
    seen = 0
    for key, setting in SETTINGS.items():
        if not key.startswith(("model.", "training.", "split.", "evaluation.")):
            continue
        value = content
        for name in key.split("."):
            value = value[name]
        assert read_value(setting, shown(setting, value)) == value, key
        seen += 1
    assert seen > 30


@pytest.mark.parametrize(
    ("key", "given", "words"),
    [
        ("training.learning_rate", "0", "greater than 0"),
        ("training.learning_rate", "-1e-4", "greater than 0"),
        ("training.learning_rate", "fast", "a number"),
        ("training.learning_rate", "", "empty"),
        ("training.learning_rate", "nan", "finite"),
        ("training.batch_size", "2.5", "whole number"),
        ("model.max_length", "1,000", "whole number"),
    ],
)
def test_a_wrong_value_says_what_is_wrong(key: str, given: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_value(SETTINGS[key], given)


def test_numbers_and_names_are_written_for_people() -> None:
    assert [number_words(value) for value in (1e-4, 5e-5, 3.0, 0.1)] == ["0.0001", "5e-5", "3", "0.1"]
    assert label(SETTINGS["training.epochs"]) == "Epochs"
    assert label(SETTINGS["model.max_length"]) == "Longest text, tokens"
    assert label(SETTINGS["model.lora.rank"]) == "LoRA rank"


def test_a_draft_keeps_what_cannot_be_used_yet(workspace: Workspace) -> None:
    store = open_store(workspace)
    with editing(store, "20260101-000000-abcd") as draft:
        draft.put("data.train", {"path": "/data/a.csv"})
        draft.spec["mapping"] |= {"text": ["text"], "label": "label"}
        draft.raw["training.learning_rate"] = "fast"
        draft.step = 2
    again = read_draft(store, "20260101-000000-abcd")
    assert (again.step, again.raw) == (2, {"training.learning_rate": "fast"})
    with pytest.raises(UserError, match="learning rate"):
        spec_of(again)
    again.raw.clear()
    assert spec_of(again).mapping.label == "label"


def test_what_fails_while_a_draft_is_changed_keeps_the_old_one(workspace: Workspace) -> None:
    store = open_store(workspace)
    write_draft(store, new_draft("d"))
    with pytest.raises(UserError), editing(store, "d") as draft:
        draft.step = 3
        choose_preset(draft, "no such preset")
    assert read_draft(store, "d").step == 1


def test_another_preset_says_which_settings_it_took_back() -> None:
    draft = new_draft("d")
    draft.put("training.epochs", 9)
    draft.put("split.test", 0.2)
    draft.raw["training.batch_size"] = "many"
    assert changed_keys(draft) == ["split.test", "training.epochs", "training.batch_size"]
    assert choose_preset(draft, "bert-base") == ["training.epochs", "training.batch_size"]
    assert changed_keys(draft) == ["split.test"]
    assert draft.get("training.epochs") == usual(draft, "training.epochs") == 2
    assert draft.raw == {}


def test_another_file_leaves_the_model_alone() -> None:
    draft = new_draft("d")
    draft.spec |= {"data": {"train": {"path": "a.csv"}}, "name": "old"}
    draft.put("training.epochs", 9)
    start_over(draft)
    assert missing(draft) == "Choose a file first."
    assert draft.get("training.epochs") == 9
    assert draft.spec["name"] == ""


def test_a_duplicate_is_a_whole_draft(workspace: Workspace) -> None:
    """Other pages store a spec and nothing else."""
    store = open_store(workspace)
    given = spec(data=DataSpec(train=TableFile(path="a.csv"), test=TableFile(path="b.csv")))
    draft = read_draft(store, store.save_draft(None, {"spec": given.model_dump(mode="json")}))
    assert spec_of(draft) == given
    assert draft.own == ("test",)


def test_the_command_line_starts_the_same_run() -> None:
    """Its words, read as launch.py reads them, give the spec back."""
    train = TableFile(path="/data/a b.csv", header=False, column_names=("label", "title", "the text"))
    given = spec(
        name="It's mine",
        data=DataSpec(train=train, test=train.model_copy(update={"path": "/data/test.csv"})),
        mapping=MappingSpec(
            text=("title", "the text"), label="label", class_names={"1": "Sci/Tech"}, backslash_is_space=True
        ),
        split=spec().split.model_copy(update={"validation": 0.2}),
        training=spec().training.model_copy(update={"learning_rate": 5e-5, "class_weights": "balanced"}),
    )
    words = shlex.split(command_line(given).replace("\\\n", ""))
    assert words[:3] == ["python", "launch.py", "train"]
    options = {word: words[place + 1] for place, word in enumerate(words) if word.startswith("--")}
    text = words[words.index("--text") + 1 : words.index("--label")]
    preset = find_preset(options["--preset"])
    content = RunSpec(
        name=options["--name"],
        preset=preset.name,
        data=DataSpec(train=TableFile(path=options["--data"]), test=TableFile(path=options["--test"])),
        mapping=MappingSpec(text=tuple(text), label=options["--label"]),
        model=preset.model,
        training=preset.training,
    ).model_dump(mode="json")
    changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    assert parse_spec(json.loads(json.dumps(with_overrides(content, changes))), "test") == given


def test_an_upload_keeps_its_name_inside_the_workspace(workspace: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "gradio" / "my file.csv"
    source.parent.mkdir()
    source.write_text("text,label\n")
    kept = keep_upload(workspace, str(source))
    assert kept.name == "my file.csv"
    assert workspace.uploads in kept.parents
    assert not source.exists()


def test_the_preview_shows_the_names_given_to_classes() -> None:
    rows = [{"text": "1", "label": " 1 "}, {"text": "2", "label": "2"}]
    colours = {"1": "#111111", "2": "#222222"}
    html = preview_html(("text", "label"), rows, 0, ["text"], "label", colours, {"1": "<World>"})
    assert "&lt;World&gt; <small" in html
    assert html.count("World") == 1
    assert ">2</td>" in html


def test_the_address_of_a_draft_that_became_a_run_makes_a_new_one(workspace: Workspace) -> None:
    store = open_store(workspace)
    draft = store.save_draft(None, {"spec": spec().model_dump(mode="json")})
    assert draft_for(workspace, store, draft) == draft
    submit(workspace, spec(), draft_id=draft)
    fresh = draft_for(workspace, store, draft)
    assert fresh != draft and store.run_of_draft(fresh) is None
    assert draft_for(workspace, store, "../../etc") != "../../etc"
    # A second tab that still shows it changes nothing any more, and is told so.
    with pytest.raises(UserError, match=f"started as run {store.run_of_draft(draft)}"), editing(store, draft):
        raise AssertionError
    assert store.drafts() == []
