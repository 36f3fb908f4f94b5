"""Cells that a spreadsheet could run as a formula when it opens a CSV file (CWE-1236; OWASP ASVS 1.2.10)."""

import re

_FORMULA_START = frozenset("=+-@\t\r\0")
_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]+)*|\.[0-9]+)([eE][+-]?[0-9]+)?%?")


def starts_formula(cell: str) -> bool:
    """Whether a spreadsheet could run this cell of a CSV file as a formula; numbers such as -5 it cannot."""
    return cell[:1] in _FORMULA_START and cell != "" and not _NUMBER.fullmatch(cell)


def guarded(cell: str) -> str:
    """The cell, with a single quote before it, which spreadsheets take as "this is text", where it could be run."""
    return f"'{cell}" if starts_formula(cell) else cell
