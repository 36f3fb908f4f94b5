"""Training an encoder: transformers' Trainer with its usual settings against ours, from one run on this machine.

    python benchmarks/encoder_speed.py [CASE ...]

Needs ../shared/data beside the project. Each side of a case is a process of its own, one after the other, that reads
texts, trains, and predicts the test part with the best epoch; seconds are from texts in memory to predictions,
without imports and without loading the model. Both sides have the same model, frozen layers, batch size, epochs,
learning rates and evaluation after each epoch.

Trainer: dynamic padding (DataCollatorWithPadding) in random order, float32, as in transformers' own examples, with the
attention dropout that the model comes with. Ours: what a run does (core/training/classifier.py), with everything the
defaults bring: batches of like length, frozen layers computed once, embeddings of the tokens that occur, no attention
dropout, and bfloat16 where the processor multiplies it. Peak memory is the process's largest resident size, less what
it was before the texts were tokenised.

neobert-shaped: NeoBERT's 28 layers, narrow (hidden 64), random weights, on the first 240 articles of BBC news: speed
does not depend on the weights, so its accuracy means nothing and is not shown.
"""

import csv
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402  the project is found only now

SHARED_DATA = PROJECT.parent / "shared" / "data"
SIDES = ("trainer", "ours")
LEARNING_RATE = 1e-4
ATTENTION_DROPOUT = {"minilm": 0.1, "neobert-shaped": 0.0}
"""As the models come."""
FEW = {"train": 240, "test": 60}
"""Rows of `few_articles`."""


@dataclass(frozen=True)
class Case:
    model: str
    """`minilm` or `neobert-shaped`."""
    data: str
    """`trec` or `bbc_news`, or `few_articles`: the first rows of the latter."""
    method: str
    frozen: int
    epochs: int
    max_length: int
    mark: float
    """How many times faster ours should be, in all."""
    epochs_mark: float = 0.0
    """The same within training alone, once what frozen layers say is kept; 0: no mark."""
    cache: str = "auto"


CASES = {
    "minilm-freeze": Case("minilm", "trec", "freeze", 4, 3, 256, 2.5),
    "minilm-full": Case("minilm", "trec", "full", 0, 3, 256, 1.3),
    "neobert-freeze": Case("neobert-shaped", "few_articles", "freeze", 26, 20, 512, 3.8, 4.5),
    "neobert-head": Case("neobert-shaped", "few_articles", "head", 28, 20, 512, 15),
    "bbc-freeze-disk": Case("minilm", "bbc_news", "freeze", 4, 3, 512, 1.0, cache="disk"),
}


def main(names: list[str]) -> int:
    print(heading("torch", "transformers", "accelerate"))
    reached = True
    for name in names or CASES:
        case = CASES[name]
        print(
            f"\n{name}: {case.model}, {case.data}, {case.method}, {case.frozen} frozen, {case.epochs} epochs",
            flush=True,
        )
        found = {}
        for side in SIDES:
            told = subprocess.run(
                [sys.executable, __file__, "--side", side, name], stdout=subprocess.PIPE, text=True, check=True
            )
            found[side] = json.loads(told.stdout.splitlines()[-1])
            print("  " + _line(side, case, found[side]), flush=True)
        for what, mark in (("seconds", case.mark), ("training_seconds", case.epochs_mark)):
            if mark:
                times = found["trainer"][what] / found["ours"][what]
                reached &= times >= mark
                words = "in all" if what == "seconds" else "in training, the kept states made"
                print(f"  {times:.1f} times faster {words}; mark {mark:g}: {'reached' if times >= mark else 'MISSED'}")
    return 0 if reached else 1


