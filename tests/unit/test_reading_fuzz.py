"""Bytes that are no table give a Table or a UserError: never a traceback, a hang, or a computer without memory.

TUNEDESK_FUZZ_CASES=1000 tries so many cases of each kind of bytes in place of 60; that takes some minutes.
"""

import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.data.table import open_table, preview
from core.errors import UserError
from core.schema import TableFile
from core.workspace import Workspace, open_workspace
from tests.unit.polluted import lines

CASES = int(os.environ.get("TUNEDESK_FUZZ_CASES", "60"))
HANG_SECONDS = 30
MOST_MEMORY = 2**30
"""Bytes by which the process may grow."""
FUZZ = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
REAL = (
    "gnad10_de/test_raw_semicolon_noheader.csv",
    "messy/politifact_cp1252.csv",
    "messy/characters_big5.csv",
    "messy/book_mixed_line_ends.csv",
    "messy/tweets_quoted_newlines.csv",
    "sms_spam/SMSSpamCollection.tsv",
    "sft/chat_messages_1k.jsonl",
    "ag_news/test_raw_noheader.csv",
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "delimiter": st.sampled_from([",", ";", "||", "\t", "\0", "é", '"', ""]),
        "quote": st.sampled_from(['"', "'", "", ",", "\0", "ab"]),
        "escape": st.sampled_from(["\\", "", '"']),
        "header": st.booleans(),
        "skip_lines": st.integers(0, 5),
        "comment": st.sampled_from(["#", "", ","]),
        "decimal": st.sampled_from([".", ","]),
        "null_words": st.sampled_from([(), ("NA",), ("'", "1")]),
        "ragged_rows": st.sampled_from(["mend", "reject"]),
        "encoding": st.sampled_from(["utf-8", "utf-16", "big5", "cp1252", "utf-7", "idna", "zip"]),
    },
)
"""Ways of reading that a person may ask for, foolish ones included."""


@pytest.fixture(scope="module")
def fuzz_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(tmp_path_factory.mktemp("fuzz") / "workspace")


@contextmanager
def no_hang() -> Iterator[None]:
    """Raises after HANG_SECONDS, where the system can."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"reading took more than {HANG_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(content: bytes, workspace: Workspace, name: str, **options: object) -> None:
    shutil.rmtree(workspace.tables)
    workspace.tables.mkdir()
    path = workspace.root / name
    path.write_bytes(content)
    try:
        file = TableFile.model_validate({"path": str(path), **options})
    except ValidationError:
        return  # refused in words before anything is read
    memory = psutil.Process().memory_info().rss
    with no_hang():
        try:
            table = open_table(file, workspace)
        except UserError as error:
            assert error.what and error.where and error.todo
        else:
            assert len(preview(table, 0, table.rows)) == table.rows
            if table.format == "csv" and "encoding" not in options:
                assert table.rows + table.rejected <= content.count(b"\n") + content.count(b"\r") + 1
            assert len(set(map(str.casefold, table.names))) == len(table.names)
    assert psutil.Process().memory_info().rss - memory < MOST_MEMORY


@given(
    st.one_of(
        st.binary(max_size=400),
        st.text("ab1,;\t|\"'\\ \r\n\0é\ufeff{}[]:#", max_size=300).map(str.encode),
        st.text(max_size=200).map(lambda text: text.encode("utf-16", "surrogatepass")),
    ),
    st.sampled_from(["a.csv", "a.csv", "a.csv", "a.jsonl", "a.parquet", "a.tsv"]),
    OPTIONS,
)
@example(b"#", "a.csv", {"header": True, "comment": "#"})
@FUZZ
def test_any_bytes_give_a_table_or_a_user_error(
    fuzz_workspace: Workspace, content: bytes, name: str, options: dict[str, object]
) -> None:
    check(content, fuzz_workspace, name, **options)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A piece of a file with bytes changed, put in, taken out, and pieces of it said twice."""
    start = draw(st.integers(0, max(0, len(whole) - 1)))
    content = bytearray(whole[start : start + draw(st.integers(1, 3000))])
    for _ in range(draw(st.integers(0, 12))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        what = draw(st.sampled_from(["change", "insert", "remove", "repeat"]))
        odd = draw(st.sampled_from([b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\0", b"\\", b"\xff", b"\xe9", b"#"]))
        if what == "change":
            content[place : place + 1] = odd
        elif what == "insert":
            content[place:place] = odd * draw(st.sampled_from([1, 2, 50]))
        elif what == "remove":
            del content[place : place + draw(st.integers(1, 40))]
        else:
            content[place:place] = content[max(0, place - 60) : place]
    return bytes(content)


def test_damaged_pieces_of_real_files_give_a_table_or_a_user_error(
    fuzz_workspace: Workspace, shared_data: Path
) -> None:
    wholes = [(name, (shared_data / name).read_bytes()[:200_000]) for name in REAL]

    @given(st.sampled_from(wholes).flatmap(lambda file: st.tuples(st.just(file[0]), damaged(file[1]))))
    @FUZZ
    def each(file: tuple[str, bytes]) -> None:
        check(file[1], fuzz_workspace, Path(file[0]).name)

    each()


def test_a_damaged_table_loses_few_rows(workspace: Workspace) -> None:
    draw = random.Random(7)
    plain = lines().encode()
    path = workspace.root / "a.csv"
    for _ in range(25):
        content = bytearray(plain)
        for _ in range(draw.randint(1, 30)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        try:
            table = open_table(TableFile(path=str(path)), workspace)
        except UserError:
            continue
        assert table.rows >= 70
