"""What one finished run brings to the leaderboard: its model, itself before training, and its baselines, each with its
figures and with what it said of every test row. Read from the run's folder, and kept until the report is written anew.

Rows are the same where they are the same lines of the same file (by its content, not its name), read in the same way,
with the same classes and the same truth: `Standing.rows_id` is a digest of all that, in order. Which rows a model
learned from is not part of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.data.examples import DataFacts, label_array, read_data_facts
from core.evaluation.baseline_rows import FILE
from core.evaluation.kinds import likeliest
from core.evaluation.paired import Classes, macro_f1_interval
from core.evaluation.report_file import read_content
from core.evaluation.verdict import UNTUNED
from core.files import folder_bytes
from core.runs.store import Run
from core.schema import LabelKind, TableFile
from core.workspace import RunFolder

RUNS_KEPT = 500
"""Standings held in memory."""

Rank = Literal["run", "untuned", "baseline"]


@dataclass(frozen=True)
class Contestant:
    """Who gave answers, and how good they are. Shares are 0 to 1; None where a figure is not known."""

    rank: Rank
    name: str
    """`majority`, `tfidf`, `neighbours`, `untuned`; of a run ''."""
    title: str
    """Of a run '', and of it untuned what follows its name, which is the store's."""
    detail: str
    """How it was made; of a run its model."""
    accuracy: float
    accuracy_interval: list[float]
    macro_f1: float
    macro_f1_interval: list[float]
    micro_f1: float
    micro_f1_interval: list[float] | None
    """Only where a row may have several classes."""
    calibration_error: float
    calibration_error_interval: list[float] | None
    """None of reports of before it was measured."""
    rows_per_second: float | None
    size_bytes: int | None
    training_seconds: float | None
    peak_memory_bytes: int | None
    """Of the GPU where it trained on one, else of its process."""
    fit_rows: int


@dataclass(frozen=True, eq=False)
class Standing:
    rows_id: str
    data: str
    """The name of the file that the test rows are from, and that of the training file where it is another."""
    kind: LabelKind
    labels: tuple[str, ...]
    true: Classes
    """int64 [rows], one class a row; or bool [rows, classes]."""
    contestants: tuple[Contestant, ...]
    """The run first."""
    given: tuple[Classes, ...]
    """What each of them said, like `true`."""


def standing_of(folder: RunFolder) -> Standing | None:
    """None where the run has no answers that can be compared: of conversations, and where files were removed."""
    needed = (folder.data_facts, folder.examples, folder.report / "report.json", _predictions(folder))
    if not all(path.exists() for path in needed):
        return None
    return _read(folder.root, (folder.report / "report.json").stat().st_mtime_ns)


@lru_cache(maxsize=RUNS_KEPT)
def _read(root: Path, _written: int) -> Standing | None:
    folder = RunFolder(root)
    facts, report = read_data_facts(folder), read_content(folder)
    if report is None or facts.kind == "none":
        return None
    rows = _test_rows(folder)
    true = label_array(rows["label"], facts)
    truth: Classes = true > 0 if facts.kind == "multi" else likeliest(facts.kind, true)
    said = dict(_said_beside(folder, facts, len(truth)))
    tried = [("", _said_by_run(folder, facts, report)), *said.items()]
    return Standing(
        rows_id=_rows_id(facts, report, rows, true),
        data=_data_words(facts),
        kind=facts.kind,
        labels=tuple(facts.labels),
        true=truth,
        contestants=tuple(_contestant(name, folder, facts, report, truth, given) for name, given in tried),
        given=tuple(given for _, given in tried),
    )


def title_of(run: Run, contestant: Contestant) -> str:
    """What people call it."""
    return contestant.title if contestant.rank == "baseline" else run.name + contestant.title


def _data_words(facts: DataFacts) -> str:
    train = str(facts.files["train"]["name"])
    return f"{facts.files['test']['name']}, with {train}" if "test" in facts.files else train


def _predictions(folder: RunFolder) -> Path:
    return folder.report / "predictions.parquet"


def _test_rows(folder: RunFolder) -> pa.Table:
    """file, row and label of the test part, in its order; not the texts."""
    return pq.read_table(folder.examples, columns=["file", "row", "label"], filters=pc.field("part") == "test")


