"""Review, folded: several settings tried as one group of runs. What is chosen is kept in the draft."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.data.findings import Finding
from core.durations import duration
from core.errors import UserError
from core.runs.store import Store, open_store
from core.runs.sweep_board import WHY_VALIDATION, estimated_seconds
from core.runs.sweeps import start_sweep
from core.schema import RunSpec
from core.sweep_spec import (
    FIXED,
    PARTS,
    SweepSpec,
    check_sweep,
    metric_of,
    parse_sweep,
    parse_values,
    planned_trials,
    suggested_values,
    value_words,
)
from core.workspace import Workspace
from ui.events import CHOSEN, GO, PRIVATE
from ui.forms import label
from ui.new_run.data_html import problem_html
from ui.new_run.draft import SETTINGS, Draft, editing, read_draft, spec_of
from ui.new_run.files import open_role
from ui.new_run.fitting import has_meaning
from ui.words import METRIC_WORDS

ROWS = 3
SEARCHES = [("Every combination", "grid"), ("By chance", "random"), ("Learning from the runs before", "tpe")]
LEAD = (
    f'<p class="quiet">Choose up to three settings and the values to try: a list (<code>16, 32</code>) or a range '
    f"(<code>1e-5..5e-4:log</code>). {WHY_VALIDATION}</p>"
)
Ready = Callable[[Draft], tuple[RunSpec, list[Finding]]]
"""The run as it would start, and what the checks found. Raises UserError where it cannot start."""


@dataclass(frozen=True)
class Several:
    fold: gr.Accordion
    keys: list[gr.Dropdown]
    values: list[gr.Textbox]
    search: gr.Radio
    most: gr.Textbox
    prune: gr.Checkbox
    told: gr.HTML
    start: gr.Button

    def components(self) -> list[Any]:
        return [self.fold, *self.keys, *self.values, self.search, self.most, self.prune, self.told, self.start]


def build_several() -> Several:
    keys, values = [], []
    with gr.Accordion("Try several settings", open=False, elem_classes="card fold", elem_id="several") as fold:
        gr.HTML(LEAD, apply_default_css=False)
        for number in range(ROWS):
            with gr.Row(elem_classes="tries"):
                keys.append(
                    gr.Dropdown([("Choose a setting", "")], value="", label=f"Setting {number + 1}", min_width=220)
                )
                values.append(
                    gr.Textbox(label="Values to try", max_lines=1, min_width=220, elem_id=f"several-values-{number}")
                )
        search = gr.Radio(SEARCHES, value="grid", label="How they are combined")
        with gr.Row(elem_classes="tries"):
            most = gr.Textbox(label="Runs at most", placeholder="all", max_lines=1, min_width=140)
            prune = gr.Checkbox(
                label="Stop hopeless runs early",
                info="Those behind half of the others at the same evaluation; each can be resumed.",
                min_width=220,
            )
        told = gr.HTML(apply_default_css=False, elem_classes="told", elem_id="several-told")
        with gr.Row(elem_classes="left"):
            start = gr.Button("Start the group", size="md", min_width=150, elem_id="start-several")
    return Several(fold, keys, values, search, most, prune, told, start)


def several_view(workspace: Workspace, store: Store, step: Several, draft: Draft, spec: RunSpec) -> dict[Any, Any]:
    """The part as the draft has it."""
    sweep = _sweep(draft)
    choices = [("Choose a setting", ""), *((label(SETTINGS[key]), key) for key in _offered(draft))]
    offered = {key for _, key in choices}
    shown: dict[Any, Any] = {step.fold: gr.update(visible=True)}
    for number, (key, text) in enumerate(sweep["rows"]):
        shown[step.keys[number]] = gr.update(choices=choices, value=key if key in offered else "")
        shown[step.values[number]] = text
    shown |= {step.search: sweep["search"], step.most: sweep["most"], step.prune: sweep["prune"]}
    return shown | told_view(workspace, store, step, draft, spec)


def told_view(workspace: Workspace, store: Store, step: Several, draft: Draft, spec: RunSpec) -> dict[Any, Any]:
    """How many runs that is and how long it takes; what is wrong with it."""
    if not any(key for key, _ in _sweep(draft)["rows"]):
        return {step.told: "", step.start: gr.update(interactive=False, value="Start the group")}
    try:
        plan = plan_of(draft)
        check_sweep(spec, plan)
    except UserError as error:
        told = f'<p class="bad" role="alert">{escape(f"{error.what} {error.todo}")}</p>'
        return {step.told: told, step.start: gr.update(interactive=False, value="Start the group")}
    count = planned_trials(plan)
    table = open_role(workspace, draft, "train")
    known = estimated_seconds(store, spec, table.rows if table is not None else None)
    time = (
        f"one after the other about {duration(count * known[0])} ({known[1]})"
        if known is not None
        else "how long they take is known once one with this model has finished here"
    )
    figure = METRIC_WORDS[metric_of(spec)]
    told = f"<p><b>{count} runs</b>, {escape(time)}. Compared by validation {figure}.</p>"
    return {step.told: told, step.start: gr.update(interactive=True, value=f"Start {count} runs")}


def plan_of(draft: Draft) -> SweepSpec:
    """Raises UserError where what is chosen makes no sweep."""
    sweep = _sweep(draft)
    fields: dict[str, Any] = {}
    for key, text in sweep["rows"]:
        if key in fields:
            raise UserError(f"{label(SETTINGS[key])} stands there twice.", key, "Choose another setting.")
        if key:
            fields[key] = parse_values(text).model_dump(exclude_defaults=True)
    trials = sweep["most"].strip()
    if trials and not trials.isdecimal():
        raise UserError(f"'{trials}' is no number of runs.", "trials", "Write a whole number, or nothing.")
    prune = "median" if sweep["prune"] else "none"
    content = {"fields": fields, "search": sweep["search"], "trials": int(trials) if trials else None, "prune": prune}
    return parse_sweep(content, "The form")


def connect_several(workspace: Workspace, step: Several, draft_id: gr.Textbox, ready: Ready) -> None:
    """Wire the part's events. What is typed goes into the draft at once."""
    store = open_store(workspace)
    told = [step.told, step.start]

    def changed(draft_id: str, change: Callable[[dict[str, Any]], None]) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            draft.sweep = _sweep(draft)
            change(draft.sweep)
        try:
            return told_view(workspace, store, step, draft, spec_of(draft))
        except UserError:  # the steps before it say what is missing
            return {step.start: gr.update(interactive=False)}

    def pick(number: int) -> Callable[[str, str], dict[Any, Any]]:
        def picked(draft_id: str, key: str) -> dict[Any, Any]:
            draft = read_draft(store, draft_id)
            # Gradio tells of a choice twice; what was typed since stays.
            if _sweep(draft)["rows"][number][0] == key:
                return {step.told: gr.skip()}
            text = ", ".join(map(_typed, suggested_values(SETTINGS[key], draft.get(key)))) if key else ""
            shown = changed(draft_id, lambda sweep: sweep["rows"].__setitem__(number, [key, text]))
            return shown | {step.values[number]: text}

        return picked

    def type_in(number: int) -> Callable[[str, str], dict[Any, Any]]:
        return lambda draft_id, text: changed(draft_id, lambda sweep: sweep["rows"][number].__setitem__(1, text))

    def set_as(name: str) -> Callable[[str, Any], dict[Any, Any]]:
        return lambda draft_id, value: changed(draft_id, lambda sweep: sweep.__setitem__(name, value))

    for number in range(ROWS):
        key, values = step.keys[number], step.values[number]
        key.input(pick(number), [draft_id, key], [values, *told], **CHOSEN)
        # The first key pressed after the field was filled is not told of as input; leaving it is.
        gr.on(
            [values.input, values.blur],
            type_in(number),
            [draft_id, values],
            told,
            **CHOSEN,
        )
    for name, given in (("search", step.search), ("most", step.most), ("prune", step.prune)):
        given.input(set_as(name), [draft_id, given], told, **CHOSEN)
    _connect_start(workspace, step, draft_id, ready)


