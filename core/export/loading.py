"""Lines of Python that load an exported model and use it, with nothing of Tunedesk: for the card and the page.

A test runs them as they stand. `place` is what they call the export's folder.
"""

import json
from typing import Literal

from core.decision import AS_IT_IS
from core.export.base import hub_id, shown_base
from core.export.code_lines import FUNCTIONS, decided_lines, given_lines, text_lines
from core.export.loading_files import gguf_lines, onnx_lines, server_lines
from core.export_formats import Format
from core.model_facts import ModelFacts

OWN_CODE = "neobert"
"""The architecture that transformers does not know; its source file is part of the export."""
NEW_TOKENS = 256
"""Longest answer that the lines for a chat model ask for."""


def loading_code(facts: ModelFacts, place: str, export_format: Format | None = None, precision: str = "") -> str:
    """What to paste, of the model as its run saved it or of another format of it.

    An adapter's base is named by its hub id, a local one by its folder's name.
    """
    if export_format == "onnx":
        return onnx_lines(facts, place)
    if export_format == "gguf":
        return gguf_lines(facts, precision)
    if export_format == "server":
        return server_lines(facts)
    if facts.family == "encoder" and facts.is_adapter:
        return _encoder_adapter(facts, place)
    if facts.family == "encoder":
        return _encoder(facts, place)
    if facts.task == "chat":
        return _loaded(facts, place) + _CHAT
    if facts.task == "classify":
        return _loaded(facts, place) + _head(facts)
    return _loaded(facts, place) + _ANSWER + _asked(facts)


def loading_language(export_format: Format) -> Literal["python", "shell"]:
    return "shell" if export_format in ("gguf", "server") else "python"


def _encoder(facts: ModelFacts, place: str) -> str:
    if facts.head != "model":
        return _own_head(facts, place)
    trust = ", trust_remote_code=True" if facts.architecture == OWN_CODE else ""
    return f"""# pip install transformers torch
from transformers import pipeline

# truncation=True cuts longer texts at {facts.max_length} tokens, as in training
classifier = pipeline("text-classification", model={json.dumps(place)}, truncation=True{trust})

{text_lines(facts)}
{_SEVERAL if facts.label_kind == "multi" else _one(facts)}"""


def _encoder_adapter(facts: ModelFacts, place: str) -> str:
    """The base, the adapter with its head on it, and both made one."""
    revision = f", revision={json.dumps(facts.base_revision)}" if hub_id(facts) and facts.base_revision else ""
    where = "" if hub_id(facts) else "  # a folder of the computer it was trained on: give its path"
    several = facts.label_kind == "multi"
    problem = ', problem_type="multi_label_classification"' if several else ""
    thresholds = f"model.config.thresholds = {list(facts.thresholds)}\n" if several else ""
    return f"""# pip install transformers torch peft
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

folder = {json.dumps(place)}  # this folder; for one on the Hub: huggingface_hub.snapshot_download("USER/NAME")
base = {json.dumps(shown_base(facts), ensure_ascii=False)}{where}
names = dict(enumerate({json.dumps(list(facts.labels), ensure_ascii=False)}))
model = AutoModelForSequenceClassification.from_pretrained(
    base, id2label=names, ignore_mismatched_sizes=True{problem}{revision}
)
model = PeftModel.from_pretrained(model, folder).merge_and_unload()
{thresholds}tokenizer = AutoTokenizer.from_pretrained(folder)
classifier = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True)

{text_lines(facts)}
{_SEVERAL if several else _one(facts)}"""


_ONE = """print(classifier(text))  # the likeliest class and its probability
print(classifier(text, top_k=None))  # every class"""
_EVERY = 'found = {entry["label"]: entry["score"] for entry in classifier(text, top_k=None)}'
_SEVERAL = """found = {entry["label"]: entry["score"] for entry in classifier(text, top_k=None)}
config = classifier.model.config
thresholds = {label: config.thresholds[number] for number, label in config.id2label.items()}
print([label for label, share in found.items() if share >= thresholds[label]])  # the classes it is given
print(found)"""


def _one(facts: ModelFacts) -> str:
    if facts.decision == AS_IT_IS or facts.label_kind != "single":
        return _ONE
    return f"{_EVERY}\n{decided_lines(facts.decision)}"


def _own_head(facts: ModelFacts, place: str) -> str:
    """A head that transformers has no class for: a few lines of arithmetic on what its body says."""
    trust = ", trust_remote_code=True" if facts.architecture == OWN_CODE else ""
    pooled = {
        "first": "states[0]",
        "mean": "states.mean(0)",
        "both": "torch.cat([states[0], states.mean(0)])",
    }[facts.pooling]
    return f"""# pip install transformers torch
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = {json.dumps(place)}  # this folder; for one on the Hub: huggingface_hub.snapshot_download("USER/NAME")
tokenizer = AutoTokenizer.from_pretrained(folder)
body = AutoModel.from_pretrained(folder, dtype=torch.float32{trust}).eval()
weights = load_file(f"{{folder}}/model.safetensors")
layers = sorted(name.removesuffix(".weight") for name in weights if name.startswith("head.") and "weight" in name)

{text_lines(facts)}
read = tokenizer(
    text, truncation=True, max_length={facts.max_length}, return_tensors="pt", return_token_type_ids=False
)
with torch.inference_mode():
    states = body(**read).last_hidden_state[0]
    state = {pooled}
    for layer in layers:
        state = torch.relu(state) if layer != layers[0] else state
        state = weights[f"{{layer}}.weight"].float() @ state + weights[f"{{layer}}.bias"].float()
    shares = torch.{FUNCTIONS[facts.label_kind]}.tolist()
found = {{body.config.id2label[number]: share for number, share in enumerate(shares)}}
{given_lines(facts, "body.config.thresholds")}"""


