"""The Python environment with everything in requirements.txt: made, repaired, and remembered as whole.

Standard library only: launch.py runs this before anything is installed. What is remembered is a marker file in the
environment with the hash of the requirements; it is taken away before pip starts and written after pip succeeded, so
an installation that was cut off is always noticed and gone on with.
"""

import csv
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.installing import DOWNLOADED_BYTES, INSTALLED_BYTES, SMALL_CHANGE_BYTES, SetupError, install

SUPPORTED = ((3, 11), (3, 12), (3, 13))
MADE_HERE = "tunedesk-made-this"
"""Lies in every environment that Tunedesk made, and only there: such a one may be deleted to repair it."""
LOCK = "tunedesk.lock"
VENV_PARTS = ("bin", "Scripts", "lib", "lib64", "Lib", "include", "Include", "share", "etc", "pyvenv.cfg")

Say = Callable[[str], None]
"""Takes a line for the person who waits."""


@dataclass(frozen=True)
class Found:
    """What an environment's own Python says of itself."""

    version: tuple[int, int]
    packages: Path
    has_pip: bool


def ensure_venv(venv: Path, requirements: Path, say: Say) -> bool:
    """Make `venv` hold everything in `requirements`. Returns whether anything was installed. Raises SetupError."""
    if is_ready(venv, requirements):
        return False
    _check_platform()
    try:
        _claim(venv)
        with _locked(venv, say):
            # Another start may have finished while this one waited.
            if not is_ready(venv, requirements):
                _install_into(venv, requirements, say)
    except OSError as error:
        raise SetupError(
            f"The environment {venv} cannot be written ({error.strerror}).",
            str(error.filename or venv),
            "Free space if the disk is full; else choose another folder with --venv DIR.",
        ) from error
    return True


def is_ready(venv: Path, requirements: Path) -> bool:
    """Whether `venv` was made whole for these requirements. Reads two small files and starts nothing."""
    marker = _marker(venv, requirements)
    if not marker.is_file() or not python_in(venv).exists():
        return False
    remembered = json.loads(marker.read_text(encoding="utf-8"))
    if remembered["requirements"] != requirements_hash(requirements):
        return False
    # A system upgrade can put another Python behind the same link, which then looks elsewhere for its packages.
    return not is_active(venv) or remembered["python"] == list(sys.version_info[:2])


def is_active(venv: Path) -> bool:
    """Whether this process runs in `venv`."""
    return Path(sys.prefix).resolve() == venv.resolve()


def python_in(venv: Path) -> Path:
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def requirement_lines(requirements: Path) -> list[str]:
    """The requirements of a file and of those it reads with `-r`, without comments."""
    lines: list[str] = []
    for written in requirements.read_text(encoding="utf-8").splitlines():
        line = written.partition("#")[0].strip()
        if line.startswith("-r "):
            lines += requirement_lines(requirements.parent / line[3:].strip())
        elif line:
            lines.append(line)
    return lines


def requirements_hash(requirements: Path) -> str:
    return hashlib.sha256("\n".join(requirement_lines(requirements)).encode()).hexdigest()


# The active environment, with --no-venv


def ensure_active(requirements: Path, say: Say) -> bool:
    """Install what the active environment lacks, and nothing else. Returns whether that was anything.

    There is no marker: the environment is not ours and may have changed, so its packages are looked at each time.
    Raises SetupError.
    """
    missing = unsatisfied(requirement_lines(requirements))
    if not missing:
        return False
    _check_platform()
    say("Installing what the active environment lacks: " + ", ".join(missing))
    packages = Path(sysconfig.get_path("purelib"))
    install(Path(sys.executable), packages, missing, Path(tempfile.mkdtemp(prefix="tunedesk-")), _bytes_for(missing))
    importlib.invalidate_caches()
    left = unsatisfied(missing)
    if left:
        raise SetupError(
            f"pip has run, but the active environment still lacks: {', '.join(left)}.",
            sys.prefix,
            "Leave out --no-venv, so that Tunedesk makes an environment of its own.",
        )
    return True


