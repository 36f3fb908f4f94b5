"""SweepSpec: which settings of a run are tried with which values, and how. Written once, as core/schema.py writes runs.

In YAML it is the `sweep` section of a run's spec; on the command line `--values` and `--set-range`. A sweep changes
settings of model, prompt and training only: every run of it learns from the same rows and is compared on the same rows.
"""

import itertools
import math
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from core.errors import UserError, from_validation
from core.schema import Part, RunSpec, setting
from core.spec_files import parse_spec, setting_value
from core.spec_settings import Setting, settings

SETTINGS = {leaf.key: leaf for leaf in settings(RunSpec)}
PARTS = ("model.", "prompt.", "training.")
FIXED = {
    "training.best_metric": "it is the figure that the runs are compared by",
    "training.trackers": "it changes nothing that is learned",
    "training.keep_checkpoints": "it changes nothing that is learned",
}
CHANGES_THE_LOSS = (
    "training.loss", "training.focal_gamma", "training.label_smoothing", "training.class_weights",
    "training.contrastive_alpha", "training.contrastive_temperature",
)  # fmt: skip
"""With another value of these a loss is another quantity, so that runs cannot be compared by it."""
MOST_FIELDS = 6
MOST_CHECKED = 2000
DRAWN_TRIALS = 10
"""Runs of a search that draws settings, where no number is given."""


class Tried(Part):
    """The values of one setting: a list, or a range from low to high."""

    values: tuple[Any, ...] = setting((), "The values to try, in place of a range.")
    low: float | None = setting(None, "Of a range: the least value.")
    high: float | None = setting(None, "Of a range: the greatest value.")
    log: bool = setting(False, "Of a range: even steps are factors (1e-5, 1e-4, 1e-3), not sums.")

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.values:
            if self.low is not None or self.high is not None:
                raise ValueError("give a list of values or a range, not both")
            if len(self.values) != len({repr(value) for value in self.values}):
                raise ValueError("a value stands there twice")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError("give a list of values, or a range with low below high")
        elif self.log and self.low <= 0:
            raise ValueError("a range in factors begins above 0")
        return self


Search = Literal["grid", "random", "tpe"]
Prune = Literal["none", "median", "halving"]


class SweepSpec(Part):
    fields: dict[str, Tried] = Field(
        min_length=1, max_length=MOST_FIELDS, description="Setting -> the values to try, e.g. training.learning_rate."
    )
    search: Search = setting(
        "grid",
        "How settings are chosen. grid: every combination. random: drawn by chance. tpe: drawn where runs before were "
        "good (tree-structured Parzen estimators, Bergstra et al. 2011); it needs ten runs or more to be worth it.",
    )
    trials: int | None = setting(
        None, f"Runs at most. Empty: all combinations of a grid, {DRAWN_TRIALS} of another search.", unit="runs",
        ge=1, le=1000,
    )  # fmt: skip
    points: int = setting(4, "Of a grid: how many values stand for a range.", unit="values", ge=2, le=50)
    prune: Prune = setting(
        "none",
        "Whether hopeless runs are stopped early. median: one that is behind half of the runs before it at the same "
        "evaluation. halving: at evaluations 1, 3, 9 and so on only the best third goes on.",
    )
    prune_after: int = setting(
        3, "With median: runs that must be through before one is stopped.", unit="runs", ge=1, le=1000
    )
    seed: int = setting(42, "Number behind what is drawn; same seed, same settings.", ge=0, le=2**31 - 1)


def metric_of(base: RunSpec) -> str:
    """The validation figure that the runs are compared by."""
    return "loss" if base.task == "chat" else base.training.best_metric


def is_greater_better(metric: str) -> bool:
    return metric != "loss"


def figure_words(metric: str) -> str:
    """`macro F1`, `loss`."""
    return metric.replace("_", " ").replace(" f1", " F1")


def parse_sweep(content: dict[str, Any], source: str) -> SweepSpec:
    """Validate a sweep; `source` names where it came from in the UserError that a wrong one raises."""
    try:
        return SweepSpec.model_validate(content)
    except ValidationError as error:
        raise from_validation(error, source) from error


def full_key(name: str) -> str:
    """The key of a setting that can be tried, from its key or from its last word where only one has that.

    Raises UserError.
    """
    found = [key for key in SETTINGS if key == name] or [
        key for key in SETTINGS if key.startswith(PARTS) and key.rpartition(".")[2] == name
    ]
    if len(found) != 1:
        what = f"could be {' or '.join(found)}" if found else "is not a setting"
        raise UserError(f"'{name}' {what}.", name, "`python launch.py settings` lists every key.")
    require_triable(found[0])
    return found[0]


def require_triable(key: str) -> None:
    """Raises UserError for a setting that no sweep can change."""
    if not key.startswith(PARTS):
        raise UserError(
            f"{key} decides about rows or names, so runs with other values of it could not be compared.",
            key,
            "Try settings of model, prompt and training; start runs of their own for others.",
        )
    if key in FIXED:
        raise UserError(f"{key} cannot be tried: {FIXED[key]}.", key, "Choose another setting.")


def parse_values(text: str) -> Tried:
    """`16,32`, `1e-5..5e-4` or `1e-5..5e-4:log` as what is to be tried. Raises UserError."""
    low, dots, rest = text.partition("..")
    content: dict[str, Any]
    if dots:
        high, _, word = rest.partition(":")
        if word.strip() not in ("", "log"):
            raise UserError(f"'{word}' is no kind of range.", text, "Write LOW..HIGH, or LOW..HIGH:log for factors.")
        content = {"low": setting_value(low), "high": setting_value(high), "log": word.strip() == "log"}
    else:
        content = {"values": [setting_value(word.strip()) for word in text.split(",") if word.strip()]}
    try:
        return Tried.model_validate(content)
    except ValidationError as error:
        raise from_validation(error, f"'{text}'") from error


