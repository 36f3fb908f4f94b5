"""The New run screen: a walkthrough from the data to the review, over one draft that the address names."""

from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.runs.store import open_store
from core.workspace import Workspace, new_id
from ui.new_run.data import build_data, checked, connect_data
from ui.new_run.data_view import data_view
from ui.new_run.draft import editing, read_draft
from ui.new_run.model import Presets, build_model, connect_model, model_view
from ui.new_run.parts import PRIVATE
from ui.new_run.review import build_review, connect_review
from ui.sidebar import Machine

ADDRESS = "(draft) => { history.replaceState(null, '', '/?draft=' + draft); return draft; }"
TOP = "() => { window.scrollTo({top: 0}); return []; }"
KEEP_TOP = "(draft) => { window.scrollTo({top: 0}); return draft; }"
DATA, MODEL, REVIEW = 1, 2, 3


def build_new_run(workspace: Workspace, machine: Machine) -> None:
    """Build the screen in the current Blocks; it shows the draft of the address (`?draft=ID`), or a new one."""
    store = open_store(workspace)
    presets = Presets(machine)
    draft_id = gr.Textbox(visible=False)
    gr.HTML("<h1>New run</h1>", apply_default_css=False, elem_id="new-run-title")
    with gr.Walkthrough(selected=DATA, elem_id="new-run") as walk:
        with gr.Step("Data", id=DATA) as data_tab:
            data = build_data()
        with gr.Step("Model", id=MODEL, interactive=False) as model_tab:
            model = build_model()
        with gr.Step("Review", id=REVIEW, interactive=False) as review_tab:
            review = build_review()
    later = [model_tab, review_tab]
    keep_address: dict[str, Any] = {"fn": None, "inputs": draft_id, "outputs": None, "js": ADDRESS, **PRIVATE}
    check = connect_data(workspace, data, draft_id, later, keep_address)
    look_for_models = connect_model(workspace, model, draft_id, presets)
    show_review, look_for_model = connect_review(workspace, review, draft_id)

    def opened(request: gr.Request) -> dict[Any, Any]:
        """The whole form as the draft has it."""
        asked = request.query_params.get("draft") or new_id()
        try:
            workspace.run(asked)  # the same form as a run's id
        except UserError:
            asked = new_id()
        draft = read_draft(store, asked)
        return {draft_id: asked, **data_view(workspace, data, draft)}

    def enter_model(draft_id: str) -> dict[Any, Any]:
        draft = _at(draft_id, MODEL)
        return model_view(model, draft, presets.cards(draft.spec["preset"], checking=True))

    def enter_review(draft_id: str) -> dict[Any, Any]:
        _at(draft_id, REVIEW)
        return show_review(draft_id)

    def _at(draft_id: str, step: int) -> Any:
        """Remember the open step; a form without data is no draft yet."""
        draft = read_draft(store, draft_id)
        if draft.spec["data"].get("train"):
            with editing(store, draft_id) as draft:
                draft.step = step
        return draft

    def resume(draft_id: str, request: gr.Request) -> Any:
        """A reload opens the step that was open."""
        return (
            gr.Walkthrough(selected=read_draft(store, draft_id).step)
            if request.query_params.get("draft")
            else gr.skip()
        )

    def leave_data(draft_id: str) -> dict[Any, Any]:
        """On to the model, unless something must be put right first."""
        shown = check(draft_id)
        ready = all(shown[step].interactive for step in later)
        return shown | ({walk: gr.Walkthrough(selected=MODEL)} if ready else {})

    def go(step: int) -> Any:
        return lambda: gr.Walkthrough(selected=step)

    seen = checked(data, later)
    Context.root_block.load(opened, None, [draft_id, *data.components()], **PRIVATE).then(
        check, draft_id, seen, **PRIVATE
    ).then(resume, draft_id, walk, **PRIVATE)
    model_tab.select(enter_model, draft_id, model.components(), **PRIVATE).then(
        look_for_models, draft_id, model.cards, **PRIVATE
    )
    review_tab.select(enter_review, draft_id, review.components(), **PRIVATE).then(
        look_for_model, draft_id, [review.model, review.start], **PRIVATE
    )
    data_tab.select(lambda draft_id: _at(draft_id, DATA) and None, draft_id, None, **PRIVATE)
    data.next.click(leave_data, draft_id, [*seen, walk], js=KEEP_TOP, **PRIVATE)
    model.next.click(go(REVIEW), None, walk, js=TOP, **PRIVATE)
    model.back.click(go(DATA), None, walk, js=TOP, **PRIVATE)
    review.back.click(go(MODEL), None, walk, js=TOP, **PRIVATE)