def _line(side: str, case: Case, found: dict[str, Any]) -> str:
    rows = found["train_rows"] * case.epochs / found["training_seconds"]
    accuracy = "" if case.model == "neobert-shaped" else f", test accuracy {found['accuracy']:.4f}"
    kept = f", {found['cache_mb']:,.0f} MB kept in {found['cache_seconds']:.1f} s" if found["cache_mb"] else ""
    return (
        f"{side:8} {found['seconds']:7.1f} s in all, {found['training_seconds']:7.1f} s training "
        f"({rows:,.0f} rows/s), peak memory {found['peak_mb']:,.0f} MB{accuracy}{kept}"
    )


def measure(side: str, case: Case) -> dict[str, Any]:
    """One side of a case, in this process."""
    from core.models.encoder import load_encoder
    from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec

    with tempfile.TemporaryDirectory() as root:
        spec = RunSpec(
            data=DataSpec(train=TableFile(path=str(_file(case, Path(root), "train"))),
                          test=TableFile(path=str(_file(case, Path(root), "test")))),
            mapping=MappingSpec(text=("text",), label="label"),
            model=ModelSpec(source=_source(case, Path(root)), method=case.method, frozen_layers=case.frozen,
                            max_length=case.max_length,
                            attention_dropout=ATTENTION_DROPOUT[case.model] if side == "trainer" else 0),
            training=TrainingSpec(epochs=case.epochs, batch_size=32, learning_rate=LEARNING_RATE,
                                  prefix_cache=case.cache),
        )  # fmt: skip
        # Once, so that neither side pays for what torch does at its first pass.
        load_encoder(spec.model, ["a", "b"])
        return (_ours if side == "ours" else _trainer)(spec, Path(root))


def _ours(spec: Any, root: Path) -> dict[str, Any]:
    import core.training.classifier as classifier
    from core.data.split import write_split
    from core.runs.store import open_store
    from core.runs.supervisor import submit
    from core.training.job import Job
    from core.training.worker import labelled_texts
    from core.workspace import open_workspace

    workspace = open_workspace(root / "workspace")
    folder = workspace.run(submit(workspace, spec))
    store = open_store(workspace)
    store.claim_next()
    facts = write_split(spec, workspace, folder)
    parts = {part: labelled_texts(folder, part, facts) for part in ("train", "validation", "test")}
    kept = {"bytes": 0, "seconds": 0.0}
    trainers = []
    fill, load, make = classifier.fill_cache, classifier._load, classifier.classifier_trainer

    def timed_load(*given: Any) -> Any:
        loaded = load(*given)
        began[0] = time.perf_counter()
        before[0] = _peak_mb()
        return loaded

    def timed_fill(*given: Any) -> Any:
        start = time.perf_counter()
        cached = fill(*given)
        kept.update(bytes=sum(rows.states.nbytes for rows in cached.values()), seconds=time.perf_counter() - start)
        return cached

    def made(*given: Any) -> Any:
        trainers.append(make(*given))
        return trainers[-1]

    began, before = [0.0], [0.0]
    classifier.fill_cache, classifier._load = timed_fill, timed_load
    classifier.classifier_trainer = made
    trained = classifier.train_classifier(Job(spec, folder, store), facts, parts)
    seconds = time.perf_counter() - began[0]
    right = trained.test.probabilities.argmax(axis=1) == trained.test.true
    return _facts(seconds, trainers[0], before[0], right) | {
        "cache_mb": kept["bytes"] / 1e6,
        "cache_seconds": kept["seconds"],
    }


