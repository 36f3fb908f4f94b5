"""Every format of an encoder loads in a fresh process that has what its card says to install, and nothing else, and
gives the same labels on real rows."""

import csv
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from core.decision import tempered
from core.errors import UserError
from core.evaluate_run import evaluate_file
from core.export.make import export_run
from core.export.onnx import export_graph
from core.export_formats import Wish, formats_of
from core.models.heads import EncoderWithHead
from core.models.source import check_source
from core.opening import Asked, open_model
from core.predictor import load_predictor, predict_probabilities
from core.runs.store import open_store
from core.workspace import RunFolder, Workspace, open_workspace
from tests.flow.conftest import run_here, tiny_spec
from tests.flow.test_export import quiet
from tests.only_required import first_lines, only_required
from tests.run_folders import add_model, run_spec, write_report, write_run
from tests.small_encoders import small

RUN = "20261121-000000-aaaa"
LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def texts(rows: list[dict[str, str]]) -> list[str]:
    """200 real ones, one longer than the model reads."""
    return [*(row["text"] for row in rows[1000:1199]), " ".join(row["text"] for row in rows[1000:1050])]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]) -> RunFolder:
    """The packaged encoder with a fitted head: what a quick start run ends with, without its minutes."""
    spec = run_spec(max_length=24)
    made = write_run(open_workspace(tmp_path_factory.mktemp("workspace")), RUN, spec, LABELS)
    learned = rows[:400]
    add_model(made, spec, [row["text"] for row in learned], [LABELS.index(row["label"]) for row in learned], LABELS)
    write_report(made, LABELS, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 4])
    return made


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, questions: Path, tiny_bert: Path) -> RunFolder:
    """A LoRA run of the real training code, with its data."""
    workspace = open_workspace(tmp_path_factory.mktemp("lora") / "workspace")
    run = run_here(workspace, tiny_spec(questions, tiny_bert, {"method": "lora"}, max_steps=12))
    assert run.state == "finished"
    return workspace.run(run.id)


