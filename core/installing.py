"""Runs pip so that a person sees what it does, and turns what pip says when it fails into what to do.

Standard library only: this works before anything is installed.
"""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

# Measured for the whole set on Linux, where torch brings the CUDA libraries; elsewhere it does not.
INSTALLED_BYTES = 7_600_000_000 if sys.platform == "linux" else 3_000_000_000
DOWNLOADED_BYTES = 3_700_000_000 if sys.platform == "linux" else 1_000_000_000
SMALL_CHANGE_BYTES = 1_000_000_000
LARGE_DOWNLOAD_BYTES = 50_000_000
UNITS = {"bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class SetupError(Exception):
    """The environment cannot be made ready; the three parts of a UserError, which needs installed packages itself."""

    def __init__(self, what: str, where: str, todo: str) -> None:
        super().__init__(f"{what} {todo}")
        self.what = what
        self.where = where
        self.todo = todo


@dataclass(frozen=True)
class Failure:
    """A kind of failure that pip's output shows."""

    pattern: str
    what: str
    todo: str


# The first that matches is told, so the certain ones stand before those that retries also print.
FAILURES = (
    Failure(
        r"No space left on device|\[Errno 28\]|WinError 112|not enough space on the disk|Disk quota exceeded",
        "The disk became full while the packages were installed.",
        f"Free about {(INSTALLED_BYTES + DOWNLOADED_BYTES) / 1e9:.0f} GB, or put the environment on another disk with "
        "--venv DIR; then start again: it goes on from there.",
    ),
    Failure(
        r"ResolutionImpossible|conflicting dependencies|resolution-too-deep|ResolutionTooDeep",
        "No set of package versions fits all the requirements.",
        "If you changed requirements.txt, take the change back; with --no-venv, leave that out so that a clean "
        "environment is made.",
    ),
    Failure(
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError",
        "The package registry's certificate could not be checked, as happens behind a company proxy.",
        "Set PIP_CERT to your organisation's certificate file (.pem) and start again.",
    ),
    Failure(
        r"ssl module in Python is not available",
        "This Python was built without SSL, so it cannot download anything.",
        "Install Python from python.org or your system's packages and start launch.py with that one.",
    ),
    Failure(
        r"NewConnectionError|NameResolutionError|name resolution|getaddrinfo failed|Network is unreachable"
        r"|ConnectTimeout|ReadTimeout|Read timed out|ProxyError|Connection ?Reset|Connection ?Refused"
        r"|RemoteDisconnected|IncompleteRead|ProtocolError|Connection aborted",
        "The package registry could not be reached.",
        "Check the network connection (behind a proxy, set HTTPS_PROXY) and start again: what is downloaded is kept.",
    ),
    Failure(
        r"externally-managed-environment",
        "This Python belongs to the operating system, which does not let pip change it.",
        "Leave out --no-venv, so that Tunedesk makes an environment of its own.",
    ),
    Failure(
        r"Long Path support|WinError 206",
        "A file's path became longer than Windows allows.",
        "Turn on long paths (https://pip.pypa.io/warnings/enable-long-paths), or take a short one: --venv C:\\td",
    ),
    Failure(
        r"Permission denied|\[Errno 13\]|WinError 5\b|Access is denied",
        "The environment's folder does not let this user write.",
        "Choose another folder with --venv DIR, or close the programs that use it.",
    ),
    Failure(
        r"No matching distribution found",
        "The package registry has no fitting build of a package for this system.",
        "Look at the package named in the log; Python 3.11, 3.12 or 3.13 on 64-bit Linux, Windows or an Apple-silicon "
        "Mac has builds of all of them.",
    ),
    Failure(
        r"Failed building wheel|Failed to build|subprocess-exited-with-error|metadata-generation-failed",
        "A package has no ready build for this system and could not be compiled here.",
        "Use Python 3.11, 3.12 or 3.13 on a 64-bit system, for which every package has a ready build.",
    ),
)


def explain_failure(output: str, exit_code: int, log: Path) -> SetupError:
    """What pip's output means. `exit_code` is negative where a signal ended pip."""
    for failure in FAILURES:
        if re.search(failure.pattern, output, re.IGNORECASE):
            return SetupError(failure.what, f"pip; its output is in {log}", failure.todo)
    if exit_code == -signal.SIGTERM.value or exit_code == -9:
        return SetupError(
            "The installation was killed, as the system does when memory runs out.",
            f"pip; its output is in {log}",
            "Close other programs and start again: it goes on from there.",
        )
    errors = [line.strip() for line in output.splitlines() if "ERROR" in line]
    return SetupError(
        f"pip ended with code {exit_code}. {errors[-1] if errors else ''}".strip(),
        f"pip; its output is in {log}",
        "Read the end of that file, put right what it names, and start again.",
    )


def check_disk(folder: Path, needed: int, downloaded: int, cache: Path | None) -> bool:
    """Whether there is room for pip's cache too. Raises SetupError where even without it the disk is too small.

    needed, downloaded: bytes that the packages take unpacked and as files; pip holds both at once under `folder`,
    and with its cache the downloaded files a second time under `cache`.
    """
    free = shutil.disk_usage(existing(folder)).free
    if free < needed + downloaded:
        raise SetupError(
            f"The installation needs about {(needed + downloaded) / 1e9:.1f} GB and {free / 1e9:.1f} GB are free.",
            str(folder),
            "Free some space, or put the environment on another disk with --venv DIR.",
        )
    if cache is None:
        return False
    same_disk = existing(cache).stat().st_dev == existing(folder).stat().st_dev
    wanted = downloaded + (needed + downloaded if same_disk else 0)
    return shutil.disk_usage(existing(cache)).free >= wanted


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def install(python: Path, packages: Path, arguments: list[str], folder: Path, bytes_needed: tuple[int, int]) -> None:
    """`pip install ARGUMENTS` with `python`, shown as live lines on standard error.

    packages: the site-packages folder, where finished packages are counted.
    folder: takes the log and pip's temporary files (/tmp is often a small memory disk).
    bytes_needed: unpacked and downloaded, see check_disk.
    Raises SetupError.
    """
    temporary = folder / "tunedesk-temporary"
    shutil.rmtree(temporary, ignore_errors=True)
    with_cache = check_disk(packages, *bytes_needed, _pip_cache(python))
    command = [str(python), "-m", "pip", "install", "--no-input", "--prefer-binary"]
    command += ["--progress-bar", "raw" if _pip_version(python) >= (24, 1) else "off"]
    command += [] if with_cache else ["--no-cache-dir"]
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_USER": "0",
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "TMP": str(temporary),
    }
    log = folder / "tunedesk-install.log"
    try:
        temporary.mkdir(parents=True)
        with log.open("w", encoding="utf-8") as log_file:
            exit_code = _run([*command, *arguments], environment, packages, log_file)
    except OSError as error:
        # The log could not be written, for the reasons that pip itself would meet there.
        raise explain_failure(f"ERROR: {error}", 1, log) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if exit_code != 0:
        raise explain_failure(log.read_text(encoding="utf-8"), exit_code, log)