def _rows_id(facts: DataFacts, report: Mapping[str, Any], rows: pa.Table, true: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256(json.dumps([facts.kind, facts.labels]).encode())
    roles = rows["file"].to_numpy(zero_copy_only=False)
    for role in sorted(set(roles.tolist())):
        # From the report, which holds the settings as JSON: reading spec.yaml takes longer than all the rest.
        read = TableFile.model_validate({**report["settings"]["data"][role], "path": "", "more": ()})
        digest.update(json.dumps([facts.files[role]["sha256"], read.model_dump(mode="json")]).encode())
        digest.update(rows["row"].to_numpy()[roles == role].tobytes())
    digest.update(true.tobytes())
    return digest.hexdigest()


def _said_by_run(folder: RunFolder, facts: DataFacts, report: Mapping[str, Any]) -> Classes:
    several = facts.kind == "multi"
    column = "probabilities" if several else "predicted"
    found = pq.read_table(_predictions(folder), columns=[column], filters=pc.field("part") == "test")[column]
    if not several:
        return _places(found.combine_chunks(), facts)
    probabilities = found.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(facts.labels))
    given: Classes = probabilities >= np.array([figures["threshold"] for figures in report["test"]["per_class"]])
    return given


def _said_beside(folder: RunFolder, facts: DataFacts, rows: int) -> Iterator[tuple[str, Classes]]:
    """Name and answers of each baseline, and of the untuned model; runs of before they were kept have none."""
    if not (folder.report / FILE).exists():
        return
    table = pq.read_table(folder.report / FILE, columns=["name", "predicted"])
    for name in table["name"].unique().to_pylist():
        lists = table.filter(pc.field("name") == name)["predicted"].combine_chunks()
        places = _places(lists.flatten(), facts)
        if facts.kind != "multi":
            yield name, places
            continue
        given = np.zeros((rows, len(facts.labels)), dtype=np.bool_)
        given[np.repeat(np.arange(rows), pc.list_value_length(lists).to_numpy()), places] = True
        yield name, given


def _places(names: pa.Array, facts: DataFacts) -> npt.NDArray[np.int64]:
    return pc.index_in(names, pa.array(facts.labels, pa.string())).to_numpy(zero_copy_only=False).astype(np.int64)


def _contestant(
    name: str,
    folder: RunFolder,
    facts: DataFacts,
    report: Mapping[str, Any],
    true: Classes,
    given: Classes,
) -> Contestant:
    figures = {"": report["test"], UNTUNED: report.get("untuned")}.get(name) or report["baselines"][name]
    training = report["training"]
    own = name == ""
    rank: Rank = "run" if own else "untuned" if name == UNTUNED else "baseline"
    interval = figures.get("macro_f1_interval") or macro_f1_interval(true, given, len(facts.labels))
    return Contestant(
        rank=rank,
        name=name,
        title={"run": "", "untuned": " before training", "baseline": figures.get("title", "")}[rank],
        detail=_model_words(report["settings"]["model"]) if rank != "baseline" else figures["note"],
        accuracy=figures["accuracy"],
        accuracy_interval=figures["accuracy_interval"],
        macro_f1=figures["macro_f1"],
        macro_f1_interval=interval,
        micro_f1=figures["micro_f1"],
        micro_f1_interval=figures.get("micro_f1_interval"),
        calibration_error=figures["calibration_error"],
        calibration_error_interval=figures.get("calibration_error_interval"),
        rows_per_second=training.get("rows_per_second") if own else figures.get("rows_per_second"),
        size_bytes=_size(folder) if own else None,
        training_seconds=training["seconds"] if own else figures.get("seconds"),
        peak_memory_bytes=(training.get("peak_gpu_memory_bytes") or training.get("peak_memory_bytes")) if own else None,
        fit_rows=facts.parts["train"] if own else figures.get("fit_rows", 0),
    )


def _model_words(model: Mapping[str, Any]) -> str:
    return f"{model['source']}, {model['method']}"


def _size(folder: RunFolder) -> int | None:
    """Bytes of the model's folder; of adapters without the model that they belong to."""
    return folder_bytes(folder.model) or None
