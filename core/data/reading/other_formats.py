"""Files that hold no table that is read here, told by their content: pictures, archives, web pages, SQL.

A kind that is text is told from its beginning and its end, since a table's first text may look like one.
"""

import codecs
import re
from pathlib import Path

from core.errors import UserError

_SAVE_IT = "Save it as CSV, Parquet, Excel or JSON Lines first."
_MAGIC = {
    b"%PDF": "a PDF file",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"SQLite format 3": "an SQLite database",
    b"\x7fELF": "a program",
    b"MZ\x90\x00": "a program",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"ARROW1": "an Arrow file",
    b"ORC": "an ORC file",
}
_TAR, _TAR_AT = b"ustar", 257
TAIL = 2**12
"""Bytes of a file's end that are looked at."""

_WEB_PAGE = re.compile(rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype html|html|head|body|table)[\s>]", re.I | re.S)
_XML = re.compile(rb"<\?xml\s")
_ARFF = re.compile(rb"(?:[ \t\r]*(?:%[^\n]*)?\n)*[ \t]*@relation\s.*?^[ \t]*@attribute\s", re.I | re.S | re.M)
_SQL = re.compile(
    rb"(--|/\*|SET\s|USE\s|PRAGMA\s|BEGIN|START\s+TRANSACTION|DROP\s+TABLE\s|CREATE\s+TABLE\s|INSERT\s+INTO\s)", re.I
)
_SQL_TABLE = re.compile(rb"^(CREATE\s+TABLE|INSERT\s+INTO)\s", re.I | re.M)
_SQL_END = re.compile(rb"(;|\*/|(^|\n)--[^\n]*)\Z")


def refuse_other_formats(source: Path, shown: Path, start: bytes) -> None:
    """Raises UserError for a file that is no table. start: its first bytes, enough of them to hold some lines."""
    kind = next((words for magic, words in _MAGIC.items() if start.startswith(magic)), None)
    if kind:
        raise UserError(f"{shown.name} is {kind}, which cannot be read as a table.", shown.name, _SAVE_IT)
    if start[_TAR_AT:].startswith(_TAR):
        raise UserError(f"{shown.name} is a tar archive.", shown.name, "Unpack it and give the folder.")
    kind, todo = _kind_of_text(start.removeprefix(codecs.BOM_UTF8).lstrip(), _end_of(source))
    if kind:
        ending = f" with the ending {shown.suffix}" if shown.suffix else ""
        raise UserError(f"{shown.name} is {kind}{ending}, not a table.", shown.name, todo)


def _kind_of_text(start: bytes, end: bytes) -> tuple[str, str]:
    """What a text is that is no table, and what to do about it; '' for a table."""
    if end.endswith(b">"):
        todo = "Open it in a spreadsheet program and save it as .xlsx; if no table shows, get the file anew."
        # More than one are texts of a table.
        if _WEB_PAGE.match(start) and start.lower().count(b"<html") < 2:
            return "a web page", todo
        if _XML.match(start):
            return "an XML file", todo
    if _ARFF.match(start):
        return "an ARFF file (Weka)", "Save it as CSV first, for example with the ArffViewer of Weka."
    if _SQL.match(start) and _SQL_TABLE.search(start) and _SQL_END.search(end):
        return "an SQL dump", "Load it into its database and export the table as CSV."
    return "", ""


def _end_of(source: Path) -> bytes:
    with source.open("rb") as file:
        file.seek(max(0, source.stat().st_size - TAIL))
        return file.read().rstrip()
