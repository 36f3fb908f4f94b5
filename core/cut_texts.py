# ruff: noqa: S608  (column names become SQL through identifier() alone)
"""How many texts are longer than a model is set to read, told by its own tokenizer before anything is trained.

A sample of SAMPLED_ROWS rows drawn from all over the file, and of each the first LONGEST characters.
"""

import numpy as np
from tokenizers import Tokenizer

from core.data.database import connection, parquet_rows
from core.data.findings import EXAMPLES_SHOWN, Example, Finding, Fix
from core.data.mapping import mapped_text_sql
from core.data.table import Table
from core.errors import UserError
from core.models.known import known_of
from core.models.tokenizer_files import LAST, tokenizer_folder
from core.schema import MappingSpec, ModelSpec

SAMPLED_ROWS = 1000
LONGEST = 20_000
LENGTHS = (32, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192)
FEW_CUT = 0.01
"""A length is proposed at which no more than this share of the texts is cut, if the model can read that much."""
WORTH_A_LOOK, GRAVE = 0.05, 0.5
SHOWN_BEFORE, SHOWN_AFTER = 70, 90
"""Characters shown on either side of a cut."""


def cut_texts(table: Table, mapping: MappingSpec, model: ModelSpec) -> list[Finding]:
    """A finding where texts are cut for an encoder or a head; nothing where none is.

    Raises UserError where the model's tokenizer cannot be had.
    """
    tokenizer = whole_tokenizer(model)
    rows, texts = sampled_texts(table, mapping)
    if not texts:
        return []
    lengths = np.array([len(encoding) for encoding in tokenizer.encode_batch_fast(texts)], dtype=np.int64)
    cut = lengths > model.max_length
    if not cut.any():
        return []
    share, lost = cut.mean(), np.maximum(lengths - model.max_length, 0).sum() / lengths.sum()
    known = known_of(model).longest
    better = _better_length(lengths, model.max_length, known)
    examples = tuple(
        Example(_around(texts[place], tokenizer.encode(texts[place]).offsets, model.max_length),
                f"row {rows[place] + 1:,}, {lengths[place]:,} tokens; what stands behind ‖ is not read")
        for place in np.flatnonzero(cut)[:EXAMPLES_SHOWN]
    )  # fmt: skip
    of_sample = f" of {len(texts):,} looked at" if table.rows > len(texts) else ""
    limit = "" if better or known is None else f" This model reads at most {known:,} tokens."
    return [
        Finding(
            "warning" if share >= WORTH_A_LOOK else "note",
            f"{_percent(share)} of the texts{of_sample} have more than {model.max_length:,} tokens: their end is cut, "
            f"{_percent(lost)} of all tokens. Half have up to {np.quantile(lengths, 0.5):,.0f}, 99 % up to "
            f"{np.quantile(lengths, 0.99):,.0f}.{limit}",
            "model.max_length",
            f"Read {better:,} tokens; that takes more time and memory." if better else "Put what matters first.",
            int(cut.sum()),
            "texts_cut",
            "What is cut is not read, neither in training nor later.",
            examples,
            Fix(f"Read {better:,} tokens", {"model.max_length": better}) if better else None,
            asks=bool(share >= GRAVE),
        )
    ]


def whole_tokenizer(model: ModelSpec) -> Tokenizer:
    """The model's own, which neither cuts nor pads. Raises UserError where it cannot be had."""
    file = tokenizer_folder(model) / LAST
    if not file.is_file():
        raise UserError(f"{model.source} holds no {LAST}.", "model.source", "Choose a model with a fast tokenizer.")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def sampled_texts(table: Table, mapping: MappingSpec) -> tuple[list[int], list[str]]:
    """Rows and texts of about SAMPLED_ROWS, from all over the file."""
    every = max(1, round(table.rows / SAMPLED_ROWS))
    with connection(table.parquet.parent) as database:
        found = database.execute(
            f"SELECT number, left(text, {LONGEST}) FROM (SELECT file_row_number AS number, {mapped_text_sql(mapping)} "
            f"AS text FROM {parquet_rows(table.parquet)} WHERE hash(file_row_number) % {every} = 0) WHERE text <> '' "
            "ORDER BY number"
        ).fetchall()
    return [int(number) for number, _ in found], [str(text) for _, text in found]


def longest_texts(table: Table, mapping: MappingSpec, count: int) -> list[str]:
    """The texts with the most characters, of each the first LONGEST."""
    with connection(table.parquet.parent) as database:
        found = database.execute(
            f"SELECT left(text, {LONGEST}) FROM (SELECT {mapped_text_sql(mapping)} AS text FROM "
            f"{parquet_rows(table.parquet)}) WHERE text <> '' ORDER BY length(text) DESC LIMIT {int(count)}"
        ).fetchall()
    return [str(text) for (text,) in found]


def _better_length(lengths: np.ndarray[tuple[int], np.dtype[np.int64]], now: int, longest: int | None) -> int | None:
    """The smallest usual length at which few texts are cut, as far as the model can read; None where `now` is that."""
    wanted = next((length for length in LENGTHS if (lengths > length).mean() <= FEW_CUT), LENGTHS[-1])
    possible = min(wanted, longest) if longest is not None else wanted
    return possible if possible > now else None


def _around(text: str, offsets: list[tuple[int, int]], length: int) -> str:
    """The text on either side of the cut. offsets: of its tokens, those of special ones (0, 0)."""
    # Two places go to the tokens that open and close a text.
    cut = max(offsets[min(length, len(offsets)) - 2][1], 1)
    before, after = text[max(0, cut - SHOWN_BEFORE) : cut], text[cut : cut + SHOWN_AFTER]
    return f"{'…' if cut > SHOWN_BEFORE else ''}{before} ‖ {after}{'…' if cut + SHOWN_AFTER < len(text) else ''}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1f} %"
