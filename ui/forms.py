"""Inputs from the schema: a labelled field for each setting, with its unit, its effect and what it usually is."""

from dataclasses import dataclass
from html import escape
from typing import Any, get_args, get_origin

import gradio as gr
from pydantic import BaseModel, ValidationError

from core.errors import UserError
from core.schema import RunSpec
from core.spec_settings import Setting
from ui.words import METRIC_WORDS

CHOICE_WORDS = {
    **METRIC_WORDS,
    "lora": "LoRA",
    "qlora": "QLoRA (4-bit)",
    "head-on-llm": "a head on the model (4-bit)",
}
"""What some of the schema's words are called on the page; others are shown with spaces for underscores."""
LABELS = {
    "model.source": "Pretrained model",
    "model.method": "What is trained",
    "model.max_length": "Longest text",
    "model.frozen_layers": "Frozen layers",
    "model.choose_frozen_layers": "Choose by the rows",
    "prompt.assistant": "Answer",
    "prompt.labels_separator": "Between the classes",
    "training.batch_size": "Batch",
    "training.best_metric": "Best checkpoint by",
    "training.learning_rate": "Learning rate",
}
EMPTY_WORDS = {"training.epochs": "chosen by the rows"}
"""What a field says that was left empty, where there is more to say than that."""
RESET_SCRIPT = (
    "element.addEventListener('click', (event) => { if (event.target.closest('button')) trigger('click'); });"
)


@dataclass(frozen=True)
class Field:
    setting: Setting
    box: gr.Column
    input: gr.components.Component
    note: gr.HTML
    """What is wrong with the value, or that it was changed, with a button that resets it."""

    def parts(self) -> list[Any]:
        """In the order of `field_updates`."""
        return [self.input, self.note]


def build_field(setting: Setting, *, radio: bool = False) -> Field:
    """A field in a box of its own; its value is set by `field_updates`."""
    name = setting.key.split(".", 1)[1]
    with gr.Column(elem_classes="field", min_width=220, elem_id=f"field-{setting.key.replace('.', '-')}") as box:
        made = _input(setting, radio)
        note = gr.HTML(
            visible=False, apply_default_css=False, elem_classes="note", js_on_load=RESET_SCRIPT, elem_id=f"note-{name}"
        )
    return Field(setting, box, made, note)


def _input(setting: Setting, radio: bool) -> gr.components.Component:
    common: dict[str, Any] = {"label": label(setting), "info": setting.description}
    if setting.type is bool:
        return gr.Checkbox(**common)
    if setting.choices:
        choices = [(choice_words(choice), choice) for choice in setting.choices]
        return gr.Radio(choices, **common) if radio else gr.Dropdown(choices, filterable=False, **common)
    if several(setting):
        return gr.CheckboxGroup(list(several(setting)), **common)
    return gr.Textbox(max_lines=1, placeholder=empty_words(setting) if setting.optional else None, **common)


def label(setting: Setting) -> str:
    """`Learning rate`, `Longest text, tokens`."""
    name = setting.key.split(".")[-1].replace("_", " ")
    shown = LABELS.get(setting.key) or (f"LoRA {name}" if ".lora." in setting.key else name.capitalize())
    return f"{shown}, {setting.unit}" if setting.unit and setting.unit not in shown.lower() else shown


def empty_words(setting: Setting) -> str:
    return EMPTY_WORDS.get(setting.key, "empty")


def several(setting: Setting) -> tuple[str, ...]:
    """The words of a setting that takes any number of them, else empty."""
    inside = get_args(setting.type)
    return get_args(inside[0]) if get_origin(setting.type) is tuple else ()


def choice_words(choice: str) -> str:
    return CHOICE_WORDS.get(choice, choice.replace("_", " "))


def shown(setting: Setting, value: Any) -> Any:
    """A value as its input takes it: text for numbers and lists."""
    if setting.type is bool or setting.choices:
        return value
    if several(setting):
        return list(value)
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(value)
    return number_words(value) if isinstance(value, float) else str(value)


def number_words(value: float) -> str:
    """`0.0001`, `5e-5`, `3`."""
    return f"{value:.10g}".replace("e-0", "e-")


def field_updates(setting: Setting, given: Any, usual: Any, problem: str = "") -> list[Any]:
    """New values for `Field.parts()`. given: as typed or chosen; usual: what a reset brings, as the schema has it."""
    return [gr.update(value=given), note_update(setting, given, usual, problem)]


def note_update(setting: Setting, given: Any, usual: Any, problem: str = "") -> Any:
    reset = "<button type=button>Reset</button>"
    if problem:
        return gr.update(value=f'<p class="bad" role="alert">{escape(problem)} {reset}</p>', visible=True)
    before = shown(setting, usual)
    if given != before:
        said = {"False": "off", "True": "on", "[]": "empty", "": empty_words(setting)}.get(str(before)) or choice_words(
            str(before)
        )
        return gr.update(value=f"<p>Changed; was {escape(said)}. {reset}</p>", visible=True)
    return gr.update(value="", visible=False)


def read_value(setting: Setting, given: Any) -> Any:
    """What was typed or chosen, as the schema wants it. Raises UserError with what is wrong, for beside the field."""
    part, name = _part_of(setting.key)
    value = _parsed(setting, given)
    try:
        return part.model_validate({name: value}).model_dump(mode="json")[name]
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)[0]["msg"]
        raise UserError(f"{found.replace('Input should', 'This should')}.", setting.key, "") from error


def _parsed(setting: Setting, given: Any) -> Any:
    if setting.type is bool or setting.choices or several(setting):
        return given
    if setting.key.startswith("prompt."):
        return str(given or "")  # blanks and line ends at its ends count
    text = str(given or "").strip()
    if get_origin(setting.type) is tuple:
        return [word.strip() for word in text.split(",") if word.strip()]
    if setting.type is str:
        return None if setting.optional and not text else text
    if not text:
        if setting.optional:
            return None
        raise UserError("This cannot be empty.", setting.key, "")
    try:
        return int(text) if setting.type is int else float(text)
    except ValueError as error:
        kind = "a whole number, e.g. 32" if setting.type is int else "a number, e.g. 0.0001"
        raise UserError(f"This should be {kind}.", setting.key, "") from error


def _part_of(key: str) -> tuple[type[BaseModel], str]:
    """The part of the schema that a key's last name is a field of, e.g. (LoraSpec, "rank")."""
    *parents, name = key.split(".")
    part: Any = RunSpec
    for parent in parents:
        part = part.model_fields[parent].annotation
    return part, name
