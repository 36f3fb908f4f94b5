"""The forecast on the Model step and on Review: for which card, what it takes, and the button that makes it fit."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.errors import UserError
from core.runs.store import Store, open_store
from core.training.devices import CARD_SIZES, HERE, device_here
from core.workspace import Workspace
from ui.events import chosen_in_turn, fills, looks
from ui.forms import choice_words, empty_words, label, shown
from ui.new_run.data_html import problem_html
from ui.new_run.draft import SETTINGS, Draft, editing, read_draft, same
from ui.new_run.draft_plan import fit_of, plan_of, take_fit, undo_fit
from ui.new_run.memory_bar import forecast_html, verdict_of
from ui.new_run.probe_part import ProbePart, build_probe, connect_probe, probe_view, tried_of
from ui.new_run.source import PICK_SCRIPT

UNDO = "undo"
FORM = "the form of a new run"
"""What its choices and presses wait for each other by."""
WITHOUT_GPU = "This model needs an NVIDIA GPU, and this computer shows none. Choose a card to see what it takes there."


@dataclass(frozen=True)
class ForecastCard:
    box: gr.Column
    device: gr.Radio
    told: gr.HTML
    fit: gr.Button
    changed: gr.HTML
    """What the button changed, and the one that takes it back; or why nothing fits."""
    probe: ProbePart | None = None
    """On Review."""

    def components(self) -> list[Any]:
        return [self.box, self.device, *self.following()]

    def following(self) -> list[Any]:
        """What changes with each setting."""
        return [self.told, self.fit, self.changed, *(self.probe.components() if self.probe else [])]


def build_forecast(step: str, *, probe: bool = False) -> ForecastCard:
    with gr.Column(elem_classes="card forecast", elem_id=f"forecast-{step}") as box:
        gr.HTML("<h3>Memory and time</h3>", apply_default_css=False)
        device = gr.Radio(
            [], label="On this computer, or on a card of", elem_classes="devices", elem_id=f"device-{step}"
        )
        told = gr.HTML(apply_default_css=False, elem_classes="forecast-told")
        fit = gr.Button("Make it fit", size="md", visible=False, elem_id=f"make-it-fit-{step}")
        changed = gr.HTML(apply_default_css=False, visible=False, js_on_load=PICK_SCRIPT, elem_id=f"fitted-{step}")
        tried = build_probe() if probe else None
    return ForecastCard(box, device, told, fit, changed, tried)


def forecast_view(workspace: Workspace, store: Store, card: ForecastCard, draft: Draft) -> dict[Any, Any]:
    """Everything, as when a step is entered."""
    return {
        card.box: gr.update(visible=True),
        card.device: gr.update(choices=device_choices(), value=draft.device),
        **following_view(workspace, store, card, draft),
    }


def following_view(
    workspace: Workspace, store: Store, card: ForecastCard, draft: Draft, refused: str = ""
) -> dict[Any, Any]:
    """refused: why nothing fits, where that was asked."""
    try:
        plan = plan_of(workspace, store, draft)
    except UserError as error:
        return {
            card.told: problem_html(error),
            card.fit: gr.update(visible=False),
            card.changed: gr.update(visible=False),
            **({card.probe.box: gr.update(visible=False)} if card.probe else {}),
        }
    if plan.lacks_gpu:
        return {
            card.told: f'<p class="verdict unknown" role="status">{WITHOUT_GPU}</p>',
            card.fit: gr.update(visible=False),
            card.changed: gr.update(visible=False),
            **({card.probe.box: gr.update(visible=False)} if card.probe else {}),
        }
    memory, device = plan.forecast.memory, plan.forecast.device
    fits = memory is None or verdict_of(memory, device) == "fits"
    probed = tried_of(workspace, draft)
    said = f'<p class="refused" role="status">{escape(refused)}</p>' if refused else fitted_html(draft)
    return {
        card.told: forecast_html(plan.forecast, plan.is_here, plan.words, plan.others),
        card.fit: gr.update(visible=not fits or (probed is not None and not probed.fits)),
        card.changed: gr.update(value=said, visible=bool(said)),
        **(probe_view(workspace, card.probe, draft) if card.probe else {}),
    }


def device_choices() -> list[tuple[str, str]]:
    """This computer's own first: (what the page says, what core.training.devices calls it)."""
    here = device_here()
    what = here.name if here.kind == "cuda" else "no GPU"
    return [(f"This computer ({what})", HERE), *((f"{size} GB", f"{size}GB") for size in CARD_SIZES)]


def fitted_html(draft: Draft) -> str:
    """What "Make it fit" changed and is still so."""
    items = "".join(
        f"<li><b>{escape(label(SETTINGS[change['key']]))}</b> {_value(change['key'], change['before'])} → "
        f"<b>{_value(change['key'], change['after'])}</b> <span>{escape(change['words'])}</span></li>"
        for change in draft.fit
        if same(draft.get(change["key"]), change["after"]) and change["key"] not in draft.raw
    )
    if not items:
        return ""
    return (
        '<div class="fitted" role="status"><strong>Changed so that it fits</strong>'
        f'<button type="button" data-key="{UNDO}">Undo</button><ul>{items}</ul></div>'
    )


def _value(key: str, value: Any) -> str:
    setting = SETTINGS[key]
    said = shown(setting, value)
    words = {True: "on", False: "off"}.get(said) if isinstance(said, bool) else choice_words(str(said))
    return escape(words or empty_words(setting))


def connect_forecast(
    workspace: Workspace,
    card: ForecastCard,
    draft_id: gr.Textbox,
    refresh: Callable[[Draft], dict[Any, Any]],
    outputs: list[Any],
) -> None:
    """refresh: the whole step from the draft, into `outputs`, among them the card's own."""
    store = open_store(workspace)

    def choose(draft_id: str, device: str) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            draft.device = device
        return following_view(workspace, store, card, draft)

    def make_fit(draft_id: str) -> dict[Any, Any]:
        draft = read_draft(store, draft_id)
        try:
            plan = plan_of(workspace, store, draft)
            probed = tried_of(workspace, draft)
            fit = fit_of(probed.corrected(plan) if probed else plan)
        except UserError:  # said in place of the forecast
            return refresh(draft)
        if fit is None or not fit.fits or not fit.changes:
            words = fit.words if fit is not None else "The sizes of this model are not known."
            return following_view(workspace, store, card, draft, words)
        with editing(store, draft_id) as draft:
            take_fit(draft, fit)
        return refresh(draft)

    def undo(draft_id: str) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            undo_fit(draft)
        return refresh(draft)

    if card.probe is not None:
        connect_probe(
            workspace, card.probe, draft_id, lambda draft: following_view(workspace, store, card, draft),
            card.following(),
        )  # fmt: skip
    card.device.input(choose, [draft_id, card.device], card.following(), **chosen_in_turn(FORM))
    fills(card.fit.click, make_fit, draft_id, outputs, **looks(FORM))
    fills(card.changed.click, undo, draft_id, outputs, **looks(FORM))
