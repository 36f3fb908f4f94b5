"""The environment is made, repaired and remembered; each failure says what to do.

Real environments and a real pip, which finds the packages in a folder of the test: no network.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from core import environment, installing
from core.environment import ensure_venv, forget_damaged, is_ready, python_in, requirements_hash, unsatisfied
from core.installing import SetupError, check_disk, explain_failure


def make_wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """A pure-Python wheel with one module and one file of text."""
    facts = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}/__init__.py": f"VERSION = '{version}'\n",
        f"{name}/words.txt": "some words\n" * 50,
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{facts}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    sums = {path: hashlib.sha256(content.encode()).digest() for path, content in files.items()}
    codes = {path: base64.urlsafe_b64encode(digest).rstrip(b"=").decode() for path, digest in sums.items()}
    record = "".join(f"{path},sha256={codes[path]},{len(content.encode())}\n" for path, content in files.items())
    record += f"{facts}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, content in {**files, f"{facts}/RECORD": record}.items():
            wheel.writestr(path, content)


class Place:
    """A folder with a requirements file, an index of wheels beside it, and what was said."""

    def __init__(self, root: Path) -> None:
        self.wheels = root / "wheels"
        self.wheels.mkdir()
        self.requirements = root / "requirements.txt"
        self.venv = root / "an environment"
        self.said: list[str] = []
        make_wheel(self.wheels, "tinyone", "1.0")
        make_wheel(self.wheels, "tinytwo", "1.0")
        self.requirements.write_text("# two\ntinyone>=1\ntinytwo  # the second\n")

    def ensure(self) -> bool:
        return ensure_venv(self.venv, self.requirements, self.said.append)

    def packages(self) -> Path:
        (found,) = self.venv.glob("lib/python*/site-packages")
        return found

    def version_of(self, name: str) -> str:
        code = f"import {name}; print({name}.VERSION)"
        done = subprocess.run([python_in(self.venv), "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip()


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A finished environment that tests copy."""
    root = tmp_path_factory.mktemp("whole")
    made = Place(root)
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(made.wheels), "PIP_CONFIG_FILE": os.devnull}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        assert made.ensure() is True
    return made.venv


@pytest.fixture
def installed(place, whole) -> Place:
    """The finished environment in this test's own folder."""
    shutil.copytree(whole, place.venv, symlinks=True)
    return place


def no_processes(*_args, **_kwargs):
    raise AssertionError("a start with a ready environment must not run a process")


def test_first_start_installs_and_second_starts_no_process(place, monkeypatch):
    assert place.ensure() is True
    assert place.version_of("tinyone") == place.version_of("tinytwo") == "1.0"
    assert any("Making the environment" in line for line in place.said)
    monkeypatch.setattr(subprocess, "run", no_processes)
    monkeypatch.setattr(subprocess, "Popen", no_processes)
    assert place.ensure() is False


def test_comment_is_no_change_and_new_requirement_is(installed):
    installed.requirements.write_text("tinyone>=1\n\n# another comment\ntinytwo\n")
    assert is_ready(installed.venv, installed.requirements)
    make_wheel(installed.wheels, "tinyone", "2.0")
    installed.requirements.write_text("tinyone>=2\ntinytwo\n")
    assert not is_ready(installed.venv, installed.requirements)
    assert installed.ensure() is True
    assert installed.version_of("tinyone") == "2.0"


def test_development_requirements_have_a_marker_of_their_own_and_meet_the_others(installed, tmp_path):
    development = tmp_path / "requirements-dev.txt"
    make_wheel(installed.wheels, "tinydev", "1.0")
    development.write_text("-r requirements.txt\ntinydev\n")
    assert not is_ready(installed.venv, development)
    assert ensure_venv(installed.venv, development, installed.said.append) is True
    assert is_ready(installed.venv, development)
    assert is_ready(installed.venv, installed.requirements)
    assert requirements_hash(development) != requirements_hash(installed.requirements)


