"""The run in words, as YAML, and as a command line."""

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import yaml

from core.data.findings import counted
from core.data.labels import has_label_columns
from core.data.table import Table
from core.epochs import epochs_of
from core.presets import Preset, find_preset, preset_spec
from core.prompts import prompt_columns
from core.schema import PACKAGED_ENCODER, DataSpec, MappingSpec, RunSpec, short_name
from ui.forms import choice_words, label, number_words, shown
from ui.new_run.cards import count_words
from ui.new_run.draft import SETTINGS, Draft, changed_keys, usual, words
from ui.new_run.review_division import division_words, planned_rows
from ui.new_run.review_labels import bold, class_task, usable_rows, with_and
from ui.words import size

BEFORE_TEST = {
    "full": "Every layer is trained.",
    "head": "Only a new head is trained; the model below it stays as it is.",
}
PROMPT_SHOWN = 280
"""Characters of the prompt that the sentences repeat."""
SAID_OF_SPLIT = ("split.by", "split.column", "split.folds", "split.same_as", "split.test_rows", "split.validation_rows")
"""What the sentence on rows says."""
SAID_OF_MAPPING = ("text", "label", "kind", "label_columns", "label_separator")
"""What options of their own say."""
LONG_SETTINGS = ("prompt.system", "prompt.user", "prompt.assistant")
"""Said to have been changed, without what they are and were."""


