"""The Model step's slider and what stands below it; what Review says of frozen layers and of too long texts."""

import csv
import json

import pytest

from core.cli.arguments import parse
from core.cli.training import train
from core.data.amount import amount_of
from core.data.table import open_table
from core.errors import UserError
from core.runs.store import open_store
from core.schema import MappingSpec, SplitSpec, TableFile
from ui.new_run.draft import Draft, choose_preset, new_draft, spec_of, write_draft
from ui.new_run.frozen_layers import CHOOSE, LAYERS, build_frozen_layers, frozen_view
from ui.new_run.frozen_words import choice_words, frozen_html, frozen_of, frozen_sentence
from ui.new_run.model import SETTINGS
from ui.new_run.review import check_model, find_model

ROWS = 1000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text", "label"])
        writer.writerows([f"{'word ' * 15}{number:05}", "abc"[number % 3]] for number in range(ROWS))
    return path


@pytest.fixture
def draft(file) -> Draft:
    draft = new_draft("20260101-000000-abcd")
    draft.put("data.train", {"path": str(file)})
    draft.spec["mapping"] |= {"text": ["text"], "label": "label"}
    return draft


def frozen(draft, method="freeze", **settings):
    draft.put("model.method", method)
    for name, value in settings.items():
        draft.put(f"model.{name}", value)
    return draft


def test_rows_and_tokens_are_counted_by_part(file, workspace):
    table = open_table(TableFile(path=str(file)), workspace)
    mapping = MappingSpec(text=("text",), label="label")
    amount = amount_of({"train": table}, mapping, SplitSpec(validation=0.1, test=0.2), 256)
    assert amount.rows == {"train": 700, "validation": 100, "test": 200}
    # 80 characters are 20 tokens, and two that stand around them.
    assert amount.tokens == {part: 22 * count for part, count in amount.rows.items()}
    assert amount.classes == 3
    cut = amount_of({"train": table, "test": table}, mapping, SplitSpec(validation=0.1), 8)
    assert cut.rows == {"train": 900, "validation": 100, "test": 1000}
    assert cut.tokens["test"] == 8000


def test_below_the_slider_stand_counts_work_and_what_is_kept(workspace, draft):
    found = frozen_of(workspace, frozen(draft, frozen_layers=4))
    shown = frozen_html(found)
    learning = 2 * 1_774_464 + 147_840 + 385 * 3
    assert f"<dd>{learning / 1e6:.1f} M of 22.7 M" in shown
    assert "<dd>56 %<small>33 % with what frozen layers say kept" in shown
    tokens = sum(found.amount.tokens.values())
    assert f"kept: {tokens * 384 * 2 / 1e6:.0f} MB in memory, saves about 40 % of each epoch." in shown
    # The packaged model's own tokenizer counted them.
    assert "four characters" not in shown


def test_more_frozen_is_less_to_learn(workspace, draft):
    counts = [frozen_of(workspace, frozen(draft, frozen_layers=layers)).parameters.learning for layers in range(7)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == frozen_of(workspace, frozen(draft, "head")).parameters.learning


def test_the_forecast_says_why_it_would_not_pay(workspace, draft):
    draft.put("training.epochs", 0.5)
    shown = frozen_html(frozen_of(workspace, frozen(draft, "head")))
    assert "would not pay in 0.5 epochs" in shown
    assert "four characters" not in shown
    draft.put("training.prefix_cache", "off")
    assert "switched off" in frozen_html(frozen_of(workspace, draft))


def test_the_rows_choose(workspace, draft):
    chosen = frozen_of(workspace, frozen(draft, choose_frozen_layers=True))
    assert chosen.layers == 2
    assert choice_words(chosen) == (
        "There are about 800 train rows. Frozen are 2 of 6 layers: with fewer than 2,000 train rows at most 4 learn."
    )
    assert (
        chosen.parameters == frozen_of(workspace, frozen(draft, choose_frozen_layers=False, frozen_layers=2)).parameters
    )


def test_other_methods_freeze_nothing(workspace, draft):
    for method in ("full", "lora"):
        assert frozen_of(workspace, frozen(draft, method)) is None
    assert frozen_sentence(None) == ""


def test_a_folder_has_its_layers_from_its_config(workspace, draft, tmp_path):
    folder = tmp_path / "<b>model</b>"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 4, "hidden_size": 32}), encoding="utf-8")
    found = frozen_of(workspace, frozen(draft, source=str(folder), frozen_layers=3))
    shown = frozen_html(found)
    assert "Parameters" not in shown
    assert "<dd>50 %<small>25 %" in shown
    assert "What 3 of 4 layers say is computed once" in shown
    draft.put("model.frozen_layers", 5)
    shown = frozen_html(frozen_of(workspace, draft))
    assert "frozen_layers is 5, but" in shown
    assert "&lt;b&gt;model" in shown
    assert "<b>model" not in shown


