"""The start of the Data step: a file dropped here, a path on this computer, a sample, or a draft left earlier."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.data.conversations import likely_chat
from core.data.given import files_given
from core.data.hub_data import Told
from core.data.mapping import Suggestion, suggest_mapping
from core.data.samples import open_sample, samples
from core.data.table import Table, first_look
from core.doctor import about_hub
from core.presets import DEFAULT_PRESET, load_presets
from core.runs.store import Store
from core.schema import ChatColumns, DataSpec, MappingSpec, TableFile, shown_name
from core.workspace import Workspace
from ui.new_run.data_html import busy_html
from ui.new_run.draft import Draft, choose_preset, editing, learns_chat, new_draft, unfit
from ui.new_run.files import FILE_TYPES, companion

DRAFTS_SHOWN = 5
STEP_WORDS = {1: "Data", 2: "Model", 3: "Prompt", 4: "Review"}
PICK_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-key]');
  if (button) trigger('click', {key: button.dataset.key});
});
"""


@dataclass(frozen=True)
class Source:
    box: gr.Column
    drop: gr.File
    path: gr.Textbox
    open: gr.Button
    hub_fold: gr.Accordion
    hub_state: gr.HTML
    hub_row: gr.Row
    hub: gr.Textbox
    fetch: gr.Button
    samples: gr.HTML
    drafts: gr.HTML


def build_source() -> Source:
    # Shown once the page knows its draft: what is dropped here earlier would belong to none.
    with gr.Column(visible=False, elem_id="source", elem_classes="card") as box:
        gr.HTML(
            "<h2>Which data shall it learn from?</h2><p>A table with one row for each example: a text, and the class "
            "or classes it belongs to; or a conversation. CSV, Excel, Parquet, JSON or JSON Lines; several files with "
            "the same columns; or a .zip of one, or of a folder of texts for each class.</p>",
            apply_default_css=False,
            elem_classes="lead",
        )
        drop = gr.File(
            show_label=False, label="Data file", file_types=FILE_TYPES, file_count="multiple", height=172,
            elem_id="data-file",
        )  # fmt: skip
        with gr.Row(elem_classes="path-row"):
            path = gr.Textbox(
                label="or the path of a file or a folder on this computer", placeholder="/home/me/questions.csv",
                max_lines=1, scale=5, min_width=180, elem_id="data-path",
            )  # fmt: skip
            opening = gr.Button("Open", min_width=84, scale=0, size="md", elem_id="open-path")
        hub = _build_hub()
        cards = gr.HTML(_samples_html(), apply_default_css=False, js_on_load=PICK_SCRIPT, elem_id="samples")
    drafts = gr.HTML(apply_default_css=False, js_on_load=PICK_SCRIPT, elem_id="drafts", visible=False)
    return Source(box, drop, path, opening, *hub, cards, drafts)


def _build_hub() -> tuple[gr.Accordion, gr.HTML, gr.Row, gr.Textbox, gr.Button]:
    with gr.Accordion("or a data set of the hub, by its name", open=False, elem_classes="fold", elem_id="hub") as fold:
        state = gr.HTML(apply_default_css=False, visible=False, elem_id="hub-state")
        with gr.Row(elem_classes="path-row", visible=False) as row:
            name = gr.Textbox(
                label="Name on the hub", placeholder="owner/name", max_lines=1, scale=5, min_width=180,
                info="Also owner/name:config:split.", elem_id="hub-name",
            )  # fmt: skip
            fetch = gr.Button("Fetch", min_width=84, scale=0, size="md", elem_id="fetch-hub")
    return fold, state, row, name, fetch


def ask_hub(source: Source) -> Iterator[dict[Any, Any]]:
    """Whether the hub answers: the field for a name, or what to do without."""
    yield {source.hub_state: gr.update(value=busy_html("Asking the hub"), visible=True)}
    found = about_hub()
    if found.state == "ok":
        yield {source.hub_state: gr.update(value="", visible=False), source.hub_row: gr.update(visible=True)}
        return
    words = (
        f'<p class="quiet">The hub cannot be reached from this computer ({escape(found.what.rstrip("."))}). Download '
        "the files of the data set elsewhere, and drop them above; or close and open this to ask again.</p>"
    )
    yield {source.hub_state: gr.update(value=words, visible=True), source.hub_row: gr.update(visible=False)}


def _samples_html() -> str:
    cards = "".join(
        f'<li><button type="button" data-key="{sample.key}"><strong>{escape(sample.title)}</strong>'
        f"<span>{escape(sample.what)}</span><small>{'About ' if sample.available_offline else ''}{sample.rows:,} rows, "
        f"{'on this computer' if sample.available_offline else 'from the model hub'}</small></button></li>"
        for sample in samples()
    )
    return f'<h3>or try a sample</h3><ul class="samples">{cards}</ul>'


def drafts_view(source: Source, store: Store, draft_id: str) -> dict[Any, Any]:
    """The half-made runs to go on with."""
    others = [(found, changed, content) for found, changed, content in store.drafts() if found != draft_id]
    html = _drafts_html(others[:DRAFTS_SHOWN])
    return {source.drafts: gr.update(value=html, visible=bool(html))}


