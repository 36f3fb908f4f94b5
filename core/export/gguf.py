"""A language model as one GGUF file, through its merged weights and llama.cpp's own converter; and what runs it.

Beside the file: a Modelfile with the prompt's template for Ollama, and of a model that answers with a class a grammar
with which llama.cpp can answer nothing else. Heavy: imports torch through merging.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.chat_templates import ModelTokenizer, read_model_tokenizer, render
from core.export.llama_cpp import convert, found_llama_cpp
from core.export.merged import write_merged
from core.export_formats import Exported, Tell
from core.model_facts import PROMPT_FILE, ModelFacts
from core.text_template import template_pieces

GRAMMAR = "answers.gbnf"
_PROMPT, _RESPONSE = "{{ .Prompt }}", "{{ .Response }}"
_ASKED, _ANSWERED = "\ue000\ue002", "\ue000\ue003"
"""Stand for a message while the template is rendered."""


def write_gguf(model: Path, facts: ModelFacts, place: Path, name: str, precision: str, tell: Tell) -> Exported:
    """Write NAME-PRECISION.gguf, Modelfile and grammar to the folder `place`.

    Raises UserError where llama.cpp's programs are not here, or refuse the model.
    """
    programs = found_llama_cpp(precision)
    file = place / gguf_name(name, precision)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="merged-", suffix=".partial") as whole:
        exported = write_merged(model, facts, Path(whole), tell)
        tell(0, 0, "converting with llama.cpp")
        convert(programs, Path(whole), file, precision)
    if facts.task == "answer":
        prompt = json.loads((model / PROMPT_FILE).read_text(encoding="utf-8"))
        (place / PROMPT_FILE).write_text(json.dumps(prompt, ensure_ascii=False), encoding="utf-8")
        (place / GRAMMAR).write_text(grammar(prompt), encoding="utf-8")
    (place / "Modelfile").write_text(modelfile(model, facts, file.name), encoding="utf-8")
    return replace(exported, format="gguf", precision=precision)


def gguf_name(name: str, precision: str) -> str:
    return f"{name}-{precision}.gguf"


def grammar(prompt: dict[str, Any]) -> str:
    """GBNF whose only sentences are the answers, as they stand behind the prompt."""
    words = [answer_words(answer) for answer in prompt["answers"]]
    return f"root ::= {' | '.join(json.dumps(word, ensure_ascii=False) for word in words)}\n"


def answer_words(answer: dict[str, Any]) -> str:
    """An answer without the token that ends it."""
    return "".join(answer["pieces"][:-1])


def modelfile(model: Path, facts: ModelFacts, file: str) -> str:
    """Ollama's description of a model (https://docs.ollama.com/modelfile): the file, the template, where to stop."""
    tokenizer = read_model_tokenizer(model)
    begin = tokenizer.special.get("bos_token", "")
    if facts.task == "answer":
        prompt = json.loads((model / PROMPT_FILE).read_text(encoding="utf-8"))
        prefix = tokenizer.tokens.decode(prompt["prefix"], skip_special_tokens=False)
        template = _of_prompt(prompt, prefix, _text_place(facts))
    else:
        template = _of_turns(tokenizer)
    ends = sorted(tokenizer.tokens.id_to_token(number) or "" for number in tokenizer.special_ids)
    stops = [f"PARAMETER stop {json.dumps(end, ensure_ascii=False)}" for end in ends if end and end != begin]
    # Ollama puts the beginning token before the template by itself.
    lines = [
        f"FROM ./{file}",
        f'TEMPLATE """{template.removeprefix(begin)}"""',
        "PARAMETER temperature 0",
        *stops,
    ]
    return "\n".join(lines) + "\n"


def _text_place(facts: ModelFacts) -> str:
    """Ollama's place for the text, with the words that training put around a single column."""
    if not facts.text_template or len(facts.text_columns) > 1:
        return _PROMPT
    return "".join(_PROMPT if is_column else words for words, is_column in template_pieces(facts.text_template))


def _of_prompt(prompt: dict[str, Any], prefix: str, place: str) -> str:
    """The prompt with the place for the text; one that names more columns is given whole by who asks."""
    slots = {part["slot"] for part in prompt["parts"] if isinstance(part, dict)}
    if slots != {"text"}:
        return _PROMPT
    return prefix + "".join(part if isinstance(part, str) else place for part in prompt["parts"])


def _of_turns(tokenizer: ModelTokenizer) -> str:
    """The chat template with Ollama's places for a question and its answer; it repeats this for each turn."""
    messages = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _ANSWERED}]
    return render(tokenizer, messages).replace(_ASKED, _PROMPT).replace(_ANSWERED, _RESPONSE)
