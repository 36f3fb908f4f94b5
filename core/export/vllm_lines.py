"""How a language model is served with vLLM, for the card: lines for a shell, and what they leave open.

vLLM needs a GPU and was not run here: the flags are those of its documentation (docs.vllm.ai: serving, LoRA adapters,
structured outputs, classification), as of version 0.19.
"""

import json
from collections.abc import Iterator

from core.export.base import shown_base
from core.export_formats import Exported
from core.model_facts import ModelFacts

SERVED = "my-model"
_ASK = "curl -s http://127.0.0.1:8000{path} -H 'Content-Type: application/json' -d '{body}'"


def vllm_parts(exported: Exported) -> Iterator[str]:
    """For a language model as an adapter, merged or whole; nothing for other formats and for encoders."""
    if exported.facts.family != "causal" or exported.format not in ("adapter", "merged", "model"):
        return
    if exported.facts.task == "classify" and exported.facts.is_adapter:
        yield "For vLLM take the merged format: it does not put heads of adapters on."
        return
    yield "With vLLM, for many requests at once (a GPU is needed; written by its documentation, not run by Tunedesk):"
    yield f"```shell\npip install vllm\n{_serve(exported.facts)}\n\n# in another window\n{_asked(exported.facts)}\n```"
    yield _words(exported.facts)


def _serve(facts: ModelFacts) -> str:
    if not facts.is_adapter:
        return f"vllm serve . --served-model-name {SERVED}"
    return (
        "# the rank is at least that of model.lora.rank below\n"
        f"vllm serve {shown_base(facts)} --enable-lora --lora-modules {SERVED}=. --max-lora-rank 64"
    )


def _asked(facts: ModelFacts) -> str:
    text = "Write a text here"
    if facts.task == "classify":
        return _line("/classify", {"model": SERVED, "input": [text]})
    if facts.task == "chat":
        messages = [{"role": "user", "content": text}]
        return _line("/v1/chat/completions", {"model": SERVED, "messages": messages, "temperature": 0})
    choice = {"choice": [f"answer of {label}" for label in facts.labels[:2]]}
    body = {"model": SERVED, "prompt": "the prompt with the text", "temperature": 0, "structured_outputs": choice}
    return _line("/v1/completions", body)


def _line(path: str, body: dict[str, object]) -> str:
    return _ASK.format(path=path, body=json.dumps(body, ensure_ascii=False).replace("'", "'\\''"))


def _words(facts: ModelFacts) -> str:
    if facts.task == "classify":
        return "It answers with a probability for each class, before temperature and threshold."
    if facts.task == "chat":
        return "The conversation's template is the tokenizer's own."
    return (
        "The prompt's parts and the answers, as the model learned them, are in `prompt.json`. So it says only an "
        "answer, yet it picks one token at a time and gives no probability of the whole: where it is unsure the label "
        "may be another, and no threshold applies. The server format answers with the same probabilities."
    )
