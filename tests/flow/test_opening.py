"""A model of the hub is opened as a run, and is the base of one: the real client, a small hub on this computer."""

import json
import pickle
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from core.errors import UserError
from core.export.bundle import export_folder
from core.export.card import model_card
from core.model_facts import read_model_facts
from core.models.source import download
from core.opening import Asked, look, open_model
from core.opening_jobs import OpeningJob, opening_jobs, start_opening, stop_opening
from core.predictor import load_predictor, predict_probabilities
from core.runs.store import open_store
from core.schema import ModelSpec
from core.workspace import Workspace, open_workspace
from tests.flow.test_hub import PATIENCE_SECONDS, READER, TOKEN, assert_no_token, command, files_of
from tests.flow.test_hub import hub as hub  # a fixture
from tests.hub_server import Hub
from tests.run_folders import run_spec, write_report, write_run

RUN = "20261121-000000-aaaa"
LABELS = ["HUM", "LOC", "NUM"]
ASKED = ["Who wrote Hamlet ?", "Where is the river ?"]
CODE = "open('{marker}', 'w').close()\nclass C: pass\n"


class Evil:
    """What a pickle does when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A model that was taken away, weights random."""
    made = write_run(
        open_workspace(tmp_path_factory.mktemp("workspace")),
        RUN,
        run_spec(source=str(tiny_bert), max_length=24),
        LABELS,
    )
    write_report(made, LABELS, [0, 1, 2], [0, 1, 1])
    torch.manual_seed(3)
    names = dict(enumerate(LABELS))
    config = AutoConfig.from_pretrained(tiny_bert, id2label=names)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(made.model)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(made.model)
    return export_folder(made, tmp_path_factory.mktemp("away") / "model")