def sentences(
    draft: Draft, spec: RunSpec, tables: dict[str, Table], steps: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """What will happen, in about six plain sentences, as markup. tables: by role. steps: of cleaning, as the checks
    tell them."""
    found = usable_rows(spec, tables["train"])
    is_chat, usable = spec.task == "chat", max(found.rows - sum(step["rows"] for step in steps), 0)
    told = [
        _chat_task(spec, tables) if is_chat else class_task(spec, tables, found), *_prompt(spec, tables),
        division_words(spec, tables, usable) + _left_out(steps), _model(spec),
        _training(spec, tables, usable, len(found.names)), _choice(spec),
        _chat_end(spec) if is_chat else _end(spec),
    ]  # fmt: skip
    changed = [key for key in changed_keys(draft) if key not in SAID_OF_SPLIT]
    if changed:
        told.append(f"Changed from the preset: {'; '.join(_change(draft, key) for key in changed)}.")
    return told


def _chat_task(spec: RunSpec, tables: dict[str, Table]) -> str:
    chat = spec.mapping.chat
    asked = [bold(name) for name in (chat.instruction, chat.input) if name]
    where = (
        f"The messages stand in {bold(chat.conversation)}; it learns everything that the assistant says."
        if chat.conversation
        else f"What is asked stands in {with_and(asked)}; it learns the answers in {bold(chat.response or '')}."
    )
    return (
        f"It learns to answer from the conversations in {bold(tables['train'].path.name)}. {where} Of a conversation "
        f"of more than {spec.model.max_length:,} tokens, the turns at the end are left out."
    )


def _prompt(spec: RunSpec, tables: dict[str, Table]) -> list[str]:
    """What a language model is asked; nothing for others."""
    if spec.task != "answer":
        return []
    prompt = spec.prompt
    question = prompt.user.strip()
    asked = question if len(question) <= PROMPT_SHOWN else f"{question[:PROMPT_SHOWN].rstrip()}…"
    how = "in the model's own chat template" if prompt.template == "chat" else "as it stands, without a chat template"
    told = " after what it is told to be" if prompt.system.strip() else ""
    also = [bold(name) for name in prompt_columns(prompt, tables["train"].names)]
    beside = f" The prompt also holds {with_and(also)}." if also else ""
    return [
        f'For each row it is asked, {how}{told}: <q dir="auto">{escape(asked)}</q> and learns to answer '
        f'<q dir="auto">{escape(prompt.assistant)}</q>. Prompt and answer are at most '
        f"{bold(f'{spec.model.max_length:,} tokens')}; of longer ones the end of the text is cut.{beside}"
    ]


def _left_out(steps: Sequence[Mapping[str, Any]]) -> str:
    """What was chosen to be left out of train; '' for nothing."""
    return "".join(f" {escape(step['words'])}: {bold(counted(step['rows'], 'row', 'rows'))}." for step in steps)


def _model(spec: RunSpec) -> str:
    preset, model = find_preset(spec.preset), spec.model
    name = model.source.removeprefix("packaged:")
    size_words = f", {count_words(preset.parameters)} weights" if model.source == preset.model.source else ""
    where = "comes with the installation" if model.source == PACKAGED_ENCODER else "is pretrained"
    how = {
        **BEFORE_TEST,
        "freeze": "Its lower layers stay as they are; the upper ones and a new head are trained.",
        "lora": f"Small adapters of rank {model.lora.rank} are trained beside the frozen layers (LoRA).",
        "qlora": f"Its layers are kept in 4 bits; small adapters of rank {model.lora.rank} are trained beside them "
        "(QLoRA).",
        "head-on-llm": f"Its layers are kept in 4 bits; small adapters of rank {model.lora.rank} beside them and a new "
        "head, which gives the class, are trained.",
    }[model.method]
    return f"It starts from {bold(name)}{size_words}, which {where}. {how}"


def _training(spec: RunSpec, tables: dict[str, Table], usable: int, classes: int) -> str:
    training = spec.training
    batch = training.batch_size * training.gradient_accumulation
    train_rows = planned_rows(spec, tables, usable)["train"]
    epochs = epochs_of(training, train_rows, classes if spec.mapping.kind == "single" else 0)
    steps = math.ceil(train_rows / batch) * epochs
    limit = f", at most {training.max_steps:,} steps" if training.max_steps else ""
    # Of an answer's length the prompt's own sentence says more.
    cut = f"; texts longer than {spec.model.max_length} tokens are cut" if spec.task == "classify" else ""
    passes = f"{number_words(epochs)} pass{'es' if epochs != 1 else ''}"
    why = " (chosen by the number of rows and classes)" if training.epochs is None else ""
    return (
        f"It makes {bold(passes)} over the training rows{why} in batches of {batch}, about {math.ceil(steps):,} steps"
        f"{limit}, with a learning rate of {bold(number_words(training.learning_rate))}{cut}."
    )


def _choice(spec: RunSpec) -> str:
    training = spec.training
    when = f"Every {training.evaluate_every_steps:,} steps" if training.evaluate_every_steps else "After each pass"
    early = (
        f", and training stops after {training.early_stopping_patience} evaluations without a better one"
        if training.early_stopping_patience
        else ""
    )
    # Conversations have no classes to be right about.
    metric = bold("validation loss" if spec.task == "chat" else choice_words(training.best_metric))
    kept = f"the checkpoint with the best {metric}"
    has_error = spec.task != "chat" and training.best_metric != "loss" and spec.mapping.kind != "multi"
    if has_error and training.best_tolerance and not early:
        kept = f"the last checkpoint whose {metric} is as good as the best"
    return f"{when} it is measured; {kept} is kept{early}."


def _end(spec: RunSpec) -> str:
    beside = (
        ", beside guessing the commonest class, TF-IDF with logistic regression"
        + (" and nearest neighbours on the model as it was" if spec.model.family == "encoder" else "")
        + " on the same rows"
        if spec.evaluation.baselines
        else ""
    )
    before = (
        " Before it is trained it answers the same rows, to show what training gained."
        if spec.task == "answer" and spec.evaluation.untuned
        else ""
    )
    return f"At the end it is measured once on the test rows{beside}.{before}"


def _chat_end(spec: RunSpec) -> str:
    before = " before and after training" if spec.evaluation.untuned else ""
    return (
        f"At the end it is measured{before} how likely it finds the right answers of the test conversations, and some "
        "of its answers are shown beside those."
    )


def _change(draft: Draft, key: str) -> str:
    setting = SETTINGS[key]
    if key in LONG_SETTINGS:
        return bold(words(setting))
    now = draft.raw.get(key, shown(setting, draft.get(key)))
    before = shown(setting, usual(draft, key))
    return f"{escape(label(setting).lower())} {bold(_value_words(now))} (was {escape(_value_words(before))})"


def _value_words(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else choice_words(str(value)) or "empty"


def download_words(preset: Preset) -> str:
    return f"Its model is downloaded at the start: {size(preset.download_bytes)}."


def command_line(spec: RunSpec) -> str:
    """The command that starts the same run, with what differs from preset and defaults as --set."""
    preset = find_preset(spec.preset)
    mapping, is_chat = spec.mapping, spec.task == "chat"
    labels = {"label_columns": mapping.label_columns, "label_separator": mapping.label_separator}
    usual_mapping = MappingSpec(kind=mapping.kind, text=mapping.text, label=mapping.label, chat=mapping.chat, **labels)
    usual_spec = preset_spec(preset, DataSpec(train=spec.data.train), usual_mapping)
    words = ["python launch.py train", f"--preset {shlex.quote(spec.preset)}"]
    train = spec.data.train
    words.append(f"--data {' '.join(shlex.quote(path) for path in (train.path, *train.more))}")
    for option, chosen in (("member", train.member), ("sheet", train.sheet), ("source-column", train.source_column)):
        if chosen is not None:
            words.append(f"--{option} {shlex.quote(chosen)}")
    for role in ("test", "validation"):
        file = getattr(spec.data, role)
        if file is not None:
            words.append(f"--{role} {shlex.quote(file.path)}")
    if is_chat:
        words.append("--chat")
    else:
        words.append(f"--text {' '.join(shlex.quote(name) for name in mapping.text)}")
        words += _label_words(mapping)
    if spec.name:
        words.append(f"--name {shlex.quote(spec.name)}")
    words += [f"--set {shlex.quote(f'{key}={_yaml_word(value)}')}" for key, value in _differences(spec, usual_spec)]
    return " \\\n  ".join(words)


def _label_words(mapping: MappingSpec) -> list[str]:
    """The options that say where the labels stand, and of what kind they are."""
    if has_label_columns(mapping):
        columns = " ".join(shlex.quote(name) for name in mapping.label_columns)
        return [f"--{mapping.kind}", f"--label-columns {columns}"]
    label = f"--label {shlex.quote(mapping.label)}"
    return [label] if mapping.kind == "single" else [
        "--multi", label, f"--label-separator {shlex.quote(mapping.label_separator)}"
    ]  # fmt: skip


def _differences(spec: RunSpec, usual_spec: RunSpec) -> list[tuple[str, Any]]:
    """Every leaf that is not the usual one and that no option of its own says."""
    now, before = spec.model_dump(mode="json"), usual_spec.model_dump(mode="json")
    before["data"]["train"] = {"path": None}
    before["mapping"]["chat"] = {}
    said = {"name", "preset", *(f"mapping.{name}" for name in SAID_OF_MAPPING)}
    said |= {f"data.train.{name}" for name in ("more", "member", "sheet", "source_column")}
    found = []
    for key, setting in SETTINGS.items():
        if key in said or key.endswith(".path") or (key.startswith("prompt.") and spec.task != "answer"):
            continue
        value, default = _leaf(now, key), _leaf(before, key)
        default = setting.default if default is None else default
        default = list(default) if isinstance(default, tuple) else default
        if value is not None and value != default:
            found.append((key, value))
    return found


def _leaf(content: Any, key: str) -> Any:
    for name in key.split("."):
        if not isinstance(content, dict) or name not in content:
            return None
        content = content[name]
    return content


def _yaml_word(value: Any) -> str:
    """On one line, as `--set` reads it."""
    if not isinstance(value, str):
        return json.dumps(value)
    if re.fullmatch("[A-Za-z_]+", value) and yaml.safe_load(value) == value:
        return value
    return yaml.safe_dump(value, default_style='"', width=math.inf, allow_unicode=True).rstrip("\n")


def run_name(spec: RunSpec) -> str:
    """What the run is called where nobody names it; the same as core.runs.supervisor gives it."""
    return f"{short_name(spec.data.train)}, {spec.preset}"
