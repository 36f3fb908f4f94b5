"""What a run's model needs beside its weights: its labels, and how cells become its text. Light: no torch."""

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from core.decision import AS_IT_IS, Decision
from core.errors import UserError
from core.schema import FOUR_BIT_METHODS, Family, Head, LabelKind, Pooling, Task
from core.text_template import filled
from core.workspace import RunFolder, no_run

MODEL_FACTS_FILE = "tunedesk.json"
PROMPT_FILE = "prompt.json"
"""Beside it in the folder of a model that answers in words: core.prompts.prompt_content."""
NEWEST_VERSION = 2
"""1: encoders alone, so without family, task and prompt_columns."""

Weights = Literal["usual", "adapter", "whole"]
"""What a model's folder holds: an adapter, the whole model, or what a run of its family and method saves."""

WHITE_SPACE = " \t\n\x0b\x0c\r\xa0\u3000\ufeff"
"""What does not count at the ends of a cell; the same as core.data.expressions.WHITE_SPACE."""


@dataclass(frozen=True)
class ModelFacts:
    """tunedesk.json in the model's folder."""

    schema_version: int
    run: str
    name: str
    preset: str
    base: str
    base_revision: str | None
    method: str
    labels: tuple[str, ...]
    """Class names; the model's output i is labels[i]."""
    max_length: int
    """Tokens; longer texts are cut."""
    text_columns: tuple[str, ...]
    joiner: str
    backslash_is_space: bool
    class_names: dict[str, str]
    """Label value in the training file -> class name, where they differ."""
    family: Family = "encoder"
    task: Task = "classify"
    double_quantization: bool = True
    """Of a base in 4 bits: whether its scales are quantised too."""
    prompt_columns: tuple[str, ...] = ()
    """Columns beside the text that the prompt names."""
    label_kind: LabelKind = "single"
    architecture: str = ""
    """What transformers calls it (`bert`, `neobert`); empty in models of before it was written down."""
    head: Head = "model"
    head_size: int = 0
    pooling: Pooling = "first"
    """Of a head that is not the architecture's own: its kind, the width of its middle layer, and what it reads."""
    text_template: str = ""
    """In place of the joiner, where each text column's cell stands (core.text_template)."""
    thresholds: tuple[float, ...] = ()
    """Of multi labels, one for each class: a text has it from this probability on."""
    decision: Decision = AS_IT_IS
    """Of single labels, what is made of the probabilities; the defaults in models of before there was a choice."""
    weights: Weights = "usual"
    """Other than `usual` in an export alone, and in a run that was opened from one."""
    label: str = ""
    label_columns: tuple[str, ...] = ()
    label_separator: str = ";"
    """Where the labels stood in the training file; known in an export, so that it can be opened and measured."""

    @property
    def is_adapter(self) -> bool:
        """Whether the folder holds an adapter, which needs its base; else it is the whole model."""
        if self.weights != "usual":
            return self.weights == "adapter"
        return self.family == "causal" and self.method != "full"

    @property
    def is_four_bits(self) -> bool:
        """Whether its base is loaded in 4 bits; whole weights never are."""
        return self.is_adapter and self.method in FOUR_BIT_METHODS


ModelText = str | dict[str, str]
"""What a model is asked about: a text; where its prompt names columns, `text` and the cells of those, by name."""


def read_model_facts(model: Path) -> ModelFacts:
    """Read tunedesk.json of a model folder. Raises UserError where it is absent or from a newer version."""
    path = model / MODEL_FACTS_FILE
    if not path.is_file():
        raise UserError(
            f"{model} holds no {MODEL_FACTS_FILE}, so it is not a model that Tunedesk trained.",
            str(model),
            "Choose a finished run.",
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["schema_version"] > NEWEST_VERSION:
        raise UserError(f"{model} was written by a newer Tunedesk.", str(path), "Update Tunedesk.")
    lists = ("labels", "text_columns", "prompt_columns", "thresholds", "label_columns")
    kept: dict[str, Any] = {
        field.name: tuple(content[field.name]) if field.name in lists else content[field.name]
        for field in fields(ModelFacts)
        if field.default is MISSING or field.name in content
    }
    if "decision" in kept:
        kept["decision"] = Decision(**kept["decision"])
    return ModelFacts(**kept)


def write_model_facts(model: Path, facts: ModelFacts) -> None:
    """Write tunedesk.json of a model folder."""
    content = json.dumps(asdict(facts), ensure_ascii=False, indent=1)
    (model / MODEL_FACTS_FILE).write_text(content, encoding="utf-8")


def run_model_facts(folder: RunFolder) -> ModelFacts:
    """The facts of a run's model. Raises UserError where there is no such run, or it has no model yet."""
    if not folder.root.is_dir():
        raise no_run(folder.id)
    if not folder.model.is_dir():
        raise UserError(
            f"Run {folder.id} has no model yet.",
            folder.id,
            "Wait until it has finished; a stopped, interrupted or failed run can be resumed.",
        )
    return read_model_facts(folder.model)


def require_classes(facts: ModelFacts) -> None:
    """Raises UserError for a model that learned from conversations: it has no classes to label with."""
    if facts.task == "chat":
        raise UserError(
            f"Run {facts.run} learned from conversations, so it knows no classes.",
            facts.run,
            "Talk to it under Try it, or choose a run that learned texts with a class.",
        )


def joined_text(facts: ModelFacts, cells: Sequence[str]) -> str:
    """The text that the model reads for these cells, one a text column: as core.data.expressions.text_sql joins them.

    '' where every cell is empty.
    """
    parts = [cell.strip(WHITE_SPACE) for cell in cells]
    if facts.backslash_is_space:
        parts = [part.replace("\\", " ").strip(WHITE_SPACE) for part in parts]
    if facts.text_template:
        given = dict(zip(facts.text_columns, parts, strict=False))
        return filled(facts.text_template, dict.fromkeys(facts.text_columns, "") | given)
    return facts.joiner.join(part for part in parts if part)
