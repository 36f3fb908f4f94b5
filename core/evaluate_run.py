"""How good a finished run's model is on another labelled file: `launch.py evaluate RUN FILE`. Heavy: imports torch."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.data.class_steps import ClassSteps, taught
from core.data.examples import DataFacts, read_data_facts
from core.data.labels import (
    EMPTY_LABEL,
    EMPTY_TEXT,
    NOT_IN_TRAIN,
    RowLabels,
    keep_classes,
    label_columns,
    read_labels,
    variant_key,
)
from core.data.table import Table, require_columns
from core.decision import is_sure, shown_share
from core.errors import UserError
from core.evaluation.abstaining import outside_figures, outside_words
from core.evaluation.drift import drift_words
from core.evaluation.kinds import label_metrics
from core.file_drift import file_drift, seen_rows
from core.model_facts import ModelFacts, require_classes, run_model_facts
from core.model_input import model_text_columns, open_like_training, read_chunks
from core.predict import OnProgress, filled_probabilities, timed_progress
from core.predictor import Predictor, load_predictor
from core.schema import MappingSpec, TableFile
from core.spec_files import read_spec
from core.text_template import renamed
from core.workspace import RunFolder, Workspace

LISTED_LABELS = 100
"""Labels unknown to the model that are named; the rest are only counted."""


@dataclass(frozen=True)
class _Truth:
    """The labels of the file's rows, as the model could give them."""

    used: npt.NDArray[np.bool_]
    """[rows]: those with a text and a label that the model knows."""
    outside: npt.NDArray[np.bool_]
    """[rows], of one class a row: those with a text and a label that it does not know."""
    true: npt.NDArray[Any]
    """Of the used rows, as core.evaluation.predictions.Predictions has it."""
    unknown: Counter[str]
    """Labels that the model never learned -> rows that have them."""
    left_out: dict[str, int]
    counts: dict[str, int]
    """Rows of each class in the file, unknown ones too."""


def evaluate_file(
    workspace: Workspace,
    run_id: str,
    file: Path | TableFile,
    on_progress: OnProgress | None = None,
    *,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
) -> dict[str, Any]:
    """Score a run's model on a labelled file; rows without text or with a label that it never learned are left out.

    Where a row may have several classes it is left out only where the model knows none of them; the others are taken
    off, as they were when the run's own parts were made. Labels stand in the file as they did in the training file, or
    all in `label_column`.

    Returns {"run", "file", "rows", "scored", "seen" (of those scored, rows with a text that the run learned from),
    "left_out": {"empty_text", "empty_label", "label_not_in_model"},
    "unknown_labels": {label: rows} (the commonest 100), "kind", "metrics": see core.evaluation.kinds, "drift": how far
    the file is from training, see core.evaluation.drift, "notes", "seconds"}; of one class a row also "abstaining"
    (what the saved threshold comes to: threshold, and labelled and right, in rows) and "outside" (of rows whose label
    it does not know, null where there is none: see core.evaluation.abstaining). Raises UserError for absent columns, or
    where not one row can be scored.
    """
    started = time.monotonic()
    folder = workspace.run(run_id)
    facts = run_model_facts(folder)
    require_classes(facts)
    table = open_like_training(workspace, folder, file if isinstance(file, TableFile) else TableFile(path=str(file)))
    columns = model_text_columns(facts, table, text_columns)
    mapping = _mapping(folder, columns, label_column)
    require_columns(table, label_columns(mapping))
    truth = _truth(table, mapping, facts, folder)
    if not truth.used.any():
        raise _nothing_scored(facts, table, label_columns(mapping), truth)
    read = truth.used | truth.outside
    both = _score(load_predictor(folder.model), table, columns, read, on_progress)
    said, outside = both[truth.used[read]], both[truth.outside[read]]
    seen = seen_rows(folder, facts, table, columns)
    drift = file_drift(folder, facts, table, columns, read & ~seen, truth.counts)
    already = int((seen & truth.used).sum())
    sureness = _sureness(facts, truth.true, said, outside) if facts.label_kind == "single" else {}
    return {
        "run": run_id,
        "file": table.path.name,
        "rows": len(truth.used),
        "scored": len(said),
        "seen": already,
        "left_out": truth.left_out,
        "unknown_labels": dict(truth.unknown.most_common(LISTED_LABELS)),
        "kind": facts.label_kind,
        "metrics": label_metrics(facts.label_kind, truth.true, said, facts.labels, np.array(facts.thresholds)),
        **sureness,
        "drift": drift,
        "notes": [
            *_seen_notes(already, len(said)),
            *_notes(table, truth, several=facts.label_kind == "multi"),
            *_sureness_notes(sureness, facts.decision.abstain_below),
            *(drift_words(drift) if drift else ()),
        ],
        "seconds": time.monotonic() - started,
    }


def _seen_notes(seen: int, scored: int) -> list[str]:
    if not seen:
        return []
    return [
        f"{seen:,} of the {scored:,} rows that are scored have a text that the model has learned from: of new texts it "
        "probably gets fewer right than these figures say."
    ]


