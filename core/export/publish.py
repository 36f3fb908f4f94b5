"""A run's model to the hub, and where asked its data set and a Space: what the page and the command line both do.

Everything is written to a folder first, the Space is started and asked there, and only then anything goes out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import ModelCard

from core.export.bundle import CARD_NAME
from core.export.data_set import write_data_set
from core.export.hub_upload import KIND_NAMES, Kind, Pushed, Told, Upload, push
from core.export.make import export_run
from core.export.publication import Publication, publication_problem, published_wish
from core.export.space import try_space, write_space
from core.export_formats import Wish
from core.spec_files import read_spec
from core.workspace import RunFolder, Workspace


@dataclass(frozen=True)
class Done:
    """One repository that was written."""

    kind: Kind
    repository: str
    pushed: Pushed


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
