"""A model that cannot be had is said before the run starts."""

import http.server
import json
import threading

import pytest

from core.errors import UserError
from core.models.source import check_source, packaged_encoder
from core.schema import PACKAGED_ENCODER, ModelSpec


def folder_with(tmp_path, *names):
    for name in names:
        (tmp_path / name).write_text(json.dumps({"model_type": "bert"}))
    return ModelSpec(source=str(tmp_path))


def test_the_packaged_encoder_is_always_there():
    source = check_source(ModelSpec(source=PACKAGED_ENCODER))
    assert source.kind == "packaged"
    assert (packaged_encoder() / "model.safetensors").is_file()


def test_a_whole_folder(tmp_path):
    assert check_source(folder_with(tmp_path, "config.json", "model.safetensors", "tokenizer.json")).kind == "folder"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ((), "no config.json"),
        (("config.json", "tokenizer.json"), "no safetensors weights"),
        (("config.json", "pytorch_model.bin", "tokenizer.json"), "no safetensors weights"),
        (("config.json", "model.safetensors"), "no tokenizer"),
    ],
)
def test_a_folder_that_lacks_something_is_said(tmp_path, files, told):
    with pytest.raises(UserError, match=told):
        check_source(folder_with(tmp_path, *files))


def test_a_hub_model_that_is_neither_cached_nor_reachable(monkeypatch):
    # Port 9 (discard) on this computer answers nothing.
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"not on this computer and could not be fetched from the hub \(ConnectError\)"):
        check_source(ModelSpec(source="nobody/has-this-model"))


@pytest.fixture
def hub(monkeypatch):
    """A hub on this computer: its address, and the `code` and `error` with which it answers every question."""
    answer = {"code": 401, "error": "GatedRepo"}

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(answer["code"])
            self.send_header("X-Error-Code", answer["error"])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    # The project's tests stay off the net; this hub is no net.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield address, answer
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("source", "copy"),
    [
        ("meta-llama/Llama-3.2-3B-Instruct", "unsloth/Llama-3.2-3B-Instruct"),
        ("meta-llama/Llama-3.2-1B", "unsloth/Llama-3.2-1B"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "unsloth/mistral-7b-instruct-v0.2"),
        ("mistralai/Mistral-7B-v0.1", "unsloth/mistral-7b"),
    ],
)
def test_a_gated_model_names_its_terms_the_login_and_the_copy_without(hub, source, copy):
    with pytest.raises(UserError, match="accepted its terms") as told:
        check_source(ModelSpec(source=source))
    assert f"{hub[0]}/{source}," in told.value.todo
    assert "`hf auth login`" in told.value.todo
    assert f"take {copy}:" in told.value.todo


def test_a_gated_model_without_a_known_copy_offers_none(hub):
    with pytest.raises(UserError, match="accepted its terms") as told:
        check_source(ModelSpec(source="somebody/gated"))
    assert told.value.todo.endswith("`hf auth login`.")


@pytest.mark.parametrize(
    ("code", "error", "what"),
    [
        (401, "", "does not accept the token"),
        (401, "RepoNotFound", "has no model somebody/model that this login may see"),
        (403, "", "has no model somebody/model that this login may see"),
        (404, "RevisionNotFound", "no such branch, tag or commit"),
        (404, "EntryNotFound", "somebody/model on the hub holds no config.json"),
        (429, "", "too many requests"),
        (503, "", "not on this computer .*the hub answers with code 503"),
    ],
)
def test_what_the_hub_answers_is_told_apart(hub, code, error, what):
    hub[1].update(code=code, error=error)
    with pytest.raises(UserError, match=what) as told:
        check_source(ModelSpec(source="somebody/model"))
    # A request, which holds the token, is in the tracebacks of what the client raises.
    assert told.value.__cause__ is None and told.value.__suppress_context__


def test_words_that_are_no_model():
    with pytest.raises(UserError, match="neither a folder"):
        check_source(ModelSpec(source="no such/folder here"))
