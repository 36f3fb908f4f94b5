"""A half-made run: a RunSpec's content as far as it is known, kept in the store after every change.

The page holds the draft's id and nothing else, so a reload, a second tab and a restarted server find the same form.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from core.errors import UserError
from core.presets import DEFAULT_PRESET, Preset, find_preset
from core.runs.store import Store
from core.schema import Family, LabelKind, Method, RunSpec, TableFile, Task, task_of
from core.spec_files import parse_spec
from core.spec_settings import Setting, settings
from core.training.devices import HERE
from ui.forms import choice_words, read_value

_EDITING = threading.Lock()
"""Two fields may be left within a moment of each other; each change reads, alters and writes the whole draft."""

PART_WORDS = {"test": "the final test", "validation": "validation"}
PRESET_PARTS = ("model", "prompt", "training")
MOST_SHOWN = 60
"""Characters of what cannot be used that a message repeats."""
TEMPLATE_KEY = "mapping.text_template"
SETTINGS = {leaf.key: leaf for leaf in settings(RunSpec)}


@dataclass
class Draft:
    id: str
    spec: dict[str, Any]
    raw: dict[str, str] = field(default_factory=dict)
    """What stands in fields that cannot be used as it is, by key: kept, so that nobody types it twice."""
    step: int = 1
    row: int = 0
    """Of the training table: the one that the Prompt step shows."""
    reasons: tuple[str, ...] = ()
    """Why these columns were suggested."""
    own: tuple[str, ...] = ()
    """test, validation: where a file of its own is wanted, whether or not it is given yet."""
    fixes: list[dict[str, Any]] = field(default_factory=list)
    """What buttons of the checks changed beside cleaning: words, before and after (dotted key -> value)."""
    sweep: dict[str, Any] = field(default_factory=dict)
    """What is to be tried as a group of runs; see several.py."""
    device: str = HERE
    """What the forecast is made for, as core.training.devices names it."""
    fit: list[dict[str, Any]] = field(default_factory=list)
    """What "Make it fit" changed: key, before, after, words."""
    probe: dict[str, Any] = field(default_factory=dict)
    """The last few real steps that were tried: job, and mark of what was tried."""

    def get(self, key: str) -> Any:
        """The value of a dotted key; the schema's default where the draft does not say."""
        part: Any = self.spec
        for name in key.split("."):
            if part is None or name not in part:
                return SETTINGS[key].default if key in SETTINGS else None
            part = part[name]
        return part

    def put(self, key: str, value: Any) -> None:
        *parents, name = key.split(".")
        part = self.spec
        for parent in parents:
            if part.get(parent) is None:
                part[parent] = {}
            part = part[parent]
        part[name] = value

    def file(self, role: str) -> TableFile | None:
        """train, validation or test; None where no such file is given."""
        content = self.spec["data"].get(role)
        return TableFile.model_validate(content) if content else None

    @property
    def kind(self) -> LabelKind:
        """Of the labels."""
        return self.spec["mapping"].get("kind") or "single"

    @property
    def is_chat(self) -> bool:
        """Whether it learns from conversations, which have no classes."""
        return self.kind == "none"

    @property
    def task(self) -> Task:
        if self.kind in ("multi", "soft"):
            return "classify"
        return task_of(self.kind, self.get("model.family"), self.get("model.method"))

    def preset(self) -> Preset:
        """Raises UserError where the preset is gone."""
        return find_preset(self.spec["preset"])


def new_draft(draft_id: str) -> Draft:
    draft = Draft(draft_id, {"data": {}, "mapping": {"text": [], "label": None}})
    choose_preset(draft, DEFAULT_PRESET)
    return draft


def choose_preset(draft: Draft, name: str) -> list[str]:
    """Take a preset's settings. Returns the keys of settings that had been changed by hand and are now the preset's."""
    lost = changed_keys(draft) if "preset" in draft.spec else []
    preset = find_preset(name)
    draft.spec |= {
        "preset": name,
        "model": preset.model.model_dump(mode="json"),
        "prompt": preset.prompt.model_dump(mode="json"),
        "training": preset.training.model_dump(mode="json"),
    }
    draft.raw = {key: text for key, text in draft.raw.items() if not key.startswith(PRESET_PARTS)}
    draft.fit = []
    return [key for key in lost if key.startswith(PRESET_PARTS)]


def keep(draft: Draft, key: str, given: Any) -> str:
    """Put in what was typed or chosen; what cannot be used is kept beside it. Returns what is wrong, '' for nothing."""
    try:
        draft.put(key, read_value(SETTINGS[key], given))
    except UserError as error:
        draft.raw[key] = given
        return error.what
    draft.raw.pop(key, None)
    return ""


def usual(draft: Draft, key: str) -> Any:
    """What a setting is without anybody's change: the preset's value, else the schema's default."""
    part, *names = key.split(".")
    if part in PRESET_PARTS:
        value: Any = getattr(draft.preset(), part).model_dump(mode="json")
        for name in names:
            value = value[name]
        return value
    return SETTINGS[key].default