def _trainer(spec: Any, root: Path) -> dict[str, Any]:
    """As transformers' text-classification example, on the same rows."""
    import datasets
    import numpy as np
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

    from core.data.split import write_split
    from core.models.encoder import load_encoder
    from core.models.freezing import apply_method
    from core.runs.supervisor import submit
    from core.training.worker import labelled_texts
    from core.workspace import open_workspace

    workspace = open_workspace(root / "workspace")
    folder = workspace.run(submit(workspace, spec))
    facts = write_split(spec, workspace, folder)
    parts = {part: labelled_texts(folder, part, facts) for part in ("train", "validation", "test")}
    set_seed(spec.training.seed)
    model, tokenizer = load_encoder(spec.model, facts.labels)
    model = _plainly_frozen(apply_method(model, spec.model))
    before, began = _peak_mb(), time.perf_counter()
    sets = {
        name: datasets.Dataset.from_dict({"text": part.texts, "label": part.labels}).map(
            lambda rows: tokenizer(rows["text"], truncation=True, max_length=spec.model.max_length),
            batched=True, remove_columns=["text"],
        )
        for name, part in parts.items()
    }  # fmt: skip
    body = [parameter for parameter in model.base_model.parameters() if parameter.requires_grad]
    ids = {id(parameter) for parameter in body}
    head = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in ids]
    import torch

    rate = spec.training.learning_rate
    groups = [{"params": body, "lr": rate}, {"params": head, "lr": rate * spec.training.head_learning_rate_factor}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.01)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(root / "checkpoints"), num_train_epochs=spec.training.epochs, eval_strategy="epoch",
            per_device_train_batch_size=spec.training.batch_size, per_device_eval_batch_size=64, save_strategy="epoch",
            save_total_limit=2, load_best_model_at_end=True, metric_for_best_model="accuracy", warmup_steps=0.1,
            label_smoothing_factor=spec.training.label_smoothing, seed=spec.training.seed, report_to=["tensorboard"],
            logging_steps=50, disable_tqdm=True,
        ),
        train_dataset=sets["train"], eval_dataset=sets["validation"],
        data_collator=DataCollatorWithPadding(tokenizer), processing_class=tokenizer, optimizers=(optimizer, None),
        compute_metrics=lambda said: {"accuracy": float((said.predictions.argmax(-1) == said.label_ids).mean())},
    )  # fmt: skip
    trainer.train()
    said = trainer.predict(sets["test"])
    seconds = time.perf_counter() - began
    right = np.asarray(said.predictions).argmax(axis=-1) == parts["test"].labels
    return _facts(seconds, trainer, before, right) | {"cache_mb": 0, "cache_seconds": 0}


def _plainly_frozen(model: Any) -> Any:
    """Trainer's own training mode, dropout in frozen layers included, as whoever sets requires_grad has it."""
    for module in model.modules():
        vars(module).pop("train", None)
    return model


def _facts(seconds: float, trainer: Any, before_mb: float, right: Any) -> dict[str, Any]:
    (runtime,) = [entry["train_runtime"] for entry in trainer.state.log_history if "train_loss" in entry]
    return {
        "seconds": seconds,
        "training_seconds": runtime,
        "train_rows": len(trainer.train_dataset),
        "peak_mb": _peak_mb() - before_mb,
        "accuracy": float(right.mean()),
    }


def _file(case: Case, root: Path, part: str) -> Path:
    if case.data != "few_articles":
        return SHARED_DATA / case.data / f"{part}.csv"
    few = root / f"{part}.csv"
    with (
        (SHARED_DATA / "bbc_news" / few.name).open(encoding="utf-8", newline="") as whole,
        few.open("w", encoding="utf-8", newline="") as stream,
    ):
        csv.writer(stream).writerows(itertools.islice(csv.reader(whole), 1 + FEW[part]))
    return few


def _source(case: Case, root: Path) -> str:
    from core.models.source import packaged_encoder
    from core.schema import PACKAGED_ENCODER

    if case.model == "minilm":
        return PACKAGED_ENCODER
    import torch
    from transformers import AutoTokenizer

    from core.models.neobert import NeoBERT, NeoBERTConfig

    torch.manual_seed(0)
    folder = root / "neobert-shaped"
    NeoBERT(NeoBERTConfig(hidden_size=64, num_attention_heads=4, intermediate_size=256)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(packaged_encoder()).save_pretrained(folder)
    return str(folder)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        # Whatever a library prints goes to standard error: standard output carries the figures alone.
        figures = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        print(json.dumps(measure(sys.argv[2], CASES[sys.argv[3]])), file=figures, flush=True)
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
