"""A model that cannot be had is said before the run starts."""

import json

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
    with pytest.raises(UserError, match="not on this computer and the model hub does not answer"):
        check_source(ModelSpec(source="nobody/has-this-model"))


def test_words_that_are_no_model():
    with pytest.raises(UserError, match="neither a folder"):
        check_source(ModelSpec(source="no such/folder here"))
