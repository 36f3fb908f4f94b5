"""What encoders and language models have in common when they are loaded. Worker only; transformers comes in late, since
core/models/causal.py imports this before unsloth."""

from typing import TYPE_CHECKING

from core.errors import UserError
from core.schema import ModelSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def open_tokenizer(source: str, folder: str) -> "PreTrainedTokenizerBase":
    """The tokenizer in the folder of the model `source`. Raises UserError where it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(
            f"The tokenizer of {source} cannot be loaded: {error}",
            "model.source",
            "Copy the tokenizer's files beside the model, e.g. with tokenizer.save_pretrained(folder).",
        ) from error


def require_length(spec: ModelSpec, longest: int) -> None:
    """Raises UserError where the model reads fewer tokens than `max_length`."""
    if spec.max_length > longest:
        raise UserError(
            f"max_length is {spec.max_length} tokens, but {spec.source} reads at most {longest}.",
            "model.max_length",
            f"Set it to {longest} or less, or choose a model that reads more.",
        )
