"""Options of the commands on a finished run's model. Standard library only."""

import argparse

from core.cli.options import add_file_options


def add_decide(decide: argparse.ArgumentParser) -> None:
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


def add_mistakes(mistakes: argparse.ArgumentParser) -> None:
    mistakes.add_argument("run", metavar="RUN")
    shown = mistakes.add_mutually_exclusive_group()
    shown.add_argument("--suspicious", action="store_true", help="held-out rows whose label is likely wrong")
    shown.add_argument("--all", action="store_true", help="every test row, the right ones too")
    mistakes.add_argument("--true", metavar="C", help="rows of this class alone")
    mistakes.add_argument("--predicted", metavar="C", help="rows that were taken for this class alone")
    mistakes.add_argument("--search", metavar="TEXT", help="rows whose text contains this")
    mistakes.add_argument("--least", type=float, default=0.0, metavar="P", help="confidence from this on (0 to 1)")
    mistakes.add_argument("--most", type=float, default=1.0, metavar="P", help="confidence up to this (0 to 1)")
    mistakes.add_argument(
        "--order",
        choices=("confidence", "loss", "suspicion"),
        help="the highest first (default: confidence, of suspicious rows suspicion)",
    )
    mistakes.add_argument("--offset", type=int, default=0, metavar="N", help="rows to pass over")
    mistakes.add_argument("--limit", type=int, default=20, metavar="N", help="rows to show (default: 20)")


def add_correct(correct: argparse.ArgumentParser) -> None:
    correct.add_argument("run", metavar="RUN")
    correct.add_argument("--to", metavar="FILE", required=True, help="a .csv or .parquet file to write")
    correct.add_argument(
        "--corrections",
        metavar="FILE",
        help="a CSV file with the columns row and label (empty: ambiguous), and file where it is not train; beside "
        "what was corrected on the page",
    )
    correct.add_argument("--keep-ambiguous", action="store_true", help="leave ambiguous rows in")


def add_formats(export: argparse.ArgumentParser) -> None:
    export.add_argument(
        "--format",
        choices=("folder", "zip", "model", "adapter", "merged", "onnx", "gguf", "server", "space"),
        help="folder (default) or zip: what the run saved, the whole model or a language model's adapter; space: with "
        "a small Gradio app, tried once",
    )
    export.add_argument(
        "--precision",
        choices=("float32", "int8", "f16", "q8_0", "q4_k_m"),
        default="",
        help="of onnx: float32 (default) or int8; of gguf: q8_0 (default), q4_k_m or f16",
    )
    export.add_argument("--zip", action="store_true", help="as one zip file")


def add_hub(export: argparse.ArgumentParser) -> None:
    """Publishing. A token is never an option: it would stay in the shell's history."""
    hub = export.add_argument_group(
        "publish on the hub (log in with `hf auth login` or HF_TOKEN; without either the token is asked for)"
    )
    hub.add_argument(
        "--hub", metavar="USER/NAME", help="the model's repository, made where there is none, else updated"
    )
    hub.add_argument("--public", action="store_true", help="for all to see (default: private)")
    hub.add_argument("--revision", metavar="BRANCH", default="", help="a branch, made where there is none (main)")
    hub.add_argument("--pull-request", action="store_true", help="propose it, to a repository of someone else")
    hub.add_argument("--replace", action="store_true", help="also where the repository holds files from elsewhere")
    hub.add_argument(
        "--language",
        metavar="CODE",
        nargs="+",
        default=[],
        help="the texts' language for the card, such as en (it is not guessed)",
    )
    hub.add_argument("--with-data", metavar="USER/NAME", help="publish the rows too, as a data set of this name")
    hub.add_argument(
        "--data-licence", metavar="LICENCE", help="under which you may pass the rows on, such as cc-by-4.0"
    )
    hub.add_argument("--hub-space", metavar="USER/NAME", help="publish a Space: a page that classifies texts")


def add_open(opening: argparse.ArgumentParser) -> None:
    opening.add_argument("model", metavar="FOLDER_OR_REPO", help="a folder that `export` wrote, or a hub repository")
    opening.add_argument("--base", metavar="FOLDER_OR_REPO", help="of an adapter: its base, where that lies elsewhere")
    opening.add_argument("--revision", metavar="REVISION", help="of a hub repository: branch, tag or commit")
    opening.add_argument("--name", metavar="NAME", help="what to call the run")


def add_predict(predict: argparse.ArgumentParser) -> None:
    predict.add_argument("run", metavar="RUN")
    predict.add_argument("input", metavar="IN", help="a table with the text columns that the run was trained on")
    predict.add_argument("output", metavar="OUT", help="a .csv or .parquet file to write")
    predict.add_argument("--top-k", type=int, default=1, metavar="K", help="how many labels a row (default: 1)")
    add_file_options(predict)


def add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("run", metavar="RUN")
    evaluate.add_argument("file", metavar="FILE")
    evaluate.add_argument("--label", metavar="COL", help="the column with the class, where it is named otherwise")
    add_file_options(evaluate)


def add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("run", metavar="RUN")
    add_formats(export)
    export.add_argument("--to", metavar="DIR", help="the folder to write into, or a .zip to write")
    add_hub(export)
