"""How good a finished run's model is on another labelled file: `launch.py evaluate RUN FILE`. Heavy: imports torch."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.data.expressions import label_sql
from core.data.table import Table, require_columns
from core.errors import UserError
from core.evaluation.metrics import classification_metrics
from core.model_facts import ModelFacts, require_classes, run_model_facts
from core.model_input import model_text_columns, open_like_training, read_chunks
from core.predict import OnProgress, filled_probabilities, timed_progress
from core.predictor import Predictor, load_predictor
from core.schema import TableFile, read_spec
from core.workspace import Workspace

LISTED_LABELS = 100
"""Labels unknown to the model that are named; the rest are only counted."""


@dataclass
class _Scored:
    """What was seen of the file so far."""

    true: list[npt.NDArray[np.int64]] = field(default_factory=list)
    probabilities: list[npt.NDArray[np.float32]] = field(default_factory=list)
    """[rows, classes] of the same rows as `true`, the ones that have text and a label that the model knows."""
    unknown: Counter[str] = field(default_factory=Counter)
    empty_text: int = 0
    empty_label: int = 0
    rows: int = 0


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

    Returns {"run", "file", "rows", "scored", "left_out": {"empty_text", "empty_label", "label_not_in_model"},
    "unknown_labels": {label: rows} (the commonest 100), "metrics": see core.evaluation.metrics, "notes", "seconds"}.
    Raises UserError for absent columns, or where not one row can be scored.
    """
    started = time.monotonic()
    folder = workspace.run(run_id)
    facts = run_model_facts(folder)
    require_classes(facts)
    table = open_like_training(workspace, folder, file if isinstance(file, TableFile) else TableFile(path=str(file)))
    columns = model_text_columns(facts, table, text_columns)
    label = label_column or read_spec(folder.spec).mapping.label
    require_columns(table, (label,))
    scored = _score(load_predictor(folder.model), table, columns, label, on_progress)
    if not scored.true:
        raise _nothing_scored(facts, table, label, scored)
    true = np.concatenate(scored.true)
    return {
        "run": run_id,
        "file": table.path.name,
        "rows": scored.rows,
        "scored": len(true),
        "left_out": {
            "empty_text": scored.empty_text,
            "empty_label": scored.empty_label,
            "label_not_in_model": scored.unknown.total(),
        },
        "unknown_labels": dict(scored.unknown.most_common(LISTED_LABELS)),
        "metrics": classification_metrics(true, np.concatenate(scored.probabilities), facts.labels),
        "notes": _notes(table, scored),
        "seconds": time.monotonic() - started,
    }


def _score(
    predictor: Predictor, table: Table, columns: tuple[str, ...], label: str, on_progress: OnProgress | None
) -> _Scored:
    facts = predictor.facts
    index = {name: number for number, name in enumerate(facts.labels)}
    progress = timed_progress(table.rows, on_progress)
    scored = _Scored()
    for texts, (values,) in read_chunks(table, facts, columns, [label_sql(label)]):
        # A file may hold the labels of the training file, or their names.
        names = [facts.class_names.get(value, value) for value in values.to_pylist()]
        usable = [bool(text) and name in index for text, name in zip(texts, names, strict=True)]
        if any(usable):
            chosen = [text if use else "" for text, use in zip(texts, usable, strict=True)]
            scored.probabilities.append(filled_probabilities(predictor, chosen, progress, scored.rows))
            scored.true.append(
                np.array([index[name] for name, use in zip(names, usable, strict=True) if use], np.int64)
            )
        scored.empty_text += sum(not text for text in texts)
        with_text = [name for text, name in zip(texts, names, strict=True) if text]
        scored.empty_label += sum(not name for name in with_text)
        scored.unknown.update(name for name in with_text if name and name not in index)
        scored.rows += len(texts)
        progress(scored.rows)
    return scored


def _nothing_scored(facts: ModelFacts, table: Table, label: str, scored: _Scored) -> UserError:
    found = ", ".join(name for name, _ in scored.unknown.most_common(5)) or "nothing"
    return UserError(
        f"No row of {table.path.name} has both a text and a label that the model knows: column '{label}' holds "
        f"{found}; the model knows {', '.join(facts.labels[:5])}{' ...' if len(facts.labels) > 5 else ''}.",
        f"{table.path.name}, column {label}",
        "Choose the column that holds the labels, or give them the names that the model was trained on.",
    )


def _notes(table: Table, scored: _Scored) -> list[str]:
    notes = []
    if scored.unknown:
        named = ", ".join(f"{name} ({rows:,})" for name, rows in scored.unknown.most_common(10))
        notes.append(
            f"{scored.unknown.total():,} rows have a label that the model never learned, so it cannot be right "
            f"on them; they are not scored: {named}{' ...' if len(scored.unknown) > 10 else ''}."
        )
    if scored.empty_text or scored.empty_label:
        notes.append(
            f"{scored.empty_text:,} rows without text and {scored.empty_label:,} without label are not scored."
        )
    if table.rejected:
        notes.append(f"{table.rejected:,} lines of {table.path.name} could not be read and are not scored.")
    return notes
