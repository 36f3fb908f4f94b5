"""The GPU benchmark runs: on a tiny model, and without a GPU what can run there."""

import json
import subprocess
import sys

from benchmarks.gpu_llm import found_already
from tests.small_tokenizers import PROJECT


def test_every_side_is_measured_or_says_why_not(shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    out = tmp_path / "out.jsonl"
    options = ("--tiny", "--models", "3b", "--data", str(shared_data), "--out", str(out))
    script = str(PROJECT / "benchmarks" / "gpu_llm.py")
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True)
    lines = {line["side"]: line for line in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    assert {side for side in lines if "error" not in lines[side]} == {"ours", "trl"}, done.stdout + done.stderr
    assert done.returncode == 1
    assert "3b/192/2/unsloth" in done.stdout
    assert lines["unsloth"]["error"] == "there is no CUDA GPU"
    assert lines["ours"]["trainable"] == lines["trl"]["trainable"]
    assert lines["ours"]["row_tokens"] == lines["trl"]["row_tokens"]
    for side in ("ours", "trl"):
        assert lines[side]["tokens_per_second"] > 0
        assert lines[side]["steps_timed"] == 2
        assert min(lines[side]["row_tokens"]) > 180
    # The same command would go on with what failed.
    assert {name for name, _, _ in found_already(out)} == {"3b/192/2/ours", "3b/192/2/trl"}
