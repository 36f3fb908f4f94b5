"""What the tests for a CUDA machine ask for exists: without a GPU nothing else would tell."""

import ast
from pathlib import Path

from tests.gpu.scenarios import SCENARIOS
from tests.small_tokenizers import PROJECT


def test_every_scenario_that_is_asked_for_can_be_found():
    files = list((PROJECT / "tests" / "gpu").glob("test_*.py"))
    asked = {name for file in files for name in scenarios_of(file)}
    assert asked and asked == set(SCENARIOS)


def scenarios_of(file: Path) -> set[str]:
    calls = (node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "apart" and isinstance(call.args[0], ast.Constant)
    }
