"""Publishing for real: our code and the real client against a small hub on this computer, compared byte by byte."""

import hashlib
import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard, ModelCard, constants
from huggingface_hub.utils import _http

from core.data.examples import EXAMPLES
from core.errors import UserError
from core.export import hub_login, hub_upload
from core.export.data_set import write_data_set
from core.export.hub_upload import Upload, push
from core.export.publication import Publication, planned_files, publication_of, published_wish, suggested_name
from core.export.publish import publish
from core.export.publish_job import publish_job, start_publishing, stop_publishing
from core.export_formats import Wish, published_wishes, wished_words
from core.workspace import RunFolder, Workspace, open_workspace
from tests.hub_server import Hub, running_hub
from tests.run_folders import add_model, add_picture, run_spec, write_report, write_run

RUN = "20261121-000000-aaaa"
LABELS = ["HUM", "LOC", "NUM"]
TOKEN, READER, OTHER = "hf_goodtoken123456", "hf_readtoken123456", "hf_othertoken12345"
PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The client reads its settings at import, so in this process they are set where it keeps them."""
    users = {TOKEN: ("ada", "write"), READER: ("ada", "read"), OTHER: ("eve", "write")}
    with running_hub(users) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "hf" / "stored_tokens"))
        # The client waits up to half a minute before it gives up.
        patient = types.SimpleNamespace(sleep=lambda _: None, time=time.time, monotonic=time.monotonic)
        monkeypatch.setattr(_http, "time", patient)
        monkeypatch.setattr(hub_login, "_HELD", hub_login._Held())
        yield hub


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose weights are random bytes: they only have to arrive."""
    made = write_run(open_workspace(tmp_path_factory.mktemp("workspace")), RUN, run_spec(), LABELS)
    add_picture(made, write_report(made, LABELS, [0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 1]))
    (made.model / "model.safetensors").write_bytes(np.random.default_rng(0).bytes(2_500_000))
    (made.model / "config.json").write_text("{}", encoding="utf-8")
    rows = [("train", f"Who wrote {number} ?", LABELS[number % 3]) for number in range(8)]
    rows += [("test", "Where is the Nile ?", "LOC"), ("validation", "How far ?", "NUM")]
    table = {
        "row_id": range(10), "file": ["train"] * 10, "row": range(10), "part": [row[0] for row in rows],
        "text": [row[1] for row in rows], "label": [row[2] for row in rows],
    }  # fmt: skip
    pq.write_table(pa.table({name: list(column) for name, column in table.items()}, EXAMPLES), made.examples)
    return made


def published(folder: RunFolder, **changes) -> list:
    asked = publication_of(run=RUN, repository="ada/questions", **changes)
    return publish(folder.workspace, asked, TOKEN, lambda *_: None, lambda _: None)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "more").mkdir(parents=True)
    (made / "README.md").write_text("---\nlicense: mit\n---\n# a\n", encoding="utf-8")
    (made / "tunedesk.json").write_text("{}", encoding="utf-8")
    (made / "model.safetensors").write_bytes(os.urandom(3_300_000))
    (made / "more" / "other.safetensors").write_bytes(os.urandom(300_000))
    (made / "more" / "empty.txt").touch()
    return made


def no_wait(_: float) -> None:
    pass


def test_every_file_arrives_and_progress_is_counted(hub: Hub, model: Path) -> None:
    told: list[tuple[int, str]] = []
    pushed = push(Upload(model, "ada/m", "model", "First"), TOKEN, lambda sent, words: told.append((sent, words)))
    assert hub.files("ada/m") == files_of(model)
    assert hub.repositories["model", "ada/m"].private
    assert pushed.created and pushed.url == f"{hub.url}/ada/m"
    assert sum("/lfs/part/" in call for call in hub.calls) == 4
    sent = [each for each, _ in told]
    assert sent == sorted(sent)
    assert sent[-1] == 3_600_000


