"""Templates that make one text of several columns: `Title: {title}`. Light: also used where a model is taken away.

`{NAME}` is the cell of a column; `{{` and `}}` are braces. A name may hold anything but braces.
"""

import re
from collections.abc import Mapping

_PIECE = re.compile(r"(?P<open>\{\{)|(?P<close>\}\})|\{(?P<name>[^{}]+)\}|(?P<words>[^{}]+)|(?P<stray>[{}])")

Piece = tuple[str, bool]
"""Words as they stand (False), or the name of a column (True)."""


def template_pieces(template: str) -> list[Piece]:
    """The template's pieces in order. Raises ValueError, in words, for a brace that opens or closes nothing."""
    pieces: list[Piece] = []
    for found in _PIECE.finditer(template):
        if found["stray"]:
            line = template.count("\n", 0, found.start()) + 1
            raise ValueError(f"a '{found['stray']}' in line {line} belongs to no {{column}}; write it twice to keep it")
        if found["name"]:
            pieces.append((found["name"], True))
        else:
            pieces.append((found["words"] or found[0][0], False))
    return pieces


def template_columns(template: str) -> tuple[str, ...]:
    """The columns that it names, in order, each once. Raises ValueError as template_pieces does."""
    return tuple(dict.fromkeys(words for words, is_column in template_pieces(template) if is_column))


def filled(template: str, cells: Mapping[str, str]) -> str:
    """The text of these cells; '' where all of them are empty. Raises KeyError for a column that is not given."""
    pieces = [cells[words] if is_column else words for words, is_column in template_pieces(template)]
    return "".join(pieces) if any(cells.values()) else ""


def renamed(template: str, names: Mapping[str, str]) -> str:
    """The template for a file whose columns are called otherwise: old name -> new name."""

    def shown(words: str, is_column: bool) -> str:
        if is_column:
            return f"{{{names.get(words, words)}}}"
        return words.replace("{", "{{").replace("}", "}}")

    return "".join(shown(*piece) for piece in template_pieces(template))
