"""What is asked for when a run's model goes to the hub: checked, named and measured before anything is written.

Light: the page reads it. core/export/publish.py does it.
"""

import re
from typing import Any, Literal

from pydantic import ValidationError, field_validator

from core.errors import UserError, from_validation
from core.export.bundle import export_name, export_sizes
from core.export.data_set import require_licence
from core.export.hub_upload import name_problem
from core.export_formats import Format, Wish, checked, natural_format, wished_words
from core.model_facts import run_model_facts
from core.schema import Part
from core.workspace import RunFolder

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


def publication_of(**content: Any) -> Publication:
    """A checked request. Raises UserError."""
    try:
        asked = Publication(**content)
    except ValidationError as error:
        raise from_validation(error, "the publication") from error
    problem = publication_problem(asked)
    if problem is not None:
        raise problem
    return asked


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
