"""Logins, sessions, tokens, limits and shared answers, each alone; tests/flow/test_attacks.py attacks them together."""

import threading
import time

import pytest

from core.answers_together import Together
from core.cli.arguments import parse
from core.cli.sharing import limits, share, token
from core.errors import UserError
from core.runs.store import open_store
from core.sharing.allowance import Room, read_allowance, save_allowance
from core.sharing.credentials import login, made_password, role_of
from core.sharing.rates import Rates, TooOftenError
from core.sharing.sessions import Sessions
from core.sharing.tokens import token_of, tokens
from core.workspace import Workspace
from ui.sharing.entrance import Entrance

RUN = "20261121-000000-aaaa"


def test_a_password_opens_its_own_login_only():
    logins = [login("owner", "ada", "right"), login("guest", "eve", "other")]
    assert (role_of(logins, "ada", "right"), role_of(logins, "eve", "other")) == ("owner", "guest")
    assert role_of(logins, "ada", "other") is None and role_of(logins, "", "") is None
    assert made_password() != made_password()


def test_a_session_ends_and_keeps_its_tabs():
    sessions = Sessions()
    first, second = sessions.open("guest", "eve"), sessions.open("guest", "eve")
    one, other = sessions.visitor(first), sessions.visitor(second)
    assert one and other and one.id != other.id and sessions.visitor("made up") is None
    assert sessions.owns_tab(one, "tab") and not sessions.owns_tab(other, "tab")
    sessions.close(first)
    assert sessions.visitor(first) is None


def test_wrong_passwords_are_counted_for_each_address():
    rates = Rates()
    for _ in range(10):
        rates.take("login", "10.0.0.1")
    with pytest.raises(TooOftenError) as told:
        rates.ask("login", "10.0.0.1")
    assert told.value.seconds > 1
    rates.ask("login", "10.0.0.2")


def test_hosts_that_name_this_computer(workspace: Workspace):
    here, there = Entrance(workspace), Entrance(workspace, (), "0.0.0.0", {"desk.example"})
    for host in ("127.0.0.1:7860", "localhost:7860", "[::1]:7860"):
        assert here.knows_host(host)
    for host in ("evil.example", "192.168.1.5:7860", "127.0.0.1.evil.example", "", "a@127.0.0.1.x", "[::1"):
        assert not here.knows_host(host)
    assert there.knows_host("192.168.1.5:7860") and there.knows_host("desk.example")
    assert not there.knows_host("evil.example")


def test_limits_and_tokens_from_the_command_line(workspace: Workspace):
    store = open_store(workspace)
    store.add_run(RUN, "Questions", "p", "m", "d")
    assert share(parse(["share", RUN]), workspace).content == {"run": RUN, "shared": True}
    assert [run.id for run in store.shared_runs()] == [RUN]
    share(parse(["share", RUN, "--off"]), workspace)
    assert store.shared_runs() == []
    made = token(parse(["token", "a program", "--run", RUN]), workspace).content
    found = token_of(workspace, made["token"])
    assert found is not None and (found.name, found.run) == ("a program", RUN)
    assert token_of(workspace, made["token"][:-2] + "xx") is None
    assert made["token"][12:] not in workspace.database.read_bytes().decode("latin-1")
    assert "a program" in token(parse(["token", "--list"]), workspace).text
    token(parse(["token", "--revoke", made["id"]]), workspace)
    assert tokens(workspace) == [] and token_of(workspace, made["token"]) is None
    assert limits(parse(["limits", "--set", "guest_rows=5"]), workspace).content["limits"]["guest_rows"] == 5
    for wrong in ("guest_rows=0", "guest_rows=x", "what=5"):
        with pytest.raises(UserError):
            limits(parse(["limits", "--set", wrong]), workspace)
    assert read_allowance(workspace).guest_rows == 5


def test_a_full_workspace_takes_nothing_more(workspace: Workspace):
    open_store(workspace)
    assert Room(workspace).most("guest") == read_allowance(workspace).guest_upload_bytes
    save_allowance(workspace, {"workspace_bytes": 2**20})
    (workspace.samples / "big").write_bytes(bytes(2**20))
    with pytest.raises(UserError, match="holds as much as it may"):
        Room(workspace).most("owner")


def test_texts_that_wait_are_asked_together_once():
    """The first holds the turn while five more come; they are one question, and each has its own answer."""
    together, asked, entered, go = Together(threading.Lock()), [], threading.Event(), threading.Event()

    def ask(texts):
        asked.append(list(texts))
        entered.set()
        go.wait(30)
        if "bad" in texts:
            raise UserError("One of them is bad.", "text", "Leave it out.")
        return [[float(len(text))] for text in texts]

    answers: dict[str, object] = {}

    def one(text):
        try:
            answers[text] = together.ask("model", [text], ask, 30)
        except UserError as error:
            answers[text] = error.what

    threads = [threading.Thread(target=one, args=("first",))]
    threads[0].start()
    entered.wait(30)
    threads += [threading.Thread(target=one, args=("x" * number,)) for number in range(1, 6)]
    for thread in threads[1:]:
        thread.start()
    while len(together._waiting) < 6:
        time.sleep(0.01)
    go.set()
    for thread in threads:
        thread.join()
    assert answers == {"first": [[5.0]], **{"x" * number: [[float(number)]] for number in range(1, 6)}}
    assert [len(texts) for texts in asked] == [1, 5]
    assert together.ask("model", ["xx", "xxx"], ask, 30) == [[2.0], [3.0]] and len(asked) == 2
    assert together.ask("another model", ["xx"], ask, 30) == [[2.0]] and len(asked) == 3
    with pytest.raises(UserError, match="One of them is bad"):
        together.ask("model", ["bad"], ask, 30)