def test_package_cut_off_while_unpacking_is_installed_again(installed):
    marker = installed.venv / "tunedesk-requirements.json"
    marker.unlink()
    (installed.packages() / "tinyone" / "__init__.py").unlink()
    (installed.packages() / "tinytwo-1.0.dist-info" / "INSTALLER").unlink()
    assert installed.ensure() is True
    assert installed.version_of("tinyone") == "1.0"
    assert any(line.endswith("not whole: tinyone, tinytwo") for line in installed.said)


def test_file_of_wrong_size_marks_its_package_as_damaged(installed):
    words = installed.packages() / "tinyone" / "words.txt"
    words.write_text(words.read_text()[:100])
    assert forget_damaged(installed.packages()) == ["tinyone"]
    assert forget_damaged(installed.packages()) == []


def test_missing_pip_is_put_back(installed):
    (installed.venv / "tunedesk-requirements.json").unlink()
    shutil.rmtree(installed.packages() / "pip")
    assert installed.ensure() is True
    assert subprocess.run([python_in(installed.venv), "-m", "pip", "--version"], check=False).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="environments on Windows hold a copy of Python, not a link")
def test_environment_whose_python_is_gone_is_repaired_and_keeps_its_packages(installed):
    kept = (installed.packages() / "tinyone" / "__init__.py").stat().st_ino
    for link in (installed.venv / "bin").glob("python*"):
        link.unlink()
    (installed.venv / "bin" / "python").symlink_to("/nowhere/python")
    assert installed.ensure() is True
    assert installed.version_of("tinyone") == "1.0"
    assert (installed.packages() / "tinyone" / "__init__.py").stat().st_ino == kept


def test_environment_cut_off_while_it_was_made_is_finished(place):
    place.venv.mkdir()
    (place.venv / environment.MADE_HERE).touch()
    (place.venv / "bin").mkdir()
    assert place.ensure() is True
    assert place.version_of("tinytwo") == "1.0"


