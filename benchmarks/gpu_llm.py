"""How fast language models train in 4 bits and what memory that takes: this program, Unsloth's notebooks, plain TRL.

    python benchmarks/gpu_llm.py --keep DIR --out FILE        (docs/gpu.md tells how to run it on a CUDA machine)

Models of the true shape of Llama-3.2-3B (`3b`) and Mistral-7B (`7b`) with random weights, as speed and memory do not
depend on the values; rows that fill the length, from TREC's questions in the preset's prompt. Every measurement is a
process of its own, so that its peak of memory is its own and no library's changes to another reach the next one.

ours: core.models.causal and core.training.sft with the preset's settings. unsloth: FastLanguageModel and SFTTrainer as
in Unsloth's notebooks. trl: TRL, PEFT and bitsandbytes as they document QLoRA. The same rows, rank, targets and batch
for all; the other two learn the whole text, as theirs do, and have their own dropout (0 and 0.05).

Every result is printed and added to --out as a line of JSON. What --out holds already is not measured again, so that a
run which was cut off, or which --minutes ended, is gone on with by the same command.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
DATA_FOLDERS = (PROJECT / ".gpu" / "data", PROJECT.parent / "shared" / "data")
NO_GPU = "there is no CUDA GPU"
MARKS = """\
marks, published for the real models (GB are 10^9 bytes):
  LitGPT, QLoRA, length 512, 2 rows a batch, A10G:  3b 10.30 GB  7b 14.29 GB
  Unsloth's own least for QLoRA:                    3b  3.5 GB   7b  5 GB"""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="See docs/gpu.md.")
    parser.add_argument("--models", default="3b,7b")
    parser.add_argument("--lengths", help="tokens of a row (512,1024)")
    parser.add_argument("--batches", help="rows of a batch (1,8)")
    parser.add_argument("--steps", type=int, help="steps of a training; the first 5 are not timed (30)")
    parser.add_argument("--sides", default="ours,unsloth,trl")
    parser.add_argument("--scoring", action="store_true", help="label scoring instead of training")
    parser.add_argument("--only", default="*", help="patterns of names such as 3b/512/1/ours, e.g. '3b/*,7b/512/*'")
    parser.add_argument("--data", help="folder with trec/ and banking77/ (.gpu/data, else ../shared/data)")
    parser.add_argument("--keep", help="folder that keeps the models; else they are made anew and removed")
    parser.add_argument("--out", help="file that gets a line of JSON for each measurement")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing more after that")
    parser.add_argument("--limit", type=float, default=540, help="seconds that one measurement may take")
    parser.add_argument("--tiny", action="store_true", help="two narrow layers and 3 steps, to try this script")
    chosen = parser.parse_args()
    chosen.lengths = chosen.lengths or ("192" if chosen.tiny else "512,1024")
    chosen.batches = chosen.batches or ("2" if chosen.tiny else "1,8")
    chosen.steps = chosen.steps or (3 if chosen.tiny else 30)
    chosen.data = chosen.data or next((str(folder) for folder in DATA_FOLDERS if folder.is_dir()), None)
    if chosen.data is None:
        parser.error("no data: name their folder with --data")
    chosen.data = str(Path(chosen.data).resolve())
    return chosen


def warm(tiny: bool) -> int:
    """Steps that are not timed: kernels are compiled and memory is taken in them."""
    return 1 if tiny else 5


