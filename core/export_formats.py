"""The formats a trained model can be taken away in: what each is for, which models it fits, and in what precisions.

Light: no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from core.errors import UserError
from core.model_facts import ModelFacts, run_model_facts
from core.workspace import RunFolder

Format = Literal["model", "adapter", "merged", "onnx", "gguf", "server"]

Tell = Callable[[int, int, str], None]
"""Gets what is done, of how much (0 where that is not known), and in a few words what."""

LLAMA_CPP = "LLAMA_CPP"
"""The environment variable that names a folder with llama.cpp's convert_hf_to_gguf.py and llama-quantize."""


@dataclass(frozen=True)
class FormatWords:
    title: str
    purpose: str
    holds: str
    works_in: str


FORMATS: dict[Format, FormatWords] = {
    "model": FormatWords("Model", "All of it, as it was trained.", "Weights (safetensors), tokenizer", "transformers"),
    "adapter": FormatWords(
        "Adapter", "Small: what training added to the base model.", "Adapter (safetensors), tokenizer",
        "PEFT, transformers, vLLM",
    ),
    "merged": FormatWords(
        "Merged, 16 bit", "The adapter written into the base model's weights: needs nothing beside it.",
        "Weights (safetensors, in shards), tokenizer", "transformers, vLLM, llama.cpp's converter",
    ),
    "onnx": FormatWords(
        "ONNX",
        "For programs without PyTorch, in many programming languages.",
        "model.onnx, tokenizer, how far it was checked",
        "ONNX Runtime",
    ),
    "gguf": FormatWords(
        "GGUF", "One file for programs on desktops and phones.", "One .gguf, Modelfile, grammar of the answers",
        "llama.cpp, Ollama, LM Studio",
    ),
    "server": FormatWords(
        "Server", "A small web service that answers with the same labels.", "server.py, model, how to start it",
        "any computer with Python",
    ),
}  # fmt: skip
PRECISIONS: dict[Format, tuple[str, ...]] = {"onnx": ("float32", "int8"), "gguf": ("q8_0", "q4_k_m", "f16")}
"""Formats with a choice; the first is what is made unless told otherwise."""
PRECISION_WORDS = {
    "float32": "exact",
    "int8": "8 bit: a quarter of the size, a little off",
    "f16": "16 bit: exact, the largest",
    "q8_0": "8 bit: half the size of 16 bit, next to exact",
    "q4_k_m": "4 bit: the smallest, a little off",
}


@dataclass(frozen=True)
class Wish:
    """What is asked for. precision: '' where the format has no choice, see PRECISIONS."""

    format: Format
    precision: str = ""
    zipped: bool = False


@dataclass(frozen=True)
class Exported:
    """What an export is, for its card and tunedesk.json."""

    facts: ModelFacts
    """Of the exported model: its weights may be other than the run's."""
    format: Format
    precision: str = ""
    notes: tuple[str, ...] = ()
    """What its maker found, each a plain sentence."""


def exported_facts(facts: ModelFacts, chosen: Format) -> ModelFacts:
    """The model's facts once it is in a format: whether an adapter or whole weights are in it."""
    if chosen == "adapter":
        return replace(facts, weights="adapter") if facts.family == "encoder" else facts
    return replace(facts, weights="whole") if chosen in ("merged", "onnx", "gguf") else facts


def wished_words(wish: Wish) -> str:
    """What a name has of it: `onnx-int8`, `merged`."""
    return "-".join(filter(None, [wish.format, wish.precision]))


def published_wishes(folder: RunFolder) -> list[Wish]:
    """What may go to the hub, the run's model as it is first. A server is code to run, and no model."""
    kinds = [name for name in formats_of(folder) if name != "server"]
    return [Wish(name, precision) for name in kinds for precision in PRECISIONS.get(name, ("",))]


def natural_format(facts: ModelFacts) -> Format:
    """What the run saved, as it is: of an adapter that, else the model."""
    return "adapter" if facts.is_adapter else "model"


def usual_export(folder: RunFolder) -> Exported:
    """The run's model as it is. Raises UserError where it has none."""
    facts = run_model_facts(folder)
    return Exported(facts, natural_format(facts))


def formats_of(folder: RunFolder) -> tuple[Format, ...]:
    """Those that fit a run's model, the natural one first. Raises UserError where it has no model."""
    facts = run_model_facts(folder)
    if facts.family == "causal":
        whole: tuple[Format, ...] = ("merged",)
        in_words: tuple[Format, ...] = ("gguf",) if facts.task != "classify" else ()
        # The small server answers with classes.
        served: tuple[Format, ...] = () if facts.task == "chat" else ("server",)
        return (natural_format(facts), *whole, *in_words, *served)
    lora: tuple[Format, ...] = ("merged",) if facts.method == "lora" else ()
    adapter: tuple[Format, ...] = ("adapter",) if _has_plain_adapter(folder, facts) else ()
    return ("model", *adapter, *lora, "onnx", "server")


def default_wish(folder: RunFolder) -> Wish:
    return Wish(natural_format(run_model_facts(folder)))


def checked(folder: RunFolder, wish: Wish) -> Wish:
    """The wish with its precision filled in. Raises UserError for a format or precision that does not fit the model."""
    possible = formats_of(folder)
    if wish.format not in possible:
        raise UserError(
            f"The model of run {folder.id} cannot be taken away as {wish.format}: {_why_not(folder, wish.format)}",
            "format",
            f"Choose one of {', '.join(possible)}.",
        )
    choices = PRECISIONS.get(wish.format, ())
    if wish.precision and wish.precision not in choices:
        known = f"one of {', '.join(choices)}" if choices else "no precision"
        raise UserError(f"{wish.format} has no precision '{wish.precision}'.", "precision", f"Give {known}.")
    precision = wish.precision or next(iter(choices), "")
    return Wish(wish.format, precision, wish.zipped)


def _has_plain_adapter(folder: RunFolder, facts: ModelFacts) -> bool:
    """Whether an encoder's adapter was kept, and goes on a base that transformers has a class for, head and all."""
    return folder.adapter.is_dir() and facts.head == "model" and facts.architecture != "neobert"


def _why_not(folder: RunFolder, asked: Format) -> str:
    facts = run_model_facts(folder)
    if asked == "onnx":
        return "ONNX is for encoders; a language model goes as gguf."
    if asked == "gguf":
        what = "an encoder" if facts.family == "encoder" else "a language model with a classification head"
        return f"llama.cpp has no way to run {what} as a classifier."
    if asked == "adapter":
        return "it has no adapter, or one that only Tunedesk's own code could load."
    if asked == "merged":
        return "no adapter was trained; it is whole as it is."
    return "the run saved an adapter; merged is the whole of it."
