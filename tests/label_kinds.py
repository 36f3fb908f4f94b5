"""Runs whose rows have several classes, or a probability for each: split for real, with made-up predictions."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.examples import DataFacts, label_array
from core.data.split import read_examples, write_split
from core.evaluation.baselines import run_baselines
from core.evaluation.multi_label import tuned_thresholds
from core.evaluation.predictions import Predictions
from core.evaluation.report import write_report
from core.schema import LabelKind, RunSpec
from core.spec_files import parse_spec, spec_yaml
from core.workspace import RunFolder, Workspace

HOSTILE = "<script>alert('x')</script> & \"quotes\""
TOPICS = ("<b>bold</b>", "R&D", "sport", "trade", "ساده", "rare")
"""Class names; the last has few rows."""
SHARES = (0.5, 0.35, 0.3, 0.2, 0.15, 0.02)
WORDS = (HOSTILE, "a paper about budgets", "ball and goal", "ships and goods", "یک متن ساده", "seldom seen")
MACHINE = {"processor": "A processor", "cores": 2, "memory_bytes": 2**34, "gpu": None, "versions": {"torch": "2"}}


@dataclass(frozen=True)
class Part:
    row_ids: np.ndarray
    texts: list[str]
    labels: np.ndarray
    cells: dict[str, list[str]]


@dataclass(frozen=True)
class KindRun:
    folder: RunFolder
    spec: RunSpec
    facts: DataFacts
    parts: dict[str, Part]


def split_run(workspace: Workspace, table: Path, kind: LabelKind, rows: int = 400, run_id: str = "a-run") -> KindRun:
    """A run of `rows` rows whose texts tell their classes, up to the frozen split. Writes the table."""
    rng = np.random.default_rng(7)
    table.parent.mkdir(parents=True, exist_ok=True)
    has = rng.random((rows, len(TOPICS))) < SHARES
    has[~has.any(axis=1), 2] = True
    lines = [" ".join(WORDS[number] for number in np.flatnonzero(row)) + f" {place}" for place, row in enumerate(has)]
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if kind == "multi":
            writer.writerow(["text", "topics"])
            for line, row in zip(lines, has, strict=True):
                writer.writerow([line, "; ".join(TOPICS[number] for number in np.flatnonzero(row))])
        else:
            writer.writerow(["text", *TOPICS])
            weights = has * rng.random(has.shape) + 0.02
            shares = weights / weights.sum(axis=1, keepdims=True)
            for line, row in zip(lines, shares, strict=True):
                writer.writerow([line, *(f"{share:.6f}" for share in row)])
    labels = {"label": "topics"} if kind == "multi" else {"label_columns": list(TOPICS)}
    content = {
        "name": "Topics <i>many</i>",
        "split": {"test": 0.25},
        "data": {"train": {"path": str(table)}},
        "mapping": {"text": ["text"], "kind": kind, **labels},
    }
    spec = parse_spec(content, "test")
    folder = workspace.run(run_id)
    facts = write_split(spec, workspace, folder)
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    parts = {}
    for name in ("train", "validation", "test"):
        examples = read_examples(folder, name)
        parts[name] = Part(
            examples["row_id"].to_numpy(), examples["text"].to_pylist(), label_array(examples["label"], facts), {}
        )
    return KindRun(folder, spec, facts, parts)


def predicted(part: Part, kind: LabelKind, noise: float = 0.45, seed: int = 0) -> Predictions:
    """Probabilities that lean towards the truth, the less the more noise."""
    rng = np.random.default_rng(seed)
    drawn = rng.random(part.labels.shape)
    if kind == "multi":
        said = (1 - noise) * (0.1 + 0.8 * part.labels) + noise * drawn
    else:
        said = (1 - noise) * part.labels + noise * drawn
        said = said / said.sum(axis=1, keepdims=True)
    return Predictions(part.row_ids, part.labels, said.astype(np.float32))


def reported(run: KindRun, noise: float = 0.45, baselines: bool = True) -> dict:
    """The report of a model that predicted so; returns the content of report.json."""
    kind = run.facts.kind
    history = [{"name": "train/loss", "step": step, "value": 1 / step, "time": 0.0} for step in range(1, 60)]
    history += [
        {"name": f"validation/{name}", "step": step, "value": 0.6, "time": 0.0}
        for step in (30, 59)
        for name in ("loss", "accuracy", "macro_f1")
    ]
    history += [{"name": "baseline/tfidf/macro_f1", "step": 0, "value": 0.4, "time": 0.0}]
    validation = predicted(run.parts["validation"], kind, noise, seed=1)
    return write_report(
        run.folder,
        run.spec,
        run.facts,
        test=predicted(run.parts["test"], kind, noise),
        validation=validation,
        thresholds=tuned_thresholds(validation.true, validation.probabilities) if kind == "multi" else None,
        baselines=run_baselines(run.parts, run.facts.labels, kind) if baselines else [],
        training={
            "steps": 59,
            "epochs": 3.0,
            "seconds": 75.0,
            "best": {"name": "macro_f1", "value": 0.6, "step": 59},
            "history": history,
            "machine": MACHINE,
            "tokens_cut": {"train": 0.0, "validation": 0.0, "test": 0.0},
        },
    )


def write_model_facts(run: KindRun, noise: float = 0.45) -> None:
    """model/tunedesk.json, without weights."""
    run.folder.model.mkdir(parents=True, exist_ok=True)
    mapping, model = run.spec.mapping, run.spec.model
    thresholds: list[float] = []
    if run.facts.kind == "multi":
        validation = predicted(run.parts["validation"], run.facts.kind, noise, seed=1)
        thresholds = tuned_thresholds(validation.true, validation.probabilities).tolist()
    content = {
        "schema_version": 2,
        "run": run.folder.id,
        "name": run.spec.name,
        "preset": run.spec.preset,
        "base": model.source,
        "base_revision": None,
        "method": model.method,
        "labels": run.facts.labels,
        "max_length": model.max_length,
        "text_columns": list(mapping.text),
        "joiner": mapping.joiner,
        "backslash_is_space": mapping.backslash_is_space,
        "class_names": dict(mapping.class_names),
        "label_kind": mapping.kind,
        "thresholds": thresholds,
    }
    (run.folder.model / "tunedesk.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def add_kind_model(run: KindRun) -> None:
    """The packaged encoder with a head fitted to the train rows by logistic regression: a real model, in seconds.

    As tests.run_folders.add_model; of soft labels the likeliest class is learned. Writes model/tunedesk.json too.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    from core.models.encoder import load_encoder, save_encoder

    write_model_facts(run)
    kind, labels, train = run.facts.kind, run.facts.labels, run.parts["train"]
    model, tokenizer = load_encoder(run.spec.model, labels, kind)
    model.eval()
    with torch.no_grad():
        model.bert.pooler.dense.weight.copy_(0.3 * torch.eye(model.config.hidden_size))
        model.bert.pooler.dense.bias.zero_()
        pooled = []
        for start in range(0, len(train.texts), 64):
            texts = train.texts[start : start + 64]
            batch = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
            pooled.append(model.bert(**batch).pooler_output.numpy())
        states = np.concatenate(pooled)
        if kind == "multi":
            fitted = [LogisticRegression(C=10, max_iter=1000).fit(states, column) for column in train.labels.T]
            weights, biases = np.concatenate([one.coef_ for one in fitted]), [one.intercept_[0] for one in fitted]
        else:
            one = LogisticRegression(C=10, max_iter=1000).fit(states, train.labels.argmax(axis=1))
            assert len(one.classes_) == len(labels)
            weights, biases = one.coef_, one.intercept_
        model.classifier.weight.copy_(torch.from_numpy(weights))
        model.classifier.bias.copy_(torch.tensor(np.array(biases)))
    save_encoder(model, tokenizer, run.folder.model)
