"""The model card: valid metadata, nothing made up, names of data shown as text."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from core.data.examples import EXAMPLES
from core.errors import UserError
from core.evaluation.report_file import read_content
from core.export.base import base_license, hub_id, shown_base
from core.export.bundle import export_sizes
from core.export.card import model_card, weak_classes
from core.export.loading import loading_code
from core.export.markdown import code, plain
from core.export.picture import PICTURE_NAME, confusion_picture
from core.export.vllm_lines import vllm_parts
from core.export_formats import Exported, Format
from core.model_facts import run_model_facts
from core.runs.store import open_store
from core.workspace import RunFolder, Workspace
from tests.run_folders import add_picture, run_spec, write_report, write_run

LABELS = ["ABBR", "ENTY", "NUM"]
TRUE = [0] * 4 + [1] * 30 + [2] * 30
PREDICTED = [1, 1, 1, 0] + [1] * 27 + [2] * 3 + [2] * 30


@pytest.fixture
def folder(workspace: Workspace) -> RunFolder:
    made = write_run(workspace, "20261121-000000-aaaa", run_spec(), LABELS)
    write_report(made, LABELS, TRUE, PREDICTED)
    return made


def test_metadata_is_what_the_hub_takes(folder: RunFolder) -> None:
    card = ModelCard(model_card(folder))
    data = card.data.to_dict()
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "text-classification"
    assert data["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert data["license"] == "apache-2.0"
    (index,) = data["model-index"]
    assert index["name"] == "Questions, quickstart"
    metrics = {metric["type"]: metric["value"] for metric in index["results"][0]["metrics"]}
    assert metrics["accuracy"] == round(58 / 64, 4)


def test_the_metadata_goes_through_the_hubs_own_reader_and_back(folder: RunFolder, tmp_path: Path) -> None:
    """EvalResult checks what the hub asks of a result; what is read is what is written."""
    place = tmp_path / "README.md"
    place.write_text(model_card(folder), encoding="utf-8")
    read = metadata_load(place)
    assert read is not None
    name, results = model_index_to_eval_results(read["model-index"])
    assert name == "Questions, quickstart"
    assert {(each.metric_type, each.dataset_split) for each in results} == {("accuracy", "test"), ("f1", "test")}
    assert all(each.task_type == "text-classification" and 0 <= each.metric_value <= 1 for each in results)
    assert eval_results_to_model_index(name, results) == read["model-index"]
    assert ModelCardData(**{key: value for key, value in read.items() if key != "model-index"}).license == "apache-2.0"


@pytest.mark.parametrize(
    ("facts", "export_format", "precision", "library", "relation", "tags"),
    [
        ({}, "model", "", "transformers", "finetune", set()),
        ({"weights": "adapter", "method": "lora"}, "adapter", "", "peft", "adapter", {"lora"}),
        ({"weights": "whole"}, "onnx", "int8", "onnx", "finetune", {"int8"}),
        ({"weights": "whole"}, "server", "", "onnx", "finetune", set()),
        ({"family": "causal", "task": "answer", "weights": "whole"}, "gguf", "q4_k_m", "gguf", "finetune", {"q4_k_m"}),
        ({"family": "causal", "task": "answer", "weights": "whole"}, "merged", "", "transformers", "finetune", set()),
        ({"family": "causal", "task": "answer", "method": "qlora"}, "server", "", "peft", "adapter", {"qlora"}),
    ],
)
def test_the_metadata_names_what_loads_this_format(
    folder: RunFolder, tmp_path: Path, facts: dict, export_format: Format, precision: str, library: str, relation: str,
    tags: set[str],
) -> None:  # fmt: skip
    exported = Exported(replace(run_model_facts(folder), **facts), export_format, precision)
    place = tmp_path / "README.md"
    place.write_text(model_card(folder, exported), encoding="utf-8")
    card = ModelCard.load(place)
    data = card.data.to_dict()
    assert (data["library_name"], data["base_model_relation"]) == (library, relation)
    assert tags | {"tunedesk"} <= set(data["tags"])
    assert ModelCardData(**data).to_yaml() == card.data.to_yaml()
    assert ("vllm serve" in card.text) == (export_format == "merged")


def test_lines_for_vllm_say_what_they_leave_open(folder: RunFolder) -> None:
    """One curl that is JSON, the adapter by its flag, and no word of having been run."""
    facts = replace(run_model_facts(folder), family="causal", task="answer", method="lora")
    for weights, flag in (("usual", "--enable-lora --lora-modules my-model=."), ("whole", "vllm serve . ")):
        kind = "adapter" if weights == "usual" else "merged"
        said = "\n".join(vllm_parts(Exported(replace(facts, weights=weights), kind)))
        assert flag in said and "not run by Tunedesk" in said
        (body,) = re.findall("-d '(.*)'", said)
        assert json.loads(body)["structured_outputs"]["choice"]
    head = replace(facts, task="classify")
    assert "take the merged format" in "".join(vllm_parts(Exported(head, "adapter")))
    assert "/classify" in "".join(vllm_parts(Exported(replace(head, weights="whole"), "merged")))
    assert not list(vllm_parts(Exported(replace(facts, weights="whole"), "gguf")))


def write_texts(folder: RunFolder, texts: list[str]) -> None:
    count = len(texts)
    table = {
        "row_id": list(range(count)), "file": ["train"] * count, "row": list(range(count)), "part": ["train"] * count,
        "text": texts, "label": ["NUM"] * count,
    }  # fmt: skip
    pq.write_table(pa.table(table, EXAMPLES), folder.examples)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["How many ?", "What is an atom ?"], "Latin letters"),
        (["چند نفر آمدند ؟", "اتم چیست ؟"], "Arabic letters"),
        (["How many ?", "اتم چیست ؟"], ""),
        (["12", "?"], ""),
    ],
)
def test_the_script_is_said_and_no_language_guessed(folder: RunFolder, texts: list[str], said: str) -> None:
    write_texts(folder, texts)
    content = model_card(folder)
    assert ("letters. Which language that is was not determined" in content) == bool(said)
    assert said in content
    assert "language" not in yaml.safe_load(content.split("\n---\n")[0].removeprefix("---\n"))


def test_the_confusion_matrix_is_a_picture(folder: RunFolder) -> None:
    assert PICTURE_NAME not in model_card(folder)
    add_picture(folder, read_content(folder) or {})
    assert confusion_picture(folder) is not None
    assert f"]({PICTURE_NAME})" in model_card(folder)
    assert dict(export_sizes(folder))[PICTURE_NAME] > 1000


def test_names_with_yaml_in_them_stay_names(workspace: Workspace) -> None:
    name = "a: [b\n---\nlicense: mit"
    folder = write_run(workspace, "20261121-000000-aaaa", run_spec(name=name), LABELS)
    write_report(folder, LABELS, TRUE, PREDICTED)
    content = model_card(folder)
    metadata = yaml.safe_load(content.split("\n---\n")[0].removeprefix("---\n"))
    assert metadata["model-index"][0]["name"] == name
    assert metadata["license"] == "apache-2.0"


def test_results_stand_beside_the_baselines(folder: RunFolder) -> None:
    content = model_card(folder)
    assert "Right on 90.6 % of 64 unseen rows (95 % sure: 81.0 to 95.6)." in content
    (ours,) = [line for line in content.splitlines() if line.startswith("| **This model**")]
    assert ours.split(" | ")[1:3] == ["90.6 %", "81.0 to 95.6 %"]
    assert "| TF-IDF with logistic regression | 6.2 %" in content
    assert "12.5 % of the test texts are as long or longer." in content
    assert "3 texts are in two parts." in content
    assert "A note that no card needs." not in content
    assert "Left out: 2 with no text." in content
    assert "| `training.learning\\_rate` |" not in content
    assert "| `training.learning_rate` | 0.0001 |" in content


def test_a_language_model_stands_beside_itself_before_training(folder: RunFolder) -> None:
    assert "same model before training" not in model_card(folder)
    report = write_report(folder, LABELS, TRUE, PREDICTED)
    untuned = {**report["test"], "accuracy": 0.25, "accuracy_interval": [0.2, 0.3]}
    (folder.report / "report.json").write_text(json.dumps({**report, "untuned": untuned}), encoding="utf-8")
    (row,) = [line for line in model_card(folder).splitlines() if line.startswith("| The same model before training")]
    assert row.split(" | ")[1:3] == ["25.0 %", "20.0 to 30.0 %"]


def test_weak_classes_and_confusions_in_words(folder: RunFolder) -> None:
    content = model_card(folder)
    assert "- ABBR: it finds 25.0 % of the class's 4 rows, and is right in 100.0 % of the cases" in content
    assert "- ABBR taken for ENTY, 3 times" in content
    assert "- Fewer than 20 test rows, so the figures are rough: ABBR." in content


def test_classes_never_predicted_or_never_tested_are_named(folder: RunFolder) -> None:
    report = write_report(folder, LABELS, [0] * 25 + [1] * 25, [0] * 50)
    content = model_card(folder)
    assert "Never predicted although there are rows of ENTY." in content
    assert "The test part has no row of NUM" in content
    assert not any("ENTY" in sentence for sentence in weak_classes(report["test"]))


def test_a_model_that_learned_nothing_says_so_first(folder: RunFolder) -> None:
    write_report(folder, LABELS, [0] * 25 + [1] * 25, [0] * 50)
    after_title = model_card(folder).split("# Questions, quickstart\n\n")[1]
    assert after_title.startswith("This model has learned nothing")


def test_without_a_report_the_card_says_so(folder: RunFolder) -> None:
    (folder.report / "report.json").unlink()
    content = model_card(folder)
    assert "not evaluated" in content
    assert "## Results" not in content
    assert "model-index" not in content


def test_a_run_without_a_model_has_no_card(workspace: Workspace) -> None:
    without = workspace.run("20261121-000000-bbbb")
    without.root.mkdir()
    with pytest.raises(UserError, match="no model yet"):
        model_card(without)


def local_base(tmp_path: Path, readme: str | None) -> Path:
    base = tmp_path / "private" / "my-encoder"
    base.mkdir(parents=True)
    if readme is not None:
        (base / "README.md").write_text(readme, encoding="utf-8")
    return base


@pytest.mark.parametrize(
    "readme", [None, "# no metadata", "---\nlanguage: en\n---\n", "---\nlicense: [\n---\n", "---\n- a\n---\n"]
)
def test_an_unknown_licence_is_said_and_no_key_is_written(
    workspace: Workspace, tmp_path: Path, readme: str | None
) -> None:
    base = local_base(tmp_path, readme)
    folder = write_run(workspace, "20261121-000000-aaaa", run_spec(source=str(base)), LABELS)
    content = model_card(folder)
    metadata = yaml.safe_load(content.split("\n---\n")[0].removeprefix("---\n"))
    assert "license" not in metadata
    assert "base_model" not in metadata
    assert "Licence: unknown." in content
    assert str(tmp_path) not in content
    assert "my-encoder" in content


def test_the_licence_is_the_one_that_the_base_states(workspace: Workspace, tmp_path: Path) -> None:
    base = local_base(tmp_path, "---\nlicense: other\nlicense_name: acme-1\nlicense_link: https://example.org\n---\n")
    facts = run_model_facts(write_run(workspace, "20261121-000000-aaaa", run_spec(source=str(base)), LABELS))
    assert base_license(facts) == {
        "license": "other",
        "license_name": "acme-1",
        "license_link": "https://example.org",
    }
    assert hub_id(facts) is None
    assert shown_base(facts) == "my-encoder"


def test_a_base_that_cannot_be_found_is_not_taken_for_a_hub_model(workspace: Workspace) -> None:
    spec = run_spec(source="models/gone")
    facts = run_model_facts(write_run(workspace, "20261121-000000-aaaa", spec, LABELS))
    assert hub_id(facts) is None
    assert base_license(facts) == {}


def test_class_names_cannot_act_as_markup(workspace: Workspace) -> None:
    labels = ["<script>alert(1)</script>", "a | b", "[x](http://example.org)\n# big"]
    folder = write_run(workspace, "20261121-000000-aaaa", run_spec(), labels)
    write_report(folder, labels, TRUE, PREDICTED)
    content = model_card(folder)
    assert "<script>" not in content
    assert "\n# big" not in content
    assert "[x](" not in content
    rows = [line for line in content.splitlines() if line.startswith("| a ")]
    assert rows
    assert all("a \\| b" in row for row in rows)


def test_loading_code_joins_columns_as_training_did(workspace: Workspace) -> None:
    spec = run_spec(text=("title", "body"), mapping={"joiner": " - ", "backslash_is_space": True})
    facts = run_model_facts(write_run(workspace, "20261121-000000-aaaa", spec, LABELS))
    asked: list[str] = []
    lines = [line for line in loading_code(facts, "x").splitlines() if not line.startswith(("from", "classifier"))]
    given = "\n".join(lines).replace('["title", "body"]', r'[" a\\b ", ""]')
    exec(given, {"print": lambda _: None, "classifier": lambda text, **_: asked.append(text)})
    assert asked == ["a b", "a b"]


def test_markdown_helpers() -> None:
    assert plain(" a\n b*c ") == r"a b\*c"
    assert code("a`b") == "`` a`b ``"
    assert code("plain.csv") == "`plain.csv`"


def test_settings_are_those_that_it_was_trained_with(folder: RunFolder) -> None:
    """Where memory was short, the run went on with others than it was asked for."""
    store = open_store(folder.workspace)
    store.add_run(folder.id, "Questions", "quickstart-minilm", "packaged", "questions.csv")
    assert "| `training.batch_size` | 32 |" in model_card(folder)
    store.add_event(folder.id, "smaller_batch", {"batch_size": 16, "gradient_accumulation": 2, "memory": "computer"})
    card = model_card(folder)
    assert "| `training.batch_size` | 16 |" in card and "| `training.gradient_accumulation` | 2 |" in card
