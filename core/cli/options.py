"""Options of the commands on data, runs and the page. Standard library only."""

import argparse


def add_page(page: argparse.ArgumentParser) -> None:
    page.add_argument(
        "--listen",
        metavar="IP",
        nargs="?",
        const="0.0.0.0",  # noqa: S104
        help="let other computers in, at this address or all",
    )
    page.add_argument("--port", type=int, metavar="N", help="the port (default: the first free one from 7860)")
    page.add_argument("--share", action="store_true", help="make a temporary public address")
    page.add_argument("--auth", metavar="USER:PASS", help="ask for this name and password (default: they are made)")
    page.add_argument(
        "--guest",
        metavar="USER:PASS",
        nargs="?",
        const="",
        help="let guests in as well, who see shared runs only (default: name and password are made)",
    )
    page.add_argument(
        "--host-name",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that others reach this computer by, e.g. that of a proxy before it",
    )
    page.add_argument("--no-browser", action="store_true", help="do not open the browser (nor does it with CI set)")


def add_reading(command: argparse.ArgumentParser) -> None:
    command.add_argument("--sheet", metavar="NAME", help="of an Excel or OpenDocument file: the sheet to read")
    command.add_argument("--member", metavar="NAME", help="of an archive or a folder of several tables: which one")
    command.add_argument("--source-column", metavar="NAME", help="add a column that names the file of each row")
    add_read(command)


def add_read(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--read",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="how to read the file, e.g. --read delimiter=; --read header=false; the keys are those that "
        "`launch.py settings` lists as data.train.KEY",
    )


def add_columns(train: argparse.ArgumentParser) -> None:
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


def add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("spec", metavar="SPEC.yaml", nargs="?", help="a whole run description")
    train.add_argument("--preset", metavar="P", help="what to start from (default: quickstart-minilm)")
    train.add_argument(
        "--data",
        metavar="FILE",
        nargs="+",
        action="extend",
        help="the table to learn from; several with the same columns, a folder, or hub:OWNER/NAME[:CONFIG[:SPLIT]]",
    )
    add_reading(train)
    add_columns(train)
    train.add_argument("--column-names", metavar="A,B,C", help="names for the columns of files without a header")
    train.add_argument("--chat", action="store_true", help="learn from conversations: question and answer, or messages")
    train.add_argument("--name", metavar="NAME", help="what to call the run")


def add_plan(plan: argparse.ArgumentParser) -> None:
    """Beside what train takes."""
    plan.add_argument(
        "--device",
        metavar="MEMORY",
        default="here",
        help="a card with so much memory, such as 8GB, or cpu (default: what is here)",
    )
    plan.add_argument("--fit", action="store_true", help="settings with which it fits, what changes and why")
    plan.add_argument("--to", metavar="FILE.yaml", help="with --fit: write the run with these settings there")
    plan.add_argument(
        "--probe",
        action="store_true",
        help="try a few real steps (a minute or so): memory at the peak and seconds a step; with --fit of what fits",
    )


def add_sweep(sweep: argparse.ArgumentParser) -> None:
    sweep.add_argument(
        "--values", metavar="KEY=A,B,C", action="append", default=[], help="a setting and the values to try"
    )
    sweep.add_argument(
        "--set-range",
        metavar="KEY=LOW..HIGH[:log]",
        action="append",
        default=[],
        help="a setting and the range to try; with :log even steps are factors",
    )
    sweep.add_argument(
        "--search", choices=("grid", "random", "tpe"), help="every combination (the default), by chance, or by TPE"
    )
    sweep.add_argument("--trials", type=int, metavar="N", help="runs at most (all combinations of a grid, else 10)")
    sweep.add_argument("--points", type=int, metavar="N", help="of a grid: values that stand for a range (4)")
    sweep.add_argument(
        "--prune",
        nargs="?",
        const="median",
        choices=("none", "median", "halving"),
        help="stop hopeless runs early: those behind half of the others, or all but the best third",
    )
    sweep.add_argument("--seed", type=int, metavar="N", help="number behind what is drawn (42)")


def add_queue(queue: argparse.ArgumentParser) -> None:
    queue.add_argument("act", metavar="move", nargs="?", choices=("move",), help="put RUN at place N (1: the next)")
    queue.add_argument("run", metavar="RUN", nargs="?")
    queue.add_argument("place", metavar="N", nargs="?", type=int)


def add_file_options(command: argparse.ArgumentParser) -> None:
    """Of commands that read a file for a model: where its texts stand, and how it is written."""
    command.add_argument("--text", metavar="COL", nargs="+", help="the text columns, where named otherwise")
    add_read(command)


def add_inspect(inspect: argparse.ArgumentParser) -> None:
    inspect.add_argument(
        "data", metavar="FILE", nargs="+", help="one file, several, a folder, or hub:OWNER/NAME[:CONFIG[:SPLIT]]"
    )
    add_reading(inspect)
    inspect.add_argument("--column-names", metavar="A,B,C", help="names for the columns of a file without a header")
    add_columns(inspect)
    inspect.add_argument("--whole", action="store_true", help="read all of a big file, not its start only")
    inspect.add_argument("--lines-to", metavar="OUT.csv", help="write the lines left out and the rows mended, and why")


def add_sharing(
    share: argparse.ArgumentParser, token: argparse.ArgumentParser, limits: argparse.ArgumentParser
) -> None:
    share.add_argument("run", metavar="RUN")
    share.add_argument("--off", action="store_true", help="no longer")
    token.add_argument("name", metavar="NAME", nargs="?", help="what it is for")
    token.add_argument("--run", metavar="RUN", help="the one run that it may ask (default: every shared run)")
    token.add_argument("--list", action="store_true", help="those there are")
    token.add_argument("--revoke", metavar="ID", help="make one invalid")
    limits.add_argument("--set", metavar="NAME=NUMBER", action="append", default=[], help="change one limit")
