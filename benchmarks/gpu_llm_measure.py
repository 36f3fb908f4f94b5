"""One measurement of benchmarks/gpu_llm.py, in a process of its own: `python gpu_llm_measure.py TASK.json`.

The task is a JSON object with `work` (build, train or score) and what that needs; the answer is written to the path in
its `answer`, with `error` in it where the work failed. Nothing imports transformers, peft or trl before the side that
is measured has had its chance to import unsloth first, which changes them.
"""

import csv
import json
import math
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

import torch  # noqa: E402

from benchmarks.gpu_llm_model import write_model  # noqa: E402  the project is found only now
from benchmarks.gpu_llm_sides import SIDES  # noqa: E402
from core.chat_templates import read_model_tokenizer  # noqa: E402
from core.presets import find_preset, preset_spec  # noqa: E402
from core.prompt_rows import Example, encode_prompts, training_examples  # noqa: E402
from core.prompts import Prompt, build_prompt  # noqa: E402
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile  # noqa: E402

PRESETS = {"3b": "llama-3.2-3b-4bit", "7b": "mistral-7b-qlora"}
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "unsloth", "unsloth_zoo", "xformers")


def read(data: str, name: str, column: str) -> tuple[list[str], list[str]]:
    """Texts and labels of a data set's training rows."""
    with (Path(data) / name / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row[column] for row in rows]


def build(task: dict[str, Any]) -> dict[str, Any]:
    texts = tuple(read(task["data"], "trec", "label")[0])
    return {"parameters": write_model(task["model"], Path(task["folder"]), texts, tiny=task["tiny"])}


# The rows


def run_spec(task: dict[str, Any]) -> RunSpec:
    """The preset's run, with the length, batch and steps that are measured; batches are not added up."""
    preset = find_preset(PRESETS[task["model"]])
    data = DataSpec(train=TableFile(path=str(Path(task["data"]) / "trec" / "train.csv")))
    spec = preset_spec(preset, data, MappingSpec(text=("text",), label="label"))
    training = {
        "batch_size": task["batch"],
        "gradient_accumulation": 1,
        "max_steps": task["steps"],
        "evaluate_every_steps": None,
    }
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"source": task["folder"], "max_length": task["length"]}),
            "training": spec.training.model_copy(update=training),
        }
    )


def make_prompt(spec: RunSpec, labels: Iterable[str], max_length: int) -> Prompt:
    return build_prompt(
        spec.prompt,
        read_model_tokenizer(Path(spec.model.source)),
        columns=["text", "label"],
        label_column="label",
        labels=sorted(set(labels)),
        max_length=max_length,
    )


def full_rows(task: dict[str, Any], spec: RunSpec) -> tuple[Prompt, list[Example], list[str]]:
    """Questions joined until prompt and answer fill `length` tokens: tokenised, and as one text each.

    The cut falls between tokens, and answers differ by some tokens: rows are a little shorter.
    """
    texts, labels = read(task["data"], "trec", "label")
    prompt = make_prompt(spec, labels, task["length"])
    source, chosen = cycle(texts), list(islice(labels, task["batch"] * task["steps"]))
    rows = []
    for _ in chosen:
        joined = next(source)
        while len(joined) < 8 * task["length"]:
            joined += " " + next(source)
        rows.append({"text": joined})
    examples = training_examples(prompt, rows, chosen)
    if min(len(example.ids) for example in examples) < 0.9 * task["length"]:
        raise ValueError("the rows do not fill the length that is measured")
    answers = {answer.label: "".join(answer.pieces) for answer in prompt.answers}
    begin = prompt.tokenizer.tokens.decode(list(prompt.tokenizer.prefix), skip_special_tokens=False)
    whole = [
        tokens.text.removeprefix(begin) + answers[label]
        for tokens, label in zip(encode_prompts(prompt, rows), chosen, strict=True)
    ]
    return prompt, examples, whole


