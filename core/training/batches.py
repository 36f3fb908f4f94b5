"""Which rows make up a batch, decided by seed and epoch alone, so that a resumed run goes on with the very same rows.

Worker only: imports torch and transformers.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer

ALIKE = 1.08
"""Rows whose lengths differ by less than this factor are of like length: wider, and padding grows; narrower, and the
same rows meet each epoch."""


class RowBatches(Sampler[list[int]]):
    """Batches of at most `rows` rows and, with `tokens`, of about so many tokens, padding counted.

    lengths: int64 [all rows], in tokens. grouped: rows of like length together, else any. A row longer than `tokens`
    makes a batch by itself. The number of batches is the same in every epoch.
    """

    def __init__(
        self, lengths: npt.NDArray[np.int64], rows: int, tokens: int | None, *, grouped: bool, seed: int
    ) -> None:
        self.seed, self.epoch = seed, 0
        by_length = grouped or tokens is not None
        steps = np.log(np.maximum(lengths, 1)) / np.log(ALIKE) if by_length else np.zeros(len(lengths))
        self.groups = steps.astype(np.int64)
        # Rows change places within their group from epoch to epoch, so a place is as long as its group's longest.
        longest = np.zeros(self.groups.max() + 1, dtype=np.int64)
        np.maximum.at(longest, self.groups, lengths)
        self.cuts = _cuts(longest[np.sort(self.groups)], rows, tokens)

    def __len__(self) -> int:
        return len(self.cuts) - 1

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        shuffled = random.permutation(len(self.groups))
        ordered = shuffled[np.argsort(self.groups[shuffled], kind="stable")]
        turns = random.permutation(len(self))
        if self.epoch == 0:
            # The longest rows come first, so that a batch too large for the memory is found at once.
            turns = np.concatenate([[len(self) - 1], turns[turns != len(self) - 1]])
        for turn in turns:
            yield ordered[self.cuts[turn] : self.cuts[turn + 1]].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Trainer says it before each epoch, counted from 0, the first of a resumed run included."""
        self.epoch = epoch


def _cuts(lengths: npt.NDArray[np.int64], rows: int, tokens: int | None) -> list[int]:
    """Where batches begin among rows of these lengths, shortest first; the last is the number of rows."""
    cuts = [0]
    while cuts[-1] < len(lengths):
        size = min(rows, len(lengths) - cuts[-1])
        while tokens is not None and size > 1 and size * lengths[cuts[-1] + size - 1] > tokens:
            size = min(size - 1, max(1, tokens // int(lengths[cuts[-1] + size - 1])))
        cuts.append(cuts[-1] + size)
    return cuts


class ClassifierTrainer(Trainer):
    """A Trainer that takes its training batches from `batches`."""

    batches: RowBatches

    def get_train_dataloader(self) -> DataLoader[dict[str, object]]:
        loader: DataLoader[dict[str, object]] = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        prepared: DataLoader[dict[str, object]] = self.accelerator.prepare(loader)
        return prepared