def changed_keys(draft: Draft) -> list[str]:
    """Settings of model, prompt, training, split and evaluation that differ from the usual ones, in the schema's order.

    The prompt counts where one is read.
    """
    parts = (*(part for part in PRESET_PARTS if part != "prompt" or draft.task == "answer"), "split", "evaluation")
    return [
        key for key in SETTINGS
        if key.startswith(parts) and (key in draft.raw or not same(draft.get(key), usual(draft, key)))
    ]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal, whether they come from YAML (lists) or the schema (tuples)."""
    return (list(one) if isinstance(one, tuple) else one) == (list(other) if isinstance(other, tuple) else other)


def missing(draft: Draft) -> str:
    """The first thing that the Data step still needs, as a request; '' where nothing is missing."""
    if not draft.spec["data"].get("train"):
        return "Choose a file first."
    needed = _missing_columns(draft)
    if needed:
        return needed
    for role in draft.own:
        if not draft.spec["data"].get(role):
            return f"Give the file for {PART_WORDS[role]}, or take a share."
    for role in ("test", "validation"):
        if f"split.{role}" in draft.raw:
            return f"Correct the share for {PART_WORDS[role]}."
        if f"split.{role}_rows" in draft.raw:
            return f"Correct the number of rows for {PART_WORDS[role]}."
    if draft.get("split.by") != "chance" and not draft.get("split.column"):
        return "Choose the column that the rows are divided by."
    return ""


def _missing_columns(draft: Draft) -> str:
    mapping = draft.spec["mapping"]
    if draft.is_chat:
        chat = mapping["chat"]
        if not (chat.get("conversation") or (chat.get("instruction") and chat.get("response"))):
            return "Choose the column of conversations, or those of what is asked and what is answered."
    elif not mapping["text"]:
        return "Choose the column that holds the text."
    elif by_columns(draft):
        if len(mapping["label_columns"]) < 2:
            return "Choose the columns of the classes, one for each."
    elif not mapping["label"]:
        return "Choose the column that holds the label."
    if TEMPLATE_KEY in draft.raw:
        return "Correct the text template, or empty it."
    if "mapping.rare_below" in draft.raw:
        return "Correct the number of rows below which a class is rare."
    return ""


def by_columns(draft: Draft) -> bool:
    """Whether each class has a column of its own; '' as the label says so, None that it is still to be chosen."""
    mapping = draft.spec["mapping"]
    named = bool(mapping.get("label_columns")) or mapping["label"] == ""
    return draft.kind == "soft" or (draft.kind == "multi" and named)


def learns_chat(family: Family, method: Method) -> bool:
    """Whether such a model can learn from conversations: it answers in words."""
    return task_of("single", family, method) == "answer"


def misfit(kind: LabelKind, family: Family, method: Method) -> str:
    """Why such a model cannot learn this kind of label, in short; '' where it can."""
    answers = learns_chat(family, method)
    if kind == "none" and not answers:
        return "it gives classes, and cannot learn to answer"
    if kind in ("multi", "soft") and answers:
        what = "several classes a text" if kind == "multi" else "probabilities"
        return f"it answers with one class in words, and cannot learn {what}"
    return ""


def unfit(draft: Draft) -> str:
    """Why the model cannot learn from these data, and what to do; '' where it can."""
    if not misfit(draft.kind, draft.get("model.family"), draft.get("model.method")):
        return ""
    if draft.is_chat:
        return "Conversations can only be learned by a language model that answers in words: choose one of those."
    what = "Several classes a text" if draft.kind == "multi" else "Probabilities"
    return (
        f"{what} can only be learned by a model with a head: choose a small model, an encoder, or the method "
        f"'{choice_words('head-on-llm')}'."
    )


def spec_of(draft: Draft) -> RunSpec:
    """The finished RunSpec. Raises UserError where something is missing or cannot be used."""
    for key, text in draft.raw.items():
        if key.startswith("prompt.") and draft.task != "answer":
            continue
        given = f"'{text}'" if len(text) <= MOST_SHOWN else "What stands there"
        raise UserError(f"{given} cannot be used for {words(SETTINGS[key])}.", key, "Correct it, or reset it.")
    needed = missing(draft)
    if needed:
        raise UserError("The data is not complete.", "Data", needed)
    if unfit(draft):
        what = "learn from conversations" if draft.is_chat else "learn these labels"
        raise UserError(f"This model cannot {what}.", "Model", unfit(draft))
    return parse_spec(draft.spec, "The form")


def words(setting: Setting) -> str:
    """A setting's name as people say it: `learning rate`, `LoRA rank`."""
    *parents, name = setting.key.split(".")
    shown = name.replace("_", " ")
    if parents == ["prompt"]:
        return f"the prompt's {shown}" + (" part" if name in ("system", "user", "assistant") else "")
    return f"LoRA {shown}" if "lora" in parents else shown


def read_draft(store: Store, draft_id: str) -> Draft:
    """The draft of this id; a new one where the store has none. Duplicates hold a spec and nothing else."""
    content = store.draft(draft_id)
    if content is None:
        return new_draft(draft_id)
    spec = content["spec"]
    own = [role for role in ("test", "validation") if spec["data"].get(role)]
    content = {"reasons": (), "own": own, **content}
    return Draft(draft_id, **content | {name: tuple(content[name]) for name in ("reasons", "own")})


def write_draft(store: Store, draft: Draft) -> None:
    content = {name: value for name, value in asdict(draft).items() if name != "id"}
    store.save_draft(draft.id, content)


@contextmanager
def editing(store: Store, draft_id: str) -> Iterator[Draft]:
    """Read a draft, let it be changed, keep it; nothing is kept where the change raises.

    Raises UserError for one that was started: what came after would be in no run.
    """
    with _EDITING:
        run = store.run_of_draft(draft_id)
        if run is not None:
            raise UserError(
                f"This form was started as run {run}, so it changes no more.", "form", "Duplicate that run on its page."
            )
        draft = read_draft(store, draft_id)
        yield draft
        write_draft(store, draft)