def _drafts_html(drafts: list[tuple[str, float, dict[str, Any]]]) -> str:
    items = []
    for draft_id, changed, content in drafts:
        train = content["spec"].get("data", {}).get("train") or {}
        name = shown_name(TableFile.model_validate(train)) if train else "no file yet"
        facts = f"{content['spec'].get('preset', '')}, at {STEP_WORDS[content.get('step', 1)]}, {_ago(changed)}"
        items.append(
            f'<li><a href="/?draft={escape(draft_id)}"><strong dir="auto">{escape(name)}</strong>'
            f'<span>{escape(facts)}</span></a><button type="button" data-key="{escape(draft_id)}" '
            f'aria-label="Remove this draft" title="Remove this draft">×</button></li>'
        )
    return f'<h3>Go on where you left off</h3><ul class="drafts">{"".join(items)}</ul>' if items else ""


def _ago(moment: float) -> str:
    minutes = (time.time() - moment) / 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes:.0f} min ago"
    return f"{minutes / 60:.0f} h ago" if minutes < 2880 else f"{minutes / 1440:.0f} days ago"


def take_files(workspace: Workspace, store: Store, draft_id: str, words: list[str], tell: Told) -> Draft:
    """Make what these words name the draft's data, with columns suggested. Raises UserError where it cannot be read."""
    given = files_given(words, workspace, tell=tell)
    files = given.files | {
        role: companion(workspace, given.table, file) for role, file in given.files.items() if role != "train"
    }
    with editing(store, draft_id) as draft:
        start_over(draft)
        for role, file in files.items():
            draft.put(f"data.{role}", file.model_dump(mode="json"))
        draft.own = tuple(role for role in files if role != "train")
        suggest(draft, given.table)
        draft.reasons = (*given.said, *draft.reasons)
    return draft


def take_sample(workspace: Workspace, store: Store, draft_id: str, key: str) -> Draft:
    """Make a sample the draft's data. Raises UserError where it cannot be had."""
    sample = open_sample(key, workspace)
    _read_all(workspace, sample.data)
    with editing(store, draft_id) as draft:
        start_over(draft)
        draft.spec |= {"data": sample.data.model_dump(mode="json"), "mapping": sample.mapping.model_dump(mode="json")}
        draft.own = ("test",)
    return draft


def _read_all(workspace: Workspace, data: DataSpec) -> None:
    for file in (data.train, data.validation, data.test):
        if file is not None:
            first_look(file, workspace)


def start_over(draft: Draft) -> None:
    """Forget the data and what was chosen of it; model and settings stay."""
    fresh = new_draft(draft.id)
    draft.spec |= {"data": fresh.spec["data"], "mapping": fresh.spec["mapping"], "name": ""}
    if draft.spec.get("split"):
        # Columns and rows of another file: what divides this one is chosen anew.
        draft.spec["split"] = {**draft.spec["split"], "by": "chance", "column": "", "same_as": ""}
    draft.raw = {key: text for key, text in draft.raw.items() if not key.startswith("mapping.")}
    draft.own, draft.reasons, draft.step, draft.row, draft.fixes = (), (), 1, 0, []


def suggest(draft: Draft, table: Table) -> None:
    """Suggest columns: of conversations where the table looks like some, else of texts with a class."""
    suggestion = suggest_mapping(table)
    form = likely_chat(table, suggestion)
    if form is not None:
        suggest_chat(draft, form)
    else:
        suggest_classes(draft, suggestion)


def suggest_classes(draft: Draft, suggestion: Suggestion) -> None:
    draft.spec["mapping"] = _empty_mapping() | {
        "kind": suggestion.kind,
        "text": list(suggestion.text),
        "label": "" if suggestion.label_columns else suggestion.label,
        "label_columns": list(suggestion.label_columns),
        "label_separator": suggestion.label_separator,
        "class_names": suggestion.class_names,
        "backslash_is_space": suggestion.backslash_is_space,
    }
    draft.reasons = suggestion.reasons
    fit_model(draft)


def fit_model(draft: Draft) -> None:
    """A preset that cannot learn this kind of label gives way to the usual one, and the reasons say so."""
    if unfit(draft) and not draft.is_chat:
        choose_preset(draft, DEFAULT_PRESET)
        why = "Only a model with a head can learn them: the preset is now"
        draft.reasons = (*draft.reasons, f"{why} {draft.preset().title}.")


def suggest_chat(draft: Draft, form: ChatColumns | None) -> None:
    """Make it conversations; a preset that cannot learn from them gives way to the smallest that can."""
    chat = form or ChatColumns()
    draft.spec["mapping"] = _empty_mapping() | {"kind": "none", "chat": chat.model_dump(mode="json")}
    draft.reasons = ("It learns what is answered, and what was asked before it.",) if form else ()
    if unfit(draft):
        fitting = next(
            preset for preset in load_presets().values() if learns_chat(preset.model.family, preset.model.method)
        )
        choose_preset(draft, fitting.name)
        draft.reasons = (
            *draft.reasons,
            f"Only a language model that answers in words can learn from them: the preset is now {fitting.title}.",
        )


def _empty_mapping() -> dict[str, Any]:
    mapping = MappingSpec(text=("text",), label="label").model_dump(mode="json")
    return mapping | {"text": [], "label": ""}
