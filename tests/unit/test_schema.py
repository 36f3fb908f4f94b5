"""The typed description of a run: bounds, YAML, overrides, and what forms read from it."""

import pytest

from core.errors import UserError
from core.schema import PACKAGED_ENCODER, RunSpec, TrainingSpec
from core.spec_files import parse_spec, read_spec, spec_yaml, with_overrides
from core.spec_settings import settings

SMALLEST = {"data": {"train": {"path": "train.csv"}}, "mapping": {"text": ["text"], "label": "label"}}


def test_the_smallest_spec_gets_every_default():
    spec = parse_spec(SMALLEST, "spec.yaml")
    assert spec.model.source == PACKAGED_ENCODER
    assert spec.training == TrainingSpec()
    assert spec.split.validation == 0.1


def test_yaml_round_trip(tmp_path):
    spec = parse_spec({**SMALLEST, "training": {"learning_rate": 3e-4}, "name": "Fragen äöü"}, "spec.yaml")
    path = tmp_path / "spec.yaml"
    path.write_text(spec_yaml(spec), encoding="utf-8")
    assert read_spec(path) == spec


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("training.learning_rate=0", "training.learning_rate"),
        ("training.learning_rate=-0.1", "training.learning_rate"),
        ("training.learning_rate=.nan", "training.learning_rate"),
        ("training.epochs=0", "training.epochs"),
        ("training.batch_size=1.5", "training.batch_size"),
        ("model.method=magic", "model.method"),
        ("split.test=0.9", "split.test"),
    ],
)
def test_a_value_out_of_bounds_names_its_field(override, field):
    with pytest.raises(UserError) as caught:
        parse_spec(with_overrides(SMALLEST, [override]), "the command line")
    assert caught.value.where == field
    assert field in caught.value.what


@pytest.mark.parametrize(
    ("key", "meant"), [("epochs", "training.epochs"), ("training.epoch", "training.epochs"), ("quite.other", None)]
)
def test_a_key_like_the_one_that_was_given_is_offered(key, meant):
    with pytest.raises(UserError, match=f"'{key}' is not a setting") as caught:
        with_overrides(SMALLEST, [f"{key}=3"])
    assert caught.value.todo.startswith(f"Did you mean {meant}?" if meant else "Write --set key=value")


def test_a_setting_without_its_value_is_not_taken_for_another():
    with pytest.raises(UserError, match="there is no '='") as caught:
        with_overrides(SMALLEST, ["training.epochs"])
    assert caught.value.todo.startswith("Write --set key=value")


def test_an_unknown_key_in_a_file_is_named():
    with pytest.raises(UserError, match=r"'training.learning_rat' is not a setting"):
        parse_spec({**SMALLEST, "training": {"learning_rat": 1}}, "spec.yaml")


@pytest.mark.parametrize("override", ["training.learning_rat=1", "training=1", "epochs", "data.train=x.csv"])
def test_an_unknown_override_is_refused(override):
    with pytest.raises(UserError, match="--set"):
        with_overrides(SMALLEST, [override])


def test_overrides_read_numbers_lists_and_empty_values_and_leave_the_original_alone():
    content = with_overrides(
        SMALLEST, ["training.learning_rate=1e-4", "mapping.text=[title, text]", "training.max_steps=null"]
    )
    spec = parse_spec(content, "the command line")
    assert spec.training.learning_rate == 1e-4
    assert spec.mapping.text == ("title", "text")
    assert spec.training.max_steps is None
    assert SMALLEST["mapping"]["text"] == ["text"]


def test_words_of_yaml_1_1_are_the_words_that_they_are(tmp_path):
    """`off` and `no` are no booleans, a date is text: as values of a command, and in a file."""
    changes = ["training.prefix_cache=off", "split.column=2024-12-31", "mapping.dropped_classes=[no, NO]"]
    spec = parse_spec(with_overrides(SMALLEST, changes), "the command line")
    assert (spec.training.prefix_cache, spec.split.column, spec.mapping.dropped_classes) == (
        "off", "2024-12-31", ("no", "NO"),
    )  # fmt: skip
    file = tmp_path / "spec.yaml"
    settings_of_it = "training: {prefix_cache: off}\nsplit: {column: 2024-12-31}\n"
    file.write_text(
        f"data: {{train: {{path: a.csv}}}}\nmapping: {{text: [text], label: yes}}\n{settings_of_it}", encoding="utf-8"
    )
    read = read_spec(file)
    assert (read.training.prefix_cache, read.split.column, read.mapping.label) == ("off", "2024-12-31", "yes")


def test_every_setting_has_what_a_form_needs():
    leaves = {leaf.key: leaf for leaf in settings(RunSpec)}
    assert [key for key, leaf in leaves.items() if not leaf.description] == []
    rate = leaves["training.learning_rate"]
    assert (rate.minimum, rate.maximum, rate.essential) == (0, 1, True)
    assert leaves["model.method"].choices == ("full", "freeze", "head", "lora", "qlora", "head-on-llm")
    assert leaves["training.max_steps"].optional
    assert leaves["model.max_length"].unit == "tokens"


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", ""])
def test_a_file_that_holds_no_settings(tmp_path, text):
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"spec\.yaml"):
        read_spec(path)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("name=2024", "2024"),
        ("mapping.text_template={text}", "{text}"),
        ("mapping.label_separator=|", "|"),
        ("mapping.label_separator='#'", "#"),
        ("mapping.joiner= ", " "),
        ("mapping.class_names={1.0: World, 010: no}", {"1.0": "World", "010": "no"}),
        ("mapping.dropped_classes=HUM", ("HUM",)),
        ("mapping.dropped_classes=[1.0, 010]", ("1.0", "010")),
        ('data.train.delimiter="\\t"', "\t"),
        ("data.train.encoding=", None),
    ],
)
def test_settings_of_words_are_the_words_that_are_written(override, value):
    found = parse_spec(with_overrides(SMALLEST, [override]), "the command line")
    for name in override.partition("=")[0].split("."):
        found = getattr(found, name)
    assert found == value


def test_numbers_in_a_file_that_stand_for_words(tmp_path):
    content = "{text: text, label: label, class_names: {1: World, 2.0: 3}, dropped_classes: [1]}"
    (tmp_path / "spec.yaml").write_text(f"data: {{train: {{path: a.csv}}}}\nmapping: {content}\n")
    mapping = read_spec(tmp_path / "spec.yaml").mapping
    assert mapping.text == ("text",) and mapping.dropped_classes == ("1",)
    assert mapping.class_names == {"1": "World", "2.0": "3"}
