"""llama.cpp's own converter and quantiser, where this computer has them. Light: the page asks for it too.

Looked for in the folder that LLAMA_CPP names, where Unsloth puts its copy, and on the PATH. The Python package
llama-cpp-python, where it is installed, quantises too; it brings no converter.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from core.errors import UserError
from core.export_formats import LLAMA_CPP

CONVERTER, QUANTISER = "convert_hf_to_gguf.py", "llama-quantize"
_PLACES = ("", "build/bin", "bin")
LOG_LINES = 6
PACKAGE = "llama_cpp"
_QUANTISE = f"""
import ctypes, sys
import {PACKAGE}
wanted = {PACKAGE}.llama_model_quantize_default_params()
wanted.ftype = {PACKAGE}.LLAMA_FTYPE_MOSTLY_Q4_K_M
whole, file, _ = sys.argv[1:]
sys.exit({PACKAGE}.llama_model_quantize(whole.encode(), file.encode(), ctypes.byref(wanted)))
"""
"""llama-quantize by the package: takes the same words."""


@dataclass(frozen=True)
class LlamaCpp:
    converter: Path
    quantiser: tuple[str, ...] | None
    """What the command that quantises begins with."""


def found_llama_cpp(precision: str) -> LlamaCpp:
    """The programs that a precision needs. Raises UserError, saying how to get them."""
    folders = _folders()
    converter = next((folder / CONVERTER for folder in folders if (folder / CONVERTER).is_file()), None)
    on_path = shutil.which(CONVERTER)
    if converter is None and on_path:
        converter = Path(on_path)
    if converter is None:
        raise UserError(
            f"llama.cpp's converter ({CONVERTER}) is not on this computer, and nothing else writes GGUF rightly.",
            LLAMA_CPP,
            "Get it with `git clone --depth 1 https://github.com/ggml-org/llama.cpp`, set the environment variable "
            f"{LLAMA_CPP} to that folder, and start again.",
        )
    quantiser = _quantiser(folders)
    if precision == "q4_k_m" and quantiser is None:
        raise UserError(
            f"4 bits need llama.cpp's {QUANTISER}, which is not on this computer.",
            LLAMA_CPP,
            "Build it (`cmake -B build && cmake --build build --target llama-quantize` in llama.cpp's folder) or "
            f"put a release of llama.cpp there, and set {LLAMA_CPP} to the folder; or `pip install llama-cpp-python`; "
            "or take q8_0.",
        )
    return LlamaCpp(converter, quantiser)


def _quantiser(folders: list[Path]) -> tuple[str, ...] | None:
    programs = [folder / place / name for folder in folders for place in _PLACES for name in (QUANTISER, _exe())]
    program = next((program for program in programs if program.is_file()), None)
    named = str(program) if program else shutil.which(QUANTISER)
    if named:
        return (named,)
    return (sys.executable, "-c", _QUANTISE) if find_spec(PACKAGE) else None


def convert(programs: LlamaCpp, model: Path, file: Path, precision: str) -> None:
    """Write a folder with whole weights as a GGUF file. Raises UserError with what the program says where it fails."""
    if precision != "q4_k_m":
        _run([sys.executable, str(programs.converter), str(model), "--outfile", str(file), "--outtype", precision])
        return
    whole = file.with_name("whole.gguf")
    try:
        _run([sys.executable, str(programs.converter), str(model), "--outfile", str(whole), "--outtype", "f16"])
        _run([*(programs.quantiser or ()), str(whole), str(file), "Q4_K_M"])
    finally:
        whole.unlink(missing_ok=True)


def _folders() -> list[Path]:
    named = [os.environ.get(LLAMA_CPP), os.environ.get("UNSLOTH_LLAMA_CPP_PATH")]
    return [Path(folder).expanduser() for folder in named if folder] + [Path.home() / ".unsloth" / "llama.cpp"]


def _exe() -> str:
    return f"{QUANTISER}.exe"


def _run(words: list[str]) -> None:
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    print(done.stdout, flush=True)
    if done.returncode:
        said = [line.strip() for line in done.stdout.splitlines() if line.strip()][-LOG_LINES:]
        raise UserError(
            f"{_name(words)} could not write the model: {said[-1] if said else f'exit code {done.returncode}'}",
            LLAMA_CPP,
            "If it does not know the model's kind, update llama.cpp (`git pull`); the log holds all that it said.",
        )


def _name(words: list[str]) -> str:
    if words[0] != sys.executable:
        return Path(words[0]).name
    return PACKAGE if words[1] == "-c" else Path(words[1]).name
