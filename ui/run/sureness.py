"""Run / Report, how sure it is: diagrams, the slider of thresholds with what each comes to, and sets of likely classes.

What is chosen is saved with the model at once, so a reload, Try it, labelled files and exports have it.
"""

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from core.deciding import Wish, decide
from core.decision import Decision, decision_sentences, shown_share
from core.errors import UserError
from core.evaluation.abstaining import label_set_words, place_of, threshold_sentence
from core.evaluation.calibration import calibration_words
from core.evaluation.outside import known_place, outside_sentence, outside_words_at
from core.evaluation.report_file import read_content
from core.evaluation.sureness import coverage_chart, mark_places, reliability_chart, targets
from core.model_facts import run_model_facts
from core.workspace import RunFolder, Workspace
from ui.run.actions import QUIET, Updates, tell
from ui.run.picked import PICK_SCRIPT

SCRIPT = (Path(__file__).parent / "sureness.js").read_text(encoding="utf-8") + PICK_SCRIPT
# Read when the event is sent: where one waits for another, Gradio sends it with the data of the first
# (js/core/src/dependency.ts, `dispatch(event_meta)`), and the place before last would be saved.
PLACE = "() => Number(document.querySelector('#run-threshold input[type=range]').value)"
MOST_TOGETHER = 10
SETS = [("Nothing more", "one"), ("Likeliest until they sum to …", "sum"), ("The likeliest few", "top")]


@dataclass(frozen=True)
class SurenessBox:
    body: gr.Column
    charts: gr.HTML
    label_set: gr.Radio
    set_sum: gr.Slider
    set_size: gr.Slider
    saved: gr.HTML
    changed: list[Dependency]
    """Events after which the model answers otherwise."""

    def parts(self) -> list[Any]:
        """What `sureness_updates` may change."""
        return [self.body, self.charts, self.label_set, self.set_sum, self.set_size, self.saved]


def build_sureness(workspace: Workspace) -> SurenessBox:
    with gr.Column(visible=False, elem_id="run-sureness") as body:
        charts = gr.HTML(apply_default_css=False, js_on_load=SCRIPT, elem_id="run-threshold")
        with gr.Row(elem_classes="td-sets"):
            label_set = gr.Radio(
                SETS, value="one", label="Beside the label of a row", elem_id="run-label-set", min_width=280
            )
            set_sum = gr.Slider(50, 95, 90, step=5, visible=False, label="Sum, percent", elem_id="run-set-sum")
            set_size = gr.Slider(
                1, MOST_TOGETHER, 3, step=1, visible=False, label="How many classes", elem_id="run-set-size"
            )
        place = gr.Number(visible=False)
        saved = gr.HTML(apply_default_css=False, elem_id="run-decision")

    def choose(request: gr.Request, place: float) -> str:
        folder = workspace.run(request.query_params["run"])
        report = read_content(folder) or {}
        return _saved(folder, report, Wish(abstain_below=report["coverage"]["thresholds"][int(place)]))

    def choose_set(request: gr.Request, kind: Any, percent: float, size: float) -> tuple[Any, ...]:
        wish = Wish(label_set=kind, label_set_sum=percent / 100, label_set_size=int(size))
        folder = workspace.run(request.query_params["run"])
        words = _saved(folder, read_content(folder) or {}, wish)
        return gr.update(visible=kind == "sum"), gr.update(visible=kind == "top"), words

    inputs, outputs = [label_set, set_sum, set_size], [set_sum, set_size, saved]
    changed = [
        charts.choose(choose, place, saved, js=PLACE, trigger_mode="always_last", **QUIET),
        label_set.input(choose_set, inputs, outputs, trigger_mode="always_last", **QUIET),
        set_sum.input(choose_set, inputs, outputs, trigger_mode="always_last", **QUIET),
        set_size.input(choose_set, inputs, outputs, trigger_mode="always_last", **QUIET),
    ]
    return SurenessBox(body, charts, label_set, set_sum, set_size, saved, changed)


def sureness_updates(box: SurenessBox, folder: RunFolder, report: dict[str, Any]) -> Updates:
    """Hidden where the report has no curve: rows of several classes, and reports of before there was one."""
    if "coverage" not in report:
        return {box.body: gr.update(visible=False)}
    try:
        decision = run_model_facts(folder).decision
    except UserError:
        return {box.body: gr.update(visible=False)}
    return {
        box.body: gr.update(visible=True),
        box.charts: sureness_html(report, decision),
        box.label_set: decision.label_set,
        box.set_sum: gr.update(value=round(decision.label_set_sum * 100), visible=decision.label_set == "sum"),
        box.set_size: gr.update(
            value=decision.label_set_size,
            visible=decision.label_set == "top",
            maximum=max(2, min(MOST_TOGETHER, len(report["labels"]))),
        ),
        box.saved: saved_html(report, decision),
    }


def _saved(folder: RunFolder, report: dict[str, Any], wish: Wish) -> str:
    try:
        return saved_html(report, decide(folder, wish))
    except UserError as error:
        tell(error)
        return saved_html(report, run_model_facts(folder).decision)


def saved_html(report: dict[str, Any], decision: Decision) -> str:
    """What holds now. report: content of report.json."""
    said = " ".join([*decision_sentences(decision), label_set_words(report["label_sets"], decision)])
    return (
        f'<p class="td-hint"><b>Saved with the model.</b> {escape(said)} Try it, labelled files and exports keep to it.'
        "</p>"
    )


def sureness_html(report: dict[str, Any], decision: Decision) -> str:
    """Diagrams, and the slider at the saved threshold."""
    coverage = report["coverage"]
    place = place_of(coverage, decision.abstain_below)
    places = {
        "shown": [shown_share(threshold) for threshold in coverage["thresholds"]],
        "said": [
            f"{threshold_sentence(coverage, number)} {outside_words_at(report, number)}".rstrip()
            for number in range(len(coverage["thresholds"]))
        ],
        "x": mark_places(coverage),
    }
    words = " ".join([*calibration_words(report["calibration"]), outside_sentence(report)]).rstrip()
    charts = reliability_chart(report["calibration"], pressable=True) + coverage_chart(coverage)
    return (
        f'<section class="td-sureness"><h3>How sure it is</h3><p class="td-hint">{escape(words)}</p>'
        f'<div class="td-pair">{charts}</div>'
        f'<div class="td-threshold" data-places="{escape(json.dumps(places))}">'
        f'<label>Give a label from <b class="td-from">{places["shown"][place]}</b> on'
        f'<input type="range" min="0" max="{len(places["x"]) - 1}" step="1" value="{place}"></label>'
        f'<p class="td-comes-to" aria-live="polite">{escape(places["said"][place])}</p>'
        f'<div class="td-targets">{_targets(report)}</div></div></section>'
    )


def _targets(report: dict[str, Any]) -> str:
    """Buttons that put the slider where validation was right so often."""
    every = '<button type="button" data-place="0">Label every row</button>'
    if "outside" in report:
        every += (
            f'<button type="button" data-place="{known_place(report["coverage"])}">Turn away unknown classes</button>'
        )
    return every + "".join(
        f'<button type="button" data-place="{place}">{target * 100:.0f} % right</button>'
        for target, place in targets(report["coverage"])
    )
