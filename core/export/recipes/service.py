"""A web service over a classifier: what is asked, what is answered. Part of a server that leaves this program.

It imports nothing of Tunedesk but the two small files that go with it.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from core.decision import Decision, is_sure, label_sets, tempered
from core.text_template import filled

FOLDER = Path(__file__).resolve().parent
MOST_ROWS = 1000
"""In one request."""
WHITE_SPACE = " \t\n\x0b\x0c\r\xa0\u3000\ufeff"
"""What does not count at the ends of a cell."""

Facts = dict[str, Any]
Probabilities = Callable[[list[dict[str, str]]], npt.NDArray[np.float32]]
"""From rows, `text` and what else the model reads, to the probability of each class: float32 [rows, classes]."""


class Question(BaseModel):
    """Texts as they are; or rows, each a cell by the name of its column."""

    texts: list[str] = []
    rows: list[dict[str, str]] = []


def read_facts() -> Facts:
    """tunedesk.json: labels, columns, decision."""
    facts: Facts = json.loads((FOLDER / "tunedesk.json").read_text(encoding="utf-8"))
    return facts


def service(facts: Facts, probabilities: Probabilities) -> FastAPI:
    app = FastAPI(title=facts["name"])

    @app.get("/")
    def about() -> dict[str, Any]:
        return {
            "name": facts["name"], "labels": facts["labels"], "kind": facts["label_kind"],
            "columns": columns(facts), "decision": facts["decision"],
        }  # fmt: skip

    @app.post("/classify")
    def classify(question: Question) -> dict[str, Any]:
        rows = [{"text": text} for text in question.texts] or [given_row(facts, row) for row in question.rows]
        if len(rows) > MOST_ROWS:
            raise HTTPException(413, f"{len(rows)} rows; ask for at most {MOST_ROWS} at a time.")
        absent = set(facts["prompt_columns"]) - {"text"} - set(rows[0] if rows else facts["prompt_columns"])
        if absent:
            raise HTTPException(422, f"The prompt needs the columns {', '.join(sorted(absent))}: send rows.")
        if not all(row["text"].strip() for row in rows):
            raise HTTPException(422, "A text is empty.")
        return {"answers": answers(facts, probabilities(rows)) if rows else []}

    return app


def columns(facts: Facts) -> list[str]:
    more = [name for name in facts["prompt_columns"] if name != "text" and name not in facts["text_columns"]]
    return [*facts["text_columns"], *more]


def given_row(facts: Facts, row: dict[str, str]) -> dict[str, str]:
    """The row with its text, made of its cells as in training."""
    absent = [name for name in columns(facts) if name not in row]
    if absent:
        raise HTTPException(422, f"A row lacks the columns {', '.join(absent)}.")
    cells = {name: row[name].strip(WHITE_SPACE) for name in facts["text_columns"]}
    if facts["backslash_is_space"]:
        cells = {name: cell.replace("\\", " ").strip(WHITE_SPACE) for name, cell in cells.items()}
    if facts["text_template"]:
        text = filled(facts["text_template"], cells)
    else:
        text = facts["joiner"].join(cell for cell in cells.values() if cell)
    return {**row, "text": text}


def answers(facts: Facts, said: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
    """label (null where the model is not sure enough), labels (those that hold), and every class's probability."""
    labels: Sequence[str] = facts["labels"]
    decision = Decision(**facts["decision"])
    if facts["label_kind"] == "multi":
        chosen = said >= np.array(facts["thresholds"], dtype=np.float32)
        sure = np.zeros(len(said), dtype=np.bool_)
    else:
        said = tempered(said, decision.temperature) if facts["label_kind"] == "single" else said
        sure = is_sure(said, decision)
        chosen = label_sets(said, decision)
    return [
        {
            "label": labels[int(row.argmax())] if keep else None,
            "labels": [labels[number] for number in np.argsort(-row) if held[number]],
            "probabilities": dict(zip(labels, row.tolist(), strict=True)),
        }
        for row, held, keep in zip(said, chosen, sure, strict=True)
    ]
