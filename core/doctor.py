"""Looks at everything that a run needs and says, for each thing, how it is and what to do.

Standard library only at import: launch.py asks about torch right after an installation, and `doctor` must answer
where the installation is what fails. torch itself is asked in a process of its own: importing it takes seconds, and
a broken one can end the process.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.environment import requirement_lines
from core.installing import existing

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
SHOWN_PACKAGES = (
    "torch", "transformers", "peft", "trl", "unsloth", "bitsandbytes", "accelerate", "datasets", "tokenizers",
    "safetensors", "huggingface_hub", "gradio", "duckdb", "pyarrow", "pandas", "pydantic", "scikit-learn",
)  # fmt: skip
HUB_TIMEOUT_SECONDS = 5
TORCH_TIMEOUT_SECONDS = 120
LITTLE_DISK_BYTES = 5_000_000_000
# The oldest driver that runs each CUDA release: https://docs.nvidia.com/deploy/cuda-compatibility/
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
# PyTorch's own builds, for drivers that run CUDA 13 and for older drivers and cards.
BUILD_FOR_NEW_DRIVERS, BUILD_FOR_OLD_DRIVERS = "cu130", "cu126"

TORCH_QUESTIONS = """
import json, torch
facts = {"version": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip, "error": ""}
facts["mps"] = torch.backends.mps.is_available()
facts["available"] = torch.cuda.is_available()
facts["architectures"] = torch.cuda.get_arch_list() if facts["available"] else []
facts["capability"] = list(torch.cuda.get_device_capability(0)) if facts["available"] else None
if torch.version.cuda and not facts["available"]:
    try:
        torch.cuda.init()
    except RuntimeError as error:
        facts["error"] = str(error)
print(json.dumps(facts))
"""


@dataclass(frozen=True)
class Finding:
    name: str
    state: Literal["ok", "note", "problem"]
    """note: works, with a limit worth knowing. problem: something will fail."""
    what: str
    todo: str = ""


@dataclass(frozen=True)
class Gpu:
    name: str
    driver: str
    """The driver's version, e.g. 580.65.06."""
    memory_mb: int
    free_mb: int


@dataclass(frozen=True)
class TorchFacts:
    """What torch says of itself in a fresh process."""

    version: str
    cuda: str | None
    """The CUDA release that it was built for; None for a build without CUDA."""
    hip: str | None
    mps: bool
    available: bool
    """Whether it can use a CUDA GPU here."""
    architectures: tuple[str, ...]
    """The GPU generations that it has code for, e.g. sm_75."""
    capability: tuple[int, int] | None
    """The first GPU's generation."""
    error: str


