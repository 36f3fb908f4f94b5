"""The benchmark of the forecast asks for what it claims to, and tells hits from misses."""

import json
from argparse import Namespace

from benchmarks.gpu_memory import describe, measured_before, summary, tasks

CHOSEN = {"data": ".", "tiny": False, "cpu": False, "only": "*"}


def test_what_is_measured():
    wanted = tasks(Namespace(**CHOSEN))
    names = [task["name"] for task in wanted]
    assert len(set(names)) == len(names)
    ours = [task for task in wanted if task["work"] in ("llm", "encoder") and task.get("side", "ours") == "ours"]
    assert len(ours) >= 24
    assert {task["cap"] for task in wanted if task["work"] == "fit"} == {size * 2**30 for size in (6, 8, 12, 16)}
    goals = {task["name"]: task["cap"] for task in wanted if task["name"].startswith("goal/")}
    assert goals == {"goal/7b/512/1/6": 6e9, "goal/3b/1024/1/4": 4e9}
    assert {task["side"] for task in wanted if task["work"] == "llm"} == {"ours", "unsloth", "trl"}
    assert {task["work"] for task in wanted} == {"encoder", "llm", "scoring", "answers", "fit"}
    here = tasks(Namespace(**CHOSEN | {"cpu": True, "only": "minilm/full/*"}))
    assert here and all(task["work"] == "encoder" for task in here)


def test_hits_and_misses_are_told_apart(tmp_path):
    hit, low, broken = tasks(Namespace(**CHOSEN))[:3]
    fit = next(task for task in tasks(Namespace(**CHOSEN)) if task["work"] == "fit")
    taken = {"actual": 10**9, "framework": 0, "device": 10**9, "cap": 6.0}
    results = [
        (hit, {**taken, "forecast": 1_050_000_000}),
        (low, {**taken, "forecast": 900_000_000 - 1}),
        (broken, {"error": "OutOfMemoryError: of memory"}),
        (fit, {**taken, "forecast": 10**9, "promised": True, "changes": ["training.batch_size 4"]}),
    ]
    told = summary(results)
    assert "within 10 % in 1 of 2, too low by more than 5 % in 1" in told
    assert "failed: 1" in told and "in 1 of 1 that it promised" in told
    assert "+5.0 %" in describe(*results[0])
    assert "training.batch_size 4" in describe(*results[3])
    out = tmp_path / "out.jsonl"
    out.write_text("".join(json.dumps({**task, **found}) + "\n" for task, found in results), encoding="utf-8")
    # What failed is tried again.
    assert set(measured_before(out, [task for task, _ in results])) == {hit["name"], low["name"], fit["name"]}
