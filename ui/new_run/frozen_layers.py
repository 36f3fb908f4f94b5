"""The Model step's slider for frozen layers, and what they come to, below it, while it is moved.

Where it is not known how many layers a model has, a field for the number takes the slider's place.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.spec_settings import Setting
from core.workspace import Workspace
from ui.forms import Field, build_field, label, shown
from ui.new_run.draft import SETTINGS, Draft
from ui.new_run.frozen_words import Frozen, frozen_html, frozen_of

LAYERS = "model.frozen_layers"
CHOOSE = "model.choose_frozen_layers"
MOST = 12
"""Of a slider that no model has filled yet."""


@dataclass(frozen=True)
class FrozenLayers:
    row: gr.Row
    """Slider and switch."""
    slider: gr.Slider
    number: gr.components.Component
    """In place of the slider."""
    told: gr.HTML

    def components(self) -> list[Any]:
        return [self.row, self.slider, self.number, self.told]


def build_frozen_layers(leaves: dict[str, Setting], fields: dict[str, Field]) -> FrozenLayers:
    """Adds the fields of LAYERS and CHOOSE to `fields`."""
    with gr.Row(elem_classes="fields", elem_id="frozen-layers", visible=False) as row:
        fields[LAYERS] = build_field(leaves[LAYERS])
        fields[CHOOSE] = build_field(leaves[CHOOSE])
    with fields[LAYERS].box:
        slider = gr.Slider(
            0, MOST, step=1, label=label(leaves[LAYERS]), info=leaves[LAYERS].description, elem_id="frozen-slider",
            buttons=[],
        )  # fmt: skip
    told = gr.HTML(apply_default_css=False, visible=False, elem_id="frozen-told")
    return FrozenLayers(row, slider, fields[LAYERS].input, told)


def frozen_view(workspace: Workspace, step: FrozenLayers, draft: Draft) -> dict[Any, Any]:
    """Slider or number, and what is said of it, from the draft."""
    frozen = frozen_of(workspace, draft)
    has_slider = frozen is not None and frozen.known.layers is not None
    view: dict[Any, Any] = {
        step.row: gr.update(visible=frozen is not None and frozen.model.method == "freeze"),
        step.slider: gr.update(visible=has_slider),
        step.number: gr.update(
            value=draft.raw.get(LAYERS, shown(SETTINGS[LAYERS], draft.get(LAYERS))),
            visible=not has_slider,
            interactive=frozen is None or not frozen.is_chosen,
        ),
        step.told: told_view(frozen),
    }
    if frozen is not None and frozen.known.layers is not None:
        view[step.slider] = gr.update(
            visible=True,
            maximum=frozen.known.layers,
            value=min(frozen.layers or 0, frozen.known.layers),
            interactive=not frozen.is_chosen,
        )
    return view


def told_view(frozen: Frozen | None) -> Any:
    """What the frozen layers come to; nothing where none are."""
    if frozen is None:
        return gr.update(value="", visible=False)
    return gr.update(value=frozen_html(frozen), visible=True)
