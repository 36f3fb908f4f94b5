"""What evaluation found, written to the run's report folder: report.json, report.html, predictions.parquet,
baselines.parquet, figures. docs/report-json.md describes them, docs/report.schema.json every field of the first.

report.json, schema_version 1: run, name, kind (of the labels), created (UTC), verdict, verdict_sentences, tone,
comparisons, findings (see verdict.py, multi_verdict.py), labels (class order), class_order (not of several classes a
row: indices of labels, those that are taken for each other beside each other), parts (rows in each), test and
validation (the kind's figures, see kinds.py; of test also macro_f1_interval and calibration_error_interval;
validation without the confusion matrix),
baselines (by name: the same
figures of the test part, without the confusion matrix, and title, seconds, fit_rows,
rows_per_second, note, and `validation`, the same
of that part), training, data, settings, machine; of a language model also untuned (the figures of the test part before
training, without the confusion matrix; else null) and answers (untuned and tuned: rows, no_label, examples; what it
wrote by itself); of a cross-validation also folds, see folds.py.

Of one class a row also calibration, coverage and label_sets, see calibration.py and abstaining.py, and outside where
the test rows hold classes that the train part does not, see outside.py. All figures of the
model and predictions.parquet are then those at its temperature, as it answers; `calibration.before` holds those without
it. The untuned model and the baselines have none.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from core.data.examples import DataFacts, read_outside
from core.data.reading.write import write_batches
from core.decision import tempered
from core.evaluation.abstaining import coverage_figures, label_set_figures
from core.evaluation.baseline_rows import write_baseline_rows
from core.evaluation.calibration import calibration_figures, fitted_temperature
from core.evaluation.calibration_interval import calibration_error_interval
from core.evaluation.confusion import clustered_order
from core.evaluation.kinds import label_metrics, likeliest
from core.evaluation.language_verdict import with_language
from core.evaluation.multi_label import Thresholds, Yes, given_classes
from core.evaluation.multi_verdict import compare_sets, multi_verdict
from core.evaluation.outside import outside_content, outside_finding
from core.evaluation.paired import Classes, macro_f1_interval
from core.evaluation.prediction_rows import outside_batches, prediction_batches, prediction_schema
from core.evaluation.predictions import Baseline, FreeAnswers, Predictions
from core.evaluation.report_file import save_report
from core.evaluation.soft_verdict import soft_verdict
from core.evaluation.verdict import UNTUNED, Verdict, as_json, compare, verdict
from core.files import replacing
from core.schema import LabelKind, RunSpec
from core.workspace import RunFolder

__all__ = ["Predictions", "write_report"]

SCHEMA_VERSION = 1
CURVE_POINTS = 300
"""Points of a training curve that report.json keeps; the store has all of them."""


def write_report(
    folder: RunFolder,
    spec: RunSpec,
    facts: DataFacts,
    *,
    test: Predictions,
    validation: Predictions,
    baselines: Sequence[Baseline],
    training: Mapping[str, Any],
    thresholds: Thresholds | None = None,
    untuned: Predictions | None = None,
    free_answers: Mapping[str, FreeAnswers] | None = None,
    outside: Predictions | None = None,
) -> dict[str, Any]:
    """Measure, judge, and write the three files; returns the content of report.json, which is written last.

    `test` holds the rows of the test part in the order of the baselines' and of `untuned`. training: steps, epochs,
    seconds, best (name, value, step), history (points of name, step, value), machine, and whatever else is worth
    keeping. thresholds: of several classes a row, float64 [classes], those that were put beside the model. Of a
    language model `untuned` is what it said of test before training, `free_answers` what it wrote by itself before and
    after. `outside`: of the rows of outside.parquet, of one class a row.
    """
    folder.report.mkdir(parents=True, exist_ok=True)
    sureness: dict[str, Any] = {}
    if facts.kind == "single":
        validation, test, sureness = _calibrated(validation, test)
        if outside is not None:
            temperature = sureness["calibration"]["temperature"]["value"]
            outside = replace(outside, probabilities=tempered(outside.probabilities, temperature))
            sureness |= {"outside": _outside(folder, sureness["coverage"], test, outside)}
    said = {"validation": validation, "test": test}
    with replacing(folder.report / "predictions.parquet") as target:
        write_batches(
            prediction_schema(facts.kind),
            itertools.chain(
                prediction_batches(folder, facts, said, thresholds, spec.mapping.label_separator),
                outside_batches(folder, facts, outside) if outside is not None else (),
            ),
            target,
        )
    report = _report(folder, spec, facts, test, validation, baselines, training, untuned, thresholds)
    beside = {one.name: (replace(test, probabilities=one.probabilities["test"]), one.thresholds) for one in baselines}
    if untuned is not None:
        beside[UNTUNED] = (untuned, None)
    write_baseline_rows(folder, facts.labels, beside)
    report |= sureness
    if outside is not None:
        report["findings"] = [*report["findings"], outside_finding(report)]
    report |= {"answers": {name: asdict(answers) for name, answers in (free_answers or {}).items()}}
    save_report(folder, report)
    return report


def _calibrated(validation: Predictions, test: Predictions) -> tuple[Predictions, Predictions, dict[str, Any]]:
    """Both parts at the temperature that validation asks for, and what the report says of how sure the model is."""
    fitted = fitted_temperature(validation.true, validation.probabilities)
    kept, judged = (
        replace(part, probabilities=tempered(part.probabilities, fitted.value)) for part in (validation, test)
    )
    parts = {"validation": (kept.true, kept.probabilities), "test": (judged.true, judged.probabilities)}
    found = {
        "calibration": calibration_figures(fitted, test.true, test.probabilities, judged.probabilities),
        "coverage": coverage_figures(parts),
        "label_sets": label_set_figures(judged.true, judged.probabilities),
    }
    return kept, judged, found


def _outside(folder: RunFolder, coverage: Mapping[str, Any], test: Predictions, outside: Predictions) -> dict[str, Any]:
    """What the report says of rows of classes that the model never learned."""
    table = read_outside(folder)
    assert table is not None
    return outside_content(coverage, test.probabilities, outside.probabilities, table["label"].to_pylist())


def _report(
    folder: RunFolder,
    spec: RunSpec,
    facts: DataFacts,
    test: Predictions,
    validation: Predictions,
    baselines: Sequence[Baseline],
    training: Mapping[str, Any],
    untuned: Predictions | None,
    thresholds: Thresholds | None,
) -> dict[str, Any]:
    labels, kind = facts.labels, facts.kind
    measured = _on_test(facts, test.true, test.probabilities, thresholds)
    beside = {baseline.name: _baseline_figures(baseline, test, validation, facts) for baseline in baselines}
    before = None
    if untuned is not None:
        before = _without_confusion(_on_test(facts, untuned.true, untuned.probabilities, thresholds))
    judged = _judged(kind, measured, beside, before, test, baselines, untuned, thresholds)
    judged = with_language(judged, training.get("word_fit"))
    return {
        "schema_version": SCHEMA_VERSION,
        "run": folder.id,
        "name": spec.name,
        "kind": kind,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **as_json(judged),
        "labels": labels,
        **({} if kind == "multi" else {"class_order": clustered_order(measured["confusion"])}),
        "parts": facts.parts,
        "test": measured,
        "validation": _without_confusion(
            label_metrics(kind, validation.true, validation.probabilities, labels, thresholds)
        ),
        "baselines": beside,
        "untuned": before,
        "training": {
            **{name: value for name, value in training.items() if name != "machine"},
            "history": thinned(training["history"]),
        },
        "data": asdict(facts),
        "settings": shown_settings(spec),
        "machine": training["machine"],
    }


def _on_test(
    facts: DataFacts, true: npt.NDArray[Any], probabilities: npt.NDArray[np.float32], thresholds: Thresholds | None
) -> dict[str, Any]:
    """The kind's figures, and where macro F1 and calibration error lie with 95 % confidence."""
    figures = label_metrics(facts.kind, true, probabilities, facts.labels, thresholds)
    truth: Classes = true > 0 if thresholds is not None else likeliest(facts.kind, true)
    given = probabilities.argmax(axis=1) if thresholds is None else given_classes(probabilities, thresholds)
    return {
        **figures,
        "macro_f1_interval": macro_f1_interval(truth, given, len(facts.labels)),
        "calibration_error_interval": calibration_error_interval(facts.kind, true, probabilities),
    }


