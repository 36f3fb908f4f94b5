"""What is taken away loads with nothing but transformers, in a fresh process, and says the same."""

import csv
import json
import os
import resource
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from core.errors import UserError
from core.export.bundle import export_folder, export_name
from core.export.make import export_run
from core.export_formats import Wish
from core.export_jobs import ExportJob, export_jobs, start_export
from core.predictor import load_predictor, predict_probabilities
from core.workspace import RunFolder, Workspace, open_workspace
from tests.elsewhere import Elsewhere
from tests.flow.conftest import run_here, tiny_spec
from tests.run_folders import add_model, run_spec, write_report, write_run

RUN = "20261121-000000-aaaa"
LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
FILES = [
    "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "tunedesk.json",
]  # fmt: skip

PLAIN_TRANSFORMERS = """
import json
from transformers import pipeline
classifier = pipeline("text-classification", model={model!r}, truncation=True, device="cpu")
with open("answers.json", "w") as file:
    json.dump(classifier(json.load(open("texts.json")), top_k=None), file)
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


def in_plain_transformers(elsewhere: Elsewhere, model: Path, texts: list[str], place: Path) -> list[dict[str, float]]:
    """Label -> probability for each text, from a process that cannot import this project."""
    (place / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    elsewhere.printed(PLAIN_TRANSFORMERS.format(model=str(model)), place)
    answers = json.loads((place / "answers.json").read_text(encoding="utf-8"))
    return [{entry["label"]: entry["score"] for entry in answer} for answer in answers]


def quiet(done: int, total: int, words: str) -> None:
    """Progress that nobody looks at."""


@pytest.mark.parametrize(("zipped", "count"), [(False, 200), (True, 20)])
def test_it_loads_in_plain_transformers_and_says_the_same(
    folder: RunFolder, rows: list[dict[str, str]], elsewhere: Elsewhere, tmp_path: Path, zipped: bool, count: int
) -> None:
    texts = [row["text"] for row in rows[1000 : 1000 + count]]
    # Longer than the run's 24 tokens, and than the 512 positions that the encoder has.
    texts += [" ".join(texts[:4]), " ".join(texts[:100]), "word " * 2000]
    made = export_run(folder.workspace, RUN, Wish("model", zipped=zipped), tmp_path / "away", quiet).path
    if zipped:
        assert made == tmp_path / "away" / "questions-quickstart-model.zip"
        with zipfile.ZipFile(made) as archive:
            archive.extractall(tmp_path / "unpacked")
        made = tmp_path / "unpacked" / "questions-quickstart-model"
    assert sorted(path.name for path in made.iterdir()) == FILES
    answers = in_plain_transformers(elsewhere, made, texts, tmp_path)
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
        assert str(folder.workspace.root).encode() not in path.read_bytes()


def test_a_trained_run_is_exported(
    workspace: Workspace, questions: Path, tiny_bert: Path, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    run = run_here(workspace, tiny_spec(questions, tiny_bert, {"method": "lora"}))
    assert run.state == "finished"
    made = export_run(workspace, run.id, Wish("model"), tmp_path / "away", quiet).path
    card = ModelCard.load(made / "README.md")
    assert card.data.base_model is None
    assert card.data.license is None
    assert "Trained for 8 steps" in card.text
    assert "Guessing the commonest class" in card.text
    assert "tiny-bert" in card.text
    assert str(tiny_bert) not in card.text
    texts = ["Who wrote Hamlet ?", "Where is the river ?"]
    answers = in_plain_transformers(elsewhere, made, texts, tmp_path)
    expected = predict_probabilities(load_predictor(workspace.run(run.id).model), texts)
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
        export_run(folder.workspace, folder.id, Wish("model", zipped=True), tmp_path / "file" / "x.zip", quiet)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("train.csv", "text,label")
    with pytest.raises(UserError, match="is no export"):
        export_run(folder.workspace, folder.id, Wish("model", zipped=True), tmp_path / "data.zip", quiet)
    with pytest.raises(UserError, match="There is no run"):
        export_run(folder.workspace, "20261121-000000-bbbb", Wish("model", zipped=True), tmp_path, quiet)


def test_an_export_is_whole_or_absent(folder: RunFolder, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for is_zip, to in ((True, tmp_path / "x.zip"), (False, tmp_path / "x")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, before[1]))
        try:
            with pytest.raises(UserError, match="File too large"):
                export_run(folder.workspace, folder.id, Wish("model", zipped=is_zip), to, quiet)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_names_for_files(folder: RunFolder) -> None:
    assert export_name(folder) == "questions-quickstart"


@pytest.mark.parametrize("moment", ["at once", "half written"])
def test_an_export_whose_process_is_killed_says_so_and_is_made_again(folder: RunFolder, moment: str) -> None:
    wish = Wish("model", zipped=True)

    def job() -> ExportJob:
        return export_jobs(folder.workspace, RUN)[0]

    def reached() -> bool:
        return moment == "at once" or any(place.rglob("*.partial*"))

    place = folder.exports / start_export(folder.workspace, RUN, wish, "killed")
    deadline = time.monotonic() + 300
    while not reached() and job().state == "running" and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(json.loads((place / "process.json").read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
    while job().state == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert job().state == "failed" and "its process is gone" in job().error["what"]
    assert not list(place.rglob("*.partial*")) and not list(place.glob("*.zip"))
    start_export(folder.workspace, RUN, wish, "made")
    while job().state == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert job().state == "finished" and len(export_jobs(folder.workspace, RUN)) == 1
    with zipfile.ZipFile(job().output) as archive:
        assert archive.testzip() is None