def test_again_sends_only_what_changed(hub: Hub, model: Path) -> None:
    upload = Upload(model, "ada/m", "model", "Again")
    push(upload, TOKEN, lambda *_: None)
    before, commits = hub.put_bytes, len(hub.repositories["model", "ada/m"].commits)
    (model / "more" / "other.safetensors").write_bytes(os.urandom(250_000))
    again = push(upload, TOKEN, lambda *_: None)
    assert not again.created
    assert hub.put_bytes - before == 250_000
    assert hub.files("ada/m") == files_of(model)
    push(upload, TOKEN, lambda *_: None)
    assert len(hub.repositories["model", "ada/m"].commits) == commits + 1


def test_another_format_leaves_no_model_of_the_one_before(hub: Hub, model: Path) -> None:
    """transformers would put the old adapter on the merged weights that lie beside it."""
    (model / "tunedesk.json").write_text("{}")
    (model / "adapter_config.json").write_text("{}")
    (model / "adapter_model.safetensors").write_bytes(os.urandom(1000))
    (model / "notes.txt").write_text("mine")
    upload = Upload(model, "ada/m", "model", "Adapter")
    push(upload, TOKEN, lambda *_: None)
    for name in ("adapter_config.json", "adapter_model.safetensors", "notes.txt"):
        (model / name).unlink()
    push(upload, TOKEN, lambda *_: None)
    assert hub.files("ada/m") == files_of(model) | {"notes.txt": b"mine"}


def test_a_cut_upload_goes_on_where_it_was(hub: Hub, model: Path) -> None:
    """The first of two files is there; the second breaks in its third part, more often than the client itself asks."""
    (model / "more" / "other.safetensors").unlink()
    (model / "first.safetensors").write_bytes(os.urandom(900_000))
    hub.fail(
        "PUT", hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest() + "/3", times=7, cut_after=5000
    )
    waited: list[float] = []
    words: list[str] = []

    def tell(sent: int, said: str) -> None:
        words.append(said)

    push(Upload(model, "ada/m", "model", "First"), TOKEN, tell, waited.append)
    assert waited == [hub_upload.WAITS[0]]
    assert any("broke off" in each and "Trying again in 5 seconds" in each for each in words)
    assert hub.files("ada/m") == files_of(model)
    assert sum("PUT /lfs/whole/" in call for call in hub.calls) == 1
    assert len(hub.repositories["model", "ada/m"].commits) == 1


