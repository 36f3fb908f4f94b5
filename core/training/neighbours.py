"""The baseline of an encoder run that only the run itself can measure: nearest neighbours on the model as it comes.

It reads the model before anything of it is trained, changes neither its weights nor any random state, and costs a
bounded share of the training. Worker only: imports torch.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.data.examples import DataFacts
from core.evaluation.neighbours import (
    NAME,
    NEAREST_FILE,
    TITLE,
    Nearest,
    Neighbours,
    choose_k,
    note_words,
    votes_of,
    voting_rows,
)
from core.evaluation.predictions import Baseline
from core.files import replacing
from core.models.batches_that_fit import in_batches
from core.models.device import best_device, evaluation_format
from core.models.heads import pool
from core.models.tokens import TokenRows, model_inputs, tokenise
from core.training.job import Job, LabelledTexts
from core.training.saving import measured_once
from core.training.work import voting_rows_affordable
from core.workspace import RunFolder

FEWEST_VOTING = 500
"""With fewer than this of more train rows it would be no fair baseline, so it is left out."""
ROWS_AT_ONCE = 8192

Embed = Callable[[list[str]], npt.NDArray[np.float32]]


def neighbours_baseline(
    job: Job,
    facts: DataFacts,
    parts: Mapping[str, LabelledTexts],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
) -> Baseline | None:
    """Nearest neighbours on the untuned model, measured once a run; None where it would cost too much.

    model: as it was loaded, in evaluation mode. Raises StopRequestedError.
    """
    train = len(parts["train"].texts)
    classes = len(facts.labels) if facts.kind == "single" else 0
    most = voting_rows_affordable(job.spec, {name: len(part.texts) for name, part in parts.items()}, classes)
    if most < min(train, FEWEST_VOTING):
        job.say("Nearest neighbours are left out: beside so short a training they would cost too much.")
        return None

    def measure() -> dict[str, np.ndarray]:
        # Nothing here draws; should a model do so, training must not notice.
        with torch.random.fork_rng():
            return _measure(job, facts, parts, model, tokenizer, most)

    found = measured_once(job.folder.neighbours, measure)
    keep_nearest(job.folder, parts, found)
    return Baseline(
        name=NAME,
        title=TITLE,
        seconds=float(found["seconds"]),
        fit_rows=int(found["voting"]),
        note=note_words(int(found["k"]), int(found["voting"]), train),
        probabilities={part: found[part] for part in ("validation", "test")},
        thresholds=found["thresholds"] if facts.kind == "multi" else None,
        rows_per_second=float(found["rows_per_second"]),
    )


def _measure(
    job: Job,
    facts: DataFacts,
    parts: Mapping[str, LabelledTexts],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    most: int,
) -> dict[str, Any]:
    began = time.perf_counter()
    voting = voting_rows(parts["train"].labels, facts.kind, most)
    read_in_all = len(voting) + len(parts["validation"].texts) + len(parts["test"].texts)
    tell, read = job.counting("nearest neighbours"), 0

    def embed(texts: list[str]) -> npt.NDArray[np.float32]:
        nonlocal read
        rows = tokenise(tokenizer, texts, job.spec.model.max_length)
        found = embeddings_of(
            model,
            rows,
            tokenizer.pad_token_id,
            job.spec.training.evaluation_batch_size,
            lambda done: tell(read + done, read_in_all),
        )
        read += len(texts)
        return found

    texts = [parts["train"].texts[row] for row in voting]
    neighbours = Neighbours(embed(texts), votes_of(parts["train"].labels[voting], len(facts.labels)))
    validation = parts["validation"]
    chosen = choose_k(neighbours, embed(validation.texts), validation.labels, facts.kind)
    asked = time.perf_counter()
    test, nearest = _asked(neighbours, parts["test"].texts, embed, chosen.k)
    now = time.perf_counter()
    return {
        "validation": chosen.probabilities,
        "test": test,
        "k": np.array(chosen.k),
        "voting": np.array(len(voting)),
        "seconds": np.array(now - began),
        "rows_per_second": np.array(len(test) / (now - asked)),
        "thresholds": np.array([]) if chosen.thresholds is None else chosen.thresholds,
        **{
            f"{part}_{name}": values
            for part, few in (("validation", chosen.nearest), ("test", nearest))
            for name, values in (("nearest", voting[few.rows]), ("cosines", few.cosines))
        },
    }


def _asked(neighbours: Neighbours, texts: list[str], embed: Embed, k: int) -> tuple[npt.NDArray[np.float32], Nearest]:
    """What they say of these texts, some thousand at a time, whose embeddings need not all be held at once."""
    pieces = [
        neighbours.said_and_nearest(embed(texts[start : start + ROWS_AT_ONCE]), [k])
        for start in range(0, len(texts), ROWS_AT_ONCE)
    ]
    few = [nearest for _, nearest in pieces]
    nearest = Nearest(np.concatenate([one.rows for one in few]), np.concatenate([one.cosines for one in few]))
    return np.concatenate([said for (said,), _ in pieces]), nearest


def keep_nearest(folder: RunFolder, parts: Mapping[str, LabelledTexts], found: Mapping[str, np.ndarray]) -> None:
    """Write report/neighbours.parquet from what `_measure` found: row_id (of validation and test), nearest (row ids of
    train, the nearest first), cosines."""
    if "test_nearest" not in found:
        return  # measured before they were kept
    train = parts["train"].row_ids
    rows = [
        (parts[part].row_ids, train[found[f"{part}_nearest"]], found[f"{part}_cosines"])
        for part in ("validation", "test")
    ]
    row_ids, nearest, cosines = (np.concatenate(columns) for columns in zip(*rows, strict=True))
    table = pa.table(
        {
            "row_id": pa.array(row_ids, pa.int64()),
            "nearest": pa.array(list(nearest), pa.list_(pa.int64())),
            "cosines": pa.array(list(cosines), pa.list_(pa.float32())),
        }
    )
    folder.report.mkdir(parents=True, exist_ok=True)
    with replacing(folder.report / NEAREST_FILE) as target:
        pq.write_table(table, target)


@torch.no_grad()
def embeddings_of(
    model: PreTrainedModel,
    rows: TokenRows,
    pad_token_id: int,
    batch_size: int,
    on_progress: Callable[[int], None],
) -> npt.NDArray[np.float32]:
    """The mean of the last states of each row's tokens, at length 1: float32 [rows, width]. Batches hold neighbours in
    length. `on_progress` gets the rows done.

    Without gradients, but not in torch's inference mode: what a model keeps between passes would be of no use to
    training.
    """
    model.eval()
    torch.nn.Module.to(model, best_device())
    body: Any = model.base_model
    found: list[npt.NDArray[np.float32]] = []
    order = rows.shortest_first()

    def compute(chosen: npt.NDArray[np.int64]) -> None:
        inputs = model_inputs(rows, chosen, pad_token_id, model.device)
        pooled = pool(body(**inputs).last_hidden_state.float(), inputs["attention_mask"], "mean")
        found.append(torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy())

    with evaluation_format(model.device):
        in_batches(order, batch_size, compute, lambda done, _: on_progress(done))
    placed = np.empty((len(order), found[0].shape[1]), dtype=np.float32)
    placed[order] = np.concatenate(found)
    return placed