@pytest.fixture
def reached(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The hub, for a client that fetches: where its cache is, and the address that it made at its import."""
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    yield hub
    hub.go_on.set()


def said(model: Path) -> np.ndarray:
    return predict_probabilities(load_predictor(model), ASKED)


def with_config(files: dict[str, bytes], name: str, **more: object) -> dict[str, bytes]:
    return files | {name: json.dumps(json.loads(files[name]) | more).encode()}


def test_a_private_model_is_opened_at_its_commit(
    reached: Hub, exported: Path, workspace: Workspace, tmp_path: Path
) -> None:
    files = files_of(exported)
    marker = tmp_path / "marker"
    code = CODE.format(marker=marker).encode()
    hostile = with_config(files, "config.json", auto_map={"AutoModelForSequenceClassification": "evil.C"})
    hostile = with_config(hostile, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.C", None]})
    hostile |= {"evil.py": code, "pytorch_model.bin": pickle.dumps(Evil(marker)), "sub/x.pkl": b"x"}
    first = reached.put("ada/questions", hostile)
    reached.put("ada/questions", hostile | {"model.safetensors": b"something newer"})

    found = look(Asked("ada/questions", first), TOKEN)
    assert found.commit == first
    wanted = {name: len(hostile[name]) for name in sorted(files) if name.endswith((".json", ".safetensors"))}
    assert dict(found.files) == wanted
    told: list[tuple[int, int]] = []
    run = open_model(workspace, Asked("ada/questions", first), TOKEN, lambda done, total, _: told.append((done, total)))
    assert told[-1] == (found.bytes, found.bytes)
    assert sorted(done for done, _ in told) == [done for done, _ in told]

    folder = workspace.run(run)
    assert {path.name for path in folder.model.rglob("*")} == set(wanted)
    np.testing.assert_allclose(said(folder.model), said(exported), atol=1e-6)
    assert not marker.exists()
    fetched = {call.split("/resolve/")[1] for call in reached.calls if call.startswith("GET") and "/resolve/" in call}
    assert fetched == {f"{first}/{name}" for name in wanted}
    stored = open_store(workspace).run(run)
    assert stored.state == "finished"
    assert f"ada/questions, commit {first[:12]}" in stored.reason
    assert read_model_facts(folder.model).labels == tuple(LABELS)
    assert_no_token(workspace.root)
    assert not list(workspace.root.glob("open.*"))
    # Of how it was trained its card says nothing, since nothing is known here.
    card = model_card(folder)
    assert "opened from its files" in card
    for words in ("labelled rows", "Files:", "## Data", "## Settings", "training rows:"):
        assert words not in card, words


def test_what_cannot_be_opened_says_why(
    reached: Hub, exported: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(exported)
    reached.put("ada/private", files)
    reached.put("ada/gated", files, private=False, gated=True)
    reached.put("ada/other", {"config.json": b"{}", "model.safetensors": b"x"}, private=False)
    reached.put("ada/onnx", {"tunedesk.json": files["tunedesk.json"], "model.onnx": b"x"}, private=False)
    reached.put("ada/damaged", files | {"tunedesk.json": b'{"schema_version": 2}'}, private=False)
    reached.put("ada/pickled", {"tunedesk.json": files["tunedesk.json"], "pytorch_model.bin": b"x"}, private=False)
    for model, revision, token, words in (
        ("ada/private", None, None, "this login may see"),
        ("ada/private", None, "hf_wrongtoken", "does not accept the token"),
        ("ada/nothing", None, TOKEN, "this login may see"),
        ("ada/private", "v9", TOKEN, "no such branch, tag or commit"),
        ("ada/gated", None, READER, "accepted its terms"),
        ("ada/other", None, None, "not a model that Tunedesk trained"),
        ("ada/onnx", None, None, "no safetensors weights"),
        ("ada/pickled", None, None, "no safetensors weights"),
        ("ada/damaged", None, None, "is damaged"),
        ("a/b/c", None, None, "neither a folder on this computer nor a name on the hub"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            open_model(workspace, Asked(model, revision), token)
        assert caught.value.__cause__ is None
    reached.fail("GET", "/api/models/ada/private", 429)
    with pytest.raises(UserError, match="too many requests"):
        open_model(workspace, Asked("ada/private"), TOKEN)
    reached.fail("GET", "model.safetensors", times=99, cut_after=0)
    with pytest.raises(UserError, match="could not be fetched"):
        open_model(workspace, Asked("ada/private"), TOKEN)
    reached.failures.clear()
    monkeypatch.setattr("core.hub_model.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(UserError, match="are free"):
        open_model(workspace, Asked("ada/private"), TOKEN)
    assert not list(workspace.runs.iterdir())
    assert {path.name for path in workspace.root.iterdir()} <= {"runs", "uploads", "tables", "samples"}


def test_the_base_of_a_run_at_a_revision(
    reached: Hub, exported: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(exported)
    first = reached.put("ada/base", files | {"evil.py": b"raise SystemExit", "pytorch_model.bin": b"x"})
    reached.put("ada/base", files | {"model.safetensors": b"newer"})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    place = Path(download(ModelSpec(source="ada/base", revision=first)))
    assert (place / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert not list(place.glob("*.py")) and not list(place.glob("*.bin"))
    # Where the hub is away a copy that its client keeps is opened.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="could not be fetched"):
        open_model(workspace, Asked("ada/never"))
    run = open_model(workspace, Asked("ada/base", first))
    assert "as it was fetched before" in open_store(workspace).run(run).reason
    np.testing.assert_allclose(said(workspace.run(run).model), said(exported), atol=1e-6)


def until(workspace: Workspace, job: str, state: str) -> OpeningJob:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        (found,) = [each for each in opening_jobs(workspace) if each.id == job]
        if found.state != "running" or (state == "running" and found.done):
            assert found.state == state, found
            return found
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_job_fetches_and_is_stopped(reached: Hub, exported: Path, workspace: Workspace) -> None:
    files = files_of(exported) | {"more.safetensors": bytes(30_000_000)}
    commit = reached.put("ada/large", files)
    reached.hold = "more.safetensors"
    job = start_opening(workspace, Asked("ada/large"), TOKEN)
    running = until(workspace, job, "running")
    assert running.commit == commit
    assert dict(running.files)["more.safetensors"] == 30_000_000
    assert 0 < running.done < running.total == sum(size for _, size in running.files)
    with pytest.raises(UserError, match="being opened already"):
        start_opening(workspace, Asked("ada/large"), TOKEN)
    stop_opening(workspace, job)
    until(workspace, job, "stopped")
    assert {path.name for path in (workspace.openings / job).iterdir()} <= {
        "job.json", "process.json", "status.json", "log.txt",
    }  # fmt: skip
    assert not list(workspace.runs.iterdir())
    reached.hold = ""
    again = start_opening(workspace, Asked("ada/large", name="Mine"), TOKEN)
    done = until(workspace, again, "finished")
    assert [each.id for each in opening_jobs(workspace)] == [again]
    np.testing.assert_allclose(said(workspace.run(done.run).model), said(exported), atol=1e-6)
    assert open_store(workspace).run(done.run).name == "Mine"
    refused = start_opening(workspace, Asked("ada/large"), None)
    assert "this login may see" in until(workspace, refused, "failed").error["what"]
    assert_no_token(workspace.root)


def test_the_command_line(reached: Hub, exported: Path, workspace: Workspace) -> None:
    commit = reached.put("ada/cli", files_of(exported))
    words = ["open", "ada/cli", "--revision", "main", "--workspace", str(workspace.root), "--json"]
    nobody = command(*words)
    assert nobody.returncode == 2
    assert "log in" in nobody.stdout
    done = command(*words, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout.splitlines()[-1])["run"]
    assert f"commit {commit}" in done.stderr and "model.safetensors" in done.stderr
    assert open_store(workspace).run(run).state == "finished"
    assert TOKEN not in done.stdout + done.stderr