def _judged(
    kind: LabelKind,
    measured: Mapping[str, Any],
    beside: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Any] | None,
    test: Predictions,
    baselines: Sequence[Baseline],
    untuned: Predictions | None,
    thresholds: Thresholds | None,
) -> Verdict:
    """The verdict on the kind's figures, with the model compared to each baseline row by row."""
    if kind == "multi":
        assert thresholds is not None
        given = given_classes(test.probabilities, thresholds)
        return multi_verdict(
            measured,
            beside,
            [compare_sets(one.name, test.true, given, _given(one)) for one in baselines],
        )
    true, predicted = likeliest(kind, test.true), test.probabilities.argmax(axis=1)
    comparisons = [compare(one.name, true, predicted, one.probabilities["test"].argmax(axis=1)) for one in baselines]
    if kind == "soft":
        return soft_verdict(measured, beside, comparisons)
    if untuned is not None:
        comparisons.append(compare(UNTUNED, true, predicted, untuned.probabilities.argmax(axis=1)))
    return verdict(measured, beside, comparisons, before)


def _given(baseline: Baseline) -> Yes:
    """The classes that a baseline gives to the test rows."""
    assert baseline.thresholds is not None
    return given_classes(baseline.probabilities["test"], baseline.thresholds)


def _baseline_figures(
    baseline: Baseline, test: Predictions, validation: Predictions, facts: DataFacts
) -> dict[str, Any]:
    on_test = _on_test(facts, test.true, baseline.probabilities["test"], baseline.thresholds)
    on_validation = label_metrics(
        facts.kind, validation.true, baseline.probabilities["validation"], facts.labels, baseline.thresholds
    )
    return {
        **_without_confusion(on_test),
        "validation": _without_confusion(on_validation),
        "title": baseline.title,
        "seconds": baseline.seconds,
        "fit_rows": baseline.fit_rows,
        "rows_per_second": baseline.rows_per_second,
        "note": baseline.note,
    }


def _without_confusion(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "confusion"}


def shown_settings(spec: RunSpec) -> dict[str, Any]:
    """The spec with the files' names in place of their paths: a report is passed on, folder names are private."""
    content = spec.model_dump(mode="json")
    for file in (content["data"][role] for role in ("train", "validation", "test")):
        if file is not None:
            file["path"] = file["path"].replace("\\", "/").rsplit("/", 1)[-1]
    return content


def thinned(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Evaluations and the curves of training, at most CURVE_POINTS each, the last point always among them."""
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for point in history:
        curves.setdefault(point["name"], []).append(point)
    kept = []
    for points in curves.values():
        every = -(-len(points) // CURVE_POINTS)
        chosen = points[::-every][::-1]
        kept += [{"name": point["name"], "step": point["step"], "value": point["value"]} for point in chosen]
    return kept
