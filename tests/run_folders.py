"""Run folders as a finished run leaves them, made without training: for tests of what comes after it."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import resvg_py

from core.data.examples import DataFacts, write_data_facts
from core.decision import tempered
from core.evaluation.abstaining import coverage_figures, label_set_figures
from core.evaluation.calibration import calibration_figures, fitted_temperature
from core.evaluation.figures import FOLDER as FIGURES
from core.evaluation.figures import matrix_drawing, svg_file
from core.evaluation.metrics import classification_metrics
from core.evaluation.verdict import as_json, compare, verdict
from core.runs.store import Store
from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile
from core.spec_files import spec_yaml
from core.workspace import RunFolder, Workspace

MACHINE = {"gpu": None, "processor": "a processor", "versions": {"torch": "2.14.1", "transformers": "5.17.0"}}


def add_running(store: Store, run_id: str, name: str, preset: str, model: str, data_name: str) -> None:
    """A run that is running from its first moment: one that waits, a server beside the test would take."""
    now = time.time()
    named = {"id": run_id, "name": name, "preset": preset, "model": model, "data_name": data_name}
    store.put_back_run({**named, "state": "running", "created": now, "started": now}, [], [])


def write_run(workspace: Workspace, run_id: str, spec: RunSpec, labels: Sequence[str]) -> RunFolder:
    """spec.yaml, data.json, split.parquet, and model/tunedesk.json without weights."""
    folder = workspace.run(run_id)
    folder.model.mkdir(parents=True)
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    counts = {"train": 40, "validation": 5, "test": 6}
    write_data_facts(
        folder,
        DataFacts(
            labels=list(labels),
            files={"train": {"name": Path(spec.data.train.path).name, "rows": 153, "rejected": 0, "sha256": "0" * 64}},
            parts={part: count * len(labels) for part, count in counts.items()},
            class_counts={part: dict.fromkeys(labels, count) for part, count in counts.items()},
            left_out={"empty_text": 2, "empty_label": 0, "label_not_in_train": 0},
            lengths={"p50": 50.0, "p90": 80.0, "p99": 120.0, "max": 200.0, "mean": 55.0},
            findings=[
                {"severity": "warning", "what": "3 texts are in two parts.", "where": "", "todo": "", "count": 3},
                {"severity": "note", "what": "A note that no card needs.", "where": "", "todo": "", "count": 1},
            ],
        ),
    )
    parts = [part for part, count in counts.items() for _ in range(count * len(labels))]
    rows = pa.array(range(len(parts)), pa.int64())
    pq.write_table(pa.table({"file": ["train"] * len(parts), "row": rows, "part": parts}), folder.split)
    mapping = spec.mapping
    facts = {
        "schema_version": 1,
        "run": run_id,
        "name": spec.name,
        "preset": spec.preset,
        "base": spec.model.source,
        "base_revision": spec.model.revision,
        "method": spec.model.method,
        "labels": list(labels),
        "max_length": spec.model.max_length,
        "text_columns": list(mapping.text),
        "joiner": mapping.joiner,
        "backslash_is_space": mapping.backslash_is_space,
        "text_template": mapping.text_template,
        "class_names": dict(mapping.class_names),
    }
    (folder.model / "tunedesk.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def run_spec(train: str = "questions.csv", *, text: Sequence[str] = ("text",), **changes: Any) -> RunSpec:
    mapping = {"text": tuple(text), "label": "label", **changes.pop("mapping", {})}
    return RunSpec(
        name=changes.pop("name", "Questions, quickstart"),
        data=DataSpec(train=changes.pop("file", TableFile(path=train))),
        mapping=MappingSpec(**mapping),
        model=ModelSpec(**changes),
    )


def write_report(
    folder: RunFolder, labels: Sequence[str], true: Sequence[int], predicted: Sequence[int]
) -> dict[str, Any]:
    """report.json of a run that predicted so on its test part."""
    spread = np.full((len(true), len(labels)), 0.1 / max(1, len(labels) - 1))
    spread[np.arange(len(true)), predicted] = 0.9
    test = classification_metrics(np.array(true), spread, labels)
    guess = np.eye(len(labels))[[0] * len(true)] * 0.98 + 0.01
    titles = {"majority": "Guessing the commonest class", "tfidf": "TF-IDF with logistic regression"}
    baselines = {
        name: {**classification_metrics(np.array(true), guess, labels), "title": title}
        for name, title in titles.items()
    }
    comparisons = [compare(name, np.array(true), np.array(predicted), guess.argmax(axis=1)) for name in titles]
    report = {
        **as_json(verdict(test, baselines, comparisons)),
        "labels": list(labels),
        "parts": {"train": 40, "validation": 5, "test": len(true)},
        "test": test,
        "baselines": baselines,
        "machine": MACHINE,
        "training": {
            "steps": 12,
            "epochs": 3.0,
            "seconds": 61.0,
            "best": {"name": "macro_f1", "value": 0.9, "step": 12},
            "tokens_cut": {"train": 0.0, "validation": 0.0, "test": 0.125},
        },
    }
    folder.report.mkdir(exist_ok=True)
    (folder.report / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return report


def add_picture(folder: RunFolder, report: dict[str, Any]) -> None:
    """The confusion matrix as evaluation draws it."""
    target = folder.report / FIGURES / "confusion-matrix.png"
    target.parent.mkdir()
    target.write_bytes(bytes(resvg_py.svg_to_bytes(svg_string=svg_file(matrix_drawing(report)))))


def sureness_figures(classes: int, rows: int = 600) -> dict[str, Any]:
    """What report.json holds of how sure a model is that is too sure of itself."""
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(2 * rows, classes))
    # The greatest of logits with Gumbel noise is a draw from their softmax.
    true = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    powers = np.exp(3 * logits)
    said = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    fitted = fitted_temperature(true[:rows], said[:rows])
    after = tempered(said, fitted.value)
    parts = {"validation": (true[:rows], after[:rows]), "test": (true[rows:], after[rows:])}
    return {
        "calibration": calibration_figures(fitted, true[rows:], said[rows:], after[rows:]),
        "coverage": coverage_figures(parts),
        "label_sets": label_set_figures(*parts["test"]),
    }


def add_model(
    folder: RunFolder, spec: RunSpec, texts: Sequence[str], labels: Sequence[int], names: Sequence[str]
) -> None:
    """The packaged encoder with its head fitted to these rows by logistic regression: a real model, in seconds.

    Its own pooler was never trained; a straight line through tanh's middle keeps what the first token says.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    from core.models.encoder import load_encoder, save_encoder

    model, tokenizer = load_encoder(spec.model, names)
    model.eval()
    with torch.no_grad():
        model.bert.pooler.dense.weight.copy_(0.3 * torch.eye(model.config.hidden_size))
        model.bert.pooler.dense.bias.zero_()
        pooled = []
        for start in range(0, len(texts), 64):
            batch = tokenizer(list(texts[start : start + 64]), truncation=True, padding=True, return_tensors="pt")
            pooled.append(model.bert(**batch).pooler_output.numpy())
        fitted = LogisticRegression(C=10, max_iter=1000).fit(np.concatenate(pooled), labels)
        model.classifier.weight.copy_(torch.from_numpy(fitted.coef_))
        model.classifier.bias.copy_(torch.from_numpy(fitted.intercept_))
    save_encoder(model, tokenizer, folder.model)
