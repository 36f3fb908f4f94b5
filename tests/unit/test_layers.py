"""One direction: ui calls core, core never ui; inside core later steps import earlier ones; no torch in the page."""

import ast
import functools
import graphlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

from core.environment import requirement_lines

PROJECT = Path(__file__).resolve().parents[2]

# Earlier first: a step may import those above it. A new file or folder of core/ gets its place here.
ORDER = (
    "installing",
    "environment",
    "errors",
    "durations",
    "masking",
    "yielding",
    "files",
    "formulas",
    "text_template",
    "decision",
    "schema",
    "spec_settings",
    "spec_files",
    "sweep_spec",
    "epochs",
    "step_sizes",
    "workspace",
    "hub_fetching",
    "gpu_card",
    "doctor",
    "presets",
    "template_sandbox",
    "chat_templates",
    "prompts",
    "prompt_rows",
    "chat_rows",
    "data",
    "prompt_preview",
    "model_facts",
    "export_formats",
    "models",
    "cut_texts",
    "few_steps",
    "model_findings",
    "runs",
    "gpu_watch",
    "sharing",
    "evaluation",
    "correcting",
    "deciding",
    "training",
    "labelled_files",
    "model_input",
    "job_processes",
    "label_jobs",
    "export_jobs",
    "deletion",
    "predictor",
    "predict",
    "answers_together",
    "prediction_service",
    "file_drift",
    "evaluate_run",
    "store_check",
    "evaluation_jobs",
    "evaluation_worker",
    "probe_jobs",
    "probe_worker",
    "export",
    "hub_model",
    "opening",
    "opening_jobs",
    "cli",
)
HEAVY = {"torch", "transformers", "unsloth", "unsloth_zoo", "peft", "trl", "bitsandbytes", "accelerate", "xformers"}
STANDARD_LIBRARY_ONLY = (
    "launch",
    "core.installing",
    "core.environment",
    "core.cli.arguments",
    "core.cli.options",
    "core.cli.model_options",
    "core.doctor",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path for folder in ("core", "ui") for path in sorted((PROJECT / folder).rglob("*.py"))
} | {"launch": PROJECT / "launch.py"}


@functools.cache
def imports(module: str, *, top_level_only: bool = False) -> set[str]:
    """Every module that a module names in an import; those inside functions too, unless told otherwise."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        if top_level_only and id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{module}: write imports from the project's root"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= inner or {node.module}
    return found


def root_of(name: str) -> str:
    return name.split(".")[0]


def step_of(module: str) -> str:
    return module.split(".")[1]


def test_core_never_imports_the_page():
    wrong = {
        (module, name)
        for module in MODULES
        if module.startswith("core")
        for name in imports(module)
        if root_of(name) in {"ui", "gradio", "launch"}
    }
    assert wrong == set()


def test_inside_core_later_steps_import_earlier_ones():
    place = {step: number for number, step in enumerate(ORDER)}
    steps = {step_of(module) for module in MODULES if module.startswith("core.")}
    assert steps <= set(ORDER), "give the new step of core/ its place in ORDER"
    wrong = {
        (module, name)
        for module in MODULES
        if module.startswith("core.")
        for name in imports(module)
        if name.startswith("core.") and place[step_of(name)] > place[step_of(module)]
    }
    assert wrong == set()


def test_no_module_imports_itself_through_others():
    graph = {module: imports(module) & set(MODULES) - {module} for module in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


def test_unsloth_is_imported_in_one_file():
    users = {module for module in MODULES if any(root_of(name) == "unsloth" for name in imports(module))}
    assert users <= {"core.models.causal"}


def test_page_reaches_no_heavy_library_through_any_function():
    """Also where an import stands inside a function: whatever needs a model runs in a process of its own."""
    reached = {module for module in MODULES if module.startswith("ui")}
    waiting = list(reached)
    wrong = set()
    while waiting:
        module = waiting.pop()
        for name in imports(module):
            if root_of(name) in HEAVY:
                wrong.add((module, name))
            if name in MODULES and name not in reached:
                reached.add(name)
                waiting.append(name)
    assert "core.schema" in reached
    assert wrong == set()


def test_importing_the_page_loads_no_heavy_library():
    code = "import sys, ui.app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"gradio", "core"} <= loaded
    assert loaded & HEAVY == set()


def test_what_runs_before_the_installation_imports_the_standard_library_only():
    for module in STANDARD_LIBRARY_ONLY:
        for name in imports(module, top_level_only=True):
            is_ours = name in STANDARD_LIBRARY_ONLY
            assert is_ours or root_of(name) in sys.stdlib_module_names, f"{module} imports {name}"


def test_every_library_that_is_imported_is_in_the_requirements():
    """What only comes along with another package goes when that one stops needing it."""
    asked_for = {re.split(r"[\s<>=!~;\[]", line)[0] for line in requirement_lines(PROJECT / "requirements.txt")}
    asked_for = {re.sub(r"[-_.]+", "-", name).lower() for name in asked_for}
    owners = importlib.metadata.packages_distributions()
    missing = set()
    for module in MODULES:
        for name in {root_of(name) for name in imports(module)} - {"core", "ui"} - set(sys.stdlib_module_names):
            packages = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(name, [name])}
            if not packages & asked_for:
                missing.add((module, name))
    assert missing == set()


def test_readme_maps_every_file():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown, folders = set(), []
    for line in text.split("<!-- map -->")[1].split("```")[1].strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders[depth:] = [name.rstrip("/")]
        if not name.endswith("/"):
            shown.add("/".join(folders))
            assert len(line.split()) > 1, f"{name} has no comment in README.md"
    present = {path.relative_to(PROJECT).as_posix() for path in MODULES.values() if path.name != "__init__.py"}
    assert shown == present
