"""A language model as GGUF in each precision, by llama.cpp's own programs, read by the gguf package and by llama.cpp.

Where the converter, the quantiser or llama-cpp-python is not on this computer its tests are skipped, saying which.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from huggingface_hub import ModelCard
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from core.errors import UserError
from core.export.llama_cpp import PACKAGE, found_llama_cpp
from core.export.make import export_run
from core.export_formats import Wish
from core.predictor import load_predictor, predict_probabilities
from core.workspace import RunFolder, open_workspace
from tests.flow.test_export import quiet
from tests.flow.test_export_llm import trained
from tests.small_llama import small_llama
from tests.small_tokenizers import kinds

LABELS = ["HUM", "LOC", "NUM"]

READER = """
import json, sys
import numpy as np
from llama_cpp import Llama

file, folder = sys.argv[1:]
prompt = json.load(open(folder + "/prompt.json"))
model = Llama(file, n_ctx=256, n_batch=256, n_threads=1, logits_all=True, verbose=False)

def scored(asked, answer):
    model.reset()
    model.eval(asked + answer)
    logits = np.array(model.scores[len(asked) - 1 : len(asked) + len(answer) - 1], dtype=np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return shares[np.arange(len(answer)), answer].sum()

said = []
for asked in json.load(open(folder + "/asked.json")):
    scores = np.array([scored(asked, answer["ids"]) for answer in prompt["answers"]])
    shares = np.exp(scores - scores.max())
    said.append((shares / shares.sum()).tolist())
json.dump(said, open(folder + "/answers.json", "w"))
"""


def needed(precision: str) -> None:
    try:
        found_llama_cpp(precision)
    except UserError as error:
        pytest.skip(f"{error.what} {error.todo}")


@pytest.fixture(scope="module")
def texts(shared_data: Path) -> list[str]:
    """Real ones of which nothing is cut."""
    with (shared_data / "trec" / "test.csv").open(encoding="utf-8", newline="") as file:
        return sorted((row["text"] for row in csv.DictReader(file)), key=len)[150:350]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, questions: Path) -> RunFolder:
    """A LoRA run on a model as Mistral is built, whose rows are wide enough for 4 bits (256 numbers a block)."""
    needed("f16")
    base = tmp_path_factory.mktemp("models") / "mistral-like"
    tokens, template, special = kinds()["mistral"]
    ids = {"vocab_size": tokens.get_vocab_size(), "bos_token_id": 1, "eos_token_id": 2}
    size = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
    small_llama(**ids, **size).save_pretrained(base)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, **special)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(base)
    model = {
        "source": str(base), "family": "causal", "method": "lora", "max_length": 128,
        "lora": {"rank": 8, "alpha": 16, "dropout": 0},
    }  # fmt: skip
    workspace = open_workspace(tmp_path_factory.mktemp("gguf") / "workspace")
    return trained(workspace, base, questions, "lora", model=model)


@pytest.fixture(scope="module")
def merged(folder: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(
        folder.workspace, folder.id, Wish("merged"), tmp_path_factory.mktemp("merged") / "away", quiet
    ).path


@pytest.fixture(scope="module")
def made(folder: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Precision -> folder of the export, of those that this computer can make."""
    found = {}
    for precision in ("f16", "q8_0", "q4_k_m"):
        try:
            found_llama_cpp(precision)
        except UserError:
            continue
        to = tmp_path_factory.mktemp(precision) / "away"
        found[precision] = export_run(folder.workspace, folder.id, Wish("gguf", precision), to, quiet).path
    return found


def stored(file: Path) -> dict[str, gguf.ReaderTensor]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}


def weights(merged: Path, name: str) -> np.ndarray:
    with safe_open(merged / "model.safetensors", framework="pt") as file:
        return file.get_tensor(name).float().numpy()