def _loaded(facts: ModelFacts, place: str) -> str:
    """From the imports to `model` and `tokenizer`."""
    loader = "AutoModelForSequenceClassification" if facts.task == "classify" else "AutoModelForCausalLM"
    four_bits = facts.is_four_bits
    names = sorted([loader, "AutoTokenizer", *(["BitsAndBytesConfig"] if four_bits else [])])
    packages = "transformers torch" + (" peft" if facts.is_adapter else "") + (" bitsandbytes" if four_bits else "")
    reads_json = facts.task == "answer" or facts.label_kind == "multi"
    before = "import json\n\n" if reads_json else ""
    peft = "from peft import PeftModel\n" if facts.is_adapter else ""
    return f"""# pip install {packages}
{before}import torch
{peft}from transformers import {", ".join(names)}

folder = {json.dumps(place)}  # this folder; for one on the Hub: huggingface_hub.snapshot_download("USER/NAME")
tokenizer = AutoTokenizer.from_pretrained(folder)
{_adapted(facts, loader) if facts.is_adapter else _whole(loader)}"""


def _whole(loader: str) -> str:
    return f"""model = {loader}.from_pretrained(folder, dtype=torch.float32).eval()
model.to("cuda" if torch.cuda.is_available() else "cpu")
"""


def _adapted(facts: ModelFacts, loader: str) -> str:
    """The base as it was trained on, in 4 bits or not, with the adapter on it."""
    more = ""
    if facts.task == "classify":
        more += f", num_labels={len(facts.labels)}, pad_token_id=tokenizer.pad_token_id"
    if hub_id(facts) is not None and facts.base_revision:
        more += f", revision={json.dumps(facts.base_revision)}"
    if facts.is_four_bits:
        loading, moved = f"{_four_bits(facts)}\n", ""
        more += ", quantization_config=four_bits"
    else:
        loading, moved = "", 'model.to("cuda" if torch.cuda.is_available() else "cpu")\n'
    where = "" if hub_id(facts) else "  # a folder of the computer it was trained on: give its path"
    return f"""base = {json.dumps(shown_base(facts), ensure_ascii=False)}{where}
dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
{loading}model = {loader}.from_pretrained(base, dtype=dtype{more})
model = PeftModel.from_pretrained(model, folder).eval()
{moved}"""


def _four_bits(facts: ModelFacts) -> str:
    whole = '    llm_int8_skip_modules=["lm_head", "score", "classifier"],\n' if facts.task == "classify" else ""
    return f"""four_bits = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant={facts.double_quantization},
    bnb_4bit_compute_dtype=dtype,
{whole})"""


def _asked(facts: ModelFacts) -> str:
    """One row through `probabilities`."""
    columns = [f"{json.dumps(name, ensure_ascii=False)}: ..." for name in facts.prompt_columns if name != "text"]
    columns = [column.replace("...", '"what this column holds"') for column in columns]
    row = ", ".join(['"text": text', *columns])
    return f"""
{text_lines(facts)}
found = probabilities({{{row}}})
{given_lines(facts, "")}"""


def _head(facts: ModelFacts) -> str:
    function = FUNCTIONS[facts.label_kind].replace("state", "model(**read).logits[0].float()")
    read_thresholds = (
        '\nwith open(f"{folder}/tunedesk.json", encoding="utf-8") as file:\n'
        '    thresholds = json.load(file)["thresholds"]'
        if facts.label_kind == "multi"
        else ""
    )
    return f"""
labels = {json.dumps(list(facts.labels), ensure_ascii=False)}{read_thresholds}
{text_lines(facts)}
read = tokenizer([text], truncation=True, max_length={facts.max_length}, return_tensors="pt").to(model.device)
with torch.inference_mode():
    shares = torch.{function}.tolist()
found = dict(zip(labels, shares))
{given_lines(facts, "thresholds")}"""


_ANSWER = '''
with open(f"{folder}/prompt.json", encoding="utf-8") as file:
    prompt = json.load(file)
room = prompt["max_length"] - len(prompt["prefix"]) - max(len(a["ids"]) + len(a["rest"]) for a in prompt["answers"])


def prompt_ids(row):
    """What the model reads for a row; its text is cut at the end so that the longest answer still fits."""
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
            return prompt["prefix"] + tokens["input_ids"]
        ends = [end - begin for start, end in tokens["offset_mapping"] if 0 <= start - begin < len(row["text"])]
        row["text"] = row["text"][: min(ends[-over - 1], len(row["text"]) - 1) if len(ends) > over else 0]


@torch.inference_mode()
def probabilities(row):
    """Class -> probability: how likely the model is to answer with just this class."""
    asked, scores = prompt_ids(row), []
    for answer in prompt["answers"]:
        ids = torch.tensor([asked + answer["ids"]], device=model.device)
        logits = model(input_ids=ids).logits[0, len(asked) - 1 : -1].float()
        scores.append(torch.log_softmax(logits, -1).gather(1, ids[0, len(asked) :, None]).sum())
    shares = torch.softmax(torch.stack(scores), 0).tolist()
    return {answer["label"]: share for answer, share in zip(prompt["answers"], shares)}

'''

_CHAT = f"""
messages = [{{"role": "user", "content": "Write a message here"}}]
read = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
read = read.to(model.device)
ends = [number for number, token in tokenizer.added_tokens_decoder.items() if token.special]
written = model.generate(
    **read, max_new_tokens={NEW_TOKENS}, do_sample=False,
    eos_token_id=[tokenizer.eos_token_id, *ends], pad_token_id=tokenizer.eos_token_id,
)
print(tokenizer.decode(written[0, read["input_ids"].shape[1] :], skip_special_tokens=True).strip())"""