def _sureness(
    facts: ModelFacts, true: npt.NDArray[Any], said: npt.NDArray[np.float32], outside: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """What confidence is good for on these rows, and on those of none of the model's classes."""
    sure = is_sure(said, facts.decision)
    right = (said.argmax(axis=1) == true) & sure
    threshold = facts.decision.abstain_below
    return {
        "abstaining": {"threshold": threshold, "labelled": int(sure.sum()), "right": int(right.sum())},
        "outside": outside_figures(said, outside, threshold) if len(outside) else None,
    }


def _sureness_notes(sureness: dict[str, Any], threshold: float) -> list[str]:
    notes = []
    if sureness and threshold > 0:
        labelled, right = sureness["abstaining"]["labelled"], sureness["abstaining"]["right"]
        share = f", {right:,} of them rightly" if labelled else ""
        notes.append(f"From the saved threshold of {shown_share(threshold)} on it labels {labelled:,} rows{share}.")
    if sureness and sureness["outside"]:
        notes.append(outside_words(sureness["outside"], threshold))
    return notes


def _mapping(folder: RunFolder, text_columns: tuple[str, ...], label_column: str | None) -> MappingSpec:
    """The run's mapping, with the columns that this file has."""
    mapping = read_spec(folder.spec).mapping
    template = renamed(mapping.text_template, dict(zip(mapping.text, text_columns, strict=False)))
    mapping = mapping.model_copy(update={"text": text_columns, "text_template": template})
    if label_column is None:
        return mapping
    if mapping.kind == "soft":
        raise UserError(
            "This run learned from a column of probabilities for each class, so one label column cannot be compared.",
            "label",
            f"Leave --label out, and give a file with the columns {', '.join(mapping.label_columns)}.",
        )
    return mapping.model_copy(update={"label": label_column, "label_columns": ()})


def _truth(table: Table, mapping: MappingSpec, facts: ModelFacts, folder: RunFolder) -> _Truth:
    labels = read_labels(table, mapping)
    if mapping.kind != "soft":
        labels = taught(labels, _steps_of_run(mapping, read_data_facts(folder)))
    counts = labels.counts()
    known = set(facts.labels)
    unknown = Counter({name: rows for name, rows in labels.counts().items() if name not in known})
    if mapping.kind != "soft":
        labels = keep_classes(labels, known, NOT_IN_TRAIN)
    outside = (labels.left_out == NOT_IN_TRAIN) & (mapping.kind == "single")
    reasons = {"empty_text": EMPTY_TEXT, "empty_label": EMPTY_LABEL, "label_not_in_model": NOT_IN_TRAIN}
    left_out = {name: int((labels.left_out == reason).sum()) for name, reason in reasons.items()}
    return _Truth(labels.used, outside, _true(labels, facts), unknown, left_out, counts)


def _steps_of_run(mapping: MappingSpec, data: DataFacts) -> ClassSteps:
    """Spellings folded and rare classes merged as in training; what was dropped there the model does not know."""
    known = [*data.labels, *data.rare] if mapping.fold_label_variants else []
    rare = data.rare if mapping.rare_classes == "merge" else []
    return ClassSteps({variant_key(name): name for name in known}, frozenset(), frozenset(rare), "merge")


def _true(labels: RowLabels, facts: ModelFacts) -> npt.NDArray[Any]:
    """Of the rows that are used, in the order of the model's classes."""
    rows = np.flatnonzero(labels.used)
    if labels.probabilities is not None:
        return labels.probabilities[rows][:, [labels.names.index(name) for name in facts.labels]]
    place = np.array([facts.labels.index(name) for name in labels.names], dtype=np.int64)
    classes = place[labels.of_rows(rows)]
    if facts.label_kind == "single":
        return classes
    true = np.zeros((len(rows), len(facts.labels)), dtype=np.float32)
    true[np.repeat(np.arange(len(rows)), labels.sizes[rows]), classes] = 1
    return true


def _score(
    predictor: Predictor,
    table: Table,
    columns: tuple[str, ...],
    used: npt.NDArray[np.bool_],
    on_progress: OnProgress | None,
) -> npt.NDArray[np.float32]:
    """The probabilities of the rows that are used: [used rows, classes]."""
    progress = timed_progress(table.rows, on_progress)
    said = []
    read = 0
    for texts, _ in read_chunks(table, predictor.facts, columns, []):
        chosen = [text if use else "" for text, use in zip(texts, used[read : read + len(texts)], strict=True)]
        if any(chosen):
            said.append(filled_probabilities(predictor, chosen, progress, read))
        read += len(texts)
        progress(read)
    return np.concatenate(said)


def _nothing_scored(facts: ModelFacts, table: Table, columns: tuple[str, ...], truth: _Truth) -> UserError:
    found = ", ".join(name for name, _ in truth.unknown.most_common(5)) or "nothing"
    label = columns[0] if len(columns) == 1 else f"{columns[0]} and the {len(columns) - 1} after it"
    return UserError(
        f"No row of {table.path.name} has both a text and a label that the model knows: column '{label}' holds "
        f"{found}; the model knows {', '.join(facts.labels[:5])}{' ...' if len(facts.labels) > 5 else ''}.",
        f"{table.path.name}, column {label}",
        "Choose the column that holds the labels, or give them the names that the model was trained on.",
    )


def _notes(table: Table, truth: _Truth, *, several: bool) -> list[str]:
    notes = []
    if truth.unknown:
        named = ", ".join(f"{name} ({rows:,})" for name, rows in truth.unknown.most_common(10))
        what = (
            f"Classes that the model never learned are taken off {truth.unknown.total():,} times, and "
            f"{truth.left_out['label_not_in_model']:,} rows that have no other are not scored"
            if several
            else f"{truth.unknown.total():,} rows have a label that the model never learned, so it cannot be right on "
            "them; they are not scored"
        )
        notes.append(f"{what}: {named}{' ...' if len(truth.unknown) > 10 else ''}.")
    if truth.left_out["empty_text"] or truth.left_out["empty_label"]:
        notes.append(
            f"{truth.left_out['empty_text']:,} rows without text and {truth.left_out['empty_label']:,} without label "
            "are not scored."
        )
    if table.rejected:
        notes.append(f"{table.rejected:,} lines of {table.path.name} could not be read and are not scored.")
    return notes
