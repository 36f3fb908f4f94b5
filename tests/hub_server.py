"""A small hub on this computer, for the real huggingface_hub client: repositories in memory, LFS uploads in parts.

It speaks what the client uses (whoami, create, info, tree, branch, preupload, LFS batch, parts, completion, verify,
commit, resolve, the device login), and fails as told. Reached through HF_ENDPOINT, with HF_HUB_DISABLE_XET=1.
"""

import base64
import hashlib
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

PART_BYTES = 1_000_000
LFS_FROM_BYTES = 200_000


@dataclass
class Repository:
    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {".gitattributes": b""}})
    commits: list[dict] = field(default_factory=list)
    requests: int = 0
    """Pull requests."""
    gated: bool = False

    def head(self, revision: str) -> str:
        """The commit that a branch or a commit's own id stands for."""
        if any(commit["oid"] == revision for commit in self.commits):
            return revision
        return next((each["oid"] for each in reversed(self.commits) if each["branch"] == revision), "0" * 40)

    def at(self, revision: str) -> dict[str, bytes] | None:
        """The files at a branch or commit."""
        commit = next((each for each in self.commits if each["oid"] == revision), None)
        return commit["files"] if commit else self.branches.get(revision)


@dataclass
class Failure:
    method: str
    part: str
    """Of the path."""
    code: int
    times: int = 1
    body: dict = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int = -1
    """In place of an answer: read so many bytes, then close the connection."""


class Hub:
    """tokens: token -> (user, role)."""

    def __init__(self, tokens: dict[str, tuple[str, str]]) -> None:
        self.tokens = tokens
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.failures: list[Failure] = []
        self.calls: list[str] = []
        self.put_bytes = 0
        self.xet_folder: Path | None = None
        """Where the client's xet part keeps what it uploads (it takes local:// for a storage server)."""
        self.authorised_codes: dict[str, str] = {}
        self.hold = ""
        """Of a file whose path ends so only the first half is sent, until `go_on` is set."""
        self.go_on = threading.Event()
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            served = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def files(self, repository: str, kind: str = "model", branch: str = "main") -> dict[str, bytes]:
        found = dict(self.repositories[kind, repository].branches[branch])
        found.pop(".gitattributes")
        return found

    def put(self, repository: str, files: dict[str, bytes], *, private: bool = True, gated: bool = False) -> str:
        """A commit on main, as if somebody had made it. Returns its id."""
        made = self.repositories.setdefault(("model", repository), Repository(private, gated=gated))
        oid = hashlib.sha1(b"".join(files.values()), usedforsecurity=False).hexdigest()
        made.branches["main"] = {".gitattributes": b"", **files}
        made.commits.append({"oid": oid, "branch": "main", "lines": [], "files": made.branches["main"]})
        return oid

    def fail(self, method: str, part: str, code: int = 0, **more) -> None:
        self.failures.append(Failure(method, part, code, **more))