def test_killed_installation_leaves_no_marker_and_the_next_start_goes_on(installed, tmp_path):
    """SIGKILL while pip runs, at a point where it waits: a named pipe takes the place of a wheel's index page."""
    (installed.venv / "tunedesk-requirements.json").unlink()
    shutil.rmtree(installed.packages() / "tinyone")
    log = installed.venv / "tunedesk-install.log"
    log.unlink()
    index = tmp_path / "index.html"
    os.mkfifo(index)
    code = (
        "import sys; from pathlib import Path; from core.environment import ensure_venv;"
        "ensure_venv(Path(sys.argv[1]), Path(sys.argv[2]), lambda line: print(line, flush=True))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, installed.venv, installed.requirements],
        env={**os.environ, "PIP_FIND_LINKS": str(index)},
        cwd=Path(environment.__file__).parents[1],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child.poll() is None, "it should be waiting in pip"
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not is_ready(installed.venv, installed.requirements)
    assert installed.ensure() is True
    assert installed.version_of("tinyone") == "1.0"


def test_second_start_waits_for_the_first(installed, monkeypatch):
    """The second finds the environment ready once it has the lock, and installs nothing."""
    (installed.venv / "tunedesk-requirements.json").unlink()
    with environment._locked(installed.venv, installed.said.append):
        code = (
            "import sys; from pathlib import Path; from core.environment import ensure_venv;"
            "ensure_venv(Path(sys.argv[1]), Path(sys.argv[2]), lambda line: print(line, flush=True))"
        )
        second = subprocess.Popen(
            [sys.executable, "-c", code, installed.venv, installed.requirements],
            cwd=Path(environment.__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert second.stdout is not None
        assert "Another start is installing" in second.stdout.readline()
        environment._install_into(installed.venv, installed.requirements, installed.said.append)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert said == ""


def test_folder_with_other_files_is_left_alone(place):
    place.venv.mkdir()
    (place.venv / "letters.txt").write_text("dear")
    with pytest.raises(SetupError, match="not a Python environment") as caught:
        place.ensure()
    assert "--venv DIR" in caught.value.todo
    assert [path.name for path in place.venv.iterdir()] == ["letters.txt"]


def test_broken_environment_of_someone_else_is_not_deleted(place):
    place.venv.mkdir()
    (place.venv / "pyvenv.cfg").write_text("home = /nowhere\n")
    (place.venv / "lib").mkdir()
    with pytest.raises(SetupError, match="Tunedesk did not make that environment"):
        place.ensure()
    assert (place.venv / "lib").exists()


def test_environment_of_someone_else_that_works_is_used(place):
    subprocess.run([sys.executable, "-m", "venv", place.venv], check=True)
    assert place.ensure() is True
    assert place.version_of("tinyone") == "1.0"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_may_not_be_written_is_named(place):
    place.venv.parent.chmod(0o500)
    try:
        with pytest.raises(SetupError, match="cannot be written"):
            place.ensure()
    finally:
        place.venv.parent.chmod(0o700)


def test_missing_ensurepip_names_the_debian_package(place, monkeypatch):
    found = environment.importlib.util.find_spec
    monkeypatch.setattr(
        environment.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else found(name)
    )
    with pytest.raises(SetupError, match="'ensurepip'") as caught:
        place.ensure()
    assert f"apt install python3.{sys.version_info[1]}-venv" in caught.value.todo


def test_conflicting_requirements_are_told_from_real_pip(installed):
    make_wheel(installed.wheels, "tinyone", "1.5", requires="tinytwo>=9")
    make_wheel(installed.wheels, "tinytwo", "9.0")
    installed.requirements.write_text("tinyone==1.5\ntinytwo<2\n")
    with pytest.raises(SetupError, match="No set of package versions") as caught:
        installed.ensure()
    assert str(installed.venv / "tunedesk-install.log") in caught.value.where
    assert not is_ready(installed.venv, installed.requirements)


def test_package_without_build_is_told_from_real_pip(installed):
    installed.requirements.write_text("tinythree\n")
    with pytest.raises(SetupError, match="no fitting build"):
        installed.ensure()
    installed.requirements.write_text("tinyone\n")
    assert installed.ensure() is True


def test_unreachable_registry_is_told_from_real_pip(installed, monkeypatch):
    """A port where nothing listens, asked once."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    installed.requirements.write_text("tinythree\n")
    with pytest.raises(SetupError, match="could not be reached") as caught:
        installed.ensure()
    assert "network" in caught.value.todo


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_is_told_from_the_systems_own_words(tmp_path):
    done = subprocess.run(
        ["dd", "if=/dev/zero", "of=/dev/full", "count=1"], capture_output=True, text=True, check=False
    )
    error = explain_failure(f"ERROR: Could not install packages due to an OSError: {done.stderr}", 1, tmp_path / "log")
    assert "disk became full" in error.what
    assert "GB" in error.todo


def test_too_small_disk_is_told_before_anything_is_downloaded(installed, monkeypatch):
    monkeypatch.setattr(environment, "_bytes_for", lambda lines: (10**18, 10**18))
    (installed.venv / "tunedesk-install.log").unlink()
    installed.requirements.write_text("tinyone\n")
    with pytest.raises(SetupError, match=r"needs about [\d.]+ GB and [\d.]+ GB are free"):
        installed.ensure()
    assert not (installed.venv / "tunedesk-install.log").exists()


def test_pip_cache_is_left_out_where_the_disk_holds_the_packages_but_not_it_too(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    assert check_disk(tmp_path, 1, 1, tmp_path / "cache") is True
    assert check_disk(tmp_path, 2 * free // 5, 2 * free // 5, tmp_path / "cache") is False
    assert check_disk(tmp_path, 1, 1, None) is False


@pytest.mark.parametrize(
    ("output", "code", "what"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", 1, "disk became full"),
        ("ReadTimeoutError: HTTPSConnectionPool(host='files', port=443): Read timed out.", 2, "could not be reached"),
        ("Retrying after NewConnectionError\nERROR: ResolutionImpossible: for help", 1, "No set of package versions"),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED'))", 1, "certificate"),
        ("error: externally-managed-environment", 1, "belongs to the operating system"),
        ("HINT: this system does not have Windows Long Path support enabled", 1, "longer than Windows allows"),
        ("ERROR: [Errno 13] Permission denied: '/usr/lib'", 1, "does not let this user write"),
        ("error: subprocess-exited-with-error\nERROR: Failed building wheel for thing", 1, "could not be compiled"),
        ("", -9, "killed"),
        ("WARNING: odd\nERROR: something new", 3, "ERROR: something new"),
    ],
)
def test_what_pip_says_becomes_what_happened(output, code, what, tmp_path):
    error = explain_failure(output, code, tmp_path / "log")
    assert what in error.what
    assert error.todo


def test_unsatisfied_names_only_what_is_absent_or_of_another_version():
    lines = ["pytest>=1", "pytest<1", "no-such-package-here", "absent-too; python_version < '3'"]
    assert unsatisfied(lines) == ["pytest<1", "no-such-package-here"]


def test_no_venv_installs_only_what_is_missing(installed, tmp_path):
    """In the environment's own Python, as --no-venv runs."""
    make_wheel(installed.wheels, "tinythree", "1.0")
    (installed.packages() / "tinyone" / "words.txt").write_text("changed by its owner")
    installed.requirements.write_text("tinyone\ntinytwo\ntinythree\n")
    code = (
        "import sys; from pathlib import Path; from core.environment import ensure_active;"
        "print(ensure_active(Path(sys.argv[1]), print), ensure_active(Path(sys.argv[1]), print))"
    )
    done = subprocess.run(
        [python_in(installed.venv), "-c", code, installed.requirements],
        cwd=Path(environment.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["Installing what the active environment lacks: tinythree", "True False"]
    assert (installed.packages() / "tinyone" / "words.txt").read_text() == "changed by its owner"
    assert installed.version_of("tinythree") == "1.0"


def test_marker_of_another_python_does_not_count_from_inside(installed, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(installed.venv))
    assert is_ready(installed.venv, installed.requirements)
    marker = installed.venv / "tunedesk-requirements.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "python": [3, 9]}))
    assert not is_ready(installed.venv, installed.requirements)


class Screen:
    """A stream that says whether it is a terminal and keeps what was written."""

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.text = ""

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


PIP_LINES = [
    "Collecting torch<2.15,>=2.10\n",
    "  Downloading torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (29 kB)\n",
    "  Downloading torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl (554.6 MB)\n",
    "Progress 277000000 of 554600000\n",
    "Collecting six\n",
    "  Using cached six-1.17.0-py2.py3-none-any.whl (11 kB)\n",
    "Installing collected packages: six, torch\n",
]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_names_what_is_downloaded_and_counts(terminal, tmp_path):
    screen = Screen(terminal)
    display = installing.Display(screen, tmp_path)
    for line in PIP_LINES:
        display.read(line)
    assert "package 1: downloading torch (554.6 MB)" in screen.text
    assert ("package 2: have six (11 kB)" in screen.text) is terminal
    assert ("downloading torch (554.6 MB) 49 %" in screen.text) is terminal
    (tmp_path / "six-1.17.0.dist-info").mkdir()
    (tmp_path / "six-1.17.0.dist-info" / "INSTALLER").touch()
    display.tick()
    assert ("unpacking: 1 of 2 packages in place" in screen.text) is terminal
    assert ("2 packages downloaded, unpacking 2" in screen.text) is not terminal
