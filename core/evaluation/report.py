"""What evaluation found, written to the run's report folder: report.json, report.html, predictions.parquet.

report.json, schema_version 1: run, name, created (UTC), verdict, verdict_sentences, tone, comparisons, findings (see
verdict.py), labels (class order), parts (rows in each), test and validation (classification_metrics; validation
without the confusion matrix), baselines (by name: classification_metrics of the test part, without the confusion
matrix, and title, seconds, fit_rows, note, and `validation`, the same of that part), training, data,
settings, machine; of a language model also untuned (classification_metrics of the test part before training, without
the confusion matrix; else null) and answers (untuned and tuned: rows, no_label, examples; what it wrote by itself).
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from core.data.examples import DataFacts, read_examples
from core.data.reading.write import replacing, write_batches
from core.evaluation.baselines import Baseline
from core.evaluation.html import report_html
from core.evaluation.metrics import classification_metrics
from core.evaluation.mistakes import count_mistakes, mistakes
from core.evaluation.predictions import FreeAnswers, Predictions
from core.evaluation.verdict import UNTUNED, as_json, compare, verdict
from core.schema import RunSpec
from core.workspace import RunFolder

__all__ = ["Predictions", "count_mistakes", "mistakes", "write_report"]

SCHEMA_VERSION = 1
MISTAKES_SHOWN = 40
CURVE_POINTS = 300
"""Points of a training curve that report.json keeps; the store has all of them."""
ROWS_AT_ONCE = 4096
NO_COLUMN = -1

_PREDICTIONS = pa.schema(
    [
        ("row_id", pa.int64()),
        ("part", pa.string()),
        ("text", pa.string()),
        ("true", pa.string()),
        ("predicted", pa.string()),
        ("confidence", pa.float32()),
        ("probabilities", pa.list_(pa.float32())),
    ]
)


def write_report(
    folder: RunFolder,
    spec: RunSpec,
    facts: DataFacts,
    *,
    test: Predictions,
    validation: Predictions,
    baselines: Sequence[Baseline],
    training: Mapping[str, Any],
    untuned: Predictions | None = None,
    free_answers: Mapping[str, FreeAnswers] | None = None,
) -> dict[str, Any]:
    """Measure, judge, and write the three files; returns the content of report.json, which is written last.

    `test` holds the rows of the test part in the order of the baselines' and of `untuned`. training: steps, epochs,
    seconds, best (name, value, step), history (points of name, step, value), machine, and whatever else is worth
    keeping. Of a language model `untuned` is what it said of test before training, `free_answers` what it wrote by
    itself before and after.
    """
    folder.report.mkdir(parents=True, exist_ok=True)
    predictions = _prediction_batches(folder, facts.labels, {"validation": validation, "test": test})
    with replacing(folder.report / "predictions.parquet") as target:
        write_batches(_PREDICTIONS, predictions, target)
    report = _report(folder, spec, facts, test, validation, baselines, training, untuned)
    report |= {"answers": {name: asdict(answers) for name, answers in (free_answers or {}).items()}}
    with replacing(folder.report / "report.html") as target:
        shown = mistakes(folder, limit=MISTAKES_SHOWN)
        target.write_text(report_html(report, shown, count_mistakes(folder)), encoding="utf-8")
    with replacing(folder.report / "report.json") as target:
        target.write_text(json.dumps(report, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return report


def _report(
    folder: RunFolder,
    spec: RunSpec,
    facts: DataFacts,
    test: Predictions,
    validation: Predictions,
    baselines: Sequence[Baseline],
    training: Mapping[str, Any],
    untuned: Predictions | None,
) -> dict[str, Any]:
    labels = facts.labels
    measured = classification_metrics(test.true, test.probabilities, labels)
    beside = {baseline.name: _baseline_figures(baseline, test, validation, labels) for baseline in baselines}
    predicted = test.probabilities.argmax(axis=1)
    comparisons = [
        compare(baseline.name, test.true, predicted, baseline.probabilities["test"].argmax(axis=1))
        for baseline in baselines
    ]
    before = None
    if untuned is not None:
        before = _without_confusion(classification_metrics(untuned.true, untuned.probabilities, labels))
        comparisons.append(compare(UNTUNED, test.true, predicted, untuned.probabilities.argmax(axis=1)))
    return {
        "schema_version": SCHEMA_VERSION,
        "run": folder.id,
        "name": spec.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **as_json(verdict(measured, beside, comparisons, before)),
        "labels": labels,
        "parts": facts.parts,
        "test": measured,
        "validation": _without_confusion(classification_metrics(validation.true, validation.probabilities, labels)),
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


def _baseline_figures(
    baseline: Baseline, test: Predictions, validation: Predictions, labels: Sequence[str]
) -> dict[str, Any]:
    of_part = {
        part: _without_confusion(classification_metrics(predictions.true, baseline.probabilities[part], labels))
        for part, predictions in (("test", test), ("validation", validation))
    }
    return {
        **of_part["test"],
        "validation": of_part["validation"],
        "title": baseline.title,
        "seconds": baseline.seconds,
        "fit_rows": baseline.fit_rows,
        "note": baseline.note,
    }


def _without_confusion(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "confusion"}


def shown_settings(spec: RunSpec) -> dict[str, Any]:
    """The spec with the files' names in place of their paths: a report is passed on, folder names are private."""
    content = spec.model_dump(mode="json")
    for file in content["data"].values():
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


def _prediction_batches(
    folder: RunFolder, labels: Sequence[str], parts: Mapping[str, Predictions]
) -> Iterator[pa.RecordBatch]:
    """The predictions of each part beside their texts, some thousand rows at a time."""
    names = pa.array(labels, pa.string())
    for part, predictions in parts.items():
        examples = read_examples(folder, part)
        place = np.full(int(examples["row_id"].to_numpy().max()) + 1, NO_COLUMN, dtype=np.int64)
        place[examples["row_id"].to_numpy()] = np.arange(len(examples))
        for start in range(0, len(predictions.true), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            probabilities = predictions.probabilities[rows]
            predicted = probabilities.argmax(axis=1)
            texts = examples["text"].take(pa.array(place[predictions.row_ids[rows]])).combine_chunks()
            offsets = np.arange(len(probabilities) + 1, dtype=np.int32) * len(labels)
            yield pa.record_batch(
                [
                    predictions.row_ids[rows],
                    pa.array([part] * len(probabilities), pa.string()),
                    texts,
                    names.take(pa.array(predictions.true[rows])),
                    names.take(pa.array(predicted)),
                    pa.array(probabilities.max(axis=1), pa.float32()),
                    pa.ListArray.from_arrays(pa.array(offsets), pa.array(probabilities.ravel(), pa.float32())),
                ],
                schema=_PREDICTIONS,
            )
