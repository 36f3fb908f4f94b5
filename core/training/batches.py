"""Which rows make up a batch, decided by seed and epoch alone, so that a resumed run goes on with the very same rows.

Worker only: imports torch and transformers.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer

from core.training.saved_state import CheckpointWriter

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
        self.lengths = lengths
        self.fixed: list[list[int]] | None = None
        """The batches of every epoch, where seed and epoch are not to decide."""
        by_length = grouped or tokens is not None
        steps = np.log(np.maximum(lengths, 1)) / np.log(ALIKE) if by_length else np.zeros(len(lengths))
        self.groups = steps.astype(np.int64)
        # Rows change places within their group from epoch to epoch, so a place is as long as its group's longest.
        longest = np.zeros(self.groups.max() + 1, dtype=np.int64)
        np.maximum.at(longest, self.groups, lengths)
        self.cuts = _cuts(longest[np.sort(self.groups)], rows, tokens)

    def __len__(self) -> int:
        return len(self.cuts) - 1 if self.fixed is None else len(self.fixed)

    def __iter__(self) -> Iterator[list[int]]:
        if self.fixed is not None:
            yield from self.fixed
            return
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


def batch_loader(trainer: Trainer, batches: RowBatches) -> DataLoader[dict[str, object]]:
    """The trainer's training rows in these batches."""
    loader: DataLoader[dict[str, object]] = DataLoader(
        trainer.train_dataset,  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=trainer.data_collator,
        pin_memory=trainer.args.dataloader_pin_memory,
    )
    prepared: DataLoader[dict[str, object]] = trainer.accelerator.prepare(loader)
    return prepared


class ClassifierTrainer(Trainer):
    """A Trainer that takes its training batches from `batches` and writes its checkpoints by `writer`."""

    batches: RowBatches
    writer: CheckpointWriter

    def get_train_dataloader(self) -> DataLoader[dict[str, object]]:
        return batch_loader(self, self.batches)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.writer.staged or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.writer.write(self, partial(super()._save_checkpoint, model, trial))