def _connect_start(workspace: Workspace, step: Several, draft_id: gr.Textbox, ready: Ready) -> None:
    store = open_store(workspace)
    address, asked = gr.Textbox(visible=False), gr.State("")

    def start(draft_id: str, asked: str) -> dict[Any, Any]:
        """What the checks found weighty is asked about once, as before a single run."""
        draft = read_draft(store, draft_id)
        try:
            spec, findings = ready(draft)
            weighty = [finding.what for finding in findings if finding.asks]
            question = "".join(f"<li>{escape(what)}</li>" for what in weighty)
            if question and asked != question:
                told = f"<h3>Start in spite of this?</h3><ul>{question}</ul>"
                return {step.told: told, step.start: gr.update(value="Start anyway"), asked_state: question}
            start_sweep(workspace, spec, plan_of(draft))
        except UserError as error:
            return {step.told: problem_html(error)}
        store.delete_draft(draft_id)
        return {address: "/runs", step.start: gr.update(interactive=False)}

    asked_state = asked
    outputs = [address, step.told, step.start, asked]
    step.start.click(start, [draft_id, asked], outputs, **PRIVATE).then(None, address, None, js=GO, **PRIVATE)


def _sweep(draft: Draft) -> dict[str, Any]:
    """What is kept in the draft, whole."""
    usual: dict[str, Any] = {"rows": [["", ""] for _ in range(ROWS)], "search": "grid", "most": "", "prune": False}
    return usual | draft.sweep


def _offered(draft: Draft) -> list[str]:
    """Settings that mean something here and have values to suggest, the essential ones first."""
    found = [
        key
        for key, leaf in SETTINGS.items()
        if key.startswith(PARTS)
        and key not in FIXED
        and has_meaning(draft, key)
        and (draft.task == "answer" or not key.startswith("prompt."))
        and len(suggested_values(leaf, draft.get(key))) > 1
    ]
    return sorted(found, key=lambda key: not SETTINGS[key].essential)


def _typed(value: Any) -> str:
    """A value as it is typed: true and false as YAML has them."""
    return str(value).lower() if isinstance(value, bool) else value_words(value)
