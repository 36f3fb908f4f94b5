"""One folder to one repository of the hub, through huggingface_hub: new or updated, counted by the byte, tried again.

What arrived is not sent twice: the client asks the hub for each file first, by its SHA-256 (LFS) or its pieces (xet).
The new state of the repository appears in one commit at the end, so a cut upload leaves the old one whole.
"""

import io
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Literal

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id
from huggingface_hub.utils.tqdm import disable_progress_bars

from core.errors import UserError
from core.export.hub_errors import ConnectionCutError, explained
from core.hub_fetching import hub_address

Kind = Literal["model", "dataset", "space"]
KIND_NAMES: dict[Kind, str] = {"model": "model", "dataset": "data set", "space": "Space"}
MARKER = "tunedesk.json"
"""A file of every repository that is published from here, so that another one is not written over unasked."""
OF_THE_HUB = (".gitattributes", ".gitignore", "README.md", "LICENSE")
"""What an empty repository may hold."""
MODEL_FILES = ("adapter_config.json", "adapter_model.safetensors", "model*.safetensors*", "model*.onnx*", "*.gguf")
"""Of all formats what the libraries load by its name alone."""
WAITS = (5.0, 15.0, 30.0, 60.0, 60.0, 120.0)
"""Seconds between tries after the connection was cut; within a try the client itself asks again for half a minute."""
Told = Callable[[int, str], None]
"""Takes the bytes sent so far and what is being done."""


@dataclass(frozen=True)
class Upload:
    folder: Path
    repository: str
    """USER/NAME."""
    kind: Kind
    message: str
    private: bool = True
    revision: str = ""
    """A branch, made where it is not there; empty: main."""
    pull_request: bool = False
    replace: bool = False
    """Also into a repository with files that did not come from here."""

    def files(self) -> list[tuple[str, int]]:
        """What will be uploaded: names with `/`, and bytes."""
        return folder_files(self.folder)


@dataclass(frozen=True)
class Pushed:
    url: str
    commit: str
    pull_request: str
    """Its address; "" without one."""
    created: bool
    """Whether the repository is new."""


def folder_files(folder: Path) -> list[tuple[str, int]]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in found]


def name_problem(repository: str) -> str:
    """What is wrong with a repository's name by the hub's rules; "" where nothing is."""
    owner, slash, name = repository.partition("/")
    if not (owner and slash and name):
        return "Write USER/NAME, with your user name or an organisation's in front."
    try:
        validate_repo_id(repository)
    except HFValidationError:
        return (
            "A name has letters, digits, - _ and . (no -- or .., none of - and . at its ends, no .git), "
            "at most 96 characters in all."
        )
    return ""


def push(upload: Upload, token: str, tell: Told, wait: Callable[[float], None] = time.sleep) -> Pushed:
    """Upload and commit. Raises UserError; ConnectionCutError once every try was cut."""
    api = HfApi(endpoint=hub_address(), token=token, library_name="tunedesk")
    for pause in WAITS:
        try:
            return _push(api, upload, token, tell)
        except ConnectionCutError as cut:
            tell(-1, f"{cut.what} Trying again in {pause:.0f} seconds")
            wait(pause)
    return _push(api, upload, token, tell)


def _push(api: HfApi, upload: Upload, token: str, tell: Told) -> Pushed:
    with explained(upload.repository, token), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the hub's remarks on cards; its errors are exceptions
        tell(0, f"Asking the hub for {upload.repository}")
        created = _prepared(api, upload)
        counted = _Counted(tell, f"Uploading the {KIND_NAMES[upload.kind]}")
        names = [name for name, _ in folder_files(upload.folder)]
        gone = [] if created else _left_over(api, upload, names)
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationDelete(name) for name in gone),
            *(_CountedAdd(name, upload.folder / name, counted) for name in names),
        ]
        with _xet_counted(counted):
            done = api.create_commit(
                upload.repository,
                operations,
                commit_message=upload.message,
                repo_type=upload.kind,
                revision=upload.revision or None,
                create_pr=upload.pull_request,
            )
    prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[upload.kind]
    return Pushed(f"{hub_address()}/{prefix}{upload.repository}", done.oid, done.pr_url or "", created)


