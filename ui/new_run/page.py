"""The New run screen: a walkthrough from the data to the review, over one draft that the address names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.runs.store import Store, open_store
from core.workspace import Workspace, new_id
from ui.events import PRIVATE
from ui.new_run.data import build_data, checked, connect_data
from ui.new_run.data_html import problem_html
from ui.new_run.data_view import DataStep, data_view
from ui.new_run.draft import Draft, editing, read_draft
from ui.new_run.model import ModelStep, Presets, build_model, connect_model, model_view
from ui.new_run.prompt import build_prompt_step, connect_prompt
from ui.new_run.prompt_view import PromptStep, Tokenizers
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
# The style sheet hides a step that is not filled: what is typed or pressed in it would be overwritten.
FILLING = (
    "(draft) => { for (const step of ['Model', 'Prompt', 'Review']) delete document.body.dataset['filled' + step];"
    " return draft; }"
)
FILLED = "() => { document.body.dataset.filled%s = ''; return []; }"
DATA, MODEL, PROMPT, REVIEW = 1, 2, 3, 4


@dataclass(frozen=True)
class Screen:
    draft_id: gr.Textbox
    """Holds the draft's id in the browser, so that it outlives the server."""
    walk: gr.Walkthrough
    tabs: tuple[gr.Step, gr.Step, gr.Step, gr.Step]
    """Data, Model, Prompt, Review; Prompt is shown where a model answers in words."""
    data: DataStep
    model: ModelStep
    prompt: PromptStep
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
        with gr.Step("Model", id=MODEL, elem_id="step-model") as model_tab:
            model = build_model()
        with gr.Step("Prompt", id=PROMPT, elem_id="step-prompt") as prompt_tab:
            prompt = build_prompt_step()
        with gr.Step("Review", id=REVIEW, elem_id="step-review") as review_tab:
            review = build_review()
    tabs = (data_tab, model_tab, prompt_tab, review_tab)
    _connect(workspace, Screen(draft_id, walk, tabs, data, model, prompt, review), machine)


def _connect(workspace: Workspace, screen: Screen, machine: Machine) -> None:
    store, draft_id = open_store(workspace), screen.draft_id
    later = list(screen.tabs[1:])
    seen = checked(screen.data, later)
    check = connect_data(
        workspace, screen.data, draft_id, later,
        {"fn": None, "inputs": draft_id, "outputs": None, "js": ADDRESS, **PRIVATE},
    )  # fmt: skip

    def opened(request: gr.Request) -> dict[Any, Any]:
        return _open(workspace, store, screen, dict(request.query_params))

    def checked_then(draft_id: str, to: Callable[[Draft], int]) -> dict[Any, Any]:
        """On to a step behind the data, unless something must be put right first."""
        shown = check(draft_id)
        ready = all(shown[tab].interactive for tab in later)
        step = to(read_draft(store, draft_id))
        return shown | ({screen.walk: gr.Walkthrough(selected=step)} if ready else {})

    def resume(draft_id: str, request: gr.Request) -> Any:
        """A reload opens the step that was open; a draft that is new shows nothing that could be checked."""
        if "draft" in request.query_params:
            return checked_then(draft_id, _open_step)
        return check(draft_id) if "sample" in request.query_params else gr.skip()

    def leave_data(draft_id: str) -> dict[Any, Any]:
        return checked_then(draft_id, lambda _: MODEL)

    loaded = Context.root_block.load(opened, None, [draft_id, screen.walk, *screen.data.components()], **PRIVATE)
    loaded.then(None, draft_id, None, js=ADDRESS_OF_SAMPLE, **PRIVATE)
    loaded.then(resume, draft_id, [*seen, screen.walk], **PRIVATE)
    screen.data.next.click(leave_data, draft_id, [*seen, screen.walk], js=KEEP_TOP, **PRIVATE)
    _connect_steps(workspace, store, screen, machine)


