"""What each epoch's checkpoint of the quick start is worth on rows that decide nothing, beside its validation figures.

    python benchmarks/kept_checkpoint.py DATA_SET TEXT LABEL SEED [training.SETTING=VALUE ...]

Needs ../shared/data beside the project. Of the data set's train file some rows are held out, a fifth or of banking77
2,000, divided anew by each seed; its test file is not read. A line for each epoch: validation loss, accuracy and
macro_f1, then acc and f1, the same two on the held-out rows. The last line is what the run itself kept.
"""

import csv
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402  the project is found only now
from sklearn.metrics import f1_score  # noqa: E402
from transformers import Trainer, TrainerCallback  # noqa: E402

from benchmarks.machine import heading  # noqa: E402
from core.data.split import write_split  # noqa: E402
from core.models.tokens import tokenise  # noqa: E402
from core.presets import find_preset, preset_spec  # noqa: E402
from core.runs.store import open_store  # noqa: E402
from core.runs.supervisor import submit  # noqa: E402
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile  # noqa: E402
from core.training import classifier  # noqa: E402
from core.training.job import Job  # noqa: E402
from core.training.worker import labelled_texts  # noqa: E402
from core.workspace import open_workspace  # noqa: E402

SHARED_DATA = PROJECT.parent / "shared" / "data"
HELD_OUT = {"banking77": 2000}


def main(data: str, text: str, label: str, seed: int, settings: dict[str, Any]) -> None:
    print(heading("torch", "transformers", "scikit-learn"), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        _divide(data, seed, root)
        preset = preset_spec(
            find_preset("quickstart-minilm"),
            DataSpec(train=TableFile(path=str(root / "train.csv")), test=TableFile(path=str(root / "test.csv"))),
            MappingSpec(text=(text,), label=label),
        )
        training = preset.training.model_copy(update={"seed": seed, **settings})
        evaluation = preset.evaluation.model_copy(update={"baselines": False})
        _train(
            preset.model_copy(update={"training": training, "evaluation": evaluation}), root, f"{data} {label} {seed}"
        )


def _divide(data: str, seed: int, root: Path) -> None:
    with (SHARED_DATA / data / "train.csv").open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    random.Random(seed).shuffle(rows)
    held_out = HELD_OUT.get(data, len(rows) // 5)
    for name, some in (("test", rows[:held_out]), ("train", rows[held_out:])):
        with (root / f"{name}.csv").open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, rows[0].keys())
            writer.writeheader()
            writer.writerows(some)


def _train(spec: RunSpec, root: Path, named: str) -> None:
    workspace = open_workspace(root / "workspace")
    folder, store = workspace.run(submit(workspace, spec)), open_store(workspace)
    store.claim_next()
    facts = write_split(spec, workspace, folder)
    parts = {part: labelled_texts(folder, part, facts) for part in ("train", "validation", "test")}
    make = classifier.classifier_trainer

    def looked_at(spec: RunSpec, folder: Any, model: Any, tokenizer: Any, *rest: Any) -> Trainer:
        held_out = tokenise(tokenizer, parts["test"].texts, spec.model.max_length, parts["test"].labels)
        trainer = make(spec, folder, model, tokenizer, *rest)
        trainer.add_callback(Look(named, tokenizer.pad_token_id, held_out))
        return trainer

    classifier.classifier_trainer = looked_at  # type: ignore[assignment]
    began = time.monotonic()
    test = classifier.train_classifier(Job(spec, folder, store), facts, parts).test
    kept = float((test.probabilities.argmax(1) == test.true).mean())
    print(f"{named} kept: acc {kept:.4f}, {time.monotonic() - began:.0f} s", flush=True)


class Look(TrainerCallback):
    """Asks the model about the held-out rows after each evaluation."""

    def __init__(self, named: str, pad_token_id: int, held_out: Any) -> None:
        self.named, self.pad_token_id, self.held_out = named, pad_token_id, held_out

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model, metrics = kwargs["model"], kwargs["metrics"]
        was_training = model.training
        model.eval()
        given = classifier.class_logits(model, self.held_out, self.pad_token_id, 64).argmax(1)
        model.train(was_training)
        true = np.asarray(self.held_out.labels)
        figures = {name: metrics[f"eval_{name}"] for name in ("loss", "accuracy", "macro_f1")}
        figures |= {"acc": float((given == true).mean()), "f1": float(f1_score(true, given, average="macro"))}
        rounded = {name: round(value, 4) for name, value in figures.items()}
        print(self.named, json.dumps({"epoch": round(state.epoch, 2), **rounded}), flush=True)


if __name__ == "__main__":
    pairs = (word.removeprefix("training.").split("=") for word in sys.argv[5:])
    main(*sys.argv[1:4], int(sys.argv[4]), {name: json.loads(value) for name, value in pairs})