@contextmanager
def running_hub(tokens: dict[str, tuple[str, str]]):
    hub = Hub(tokens)
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_HEAD(self) -> None:
        self._serve("HEAD")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        path = url.path
        with self.served.lock:
            self.served.calls.append(f"{method} {path}")
            failure = next(
                (each for each in self.served.failures if each.method == method and each.part in path and each.times),
                None,
            )
            if failure:
                failure.times -= 1
        if failure and failure.cut_after >= 0:
            self.rfile.read(failure.cut_after)
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.body = self._read()
        if failure:
            self._answer(failure.code, failure.body, failure.headers)
            return
        self._route(method, path)

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, code: int, content: dict | list | bytes, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        if not isinstance(content, bytes):
            self.send_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, code: int, words: str, kind: str = "") -> None:
        headers = {"X-Error-Message": words} | ({"X-Error-Code": kind} if kind else {})
        self._answer(code, {"error": words}, headers)

    def _route(self, method: str, path: str) -> None:
        if path.startswith("/lfs/"):
            self._lfs(method, path.split("/")[2:])
            return
        if path.startswith("/oauth/"):
            self._oauth(path)
            return
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in self.served.tokens:
            self._refuse(401, "Invalid credentials in Authorization header")
            return
        user, role = self.served.tokens.get(given, ("", "read"))
        if not user and method not in ("GET", "HEAD"):
            self._refuse(401, "Invalid username or password.")
            return
        words = path.strip("/").split("/")
        if path == "/api/whoami-v2":
            access = {"displayName": "test", "role": role}
            answer = {"name": user, "type": "user", "orgs": [{"name": "acme"}], "auth": {"accessToken": access}}
            self._answer(200, answer)
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self._create(user, role)
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._batch()
        elif words[0] == "api" and len(words) > 3:
            self._repository(words[1].rstrip("s"), f"{words[2]}/{words[3]}", words[4:], user, role)
        elif "resolve" in words:
            kind = words.pop(0).rstrip("s") if words[0] in ("datasets", "spaces") else "model"
            self._resolve(self._seen(kind, f"{words[0]}/{words[1]}", user), words[3], "/".join(words[4:]))
        else:
            self._refuse(404, "No such page")

    def _create(self, user: str, role: str) -> None:
        asked = json.loads(self.body)
        owner = asked.get("organization") or user
        if role == "read" or owner not in (user, "acme"):
            self._refuse(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
            return
        key = (asked.get("type") or "model", f"{owner}/{asked['name']}")
        if key in self.served.repositories:
            self._answer(409, {"error": "You already created this model repo", "url": f"{self.served.url}/{key[1]}"})
            return
        self.served.repositories[key] = Repository(asked.get("visibility") == "private" or bool(asked.get("private")))
        self._answer(200, {"url": f"{self.served.url}/{key[1]}"})

    def _seen(self, kind: str, name: str, user: str) -> Repository | None:
        """The repository where this user may see it; the answer where not is given here."""
        repository = self.served.repositories.get((kind, name))
        if repository is None or (repository.private and (not user or name.split("/")[0] not in (user, "acme"))):
            self._refuse(404 if user else 401, "Repository not found", "RepoNotFound")
            return None
        return repository

    def _resolve(self, repository: Repository | None, revision: str, name: str) -> None:
        if repository is None:
            return
        if repository.gated:
            self._refuse(403, "Access to this model is restricted", "GatedRepo")
            return
        found = (repository.at(revision) or {}).get(name)
        if found is None:
            self._refuse(404, "Entry not found", "EntryNotFound")
            return
        headers = {"X-Repo-Commit": repository.head(revision), "ETag": f'"{hashlib.sha256(found).hexdigest()}"'}
        if self.command == "GET" and self.served.hold and name.endswith(self.served.hold):
            self.send_response(200)
            for header, value in {**headers, "Content-Length": str(len(found))}.items():
                self.send_header(header, value)
            self.end_headers()
            half = len(found) // 2
            with suppress(OSError):
                self.wfile.write(found[:half])
                self.wfile.flush()
                self.served.go_on.wait(60)
                self.wfile.write(found[half:])
            return
        self._answer(200, found, headers)

    def _repository(self, kind: str, name: str, rest: list[str], user: str, role: str) -> None:
        repository = self._seen(kind, name, user)
        if repository is None:
            return
        what, branch = (rest[0], unquote(rest[1])) if len(rest) > 1 else ("info", "main")
        if what == "xet-write-token":
            storage = f"local://{self.served.xet_folder}"
            self._answer(200, {"accessToken": "storage", "exp": int(time.time()) + 3600, "casUrl": storage})
            return
        if what == "branch":
            code = 409 if branch in repository.branches else 200
            repository.branches.setdefault(branch, dict(repository.branches["main"]))
            self._answer(code, {})
            return
        files = repository.at(branch)
        if files is None:
            self._refuse(404, "Invalid rev id", "RevisionNotFound")
            return
        if what in ("info", "revision"):
            siblings = [{"rfilename": each, "size": len(data)} for each, data in files.items()]
            more = {"private": repository.private, "siblings": siblings, "tags": []}
            self._answer(200, {"id": name, "sha": repository.head(branch), **more})
        elif what == "tree":
            listed = [{"type": "file", "path": each, "size": len(data), "oid": "0"} for each, data in files.items()]
            self._answer(200, listed)
        elif what == "preupload":
            self._answer(200, {"files": [self._mode(each, files) for each in json.loads(self.body)["files"]]})
        elif what == "commit":
            if role == "read" or (name.split("/")[0] not in (user, "acme") and "create_pr" not in self.query):
                self._refuse(403, "Authorization error")
                return
            self._commit(repository, branch, kind, name)

    def _mode(self, asked: dict, files: dict[str, bytes]) -> dict:
        mode = (
            "lfs"
            if asked["size"] > LFS_FROM_BYTES or asked["path"].endswith((".safetensors", ".parquet"))
            else "regular"
        )
        there = files.get(asked["path"])
        oid = None
        if there is not None:
            git = hashlib.sha1(f"blob {len(there)}\0".encode() + there, usedforsecurity=False).hexdigest()
            oid = hashlib.sha256(there).hexdigest() if mode == "lfs" else git
        return {"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _batch(self) -> None:
        asked = json.loads(self.body)
        objects = []
        for each in asked["objects"]:
            oid, size = each["oid"], each["size"]
            if oid in self.served.blobs:
                objects.append({"oid": oid, "size": size})
                continue
            verify = {"href": f"{self.served.url}/lfs/verify/{oid}"}
            if size > PART_BYTES:
                count = -(-size // PART_BYTES)
                parts = {f"{n:05d}": f"{self.served.url}/lfs/part/{oid}/{n}" for n in range(1, count + 1)}
                header = {"chunk_size": str(PART_BYTES), **parts}
                upload = {"href": f"{self.served.url}/lfs/complete/{oid}", "header": header}
            else:
                upload = {"href": f"{self.served.url}/lfs/whole/{oid}"}
            objects.append({"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}})
        self._answer(200, {"transfer": "multipart", "objects": objects})

    def _lfs(self, method: str, words: list[str]) -> None:
        what, oid = words[0], words[1]
        if method == "PUT":
            self.served.put_bytes += len(self.body)
        if what == "whole":
            self._keep(oid, self.body)
        elif what == "part":
            self.served.parts[oid, int(words[2])] = self.body
            self._answer(200, {}, {"ETag": f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'})
        elif what == "complete":
            numbers = [part["partNumber"] for part in json.loads(self.body)["parts"]]
            self._keep(oid, b"".join(self.served.parts[oid, number] for number in sorted(numbers)))
        elif what == "verify":
            found = self.served.blobs.get(oid)
            right = found is not None and len(found) == json.loads(self.body)["size"]
            self._answer(200 if right else 422, {})

    def _keep(self, oid: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != oid:
            self._refuse(422, "The content is not what its name says")
            return
        self.served.blobs[oid] = data
        self._answer(200, {})

    def _commit(self, repository: Repository, branch: str, kind: str, name: str) -> None:
        lines = [json.loads(line) for line in self.body.splitlines()]
        files = dict(repository.branches[branch])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "lfsFile":
                if self.served.xet_folder is not None:
                    files[value["path"]] = f"{value['oid']} {value['size']}".encode()
                    continue
                if value["oid"] not in self.served.blobs:
                    self._refuse(400, f"LFS object {value['oid']} is not there")
                    return
                files[value["path"]] = self.served.blobs[value["oid"]]
        oid = hashlib.sha1(self.body, usedforsecurity=False).hexdigest()
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{self.served.url}/{name}/commit/{oid}"}
        if "create_pr" in self.query:
            repository.requests += 1
            branch = f"refs/pr/{repository.requests}"
            place = "" if kind == "model" else f"{kind}s/"
            answer["pullRequestUrl"] = f"{self.served.url}/{place}{name}/discussions/{repository.requests}"
        repository.branches[branch] = files
        repository.commits.append({"oid": oid, "branch": branch, "lines": lines, "files": files})
        self._answer(200, answer)

    def _oauth(self, path: str) -> None:
        if path == "/oauth/device":
            address = f"{self.served.url}/device"
            codes = {"device_code": "secret-code", "user_code": "ABCD-1234", "interval": 1, "expires_in": 60}
            self._answer(
                200, {**codes, "verification_uri": address, "verification_uri_complete": f"{address}?c=ABCD-1234"}
            )
            return
        token = self.served.authorised_codes.get(parse_qs(self.body.decode())["device_code"][0])
        if token:
            self._answer(200, {"access_token": token, "token_type": "bearer", "expires_in": 2_592_000})
        else:
            self._answer(400, {"error": "authorization_pending"})
