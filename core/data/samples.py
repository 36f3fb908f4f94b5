"""Data sets to try the program on: one that every computer already holds, and two from the hub where it answers."""

import ast
import csv
import hashlib
import platform
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.files import replacing
from core.schema import DataSpec, MappingSpec, TableFile
from core.workspace import Workspace

MOST_PER_AREA = 450
"""Docstrings kept of one area, so that none outweighs the rest."""
SHORTEST = 25
LONGEST = 300
"""Characters of a docstring's first paragraph: shorter ones are left out, longer ones cut at a word."""
TEST_SHARE = 0.2

AREAS = {
    "concurrency": "asyncio concurrent multiprocessing queue sched subprocess threading _threading_local",
    "debugging and tests": "bdb cProfile doctest logging pdb profile pstats timeit trace traceback tracemalloc "
    "unittest",
    "files": "_pyio bz2 dbm filecmp fileinput fnmatch genericpath glob gzip io linecache lzma ntpath os pathlib pickle "
    "posixpath shelve shutil stat tarfile tempfile zipfile",
    "graphics": "colorsys curses tkinter turtle",
    "language": "_collections_abc abc ast code codeop collections contextlib copy dataclasses dis enum functools "
    "importlib inspect operator pkgutil runpy symtable tokenize types typing warnings weakref",
    "mail": "email imaplib mailbox mimetypes poplib smtplib",
    "network": "ftplib http ipaddress socket socketserver ssl urllib webbrowser wsgiref xmlrpc",
    "numbers and dates": "_pydecimal _pydatetime _strptime calendar datetime fractions heapq numbers random statistics "
    "zoneinfo",
    "text formats": "argparse base64 codecs configparser csv difflib encodings gettext html json locale optparse "
    "plistlib pprint quopri re shlex string textwrap tomllib xml",
}
"""Area -> modules and packages of the standard library, much as its reference groups them."""


@dataclass(frozen=True)
class Sample:
    key: str
    title: str
    what: str
    """A sentence: what stands in it."""
    rows: int
    """Train and test together; about, for the docstrings, since they differ between Python versions."""
    available_offline: bool


@dataclass(frozen=True)
class SampleData:
    """A sample on this machine, ready for a RunSpec."""

    data: DataSpec
    mapping: MappingSpec


@dataclass(frozen=True)
class _HubSample:
    sample: Sample
    repository: str
    revision: str
    train: str
    test: str
    mapping: MappingSpec


_DOCSTRINGS = Sample(
    "docstrings",
    "Python docstrings",
    "First paragraphs of the standard library's docstrings, by the area they document: files, network, mail, ...",
    3600,
    True,
)
_HUB = (
    _HubSample(
        Sample(
            "trec", "TREC questions", "Questions by what they ask for: a person, a place, a number, ...", 5952, False
        ),
        "SetFit/TREC-QC",
        "refs/convert/parquet",
        "default/train/0000.parquet",
        "default/test/0000.parquet",
        MappingSpec(text=("text",), label="label_coarse_original"),
    ),
    _HubSample(
        Sample("ag_news", "AG News", "News by topic: World, Sports, Business, Sci/Tech.", 127_600, False),
        "fancyzhx/ag_news",
        "main",
        "data/train-00000-of-00001.parquet",
        "data/test-00000-of-00001.parquet",
        MappingSpec(
            text=("text",),
            label="label",
            backslash_is_space=True,
            class_names={"0": "World", "1": "Sports", "2": "Business", "3": "Sci/Tech"},
        ),
    ),
)


def samples() -> list[Sample]:
    return [_DOCSTRINGS, *(hub.sample for hub in _HUB)]


def open_sample(key: str, workspace: Workspace) -> SampleData:
    """The files of a sample, made or fetched where they are not there yet.

    Raises UserError for an unknown key, and for a sample of the hub that cannot be fetched.
    """
    if key == _DOCSTRINGS.key:
        train, test = make_docstrings(workspace)
        return SampleData(_data(train, test), MappingSpec(text=("text",), label="label"))
    hub = next((hub for hub in _HUB if hub.sample.key == key), None)
    if hub is None:
        raise UserError(
            f"There is no sample '{key}'.", "sample", f"Choose one of: {', '.join(sample.key for sample in samples())}."
        )
    return SampleData(_data(_fetched(hub, hub.train), _fetched(hub, hub.test)), hub.mapping)


def _data(train: Path, test: Path) -> DataSpec:
    return DataSpec(train=TableFile(path=str(train)), test=TableFile(path=str(test)))


def _fetched(hub: _HubSample, name: str) -> Path:
    """A file of a hub data set, from the hub's cache or the network. Raises UserError where neither has it."""
    from huggingface_hub import hf_hub_download

    from core.hub_fetching import fetching

    away = "Check the network, or take the sample of Python docstrings, which needs none."
    with fetching(hub.repository, "data set", "sample", away):
        return Path(hf_hub_download(hub.repository, name, repo_type="dataset", revision=hub.revision))


def make_docstrings(workspace: Workspace) -> tuple[Path, Path]:
    """Train and test CSV (text, label) of the docstrings sample; the same for the same version of Python.

    Read from the library's source, nothing is imported. Raises UserError where Python came without its source.
    """
    folder = workspace.samples / f"docstrings-{platform.python_version()}"
    train, test = folder / "train.csv", folder / "test.csv"
    if train.exists() and test.exists():
        return train, test
    rows = _docstring_rows(Path(sysconfig.get_path("stdlib")))
    if len({label for _, label in rows}) < 2:
        raise UserError(
            "The source of Python's standard library is not on this computer.",
            sysconfig.get_path("stdlib"),
            "Use a file of your own, or a Python from python.org.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, is_test in ((train, False), (test, True)):
        with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            writer.writerows(row for row in rows if _in_test(row[0]) == is_test)
    return train, test


def _docstring_rows(library: Path) -> list[tuple[str, str]]:
    """(text, area), each text once, at most MOST_PER_AREA an area, in an order that depends on the texts alone."""
    found: dict[str, str] = {}
    for area, modules in AREAS.items():
        for module in modules.split():
            for text in _module_docstrings(library, module):
                found.setdefault(text, area)
    kept: dict[str, int] = {}
    rows = []
    for text, area in sorted(found.items(), key=lambda row: _digest(row[0])):
        kept[area] = kept.get(area, 0) + 1
        if kept[area] <= MOST_PER_AREA:
            rows.append((text, area))
    return rows


def _module_docstrings(library: Path, module: str) -> Iterator[str]:
    """First paragraphs of the docstrings in a module's source, or in all files of a package but its tests."""
    single = library / f"{module}.py"
    paths = [single] if single.exists() else sorted((library / module).rglob("*.py"))
    for path in paths:
        if {"test", "tests", "idle_test"} & set(path.relative_to(library).parts):
            continue
        with warnings.catch_warnings():
            # Old escapes in the library's own source are not the user's business.
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = _first_paragraph(ast.get_docstring(node) or "")
                if len(text) >= SHORTEST:
                    yield text


def _first_paragraph(docstring: str) -> str:
    text = " ".join(docstring.split("\n\n")[0].split())
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0]


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _in_test(text: str) -> bool:
    """Told from the text alone, so that no change elsewhere moves a row from train to test."""
    return _digest(f"part:{text}") % 1000 < 1000 * TEST_SHARE
