"""Token rows kept flat: four bytes a token instead of a Python list a row. Worker only: imports torch."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

STATES = "prefix_states"
"""What a row or batch calls the kept states of its tokens (core.models.prefix_cache): [.., length, hidden]."""
TEXTS_AT_ONCE = 1000
"""The tokenizer holds some hundred bytes a token until its batch is done."""


@dataclass(frozen=True)
class TokenRows:
    """Rows of token ids with their class; an indexable data set as transformers' Trainer takes it.

    flat: int32 [all tokens]; offsets: int64 [rows + 1], row i is flat[offsets[i]:offsets[i + 1]];
    labels: int64 [rows], the class index, or float32 [rows, classes] (see core.training.job.LabelledTexts); None where
    they are not known.
    """

    flat: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self.flat[self.offsets[index] : self.offsets[index + 1]].tolist()
        if self.labels is None:
            return {"input_ids": ids}
        return {"input_ids": ids, "labels": self.labels[index]}

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row: [rows]."""
        return np.diff(self.offsets)

    def fingerprint(self) -> str:
        """Of every token, length and label: eight hexadecimal digits."""
        checksum = zlib.crc32(self.offsets.tobytes(), zlib.crc32(np.ascontiguousarray(self.flat).tobytes()))
        if self.labels is not None:
            checksum = zlib.crc32(np.ascontiguousarray(self.labels).tobytes(), checksum)
        return f"{checksum:08x}"

    def shortest_first(self) -> npt.NDArray[np.int64]:
        """Row numbers in order of length, so that a batch of neighbours needs next to no padding: [rows]."""
        return np.argsort(self.lengths, kind="stable")

    def take(self, rows: npt.NDArray[np.int64]) -> "TokenRows":
        """These rows, in this order."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])]).astype(np.int64)
        pieces = [self.flat[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        flat = np.concatenate(pieces) if pieces else self.flat[:0]
        return TokenRows(flat, offsets, None if self.labels is None else self.labels[rows])


class Rows(Protocol):
    """TokenRows, or those with kept states."""

    def __getitem__(self, index: int, /) -> dict[str, Any]: ...


def tokenise(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    labels: npt.NDArray[Any] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TokenRows:
    """Cut each text to `max_length` tokens, special tokens counted. `on_progress` gets the rows done."""
    pieces: list[npt.NDArray[np.int32]] = []
    lengths: list[int] = [0]
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        chunk = list(texts[start : start + TEXTS_AT_ONCE])
        encoded = tokenizer(
            chunk, truncation=True, max_length=max_length, return_attention_mask=False, return_token_type_ids=False
        )["input_ids"]
        lengths.extend(len(ids) for ids in encoded)
        pieces.append(np.concatenate([np.asarray(ids, dtype=np.int32) for ids in encoded]))
        if on_progress is not None:
            on_progress(start + len(chunk))
    flat = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
    return TokenRows(flat, np.cumsum(lengths, dtype=np.int64), labels)


def pad_rows(rows: Sequence[Sequence[int]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """input_ids and attention_mask, int64 [rows, longest], padded on the right to the longest row of the batch."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    input_ids = torch.full((len(rows), width), pad_token_id, dtype=torch.int64)
    for position, row in enumerate(rows):
        input_ids[position, : len(row)] = torch.as_tensor(row, dtype=torch.int64)
    mask = (torch.arange(width)[None, :] < lengths[:, None]).long()
    return {"input_ids": input_ids, "attention_mask": mask}


def collate(features: Sequence[dict[str, Any]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """A Trainer batch: pad_rows' two tensors, and labels and STATES where the rows have them.

    labels: int64 [rows] or float32 [rows, classes]; STATES: [rows, longest, hidden], padded with zeros.
    """
    batch = pad_rows([feature["input_ids"] for feature in features], pad_token_id)
    if "labels" in features[0]:
        batch["labels"] = torch.from_numpy(np.stack([feature["labels"] for feature in features]))
    if STATES in features[0]:
        states = [feature[STATES] for feature in features]
        batch[STATES] = torch.zeros(*batch["input_ids"].shape, states[0].shape[-1], dtype=states[0].dtype)
        for number, row in enumerate(states):
            batch[STATES][number, : len(row)] = row
    return batch


def model_inputs(rows: Rows, chosen: Iterable[int], pad_token_id: int, device: torch.device) -> dict[str, torch.Tensor]:
    """What a model takes of these rows: a batch of `collate` without labels, on the device."""
    batch = collate([rows[row] for row in chosen], pad_token_id)
    return {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
