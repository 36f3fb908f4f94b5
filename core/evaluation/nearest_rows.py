"""The train rows that are most like a held-out row: by the untuned encoder's embeddings where the run measured them,
else by TF-IDF, computed when it is asked for. No torch.

The first are in report/neighbours.parquet, which training writes: see core.training.neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from core.data.database import connection, literal
from core.data.examples import read_data_facts
from core.data.same_rows import fold_folder
from core.evaluation.neighbours import KEPT, NEAREST_FILE
from core.evaluation.tfidf import WORD
from core.workspace import RunFolder

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

EMBEDDINGS, TFIDF = "the untuned model", "shared words (TF-IDF)"
MOST_READ = 20_000
"""Train rows that TF-IDF compares with; more are sampled at even distances."""
MOST_CHARACTERS = 2000


@dataclass(frozen=True)
class LikeRow:
    row_id: int
    """Of the run's examples.parquet."""
    text: str
    label: str
    """Its class; of several classes a row these, of soft labels the likeliest."""
    cosine: float
    """1 is the same."""


@dataclass(frozen=True)
class Like:
    rows: tuple[LikeRow, ...]
    by: str
    """What tells which rows are like it: EMBEDDINGS or TFIDF."""


def nearest_rows(folder: RunFolder, fold: int, row_id: int, text: str) -> Like:
    """The train rows most like this row, of any fold; the first time by TF-IDF takes some seconds."""
    if fold == 1:
        found = _kept(folder, row_id)
        if found:
            return Like(_described(folder, found), EMBEDDINGS)
    vectorizer, features, rows = _tfidf(folder.root, fold, folder.examples.stat().st_mtime_ns)
    cosines = (features @ vectorizer.transform([text[:MOST_CHARACTERS]]).T).toarray().ravel()
    order = np.argsort(-cosines, kind="stable")[:KEPT]
    return Like(_described(folder, [(int(rows[one]), float(cosines[one])) for one in order if cosines[one] > 0]), TFIDF)


def _kept(folder: RunFolder, row_id: int) -> list[tuple[int, float]]:
    path = folder.report / NEAREST_FILE
    if not path.exists():
        return []
    table = pq.read_table(path, filters=[("row_id", "=", row_id)])
    if not len(table):
        return []
    return list(zip(table["nearest"][0].as_py(), table["cosines"][0].as_py(), strict=True))


@lru_cache(maxsize=1)
def _tfidf(root: Path, fold: int, _written: int) -> tuple["TfidfVectorizer", "csr_matrix", npt.NDArray[np.int64]]:
    """The vectorizer, features of train rows, and their row ids: kept, as rows of one run are opened one by one."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    rows, texts = _train_sample(RunFolder(root), fold)
    vectorizer = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    return vectorizer, vectorizer.fit_transform(texts), rows


def _train_sample(folder: RunFolder, fold: int) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Row ids and starts of the texts of the fold's train rows; every so many where there are very many.

    The texts are the run's own: of other folds only their division is kept.
    """
    examples, split = (literal(str(path)) for path in (folder.examples, fold_folder(folder, fold).split))
    with connection(folder.report) as database:
        found = database.execute(
            "SELECT row_id, text[:?] FROM (SELECT row_id, text, row_number() OVER (ORDER BY row_id) - 1 AS place, "  # noqa: S608
            f"count(*) OVER () AS n FROM read_parquet({examples}) example JOIN read_parquet({split}) split "
            "USING (file, row) WHERE split.part = 'train') WHERE place % (1 + (n - 1) // ?) = 0 ORDER BY row_id",
            [MOST_CHARACTERS, MOST_READ],
        ).fetchall()
    return np.array([row_id for row_id, _ in found], dtype=np.int64), [text for _, text in found]


def _described(folder: RunFolder, found: Sequence[tuple[int, float]]) -> tuple[LikeRow, ...]:
    facts = read_data_facts(folder)
    with connection(folder.report) as database:
        rows: dict[int, tuple[str, Any]] = {
            row_id: (text, label)
            for row_id, text, label in database.execute(
                f"SELECT row_id, text, label FROM read_parquet({literal(str(folder.examples))}) "  # noqa: S608
                "WHERE list_contains(?, row_id)",
                [[row_id for row_id, _ in found]],
            ).fetchall()
        }

    def label_words(label: Any) -> str:
        if facts.kind == "multi":
            return "; ".join(label)
        return facts.labels[int(np.argmax(label))] if facts.kind == "soft" else str(label)

    return tuple(LikeRow(row_id, rows[row_id][0], label_words(rows[row_id][1]), cosine) for row_id, cosine in found)
