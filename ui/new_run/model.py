"""Step 2, Model: a preset, and the settings that differ from it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from core.models.source import Source
from core.presets import load_presets
from core.runs.store import Store, open_store
from core.workspace import Workspace
from ui.events import PRIVATE, chosen_in_turn, fills, looks, presses
from ui.forms import Field, build_field, field_updates, label, note_update, read_value, shown
from ui.new_run.cards import availability, cards_html
from ui.new_run.draft import (
    SETTINGS,
    Draft,
    changed_keys,
    choose_preset,
    editing,
    keep,
    misfit,
    read_draft,
    unfit,
    usual,
)
from ui.new_run.fitting import METHOD, ONLY_WITH, has_meaning, method_choices
from ui.new_run.forecast_card import (
    FORM,
    ForecastCard,
    build_forecast,
    connect_forecast,
    following_view,
    forecast_view,
)
from ui.new_run.frozen_layers import CHOOSE, LAYERS, FrozenLayers, build_frozen_layers, frozen_view, told_view
from ui.new_run.frozen_words import frozen_of
from ui.new_run.preset_forecasts import preset_forecasts
from ui.new_run.source import PICK_SCRIPT
from ui.sidebar import Machine

PARTS = ("model.", "training.", "evaluation.")
FOLLOWS_THE_PRESET = "model.family"
FIRST = ("model.method", LAYERS, CHOOSE, "model.lora.rank", "model.lora.alpha")
"""What is trained, and how much of it."""
SEARCH = """(text) => {
  const wanted = text.trim().toLowerCase();
  document.querySelectorAll('#all-settings .field').forEach((field) => {
    field.style.display = field.innerText.toLowerCase().includes(wanted) ? '' : 'none';
  });
  return text;
}"""


@dataclass(frozen=True)
class ModelStep:
    cards: gr.HTML
    said: gr.HTML
    fields: dict[str, Field]
    frozen: FrozenLayers
    forecast: ForecastCard
    search: gr.Textbox
    fold: gr.Accordion
    foot_status: gr.HTML
    back: gr.Button
    next: gr.Button

    def components(self) -> list[Any]:
        parts = [part for field in self.fields.values() for part in (field.box, *field.parts())]
        frozen = [self.frozen.row, self.frozen.slider, self.frozen.told]
        told = self.forecast.components()
        return [self.cards, self.said, self.fold, self.foot_status, self.next, *frozen, *told, *parts]


def build_model() -> ModelStep:
    leaves = {key: leaf for key, leaf in SETTINGS.items() if key.startswith(PARTS) and key != FOLLOWS_THE_PRESET}
    essential = [key for key, leaf in leaves.items() if leaf.essential and key not in FIRST and key != "model.source"]
    advanced = [key for key in leaves if key not in (*FIRST, *essential, "model.source")]
    fields: dict[str, Field] = {}
    with gr.Column(elem_classes="card"):
        gr.HTML("<h2>What shall it start from?</h2>", apply_default_css=False, elem_classes="lead")
        cards = gr.HTML(apply_default_css=False, js_on_load=PICK_SCRIPT, elem_id="presets")
        said = gr.HTML(apply_default_css=False, visible=False, elem_id="preset-said")
    with gr.Column(elem_classes="card", elem_id="essential"):
        gr.HTML("<h3>The settings that matter</h3>", apply_default_css=False)
        fields[METHOD] = build_field(leaves[METHOD], radio=True)
        frozen = build_frozen_layers(leaves, fields)
        with gr.Row(elem_classes="fields"):
            for key in (*(key for key in FIRST if key not in fields), *essential):
                fields[key] = build_field(leaves[key])
        fields["model.source"] = build_field(leaves["model.source"])
    forecast = build_forecast("model")
    with gr.Accordion("All settings", open=False, elem_classes="card fold", elem_id="all-settings") as fold:
        search = gr.Textbox(placeholder="Search the settings", show_label=False, max_lines=1, elem_id="search-settings")
        with gr.Row(elem_classes="fields"):
            for key in advanced:
                fields[key] = build_field(leaves[key])
    with gr.Row(elem_classes="foot"):
        status = gr.HTML(apply_default_css=False, elem_id="model-status")
        back = gr.Button("Back", min_width=90, elem_id="back-to-data")
        onward = gr.Button("Review →", variant="primary", min_width=150, elem_id="to-review")
    return ModelStep(cards, said, fields, frozen, forecast, search, fold, status, back, onward)


def model_view(workspace: Workspace, store: Store, step: ModelStep, draft: Draft, cards: str) -> dict[Any, Any]:
    """New values for every field, from the draft."""
    updates: dict[Any, Any] = {step.cards: cards, step.said: gr.update(value="", visible=False)}
    for key, field in step.fields.items():
        given = draft.raw.get(key, shown(field.setting, draft.get(key)))
        values = field_updates(field.setting, given, usual(draft, key), _problem(draft, key))
        updates |= dict(zip(field.parts(), values, strict=True))
    updates |= frozen_view(workspace, step.frozen, draft) | forecast_view(workspace, store, step.forecast, draft)
    return updates | _method_view(step, draft) | _count_view(step, draft)


def _problem(draft: Draft, key: str) -> str:
    if key not in draft.raw:
        return ""
    try:
        read_value(SETTINGS[key], draft.raw[key])
    except UserError as error:
        return error.what
    return ""


def _method_view(step: ModelStep, draft: Draft) -> dict[Any, Any]:
    """The methods of the model's family, the fields that mean something with this one, and where the step leads."""
    boxes = {step.fields[key].box: gr.update(visible=has_meaning(draft, key)) for key in ONLY_WITH}
    onward = gr.update(value="Prompt →" if draft.task == "answer" else "Review →")
    return boxes | {step.fields[METHOD].input: method_choices(draft), step.next: onward}


