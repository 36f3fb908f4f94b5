"""Serves a language model with transformers: `python server.py [PORT]`, then POST /classify {"texts": ["..."]}.

The base of an adapter comes from the hub, or from the folder that BASE_MODEL names.
"""

import json
import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import uvicorn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig

from core.export.recipes.service import FOLDER, read_facts, service

facts = read_facts()
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
prompt: dict[str, Any] = {}
if facts["task"] == "answer":
    prompt = json.loads((FOLDER / "prompt.json").read_text(encoding="utf-8"))


def number_format() -> torch.dtype:
    """What this computer multiplies itself: GPUs of before 2020 have no bfloat16."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def load() -> Any:
    head = facts["task"] == "classify"
    auto: Any = AutoModelForSequenceClassification if head else AutoModelForCausalLM
    more: dict[str, Any] = {"dtype": number_format()}
    if head:
        more |= {"num_labels": len(facts["labels"]), "pad_token_id": tokenizer.pad_token_id}
    adapter = FOLDER / "adapter_config.json"
    if not adapter.is_file():
        return placed(auto.from_pretrained(FOLDER, **more))
    from peft import PeftModel

    if facts["method"] in ("qlora", "head-on-llm"):
        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=more["dtype"],
            bnb_4bit_use_double_quant=facts["double_quantization"],
            llm_int8_skip_modules=["lm_head", "score", "classifier"],
        )  # fmt: skip
    named = json.loads(adapter.read_text(encoding="utf-8"))
    base = os.environ.get("BASE_MODEL")
    if base is None:
        base, more["revision"] = named["base_model_name_or_path"], named.get("revision")
    model = PeftModel.from_pretrained(auto.from_pretrained(base, **more), FOLDER)
    return model.eval() if "quantization_config" in more else placed(model)


def placed(model: Any) -> Any:
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


model = load()


def prompt_ids(row: dict[str, str]) -> list[int]:
    """What the model reads for a row; its text is cut at the end so that the longest answer still fits."""
    longest = max(len(answer["ids"]) + len(answer["rest"]) for answer in prompt["answers"])
    room = prompt["max_length"] - len(prompt["prefix"]) - longest
    row = {name: cell.strip() for name, cell in row.items()}
    while True:
        read, begin = "", 0
        for part in prompt["parts"]:
            if part == {"slot": "text"}:
                begin = len(read)
            read += part if isinstance(part, str) else row[part["slot"]]
        tokens = tokenizer(read, add_special_tokens=False, return_offsets_mapping=True)
        over = len(tokens["input_ids"]) - room
        if over <= 0 or not row["text"]:
            ids: list[int] = prompt["prefix"] + tokens["input_ids"]
            return ids
        ends = [end - begin for start, end in tokens["offset_mapping"] if 0 <= start - begin < len(row["text"])]
        row["text"] = row["text"][: min(ends[-over - 1], len(row["text"]) - 1) if len(ends) > over else 0]


def answer_scores(row: dict[str, str]) -> torch.Tensor:
    """How likely the model is to answer with each class, as logarithms: [classes]."""
    asked, scores = prompt_ids(row), []
    for answer in prompt["answers"]:
        ids = torch.tensor([asked + answer["ids"]], device=model.device)
        logits = model(input_ids=ids).logits[0, len(asked) - 1 : -1].float()
        scores.append(torch.log_softmax(logits, -1).gather(1, ids[0, len(asked) :, None]).sum())
    return torch.stack(scores)


def head_scores(row: dict[str, str]) -> torch.Tensor:
    read = tokenizer([row["text"]], truncation=True, max_length=facts["max_length"], return_tensors="pt")
    logits: torch.Tensor = model(**read.to(model.device)).logits[0].float()
    return logits


@torch.inference_mode()
def probabilities(rows: list[dict[str, str]]) -> npt.NDArray[np.float32]:
    scores = torch.stack([answer_scores(row) if prompt else head_scores(row) for row in rows])
    said = torch.sigmoid(scores) if facts["label_kind"] == "multi" else torch.softmax(scores, -1)
    found: npt.NDArray[np.float32] = said.cpu().numpy()
    return found


app = service(facts, probabilities)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