@pytest.mark.parametrize(("precision", "step"), [("f16", 0.0), ("q8_0", 1 / 127), ("q4_k_m", 1 / 7)])
def test_a_file_holds_the_merged_weights(made: dict[str, Path], merged: Path, precision: str, step: float) -> None:
    """Of blocks of 32 numbers, none is off by more than one step of its largest."""
    needed(precision)
    tensors = stored(made[precision] / f"tiny-{precision}.gguf")
    for name, ours in (
        ("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"),
        ("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight"),
        ("token_embd.weight", "model.embed_tokens.weight"),
    ):
        found = gguf.quants.dequantize(tensors[name].data, tensors[name].tensor_type)
        expected = weights(merged, ours)
        assert found.shape == expected.shape
        largest = np.abs(expected.reshape(len(expected), -1, 32)).max(axis=-1, keepdims=True)
        off = np.abs(found - expected).reshape(len(expected), -1, 32)
        assert (off <= step * largest + 1e-6).all()
    kind = {"f16": "F16", "q8_0": "Q8_0", "q4_k_m": "Q4_K"}[precision]
    assert tensors["blk.0.ffn_up.weight"].tensor_type.name == kind


def test_what_goes_with_it(made: dict[str, Path]) -> None:
    for precision, place in made.items():
        assert sorted(path.name for path in place.iterdir()) == [
            "Modelfile", "README.md", "answers.gbnf", "confusion_matrix.png", "prompt.json", f"tiny-{precision}.gguf",
            "tunedesk.json",
        ]  # fmt: skip
        modelfile = (place / "Modelfile").read_text()
        assert f"FROM ./tiny-{precision}.gguf" in modelfile and "{{ .Prompt }} [/INST]" in modelfile
        assert (place / "answers.gbnf").read_text().startswith("root ::= ")
        facts = json.loads((place / "tunedesk.json").read_text())
        assert (facts["format"], facts["precision"], facts["labels"]) == ("gguf", precision, LABELS)
        assert {"temperature", "abstain_below"} <= set(facts["decision"])
        data = ModelCard.load(place / "README.md").data
        assert (data.library_name, data.pipeline_tag) == ("gguf", "text-generation")
        assert {precision, "llama-cpp"} <= set(data.tags)


@pytest.mark.parametrize("precision", ["f16", "q8_0", "q4_k_m"])
def test_llama_cpp_says_what_the_model_says(
    folder: RunFolder, made: dict[str, Path], merged: Path, texts: list[str], tmp_path: Path, precision: str
) -> None:
    """In a process without this project. The tokens are ours: this small tokenizer's merges are not in the order of its
    ids, by which llama.cpp goes where there is no tokenizer.model."""
    pytest.importorskip(PACKAGE, reason="llama-cpp-python is not installed (it is built from source: see docs)")
    needed(precision)
    prompt = json.loads((made[precision] / "prompt.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(merged)
    worded = ("".join(part if isinstance(part, str) else text for part in prompt["parts"]) for text in texts)
    asked = [prompt["prefix"] + tokenizer(words, add_special_tokens=False)["input_ids"] for words in worded]
    longest = max(len(answer["ids"]) + len(answer["rest"]) for answer in prompt["answers"])
    assert max(map(len, asked)) + longest <= prompt["max_length"]
    (tmp_path / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    (tmp_path / "prompt.json").write_bytes((made[precision] / "prompt.json").read_bytes())
    file = made[precision] / f"tiny-{precision}.gguf"
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    done = subprocess.run(
        [sys.executable, "-c", READER, str(file), str(tmp_path)], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "answers.json").read_text())
    ours = predict_probabilities(load_predictor(folder.model), texts)
    same = (np.array(said).argmax(axis=1) == ours.argmax(axis=1)).sum()
    largest = np.abs(np.array(said) - ours).max()
    print(f"{precision}: the same label on {same} of {len(texts)} texts, no probability more than {largest:.2g} off")
    if precision == "f16":
        assert same == len(texts)
        assert largest < 1e-3
    else:
        assert same >= 0.9 * len(texts)
