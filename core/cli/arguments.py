"""The command line's words: every command, its options, and what is wrong with a line that does not fit.

Standard library only, so that help and mistakes are answered before anything is installed.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

DEFAULT_COMMAND = "ui"
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
        user, colon, password = (request.auth or "user:password").partition(":")
        if not (user and colon and password):
            raise _MistakeError("", "--auth takes USER:PASS")
        if request.port is not None and not 0 < request.port < 65536:
            raise _MistakeError("", "--port takes a number from 1 to 65535")
    if request.command == "train":
        if request.spec is None and request.data is None:
            raise _MistakeError(
                "", "train needs a SPEC.yaml, or --data FILE (with --preset, --text and --label, or --chat)"
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

    _add_page(command("ui", "open the page (what launch.py does without a command)", takes_json=False))
    command("demo", "train and measure a small model on this Python's own documentation: no network, no GPU")
    _add_train(command("train", "train a model and measure it"))
    predict = command("predict", "label the rows of a file with a finished run's model")
    predict.add_argument("run", metavar="RUN")
    predict.add_argument("input", metavar="IN", help="a table with the text columns that the run was trained on")
    predict.add_argument("output", metavar="OUT", help="a .csv or .parquet file to write")
    predict.add_argument("--top-k", type=int, default=1, metavar="K", help="how many labels a row (default: 1)")
    evaluate = command("evaluate", "measure a finished run's model on a labelled file")
    evaluate.add_argument("run", metavar="RUN")
    evaluate.add_argument("file", metavar="FILE")
    evaluate.add_argument("--label", metavar="COL", help="the column with the class, where it is named otherwise")
    for with_texts in (predict, evaluate):
        with_texts.add_argument("--text", metavar="COL", nargs="+", help="the text columns, where named otherwise")
    inspect = command(
        "inspect", "what the data page sees in a file; with --text, --label or --test, what it finds wrong"
    )
    inspect.add_argument(
        "data", metavar="FILE", nargs="+", help="one file, several, a folder, or hub:OWNER/NAME[:CONFIG[:SPLIT]]"
    )
    _add_reading(inspect)
    inspect.add_argument("--column-names", metavar="A,B,C", help="names for the columns of a file without a header")
    _add_columns(inspect)
    inspect.add_argument("--whole", action="store_true", help="read all of a big file, not its start only")
    inspect.add_argument("--lines-to", metavar="OUT.csv", help="write the lines left out and the rows mended, and why")
    for with_file in (predict, evaluate):
        _add_read(with_file)
    _add_decide(command("decide", "choose which rows get a label, and sets of likely classes; kept with the model"))
    export = command("export", "write a finished run's model where other programs can load it")
    export.add_argument("run", metavar="RUN")
    export.add_argument("--format", choices=("folder", "zip"), default="folder")
    export.add_argument("--to", metavar="DIR", required=True, help="the folder to write into")
    command("runs", "list the runs")
    command("leaderboard", "runs and baselines on the same test rows, the best first, with what the paired tests say")
    command("stop", "stop a run; it saves a checkpoint first").add_argument("run", metavar="RUN")
    command("resume", "go on with a stopped, interrupted or failed run").add_argument("run", metavar="RUN")
    command("presets", "list the presets")
    command("settings", "list every setting with its unit, bounds, default and effect")
    command("doctor", "look at Python, packages, GPU, disk, workspace and hub, and say what to do")
    command("test", "run the test suite; further words go to pytest", takes_json=False)
    return parser


def _add_page(page: argparse.ArgumentParser) -> None:
    page.add_argument(
        "--listen",
        metavar="IP",
        nargs="?",
        const="0.0.0.0",  # noqa: S104
        help="let other computers in, at this address or all",
    )
    page.add_argument("--port", type=int, metavar="N", help="the port (default: the first free one from 7860)")
    page.add_argument("--share", action="store_true", help="make a temporary public address")
    page.add_argument("--auth", metavar="USER:PASS", help="ask for this name and password")
    page.add_argument("--no-browser", action="store_true", help="do not open the browser (nor does it with CI set)")


def _add_decide(decide: argparse.ArgumentParser) -> None:
    decide.add_argument("run", metavar="RUN")
    threshold = decide.add_mutually_exclusive_group()
    threshold.add_argument(
        "--abstain-below", type=float, metavar="P", help="rows whose likeliest class has less get no label (0: all do)"
    )
    threshold.add_argument(
        "--accuracy", type=float, metavar="A", help="the lowest threshold at which this share of labels is right: 0.97"
    )
    threshold.add_argument(
        "--coverage", type=float, metavar="C", help="the highest threshold at which this share of rows is labelled"
    )
    decide.add_argument(
        "--label-set",
        choices=("one", "sum", "top"),
        help="beside the label: nothing, the likeliest until they reach a sum, or the likeliest few",
    )
    decide.add_argument("--label-set-sum", type=float, metavar="S", help="of sum: what they have to reach (0.9)")
    decide.add_argument("--label-set-size", type=int, metavar="N", help="of top: how many (3)")


def _add_reading(command: argparse.ArgumentParser) -> None:
    command.add_argument("--sheet", metavar="NAME", help="of an Excel or OpenDocument file: the sheet to read")
    command.add_argument("--member", metavar="NAME", help="of an archive or a folder of several tables: which one")
    command.add_argument("--source-column", metavar="NAME", help="add a column that names the file of each row")
    _add_read(command)


def _add_read(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--read",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="how to read the file, e.g. --read delimiter=; --read header=false; the keys are those that "
        "`launch.py settings` lists as data.train.KEY",
    )


def _add_columns(train: argparse.ArgumentParser) -> None:
    """What train and inspect are told of files and columns."""
    train.add_argument("--test", metavar="FILE", help="a table of its own for the final test")
    train.add_argument("--validation", metavar="FILE", help="a table of its own for choosing the best checkpoint")
    train.add_argument("--text", metavar="COL", nargs="+", action="extend", help="the text columns, in order")
    train.add_argument("--label", metavar="COL", help="the column with the class")
    train.add_argument(
        "--label-columns",
        metavar="COL",
        nargs="+",
        action="extend",
        help="in place of --label, a column for each class: 1 or 0, or with --soft its probability",
    )
    train.add_argument("--label-separator", metavar="S", help="what stands between the classes of a row in --label")
    train.add_argument("--multi", action="store_true", help="a row may have several classes, or none")
    train.add_argument("--soft", action="store_true", help="a row has a probability for each class")
    train.add_argument("--class-names", metavar="FILE", help="a class name a line, for labels in ascending order")
    train.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="change one setting")


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("spec", metavar="SPEC.yaml", nargs="?", help="a whole run description")
    train.add_argument("--preset", metavar="P", help="what to start from (default: quickstart-minilm)")
    train.add_argument(
        "--data",
        metavar="FILE",
        nargs="+",
        action="extend",
        help="the table to learn from; several with the same columns, a folder, or hub:OWNER/NAME[:CONFIG[:SPLIT]]",
    )
    _add_reading(train)
    _add_columns(train)
    train.add_argument("--column-names", metavar="A,B,C", help="names for the columns of files without a header")
    train.add_argument("--chat", action="store_true", help="learn from conversations: question and answer, or messages")
    train.add_argument("--name", metavar="NAME", help="what to call the run")