# Training


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Seconds of a step after the first `warm` ones, and the most memory that loading and that training took."""
    spec = run_spec(task)
    _, examples, texts = full_rows(task, spec)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer, note = SIDES[task["side"]](task, spec, examples, texts, Path(folder))
        loading = time.perf_counter() - began
        memory = {f"loading_{name}": value for name, value in _peaks().items()}
        timer = _timer(task["warm"])
        trainer.add_callback(timer)
        trainer.train()
    tokens = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    each = (timer.marks[-1] - timer.marks[0]) / (len(timer.marks) - 1)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not all(map(math.isfinite, losses)):
        raise ValueError("the loss is no number")
    return {
        "seconds_per_step": each,
        "tokens_per_second": task["batch"] * sum(tokens) / len(tokens) / each,
        "row_tokens": [min(tokens), max(tokens)],
        "steps_timed": len(timer.marks) - 1,
        "loading_seconds": loading,
        **memory,
        **timer.memory,
        "trainable": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "note": note,
    }


def _peaks() -> dict[str, float]:
    """GB (10^9 bytes) that torch's allocator gave out and held at most, and that all of the device holds now."""
    if not torch.cuda.is_available():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {
        "allocated_gb": torch.cuda.max_memory_allocated() / 1e9,
        "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
        "device_gb": (total - free) / 1e9,
    }


def _timer(warm: int) -> Any:
    from transformers import TrainerCallback

    class Timer(TrainerCallback):
        """The time at the end of every step from `warm` on, and the peak of memory at the last of them."""

        def __init__(self) -> None:
            self.marks: list[float] = []
            self.memory: dict[str, float] = {}

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == warm or state.global_step == state.max_steps:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                self.memory = _peaks()
            if state.global_step >= warm:
                self.marks.append(time.perf_counter())

    return Timer()


# Scoring


def score(task: dict[str, Any]) -> dict[str, Any]:
    """Rows a second that are scored against all labels: over the token tree, and with a pass for each label."""
    from core.models.causal import Backend, choose_backend, load_causal

    spec = run_spec(task)
    asked = choose_backend(spec.model, spec.training) if task["side"] == "unsloth" else Backend("transformers", "")
    if asked.name != task["side"]:
        raise RuntimeError(asked.reason)
    from core.evaluation.label_trees import TREE_TOKENS
    from core.evaluation.plain_scoring import plain_scores
    from core.evaluation.scoring import Passes, agrees_with_plain, score_labels

    texts, names = read(task["data"], *(("banking77", "category") if task["labels"] > 6 else ("trec", "label")))
    prompt = make_prompt(spec, names, task["length"])
    prompts = [tokens.ids for tokens in encode_prompts(prompt, [{"text": text} for text in texts[: task["rows"]]])]
    labels = [answer.ids for answer in prompt.answers]
    model, _ = load_causal(spec.model, asked, TREE_TOKENS)
    passes = Passes(share_beginning=False, mask_dtype=model.dtype) if asked.name == "unsloth" else Passes()
    agrees = agrees_with_plain(model, prompts, labels, passes)  # also the first, slow pass of both ways
    few = prompts[: task["plain_rows"]]
    tree = _rate(len(prompts), lambda: score_labels(model, prompts, labels, 16, passes=passes))
    plain = _rate(len(few), lambda: plain_scores(model, few, labels, 16))
    return {
        "labels": len(labels),
        "tree_rows_per_second": tree,
        "plain_rows_per_second": plain,
        "times_plain": tree / plain,
        "agrees": agrees,
        "prompt_tokens": sorted(map(len, prompts))[len(prompts) // 2],
        **_peaks(),
    }


def _rate(rows: int, work: Any) -> float:
    began = time.perf_counter()
    work()  # ends with numbers in main memory, so nothing is left to wait for
    return rows / (time.perf_counter() - began)


def machine(task: dict[str, Any]) -> dict[str, Any]:
    """The GPU's name ('' where there is none), its memory and versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    on_gpu = torch.cuda.is_available()
    return {
        "gpu": torch.cuda.get_device_name(0) if on_gpu else "",
        "gpu_gb": torch.cuda.get_device_properties(0).total_memory / 1e9 if on_gpu else 0,
        "cuda": torch.version.cuda,
        "python": sys.version.split()[0],
        "versions": versions,
    }


WORK = {"machine": machine, "build": build, "train": train, "score": score}


def main() -> int:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        answer = WORK[task["work"]](task)
    except Exception as error:  # noqa: BLE001  whatever a side fails with is its line in the table
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {(str(error).strip() or 'no words').splitlines()[0]}"}
    Path(task["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