def test_an_unknown_model_gets_a_number_in_place_of_the_slider(workspace, draft):
    import gradio as gr

    with gr.Blocks():
        fields = {}
        step = build_frozen_layers(SETTINGS, fields)
    assert set(fields) == {LAYERS, CHOOSE}
    view = frozen_view(workspace, step, frozen(draft, frozen_layers=4))
    assert view[step.slider] | {"maximum": 6, "value": 4, "visible": True, "interactive": True} == view[step.slider]
    assert view[step.number]["visible"] is False
    view = frozen_view(workspace, step, frozen(draft, choose_frozen_layers=True))
    assert (view[step.slider]["value"], view[step.slider]["interactive"]) == (2, False)
    view = frozen_view(workspace, step, frozen(draft, choose_frozen_layers=False, source="somebody/else"))
    assert (view[step.slider]["visible"], view[step.number]["visible"]) == (False, True)
    assert view[step.number]["value"] == "4"
    assert "not known before it is loaded" in view[step.told]["value"]
    view = frozen_view(workspace, step, frozen(draft, "full"))
    assert (view[step.row]["visible"], view[step.told]["visible"]) == (False, False)


def test_without_data_the_counts_stand_alone(workspace):
    empty = frozen(new_draft("20260101-000000-abcd"), frozen_layers=4)
    shown = frozen_html(frozen_of(workspace, empty))
    assert "of 22.7 M" in shown
    assert "kept:" not in shown
    assert "not known yet" in frozen_html(frozen_of(workspace, frozen(empty, choose_frozen_layers=True)))


def test_review_says_what_is_frozen_in_a_sentence(workspace, draft):
    choose_preset(draft, "neobert-freeze")
    said = frozen_sentence(frozen_of(workspace, draft))
    assert said.startswith("Frozen are the embeddings and the lowest <b>26 of 28</b> layers.")
    assert "parameters learn. What 26 of 28 layers say is computed once and kept:" in said


def test_review_stops_texts_that_are_too_long_and_layers_that_are_not_there(workspace, draft):
    write_draft(open_store(workspace), draft)
    assert find_model(spec_of(draft), has_gpu=False)[1]
    draft.put("model.max_length", 513)
    said, found = find_model(spec_of(draft), has_gpu=False)
    assert not found
    assert "max_length is 513 tokens, but packaged:all-MiniLM-L6-v2 reads at most 512." in said
    draft.put("model.max_length", 512)
    with pytest.raises(UserError, match="frozen_layers is 7, but packaged:all-MiniLM-L6-v2 has 6 layers"):
        check_model(spec_of(frozen(draft, frozen_layers=7)), has_gpu=False)


def test_the_command_line_queues_nothing_that_reads_too_long_texts(workspace, file):
    words = f"train --data {file} --text text --label label --set model.max_length=513"
    with pytest.raises(UserError, match="max_length is 513 tokens, but packaged:all-MiniLM-L6-v2 reads at most 512"):
        train(parse(words.split()), workspace)
    assert open_store(workspace).count_runs() == 0
