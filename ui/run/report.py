"""Run / Report: the verdict, where the model fails, and what the result came from. All of it is report/report.json."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import yaml

from core.durations import duration
from core.evaluation.charts import figure_html
from core.evaluation.class_charts import matrix_drawing
from core.evaluation.confusion import fold_confusion, folded_words, top_confusions
from core.evaluation.figures import ZIP
from core.evaluation.html import backend_words, data_check_words
from core.evaluation.matrix_table import CONFUSIONS_SHOWN
from core.evaluation.summary import peak_and_forecast
from core.evaluation.sureness import pairs_drawing
from core.evaluation.tables import comparison_words, is_soft, soft_cells
from core.evaluation.verdict import WORST_CONFUSIONS
from core.runs.store import MetricPoint, Progress, Store
from core.schema import RunSpec
from core.spec_settings import settings
from core.workspace import RunFolder, Workspace
from ui.run.actions import Updates
from ui.run.chat_report import chat_verdict_html, is_chat, samples_html
from ui.run.class_table import SORT_SCRIPT, class_table_html
from ui.run.compared import compared_html
from ui.run.downloads import offered
from ui.run.evaluate_file import EvaluateFile, build_evaluate_file
from ui.run.free_answers import free_answers_html
from ui.run.header import empty_html
from ui.run.live import CHART_SCRIPT, DRAWN, Curves, cached_spec, chat_curves_html, curves_html, overfitting_html
from ui.run.matrix import matrix_html
from ui.run.picked import PICK_SCRIPT
from ui.run.several_classes import differences_html, is_several, several_failures_html, several_verdict_html
from ui.run.sureness import SurenessBox, build_sureness, sureness_updates
from ui.words import BASELINE_WORDS, interval, percent, size

MATRIX_SCRIPT = (Path(__file__).parent / "matrix.js").read_text(encoding="utf-8") + PICK_SCRIPT
SOFT_HEADS = (
    '<th scope="col" title="How far its probabilities are off, in nats; 0 is exact">KL</th>'
    '<th scope="col" title="The same as squared distance, 0 to 2">Brier</th>'
)


@dataclass(frozen=True)
class ReportTab:
    empty: gr.HTML
    body: gr.Column
    verdict: gr.HTML
    samples: gr.HTML
    """What a model that learned from conversations answered."""
    failures: gr.HTML
    matrix: gr.HTML
    classes: gr.HTML
    sureness: SurenessBox
    calibration: gr.HTML
    """How sure it is, where there is no threshold to choose."""
    free: gr.HTML
    """What a language model wrote when nothing made it choose a class."""
    curves: gr.HTML
    facts: gr.HTML
    spec: gr.Code
    figures: gr.DownloadButton
    download: gr.DownloadButton
    evaluate: EvaluateFile
    """Fills itself: its jobs outlive the page."""

    def parts(self) -> list[Any]:
        """What `report_updates` may change."""
        return [
            self.empty, self.body, self.verdict, self.samples, self.failures, self.matrix, self.classes,
            *self.sureness.parts(), self.calibration, self.free,
            self.curves, self.facts, self.spec, self.figures, self.download, self.evaluate.box,
        ]  # fmt: skip


def build_report(workspace: Workspace) -> ReportTab:
    empty = gr.HTML(apply_default_css=False)
    with gr.Column(visible=False, elem_id="run-report") as body:
        verdict = gr.HTML(apply_default_css=False)
        samples = gr.HTML(apply_default_css=False, visible=False, elem_id="run-samples")
        with gr.Row(elem_classes="td-beside"):
            failures = gr.HTML(apply_default_css=False, js_on_load=MATRIX_SCRIPT, elem_id="run-failures")
            matrix = gr.HTML(apply_default_css=False, js_on_load=MATRIX_SCRIPT, elem_id="run-matrix")
        classes = gr.HTML(apply_default_css=False, js_on_load=SORT_SCRIPT, elem_id="run-classes")
        sureness = build_sureness(workspace)
        calibration = gr.HTML(apply_default_css=False, visible=False, elem_id="run-calibration")
        free = gr.HTML(apply_default_css=False, visible=False, elem_id="run-free")
        curves = gr.HTML(apply_default_css=False, js_on_load=CHART_SCRIPT)
        with gr.Accordion("Data and settings it came from", open=False, elem_id="run-facts", elem_classes="td-fold"):
            facts = gr.HTML(apply_default_css=False)
            spec = gr.Code(
                language="yaml",
                label="The whole specification",
                interactive=False,
                max_lines=20,
                elem_classes="td-spec",
            )
        evaluate = build_evaluate_file(workspace)
        with gr.Row(elem_classes="td-foot"):
            figures = gr.DownloadButton("Figures (PNG, SVG)", visible=False, elem_id="run-download-figures")
            download = gr.DownloadButton("Download report", variant="primary", elem_id="run-download-report")
    return ReportTab(
        empty, body, verdict, samples, failures, matrix, classes, sureness, calibration, free, curves, facts, spec,
        figures, download, evaluate,
    )  # fmt: skip


def read_report(folder: RunFolder) -> dict[str, Any] | None:
    """report/report.json, or None before evaluation has written it."""
    path = folder.report / "report.json"
    return _parsed(path, path.stat().st_mtime_ns) if path.exists() else None


@lru_cache(maxsize=4)
def _parsed(path: Path, _written: int) -> dict[str, Any]:
    """Kept until it is written anew: with thousands of classes the confusion matrix alone takes seconds to read."""
    return json.loads(path.read_text(encoding="utf-8"))


def report_updates(tab: ReportTab, store: Store, folder: RunFolder) -> Updates:
    report = read_report(folder)
    if report is None:
        words = "It fills when training has ended and the test part was predicted once."
        return unfilled(tab.empty, tab.body, "No report yet", words)
    spec = cached_spec(folder.spec)
    found = _chat_updates(tab, report) if is_chat(report) else _class_updates(tab, report)
    return (
        filled(tab.empty, tab.body)
        | found
        | {
            **sureness_updates(tab.sureness, folder, report),
            tab.calibration: _calibration_update(report),
            tab.curves: _learning_curves(store, folder.id, spec, report["training"]["best"]["step"]),
            tab.facts: facts_html(report, spec),
            tab.spec: yaml.safe_dump(report["settings"], sort_keys=False, allow_unicode=True),
            tab.figures: _figures_update(folder.report / ZIP),
            tab.download: gr.update(value=offered(folder.report / "report.html")),
            tab.evaluate.box: gr.update(visible=not is_chat(report)),
        }
    )


def _figures_update(archive: Path) -> dict[str, Any]:
    """Reports of before there were figures have none."""
    return gr.update(value=offered(archive), visible=True) if archive.exists() else gr.update(visible=False)


def _calibration_update(report: dict[str, Any]) -> dict[str, Any]:
    """Of what has no threshold to choose: rows of several classes, and those with probabilities as labels."""
    if is_chat(report) or "coverage" in report:
        return gr.update(visible=False)
    chart = figure_html(pairs_drawing(report["test"], report.get("kind", "single")))
    error = f"{report['test']['calibration_error'] * 100:.1f} % off on average (expected calibration error)."
    words = f"Its probabilities are {error} On the dashed line they are what comes true."
    html = f'<section class="td-sureness"><h3>How sure it is</h3><p class="td-hint">{words}</p>{chart}</section>'
    return gr.update(value=html, visible=True)


def _class_updates(tab: ReportTab, report: dict[str, Any]) -> Updates:
    if is_several(report):
        ordered = sorted(report["test"]["per_class"], key=lambda figures: -figures["support"])
        return {
            tab.verdict: several_verdict_html(report),
            tab.failures: several_failures_html(report),
            tab.matrix: differences_html(report),
            tab.classes: class_table_html(ordered, test=report["test"]),
        }
    labels, test = report["labels"], report["test"]
    untuned, answers = report.get("untuned"), report.get("answers", {})
    counts, names = fold_confusion(test["confusion"], labels, order=report.get("class_order"))
    whole = figure_html(matrix_drawing(report)) if len(names) < len(labels) else ""
    return {
        tab.verdict: verdict_html(report),
        tab.failures: failures_html(report),
        tab.matrix: matrix_html(
            counts, names, left_out=folded_words(test["confusion"], counts, len(labels)), whole=whole
        ),
        tab.classes: class_table_html(test["per_class"], untuned["per_class"] if untuned else (), test),
        tab.free: gr.update(value=free_answers_html(answers), visible=bool(answers)),
    }


def _chat_updates(tab: ReportTab, report: dict[str, Any]) -> Updates:
    hidden = gr.update(visible=False)
    return {
        tab.verdict: chat_verdict_html(report),
        tab.samples: gr.update(value=samples_html(report), visible=bool(report["samples"])),
        tab.failures: hidden,
        tab.matrix: hidden,
        tab.classes: hidden,
        tab.free: hidden,
    }


def unfilled(empty: gr.HTML, body: gr.Column, title: str, words: str) -> Updates:
    """A tab that has nothing to show yet, and says when it will."""
    return {empty: gr.update(value=empty_html(title, words), visible=True), body: gr.update(visible=False)}


def filled(empty: gr.HTML, body: gr.Column) -> Updates:
    return {empty: gr.update(visible=False), body: gr.update(visible=True)}


def verdict_html(report: dict[str, Any]) -> str:
    """The verdict, then the model beside itself before training and the baselines, on the same rows."""
    headline, *rest = report["verdict_sentences"]
    more = f"<p>{escape(' '.join(rest))}</p>" if rest else ""
    rows = [("This model", report["test"], "td-own")]
    if report.get("untuned"):
        rows.append(("The same model before training", report["untuned"], ""))
    words = {**BASELINE_WORDS, "majority": "Mean of all rows"} if is_soft(report) else BASELINE_WORDS
    rows += [(words.get(name, name), scores, "") for name, scores in reversed(report["baselines"].items())]
    return (
        f'<section class="td-verdict td-{report["tone"]}"><h2 dir="auto">{escape(headline)}</h2>{more}'
        '<div class="td-scroll"><table class="td-ladder"><thead><tr><th scope="col">On the test part</th>'
        '<th scope="col" class="td-track-head"></th><th scope="col">Accuracy</th><th scope="col">95 % sure</th>'
        '<th scope="col">Macro F1</th><th scope="col">Micro F1</th><th scope="col">Weighted F1</th>'
        f"{SOFT_HEADS if is_soft(report) else ''}</tr></thead><tbody>{''.join(_rung(*row) for row in rows)}</tbody>"
        f"</table></div>{compared_html(comparison_words(report))}</section>"
    )


def _rung(name: str, scores: dict[str, Any], kind: str) -> str:
    low, high = scores["accuracy_interval"]
    return (
        f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td class="td-track-cell"><span class="td-track">'
        f'<i style="width:{scores["accuracy"] * 100:.2f}%"></i>'
        f'<u style="left:{low * 100:.2f}%;width:{(high - low) * 100:.2f}%"></u></span></td>'
        f"<td><b>{percent(scores['accuracy'])}</b></td><td>{interval((low, high))}</td>"
        f"<td>{scores['macro_f1']:.3f}</td><td>{scores['micro_f1']:.3f}</td><td>{scores['weighted_f1']:.3f}</td>"
        f"{soft_cells(scores)}</tr>"
    )


def failures_html(report: dict[str, Any]) -> str:
    """The commonest confusions, each with its rows behind it, and whatever else the evaluation found."""
    test, labels = report["test"], report["labels"]
    support = {scores["label"]: scores["support"] for scores in test["per_class"]}
    confusions = top_confusions(test["confusion"], labels, CONFUSIONS_SHOWN)
    items = [_confusion_item(*confusion, support) for confusion in confusions]
    worst, more = items[:WORST_CONFUSIONS], items[WORST_CONFUSIONS:]
    # The findings begin with the same confusions in words.
    others = "".join(f'<p dir="auto">{escape(finding)}</p>' for finding in report["findings"][len(worst) :])
    body = f"<ul>{''.join(worst)}</ul>" if worst else "<p>Nowhere: every row of the test part is right.</p>"
    if more:
        body += f"<details><summary>The next {len(more)}</summary><ul>{''.join(more)}</ul></details>"
    return f'<section class="td-failures"><h3>Where it fails</h3>{body}{others}</section>'


def _confusion_item(true: str, predicted: str, count: int, support: dict[str, int]) -> str:
    times = "once" if count == 1 else f"{count:,} times"
    share = count / support[true]
    return (
        f'<li><button type="button" data-true="{escape(true)}" data-predicted="{escape(predicted)}">'
        f"<b dir='auto'>{escape(true)}</b> is taken for <b dir='auto'>{escape(predicted)}</b> {times}"
        f"<small>{percent(share)} of its {support[true]:,} rows</small></button></li>"
    )


def _learning_curves(store: Store, run_id: str, spec: RunSpec, kept: int | None) -> str:
    """With the step marked whose model was kept, and overfitting named where they show it."""
    curves: Curves = defaultdict[str, list[MetricPoint]](list)
    for point in store.metrics(run_id, DRAWN):
        curves[point.name].append(point)
    last = max((point.step for points in curves.values() for point in points), default=0)
    progress = Progress("finished", total_steps=last)
    charts = (
        chat_curves_html(curves, progress, height=200, kept=kept)
        if spec.task == "chat"
        else curves_html(curves, progress, spec.training.best_metric, spec.mapping.kind, height=200, kept=kept)
    )
    return f'<section class="td-curves"><h3>How it learned</h3>{charts}{overfitting_html(curves)}</section>'


def facts_html(report: dict[str, Any], spec: RunSpec) -> str:
    """Data, settings and machine as three lists of facts."""
    training = report["training"]
    backend = backend_words(training)
    cut = training.get("tokens_cut", {}).get("test")
    trained = [
        *_took_facts(training),
        *([("Trained with", backend)] if backend else []),
        ("Steps", f"{training['steps']:,} in {training['epochs']:.3g} epochs"),
        *([("Rows labelled a second", f"{training['rows_per_second']:,.3g}")] if "rows_per_second" in training else []),
        *([("Test texts cut", percent(cut))] if cut is not None else []),
        *_machine_facts(report["machine"]),
    ]
    return (
        f'<div class="td-facts">{_facts("Data", _data_facts(report["data"]))}'
        f"{_facts('Settings', _setting_facts(spec))}{_facts('Training', trained)}</div>{_checks(report['data'])}"
    )


def _took_facts(training: dict[str, Any]) -> list[tuple[str, str]]:
    """Time and memory, each above what was forecast when the run began, where it was."""
    found = peak_and_forecast(training)
    forecast = found.get("forecast", {})
    facts = [("Time", duration(training["seconds"]))]
    if forecast.get("seconds") is not None:
        facts.append(("Time that was forecast", duration(forecast["seconds"])))
    if found:
        facts.append(("Most memory", size(found["peak_bytes"])))
    if forecast.get("bytes") is not None:
        facts.append(("Memory that was forecast", size(forecast["bytes"])))
    return facts


def _checks(data: dict[str, Any]) -> str:
    """What was put right in the data, and what the checks found before training."""
    items = "".join(f'<li dir="auto">{escape(words)}</li>' for words in data_check_words(data))
    if not items:
        return ""
    return f'<section class="td-checks"><h4>Checks of the data</h4><ul>{items}</ul></section>'


def _facts(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<div><dt>{escape(name)}</dt><dd dir='auto'>{escape(value)}</dd></div>" for name, value in pairs)
    return f"<section><h4>{escape(title)}</h4><dl>{lines}</dl></section>"


def _data_facts(data: dict[str, Any]) -> list[tuple[str, str]]:
    files = [
        (role.capitalize() + " file", f"{file['name']}, {file['rows']:,} rows") for role, file in data["files"].items()
    ]
    parts = [("Rows used", ", ".join(f"{part} {count:,}" for part, count in data["parts"].items()))]
    left_out = sum(data["left_out"].values())
    words = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in data["left_out"].items() if count)
    classes = [("Classes", f"{len(data['labels']):,}")] if data["labels"] else []
    return [*files, *parts, ("Left out", words if left_out else "nothing"), *classes]


def _setting_facts(spec: RunSpec) -> list[tuple[str, str]]:
    """The preset, and the settings that are shown first in the form."""
    content = spec.model_dump(mode="json")
    mapping = spec.mapping
    columns = [("text", ", ".join(mapping.text)), ("label", ", ".join(mapping.label_columns) or mapping.label)]
    if mapping.kind != "single":
        columns.append(("kind of label", mapping.kind))
    if mapping.kind == "none":
        columns = [(role, name) for role, name in mapping.chat.model_dump().items() if name]
    facts = [("preset", spec.preset), *columns]
    for leaf in settings(RunSpec):
        if leaf.essential:
            value: Any = content
            for name in leaf.key.split("."):
                value = value[name]
            facts.append((leaf.key.rsplit(".", 1)[-1].replace("_", " "), f"{value} {leaf.unit}".strip()))
    return facts


def _machine_facts(machine: dict[str, Any]) -> list[tuple[str, str]]:
    facts = {**machine, "gpu": machine["gpu"] or "none"}
    versions = facts.pop("versions")
    if "memory_bytes" in facts:
        facts["memory"] = size(facts.pop("memory_bytes"))
    return [(name.replace("_", " "), str(value)) for name, value in {**facts, **versions}.items()]
