"""Which characters the bytes stand for; a copy in UTF-8 where they are not UTF-8 already."""

import codecs
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from core.data.reading.progress import Progress, no_progress
from core.data.reading.transcoding import (
    BLOCK,
    REPLACEMENT,
    LineCounts,
    is_utf8,
    text_end,
    transcode,
    transcode_lines,
    wrong_and_right,
)
from core.errors import UserError

SAMPLE = 2**16
"""Bytes looked at to tell binary files and UTF-16."""
TELLING = 2**15
"""Bytes of lines with other than ASCII characters that the encoding is guessed from."""
FEW = 20
"""With fewer telling bytes than this a statistical guess is worse than the commonest encoding."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 27, 1, 28, 29, 30, 31}) + b"\x7f"
"""Control characters that texts do not hold; 1 and 28 to 31 are used as delimiters."""


@dataclass(frozen=True)
class Decoded:
    path: Path
    """A file in UTF-8 without a byte order mark."""
    encoding: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Scan:
    """What one pass over the bytes as UTF-8 found."""

    valid: bool
    wrong: int
    """Bytes or sequences that are not UTF-8, within the telling lines."""
    right: int
    """Characters beyond ASCII that are, within the telling lines."""
    telling: bytes
    """The first lines that hold bytes beyond ASCII."""


def as_utf8(source: Path, shown: str, encoding: str | None, folder: Path, progress: Progress = no_progress) -> Decoded:
    """The file in UTF-8: itself where it is that already, else a copy in `folder`, written as a stream.

    Raises UserError for a binary file and an encoding that is unknown or does not fit.
    """
    with source.open("rb") as file:
        start = file.read(SAMPLE)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    notes: list[str]
    if encoding is not None:
        found, notes, mixed = known_encoding(encoding), [], False
    elif marked:
        found, notes, mixed = marked, [], marked == "utf-8"
    else:
        found, notes, mixed = _detected(source, shown, start, progress)
    plain = found in {"utf-8", "ascii"} and not marked and not mixed and text_end(source) is None
    if plain and (encoding is None or _scan(source, progress).valid):
        return Decoded(source, "utf-8", ())
    target = folder / "utf8"
    if mixed:
        counts = transcode_lines(source, target, progress)
        notes += _line_notes(counts, found)
        replaced = counts.replaced
    else:
        # The codecs utf-16 and utf-32 take the byte order from the mark and drop it, as utf-8-sig does.
        replaced = transcode(source, target, "utf-8-sig" if found == "utf-8" else found, shown, progress)
    if replaced:
        notes.append(
            f"{replaced:,} {'place' if replaced == 1 else 'places'} could not be read as {found} "
            f"and became {REPLACEMENT}."
        )
    end = text_end(target)
    if end is not None:
        os.truncate(target, end)
        notes.append("The file ends in Ctrl-Z, with which old programs end a text; that was left out.")
    return Decoded(target, found, tuple(notes))


def _line_notes(counts: LineCounts, found: str) -> list[str]:
    """What is to be said of lines in another encoding than the file's."""
    count = counts.western if found == "utf-8" else counts.utf8
    if not count:
        return []
    lines, were = ("1 line", "was") if count == 1 else (f"{count:,} lines", "were")
    if found == "utf-8":
        return [
            f"{lines} could not be read as UTF-8 and {were} read as Windows-1252; "
            "choose another encoding where letters look wrong."
        ]
    return [f"{lines} of the file {were} read as UTF-8, which they are."]


def known_encoding(encoding: str) -> str:
    try:
        # Not every codec is of texts (zip), or can be read piece by piece (punycode).
        "".encode(encoding)
        codecs.getincrementaldecoder(encoding)(errors="replace").decode(b"")
        return codecs.lookup(encoding).name
    except (LookupError, UnicodeError) as error:
        raise UserError(
            f"'{encoding}' is not a text encoding.", "encoding", "Write e.g. utf-8, cp1252, latin-1, big5 or utf-16."
        ) from error


