"""The command line's words: every command, its options, and what is wrong with a line that does not fit.

Standard library only, so that help and mistakes are answered before anything is installed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from core.cli.model_options import (
    add_correct,
    add_decide,
    add_evaluate,
    add_export,
    add_mistakes,
    add_open,
    add_predict,
)
from core.cli.options import add_inspect, add_page, add_plan, add_queue, add_sharing, add_sweep, add_train

Command = Callable[..., argparse.ArgumentParser]

DEFAULT_COMMAND = "ui"
OWNER_NAME, GUEST_NAME = "owner", "guest"
OF_CLASSES = ("--text", "--label", "--label-columns", "--label-separator", "--multi", "--soft")
EPILOG = """\
With --json the last line of standard output is one JSON object; progress goes to standard error.
Exit codes: 0 done, 1 the run failed, 2 the request was wrong, 130 stopped.
"""


class _MistakeError(Exception):
    """A line that does not fit: the usage of the command concerned and what is wrong."""

    def __init__(self, usage: str, message: str) -> None:
        super().__init__(message)
        self.usage = usage
        self.message = message


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that --json gets its answer for these mistakes too."""

    def error(self, message: str) -> NoReturn:
        raise _MistakeError(self.format_usage(), message)


def parse(line: Sequence[str]) -> argparse.Namespace:
    """The request that a command line makes. For one that does not fit, says why and exits with code 2.

    The result has `command`, `json`, `workspace` (None for the default), `venv`, `no_venv` and the command's own.
    """
    start = argparse.Namespace(workspace=None, venv=None, no_venv=False, json=False)
    try:
        request, words = _common().parse_known_args(line, start)
        if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
            words = [DEFAULT_COMMAND, *words]
        request, rest = _parser().parse_known_args(words, request)
        if request.command == "test":
            request.pytest = rest
        elif rest:
            raise _MistakeError("", f"unrecognised: {' '.join(rest)}")
        _check(request)
    except _MistakeError as mistake:
        todo = "`python launch.py --help` lists the commands, `python launch.py COMMAND --help` one's options."
        sys.stderr.write(f"{mistake.usage}launch.py: {mistake.message}\n{todo}\n")
        if "--json" in line:
            error = {"what": mistake.message, "where": "the command line", "todo": todo}
            sys.stdout.write(json.dumps({"error": error}) + "\n")
        sys.exit(2)
    return request


def _check(request: argparse.Namespace) -> None:
    if request.venv is not None and request.no_venv:
        raise _MistakeError("", "--venv and --no-venv contradict each other")
    if request.command == "ui":
        for option, given in (("--auth", request.auth), ("--guest", request.guest)):
            user, colon, password = (given or "user:password").partition(":")
            if not (user and colon and password):
                raise _MistakeError("", f"{option} takes USER:PASS")
        if request.guest and request.guest.partition(":")[0] == (request.auth or OWNER_NAME).partition(":")[0]:
            raise _MistakeError("", "owner and guest cannot have the same name")
        if request.port is not None and not 0 < request.port < 65536:
            raise _MistakeError("", "--port takes a number from 1 to 65535")
    if request.command == "export":
        _check_export(request)
    if request.command == "runs" and request.repair and not request.check:
        raise _MistakeError("", "--repair goes with --check")
    if request.command == "queue" and request.act and (request.run is None or request.place is None):
        raise _MistakeError("", "queue move takes RUN and N, its place: 1 is the next to start")
    if request.command == "plan" and request.to and not request.fit:
        raise _MistakeError("", "--to goes with --fit")
    if request.command == "plan" and request.probe and request.device != "here":
        raise _MistakeError("", "--probe tries the device that is here; leave --device out")
    if request.command in ("train", "sweep", "plan"):
        if request.spec is None and request.data is None:
            raise _MistakeError(
                "",
                f"{request.command} needs a SPEC.yaml, or --data FILE (with --preset, --text and --label, or --chat)",
            )
        given = {
            "--preset": request.preset,
            "--data": request.data,
            "--sheet": request.sheet,
            "--member": request.member,
            "--source-column": request.source_column,
            "--test": request.test,
            "--validation": request.validation,
            "--text": request.text,
            "--label": request.label,
            "--class-names": request.class_names,
            "--column-names": request.column_names,
            "--read": request.read,
            "--label-columns": request.label_columns,
            "--label-separator": request.label_separator,
            "--multi": request.multi,
            "--soft": request.soft,
            "--chat": request.chat,
        }
        of_classes = [option for option in (*OF_CLASSES, "--class-names") if given[option]]
        if request.chat and of_classes:
            raise _MistakeError("", f"--chat learns from conversations, which have no classes: {', '.join(of_classes)}")
        _check_labels(given)
        beside = [option for option, value in given.items() if value]
        if request.spec is not None and beside:
            raise _MistakeError("", f"SPEC.yaml says that already: {', '.join(beside)}; change it with --set key=value")


