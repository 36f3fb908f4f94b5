"""Learning on all of TREC: a small Llama trained whole, and the nf4 path, which teaches it other names for the classes.

Scores are those of the 500 test questions; guessing gives 0.09 to 0.23.
"""

import csv
import json
from pathlib import Path

import pytest

from core.spec_files import parse_spec
from core.workspace import RunFolder, Workspace, open_workspace
from tests.flow.conftest import run_here
from tests.small_llama import write_small_llama

SMALLER = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
CLASSES = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
OTHER_NAMES = dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True))
"""Each class has the name of the next, so what a model has learned of the names is wrong."""


def trained(workspace: Workspace, files: dict[str, Path], model: dict, training: dict) -> tuple[RunFolder, dict]:
    """A run on TREC and its report; raw prompts, half as long as those of the chat template."""
    spec = parse_spec(
        {
            "name": "trec",
            "data": {part: {"path": str(path)} for part, path in files.items()},
            "mapping": {"text": ["text"], "label": "label"},
            "split": {"validation": 0.05},
            "model": {"family": "causal", "max_length": 128, **model},
            "prompt": {"template": "raw", "user": "{text}", "assistant": " {label}"},
            # Each evaluation scores every row of the validation part.
            "training": {"batch_size": 32, "label_smoothing": 0, "evaluate_every_steps": 162, **training},
            "evaluation": {"baselines": False, "generated_rows": 0},
        },
        "the test",
    )
    run = run_here(workspace, spec)
    folder = workspace.run(run.id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")
    return folder, json.loads((folder.report / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def files(shared_data: Path) -> dict[str, Path]:
    return {part: shared_data / "trec" / f"{part}.csv" for part in ("train", "test")}


@pytest.fixture(scope="module")
def from_nothing(tmp_path_factory: pytest.TempPathFactory, files: dict[str, Path]) -> tuple[RunFolder, dict]:
    place = tmp_path_factory.mktemp("trec")
    base = write_small_llama(place / "small-llama", **SMALLER)
    model = {"source": str(base), "method": "full"}
    return trained(open_workspace(place / "workspace"), files, model, {"epochs": 3, "learning_rate": 2e-3})


def renamed(file: Path, to: Path) -> Path:
    """The same questions, their classes under the other names."""
    with file.open(encoding="utf-8", newline="") as given, to.open("w", encoding="utf-8", newline="") as written:
        rows = [(row["text"], OTHER_NAMES[row["label"]]) for row in csv.DictReader(given)]
        csv.writer(written).writerows([("text", "label"), *rows])
    return to


def test_a_small_llama_learns_the_questions_from_nothing(from_nothing):
    _, report = from_nothing
    assert report["untuned"]["accuracy"] <= 0.25
    assert report["test"]["accuracy"] >= 0.80


def test_qlora_teaches_other_names_to_a_model_that_tells_the_classes_apart(from_nothing, files, workspace, tmp_path):
    learned, _ = from_nothing
    others = {part: renamed(path, tmp_path / path.name) for part, path in files.items()}
    lora = {"rank": 32, "alpha": 64, "dropout": 0}
    model = {"source": str(learned.model), "method": "qlora", "lora": lora}
    _, report = trained(workspace, others, model, {"epochs": 1, "learning_rate": 1e-3})
    assert report["untuned"]["accuracy"] <= 0.25
    assert report["test"]["accuracy"] >= 0.65