def test_a_hub_that_stays_away_is_said(hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    waited: list[float] = []
    with pytest.raises(UserError, match="broke off or never came about") as caught:
        push(Upload(model, "ada/m", "model", "First"), TOKEN, lambda *_: None, waited.append)
    assert tuple(waited) == hub_upload.WAITS
    assert "not sent twice" in caught.value.todo
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        push(Upload(model, "ada/m", "model", "First"), TOKEN, lambda *_: None, waited.append)


REFUSALS = [
    (("POST", "/commit/", 403, {"error": "Authorization error"}), "may not write to ada/m", "role write"),
    (("POST", "/commit/", 403, {"error": "Private repository storage limit reached"}), "no room", "Delete"),
    (("POST", "/commit/", 413, {"error": "Payload too large"}), "no room", "smaller model"),
    (("POST", "/commit/", 409, {"error": "A commit has happened since"}), "changed by someone else", "Publish again"),
    (("POST", "/commit/", 429, {}), "too many requests. It asks to wait 90 seconds", "Wait"),
    (("POST", "/commit/", 400, {"error": "Bad file name"}), "It says: Bad file name", "Change"),
    (("POST", "/api/repos/create", 401, {}), "does not accept the token", "Log in again"),
    (("POST", "/lfs/objects/batch", 404, {"error": "gone"}), "no ada/m that this login may see", "Check the name"),
]


@pytest.mark.parametrize(("refusal", "what", "todo"), REFUSALS)
def test_refusals_in_plain_words(hub: Hub, model: Path, refusal: tuple, what: str, todo: str) -> None:
    method, part, code, body = refusal
    headers = {"Retry-After": "90"} if code == 429 else {}
    if code == 401:
        headers = {"X-Error-Message": "Invalid credentials in Authorization header"}
    hub.fail(method, part, code, body=body, headers=headers)
    with pytest.raises(UserError) as caught:
        push(Upload(model, "ada/m", "model", "First"), TOKEN, lambda *_: None, no_wait)
    assert what in caught.value.what
    assert todo in caught.value.todo
    assert caught.value.__cause__ is None
    # Nothing of it is seen, and the next try goes through.
    push(Upload(model, "ada/m", "model", "First"), TOKEN, lambda *_: None, no_wait)
    assert hub.files("ada/m") == files_of(model)


def test_trouble_of_the_hub_is_waited_out(hub: Hub, model: Path) -> None:
    hub.fail("POST", "/api/repos/create", 503)
    waited: list[float] = []
    push(Upload(model, "ada/m", "model", "First"), TOKEN, lambda *_: None, waited.append)
    assert len(waited) == 1


def test_rights(hub: Hub, model: Path) -> None:
    with pytest.raises(UserError, match="may not write to ada/m"):
        push(Upload(model, "ada/m", "model", "x"), READER, lambda *_: None)
    with pytest.raises(UserError, match="may not write to ada/m"):
        push(Upload(model, "ada/m", "model", "x"), OTHER, lambda *_: None)
    with pytest.raises(UserError, match="does not accept the token"):
        push(Upload(model, "ada/m", "model", "x"), "hf_wrongtoken", lambda *_: None)
    push(Upload(model, "acme/m", "model", "x"), TOKEN, lambda *_: None)
    assert hub.files("acme/m") == files_of(model)


def test_what_was_not_made_here_is_not_written_over_unasked(hub: Hub, model: Path) -> None:
    (model / "tunedesk.json").rename(model / "weights.json")
    push(Upload(model, "ada/m", "model", "x"), TOKEN, lambda *_: None)
    (model / "weights.json").rename(model / "tunedesk.json")
    with pytest.raises(UserError, match=r"holds 4 files .* did not come from here"):
        push(Upload(model, "ada/m", "model", "x"), TOKEN, lambda *_: None)
    push(Upload(model, "ada/m", "model", "x", replace=True), TOKEN, lambda *_: None)
    assert set(files_of(model)) <= set(hub.files("ada/m"))
    with pytest.raises(UserError, match="is there already and private, and this is to be public"):
        push(Upload(model, "ada/m", "model", "x", private=False), TOKEN, lambda *_: None)


def test_branches_and_pull_requests(hub: Hub, model: Path) -> None:
    push(Upload(model, "ada/m", "model", "x", private=False), TOKEN, lambda *_: None)
    (model / "README.md").write_text("---\nlicense: mit\n---\n# b\n", encoding="utf-8")
    push(Upload(model, "ada/m", "model", "x", private=False, revision="v2"), TOKEN, lambda *_: None)
    assert hub.files("ada/m", branch="v2")["README.md"].endswith(b"# b\n")
    assert hub.files("ada/m")["README.md"].endswith(b"# a\n")
    asked = push(Upload(model, "ada/m", "model", "x", pull_request=True), OTHER, lambda *_: None)
    assert asked.pull_request == f"{hub.url}/ada/m/discussions/1"
    assert hub.files("ada/m", branch="refs/pr/1") == files_of(model)
    with pytest.raises(UserError, match="no model ada/none to open a pull request on"):
        push(Upload(model, "ada/none", "model", "x", pull_request=True), OTHER, lambda *_: None)


def test_through_xet(hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hf_xet takes a folder for its storage; what it uploads lies there in its own pieces, and the commit names it."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.xet_folder = tmp_path / "storage"
    told: list[int] = []
    push(Upload(model, "ada/m", "model", "x"), TOKEN, lambda sent, _: told.append(sent))
    weights = (model / "model.safetensors").read_bytes()
    assert hub.files("ada/m")["model.safetensors"].decode() == f"{hashlib.sha256(weights).hexdigest()} {len(weights)}"
    assert told[-1] == 3_600_000
    kept = sum(path.stat().st_size for path in hub.xet_folder.rglob("*") if path.is_file())
    assert kept > 3_600_000


def test_the_model_its_data_and_their_cards(hub: Hub, folder: RunFolder) -> None:
    done = published(
        folder, language=("en",), data_repository="ada/questions-data", data_licence="cc-by-4.0", private=False
    )
    assert [each.kind for each in done] == ["dataset", "model"]
    there = hub.files("ada/questions")
    assert there["model.safetensors"] == (folder.model / "model.safetensors").read_bytes()
    assert there["confusion_matrix.png"].startswith(b"\x89PNG")
    card = ModelCard(there["README.md"].decode())
    assert card.data.language == ["en"]
    assert card.data.datasets == ["ada/questions-data"]
    assert 'model="ada/questions"' in card.text
    rows = hub.files("ada/questions-data", "dataset")
    assert set(rows) == {
        "README.md",
        "tunedesk.json",
        "data/train.parquet",
        "data/test.parquet",
        "data/validation.parquet",
    }
    about = DatasetCard(rows["README.md"].decode())
    assert about.data.license == "cc-by-4.0"
    table = pq.read_table(pa.BufferReader(rows["data/train.parquet"]))
    assert table.column_names == ["text", "label"]
    assert table.num_rows == 8
    assert not list(folder.root.glob("publish.*"))


def test_another_format_is_made_and_told_before_it_goes_out(hub: Hub, tmp_path: Path) -> None:
    encoder = write_run(open_workspace(tmp_path / "workspace"), RUN, run_spec(max_length=24), LABELS)
    add_model(encoder, run_spec(max_length=24), ["Who wrote it ?", "Where is it ?", "How far ?"], [0, 1, 2], LABELS)
    wishes = [wished_words(wish) for wish in published_wishes(encoder)]
    assert wishes == ["model", "onnx-float32", "onnx-int8"]
    asked = publication_of(run=RUN, repository="ada/questions-onnx", format="onnx", precision="int8")
    wish = published_wish(encoder, asked)
    assert planned_files(encoder, wish) == []
    assert suggested_name(encoder, "ada", wish) == f"{suggested_name(encoder, 'ada', Wish('model'))}-onnx-int8"
    told: list[tuple[str, int]] = []

    def show(files: list[tuple[str, int]]) -> None:
        assert not hub.repositories
        told.extend(files)

    publish(encoder.workspace, asked, TOKEN, lambda *_: None, show)
    there = hub.files("ada/questions-onnx")
    assert dict(told) == {name: len(content) for name, content in there.items()}
    assert "model.onnx" in there and "model.safetensors" not in there
    card = ModelCard(there["README.md"].decode())
    assert card.data.library_name == "onnx"
    assert 'snapshot_download("ada/questions-onnx")' in card.text
    for wrong, words in (("gguf", "cannot be taken away as gguf"), ("server", "no model")):
        with pytest.raises(UserError, match=words):
            published_wish(encoder, publication_of(run=RUN, repository="ada/m", format=wrong))


def test_rows_go_out_only_with_a_licence(hub: Hub, folder: RunFolder, tmp_path: Path) -> None:
    for licence in ("", "unknown"):
        with pytest.raises(UserError, match="licence"):
            published(folder, data_repository="ada/data", data_licence=licence)
        with pytest.raises(UserError, match="licence"):
            write_data_set(folder, tmp_path / "data", licence)
    published(folder)
    assert set(hub.repositories) == {("model", "ada/questions")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"repository": "questions"}, "cannot be the name"),
        ({"repository": "ada/a--b"}, "cannot be the name"),
        ({"repository": "ada/x.git"}, "cannot be the name"),
        ({"pull_request": True, "revision": "v2"}, "pull request goes to the main branch"),
        ({"revision": "a..b"}, "cannot be the name of a branch"),
        ({"language": ("English",)}, "is not a language code"),
        ({"repository": ""}, "No name"),
    ],
)
def test_requests_that_cannot_be(changes: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        publication_of(**{"run": RUN, "repository": "ada/m", **changes})


def wait_for(workspace: Workspace, job: str) -> object:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := publish_job(workspace, RUN, job)).state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def assert_no_token(*places: Path) -> None:
    for place in places:
        for path in place.rglob("*"):
            if path.is_file():
                assert TOKEN.encode() not in path.read_bytes(), path