@pytest.fixture(scope="module")
def onnx_folder(encoder: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(encoder.workspace, RUN, Wish("onnx"), tmp_path_factory.mktemp("onnx") / "away", quiet).path


def expected(folder: RunFolder, texts: list[str]) -> np.ndarray:
    return predict_probabilities(load_predictor(folder.model), texts)


EVERY = 'found = {entry["label"]: entry["score"]'
"""In place of printing them, where the card's lines do that alone."""


def isolated(code: str, place: Path) -> str:
    """What lines of Python print in a process that has what they say is to be installed, and not this project."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    (packages,) = re.findall("# pip install (.*)", code)
    python = only_required(packages.split(), place / "site")
    done = subprocess.run(
        [*python, "-c", first_lines(place / "site") + code], cwd=place, env=environment, capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def card_lines(made: Path) -> str:
    """The lines of the card that stand before its text is asked for, and those after, as a function of `text`."""
    (lines,) = re.findall(r"```python\n(.*?)\n```", (made / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    before, after = lines.split('text = "Write a text here"')
    body = "\n".join(f"    {line}" for line in after.splitlines())
    asked = "import json, sys\nanswers = []\nfor text in json.load(open('texts.json')):\n"
    return f"{before}\n{asked}{body}\n    answers.append(found)\njson.dump(answers, open('answers.json', 'w'))"


def by_card(made: Path, place: Path, texts: list[str], labels: list[str], **changes: str) -> np.ndarray:
    """Probabilities of each class by the lines of the card, run as they stand on each text: [texts, classes]."""
    (place / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    changes |= {'"."': repr(str(made))}
    code = card_lines(made)
    if "found =" not in code:
        changes |= {"print(classifier(text, top_k=None))": f"{EVERY} for entry in classifier(text, top_k=None)}}"}
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    isolated(code, place)
    answers = json.loads((place / "answers.json").read_text(encoding="utf-8"))
    return np.array([[answer[label] for label in labels] for answer in answers])


def test_an_encoder_in_onnx_runtime(encoder: RunFolder, onnx_folder: Path, texts: list[str], tmp_path: Path) -> None:
    said = by_card(onnx_folder, tmp_path, texts, LABELS)
    np.testing.assert_allclose(said, expected(encoder, texts), atol=1e-4)
    assert len(set(said.argmax(axis=1))) > 3
    facts = json.loads((onnx_folder / "tunedesk.json").read_text())
    assert (facts["format"], facts["labels"]) == ("onnx", LABELS)
    assert "no texts to do so" in (onnx_folder / "README.md").read_text()


def test_an_onnx_file_takes_rows_and_tokens_of_any_number(encoder: RunFolder, onnx_folder: Path) -> None:
    import onnxruntime

    predictor = load_predictor(encoder.model)
    session = onnxruntime.InferenceSession(onnx_folder / "model.onnx")
    for asked in (["Who ?"], ["Who is it ?", "Where is the very long river in the north ?", "When ?"]):
        read = predictor.tokenizer(asked, padding=True, return_tensors="pt", return_token_type_ids=False)
        with torch.inference_mode():
            logits = predictor.model(**read).logits.numpy()
        (said,) = session.run(None, {name: tensor.numpy() for name, tensor in read.items()})
        np.testing.assert_allclose(said, logits, atol=1e-4)


def test_an_encoder_in_8_bits_says_how_far_it_is_off(lora: RunFolder, tmp_path: Path) -> None:
    made = export_run(lora.workspace, lora.id, Wish("onnx", "int8"), tmp_path / "away", quiet)
    checked = json.loads((made.path / "onnx_check.json").read_text())
    assert checked["rows"] > 20
    assert 0 < checked["largest_difference"] < 0.1
    assert f"the same likeliest class on {checked['same_label']}" in made.exported.notes[0]
    assert made.exported.notes[0] in (made.path / "README.md").read_text()
    print(f"int8: {checked}")


def test_the_adapter_of_an_encoder_in_peft(lora: RunFolder, tiny_bert: Path, texts: list[str], tmp_path: Path) -> None:
    assert formats_of(lora) == ("model", "adapter", "merged", "onnx", "server")
    made = export_run(lora.workspace, lora.id, Wish("adapter"), tmp_path / "away", quiet).path
    assert not list(made.glob("model.safetensors"))
    labels = ["HUM", "LOC", "NUM"]
    lies = {f'base = "{tiny_bert.name}"': f"base = {str(tiny_bert)!r}"}
    said = by_card(made, tmp_path, texts, labels, **lies)
    decision = load_predictor(lora.model).facts.decision
    np.testing.assert_allclose(said, tempered(expected(lora, texts), decision.temperature), atol=1e-4)


def test_a_merged_encoder_in_transformers(lora: RunFolder, texts: list[str], tmp_path: Path) -> None:
    made = export_run(lora.workspace, lora.id, Wish("merged"), tmp_path / "away", quiet).path
    assert json.loads((made / "config.json").read_text())["dtype"] == "float16"
    said = by_card(
        made, tmp_path, texts, ["HUM", "LOC", "NUM"], **{"truncation=True)": "truncation=True, dtype='float32')"}
    )
    decision = load_predictor(lora.model).facts.decision
    np.testing.assert_allclose(said, tempered(expected(lora, texts), decision.temperature), atol=1e-3)


def asked(made: Path, place: Path, questions: list[dict]) -> list[dict]:
    """What an exported server answers, started from another folder with only what its requirements.txt asks for."""
    python = only_required((made / "requirements.txt").read_text().split(), place / "site")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (place / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*python, "-c", first_lines(place / "site") + START, str(made), str(port)], cwd=place,
            stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, (place / "server.log").read_text()
                time.sleep(0.3)
        return [posted(f"{url}/classify", question) for question in questions]
    finally:
        server.kill()
        server.wait()


START = """
import runpy, sys
folder, port = sys.argv[1:]
sys.path.insert(0, folder)  # as `python server.py` does, which -I keeps from it
sys.argv = ["server.py", port]
runpy.run_path(folder + "/server.py", run_name="__main__")
"""


def posted(url: str, content: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def test_the_server_of_an_encoder(encoder: RunFolder, texts: list[str], tmp_path: Path) -> None:
    made = export_run(encoder.workspace, RUN, Wish("server"), tmp_path / "away", quiet).path
    (answer,) = asked(made, tmp_path, [{"texts": texts}])
    said = expected(encoder, texts)
    assert [one["label"] for one in answer["answers"]] == [LABELS[number] for number in said.argmax(axis=1)]
    given = np.array([[one["probabilities"][label] for label in LABELS] for one in answer["answers"]])
    np.testing.assert_allclose(given, said, atol=1e-4)
    assert "torch" not in (made / "requirements.txt").read_text()
    assert "core." not in "".join(path.read_text() for path in made.glob("*.py"))


def test_an_export_is_opened_again(lora: RunFolder, tiny_bert: Path, questions: Path, tmp_path: Path) -> None:
    asked_texts = ["Who wrote Hamlet ?", "Where is the river ?"]
    here = expected(lora, asked_texts)
    workspace = open_workspace(tmp_path / "elsewhere")
    for chosen, base, tolerance in (("model", None, 1e-6), ("adapter", str(tiny_bert), 1e-5), ("merged", None, 1e-3)):
        made = export_run(lora.workspace, lora.id, Wish(chosen), tmp_path / chosen, quiet).path
        if base:
            with pytest.raises(UserError, match="its base model cannot be had"):
                open_model(workspace, Asked(str(made)))
        run_id = open_model(workspace, Asked(str(made), base=base))
        assert open_store(workspace).run(run_id).state == "finished"
        np.testing.assert_allclose(expected(workspace.run(run_id), asked_texts), here, atol=tolerance)
    before = evaluate_file(lora.workspace, lora.id, questions)
    after = evaluate_file(workspace, run_id, questions)
    assert after["metrics"]["accuracy"] == before["metrics"]["accuracy"]
    again = export_run(workspace, run_id, Wish("onnx"), tmp_path / "again", quiet)
    assert again.exported.facts.labels == ("HUM", "LOC", "NUM")


def test_an_export_is_the_base_of_a_run(workspace: Workspace, lora: RunFolder, questions: Path, tmp_path: Path) -> None:
    made = export_run(lora.workspace, lora.id, Wish("merged"), tmp_path / "merged", quiet).path
    run = run_here(workspace, tiny_spec(questions, made, max_steps=2))
    assert run.state == "finished", workspace.run(run.id).log.read_text()
    adapter = export_run(lora.workspace, lora.id, Wish("adapter"), tmp_path / "adapter", quiet).path
    with pytest.raises(UserError, match="holds an adapter"):
        check_source(tiny_spec(questions, adapter).model)


def test_what_cannot_be_made_or_opened_says_so(encoder: RunFolder, onnx_folder: Path, tmp_path: Path) -> None:
    for wish, words in (
        (Wish("gguf"), "no way to run an encoder"),
        (Wish("adapter"), "no adapter"),
        (Wish("onnx", "q8_0"), "no precision 'q8_0'"),
    ):
        with pytest.raises(UserError, match=words):
            export_run(encoder.workspace, RUN, wish, tmp_path / "away", quiet)
    assert not (tmp_path / "away").exists()
    with pytest.raises(UserError, match="holds no safetensors weights"):
        open_model(encoder.workspace, Asked(str(onnx_folder)))
    with pytest.raises(UserError, match="not a model that Tunedesk trained"):
        open_model(encoder.workspace, Asked(str(tmp_path)))


@pytest.mark.parametrize("kind", ["neobert", "own head"])
def test_what_transformers_does_not_know_is_written_as_onnx_too(kind: str, tmp_path: Path) -> None:
    import onnxruntime

    model = small("neobert" if kind == "neobert" else "distilbert").eval()
    if kind == "own head":
        model = EncoderWithHead(model.base_model, "two-layer", "both", 16, 0.0).eval()
    export_graph(model, tmp_path / "model.onnx", kind)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    ids = torch.randint(5, 60, (3, 11))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    for rows in (slice(0, 3), slice(0, 1)):
        with torch.inference_mode():
            logits = model(input_ids=ids[rows], attention_mask=mask[rows]).logits.numpy()
        (said,) = session.run(None, {"input_ids": ids[rows].numpy(), "attention_mask": mask[rows].numpy()})
        np.testing.assert_allclose(said, logits, atol=1e-5)
