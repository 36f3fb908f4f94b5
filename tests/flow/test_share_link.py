"""`launch.py --share` with everything but the network: requests as they come out of Gradio's tunnel.

The tunnel's program (frpc) is a stand-in that names the public address, which is all that Gradio reads of it. Requests
then come from this computer, with the public name as Host, over http, and with what a proxy adds.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio.tunneling import BINARY_FILENAME

from core.runs.store import open_store
from core.workspace import open_workspace
from tests.hostile import GUEST, OWNER, SharedServer, events

LINK = "0a1b2c3d4e5f6a7b8c.gradio.live"
FRPC = f"#!/bin/sh\necho 'start proxy success: http://{LINK}'\nexec sleep 3600\n"
RUN = "20261121-000000-aaaa"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    root = tmp_path_factory.mktemp("shared")
    frpc = root / "hub" / "gradio" / "frpc" / BINARY_FILENAME
    frpc.parent.mkdir(parents=True)
    frpc.write_text(FRPC)
    frpc.chmod(0o755)
    environment = {"HF_HOME": str(root / "hub"), "GRADIO_SHARE_SERVER_ADDRESS": "tunnel.example:7000"}
    server = SharedServer(open_workspace(root / "workspace"), ("--share",), environment)
    open_store(server.workspace).add_run(RUN, "not shared", "p", "m", "d")
    open_store(server.workspace).move(RUN, ["queued"], "stopped")
    server.start()
    yield server
    server.close()


def come_by_link(server: SharedServer, address: str = "203.0.113.7", **more: str) -> httpx.Client:
    """A browser at this address, at the other end of the tunnel."""
    headers = {"host": LINK, "origin": f"https://{LINK}", "x-forwarded-for": address, **more}
    return httpx.Client(base_url=server.url, timeout=120, headers=headers)


def log_in(client: httpx.Client, who: tuple[str, str]) -> httpx.Response:
    """The cookie is kept by hand: it is Secure, and here the last part of the way is http."""
    answer = client.post("/login", data={"name": who[0], "password": who[1], "next": "/shared"})
    client.headers["cookie"] = answer.headers.get("set-cookie", "").partition(";")[0]
    return answer


def test_the_link_is_known_and_asks_for_a_login(shared: SharedServer) -> None:
    assert f"Tunedesk is at https://{LINK}" in shared.log.read_text()
    stranger = come_by_link(shared)
    for path in ("/", "/run", "/shared", "/config", "/gradio_api/file=x", "/gradio_api/queue/data?session_hash=x"):
        assert stranger.get(path).status_code == 401, path
    page = stranger.get("/", headers={"accept": "text/html"})
    assert page.headers["location"] == "/login?next=%2F", "a path: the browser stays at the link"
    assert stranger.post("/gradio_api/queue/join", json={"fn_index": 0, "data": []}).status_code == 401
    for host in (f"evil.{LINK}", "other.gradio.live", f"{LINK}.evil.example", "tunnel.example"):
        assert stranger.get("/", headers={"host": host, "origin": f"https://{host}"}).status_code == 421, host
    # Nothing that a proxy, or somebody through it, writes beside Host changes who is asked for.
    for name in ("x-forwarded-host", "x-forwarded-for", "forwarded", "x-real-ip"):
        assert stranger.get("/", headers={name: "127.0.0.1"}).status_code == 401, name
        assert stranger.get("/", headers={name: "127.0.0.1", "host": "evil.example"}).status_code in (403, 421), name


@pytest.mark.parametrize("more", [{}, {"x-forwarded-proto": "https"}, {"host": f"{LINK}:443"}])
def test_a_login_by_the_link_gives_a_cookie_for_https_alone(shared: SharedServer, more: dict[str, str]) -> None:
    answer = log_in(come_by_link(shared, **more), GUEST)
    assert answer.status_code == 303 and answer.headers["location"] == "/shared"
    assert all(word in answer.headers["set-cookie"] for word in ("Secure", "HttpOnly", "SameSite=lax"))


def test_roles_hold_through_the_link(shared: SharedServer) -> None:
    guest, owner = come_by_link(shared), come_by_link(shared, **{"x-forwarded-proto": "https"})
    log_in(guest, GUEST)
    log_in(owner, OWNER)
    assert guest.get("/shared").status_code == 200 and guest.get("/").headers["location"] == "/shared"
    for path in ("/config", "/runs", "/settings", f"/gradio_api/file={shared.workspace.database}"):
        assert guest.get(path).status_code == 403, path
    config = owner.get("/config").json()
    assert config["root"] == f"https://{LINK}"
    inputs = {one["id"]: one["inputs"] for one in config["dependencies"]}
    number = next(one["id"] for one in config["dependencies"] if one["targets"] and one["targets"][0][1] == "tick")
    query = f"?run={RUN}"
    (said,) = events(guest, [(number, [None] * len(inputs[number]))], query)
    assert not said.done and "Only the owner can do that." in said.error
    (said,) = events(owner, [(number, [None] * len(inputs[number]))], query)
    assert "Only the owner" not in said.error
    assert guest.get("/shared/report", params={"run": RUN}).status_code == 404


def test_other_sites_can_ask_for_nothing_through_the_link(shared: SharedServer) -> None:
    owner = come_by_link(shared)
    log_in(owner, OWNER)
    for origin in ("https://evil.example", "https://other.gradio.live", f"https://x.{LINK}", "null", shared.url):
        for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/logout"):
            assert owner.post(path, headers={"origin": origin}, json={}).status_code == 403, (origin, path)
        assert owner.get("/config", headers={"origin": origin}).status_code == 403, origin
    for site in ("cross-site", "same-site"):  # other links of gradio.live
        assert owner.post("/logout", headers={"sec-fetch-site": site}).status_code == 403
    assert owner.get("/config").status_code == 200


def test_guesses_by_the_link_are_counted_whatever_address_they_name(shared: SharedServer) -> None:
    """The last by the link: nobody can log in there for an hour."""
    codes = [
        log_in(come_by_link(shared, f"198.51.100.{number}"), (OWNER[0], f"guess {number}")).status_code
        for number in range(52)
    ]
    assert codes[0] == 401 and codes[-1] == 429, codes
    assert log_in(come_by_link(shared), OWNER).status_code == 429
    here = httpx.Client(base_url=shared.url, timeout=120)
    form = {"name": OWNER[0], "password": OWNER[1]}
    codes = [here.post("/login", data=form).status_code]
    assert codes == [303], "who sits at the computer is not kept out by them"


def test_without_a_tunnel_the_page_is_here_alone(tmp_path: Path) -> None:
    """Where no link can be had, the page is here alone, and says so."""
    environment = {"HF_HOME": str(tmp_path / "hub"), "GRADIO_SHARE_SERVER_ADDRESS": "127.0.0.1:9"}
    frpc = tmp_path / "hub" / "gradio" / "frpc" / BINARY_FILENAME
    frpc.parent.mkdir(parents=True)
    frpc.write_text("#!/bin/sh\necho 'login to server failed: refused'\nexit 1\n")
    frpc.chmod(0o755)
    server = SharedServer(open_workspace(tmp_path / "workspace"), ("--share",), environment)
    server.start()
    try:
        said = server.log.read_text()
        assert "Could not create share link" in said and f"Tunedesk is at {server.url}" in said
        assert httpx.get(server.url, timeout=60).status_code == 401
        assert httpx.get(server.url, headers={"host": LINK}, timeout=60).status_code == 421
    finally:
        server.close()
