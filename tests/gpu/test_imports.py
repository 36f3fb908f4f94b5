"""What the GPU tests and the GPU benchmark import needs neither gradio nor duckdb, which a GPU machine may lack."""

import subprocess
import sys

from tests.small_tokenizers import PROJECT

MODULES = (
    "tests.gpu.scenarios",
    "tests.small_llama",
    "benchmarks.gpu_llm_measure",
    "core.evaluation.answers",
    "core.predictor",
    "core.training.answers",
    "core.training.failures",
    "core.training.sft",
    "core.training.trainers",
)


def test_neither_gradio_nor_duckdb_is_imported():
    script = (
        "import importlib, sys\n"
        "sys.modules['duckdb'] = sys.modules['gradio'] = None\n"  # importing them raises ImportError
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