def test_a_job_publishes_in_its_own_process_and_keeps_no_token(hub: Hub, folder: RunFolder) -> None:
    """Refused first, with the token in the words of the refusal; stopped then while a part hangs; then done."""
    workspace = folder.workspace
    asked = publication_of(run=RUN, repository="ada/job")
    hub.fail("POST", "/commit/", 400, body={"error": f"no such thing as Bearer {TOKEN}"})
    failed = wait_for(workspace, start_publishing(workspace, asked, TOKEN))
    assert failed.state == "failed"
    assert "no such thing as Bearer [hidden]" in failed.error["what"]
    finished = wait_for(workspace, start_publishing(workspace, asked, TOKEN))
    assert finished.state == "finished"
    assert finished.results[0]["url"] == f"{hub.url}/ada/job"
    assert hub.files("ada/job")["model.safetensors"] == (folder.model / "model.safetensors").read_bytes()
    assert_no_token(workspace.root)
    assert not list((folder.root / "publications").glob("*/publish.*"))


def test_a_job_is_stopped(hub: Hub, folder: RunFolder) -> None:
    hub.fail("PUT", "/lfs/", times=1000, cut_after=10)
    job = start_publishing(folder.workspace, publication_of(run=RUN, repository="ada/stopped"), TOKEN)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any("/lfs/part/" in call for call in hub.calls):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(UserError, match="being published just now"):
        start_publishing(folder.workspace, publication_of(run=RUN, repository="ada/stopped"), TOKEN)
    stop_publishing(folder.workspace, RUN, job)
    assert publish_job(folder.workspace, RUN, job).state == "stopped"
    assert not list((folder.root / "publications").glob("*/publish.*"))


