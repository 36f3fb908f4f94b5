"""Presets are whole, named as their file, and a wrong key is named."""

import pytest
import yaml

from core.errors import UserError
from core.presets import DEFAULT_PRESET, PRESETS_FOLDER, find_preset, load_presets, preset_spec
from core.schema import DataSpec, MappingSpec, TableFile
from tests import presets_table


def test_every_preset_loads_and_the_default_comes_first():
    presets = load_presets()
    assert next(iter(presets)) == DEFAULT_PRESET
    assert {"quickstart-minilm", "bert-base", "bert-freeze", "distilbert-head"} <= set(presets)


def test_a_preset_becomes_a_spec():
    spec = preset_spec(
        find_preset("bert-freeze"),
        DataSpec(train=TableFile(path="train.csv")),
        MappingSpec(text=("text",), label="label"),
    )
    assert (spec.model.method, spec.model.frozen_layers) == ("freeze", 8)
    assert spec.preset == "bert-freeze"


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(UserError, match="quickstart-minilm"):
        find_preset("quickstart")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"learning_rate": 1e-4}, "'learning_rate' is not a setting"),
        ({"training": {"epoch": 3}}, r"'training.epoch' is not a setting"),
        ({"name": "other"}, "Give file and preset the same name"),
    ],
)
def test_a_faulty_preset_file_is_named_with_its_key(tmp_path, change, told):
    content = yaml.safe_load((PRESETS_FOLDER / f"{DEFAULT_PRESET}.yaml").read_text(encoding="utf-8"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**content, "name": "mine", **change}), encoding="utf-8")
    with pytest.raises(UserError, match=told) as caught:
        load_presets(tmp_path)
    assert "mine.yaml" in caught.value.what


def test_the_measured_table_is_what_the_presets_say():
    text = presets_table.README.read_text(encoding="utf-8")
    assert presets_table.with_table(text) == text, "python -m tests.presets_table writes it"
    assert all(f"`{name}`" in text for name in load_presets())
