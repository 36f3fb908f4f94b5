"""From token rows to class probabilities, for evaluation and prediction alike. Worker only: imports torch."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.models.batches_that_fit import in_batches
from core.models.device import evaluation_format
from core.models.prefix_cache import CachedRows
from core.models.tokens import TokenRows, model_inputs, tokenise
from core.schema import LabelKind

if TYPE_CHECKING:
    # Importing peft takes seconds that a prediction does not need.
    from peft import PeftModel


def class_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
    kind: LabelKind = "single",
) -> npt.NDArray[np.float32]:
    """The probability of each class for each text: float32 [texts, classes]; `max_length` in tokens.

    `on_progress` gets (rows done, rows in all).
    """
    logits = class_logits(
        model, tokenise(tokenizer, texts, max_length), tokenizer.pad_token_id, batch_size, on_progress
    )
    return probabilities_of(logits, kind)


def probabilities_of(logits: npt.NDArray[np.float32], kind: LabelKind) -> npt.NDArray[np.float32]:
    """Each class by itself between 0 and 1 where a row may have several, else each row summing to 1."""
    values = torch.from_numpy(logits)
    return (torch.sigmoid(values) if kind == "multi" else torch.softmax(values, dim=-1)).numpy()


@torch.inference_mode()
def class_logits(
    model: "PreTrainedModel | PeftModel",
    rows: TokenRows | CachedRows,
    pad_token_id: int,
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Logits in the order of `rows`: float32 [rows, classes]. Batches hold neighbours in length.

    At most `batch_size` rows at once, fewer where a GPU does not hold so many. Rows with cached states need
    core.models.prefix_cache.skipped_prefix around the call.
    """
    model.eval()
    classes = model.config.num_labels
    assert classes is not None
    logits = np.zeros((len(rows), classes), dtype=np.float32)
    order = (rows.rows if isinstance(rows, CachedRows) else rows).shortest_first()

    def compute(chosen: npt.NDArray[np.int64]) -> None:
        inputs = model_inputs(rows, chosen, pad_token_id, model.device)
        logits[chosen] = model(**inputs).logits.float().cpu().numpy()

    with evaluation_format(model.device):
        in_batches(order, batch_size, compute, on_progress)
    return logits
