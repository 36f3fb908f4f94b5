"""What the number format of kept states does to the result: five seeds of each, from one run on this machine.

    python benchmarks/cache_formats.py [SEEDS]

Needs ../shared/data beside the project. MiniLM on TREC, 4 of 6 layers frozen, 3 epochs, as `train` does it. float32 is
exact (tests/unit/test_prefix_cache.py holds it against a run that keeps nothing, step for step); float16, the default,
is half as large. Reached: the means of the two lie no further apart than two standard errors of their difference.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402  the project is found only now

TREC = PROJECT.parent / "shared" / "data" / "trec"
FORMATS = ("float32", "float16")


def main(seeds: int) -> int:
    print(heading("torch", "transformers"))
    found = {kind: [_measured(kind, seed) for seed in range(seeds)] for kind in FORMATS}
    for name in ("accuracy", "macro_f1"):
        for kind in FORMATS:
            values = [scores[name] for scores in found[kind]]
            listed = " ".join(f"{value:.4f}" for value in values)
            print(f"{name:9} {kind}: mean {statistics.mean(values):.4f}, sd {statistics.stdev(values):.4f}  ({listed})")
    exact, half = ([scores["accuracy"] for scores in found[kind]] for kind in FORMATS)
    apart = abs(statistics.mean(exact) - statistics.mean(half))
    error = ((statistics.variance(exact) + statistics.variance(half)) / seeds) ** 0.5
    reached = apart <= 2 * error
    words = "within noise" if reached else "MISSED"
    print(f"accuracy {apart:.4f} apart, two standard errors {2 * error:.4f}: {words}")
    return 0 if reached else 1


def _measured(kind: str, seed: int) -> dict[str, float]:
    settings = {
        "model.method": "freeze", "model.frozen_layers": 4, "training.learning_rate": 3e-4, "training.seed": seed,
        "training.cache_format": kind, "training.prefix_cache": "memory", "evaluation.baselines": "false",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as workspace:
        done = subprocess.run(
            [
                sys.executable, "launch.py", "train", "--no-venv", "--workspace", workspace, "--json",
                "--data", str(TREC / "train.csv"), "--test", str(TREC / "test.csv"), "--text", "text",
                "--label", "label", *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")),
            ],
            cwd=PROJECT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    scores: dict[str, float] = json.loads(done.stdout)["metrics"]["test"]
    return scores


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