def with_settings(base: RunSpec, chosen: dict[str, Any]) -> RunSpec:
    """The run with these settings, by dotted key. Raises UserError where they do not fit together."""
    content = base.model_dump(mode="json")
    for key, value in chosen.items():
        *parents, name = key.split(".")
        part = content
        for parent in parents:
            part = part[parent]
        part[name] = value
    return parse_spec(content, "What is to be tried")


def check_sweep(base: RunSpec, plan: SweepSpec) -> None:
    """Raises UserError where a setting cannot be tried or a combination of values makes no run."""
    for key, tried in plan.fields.items():
        if key not in SETTINGS:
            full_key(key)
        require_triable(key)
        if not tried.values and SETTINGS[key].type not in (int, float):
            raise UserError(f"{key} is no number, so it has no range.", key, "Give a list of values.")
    loss = [key for key in plan.fields if key in CHANGES_THE_LOSS]
    if loss and not is_greater_better(metric_of(base)):
        raise UserError(
            f"Runs cannot be compared by their loss where {loss[0]} differs: it changes what the loss is.",
            loss[0],
            "Choose another figure (training.best_metric), or leave that setting as it is.",
        )
    ends = [list(tried.values) or _ends(key, tried) for key, tried in plan.fields.items()]
    for combination in itertools.islice(itertools.product(*ends), MOST_CHECKED):
        with_settings(base, dict(zip(plan.fields, combination, strict=True)))
    if planned_trials(plan) < 2:
        raise UserError("That is one run, and nothing to compare it with.", "sweep", "Give two values or more.")


def _ends(key: str, tried: Tried) -> list[Any]:
    assert tried.low is not None and tried.high is not None
    return [as_setting(key, tried.low), as_setting(key, tried.high)]


def as_setting(key: str, value: float) -> float | int:
    """A number of a range as the setting takes it: whole, or with three digits that count."""
    return round(value) if SETTINGS[key].type is int else float(f"{value:.3g}")


def grid_values(key: str, tried: Tried, points: int) -> list[Any]:
    """The values of a grid: those of the list, or `points` evenly over the range, both ends among them."""
    if tried.values:
        return list(tried.values)
    assert tried.low is not None and tried.high is not None
    share = [number / (points - 1) for number in range(points)]
    if tried.log:
        ratio = math.log(tried.high / tried.low)
        found = [tried.low * math.exp(ratio * part) for part in share]
    else:
        found = [tried.low + (tried.high - tried.low) * part for part in share]
    return list(dict.fromkeys(as_setting(key, value) for value in found))


def planned_trials(plan: SweepSpec) -> int:
    """Runs at most. A search that knows an end ends when every combination was tried, whatever `trials` says."""
    combinations = math.prod(_count(key, tried, plan) for key, tried in plan.fields.items())
    asked = plan.trials or (combinations if plan.search == "grid" else DRAWN_TRIALS)
    return min(asked, combinations)


def _count(key: str, tried: Tried, plan: SweepSpec) -> int:
    """How many values a setting can be tried with; of numbers with decimals more than anybody tries."""
    if tried.values or plan.search == "grid":
        return len(grid_values(key, tried, plan.points))
    assert tried.low is not None and tried.high is not None
    return round(tried.high) - round(tried.low) + 1 if SETTINGS[key].type is int else 1_000_000


def key_words(key: str) -> str:
    """`learning rate`, `LoRA rank`."""
    words = key.rpartition(".")[2].replace("_", " ")
    return f"LoRA {words}" if ".lora." in key else words


def value_words(value: Any) -> str:
    """`0.0003`, `on`, `empty`, `cosine`."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.6g}".replace("e-0", "e-") if isinstance(value, float) else str(value)


def settings_words(chosen: dict[str, Any]) -> str:
    """`learning rate 0.0003, batch size 16`."""
    return ", ".join(f"{key_words(key)} {value_words(value)}" for key, value in chosen.items())


def suggested_values(leaf: Setting, value: Any) -> list[Any]:
    """Values worth trying around the one that is set, made from the schema's choices and bounds; [] where none are."""
    if leaf.choices:
        return list(leaf.choices)
    if leaf.type is bool:
        return [False, True]
    if leaf.key == "training.epochs" and value is None:
        return [2.0, 3.0, 5.0]
    if leaf.type not in (int, float) or value is None:
        return []
    if leaf.unit == "layers":
        return [0, 2, 4]
    if leaf.key.endswith("seed"):
        return [value, value + 1, value + 2]
    if leaf.unit == "share" or value == 0:
        step = value or (leaf.maximum or 1) / 10
        around = [0.0, step, 2 * step]
    elif leaf.type is int or leaf.unit in ("epochs", "times"):
        around = [value / 2, value, value * 2]
    else:
        around = [value / 3, value, value * 3]
    rounded = [round(one) if leaf.type is int else float(f"{one:.1g}") if one != value else value for one in around]
    return list(dict.fromkeys(one for one in rounded if _is_inside(leaf, one)))


def _is_inside(leaf: Setting, value: float) -> bool:
    """Whether the schema takes the value: bounds may themselves be excluded."""
    part: Any = RunSpec
    *parents, name = leaf.key.split(".")
    for parent in parents:
        part = part.model_fields[parent].annotation
    try:
        part.__pydantic_validator__.validate_assignment(part.model_construct(), name, value)
    except ValidationError:
        return False
    return True
