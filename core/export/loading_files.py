"""What loads an export that no PyTorch library reads: Python for ONNX Runtime, a shell for GGUF and servers.

`place` is what they call the export's folder.
"""

import json
from typing import Any

from core.export.base import hub_id, shown_base
from core.export.code_lines import given_lines, text_lines
from core.model_facts import ModelFacts


def onnx_lines(facts: ModelFacts, place: str) -> str:
    shares = (
        "shares = 1 / (1 + np.exp(-logits))"
        if facts.label_kind == "multi"
        else "shares = np.exp(logits - logits.max())\nshares /= shares.sum()"
    )
    return f"""# pip install onnxruntime tokenizers numpy
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = {json.dumps(place)}  # this folder; for one on the Hub: huggingface_hub.snapshot_download("USER/NAME")
with open(f"{{folder}}/tunedesk.json", encoding="utf-8") as file:
    facts = json.load(file)
tokenizer = Tokenizer.from_file(f"{{folder}}/tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation({facts.max_length})
session = onnxruntime.InferenceSession(f"{{folder}}/model.onnx")

{text_lines(facts)}
read = tokenizer.encode(text)
inputs = {{"input_ids": np.array([read.ids]), "attention_mask": np.array([read.attention_mask])}}
logits = session.run(None, inputs)[0][0]
{shares}
found = dict(zip(facts["labels"], shares.tolist()))
{given_lines(facts, 'facts["thresholds"]')}"""


def gguf_lines(facts: ModelFacts, precision: str) -> str:
    """For a shell in the export's folder."""
    ollama = 'ollama create my-model -f Modelfile\nollama run my-model "Write a text here"'
    if facts.task != "answer":
        return f"{ollama}\n\n# or with llama.cpp\nllama-cli -m *-{precision}.gguf -cnv"
    return f"""{ollama}

# or with llama.cpp, which then answers with a class and nothing else; the file holds the prompt and the text
llama-cli -m *-{precision}.gguf --grammar-file answers.gbnf --temp 0 -no-cnv -f prompt.txt"""


def server_lines(facts: ModelFacts) -> str:
    """For a shell in the export's folder."""
    own = facts.is_adapter and hub_id(facts) is None
    base = (
        f"export BASE_MODEL=/path/to/{shown_base(facts)}  # a folder of the computer it was trained on\n" if own else ""
    )
    # A text by itself is taken as it is; a row's cells are joined as in training.
    is_made = len(facts.text_columns) > 1 or facts.text_template or facts.backslash_is_space
    if facts.prompt_columns or is_made:
        names = [*facts.text_columns, *(name for name in facts.prompt_columns if name != "text")]
        asked: dict[str, Any] = {"rows": [dict.fromkeys(names, "Write a text here")]}
    else:
        asked = {"texts": ["Write a text here"]}
    body = json.dumps(asked, ensure_ascii=False).replace("'", "'\\''")
    return f"""pip install -r requirements.txt
{base}python server.py 8000

# in another window
curl -s http://127.0.0.1:8000/classify -H 'Content-Type: application/json' -d '{body}'"""
