"""What the GPU tests and the GPU benchmark import, and what they do not. Runs without a GPU."""

import subprocess
import sys

from tests.small_tokenizers import PROJECT

MODULES = (
    "tests.gpu.scenarios",
    "tests.small_llama",
    "benchmarks.gpu_llm_measure",
    "benchmarks.gpu_memory_measure",
    "core.evaluation.answers",
    "core.predictor",
    "core.training.answers",
    "core.training.failures",
    "core.training.sft",
    "core.training.trainers",
)


def run(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_neither_gradio_nor_duckdb_is_needed():
    """A GPU machine may lack them."""
    run(
        "import importlib, sys\n"
        "sys.modules['duckdb'] = sys.modules['gradio'] = None\n"  # importing them raises ImportError
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
    )


def test_nothing_comes_before_unsloth_that_it_changes():
    run(
        "import sys, benchmarks.gpu_memory_measure, tests.gpu.scenarios\n"
        "early = {'transformers', 'peft', 'trl'} & set(sys.modules)\n"
        "assert not early, early\n"
    )
