"""The New run screen: a walkthrough from the data to the review, over one draft that the address names."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.runs.store import Store, open_store
from core.workspace import Workspace, new_id
from ui.new_run.data import build_data, checked, connect_data
from ui.new_run.data_html import problem_html
from ui.new_run.data_view import DataStep, data_view
from ui.new_run.draft import Draft, editing, read_draft
from ui.new_run.model import ModelStep, Presets, build_model, connect_model, model_view
from ui.new_run.parts import PRIVATE
from ui.new_run.review import ReviewStep, build_review, connect_review
from ui.new_run.source import take_sample
from ui.sidebar import Machine

ADDRESS = "(draft) => { history.replaceState(null, '', '/?draft=' + draft); return draft; }"
ADDRESS_OF_SAMPLE = (
    "(draft) => { if (location.search.includes('sample=')) history.replaceState(null, '', '/?draft=' + draft);"
    " return draft; }"
)
TOP = "() => { window.scrollTo({top: 0}); return []; }"
KEEP_TOP = "(draft) => { window.scrollTo({top: 0}); return draft; }"
DATA, MODEL, REVIEW = 1, 2, 3


@dataclass(frozen=True)
class Screen:
    draft_id: gr.Textbox
    """Holds the draft's id in the browser, so that it outlives the server."""
    walk: gr.Walkthrough
    tabs: tuple[gr.Step, gr.Step, gr.Step]
    data: DataStep
    model: ModelStep
    review: ReviewStep


def build_new_run(workspace: Workspace, machine: Machine) -> None:
    """Build the screen in the current Blocks; it shows the draft of the address (`?draft=ID`), or a new one.

    `?sample=KEY` opens a sample in a new draft.
    """
    gr.HTML("<h1>New run</h1>", apply_default_css=False, elem_id="new-run-title")
    draft_id = gr.Textbox(visible=False)
    with gr.Walkthrough(selected=DATA, elem_id="new-run") as walk:
        with gr.Step("Data", id=DATA) as data_tab:
            data = build_data()
        with gr.Step("Model", id=MODEL, interactive=False) as model_tab:
            model = build_model()
        with gr.Step("Review", id=REVIEW, interactive=False) as review_tab:
            review = build_review()
    screen = Screen(draft_id, walk, (data_tab, model_tab, review_tab), data, model, review)
    _connect(workspace, screen, Presets(machine))


def _connect(workspace: Workspace, screen: Screen, presets: Presets) -> None:
    store, draft_id = open_store(workspace), screen.draft_id
    later = list(screen.tabs[1:])
    seen = checked(screen.data, later)
    check = connect_data(
        workspace, screen.data, draft_id, later,
        {"fn": None, "inputs": draft_id, "outputs": None, "js": ADDRESS, **PRIVATE},
    )  # fmt: skip

    def opened(request: gr.Request) -> dict[Any, Any]:
        return _open(workspace, store, screen, dict(request.query_params))

    def resume(draft_id: str, request: gr.Request) -> Any:
        """A reload opens the step that was open."""
        if not request.query_params.get("draft"):
            return gr.skip()
        return gr.Walkthrough(selected=read_draft(store, draft_id).step)

    def leave_data(draft_id: str) -> dict[Any, Any]:
        """On to the model, unless something must be put right first."""
        shown = check(draft_id)
        ready = all(shown[step].interactive for step in later)
        return shown | ({screen.walk: gr.Walkthrough(selected=MODEL)} if ready else {})

    loaded = Context.root_block.load(opened, None, [draft_id, *screen.data.components()], **PRIVATE)
    loaded.then(None, draft_id, None, js=ADDRESS_OF_SAMPLE, **PRIVATE)
    loaded.then(check, draft_id, seen, **PRIVATE).then(resume, draft_id, screen.walk, **PRIVATE)
    screen.data.next.click(leave_data, draft_id, [*seen, screen.walk], js=KEEP_TOP, **PRIVATE)
    _connect_steps(workspace, store, screen, presets)


def _connect_steps(workspace: Workspace, store: Store, screen: Screen, presets: Presets) -> None:
    """Fill a step when it is entered; the buttons that lead from one to another."""
    draft_id, (data_tab, model_tab, review_tab) = screen.draft_id, screen.tabs
    look_for_models = connect_model(workspace, screen.model, draft_id, presets)
    show_review, look_for_model = connect_review(workspace, screen.review, draft_id)

    def enter_data(draft_id: str) -> None:
        _at(store, draft_id, DATA)

    def enter_model(draft_id: str) -> dict[Any, Any]:
        draft = _at(store, draft_id, MODEL)
        return model_view(screen.model, draft, presets.cards(draft.spec["preset"], checking=True))

    def enter_review(draft_id: str) -> dict[Any, Any]:
        _at(store, draft_id, REVIEW)
        return show_review(draft_id)

    data_tab.select(enter_data, draft_id, None, **PRIVATE)
    model_tab.select(enter_model, draft_id, screen.model.components(), **PRIVATE).then(
        look_for_models, draft_id, screen.model.cards, **PRIVATE
    )
    review_tab.select(enter_review, draft_id, screen.review.components(), **PRIVATE).then(
        look_for_model, draft_id, [screen.review.model, screen.review.start], **PRIVATE
    )
    for button, step in (
        (screen.model.next, REVIEW), (screen.model.back, DATA), (screen.review.back, MODEL),
    ):  # fmt: skip
        button.click(lambda step=step: gr.Walkthrough(selected=step), None, screen.walk, js=TOP, **PRIVATE)


def _open(workspace: Workspace, store: Store, screen: Screen, asked: dict[str, str]) -> dict[Any, Any]:
    """The whole form as the draft of the address has it, or as a new draft."""
    draft_id, problem = asked.get("draft") or new_id(), None
    try:
        workspace.run(draft_id)  # a draft's id has the same form as a run's
    except UserError:
        draft_id = new_id()
    try:
        sample = asked.get("sample")
        draft = take_sample(workspace, store, draft_id, sample) if sample else read_draft(store, draft_id)
    except UserError as error:
        draft, problem = read_draft(store, draft_id), error
    shown = {screen.draft_id: draft_id, **data_view(workspace, screen.data, draft)}
    if problem is not None:
        shown[screen.data.problem] = gr.update(value=problem_html(problem), visible=True)
    return shown


def _at(store: Store, draft_id: str, step: int) -> Draft:
    """The draft, with the open step remembered; a form without data is no draft yet."""
    draft = read_draft(store, draft_id)
    if draft.spec["data"].get("train"):
        with editing(store, draft_id) as draft:
            draft.step = step
    return draft
