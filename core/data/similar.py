"""Texts that are nearly the same, found by MinHash (rensa) over pieces of five characters.

Two texts count as nearly the same from a Jaccard similarity of 0.8 on: of all pieces of either, at least 80 % stand in
both. Candidates come from 16 bands of 4 hashes (a pair of similarity 0.8 is missed once in 5,000); of the candidates
the similarity is counted exactly. Only the first LONGEST characters of a text are compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from core.data.characters import Characters, Rows, characters
from core.data.table import Table
from core.schema import MappingSpec

SIMILAR = 0.8
PIECE = 5
"""Characters; texts with fewer have no pieces and are like nothing."""
HASHES, BANDS = 64, 16
SEED = 7
LONGEST = 2000
MOST_CANDIDATES = 200
"""Candidates that are counted exactly for one text, where a thousand look like it."""

Pieces = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Sketches:
    """What a file's texts are compared by."""

    rows: Rows
    """[texts], 0-based rows of the file."""
    bands: npt.NDArray[np.uint64]
    """[texts, BANDS]: texts that are alike share at least one in its place."""
    pieces: Pieces
    """Hashes of the pieces of each text, one text after the other."""
    starts: Rows
    """[texts + 1]: text i has `pieces[starts[i]:starts[i + 1]]`."""


def sketches(
    database: duckdb.DuckDBPyConnection, table: Table, mapping: MappingSpec, every: int = 1
) -> Iterator[Sketches]:
    """Of a file's texts, some thousand at a time; of about one row in `every`."""
    for batch in characters(database, table, mapping, LONGEST, every):
        yield _sketched(batch)


def similar_pairs(one: Sketches, other: Sketches) -> npt.NDArray[np.int64]:
    """[pairs, 2]: places in `one` and in `other` of texts that are nearly the same, sorted by the first.

    At most one pair for each text of `other`.
    """
    order = [np.argsort(one.bands[:, band], kind="stable") for band in range(BANDS)]
    sorted_bands = [one.bands[order[band], band] for band in range(BANDS)]
    candidates: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(len(other.rows))]
    for band in range(BANDS):
        first = np.searchsorted(sorted_bands[band], other.bands[:, band], "left")
        last = np.searchsorted(sorted_bands[band], other.bands[:, band], "right")
        for place in np.flatnonzero(last > first):
            candidates[place].append(order[band][first[place] : min(last[place], first[place] + MOST_CANDIDATES)])
    pairs = []
    for theirs, found in enumerate(candidates):
        tried = sorted(set(np.concatenate(found).tolist()))[:MOST_CANDIDATES] if found else []
        near = next((ours for ours in tried if _jaccard(one, ours, other, theirs) >= SIMILAR), None)
        if near is not None:
            pairs.append((near, theirs))
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def joined(parts: list[Sketches]) -> Sketches:
    starts = [part.starts[1:] + offset for part, offset in zip(parts, _offsets(parts), strict=True)]
    return Sketches(
        np.concatenate([np.zeros(0, np.int64), *(part.rows for part in parts)]),
        np.concatenate([np.zeros((0, BANDS), np.uint64), *(part.bands for part in parts)]),
        np.concatenate([np.zeros(0, np.uint32), *(part.pieces for part in parts)]),
        np.concatenate([np.zeros(1, np.int64), *starts]),
    )


def _offsets(parts: list[Sketches]) -> list[int]:
    sizes = np.array([len(part.pieces) for part in parts], dtype=np.int64)
    return [int(start) for start in np.concatenate(([0], np.cumsum(sizes)))[:-1]]


def _sketched(batch: Characters) -> Sketches:
    pieces, owners = _pieces(batch)
    counts = np.bincount(owners, minlength=len(batch.rows))
    kept = np.flatnonzero(counts)
    starts = np.concatenate(([0], np.cumsum(counts[kept]))).astype(np.int64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        pieces.astype(np.uint64), starts.astype(np.uint64), HASHES, SEED
    )
    digests = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(kept), HASHES)
    return Sketches(batch.rows[kept], _bands(digests), pieces, starts)


def _pieces(batch: Characters) -> tuple[Pieces, Rows]:
    """Hashes of the pieces of each text, one text after the other, and the text of each."""
    count = max(len(batch.points) - PIECE + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for place in range(PIECE):
        hashes = hashes * np.uint64(1_000_003) + batch.points[place : place + count]
    hashes = (hashes * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    owner = np.repeat(np.arange(len(batch.rows)), np.diff(batch.starts))
    within = owner[:count] == owner[PIECE - 1 :] if count else np.zeros(0, dtype=bool)
    return hashes[within].astype(np.uint32), owner[:count][within]


def _bands(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """[texts, BANDS]: a hash of the hashes of each band."""
    parts = digests.reshape(len(digests), BANDS, HASHES // BANDS)
    mixed = np.zeros(parts.shape[:2], dtype=np.uint64)
    for place in range(parts.shape[2]):
        mixed = (mixed ^ parts[:, :, place]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _jaccard(one: Sketches, first: int, other: Sketches, second: int) -> float:
    a = set(one.pieces[one.starts[first] : one.starts[first + 1]].tolist())
    b = set(other.pieces[other.starts[second] : other.starts[second + 1]].tolist())
    return len(a & b) / len(a | b)
