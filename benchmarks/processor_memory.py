"""What keeps a worker's memory low on a processor, what it saves and what it costs: all sides in one run.

    python benchmarks/processor_memory.py [ROUNDS]

Giving freed memory back while it trains (core/training/trimming.py), and preparing few shapes of products at once
(FEW_SHAPES of core/runs/supervisor.py).

MiniLM learns whole from rows of random tokens, of as many lengths as texts have (log-normal, 8 to 256 tokens), in the
batches of a real run. Each side has a process of its own, in turn; of several rounds the median is told.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402  the project is found only now
from core.runs.supervisor import FEW_SHAPES  # noqa: E402

STEPS, BATCH, CLASSES, VOCABULARY = 120, 32, 6, 5000
SIDES: dict[str, tuple[bool, dict[str, str]]] = {
    "neither": (False, {}),
    "given back": (True, {}),
    "few shapes": (False, FEW_SHAPES),
    "both, as a worker": (True, FEW_SHAPES),
}


def main() -> int:
    if sys.argv[1:2] == ["--side"]:
        print(json.dumps(measured(trims=SIDES[sys.argv[2]][0])))
        return 0
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(heading("torch", "transformers"))
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            command = [sys.executable, __file__, "--side", side]
            without = {name: value for name, value in os.environ.items() if name not in FEW_SHAPES}
            told = subprocess.run(
                command,
                env=without | SIDES[side][1],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=True,
            )
            found[side].append(json.loads(told.stdout.splitlines()[-1]))
            print(_line(side, found[side][-1]), flush=True)
    print(f"Medians of {rounds}:")
    for side in SIDES:
        print(_line(side, {name: statistics.median(one[name] for one in found[side]) for name in found[side][0]}))
    return 0


def _line(side: str, found: dict[str, float]) -> str:
    seconds = found["seconds"]
    return f"{side:18} grew by {found['grown'] / 1e9:.2f} GB  {seconds:6.1f} s for {STEPS} steps of {BATCH} rows"


def measured(trims: bool) -> dict[str, float]:
    """Bytes by which the process grew at its highest, and seconds of the training."""
    sys.modules.update(dict.fromkeys(("bitsandbytes", "torchao", "datasets")))  # type: ignore[arg-type]  as a worker
    import numpy as np

    from benchmarks.gpu_memory_measure import start_counting
    from core.models.encoder import load_encoder
    from core.models.processor_steps import quick_steps
    from core.models.tokens import TokenRows
    from core.models.used_tokens import only_used_tokens
    from core.presets import find_preset, preset_spec
    from core.schema import DataSpec, MappingSpec, TableFile
    from core.training import trainers
    from core.training.trimming import Trimming
    from core.workspace import RunFolder

    data = DataSpec(train=TableFile(path="none.csv"))
    spec = preset_spec(find_preset("quickstart-minilm"), data, MappingSpec(text=("text",), label="label"))
    training = spec.training.model_copy(update={"max_steps": STEPS, "batch_size": BATCH})
    spec = spec.model_copy(update={"training": training})

    def rows(count: int, seed: int) -> TokenRows:
        random = np.random.default_rng(seed)
        lengths = np.clip(random.lognormal(3.4, 0.9, count), 8, spec.model.max_length).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        flat = random.integers(1000, 1000 + VOCABULARY, offsets[-1]).astype(np.int32)
        return TokenRows(flat, offsets, random.integers(0, CLASSES, count))

    train, validation = rows(STEPS * BATCH, 0), rows(64, 1)
    with_curves = trainers.argument_values
    trainers.argument_values = lambda *given: with_curves(*given) | {"report_to": "none"}
    counted = start_counting()
    model, tokenizer = load_encoder(spec.model, [str(number) for number in range(CLASSES)])
    with tempfile.TemporaryDirectory() as name, only_used_tokens(model, [train, validation], tokenizer.pad_token_id):
        root = Path(name) / "runs" / "benchmark"
        root.mkdir(parents=True)
        callbacks = [Trimming()] if trims else []
        trainer = trainers.classifier_trainer(spec, RunFolder(root), model, tokenizer, train, validation, callbacks, {})
        began = time.monotonic()
        with quick_steps(model, trainer.args.device, bfloat16=trainer.args.bf16):
            trainer.train()
        return {"grown": counted()["actual"], "seconds": time.monotonic() - began}


if __name__ == "__main__":
    sys.exit(main())