def unsatisfied(lines: list[str]) -> list[str]:
    """The requirements, of those that apply to this system, that the active environment does not meet."""
    module = next((name for name in ("packaging", "pip._vendor.packaging") if _can_import(name)), None)
    if module is None:
        raise SetupError(
            "The active environment has no pip.",
            sys.prefix,
            f"Run `{sys.executable} -m ensurepip`, or leave out --no-venv.",
        )
    read = importlib.import_module(f"{module}.requirements").Requirement
    missing = []
    for line in lines:
        requirement = read(line)
        if requirement.marker is None or requirement.marker.evaluate():
            installed = _installed_version(requirement.name)
            if installed is None or not requirement.specifier.contains(installed, prereleases=True):
                missing.append(line)
    return missing


def _can_import(name: str) -> bool:
    """find_spec imports the packages above `name`, so it is only asked where the first is there."""
    return importlib.util.find_spec(name.split(".")[0]) is not None and importlib.util.find_spec(name) is not None


def _installed_version(name: str) -> str | None:
    # Imported here: it is slow, and every start with an environment of our own passes this module.
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


# An environment of our own


def _check_platform() -> None:
    """Raises SetupError where PyTorch, and so the rest, has no builds."""
    machine = platform.machine()
    if sys.maxsize < 2**32:
        raise SetupError("This is a 32-bit Python.", sys.executable, "Install a 64-bit Python 3.12 and use that.")
    if sys.platform == "darwin" and machine == "x86_64":
        raise SetupError(
            "PyTorch has no builds for Macs with Intel processors any more.",
            machine,
            "Use an Apple-silicon Mac (with a Python built for arm64), Linux or Windows.",
        )


def _claim(venv: Path) -> None:
    """Mark a new folder as ours. Raises SetupError for a folder that holds something else."""
    if not venv.exists() or not any(venv.iterdir()):
        venv.mkdir(parents=True, exist_ok=True)
        (venv / MADE_HERE).touch()
    elif not (venv / MADE_HERE).exists() and not (venv / "pyvenv.cfg").exists():
        raise SetupError(
            f"{venv} holds files and is not a Python environment.",
            str(venv),
            "Name a new or an empty folder with --venv DIR.",
        )


@contextmanager
def _locked(venv: Path, say: Say) -> Iterator[None]:
    """Keep a second start from installing into the same folder; the system lets go when a process ends."""
    with (venv / LOCK).open("a") as lock:
        if not _try_lock(lock.fileno(), wait=False):
            say("Another start is installing; waiting for it to finish.")
            while not _try_lock(lock.fileno(), wait=True):
                pass
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, wait: bool) -> bool:
        try:
            # LK_LOCK gives up after ten seconds.
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int, wait: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _install_into(venv: Path, requirements: Path, say: Say) -> None:
    found = _look_into(venv)
    if found is None or found.version not in SUPPORTED:
        found = _make(venv, found, say)
    else:
        say(f"Completing the environment in {venv} (its requirements changed, or the last start was cut off).")
    python = python_in(venv)
    for marker in venv.glob("tunedesk-*.json"):
        marker.unlink()
    damaged = forget_damaged(found.packages) if (venv / MADE_HERE).exists() else []
    if damaged:
        say(f"Installing again what is not whole: {', '.join(damaged)}")
    if not found.has_pip or "pip" in damaged:
        _run([str(python), "-m", "ensurepip", "--upgrade"], "pip could not be put into the environment.")
    lines = requirement_lines(requirements)
    needed = _bytes_for(lines) if not (found.packages / "torch").exists() else (SMALL_CHANGE_BYTES, 0)
    install(python, found.packages, ["-r", str(requirements)], venv, needed)
    for file in _with_included(requirements):
        _remember(venv, file, found.version)


