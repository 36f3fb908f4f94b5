"""What the draft's run will take, on the computer's own device or on a chosen card, and what makes it fit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.data.amount import Amount
from core.data.examples import PARTS
from core.data.table import Table
from core.errors import UserError
from core.presets import Preset, wants_gpu
from core.runs.store import Store
from core.schema import RunSpec
from core.spec_files import parse_spec
from core.training.device_now import Here, device_asked
from core.training.devices import HERE
from core.training.fit import Fit, make_it_fit
from core.training.forecast import Forecast, forecast_run
from core.training.reading import amount_for
from core.workspace import Workspace
from ui.forms import label
from ui.new_run.draft import PRESET_PARTS, SETTINGS, Draft, missing, same, unfit
from ui.new_run.files import ROLES, open_role

CLASSES = 2
"""Assumed where the data are not known yet; one more makes about a thousand parameters among millions."""
STAND_IN: dict[str, dict[str, Any]] = {
    "single": {"text": ["text"], "label": "label"},
    "multi": {"text": ["text"], "label": "label"},
    "soft": {"text": ["text"], "label_columns": ["one", "another"]},
    "none": {"chat": {"conversation": "messages"}},
}
"""A mapping in place of one that is not complete yet."""


@dataclass(frozen=True)
class Plan:
    spec: RunSpec
    amount: Amount
    forecast: Forecast
    words: tuple[str, ...]
    """What is taken for granted."""
    is_here: bool
    """Whether the device is this computer's own."""
    others: str
    """Which other programs hold memory of the device, in words."""
    lacks_gpu: bool = False
    """Whether the device is a processor, and the preset's model is for GPUs."""


def tables_of(workspace: Workspace, draft: Draft) -> dict[str, Table]:
    return {role: table for role in ROLES if (table := open_role(workspace, draft, role)) is not None}


def plan_of(workspace: Workspace, store: Store, draft: Draft, here: Here | None = None) -> Plan:
    """Also of a draft that is not complete. here: this computer's device, where that was asked a moment ago.

    Raises UserError where the model cannot learn such labels, or the settings cannot stand beside each other.
    """
    if unfit(draft):
        raise UserError("This model cannot learn these labels.", "Model", unfit(draft))
    is_here, words = draft.device == HERE, []
    on = here if here and is_here else device_asked(draft.device, store)
    spec, amount = _with_data(workspace, draft)
    if amount is None:
        spec = spec or _stand_in(draft)
        amount = Amount(dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0), CLASSES)
        words.append(
            "The data is not complete yet: every text is taken to be as long as is read at most, "
            f"{spec.model.max_length:,} tokens."
        )
        forecast = forecast_run(store, spec, amount, on.device)
        if forecast.memory is not None:
            forecast = replace(forecast, seconds=None, words=())
    else:
        assert spec is not None
        forecast = forecast_run(store, spec, amount, on.device)
    wrong = [label(SETTINGS[key]) for key in draft.raw if key.startswith(("model.", "training."))]
    if wrong:
        words.append(f"With the last value that can be used of: {', '.join(wrong)}.")
    lacks_gpu = on.device.kind == "cpu" and wants_gpu(draft.spec["preset"], draft.get("model.source"))
    return Plan(spec, amount, forecast, tuple(words), is_here, on.others, lacks_gpu)


def _with_data(workspace: Workspace, draft: Draft) -> tuple[RunSpec | None, Amount | None]:
    if missing(draft):
        return None, None
    spec = parse_spec(draft.spec, "The form")
    try:
        return spec, amount_for(spec, tables_of(workspace, draft))
    except UserError:  # said where it is to be put right
        return spec, None


def _stand_in(draft: Draft) -> RunSpec:
    content: Mapping[str, Any] = draft.spec | {
        "data": {"train": {"path": "data.csv"}},
        "mapping": {"kind": draft.kind, **STAND_IN[draft.kind]},
        "split": {},
    }
    return parse_spec(dict(content), "The form")


def fit_of(plan: Plan) -> Fit | None:
    """None where the model's sizes are not known."""
    told = plan.forecast
    if told.workload is None or told.spec is None:
        return None
    return make_it_fit(told.spec, told.workload, told.device, told.usual_tokens)


def preset_plan(workspace: Workspace, store: Store, draft: Draft, preset: Preset, here: Here) -> Plan:
    """Of the draft's data with a preset as it comes. Raises UserError as `plan_of` does."""
    spec = draft.spec | {part: getattr(preset, part).model_dump(mode="json") for part in PRESET_PARTS}
    return plan_of(workspace, store, replace(draft, spec=spec, raw={}), here)


def take_fit(draft: Draft, fit: Fit) -> None:
    """Put its changes into the draft, and remember them with what was there before."""
    for change in fit.changes:
        draft.raw.pop(change.key, None)
        draft.put(change.key, change.after)
    draft.fit = [
        {"key": change.key, "before": change.before, "after": change.after, "words": change.words}
        for change in fit.changes
    ]


def undo_fit(draft: Draft) -> None:
    """What was changed by hand since stays."""
    for change in draft.fit:
        if same(draft.get(change["key"]), change["after"]) and change["key"] not in draft.raw:
            draft.put(change["key"], change["before"])
    draft.fit = []
