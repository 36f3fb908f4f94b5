"""Serves an encoder with ONNX Runtime: `python server.py [PORT]`, then POST /classify {"texts": ["..."]}."""

import sys

import numpy as np
import numpy.typing as npt
import onnxruntime
import uvicorn
from tokenizers import Tokenizer

from core.export.recipes.service import FOLDER, read_facts, service

facts = read_facts()
tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(facts["max_length"])
session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])


def probabilities(rows: list[dict[str, str]]) -> npt.NDArray[np.float32]:
    """One row at a time: nothing is padded, and no row's answer depends on what else was asked."""
    found = []
    for row in rows:
        read = tokenizer.encode(row["text"])
        inputs = {"input_ids": [read.ids], "attention_mask": [read.attention_mask]}
        said = session.run(None, {name: np.array(ids, dtype=np.int64) for name, ids in inputs.items()})
        logits = np.asarray(said[0])[0]
        if facts["label_kind"] == "multi":
            found.append(1 / (1 + np.exp(-logits)))
        else:
            powers = np.exp(logits - logits.max())
            found.append(powers / powers.sum())
    return np.stack(found).astype(np.float32)


app = service(facts, probabilities)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