def _count_view(step: ModelStep, draft: Draft) -> dict[Any, Any]:
    """How many settings differ from the preset, in the fold's title and beside the button."""
    changed = [key for key in changed_keys(draft) if key in step.fields]
    folded = [key for key in changed if not SETTINGS[key].essential]
    wrong = [label(SETTINGS[key]) for key in draft.raw if key in step.fields]
    said = f"{len(changed)} setting{'s' if len(changed) != 1 else ''} changed from the preset" if changed else ""
    if unfit(draft):
        said = f'<span class="bad">{unfit(draft)}</span>'
    if wrong:
        said = f'<span class="bad">Put right first: {", ".join(wrong)}.</span>'
    return {
        step.fold: gr.update(label=f"All settings ({len(folded)} changed)" if folded else "All settings"),
        step.foot_status: said,
    }


class Presets:
    """The presets, and where their models were found; asked again when the Model step is opened."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._found: dict[str, Source | UserError] = {}

    def cards(self, workspace: Workspace, draft: Draft, *, checking: bool = False) -> str:
        presets = list(load_presets().values())
        forecasts = preset_forecasts(workspace, open_store(workspace), draft, presets)
        said = {preset.name: misfit(draft.kind, preset.model.family, preset.model.method) for preset in presets}
        return cards_html(
            presets, draft.spec["preset"], self._found, has_gpu=self._machine.has_gpu(), checking=checking,
            misfits={name: why for name, why in said.items() if why}, forecasts=forecasts,
        )  # fmt: skip

    def look(self) -> None:
        """Look for every model that was not found yet; all at once, since a hub that does not answer takes seconds."""
        wanted = [preset for preset in load_presets().values() if not isinstance(self._found.get(preset.name), Source)]
        if not wanted:
            return
        has_gpu = self._machine.has_gpu()
        with ThreadPoolExecutor(max_workers=len(wanted)) as threads:
            answers = threads.map(lambda preset: availability(preset, has_gpu), wanted)
            self._found |= {preset.name: answer for preset, answer in zip(wanted, answers, strict=True)}


def connect_model(
    workspace: Workspace, step: ModelStep, draft_id: gr.Textbox, presets: Presets, then: dict[str, Any]
) -> Callable[[str], dict[Any, Any]]:
    """Wire the step's events; `then` follows where another preset or method is chosen.

    Returns the function that looks for the presets' models and fills the cards.
    """
    store = open_store(workspace)

    def pick(draft_id: str, event: gr.EventData) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            lost = choose_preset(draft, event.key)
        view = model_view(workspace, store, step, draft, presets.cards(workspace, draft))
        if lost:
            names = ", ".join(label(SETTINGS[key]) for key in lost)
            told = f'<p class="quiet" role="status">Settings are the preset\'s again: {names}.</p>'
            view |= {step.said: gr.update(value=told, visible=True)}
        return view

    def look(draft_id: str) -> dict[Any, Any]:
        presets.look()
        return {step.cards: presets.cards(workspace, read_draft(store, draft_id))}

    def refresh(draft: Draft) -> dict[Any, Any]:
        return model_view(workspace, store, step, draft, presets.cards(workspace, draft))

    fills(step.cards.click, pick, draft_id, step.components(), **presses(FORM)).then(**then)
    connect_forecast(workspace, step.forecast, draft_id, refresh, step.components())
    step.search.input(None, step.search, None, js=SEARCH, **PRIVATE)
    for key, field in step.fields.items():
        changed = _connect_field(workspace, step, draft_id, key, field)
        if key == METHOD:
            for event in changed:
                event.then(**then)
    _connect_slider(workspace, step, draft_id)
    return look


def _connect_field(workspace: Workspace, step: ModelStep, draft_id: gr.Textbox, key: str, field: Field) -> list[Any]:
    """Returns the events of a change and a reset."""
    store = open_store(workspace)
    outputs = [field.note, field.input, step.fold, step.foot_status, step.frozen.row, step.frozen.slider]
    outputs += [step.frozen.told, *([step.frozen.number] if key != LAYERS else []), *step.forecast.following()]
    if key == METHOD:
        outputs += [step.next, *(step.fields[name].box for name in ONLY_WITH)]

    def seen(draft: Draft) -> dict[Any, Any]:
        view = frozen_view(workspace, step.frozen, draft) | _count_view(step, draft)
        view |= following_view(workspace, store, step.forecast, draft)
        # Of the field itself only its value changes, and that only where it is reset.
        view = {component: value for component, value in view.items() if component is not field.input}
        return view | (_method_view(step, draft) if key == METHOD else {})

    def change(draft_id: str, given: Any) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            problem = keep(draft, key, given)
        return {field.note: note_update(field.setting, given, usual(draft, key), problem)} | seen(draft)

    def reset(draft_id: str) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            draft.raw.pop(key, None)
            draft.put(key, usual(draft, key))
        values = field_updates(field.setting, shown(field.setting, usual(draft, key)), usual(draft, key))
        return dict(zip(field.parts(), values, strict=True)) | seen(draft)

    # Not when a field is left as well: that could come after a reset and undo it.
    return [
        field.input.input(change, [draft_id, field.input], outputs, **chosen_in_turn(FORM)),
        field.note.click(reset, draft_id, outputs, **looks(FORM)),
    ]


def _connect_slider(workspace: Workspace, step: ModelStep, draft_id: gr.Textbox) -> None:
    store, field, slider = open_store(workspace), step.fields[LAYERS], step.frozen.slider

    def move(draft_id: str, given: float | None) -> dict[Any, Any]:
        typed = "" if given is None else str(round(given))
        with editing(store, draft_id) as draft:
            problem = keep(draft, LAYERS, typed)
        return {
            field.note: note_update(field.setting, typed, usual(draft, LAYERS), problem),
            step.frozen.told: told_view(frozen_of(workspace, draft)),
            **_count_view(step, draft),
            **following_view(workspace, store, step.forecast, draft),
        }

    outputs = [field.note, step.frozen.told, step.fold, step.foot_status, *step.forecast.following()]
    slider.input(move, [draft_id, slider], outputs, **chosen_in_turn(FORM))