def _look_into(venv: Path) -> Found | None:
    """Ask the environment's Python; None where there is none that runs."""
    code = (
        "import importlib.util as u, json, sys, sysconfig as s;"
        "print(json.dumps([list(sys.version_info[:2]), s.get_path('purelib'), u.find_spec('pip') is not None]))"
    )
    try:
        answer = subprocess.run([str(python_in(venv)), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    if answer.returncode != 0:
        return None
    (major, minor), packages, has_pip = json.loads(answer.stdout)
    return Found((major, minor), Path(packages), has_pip)


def _make(venv: Path, found: Found | None, say: Say) -> Found:
    """Make the environment anew; whatever is left of an earlier one is deleted, if that was ours. Raises SetupError."""
    if not (venv / MADE_HERE).exists():
        state = "does not run" if found is None else f"is {found.version[0]}.{found.version[1]}"
        raise SetupError(
            f"The Python in {venv} {state}, and Tunedesk did not make that environment.",
            str(venv),
            "Delete the folder, or name another with --venv DIR.",
        )
    missing = [module for module in ("venv", "ensurepip") if importlib.util.find_spec(module) is None]
    if missing:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"This Python comes without its module '{missing[0]}', which makes environments.",
            sys.executable,
            f"On Debian or Ubuntu: `sudo apt install python{version}-venv`; elsewhere install Python from python.org. "
            "Then start again.",
        )
    again = (venv / "lib").exists() or (venv / "Lib").exists()
    say(f"{'Repairing' if again else 'Making'} the environment in {venv}")
    _clear(venv)
    # Not sys.executable: in an active environment that would make one that hangs on the active one.
    base: str = sys._base_executable  # type: ignore[attr-defined]
    _run([base, "-m", "venv", str(venv)], "The environment could not be made.")
    made = _look_into(venv)
    if made is None:
        raise SetupError("The new environment's Python does not run.", str(venv), "Try another folder with --venv DIR.")
    return made


def _clear(venv: Path) -> None:
    """Take away what `python -m venv` would not replace; packages for this Python's version are kept."""
    kept = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    parts = (venv / "bin").glob("python*") if kept.exists() else (venv / part for part in VENV_PARTS)
    for path in list(parts):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _run(command: list[str], what: str) -> None:
    """Raises SetupError, with the command's last words, where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        words = done.stdout.strip().splitlines() or [f"code {done.returncode}"]
        raise SetupError(
            f"{what} Python says: {words[-1]}",
            " ".join(command),
            "Free space if the disk is full; else install Python 3.12 from python.org and start with that one.",
        )


def forget_damaged(packages: Path) -> list[str]:
    """Make pip forget packages that were cut off while they were unpacked, so that it installs them again.

    pip takes a package for installed as soon as its METADATA is there. Whole is one with INSTALLER, which pip writes
    last, and whose files all have the size that RECORD gives (the Recording installed projects specification).
    Returns their names.
    """
    for leftover in packages.glob("~*"):
        shutil.rmtree(leftover, ignore_errors=True)
    damaged = []
    for facts in packages.glob("*.dist-info"):
        if not _is_whole(packages, facts):
            shutil.rmtree(facts)
            damaged.append(re.split(r"-\d", facts.name)[0])
    return sorted(damaged)


def _is_whole(packages: Path, facts: Path) -> bool:
    if not (facts / "INSTALLER").exists() or not (facts / "RECORD").exists():
        return False
    with (facts / "RECORD").open(encoding="utf-8", newline="") as record:
        listed = [(row[0], int(row[2])) for row in csv.reader(record) if len(row) == 3 and row[2]]
    return all(_size(packages / name) == size for name, size in listed)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _bytes_for(lines: list[str]) -> tuple[int, int]:
    """(unpacked, downloaded). torch with what it brings is nearly all of the whole set."""
    has_torch = any(re.match(r"torch\b", line) for line in lines)
    return (INSTALLED_BYTES, DOWNLOADED_BYTES) if has_torch else (SMALL_CHANGE_BYTES // 10, SMALL_CHANGE_BYTES // 10)


def _with_included(requirements: Path) -> list[Path]:
    """The file and those that it reads with `-r`: where it is met, they are."""
    named = re.findall(r"^-r (.+)$", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    return [requirements, *(requirements.parent / name.strip() for name in named)]


def _marker(venv: Path, requirements: Path) -> Path:
    return venv / f"tunedesk-{requirements.stem}.json"


def _remember(venv: Path, requirements: Path, version: tuple[int, int]) -> None:
    """Written beside and renamed, so that there is never half a marker."""
    marker = _marker(venv, requirements)
    written = marker.with_suffix(".new")
    content = {"requirements": requirements_hash(requirements), "python": list(version)}
    written.write_text(json.dumps(content), encoding="utf-8")
    written.replace(marker)
