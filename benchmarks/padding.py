"""How much of a batch is padding: with texts of like length together, as runs have them, and with any texts.

python benchmarks/padding.py [DATA]    DATA: folder with trec, ag_news and bbc_news; ../shared/data beside the project

Texts are tokenised as the packaged encoder reads them. For models that answer, PROMPT_TOKENS more stand around each, as
in the presets' prompts. Printed is the share of all positions of an epoch's batches that hold padding: what packing, or
batches without padding, could save at most.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tokenizers import Tokenizer  # noqa: E402

from benchmarks.machine import heading  # noqa: E402
from core.models.source import packaged_encoder  # noqa: E402
from core.training.batches import RowBatches  # noqa: E402

MAX_LENGTH = 512
PROMPT_TOKENS = 60
BATCHES = (4, 8, 32)
SETS = {
    "trec": ("trec/train.csv", ("text",)),
    "ag_news": ("ag_news/train_part.parquet", ("title", "description")),
    "bbc_news": ("bbc_news/train.csv", ("title", "text")),
}
"""File and text columns."""


def main(data: Path) -> None:
    print(heading("torch", "tokenizers"))
    tokenizer = Tokenizer.from_file(str(Path(packaged_encoder()) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    heads = f"{'rows':>7}{'tokens: median, 99th of 100':>30}{'batch':>7}{'like length':>13}{'any':>7}"
    print(f"{'':10}{heads}   with a prompt")
    for name, (file, columns) in SETS.items():
        lengths = np.array([len(found.ids) for found in tokenizer.encode_batch(texts(data / file, columns))])
        median, most = np.percentile(lengths, [50, 99])
        for batch in BATCHES:
            shares = [padding(np.minimum(lengths, MAX_LENGTH), batch, grouped) for grouped in (True, False)]
            prompts = np.minimum(lengths, MAX_LENGTH - PROMPT_TOKENS) + PROMPT_TOKENS
            answered = [padding(prompts, batch, grouped) for grouped in (True, False)]
            print(
                f"{name:10}{len(lengths):>7,}{f'{median:.0f}, {most:.0f}':>30}{batch:>7}{shares[0]:>12.1%}"
                f"{shares[1]:>8.1%}   {answered[0]:.1%}, {answered[1]:.1%}"
            )


def texts(file: Path, columns: tuple[str, ...]) -> list[str]:
    """Of each row its columns, one after the other."""
    if file.suffix == ".parquet":
        rows = pq.read_table(file).to_pylist()
    else:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    return [" ".join(row[name] or "" for name in columns) for row in rows]


def padding(lengths: "np.ndarray", rows: int, grouped: bool) -> float:
    """Share of positions, over the first epoch."""
    batches = RowBatches(lengths.astype(np.int64), rows, None, grouped=grouped, seed=42)
    positions = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - int(lengths.sum()) / positions


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT.parent / "shared" / "data")