def examine(workspace: str | None) -> dict[str, Any]:
    """Everything, as `doctor --json` prints it: findings, versions, gpus, and whether there is no problem."""
    gpus, driver = find_gpus()
    findings = [
        _about_python(),
        _about_packages(),
        driver,
        *(about_other_programs() if gpus else []),
        torch_finding(Path(sys.executable), gpus),
        *_about_workspace(workspace),
        about_hub(),
    ]
    return {
        "ok": all(finding.state != "problem" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
        "versions": {"python": platform.python_version(), **versions()},
        "gpus": [asdict(gpu) for gpu in gpus],
    }


def report(content: dict[str, Any]) -> str:
    """What `examine` found, for people."""
    sign = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
    lines = []
    for finding in content["findings"]:
        lines.append(f"{sign[finding['state']]}  {finding['name']}: {finding['what']}")
        if finding["todo"]:
            lines.append(f"         -> {finding['todo']}")
    installed = ", ".join(f"{name} {version}" for name, version in content["versions"].items() if version)
    return "\n".join([*lines, "", f"Versions: {installed}"])


def versions() -> dict[str, str | None]:
    """Of the packages that matter when something goes wrong; None where one is not installed."""
    return {name: _version(name) for name in SHOWN_PACKAGES}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _about_python() -> Finding:
    what = f"{platform.python_version()} at {sys.executable}, on {platform.platform()}"
    return Finding("Python", "ok", what)


def _about_packages() -> Finding:
    # Where unsloth's own markers leave a package out, it is not missing.
    names = [re.split(r"[\s<>=!~;\[]", line)[0] for line in requirement_lines(REQUIREMENTS) if ";" not in line]
    missing = [name for name in names if _version(name) is None]
    if missing:
        return Finding(
            "Packages",
            "problem",
            f"{len(missing)} of {len(names)} are not installed here: {', '.join(missing)}.",
            "Run `python launch.py`, which installs them.",
        )
    return Finding("Packages", "ok", f"all {len(names)} are installed")


# GPU


def find_gpus() -> tuple[list[Gpu], Finding]:
    """The NVIDIA GPUs that the driver's own tool names, and how the driver is."""
    if shutil.which("nvidia-smi") is None:
        if Path("/proc/driver/nvidia").exists() or Path("/dev/nvidia0").exists():
            todo = "Install the driver's tools (package nvidia-utils or nvidia-smi)."
            return [], Finding("GPU", "note", "There is an NVIDIA driver, but no nvidia-smi to ask it with.", todo)
        return [], Finding("GPU", "ok", "no NVIDIA GPU; small encoders train well without one")
    command = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired:
        return [], Finding("GPU", "problem", "nvidia-smi does not answer.", "Restart the computer.")
    if answer.returncode != 0:
        words = (answer.stdout + answer.stderr).strip().splitlines()
        return [], Finding(
            "GPU",
            "problem",
            f"nvidia-smi says: {words[0] if words else f'code {answer.returncode}'}",
            "Restart the computer; if that does not help, install the NVIDIA driver anew.",
        )
    gpus = read_gpus(answer.stdout)
    named = ", ".join(f"{gpu.name} ({gpu.free_mb} of {gpu.memory_mb} MB free)" for gpu in gpus)
    return gpus, Finding("GPU", "ok", f"{named}, driver {gpus[0].driver}" if gpus else "nvidia-smi lists no GPU")


def read_gpus(table: str) -> list[Gpu]:
    """The GPUs in nvidia-smi's CSV answer: name, driver, total and free memory in MiB."""
    rows = [[cell.strip() for cell in line.rsplit(",", 3)] for line in table.splitlines() if line.count(",") >= 3]
    # A GPU that shares the computer's memory has "[N/A]" there.
    memory = [[int(cell) if cell.isdigit() else 0 for cell in row[2:]] for row in rows]
    return [Gpu(row[0], row[1], total, free) for row, (total, free) in zip(rows, memory, strict=True)]


def about_other_programs() -> list[Finding]:
    """Which programs hold memory of the card; nothing where none does, or before the packages are installed."""
    if importlib.util.find_spec("pynvml") is None:
        return []
    from core.gpu_card import look, sharing_words

    sample = look()
    words = sharing_words(sample.others) if sample is not None else ""
    return [Finding("Other programs", "note", words, "End them before a run that needs the room.")] if words else []


def torch_finding(python: Path, gpus: Sequence[Gpu]) -> Finding:
    """Whether the torch of this Python can use the GPU, and if not why not."""
    command = [str(python), "-c", TORCH_QUESTIONS]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TORCH_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return Finding("torch", "problem", "torch does not come up within two minutes.", "Restart the computer.")
    if answer.returncode != 0:
        words = answer.stderr.strip().splitlines() or [f"it ended with code {answer.returncode}"]
        if "No module named 'torch'" in words[-1]:
            return Finding("torch", "problem", "torch is not installed here.", "Run `python launch.py`.")
        return Finding(
            "torch",
            "problem",
            f"torch cannot be imported: {words[-1]}",
            f"Run `{python} -m pip install --force-reinstall torch torchvision`"
            + (" and install the Visual C++ redistributable from Microsoft." if os.name == "nt" else "."),
        )
    facts = json.loads(answer.stdout.splitlines()[-1])
    lists = {
        "architectures": tuple(facts["architectures"]),
        "capability": facts["capability"] and tuple(facts["capability"]),
    }
    return explain_torch(TorchFacts(**{**facts, **lists}), gpus, python)


def explain_torch(torch: TorchFacts, gpus: Sequence[Gpu], python: Path) -> Finding:
    """What torch's facts and the driver's mean together."""
    if not gpus:
        where = "the GPU of this Mac (mps)" if torch.mps else "the processor"
        return Finding("torch", "ok", f"{torch.version} computes on {'CUDA' if torch.available else where}")
    driver = int(gpus[0].driver.split(".")[0])
    newest = BUILD_FOR_NEW_DRIVERS if driver >= OLDEST_DRIVER[13] else BUILD_FOR_OLD_DRIVERS
    if torch.hip is None and torch.cuda is None:
        return Finding(
            "torch",
            "problem",
            f"torch {torch.version} was built without CUDA, so it cannot use the {gpus[0].name}.",
            f"Run `{build_command(python, newest)}`",
        )
    if torch.available:
        return _about_generation(torch, gpus[0], python)
    needed = OLDEST_DRIVER.get(int((torch.cuda or "0").split(".")[0]), 0)
    if driver < needed:
        return Finding(
            "torch",
            "problem",
            f"torch {torch.version} was built for CUDA {torch.cuda}, which needs driver {needed} or newer; "
            f"this one is {gpus[0].driver}.",
            f"Update the NVIDIA driver, or run `{build_command(python, newest)}`",
        )
    return Finding(
        "torch",
        "problem",
        f"torch {torch.version} does not see the {gpus[0].name}: {torch.error or 'CUDA names no device'}",
        "Restart the computer (after a driver update that is needed); in a container, start it with --gpus all; "
        "see that CUDA_VISIBLE_DEVICES is not set.",
    )


def _about_generation(torch: TorchFacts, gpu: Gpu, python: Path) -> Finding:
    """Builds for new CUDA releases have no code for old cards, which then fail in the first computation."""
    oldest = min((int(name[3:].rstrip("a")) for name in torch.architectures if name.startswith("sm_")), default=0)
    if torch.capability is not None and 10 * torch.capability[0] + torch.capability[1] < oldest:
        return Finding(
            "torch",
            "problem",
            f"torch {torch.version} has no code for a card as old as the {gpu.name}.",
            f"Run `{build_command(python, BUILD_FOR_OLD_DRIVERS)}`",
        )
    return Finding("torch", "ok", f"{torch.version}, built for CUDA {torch.cuda or torch.hip}, sees the {gpu.name}")


def build_command(python: Path, build: str) -> str:
    """The pip command that puts PyTorch's own build for a CUDA release into place, within our range of versions."""
    (torch,) = [line for line in requirement_lines(REQUIREMENTS) if re.match(r"torch\b", line)]
    return (
        f'"{python}" -m pip install --force-reinstall "{torch}" torchvision '
        f"--index-url https://download.pytorch.org/whl/{build}"
    )


# Disk, workspace and hub


def _about_workspace(chosen: str | None) -> list[Finding]:
    # core.workspace needs a package, and `doctor` also answers before any is installed.
    if importlib.util.find_spec("pydantic") is None:
        return [
            Finding("Workspace", "note", "not looked at before the packages are installed"),
            _about_disk(Path.home()),
        ]
    from core.errors import UserError
    from core.workspace import open_workspace

    try:
        root = open_workspace(chosen).root
        with tempfile.TemporaryFile(dir=root) as trial:
            trial.write(b"x")
    except UserError as error:
        return [Finding("Workspace", "problem", error.what, error.todo)]
    except OSError as error:
        todo = "Free some space or choose another folder with --workspace DIR."
        return [Finding("Workspace", "problem", f"{root} cannot be written ({error.strerror}).", todo)]
    return [Finding("Workspace", "ok", f"{root} can be written"), _about_disk(root)]


def _about_disk(folder: Path) -> Finding:
    free = shutil.disk_usage(existing(folder)).free
    what = f"{free / 1e9:.1f} GB free where {folder} lies"
    if free < LITTLE_DISK_BYTES:
        return Finding("Disk", "problem", what, "Free some space: checkpoints and models take some GB.")
    return Finding("Disk", "ok", what)


def about_hub() -> Finding:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    without = "What is cached works, and so does the quick start preset, whose model is installed."
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("Model hub", "note", "not asked: HF_HUB_OFFLINE is set", without)
    if not endpoint.startswith(("https://", "http://")):
        return Finding("Model hub", "problem", f"HF_ENDPOINT is '{endpoint}'.", "Give an https:// address.")
    request = urllib.request.Request(f"{endpoint}/api/models?limit=1")  # noqa: S310  (http and https only, see above)
    try:
        with urllib.request.urlopen(request, timeout=HUB_TIMEOUT_SECONDS):  # noqa: S310
            return Finding("Model hub", "ok", f"{endpoint} answers")
    except urllib.error.HTTPError as error:
        return Finding("Model hub", "note", f"{endpoint} answers with code {error.code}.", without)
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Finding("Model hub", "note", f"{endpoint} does not answer ({reason}).", without)