def test_logging_in_and_out(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_login.who() is None
    with pytest.raises(UserError, match="Nobody is logged in"):
        hub_login.required_token()
    for wrong in ("", "hf_a b", "hf_ü12345678"):
        with pytest.raises(UserError, match="That is not a token"):
            hub_login.log_in(wrong)
    with pytest.raises(UserError, match="does not accept the token"):
        hub_login.log_in("hf_wrongtoken12")
    found = hub_login.log_in(f" {TOKEN}\n")
    assert (found.name, found.organisations, found.source, found.may_write) == ("ada", ("acme",), "page", True)
    assert not hub_login.log_in(READER).may_write
    assert_no_token(tmp_path)
    assert "forgotten" in hub_login.log_out()
    assert hub_login.who() is None
    Path(constants.HF_TOKEN_PATH).parent.mkdir(parents=True, exist_ok=True)
    Path(constants.HF_TOKEN_PATH).write_text(OTHER)
    assert hub_login.who().name == "eve"
    assert hub_login.who().source == "stored"
    hub_login.log_out()
    assert not Path(constants.HF_TOKEN_PATH).exists()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub_login.who().source == "environment"
    with pytest.raises(UserError, match="HF_TOKEN"):
        hub_login.log_out()


def test_logging_in_through_the_browser(hub: Hub) -> None:
    assert hub_login.offers_device_login()
    login = hub_login.start_device_login()
    assert login.code == "ABCD-1234"
    assert hub_login.who() is None
    hub.authorised_codes["secret-code"] = TOKEN
    deadline = time.monotonic() + PATIENCE_SECONDS
    while login.state == "waiting":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert login.state == "done"
    assert hub_login.who().name == "ada"


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "launch.py", "--no-venv", *words],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_command_line(hub: Hub, folder: RunFolder, tmp_path: Path) -> None:
    words = ["export", RUN, "--hub", "ada/cli", "--workspace", str(folder.workspace.root), "--json"]
    nobody = command(*words)
    assert nobody.returncode == 2
    assert json.loads(nobody.stdout.splitlines()[-1])["error"]["what"] == "Nobody is logged in to the hub."
    done = command(*words, "--with-data", "ada/cli-data", "--data-licence", "cc0-1.0", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout.splitlines()[-1])
    assert [each["url"] for each in content["published"]] == [f"{hub.url}/datasets/ada/cli-data", f"{hub.url}/ada/cli"]
    assert hub.repositories["model", "ada/cli"].private
    assert hub.files("ada/cli")["model.safetensors"] == (folder.model / "model.safetensors").read_bytes()
    assert TOKEN not in done.stdout + done.stderr
    wrong = command(
        "export", RUN, "--hub", "ada/cli", "--with-data", "ada/d", "--workspace", str(folder.workspace.root)
    )
    assert wrong.returncode == 2
    assert "--data-licence" in wrong.stderr
    assert_no_token(folder.workspace.root, tmp_path)


def test_a_publication_holds_no_token() -> None:
    assert not any("token" in name for name in Publication.model_fields)
