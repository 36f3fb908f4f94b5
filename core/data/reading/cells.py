"""What a cell looks like: a number, a date, text, nothing. Tells headers from rows, and helps to mend ragged rows."""

import re

_NUMBER = re.compile(
    r"[-+(]?\s?(?:[$€£¥]|[A-Z]{3}\s)?\s?[-+]?(?:\d[\d ',.]*|[.,]\d+)(?:[eE][-+]?\d+)?\s?(?:%|[$€£¥]|[A-Z]{3})?\)?"
)
_DATE = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?:[T ]+\d{1,2}:\d{2}.*)?"
    r"|(?:\w{3,9}\.? )?\d{1,2}[- ]\w{3,9}[- ,]+\d{2,4}(?:[T ]+\d{1,2}:\d{2}.*)?|\w{3,9} \d{1,2},? \d{4}.*"
)
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s?[aApP][mM])?")
_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+")


def kind(cell: str) -> str:
    """'' for an empty cell, else number, date, time, link or text."""
    stripped = cell.strip()
    if not stripped:
        return ""
    if len(stripped) > 60:
        return "text"
    for name, pattern in (("number", _NUMBER), ("date", _DATE), ("time", _TIME), ("link", _LINK)):
        if pattern.fullmatch(stripped):
            return name
    return "text"