def tasks(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Every measurement that was asked for, with its name, one model after the other."""
    wanted = []
    common = {"data": chosen.data, "tiny": chosen.tiny, "steps": chosen.steps}
    for model in chosen.models.split(","):
        if chosen.scoring:
            wanted += _scoring_tasks(model, common)
            continue
        wanted += [
            {
                **common,
                "name": f"{model}/{length}/{batch}/{side}",
                "work": "train",
                "model": model,
                "length": int(length),
                "batch": int(batch),
                "side": side,
                "warm": warm(chosen.tiny),
            }
            for length in chosen.lengths.split(",")
            for batch in chosen.batches.split(",")
            for side in chosen.sides.split(",")
        ]
    patterns = chosen.only.split(",")
    return [task for task in wanted if any(fnmatch(task["name"], pattern) for pattern in patterns)]


def _scoring_tasks(model: str, common: dict[str, Any]) -> list[dict[str, Any]]:
    """`side` is what the model is loaded with: unsloth as in training, transformers as in prediction."""
    rows = {"rows": 8, "plain_rows": 1} if common["tiny"] else {"rows": 256, "plain_rows": 16}
    return [
        {
            **common,
            **rows,
            "name": f"{model}/scoring/{labels}/{side}",
            "work": "score",
            "model": model,
            "length": 2048,
            "batch": 1,
            "labels": labels,
            "side": side,
        }
        for labels in (6, 77)
        for side in ("unsloth", "transformers")
    ]


def apart(task: dict[str, Any], limit: float, script: str = "gpu_llm_measure.py") -> dict[str, Any]:
    """The task's answer, from a process of its own; an error is one line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answer, log = folder / "answer.json", folder / "log.txt"
        (folder / "task.json").write_text(json.dumps({**task, "answer": str(answer)}), encoding="utf-8")
        environment = {
            **os.environ,
            "UNSLOTH_DISABLE_STATISTICS": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        if task.get("side") in ("ours", "unsloth"):
            # unsloth sets it as it is imported, which in a run comes before CUDA is begun with, and here after.
            environment.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
        with log.open("w") as file:
            try:
                code = subprocess.run(
                    [sys.executable, str(Path(__file__).with_name(script)), str(folder / "task.json")],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    cwd=folder,  # Unsloth writes what it compiles beside it
                    env=environment,
                    timeout=limit,
                ).returncode
            except subprocess.TimeoutExpired:
                return {"error": f"not done after {limit:.0f} s"}
        if not answer.exists():
            said = log.read_text(errors="replace").strip().splitlines()
            return {"error": f"the process ended with code {code}: {said[-1] if said else 'it said nothing'}"}
        found = json.loads(answer.read_text(encoding="utf-8"))
        if "error" in found:
            found["log"] = log.read_text(errors="replace")[-4000:]
        return found


def found_already(out: Path | None) -> set[tuple[str, int, bool]]:
    """What was measured before; what failed is tried again."""
    if out is None or not out.exists():
        return set()
    lines = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    return {identity(line) for line in lines if "error" not in line}


def identity(task: dict[str, Any]) -> tuple[str, int, bool]:
    return task["name"], task["steps"], task["tiny"]


def describe(name: str, found: dict[str, Any]) -> str:
    if "error" in found:
        return f"{name:<28}failed: {found['error']}"
    if "times_plain" in found:
        return (
            f"{name:<28}{found['tree_rows_per_second']:9.1f} rows/s over the tree, "
            f"{found['plain_rows_per_second']:8.2f} plain, {found['times_plain']:6.1f} times as fast; "
            f"{'they agree' if found['agrees'] else 'THEY DIFFER, so that a run scores the plain way'}"
        )
    memory = "no GPU memory"
    if "allocated_gb" in found:
        memory = (
            f"{found['allocated_gb']:6.2f} GB allocated, {found['reserved_gb']:6.2f} GB reserved "
            f"(loading {found['loading_reserved_gb']:6.2f})"
        )
    return (
        f"{name:<28}{found['tokens_per_second']:9.0f} tokens/s  {found['seconds_per_step']:7.3f} s/step  {memory}  "
        f"[{found['trainable']:,} trained, {found['note']}]"
    )


def say(*words: object) -> None:
    print(*words, flush=True)


def main() -> int:
    chosen = options()
    began = time.monotonic()
    out = Path(chosen.out) if chosen.out else None
    facts = apart({"work": "machine"}, chosen.limit)
    if "error" in facts:
        say(facts["error"])
        return 1
    say(f"{time.strftime('%Y-%m-%d')}  {facts['gpu'] or NO_GPU}, {facts['gpu_gb']:.1f} GB, CUDA {facts['cuda']}")
    say(f"Python {facts['python']}, {platform.system()}; " + ", ".join(map(" ".join, facts["versions"].items())))
    say(f"{chosen.steps} steps, the first {warm(chosen.tiny)} not timed; GB are 10^9 bytes, the most in training\n")
    done, failed = found_already(out), 0
    with tempfile.TemporaryDirectory() as temporary:
        for task in tasks(chosen):
            if identity(task) in done:
                say(f"{task['name']:<28}measured before")
                continue
            if time.monotonic() - began > 60 * chosen.minutes:
                say(f"{chosen.minutes:g} minutes are over; the same command goes on from {task['name']}")
                break
            found = measure(task, Path(chosen.keep or temporary), facts, chosen.limit)
            failed += "error" in found
            say(describe(task["name"], found))
            if out is not None:
                machine = {"gpu": facts["gpu"], "versions": facts["versions"], "date": time.strftime("%Y-%m-%d")}
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**task, **found, **machine}) + "\n")
    say(f"\n{MARKS}")
    return 1 if failed else 0


def measure(task: dict[str, Any], folder: Path, facts: dict[str, Any], limit: float) -> dict[str, Any]:
    """The task's figures or its error; its model is made first where it is not there."""
    if not facts["gpu"] and (task["side"] == "unsloth" or not task["tiny"]):
        return {"error": NO_GPU}
    model = (folder / f"{task['model']}{'-tiny' if task['tiny'] else ''}").resolve()
    if not (model / "config.json").exists():
        say(f"making {model.name}")
        made = apart({**task, "work": "build", "folder": str(model)}, limit)
        if "error" in made:
            return made
    return apart({**task, "folder": str(model)}, limit)


if __name__ == "__main__":
    sys.exit(main())
