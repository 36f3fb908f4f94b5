"""A run's model to the hub, and where asked its data set and a Space: what the page and the command line both do.

Everything is written to a folder first, the Space is started and asked there, and only then anything goes out.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from huggingface_hub import ModelCard
from pydantic import field_validator

from core.errors import UserError
from core.export.bundle import CARD_NAME, export_name, export_sizes
from core.export.data_set import require_licence, write_data_set
from core.export.hub_upload import KIND_NAMES, Kind, Pushed, Told, Upload, name_problem, push
from core.export.make import export_run
from core.export.space import try_space, write_space
from core.export_formats import Format, Wish, checked, natural_format, wished_words
from core.model_facts import run_model_facts
from core.schema import Part
from core.spec_files import read_spec
from core.workspace import RunFolder, Workspace

_LANGUAGE = re.compile(r"[a-z]{2,3}")
_BRANCH = re.compile(r"(?!.*(\.\.|//|@\{))[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}(?<![./])")


class Publication(Part):
    """What is asked for. It is kept with the run; no token is ever part of it."""

    run: str
    repository: str = ""
    """USER/NAME of the model; empty: no model, only a Space."""
    format: Literal["", Format] = ""
    """Empty: as the run saved it."""
    precision: str = ""
    """Of a format with a choice; empty: its usual one."""
    private: bool = True
    """Of every repository that is made."""
    revision: str = ""
    pull_request: bool = False
    language: tuple[str, ...] = ()
    """ISO 639 codes of the texts' languages, as the person says them: they are not guessed."""
    data_repository: str = ""
    data_licence: str = ""
    space_repository: str = ""
    replace: bool = False

    @field_validator("language")
    @classmethod
    def _codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [code for code in value if not _LANGUAGE.fullmatch(code)]
        if wrong:
            raise ValueError(f"'{wrong[0]}' is not a language code such as en, de or fa")
        return value


@dataclass(frozen=True)
class Done:
    """One repository that was written."""

    kind: Kind
    repository: str
    pushed: Pushed


def publication_problem(asked: Publication) -> UserError | None:
    """What is wrong with a request before anyone is asked."""
    named: list[tuple[str, str]] = [
        ("model", asked.repository), ("data set", asked.data_repository), ("Space", asked.space_repository),
    ]  # fmt: skip
    for what, name in named:
        if name and name_problem(name):
            return UserError(
                f"'{name}' cannot be the name of a {what} on the hub.", f"{what}'s name", name_problem(name)
            )
    if not asked.repository and not asked.space_repository:
        return UserError("No name is given.", "name", name_problem(""))
    if asked.pull_request and asked.revision:
        return UserError(
            "A pull request goes to the main branch.", "branch", "Leave the branch empty, or the pull request out."
        )
    if asked.revision and not _BRANCH.fullmatch(asked.revision):
        return UserError(
            f"'{asked.revision}' cannot be the name of a branch.", "branch", "Use letters, digits, - _ . and / inside."
        )
    if asked.data_repository:
        try:
            require_licence(asked.data_licence)
        except UserError as error:
            return error
    return None


def published_wish(folder: RunFolder, asked: Publication) -> Wish:
    """The format that the model goes out in. Raises UserError where it does not fit the run's model, or is none."""
    if asked.format == "server":
        raise UserError(
            "A server is code to run, and no model.", "format", "Publish a Space, or write it with --to DIR."
        )
    return checked(folder, Wish(asked.format or natural_format(run_model_facts(folder)), asked.precision))


def suggested_name(folder: RunFolder, user: str, wish: Wish) -> str:
    """USER/NAME; what is not the model as the run saved it gets a name of its own."""
    if not user:
        return ""
    own = "" if wish.format == natural_format(run_model_facts(folder)) else f"-{wished_words(wish)}"
    return f"{user}/{export_name(folder).strip('.-')[: 80 - len(own)]}{own}"


def planned_files(folder: RunFolder, wish: Wish) -> list[tuple[str, int]]:
    """What publishing the model sends: names and bytes, without writing anything. The card changes by some bytes.

    None of a format that has to be made first.
    """
    return export_sizes(folder) if wish.format == natural_format(run_model_facts(folder)) else []


def publish(
    workspace: Workspace,
    asked: Publication,
    token: str,
    tell: Callable[[int, int, str], None],
    show: Callable[[list[tuple[str, int]]], None],
    room: Path | None = None,
) -> list[Done]:
    """Write, try and push everything that is asked for. `tell` takes bytes done, bytes in all (0: not known), words.

    show: takes every file that goes out with its bytes, before the first of them does.
    room: a folder on the disk that has space for a copy of the model; the run's own by default. Raises UserError.
    """
    problem = publication_problem(asked)
    if problem is not None:
        raise problem
    folder = workspace.run(asked.run)
    wish = published_wish(folder, asked)
    with TemporaryDirectory(dir=room or folder.root, prefix="publish.") as place:
        uploads = list(_written(folder, asked, wish, Path(place), lambda words: tell(0, 0, words)))
        show([(_named(upload, name), size) for upload in uploads for name, size in upload.files()])
        total = sum(size for upload in uploads for _, size in upload.files())
        done, before = [], 0
        for upload in uploads:
            pushed = push(upload, token, _told(tell, before, total))
            done.append(Done(upload.kind, upload.repository, pushed))
            before += sum(size for _, size in upload.files())
        tell(total, total, "Published")
    return done


def _named(upload: Upload, name: str) -> str:
    return name if upload.kind == "model" else f"{KIND_NAMES[upload.kind]}: {name}"


def _told(tell: Callable[[int, int, str], None], before: int, total: int) -> Told:
    def told(sent: int, words: str) -> None:
        tell(before + max(0, sent), total, words)

    return told


def _written(
    folder: RunFolder, asked: Publication, wish: Wish, place: Path, say: Callable[[str], None]
) -> Iterator[Upload]:
    """The folders to push; the data set first, so that the model's card can name it, the Space last."""
    name = read_spec(folder.spec).name
    if asked.data_repository:
        say("Writing the data set")
        data = write_data_set(folder, place / "data", asked.data_licence, asked.language)
        yield Upload(data, asked.data_repository, "dataset", f"{name}: the rows", asked.private, replace=asked.replace)
    if asked.repository:
        say("Writing the model")
        model = export_run(
            folder.workspace, folder.id, wish, place / "model", lambda _done, _all, words: say(words)
        ).path
        with _hub_card(model / CARD_NAME) as card:
            _name_on_hub(card, asked)
        yield Upload(
            model, asked.repository, "model", name, asked.private, asked.revision, asked.pull_request, asked.replace
        )
    if asked.space_repository:
        say("Writing the Space and starting it")
        space = write_space(folder, place / "space")
        try_space(space)
        yield Upload(
            space, asked.space_repository, "space", f"{name}: a page to try it", asked.private, replace=asked.replace
        )


@contextmanager
def _hub_card(path: Path) -> Iterator[ModelCard]:
    card = ModelCard.load(path)
    yield card
    card.save(path)


def _name_on_hub(card: ModelCard, asked: Publication) -> None:
    """What only the publication knows: the model's name there, the data set's, and the language."""
    data = vars(card.data)
    if asked.language:
        data["language"] = list(asked.language)
    if asked.data_repository:
        data["datasets"] = [asked.data_repository]
    text = card.text.replace('Replace `"."` by this folder or its name on the Hub. ', "")
    text = text.replace("ollama create", f"hf download {asked.repository} --local-dir .\nollama create", 1)
    card.text = text.replace('model="."', f'model="{asked.repository}"').replace('"USER/NAME"', f'"{asked.repository}"')