def _connect_steps(workspace: Workspace, store: Store, screen: Screen, machine: Machine) -> None:
    """Fill a step when it is entered."""
    draft_id, (data_tab, model_tab, prompt_tab, review_tab) = screen.draft_id, screen.tabs
    presets, tokenizers = Presets(machine), Tokenizers()

    def ask_or_not(draft_id: str) -> Any:
        return _walk(read_draft(store, draft_id))

    then: dict[str, Any] = {"fn": ask_or_not, "inputs": draft_id, "outputs": screen.walk, **PRIVATE}
    look_for_models = connect_model(workspace, screen.model, draft_id, presets, then)
    show_prompt, look_at_row = connect_prompt(workspace, screen.prompt, draft_id, tokenizers)
    show_review, look_for_model = connect_review(workspace, screen.review, draft_id, machine, tokenizers)

    def enter_data(draft_id: str) -> None:
        _at(store, draft_id, DATA)

    def enter_model(draft_id: str) -> dict[Any, Any]:
        draft = _at(store, draft_id, MODEL)
        return model_view(workspace, store, screen.model, draft, presets.cards(workspace, draft, checking=True))

    def enter_prompt(draft_id: str) -> dict[Any, Any]:
        return show_prompt(_at(store, draft_id, PROMPT))

    def enter_review(draft_id: str) -> dict[Any, Any]:
        _at(store, draft_id, REVIEW)
        return show_review(draft_id)

    data_tab.select(enter_data, draft_id, None, js=FILLING, **PRIVATE)
    for tab, enter, filled, look, looked, name in (
        (model_tab, enter_model, screen.model.components(), look_for_models, [screen.model.cards], "Model"),
        (prompt_tab, enter_prompt, screen.prompt.components(), look_at_row, screen.prompt.seen(), "Prompt"),
        (review_tab, enter_review, screen.review.components(), look_for_model,
         [screen.review.model, screen.review.start], "Review"),
    ):  # fmt: skip
        entered = tab.select(enter, draft_id, filled, js=FILLING, **PRIVATE)
        entered.then(None, None, None, js=FILLED % name, **PRIVATE)
        entered.then(look, draft_id, looked, **PRIVATE)
    _connect_buttons(store, screen)


def _connect_buttons(store: Store, screen: Screen) -> None:
    """The buttons that lead from one step to another."""
    draft_id = screen.draft_id

    def between(step: int) -> Callable[[str], Any]:
        """To the prompt where one is asked for, else to `step`."""

        def go(draft_id: str) -> Any:
            draft = read_draft(store, draft_id)
            return _walk(draft, selected=PROMPT if draft.task == "answer" else step)

        return go

    for button, step in ((screen.model.next, REVIEW), (screen.review.back, MODEL)):
        button.click(between(step), draft_id, screen.walk, js=KEEP_TOP, **PRIVATE)
    for button, step in ((screen.model.back, DATA), (screen.prompt.back, MODEL), (screen.prompt.next, REVIEW)):
        button.click(lambda step=step: gr.Walkthrough(selected=step), None, screen.walk, js=TOP, **PRIVATE)


def _walk(draft: Draft, **also: Any) -> Any:
    """Whether the Prompt step is shown, by a class: a Step that is invisible makes Gradio's Walkthrough fail."""
    return gr.Walkthrough(elem_classes=["asks"] if draft.task == "answer" else [], **also)


def _open_step(draft: Draft) -> int:
    """The step that was open; another tab may have chosen a model without a prompt since."""
    return REVIEW if draft.step == PROMPT and draft.task != "answer" else draft.step


def draft_for(workspace: Workspace, store: Store, asked: str | None) -> str:
    """The draft of an address; a new one where it names none, or one that is a run by now: no second comes of it."""
    try:
        workspace.run(asked or "")  # a draft's id has the same form as a run's
    except UserError:
        return new_id()
    return new_id() if asked is None or store.run_of_draft(asked) else asked


def _open(workspace: Workspace, store: Store, screen: Screen, asked: dict[str, str]) -> dict[Any, Any]:
    """The whole form as the draft of the address has it, or as a new draft."""
    draft_id, problem = draft_for(workspace, store, asked.get("draft")), None
    try:
        sample = asked.get("sample")
        draft = take_sample(workspace, store, draft_id, sample) if sample else read_draft(store, draft_id)
    except UserError as error:
        draft, problem = read_draft(store, draft_id), error
    shown = {screen.draft_id: draft_id, screen.walk: _walk(draft)}
    shown |= data_view(workspace, screen.data, draft)
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
