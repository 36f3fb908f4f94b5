"""How far a labelled file is from what a run learned from: the samples that core.evaluation.drift compares."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from core.data.examples import read_data_facts, read_examples
from core.data.table import Table
from core.evaluation.drift import SAMPLED, Texts, label_drift, sample, text_drift
from core.model_facts import ModelFacts, ModelText
from core.model_input import read_chunks
from core.workspace import RunFolder

LEARNED_FROM = ("train", "validation")


def seen_rows(folder: RunFolder, facts: ModelFacts, table: Table, columns: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """bool [rows of the table]: whether the model was trained on the same text, or its checkpoint chosen by it; none
    where the run's own texts were removed from its folder."""
    if not folder.examples.exists():
        return np.zeros(table.rows, dtype=np.bool_)
    # Python's own hashes, 8 bytes a text, are of this process alone.
    learned = np.concatenate([_hashes(read_examples(folder, part)["text"].to_pylist()) for part in LEARNED_FROM])
    chunks = read_chunks(table, facts, columns, [])
    return np.isin(np.concatenate([_hashes(map(_text, texts)) for texts, _ in chunks]), learned)


def _hashes(texts: Iterable[str]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(hash, texts), dtype=np.int64)


def file_drift(
    folder: RunFolder,
    facts: ModelFacts,
    table: Table,
    columns: tuple[str, ...],
    readable: npt.NDArray[np.bool_],
    counts: Mapping[str, int],
) -> dict[str, Any] | None:
    """{"labels", "texts", "cut"}, as core.evaluation.drift.drift_words takes them; None where the run's own texts were
    removed from its folder.

    readable: bool [rows], those of the file with a text and a label that the run did not learn from: of no others can
    be told how far they are; counts: the file's classes with their rows.
    """
    if not folder.examples.exists() or not readable.any():
        return None
    texts = Texts(_sampled(folder, "train"), _file_texts(facts, table, columns, readable), _sampled(folder, "test"))
    return {
        "labels": label_drift(read_data_facts(folder).class_counts["train"], counts),
        "texts": text_drift(texts),
        "cut": _cut(folder, facts, texts),
    }


def _sampled(folder: RunFolder, part: str) -> list[str]:
    texts = read_examples(folder, part)["text"]
    found: list[str] = texts.take(sample(len(texts))).to_pylist()
    return found


def _file_texts(
    facts: ModelFacts, table: Table, columns: tuple[str, ...], readable: npt.NDArray[np.bool_]
) -> list[str]:
    """A sample of the file's texts, read some rows at a time."""
    rows = np.flatnonzero(readable)
    wanted = np.zeros(len(readable), dtype=np.bool_)
    wanted[rows[sample(len(rows))]] = True
    found: list[str] = []
    read = 0
    for texts, _ in read_chunks(table, facts, columns, []):
        chosen = np.flatnonzero(wanted[read : read + len(texts)])
        found += [_text(texts[place]) for place in chosen.tolist()]
        read += len(texts)
        if len(found) >= SAMPLED:
            break
    return found


def _text(text: ModelText) -> str:
    return text if isinstance(text, str) else text["text"]


def _cut(folder: RunFolder, facts: ModelFacts, texts: Texts) -> dict[str, float] | None:
    """Shares of the samples that are longer than the model reads; None of a model that reads prompts."""
    file = folder.model / "tokenizer.json"
    if facts.task != "classify" or not file.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return {"train": _share(tokenizer, texts.train, facts), "file": _share(tokenizer, texts.file, facts)}


def _share(tokenizer: Tokenizer, texts: Sequence[str], facts: ModelFacts) -> float:
    longer = [len(one) > facts.max_length for one in tokenizer.encode_batch_fast(list(texts))]
    return sum(longer) / max(1, len(longer))