def _prepared(api: HfApi, upload: Upload) -> bool:
    """Make the repository and the branch where they are not there. Returns whether the repository is new."""
    existing = _existing(api, upload)
    if existing is None:
        if upload.pull_request:
            raise UserError(
                f"There is no {KIND_NAMES[upload.kind]} {upload.repository} to open a pull request on.",
                upload.repository,
                "Check the name, or publish without a pull request.",
            )
        api.create_repo(
            upload.repository,
            repo_type=upload.kind,
            private=upload.private,
            exist_ok=True,
            space_sdk="gradio" if upload.kind == "space" else None,
        )
    elif not upload.pull_request:
        _require_same_visibility(upload, is_private=bool(existing.private))
        _require_ours(upload, [file.rfilename for file in existing.siblings or []])
    if upload.revision not in ("", "main") and not upload.revision.startswith("refs/"):
        api.create_branch(upload.repository, branch=upload.revision, repo_type=upload.kind, exist_ok=True)
    return existing is None


def _existing(api: HfApi, upload: Upload) -> Any:
    """What the hub says of the repository; None where there is none that may be seen."""
    try:
        return api.repo_info(upload.repository, repo_type=upload.kind)
    except RepositoryNotFoundError:
        return None


def _require_same_visibility(upload: Upload, *, is_private: bool) -> None:
    """The hub changes it only when asked on purpose, and nothing meant to be private may land where all can read."""
    if is_private == upload.private:
        return
    has, wants = ("private", "public") if is_private else ("public", "private")
    raise UserError(
        f"{upload.repository} is there already and {has}, and this is to be {wants}.",
        upload.repository,
        f"Publish as {has}, choose another name, or change it on the repository's own page first.",
    )


def _require_ours(upload: Upload, files: list[str]) -> None:
    others = [name for name in files if name not in OF_THE_HUB]
    if others and MARKER not in files and not upload.replace:
        raise UserError(
            f"{upload.repository} holds {len(others)} files ({', '.join(others[:3])}) that did not come from here.",
            upload.repository,
            "Choose another name; or say that it may be written over (--replace, on the page 'Write over it').",
        )


def _left_over(api: HfApi, upload: Upload, names: list[str]) -> list[str]:
    """Models of what was published there before: an adapter beside a merged model would be put on it once more."""
    if upload.kind != "model":
        return []
    there = api.list_repo_files(upload.repository, revision=upload.revision or None)
    if MARKER not in there:
        return []
    return [name for name in there if name not in names and any(fnmatch(name, one) for one in MODEL_FILES)]


class _Counted:
    """Bytes sent of each file, as they go; one that is sent again counts once."""

    def __init__(self, tell: Told, doing: str) -> None:
        self.tell, self.doing = tell, doing
        self.sent: dict[str, int] = {}

    def reached(self, name: str, bytes_: int) -> None:
        self.sent[name] = max(bytes_, self.sent.get(name, 0))
        self.tell(sum(self.sent.values()), self.doing)


class _CountedAdd(CommitOperationAdd):
    """A file to upload that says how far it was read. The client offers no other way to follow a plain upload."""

    def __init__(self, name: str, path: Path, counted: _Counted) -> None:
        super().__init__(name, path)
        self._counted = counted

    @contextmanager
    def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
        with super().as_file() as file:
            if with_tqdm:  # the client's sign for "this goes over the network"
                assert isinstance(file, io.BufferedReader)
                _told_reads(file, lambda reached: self._counted.reached(self.path_in_repo, reached))
            yield file


def _told_reads(file: io.BufferedReader, reached: Callable[[int], None]) -> None:
    read = file.read

    def counted_read(size: int | None = -1) -> bytes:
        data = read(size)
        reached(file.tell())
        return data

    file.read = counted_read  # type: ignore[method-assign]


@contextmanager
def _xet_counted(counted: _Counted) -> Iterator[None]:
    """While it lasts, uploads through xet report here, where the client would draw bars.

    The place is the client's own and may move in another version; then only the sum at the end is told.
    """
    from huggingface_hub.utils import _xet_progress_reporting as reporting

    if constants.HF_HUB_DISABLE_XET or find_spec("hf_xet") is None:
        with disable_progress_bars():
            yield
        return

    class Reporter:
        def update_progress(self, group: Any, _items: Any = None) -> None:
            counted.reached("xet", int(group.total_bytes_completed))

        def close(self) -> None:
            """The client calls it at the end."""

    usual = reporting.XetUploadProgressReporter
    reporting.XetUploadProgressReporter = Reporter  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        reporting.XetUploadProgressReporter = usual  # type: ignore[misc]
