"""The one error that people see: what happened, where, and what to do."""

from pydantic import ValidationError


class UserError(Exception):
    """A request that cannot be carried out, in words for the person who made it.

    what: what happened, one sentence, e.g. "Column 'label' is not in train.csv (columns: text, topic)."
    where: the file, row, column or field concerned, e.g. "train.csv" or "training.learning_rate".
    todo: what to do about it, one sentence.
    """

    def __init__(self, what: str, where: str, todo: str) -> None:
        super().__init__(f"{what} {todo}")
        self.what = what
        self.where = where
        self.todo = todo

    def parts(self) -> dict[str, str]:
        return {"what": self.what, "where": self.where, "todo": self.todo}


def from_validation(error: ValidationError, source: str) -> UserError:
    """Turn pydantic's findings into one UserError; `source` names the file or form they came from."""
    details = error.errors(include_url=False, include_context=False)
    fields = [".".join(str(part) for part in detail["loc"]) or source for detail in details]
    sentences = []
    for field, detail in zip(fields, details, strict=True):
        if detail["type"] == "extra_forbidden":
            sentences.append(f"'{field}' is not a setting.")
        else:
            given = detail["input"]
            shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
            sentences.append(f"'{field}': {detail['msg'].removeprefix('Value error, ')}{shown}.")
    return UserError(
        what=f"{source} has settings that cannot be used: " + " ".join(sentences),
        where=", ".join(fields),
        todo="Correct them; `python launch.py settings` lists every setting with its unit and bounds.",
    )