def _check_export(request: argparse.Namespace) -> None:
    on_hub = request.hub or request.hub_space
    if not request.to and not on_hub:
        raise _MistakeError("", "export needs --to DIR, --hub USER/NAME or --hub-space USER/NAME")
    if request.to and on_hub:
        raise _MistakeError("", "--to writes here and --hub publishes: give one, then the other")
    of_files = {"--zip": request.zip} | {
        f"--format {name}": request.format == name for name in ("folder", "zip", "space", "server")
    }
    unheard = [option for option, value in of_files.items() if value]
    if unheard and on_hub:
        raise _MistakeError("", f"{', '.join(unheard)} is for --to DIR; a Space goes out with --hub-space USER/NAME")
    if bool(request.with_data) != bool(request.data_licence):
        raise _MistakeError(
            "", "--with-data USER/NAME and --data-licence LICENCE belong together: rows go out under one"
        )
    of_hub = {
        "--public": request.public,
        "--revision": request.revision,
        "--pull-request": request.pull_request,
        "--replace": request.replace,
        "--language": request.language,
        "--with-data": request.with_data,
    }
    without = [option for option, value in of_hub.items() if value]
    if without and not on_hub:
        raise _MistakeError("", f"{', '.join(without)} is for publishing: add --hub USER/NAME")


def _check_labels(given: Mapping[str, object]) -> None:
    """Say which options name two kinds of label."""
    for one, other, why in (
        ("--multi", "--soft", "a row has either several classes or probabilities"),
        ("--label", "--label-columns", "the labels stand in one column or in several"),
        ("--label", "--soft", "probabilities stand in --label-columns, one for each class"),
        ("--label-separator", "--label-columns", "a separator is for classes in one column"),
        ("--label-separator", "--soft", "a separator is for classes in one column"),
    ):
        if given[one] and given[other]:
            raise _MistakeError("", f"{one} and {other} contradict each other: {why}")


def _common() -> _Parser:
    """What every command takes, before or after its name."""
    common = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("for every command")
    group.add_argument("--workspace", metavar="DIR", help="where runs live (default: TUNEDESK_HOME or ~/.tunedesk)")
    group.add_argument("--venv", metavar="DIR", help="the Python environment (default: .venv beside launch.py)")
    group.add_argument("--no-venv", action="store_true", help="use the active Python environment")
    return common


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="launch.py",
        description="Tunedesk trains a text classifier on your own computer and measures it honestly.",
        epilog=EPILOG,
        parents=[_common()],
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Parser)

    def command(name: str, summary: str, *, takes_json: bool = True) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(
            name, help=summary, description=summary, parents=[_common()], allow_abbrev=False
        )
        if takes_json:
            made.add_argument("--json", action="store_true", help="end standard output with one JSON object")
        return made

    add_page(command("ui", "open the page (what launch.py does without a command)", takes_json=False))
    command("demo", "train and measure a small model on this Python's own documentation: no network, no GPU")
    add_train(command("train", "train a model and measure it"))
    add_inspect(
        command("inspect", "what the data page sees in a file; with --text, --label or --test, what it finds wrong")
    )
    _model_commands(command)
    _run_commands(command)
    add_sharing(
        command("share", "let guests see a run: its report, its model to try, a small file to label"),
        command("token", "make a token with which a program asks a model over HTTP; it is printed once"),
        command("limits", "how many rows and bytes guests and uploads may take"),
    )
    command("presets", "list the presets")
    command("settings", "list every setting with its unit, bounds, default and effect")
    command("doctor", "look at Python, packages, GPU, disk, workspace and hub, and say what to do")
    command("test", "run the test suite; further words go to pytest", takes_json=False)
    return parser


def _model_commands(command: Command) -> None:
    """On a finished run's model."""
    add_predict(command("predict", "label the rows of a file with a finished run's model"))
    add_evaluate(command("evaluate", "measure a finished run's model on a labelled file"))
    add_decide(command("decide", "choose which rows get a label, and sets of likely classes; kept with the model"))
    add_mistakes(command("mistakes", "list the rows that a run gets wrong, or whose labels look wrong"))
    add_correct(command("correct", "write the data of a run with corrected labels as a new file"))
    add_export(command("export", "write a finished run's model where other programs can load it, or publish it"))
    add_open(command("open", "make a finished run of a model that was taken away, to predict and evaluate with it"))


def _run_commands(command: Command) -> None:
    """On runs, their order, and several at once."""
    runs = command("runs", "list the runs; --check compares the store with their folders")
    runs.add_argument("--check", action="store_true", help="look whether the store and the runs' folders say the same")
    runs.add_argument("--repair", action="store_true", help="with --check: put right from the folders what can be")
    stop = command("stop", "stop a run, or take it out of the queue; it saves a checkpoint first")
    stop.add_argument("run", metavar="RUN")
    resume = command("resume", "go on with a stopped, interrupted or failed run, or a stopped sweep")
    resume.add_argument("run", metavar="RUN")
    resume.add_argument(
        "--as-it-is", action="store_true", help="of a run: train no further, measure and keep its best checkpoint"
    )
    add_queue(command("queue", "list the runs that wait and what for; `queue move RUN N` changes the order"))
    command("leaderboard", "runs and baselines on the same test rows, the best first, with what the paired tests say")
    compare = command("compare", "two runs or more side by side: figures, paired tests, classes, rows, settings")
    compare.add_argument("runs", metavar="RUN", nargs="+", help="the first is what the others are compared with")
    compare.add_argument("--rows", type=int, default=5, metavar="N", help="rows that one alone has right (default: 5)")
    plan = command("plan", "forecast what a run takes in memory, disk and time, and train nothing")
    add_train(plan)
    add_plan(plan)
    sweep = command("sweep", "try several settings as one group of runs, compared by validation figures")
    add_train(sweep)
    add_sweep(sweep)
    listed = command("sweeps", "list the sweeps with their runs, the best first")
    listed.add_argument("sweep", metavar="SWEEP", nargs="?")
    listed.add_argument("--ungroup", metavar="SWEEP", help="forget a group; its runs stay")
