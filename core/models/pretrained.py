"""What encoders and language models have in common when they are loaded. Worker only; transformers comes in late, since
core/models/causal.py imports this before unsloth."""

from typing import TYPE_CHECKING

from core.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


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


def most_positions(config: "PretrainedConfig") -> int | None:
    """Tokens that a model can read, and write, in all; None where its kind has no such bound."""
    name = config.attribute_map.get("max_position_embeddings", "max_position_embeddings")
    found: int | None = config.to_dict().get(name)
    return found
