"""The one door to Tunedesk: makes its environment ready, then does what the command line says.

    python launch.py           set up if needed, open the page
    python launch.py --help    every command

Only the standard library is imported here, and the syntax is old on purpose: an old Python has to get far enough to
say that it is too old (even Python 2 does).
"""

# Python 2 knows neither pathlib nor [*list].
# ruff: noqa: PTH100, PTH118, PTH120, PTH123, RUF005

import os
import subprocess
import sys

PROJECT = os.path.dirname(os.path.abspath(__file__))
SUPPORTED = ((3, 11), (3, 12), (3, 13))


def wrong_python(version, runs):
    """What to say to a Python of another version, or "" for a right one.

    runs: whether a command of that name runs on this computer, so that a right Python can be named.
    """
    if tuple(version[:2]) in SUPPORTED:
        return ""
    names = ["python" + str(major) + "." + str(minor) for major, minor in SUPPORTED]
    found = [name for name in names if runs(name)]
    if found:
        todo = "This computer has a right one. Run: " + found[-1] + " launch.py"
    elif os.name == "nt":
        todo = "Install Python 3.12 (64-bit) from python.org, then run: py -3.12 launch.py"
    else:
        todo = "Install Python 3.12 (python.org, or your system's packages), then run: python3.12 launch.py"
    given = str(version[0]) + "." + str(version[1])
    return "Tunedesk needs Python 3.11, 3.12 or 3.13, and this is " + given + " (" + sys.executable + ").\n" + todo


def can_run(name):
    with open(os.devnull, "w") as nowhere:
        try:
            return subprocess.call([name, "--version"], stdout=nowhere, stderr=nowhere) == 0
        except OSError:
            return False


def main():
    problem = wrong_python(sys.version_info, can_run)
    if problem:
        sys.stderr.write(problem + "\n")
        return 1
    for stream in (sys.stdout, sys.stderr):
        # Labels may be written in letters that an old console does not have.
        stream.reconfigure(errors="replace")
    from core.cli.arguments import parse
    from core.installing import SetupError

    request = parse(sys.argv[1:])
    try:
        python = prepared_python(request)
        if python is not None:
            return become([python, os.path.join(PROJECT, "launch.py")] + sys.argv[1:])
        return dispatch(request)
    except SetupError as error:
        sys.stderr.write(error.what + "\n  where: " + error.where + "\n  what to do: " + error.todo + "\n")
        return 1
    except BrokenPipeError:
        # Whoever read standard output has had enough (`| head`); Python's own flush at the end must not fail on it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return 130


def prepared_python(request):
    """Make the environment ready. Returns its Python, or None where this process runs in it already."""
    from pathlib import Path

    from core import environment

    requirements = Path(PROJECT) / ("requirements-dev.txt" if request.command == "test" else "requirements.txt")
    if request.no_venv:
        if request.command != "doctor" and environment.ensure_active(requirements, say):
            say_of_gpu(Path(sys.executable))
        return None
    venv = Path(request.venv).expanduser().absolute() if request.venv else Path(PROJECT) / ".venv"
    # doctor is what people run when the installation fails, so it does not begin with one.
    if request.command == "doctor" and not environment.is_ready(venv, requirements):
        say("The environment in " + str(venv) + " is not complete; this looks from outside it.")
        return None
    python = environment.python_in(venv)
    if environment.ensure_venv(venv, requirements, say):
        say_of_gpu(python)
    return None if environment.is_active(venv) else str(python)


def say(line):
    """To standard error: standard output is for answers."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def say_of_gpu(python):
    """After an installation: whether the torch that came can use the GPU that is there."""
    from core.doctor import find_gpus, torch_finding

    gpus, _ = find_gpus()
    finding = torch_finding(python, gpus) if gpus else None
    if finding is not None and finding.state == "problem":
        say(finding.what + "\n  what to do: " + finding.todo)


def become(command):
    """Go on as another program, with its exit code."""
    if os.name != "nt":
        os.execv(command[0], command)  # noqa: S606
    # Windows has no exec that keeps the console; the child gets Ctrl-C too and decides what it means.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.call(command)


def dispatch(request):
    """Do what the request says, inside the environment. Returns the exit code."""
    if request.command == "test":
        return run_tests(request)
    if request.command == "ui":
        return open_page(request)
    if request.command == "doctor":
        return examine(request)
    from core.cli.commands import main as run_command

    return run_command(request)


def examine(request):
    """Doctor: answers without the environment too."""
    import json

    from core import doctor

    content = doctor.examine(request.workspace)
    print(json.dumps(content) if request.json else doctor.report(content))
    return 0


def run_tests(request):
    """The test suite; what the command line adds goes to pytest."""
    import shutil

    browsers = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    chromium = next(filter(None, map(shutil.which, browsers)), None)
    if chromium and "TUNEDESK_CHROMIUM" not in os.environ:
        os.environ["TUNEDESK_CHROMIUM"] = chromium
    if request.workspace:
        os.environ["TUNEDESK_HOME"] = os.path.abspath(request.workspace)
    os.chdir(PROJECT)
    if request.pytest:
        return become([sys.executable, "-m", "pytest"] + request.pytest)
    # The whole suite in two processes, a file at a time in each: much of it waits for a page or for a file. A second
    # thread for small models would only wait for the other process's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return become([sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"])


def logins(request):
    """Who is let in; what is made here is printed, and kept as a hash only. Nobody has to log in on this computer."""
    others = request.listen or request.share or request.guest is not None
    if not others and not request.auth:
        return ()
    from core.cli.arguments import GUEST_NAME, OWNER_NAME
    from core.sharing.credentials import login, made_password

    found = []
    for role, given, name in (("owner", request.auth or "", OWNER_NAME), ("guest", request.guest, GUEST_NAME)):
        if given is None:
            continue
        words = given.split(":", 1) if given else [name, made_password()]
        if not given:
            say("This page asks for a name and a password. " + role.capitalize() + ": "
                + " / ".join(words))  # fmt: skip
        found.append(login(role, *words))
    return tuple(found)


def open_page(request):
    """Serve the page until it is stopped."""
    from core.errors import UserError
    from core.workspace import open_workspace
    from ui.app import serve

    open_browser = not (request.no_browser or os.environ.get("CI"))
    try:
        workspace = open_workspace(request.workspace)
        host = request.listen or "127.0.0.1"
        serve(workspace, host, request.port, request.share, logins(request), open_browser, request.host_name)
    except UserError as error:
        say(error.what + "\n  where: " + error.where + "\n  what to do: " + error.todo)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
