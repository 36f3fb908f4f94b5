"""The Space that is written beside a model: it starts, classifies as the model does, and is published only then."""

import csv
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import SpaceCardData

from core.decision import Decision, tempered
from core.errors import UserError
from core.export.publication import publication_of
from core.export.publish import publish
from core.export.space import APP_NAME, TRIAL_TEXT, app_code, try_space, write_space
from core.model_facts import joined_text, read_model_facts
from core.models.encoder import load_encoder, save_encoder
from core.predictor import load_predictor, predict_probabilities
from core.workspace import RunFolder, Workspace, open_workspace
from tests.flow.test_hub import TOKEN, hub  # noqa: F401
from tests.hub_server import Hub
from tests.only_required import first_lines, only_required
from tests.run_folders import add_model, run_spec, write_report, write_run

RUN = "20261121-000000-aaaa"
LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> RunFolder:
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:200]
    spec = run_spec(max_length=24, name='Questions """ \\ \n "x"')
    made = write_run(open_workspace(tmp_path_factory.mktemp("workspace")), RUN, spec, LABELS)
    add_model(made, spec, [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows], LABELS)
    write_report(made, LABELS, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 4])
    decide(made, Decision(temperature=1.7, abstain_below=0.2))
    return made


ASKED = ["Who wrote Hamlet ?", "Where is the river ?", "How many people live there ?"]
ANSWERS = """
import json, runpy
answers = []
for folder in {folders!r}:
    classify = runpy.run_path(folder + "/app.py", run_name="space")["classify"]
    answers.append([classify(text) for text in {texts!r}])
print(json.dumps(answers))
"""
KINDS = {
    "several classes a text": {"label_kind": "multi", "thresholds": [0.2, 0.5, 0.5, 0.6, 0.4, 0.5]},
    "a probability for each": {"label_kind": "soft"},
    "an own head": {"head": "two-layer", "head_size": 16, "pooling": "both"},
}


def of_kind(workspace: Workspace, base: Path, run_id: str, facts: dict) -> RunFolder:
    """A model with weights drawn at random, far enough apart that its classes differ."""
    own = {name: facts[name] for name in ("head", "head_size", "pooling") if name in facts}
    spec = run_spec(source=str(base), max_length=24, **own)
    made = write_run(workspace, run_id, spec, LABELS)
    torch.manual_seed(2)
    model, tokenizer = load_encoder(spec.model, LABELS, facts.get("label_kind", "single"))
    with torch.no_grad():
        (model.head[-1] if own else model.classifier).weight.mul_(100)
    save_encoder(model, tokenizer, made.model)
    path = made.model / "tunedesk.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "schema_version": 2, "architecture": "bert", **facts}), encoding="utf-8")
    return made


def test_apps_of_every_kind_answer_as_predict_does(tmp_path: Path, tiny_bert: Path) -> None:
    """In one process that has what their requirements.txt asks for, Gradio, and nothing else."""
    workspace = open_workspace(tmp_path / "workspace")
    made = [of_kind(workspace, tiny_bert, f"{RUN}{number}", facts) for number, facts in enumerate(KINDS.values())]
    spaces = [write_space(folder, tmp_path / folder.id) for folder in made]
    python = only_required(["gradio", *(spaces[0] / "requirements.txt").read_text().split()], tmp_path / "site")
    code = first_lines(tmp_path / "site") + ANSWERS.format(folders=[str(space) for space in spaces], texts=ASKED)
    done = subprocess.run(
        [*python, "-c", code], cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for folder, answers in zip(made, json.loads(done.stdout.splitlines()[-1]), strict=True):
        predictor = load_predictor(folder.model)
        expected = predict_probabilities(predictor, ASKED)
        assert np.ptp(expected) > 0.1
        for row, (said, found) in zip(expected, answers, strict=True):
            assert found == pytest.approx(dict(zip(LABELS, row, strict=True)), abs=1e-4)
            if predictor.facts.label_kind == "multi":
                least = predictor.facts.thresholds
                given = {label for label, share, bound in zip(LABELS, row, least, strict=True) if share >= bound}
                assert set(said.split(", ")) == (given or {"none of the classes"})
            else:
                assert said == LABELS[int(row.argmax())]


def decide(folder: RunFolder, decision: Decision) -> None:
    path = folder.model / "tunedesk.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "decision": vars(decision)}), encoding="utf-8")


def test_the_app_answers_as_the_model_does(folder: RunFolder, tmp_path: Path) -> None:
    space = write_space(folder, tmp_path / "space")
    found = try_space(space)
    predictor = load_predictor(folder.model)
    expected = dict(zip(LABELS, tempered(predict_probabilities(predictor, [TRIAL_TEXT]), 1.7)[0], strict=True))
    assert found == pytest.approx(expected, abs=1e-3)
    head = yaml.safe_load((space / "README.md").read_text(encoding="utf-8").split("\n---\n")[0].removeprefix("---\n"))
    assert SpaceCardData(**head).sdk == "gradio"
    assert head["app_file"] == APP_NAME
    assert head["license"] == "apache-2.0"
    assert "transformers==" in (space / "requirements.txt").read_text(encoding="utf-8")
    assert "## Results" in (space / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["space"]
    # Written again in its own place; another folder with such names is left alone.
    write_space(folder, space)
    other = tmp_path / "other"
    other.mkdir()
    (other / APP_NAME).write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="other files"):
        write_space(folder, other)
    assert (other / APP_NAME).read_text(encoding="utf-8") == "mine"


def test_it_is_tried_before_it_goes_out(hub: Hub, folder: RunFolder) -> None:  # noqa: F811
    asked = publication_of(run=RUN, space_repository="ada/try")
    publish(folder.workspace, asked, TOKEN, lambda *_: None, lambda _: None)
    there = hub.files("ada/try", "space")
    assert {"app.py", "requirements.txt", "README.md", "MODEL_CARD.md", "model.safetensors"} <= set(there)
    weights = folder.model / "model.safetensors"
    hidden = weights.with_suffix(".away")
    weights.rename(hidden)
    try:
        with pytest.raises(UserError, match="app does not answer"):
            publish(
                folder.workspace,
                publication_of(run=RUN, space_repository="ada/broken"),
                TOKEN,
                lambda *_: None,
                lambda _: None,
            )
    finally:
        hidden.rename(weights)
    assert ("space", "ada/broken") not in hub.repositories


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        (("text",), {}),
        (("title", "body"), {"joiner": " - "}),
        (("title", "body"), {"joiner": "\n", "backslash_is_space": True}),
        (("title", "body"), {"text_template": 'Title: "{title}"\n{body}'}),
    ],
)
def test_the_app_joins_columns_as_training_did(tmp_path: Path, text: tuple[str, ...], mapping: dict) -> None:
    spec = run_spec(text=text, mapping=mapping)
    facts = read_model_facts(write_run(open_workspace(tmp_path), RUN, spec, LABELS).model)
    (line,) = [line for line in app_code(facts).splitlines() if line.startswith("    text = ")]
    for cells in (("  a\\b ", "c"), ("", " c "), ("a", "")):
        given = {f"cell_{number}": cell for number, cell in enumerate(cells)}
        assert eval(line.removeprefix("    text = "), given) == joined_text(facts, cells[: len(text)])


def test_language_models_have_none(tmp_path: Path) -> None:
    folder = write_run(open_workspace(tmp_path), RUN, run_spec(), LABELS)
    path = folder.model / "tunedesk.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "family": "causal", "task": "answer"}), encoding="utf-8")
    with pytest.raises(UserError, match="needs a GPU"):
        write_space(folder, tmp_path / "space")
