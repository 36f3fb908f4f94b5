"""What is taken away loads with nothing but transformers, in a fresh process, and says the same."""

import csv
import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from core.errors import UserError
from core.export.bundle import export_folder, export_name, export_run, export_zip
from core.predictor import load_predictor, predict_probabilities
from core.runs.supervisor import run_to_end, submit
from core.workspace import RunFolder, Workspace, open_workspace
from tests.flow.conftest import tiny_spec
from tests.run_folders import add_model, run_spec, write_report, write_run

RUN = "20261121-000000-aaaa"
LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
FILES = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "tunedesk.json"]

PLAIN_TRANSFORMERS = """
import json, sys
from transformers import pipeline
model, texts, answers = sys.argv[1:]
classifier = pipeline("text-classification", model=model, truncation=True, device="cpu")
json.dump(classifier(json.load(open(texts)), top_k=None), open(answers, "w"))
"""


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]) -> RunFolder:
    spec = run_spec(max_length=24)
    made = write_run(open_workspace(tmp_path_factory.mktemp("workspace")), RUN, spec, LABELS)
    learned = rows[:400]
    add_model(made, spec, [row["text"] for row in learned], [LABELS.index(row["label"]) for row in learned], LABELS)
    write_report(made, LABELS, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 4])
    return made


def in_plain_transformers(model: Path, texts: list[str], place: Path) -> list[dict[str, float]]:
    """Label -> probability for each text, from a process that cannot import this project."""
    (place / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    words = [
        sys.executable,
        "-c",
        PLAIN_TRANSFORMERS,
        str(model),
        str(place / "texts.json"),
        str(place / "answers.json"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(words, cwd=place, check=True, env={**environment, "HF_HUB_OFFLINE": "1"}, capture_output=True)
    answers = json.loads((place / "answers.json").read_text(encoding="utf-8"))
    return [{entry["label"]: entry["score"] for entry in answer} for answer in answers]


@pytest.mark.parametrize(("export_format", "count"), [("folder", 200), ("zip", 20)])
def test_it_loads_in_plain_transformers_and_says_the_same(
    folder: RunFolder, rows: list[dict[str, str]], tmp_path: Path, export_format: str, count: int
) -> None:
    texts = [row["text"] for row in rows[1000 : 1000 + count]]
    # Longer than the run's 24 tokens, and than the 512 positions that the encoder has.
    texts += [" ".join(texts[:4]), " ".join(texts[:100]), "word " * 2000]
    made = export_run(folder.workspace, RUN, export_format, tmp_path / "away")
    if export_format == "zip":
        assert made == tmp_path / "away" / "questions-quickstart.zip"
        with zipfile.ZipFile(made) as archive:
            archive.extractall(tmp_path / "unpacked")
        made = tmp_path / "unpacked" / "questions-quickstart"
    assert sorted(path.name for path in made.iterdir()) == FILES
    answers = in_plain_transformers(made, texts, tmp_path)
    given = np.array([[answer[label] for label in LABELS] for answer in answers])
    expected = predict_probabilities(load_predictor(folder.model), texts)
    np.testing.assert_allclose(given, expected, atol=1e-5)
    assert (given.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert len(set(given.argmax(axis=1))) > 3


def test_the_card_and_the_facts_go_with_it(folder: RunFolder, tmp_path: Path) -> None:
    made = export_folder(folder, tmp_path / "away")
    card = ModelCard.load(made / "README.md")
    assert card.data.license == "apache-2.0"
    assert "so its figures are rough" in card.text
    assert json.loads((made / "tunedesk.json").read_text())["labels"] == LABELS
    for path in made.rglob("*"):
        assert path.suffix == ".safetensors" or str(folder.workspace.root) not in path.read_text(encoding="utf-8")


def test_a_run_of_the_real_worker_is_exported(
    workspace: Workspace, questions: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    run_id = submit(workspace, tiny_spec(questions, tiny_bert, {"method": "lora"}))
    assert run_to_end(workspace, run_id).state == "finished"
    made = export_run(workspace, run_id, "folder", tmp_path / "away")
    card = ModelCard.load(made / "README.md")
    assert card.data.base_model is None
    assert card.data.license is None
    assert "Trained for 8 steps" in card.text
    assert "Guessing the commonest class" in card.text
    assert "tiny-bert" in card.text
    assert str(tiny_bert) not in card.text
    texts = ["Who wrote Hamlet ?", "Where is the river ?"]
    answers = in_plain_transformers(made, texts, tmp_path)
    expected = predict_probabilities(load_predictor(workspace.run(run_id).model), texts)
    given = np.array([[answer[label] for label in ("HUM", "LOC", "NUM")] for answer in answers])
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_exporting_again_replaces_only_an_export(folder: RunFolder, tmp_path: Path) -> None:
    to = tmp_path / "deep" / "away"
    export_folder(folder, to)
    (to / "README.md").write_text("old")
    export_folder(folder, to)
    assert (to / "README.md").read_text() != "old"
    (to / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"other files \(notes\.txt\)"):
        export_folder(folder, to)
    assert (to / "notes.txt").read_text() == "mine"
    assert [path.name for path in to.parent.iterdir()] == ["away"]


def test_places_that_cannot_be(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        export_folder(folder, tmp_path / "file")
    with pytest.raises(UserError, match="cannot be written"):
        export_zip(folder, tmp_path / "file" / "x.zip")
    with pytest.raises(UserError, match="no model yet"):
        export_run(folder.workspace, "20261121-000000-bbbb", "zip", tmp_path)


def test_an_export_is_whole_or_absent(folder: RunFolder, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for write, to in ((export_zip, tmp_path / "x.zip"), (export_folder, tmp_path / "x")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, before[1]))
        try:
            with pytest.raises(UserError, match="File too large"):
                write(folder, to)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_names_for_files(folder: RunFolder) -> None:
    assert export_name(folder) == "questions-quickstart"
