"""Attacks on a running server over HTTP, as strangers, guests and other sites would try them.

Nothing is mocked but the network.

The figures (tried, refused) are printed at the end. docs/security.md says what each of these stands for.
"""

import asyncio
import csv
import http.client
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio import processing_utils
from starlette.routing import Route

from core.runs.store import open_store
from core.runs.supervisor import submit
from core.sharing.allowance import save_allowance
from core.sharing.tokens import make_token, revoke_token
from core.workspace import open_workspace
from tests.attacks import (
    Attacked,
    figures_of_a_file,
    function_name,
    function_on,
    owners_functions,
    tried,
    upload,
    usual_inputs,
)
from tests.hostile import (
    FORMULA,
    GUEST,
    LABELS,
    MARKUP,
    OWNER,
    SCRIPT,
    TOKENS,
    SharedServer,
    events,
    hostile_csv,
    hostile_spec,
)  # fmt: skip
from ui.app import build_app
from ui.sharing.entrance import Entrance
from ui.sharing.roles import is_guarded, is_open_to_guests
from ui.sharing.routes import routes

SECRETS = (b"root:x:0", b"SQLite format 3", b"a file of the owner")
"""What must never come out: of /etc/passwd, of the store, of a file beside the workspace."""
NO_LOGIN = {("GET", "/login"), ("HEAD", "/login"), ("GET", "/gradio_api/startup-events")}
GUESTS_FUNCTIONS = {
    "build_shared.<locals>.watch", "build_shared.<locals>.glance", "build_try_it.<locals>.predict",
    "build_try_it.<locals>.with_share", "_connect.<locals>.begin", "_connect.<locals>.cancel",
    "_connect.<locals>.look", "build_chat.<locals>.say", "build_chat.<locals>.begin_again",
}  # fmt: skip
"""Every function that guests may call. Each asks for its run by `seen_run` and takes no place on the disk."""
OUTSIDE = (
    "/etc/passwd", "../../../../../../etc/passwd", "..%2f..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd",
    "....//....//etc/passwd", "..\\..\\..\\etc\\passwd", "file:///etc/passwd", "/proc/self/environ", "~/.ssh/id_rsa",
    "../tunedesk.db", "../secret.txt", "x/../../tunedesk.db", "/dev/zero", "\x00/etc/passwd", "runs/../../secret.txt",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def figures(request: pytest.FixtureRequest) -> Iterator[None]:
    yield from figures_of_a_file(request)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Iterator[Attacked]:
    root = tmp_path_factory.mktemp("attacked")
    server = SharedServer(open_workspace(root / "workspace"))
    (root / "secret.txt").write_text("a file of the owner")
    server.start()
    run_id = submit(server.workspace, hostile_spec(hostile_csv(root / "data.csv"), tiny_bert))
    try:
        yield Attacked(
            server, run_id, server.client(), server.client(GUEST), server.client(GUEST), server.client(OWNER)
        )
    finally:
        server.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> gr.Blocks:
    """The same app as the server's, to enumerate."""
    return build_app(open_workspace(tmp_path_factory.mktemp("app")))


@pytest.fixture(scope="module")
def endpoints(app: gr.Blocks, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Method and path of every route of the running app, Gradio's and ours, with x for every parameter."""
    entrance = Entrance(open_workspace(tmp_path_factory.mktemp("routes")))
    found = gr.routes.App.create_app(app, app_kwargs={"routes": routes(entrance, None)}).routes
    included = [route for one in found if not isinstance(one, Route) for route in one.original_router.routes]
    named = [route for route in (*found, *included) if isinstance(route, Route)]
    paths = {(method, _filled(route.path)) for route in named for method in route.methods or ()}
    assert len(paths) > 80
    return sorted(paths)


def _filled(path: str) -> str:
    while "{" in path:
        before, _, rest = path.partition("{")
        path = f"{before}x{rest.partition('}')[2]}"
    return path


# Who may come in


def test_strangers_get_nothing_from_any_endpoint(attacked: Attacked, endpoints: list[tuple[str, str]]) -> None:
    for method, path in endpoints:
        if (method, path) in NO_LOGIN or path == "/login":
            continue
        body = {"content": b"{}", "headers": {"content-type": "application/json"}} if method == "POST" else {}
        answer = attacked.stranger.request(method, path, **body)
        tried("a stranger at an endpoint", answer.status_code == 401, (method, path, answer.status_code, answer.text))
    page = attacked.stranger.get("/run?run=x", headers={"accept": "text/html"})
    assert page.status_code == 303 and page.headers["location"] == "/login?next=%2Frun%3Frun%3Dx"


def test_guests_get_none_of_the_owners_endpoints(attacked: Attacked, endpoints: list[tuple[str, str]]) -> None:
    theirs = (
        "/shared", "/labelled", "/logout", "/login", "/assets/", "/static/", "/svelte/", "/theme.css", "/favicon.ico",
        "/robots.txt", "/manifest.json", "/gradio_api/theme.css", "/gradio_api/queue/", "/gradio_api/cancel",
        "/gradio_api/reset", "/gradio_api/upload", "/gradio_api/heartbeat/", "/gradio_api/startup-events",
        "/gradio_api/app_id",
    )  # fmt: skip
    for method, path in endpoints:
        if path.startswith(theirs) or (path in ("/", "/run") and method in ("GET", "HEAD")):
            continue
        body = {"content": b"{}"} if method == "POST" else {}
        code = attacked.guest.request(method, path, **body).status_code
        tried("a guest at an owner's endpoint", code in (401 if path.startswith("/api/") else 403,), (path, code))
    for path in ("/", "/run"):
        assert attacked.guest.get(path).headers["location"] == "/shared"


def test_every_event_is_private_and_asks_who_calls(attacked: Attacked, app: gr.Blocks) -> None:
    """Enumerated from the running app, so that a new function is covered."""
    config = attacked.owner.get("/config").json()
    assert len(config["dependencies"]) == len(app.fns) > 100
    public = [one["id"] for one in config["dependencies"] if one["api_visibility"] != "private"]
    names = {number: function_name(app, number) for number in app.fns}
    assert not public, f"add **QUIET or **PRIVATE (api_visibility='private') to: {[names[one] for one in public]}"
    bare = [names[number] for number, event in app.fns.items() if event.fn is not None and not is_guarded(event.fn)]
    assert not bare, f"connected after close_to_guests in ui/app.py, so anybody may call them; move it before: {bare}"
    opened = {names[number] for number, event in app.fns.items() if event.fn and is_open_to_guests(event.fn)}
    assert opened == GUESTS_FUNCTIONS, (
        "A function is open to guests that GUESTS_FUNCTIONS does not name, or the other way round. One that guests "
        "need is marked @open_to_guests, finds its run by seen_run(workspace, request) and takes no path "
        "(ui/sharing/roles.py); then name it here. Every other function needs no mark: it is the owner's."
    )


def test_guests_cannot_call_the_owners_functions(attacked: Attacked, app: gr.Blocks) -> None:
    calls = [(number, usual_inputs(app, number)) for number in owners_functions(app)]
    assert len(calls) > 100
    query = f"?run={attacked.run_id}"
    before = open_store(attacked.workspace).run(attacked.run_id).name
    for (number, _), said in zip(calls, events(attacked.guest, calls, query), strict=True):
        only = "Only the owner can do that." in said.error
        tried("a guest calling an owner's function", not said.done and only, (function_name(app, number), said))
    for number, data in calls[::10]:
        answer = attacked.guest.post("/gradio_api/run/predict", json={"fn_index": number, "data": data})
        tried("the same without the queue", answer.status_code == 403, answer.text)
    rename = next(number for number in owners_functions(app) if function_name(app, number).endswith("rename_run"))
    (said,) = events(attacked.guest, [(rename, ["stolen"])], query)
    tried(
        "a guest renaming a run", not said.done and open_store(attacked.workspace).run(attacked.run_id).name == before
    )
    (said,) = events(attacked.owner, [(rename, [f"renamed {SCRIPT}{MARKUP}"])], query)
    assert said.done and open_store(attacked.workspace).run(attacked.run_id).name.startswith("renamed")


def test_a_session_hears_nothing_of_anothers_tab(attacked: Attacked) -> None:
    for client, tab in ((attacked.owner, "the-owners-tab"), (attacked.guest, "tab-of-one-guest")):
        with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": tab}):
            pass  # its page listens
    for tab in ("the-owners-tab", "tab-of-one-guest"):
        for path in (f"/gradio_api/queue/data?session_hash={tab}", f"/gradio_api/heartbeat/{tab}"):
            code = attacked.other_guest.get(path).status_code
            tried("listening to another's tab", code == 403, (path, code))


# Other sites


def test_other_sites_can_ask_for_nothing(attacked: Attacked) -> None:
    evil = "http://evil.example"
    other_port = f"http://127.0.0.1:{attacked.server.port + 1}"
    headers = [
        {"origin": evil}, {"origin": "null"}, {"origin": other_port}, {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"}, {"origin": f"{attacked.server.url}.evil.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ]  # fmt: skip
    paths = ("/gradio_api/queue/join", "/gradio_api/upload", "/login", "/logout", "/gradio_api/run/predict")
    for sent in headers:
        for path in paths:
            answer = attacked.owner.post(path, headers=sent, json={"fn_index": 0, "data": []})
            tried("a post from another site", answer.status_code == 403, (path, sent, answer.status_code))
        answer = attacked.owner.get("/config", headers=sent)
        tried("a script of another site reading", answer.status_code == 403, (sent, answer.status_code))
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert attacked.owner.get("/runs", headers=link).status_code == 200, "a link from elsewhere opens the page"
    for host in ("evil.example", f"evil.example:{attacked.server.port}", "127.0.0.1.evil.example", "0x7f000001.x", ""):
        answer = attacked.owner.get("/config", headers={"host": host})
        tried("another name for this computer", answer.status_code in (400, 421), (host, answer.status_code))


def test_the_cookie_is_out_of_reach_and_a_login_leads_nowhere_else(attacked: Attacked) -> None:
    form = {"name": OWNER[0], "password": OWNER[1]}
    answer = attacked.stranger.post("/login", data=form, headers={"x-forwarded-proto": "https"})
    attacked.stranger.cookies.clear()
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Secure"))
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "/\tx", "javascript:alert(1)"):
        answer = attacked.stranger.post("/login", data=form | {"next": wanted})
        attacked.stranger.cookies.clear()
        tried("a login that leads elsewhere", answer.headers["location"] == "/", answer.headers)
    gone = attacked.server.client(GUEST)
    kept = dict(gone.cookies)
    gone.post("/logout")
    for what, cookies in (("after logging out", kept), ("that is made up", dict.fromkeys(kept, "x" * 43))):
        with httpx.Client(base_url=attacked.server.url, cookies=cookies) as client:
            tried(f"a cookie {what}", client.get("/shared").status_code == 401)


# Places on the disk


def test_no_argument_names_a_place_on_the_disk(attacked: Attacked, app: gr.Blocks) -> None:
    run_id = attacked.finished()
    _, token = make_token(attacked.workspace, "attacks")
    bearer = {"authorization": f"Bearer {token}"}
    for client in (attacked.guest, attacked.owner):
        for place in OUTSIDE:
            for path, query in (
                ("/shared", {"run": place}), ("/shared/report", {"run": place}), ("/", {"draft": place}),
                ("/labelled", {"run": run_id, "job": place}), ("/labelled", {"run": place, "job": "x"}),
                ("/run", {"run": place}), ("/shared", {"run": run_id, "deep_link": place}),
            ):  # fmt: skip
                _no_secret("a path in an address", client.get(path, params=query, follow_redirects=True))
        for place in OUTSIDE:
            for before in ("/gradio_api/file=", "/assets/", "/static/", "/svelte/", "/gradio_api/file/"):
                tried("a path in a route", *_raw(attacked.server, client, before + place))
    for place in OUTSIDE:
        answer = attacked.stranger.post(
            f"/api/v1/runs/{place.strip(chr(0))}/predict", json={"texts": ["a"]}, headers=bearer
        )
        tried("a path in the API", answer.status_code in (401, 404, 405), answer.text)
    own = [str(attacked.workspace.database), str(attacked.workspace.run(run_id).spec), str(attacked.server.log)]
    for place in own:
        tried("the server's own files", *_raw(attacked.server, attacked.owner, f"/gradio_api/file={place}"))


def _no_secret(what: str, answer: httpx.Response) -> None:
    tried(what, not any(secret in answer.content for secret in SECRETS), (answer.url, answer.content[:300]))


def _raw(server: SharedServer, client: httpx.Client, path: str) -> tuple[bool, object]:
    """A request as it is written, without the client putting it right first."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("GET", path.replace("\x00", "%00").replace(" ", "%20"), skip_accept_encoding=True)
    connection.putheader("Cookie", "; ".join(f"{name}={value}" for name, value in client.cookies.items()))
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read(100_000)
    connection.close()
    return answer.status >= 400 and not any(secret in content for secret in SECRETS), (path, answer.status)


def test_a_guest_labels_uploads_only(attacked: Attacked, app: gr.Blocks) -> None:
    run_id = attacked.finished()
    begin = function_on(app, "_connect.<locals>.begin", "shared")
    link = attacked.workspace.incoming / "link.csv"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(attacked.workspace.root.parent / "secret.txt")
    places = [
        *OUTSIDE, str(attacked.workspace.database), str(attacked.workspace.root.parent / "secret.txt"), str(link),
        str(attacked.workspace.run(run_id).spec), str(attacked.workspace.run(run_id).examples),
    ]  # fmt: skip
    for place in places:
        file = {"path": place, "orig_name": "x.csv", "meta": {"_type": "gradio.FileData"}}
        (said,) = events(attacked.guest, [(begin, [file, "csv", 1, ""])], f"?run={run_id}")
        started = list(attacked.workspace.run(run_id).predictions.glob("*/job.json"))
        tried("a file that was not uploaded", not started, (place, said))
    (said,) = events(attacked.guest, [(begin, [None, "../../x", 1, ""])], f"?run={run_id}")
    tried("a path as a format", not list(attacked.workspace.root.parent.glob("x*")), said)


def test_uploads_stay_where_they_belong(attacked: Attacked) -> None:
    for name in ("../../../evil.csv", "/etc/cron.d/evil.csv", "..\\..\\evil.csv", "a/../../evil.csv", "evil\x00.csv"):
        answer = upload(attacked.owner, name, b"text\nhello\n")
        places = [Path(place).resolve() for place in (answer.json() if answer.status_code == 200 else [])]
        inside = all(place.is_relative_to(attacked.workspace.incoming.resolve()) for place in places)
        tried("an upload with a path for a name", inside, places)
    answer = upload(attacked.guest, "big.csv", b"x" * (20 * 2**20 + 10_000))
    tried("an upload that is too large", answer.status_code == 413, answer.text)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = attacked.guest.post("/gradio_api/upload", content=iter([b"x" * 1000] * 10), headers=headers)
    tried("an upload that hides its size", answer.status_code == 411, answer.text)
    save_allowance(attacked.workspace, {"workspace_bytes": 1})
    attacked_now = upload(attacked.guest, "small.csv", b"text\nhello\n")
    save_allowance(attacked.workspace, {"workspace_bytes": 2**40})
    tried("an upload into a full workspace", attacked_now.status_code == 507, attacked_now.text)
    answer = attacked.guest.post("/gradio_api/queue/join", content=b"[" * (2**20 + 1))
    tried("a request that is too long", answer.status_code == 413, answer.text)


# What data says


def test_an_address_in_place_of_a_file_is_not_fetched(app: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio looks for files in the value of every component, before it calls the function."""
    asked = []

    async def get(url: str, **_options: object) -> httpx.Response:
        asked.append(url)
        return httpx.Response(200, content=b"x", request=httpx.Request("GET", url))

    monkeypatch.setattr(processing_utils.sh, "get", get)
    inputs = {type(block): block for event in app.fns.values() for block in event.inputs}
    assert gr.File in inputs and gr.Textbox in inputs
    for block in inputs.values():
        value = {"path": "http://example.org/large.csv", "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(gr.Error, match="not by address"):
            asyncio.run(processing_utils.async_move_files_to_cache(value, block, check_in_upload_folder=True))
    tried("an address in place of a file", asked == [], asked)


def test_markup_from_data_is_text(attacked: Attacked, app: gr.Blocks) -> None:
    run_id = attacked.finished()
    query = f"?run={run_id}"
    report = attacked.guest.get("/shared/report", params={"run": run_id})
    assert report.status_code == 200 and "sandbox" in report.headers["content-security-policy"]
    shown = {"the report": report.text}
    predict = function_on(app, "build_try_it.<locals>.predict", "shared")
    data = usual_inputs(app, predict)
    asked = [*data[:2], f"Where is {MARKUP}{SCRIPT}", *[""] * (len(data) - 3)]
    watch = function_on(app, "build_shared.<locals>.watch", "shared")
    for name, (said,) in {
        "an answer": events(attacked.guest, [(predict, asked)], query),
        "the shared page": events(attacked.guest, [(watch, [{}])], query),
        "the list": events(attacked.guest, [(watch, [{}])]),
        "a wrong id": events(attacked.guest, [(watch, [{}])], "?run=%3Cscript%3E"),
    }.items():
        assert said.done, (name, said)
        shown[name] = json.dumps(said.data, ensure_ascii=False)
    for number, event in app.fns.items():
        if (
            any(target == "load" for _, target in event.targets)
            and event.fn is not None
            and event.page in ("run", "runs")
        ):
            (said,) = events(attacked.owner, [(number, usual_inputs(app, number))], query)
            shown[f"{event.page} {function_name(app, number)}"] = json.dumps(said.data, ensure_ascii=False)
    assert sum("&lt;img src=x" in content for content in shown.values()) >= 4
    for name, content in shown.items():
        for form in (MARKUP, SCRIPT):
            where = content.find(form)
            tried("markup in a page", where < 0, (name, content[max(0, where - 200) : where + 100]))


def test_a_labelled_file_holds_no_formula_and_is_its_guests(attacked: Attacked, app: gr.Blocks) -> None:
    run_id = attacked.finished()
    query, begin = f"?run={run_id}", function_on(app, "_connect.<locals>.begin", "shared")
    cells = ["=1+1", "+1+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1", FORMULA]
    content = io.StringIO(newline="")
    csv.writer(content).writerows([("text", "formula"), *(("Who wrote it", cell) for cell in cells)])
    (place,) = upload(attacked.guest, "new.csv", content.getvalue().encode()).json()
    file = {"path": place, "orig_name": f"{MARKUP}.csv", "meta": {"_type": "gradio.FileData"}}
    (said,) = events(attacked.guest, [(begin, [file, "csv", 1, ""])], query)
    assert said.done
    job = next(attacked.workspace.run(run_id).predictions.glob("*/job.json")).parent
    (again,) = events(attacked.guest, [(begin, [file, "csv", 1, ""])], query)
    tried("a second file at once", len(list(job.parent.glob("*/job.json"))) == 1, again)
    status: dict[str, str] = {"state": "running"}
    while status["state"] == "running":
        time.sleep(0.3)
        status = json.loads((job / "status.json").read_text())
    assert status["state"] == "finished", status
    address = {"run": run_id, "job": job.name}
    answer = attacked.guest.get("/labelled", params=address)
    lines = answer.text.splitlines()[1:]
    assert len(lines) == len(cells)
    for line in lines:
        tried("a formula in a cell", ",'" in line or ",\"'" in line, line)
    tried("another guest's file", attacked.other_guest.get("/labelled", params=address).status_code == 404)
    open_store(attacked.workspace).share_run(run_id, False)
    tried("a run no longer shared", attacked.guest.get("/labelled", params=address).status_code == 404)
    tried("a run no longer shared", attacked.guest.get("/shared/report", params=address).status_code == 404)
    guests = [number for number, event in app.fns.items() if event.fn and is_open_to_guests(event.fn)]
    for number in guests:
        (said,) = events(attacked.guest, [(number, usual_inputs(app, number))], query)
        told = json.dumps(said.data) + said.error
        tried("a run no longer shared", "renamed" not in told and LABELS[0][:3] + " &lt;" not in told, (number, said))
    open_store(attacked.workspace).share_run(run_id, True)


# Tokens


def test_the_api_answers_its_tokens_only(attacked: Attacked) -> None:
    run_id = attacked.finished()
    address, body = f"/api/v1/runs/{run_id}/predict", {"texts": ["Where is it?", f"Who wrote {MARKUP}"], "top_k": 2}
    _, token = make_token(attacked.workspace, "a program")
    _, elsewhere = make_token(attacked.workspace, "of a run that is gone", run_id)
    answer = attacked.stranger.post(address, json=body, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    assert [len(one["labels"]) for one in answer.json()["predictions"]] == [2, 2]
    assert attacked.stranger.get("/api/v1/runs", headers={"authorization": f"Bearer {token}"}).json()["runs"]
    for given in (
        "",
        "Bearer",
        "Bearer x",
        f"Basic {token}",
        f"Bearer {token[:-2]}xx",
        f"Bearer td_{'0' * 8}_{'x' * 43}",
    ):
        for client in (attacked.stranger, attacked.guest, attacked.owner):
            answer = client.post(address, json=body, headers={"authorization": given})
            tried("the API without its token", answer.status_code == 401, answer.text)
    bad = ({"texts": []}, {"texts": "a"}, {"texts": [1]}, {"texts": ["a"] * 257}, [], {"texts": ["a"], "top_k": -1})
    for content in (*bad, {"texts": ["a" * 100_001]}):
        answer = attacked.stranger.post(address, json=content, headers={"authorization": f"Bearer {token}"})
        tried("a request that is none", answer.status_code == 422 and "Traceback" not in answer.text, answer.text)
    open_store(attacked.workspace).share_run(run_id, False)
    answer = attacked.stranger.post(address, json=body, headers={"authorization": f"Bearer {token}"})
    tried("the API for a run that is not shared", answer.status_code == 404, answer.text)
    revoke_token(attacked.workspace, elsewhere.split("_")[1])
    answer = attacked.stranger.post(address, json=body, headers={"authorization": f"Bearer {elsewhere}"})
    tried("a token that was revoked", answer.status_code == 401, answer.text)
    open_store(attacked.workspace).share_run(run_id, True)


def test_no_file_of_the_workspace_holds_a_secret(attacked: Attacked) -> None:
    """After a run, answers and a labelled file, all by processes that had tokens in their environment."""
    attacked.finished()
    _, token = make_token(attacked.workspace, "kept as a digest")
    cookies = [*attacked.owner.cookies.values(), *attacked.guest.cookies.values()]
    secrets = [*TOKENS.values(), OWNER[1], GUEST[1], token, token[12:], *cookies]
    files = [path for path in attacked.workspace.root.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in [*files, attacked.server.log]:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # the store's own, gone with its last reader
        found = [secret[:6] for secret in secrets if secret.encode() in content]
        tried("a file searched for secrets", not found, (path, found))


def test_whoever_asks_too_often_has_to_wait(attacked: Attacked) -> None:
    """The last: this address can log in no more."""
    codes = [
        attacked.stranger.post("/login", data={"name": OWNER[0], "password": f"guess {number}"}).status_code
        for number in range(14)
    ]
    assert codes[-1] == 429
    for code in codes:
        tried("a guessed password", code in (401, 429), code)
    right = attacked.stranger.post("/login", data={"name": OWNER[0], "password": OWNER[1]})
    tried("the right one after too many guesses", right.status_code == 429, right.status_code)
    uploads = [upload(attacked.other_guest, "a.csv", b"text\na\n").status_code for _ in range(22)]
    tried("uploads without an end", uploads[0] == 200 and uploads[-1] == 429, uploads)
    for _ in range(302):
        code = attacked.stranger.get("/api/v1/runs", headers={"authorization": "Bearer guessed"}).status_code
    tried("tokens guessed without an end", code == 429, code)