def _run(command: list[str], environment: dict[str, str], packages: Path, log: TextIO) -> int:
    """Run pip to its end. Its lines go to `log`, their gist to the screen. Returns the exit code."""
    child = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    assert child.stdout is not None
    stdout = child.stdout
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    display = Display(sys.stderr, packages)
    try:
        while True:
            try:
                line = lines.get(timeout=1)
            except queue.Empty:
                display.tick()
                continue
            if line is None:
                return child.wait()
            if not line.startswith("Progress "):
                log.write(line)
                log.flush()
            display.read(line)
    finally:
        display.close()
        if child.poll() is None:
            child.terminate()
            child.wait()


class Display:
    """pip's output in one live line on a terminal; elsewhere one line for each large step."""

    def __init__(self, stream: TextIO, packages: Path) -> None:
        self.stream = stream
        self.live = stream.isatty()
        self.packages = packages
        self.before = len(_finished(packages))
        self.began = time.monotonic()
        self.downloads = 0
        self.total = 0
        self.now = "looking up packages"
        self.share = ""

    def read(self, line: str) -> None:
        """Take one line of pip's output."""
        progress = re.match(r"Progress (\d+) of (\d+)", line)
        if progress:
            got, size = int(progress[1]), int(progress[2])
            self.share = f" {100 * got // size} %" if size > LARGE_DOWNLOAD_BYTES // 10 else ""
            self.tick()
            return
        self.share = ""
        fetched = re.match(r"\s*(Downloading|Using cached|Processing) (\S+?)(?: \(([\d.]+) (\w+)\))?(?:\s|$)", line)
        listed = re.match(r"Installing collected packages: (.+)", line)
        built = re.match(r"\s*Building wheel for (\S+)", line)
        if fetched and not fetched[2].endswith(".metadata"):
            self._fetching(*fetched.groups())
        elif listed:
            self.total = listed[1].count(",") + 1
            self.now = f"{self.downloads} packages downloaded, unpacking {self.total}"
            self.say(self.now)
        elif built:
            self.now = f"building {built[1]}"
        self.tick()

    def _fetching(self, how: str, file: str, amount: str | None, unit: str | None) -> None:
        self.downloads += 1
        name = re.split(r"-\d", re.split(r"[/\\]", file)[-1])[0]
        size = f" ({amount} {unit})" if amount else ""
        self.now = f"package {self.downloads}: {'downloading' if how == 'Downloading' else 'have'} {name}{size}"
        is_large = amount and unit and float(amount) * UNITS[unit] >= LARGE_DOWNLOAD_BYTES
        if is_large or self.downloads % 20 == 0:
            self.say(self.now)

    def tick(self) -> None:
        """Show the time go by, and while pip unpacks in silence how many packages are in place."""
        if not self.live:
            return
        if self.total:
            done = min(self.total, max(0, len(_finished(self.packages)) - self.before))
            self.now = f"unpacking: {done} of {self.total} packages in place"
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        width = shutil.get_terminal_size().columns - 1
        self.stream.write("\r" + f"  {minutes}:{seconds:02d}  {self.now}{self.share}"[:width].ljust(width))
        self.stream.flush()

    def say(self, text: str) -> None:
        """A line of its own where there is no live one."""
        if not self.live:
            self.stream.write(f"  {text}\n")
            self.stream.flush()

    def close(self) -> None:
        if self.live:
            self.stream.write("\n")


def _finished(packages: Path) -> list[Path]:
    """The packages whose installation came to its end: pip writes INSTALLER after a package's own files."""
    return list(packages.glob("*.dist-info/INSTALLER"))


def _pip_version(python: Path) -> tuple[int, ...]:
    """Raises SetupError where this Python has no working pip."""
    answer = subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
    if not found:
        raise SetupError(
            f"{python} has no working pip.",
            str(python),
            f"Run `{python} -m ensurepip`, or leave out --no-venv so that Tunedesk makes an environment of its own.",
        )
    return int(found[1]), int(found[2])


def _pip_cache(python: Path) -> Path | None:
    """Where pip keeps downloads; None where its cache is turned off."""
    command = [str(python), "-m", "pip", "cache", "dir"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None