def _detected(source: Path, shown: str, start: bytes, progress: Progress) -> tuple[str, list[str], bool]:
    """The encoding, what to say of it, and whether lines may be in UTF-8 and in Windows-1252."""
    wide = _utf16_without_mark(start)
    if wide:
        return wide, [f"The encoding was taken to be {wide}; choose another where letters look wrong."], False
    if is_binary(start.rstrip(b"\x1a\r\n")):
        raise UserError(
            f"{shown} is a binary file, not a table of text.",
            shown,
            "Save the table as CSV, Parquet or JSON Lines and choose that file.",
        )
    scan = _scan(source, progress)
    if scan.valid:
        return "utf-8", [], False
    if scan.right > 10 * scan.wrong:
        return "utf-8", [], True
    # Lines of another file in UTF-8 would only mislead the guess.
    guess = guess_encoding(b"".join(line for line in scan.telling.splitlines(keepends=True) if not is_utf8(line)))
    told = f"The encoding was taken to be {guess}; choose another where letters look wrong."
    return guess, [told], guess == "cp1252"


def is_binary(start: bytes) -> bool:
    """Whether these bytes hold too many control characters for a text; UTF-16 and UTF-32 do, too."""
    return len(start.translate(None, _CONTROL)) < 0.97 * len(start)


def _utf16_without_mark(start: bytes) -> str | None:
    """Text in UTF-16 has zeros in nearly all odd places or all even ones, as far as it is ASCII; CJK text has few."""
    even, odd = start[0::2], start[1::2]
    if len(odd) < 4:
        return None
    if odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.05 * len(even):
        return "utf-16-le"
    if even.count(0) > 0.4 * len(even) and odd.count(0) < 0.05 * len(odd):
        return "utf-16-be"
    if 0 in start:
        return next((name for name in ("utf-16-le", "utf-16-be") if _is_text(start, name)), None)
    return None


def _is_text(start: bytes, encoding: str) -> bool:
    """Whether nearly all of the sample's characters are letters, digits, punctuation or white space."""
    try:
        text = start[: len(start) // 2 * 2].decode(encoding)
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:
            return False
        text = start[: error.start].decode(encoding)
    usual = sum(character in "\t\r\n" or unicodedata.category(character)[0] in "LMNPSZ" for character in text)
    return usual > 0.995 * len(text) and "\n" in text


def _scan(source: Path, progress: Progress = no_progress) -> _Scan:
    decoder = codecs.getincrementaldecoder("utf-8")()
    valid = True
    telling = bytearray()
    size = max(source.stat().st_size, 1)
    with source.open("rb") as file:
        while block := file.read(BLOCK):
            progress.at(file.tell() / size)
            if valid:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    valid = False
            if len(telling) < TELLING and not block.isascii():
                telling += b"".join(telling_lines(block))
            elif not valid and len(telling) >= TELLING:
                break
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        valid = False
    wrong, right = wrong_and_right(bytes(telling), bytes(telling).decode("utf-8", errors="replace"))
    return _Scan(valid, wrong, right, bytes(telling))


def telling_lines(block: bytes) -> list[bytes]:
    lines = [line for line in block.splitlines(keepends=True) if not line.isascii()]
    kept, size = [], 0
    for line in lines:
        kept.append(line)
        size += len(line)
        if size >= TELLING:
            break
    return kept


def guess_encoding(telling: bytes) -> str:
    """charset-normalizer's guess; Windows-1252 where there is too little to guess from, or it fits as well."""
    import charset_normalizer

    western = _is_western(telling)
    beyond = len(telling) - len(telling.translate(None, bytes(range(128, 256))))
    share = beyond / len(telling)
    # In Western languages few letters are beyond ASCII, and many single-byte encodings read them almost alike.
    if beyond < FEW or (western and share < 0.2):
        return "cp1252"
    # Only the words with such bytes tell anything; the ASCII between them would drown them.
    matches = charset_normalizer.from_bytes(_telling_words(telling), preemptive_behaviour=False)
    best = matches.best()
    if best is None:
        return "cp1252"
    return "cp1252" if best.encoding == "latin_1" else best.encoding.replace("_", "-")


def _telling_words(telling: bytes) -> bytes:
    words = re.findall(rb"[^\s]*[\x80-\xff][^\s]*", telling)
    return b" ".join(words)


def _is_western(telling: bytes) -> bool:
    """Whether the bytes make sense as Windows-1252: Western letters, and no signs in the midst of words."""
    try:
        text = telling.decode("cp1252")
    except UnicodeDecodeError:
        return False
    beyond = sum(not character.isascii() for character in text)
    signs = re.findall(r"(?<=[a-z])[^\x00-\x7f\w‘’“”–—…\xa0\xad·]|[ªº³¹]", text)
    # Central European and Turkish letters have these places in their own encodings.
    foreign = sum(text.count(letter) for letter in "šžŠŽðþýÐÞÝ")
    return len(signs) + foreign <= 0.1 * beyond
