"""What each preset would take with the draft's data, in a few words, for its card."""

from dataclasses import replace

from core.durations import rough
from core.errors import UserError
from core.presets import Preset
from core.runs.store import Store
from core.training.device_now import Here, device_now
from core.training.devices import CARD_SIZES, HERE
from core.workspace import Workspace
from ui.new_run.draft import Draft
from ui.new_run.draft_plan import Plan, fit_of, preset_plan
from ui.new_run.memory_bar import gigabytes, place, verdict_of


def preset_forecasts(
    workspace: Workspace, store: Store, draft: Draft, presets: list[Preset]
) -> dict[str, tuple[str, bool]]:
    """By name, of those that are known: words, and whether it fits the device that the forecast is made for."""
    here, found = device_now(store), {}
    for preset in presets:
        try:
            if preset.needs_gpu and draft.device == HERE and here.device.kind == "cpu":
                found[preset.name] = _smallest_card(workspace, store, draft, preset, here), True
            else:
                found[preset.name] = _words(preset_plan(workspace, store, draft, preset, here))
        except UserError:  # said on the card: it cannot learn these labels
            continue
    return {name: told for name, told in found.items() if told[0]}


def _words(plan: Plan) -> tuple[str, bool]:
    memory, device = plan.forecast.memory, plan.forecast.device
    if memory is None:
        return "", True
    takes = f"{gigabytes(memory.bytes)} of memory{_time_words(plan)}"
    if verdict_of(memory, device) != "too much":
        return takes, True
    fit = fit_of(plan)
    more = f"{gigabytes(memory.bytes - device.free_bytes)} more than {place(device, plan.is_here)} has free"
    if fit is None or not fit.fits:
        return f"{takes}, {more}. A smaller model fits.", False
    return f"{takes}, {more}. Make it fit brings it to {gigabytes(fit.forecast.bytes)}.", False


def _time_words(plan: Plan) -> str:
    return "" if plan.forecast.seconds is None else f" · about {rough(plan.forecast.seconds)}"


def _smallest_card(workspace: Workspace, store: Store, draft: Draft, preset: Preset, here: Here) -> str:
    """Where this computer has no GPU: what it would need."""
    for size in CARD_SIZES:
        plan = preset_plan(workspace, store, replace(draft, device=f"{size}GB"), preset, here)
        memory = plan.forecast.memory
        if memory is not None and verdict_of(memory, plan.forecast.device) == "fits":
            return f"{gigabytes(memory.bytes)} of memory on a GPU: a card of {size} GB is enough"
    return ""
