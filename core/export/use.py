"""What a card says under "Use": how this very format is loaded, what it leaves open, and how it was checked."""

from collections.abc import Iterator

from core.export.base import hub_id, shown_base
from core.export.loading import loading_code, loading_language
from core.export.markdown import code
from core.export.vllm_lines import vllm_parts
from core.export_formats import Exported
from core.model_facts import ModelFacts


def use_parts(exported: Exported) -> Iterator[str]:
    facts = exported.facts
    lines = loading_code(facts, ".", exported.format, exported.precision)
    yield f"```{loading_language(exported.format)}\n{lines}\n```"
    yield _words(exported)
    yield from vllm_parts(exported)
    if exported.notes:
        yield "\n".join(f"- {note}" for note in exported.notes)


def _words(exported: Exported) -> str:
    facts = exported.facts
    if exported.format == "onnx":
        return (
            'Replace `"."` by the path of this folder. Temperature, thresholds and class names are in `tunedesk.json`, '
            "how far the model was checked against the original in `onnx_check.json`."
        )
    if exported.format == "gguf":
        return (
            "The grammar (`answers.gbnf`) lets llama.cpp answer with a class and nothing else; it gives no "
            "probability. Ollama reads the `Modelfile`; it may answer more than a class."
            if facts.task == "answer"
            else "Ollama reads the `Modelfile`, which holds the conversation's template."
        )
    if exported.format == "server":
        return "`POST /classify` answers a list of texts, or of rows by column name; `GET /` says what it serves."
    if facts.family == "causal" and not facts.is_adapter:
        return 'Replace `"."` by the path of this folder, which holds the whole model. It works in transformers.'
    if facts.is_adapter:
        return _adapter_words(facts)
    return (
        'Replace `"."` by this folder or its name on the Hub. Without `truncation=True` a text longer than '
        f"{facts.max_length} tokens is read whole, or stops with an error."
    )


def _adapter_words(facts: ModelFacts) -> str:
    base = hub_id(facts)
    name = f"`{base}`, which is downloaded," if base else f"{code(shown_base(facts))}, which is not on the Hub,"
    return (
        f'Replace `"."` by the path of this folder. It is an adapter: its base model {name} is needed beside it. It '
        "works in PEFT and transformers."
    )
