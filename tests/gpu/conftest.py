"""Scenarios run in processes of their own: unsloth changes transformers, peft and trl for whatever comes after it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.small_tokenizers import PROJECT

Apart = Callable[..., dict[str, Any]]


@pytest.fixture
def apart(tmp_path: Path) -> Apart:
    """`apart(scenario, **arguments)`: what a function of tests/gpu/scenarios.py returns in a fresh process."""

    def run(scenario: str, **arguments: Any) -> dict[str, Any]:
        answer = tmp_path / f"{scenario}.json"
        answer.unlink(missing_ok=True)
        told = {"scenario": scenario, "answer": str(answer), "arguments": arguments}
        environment = {**os.environ, "UNSLOTH_DISABLE_STATISTICS": "1", "HF_HUB_OFFLINE": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-m", "tests.gpu.scenarios", json.dumps(told)],
            cwd=tmp_path,  # unsloth writes what it compiles into the folder where it runs
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        return json.loads(answer.read_text(encoding="utf-8"))

    return run


@pytest.fixture
def small_model(tmp_path: Path) -> str:
    """A folder with a small Llama with random weights and, as Llama 3.2 has it, a token for padding.

    Heads of 64, which every kernel takes; room for more than any prompt here, so that no position is rescaled.
    """
    from tests.small_llama import small_tokenizer, write_small_llama

    folder = tmp_path / "small-llama"
    shape = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096}
    write_small_llama(folder, vocab_size=1600, **shape)
    tokenizer = small_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<|finetune_right_pad_id|>"})
    tokenizer.save_pretrained(folder)
    return str(folder)
