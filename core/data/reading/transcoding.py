"""Copies of text files in UTF-8, written as a stream; lines in another encoding than the rest are read in theirs."""

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

from core.data.reading.progress import Progress, no_progress
from core.errors import UserError

BLOCK = 2**20
LONGEST_LINE = 2**26
"""Bytes; a longer line is decoded in pieces."""
END = 1024
"""Bytes in which Ctrl-Z is looked for: CP/M filled the last block of a file with it."""
BYTE_ORDER_MARK = "\ufeff"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass
class LineCounts:
    """Lines beyond ASCII of a file that is partly UTF-8 and partly Windows-1252."""

    utf8: int = 0
    western: int = 0
    replaced: int = 0
    """Places that are neither."""


def transcode(source: Path, target: Path, encoding: str, shown: str, progress: Progress = no_progress) -> int:
    """Write `source` in UTF-8; returns how many places did not fit and became the replacement character."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    replaced = 0
    size = max(source.stat().st_size, 1)
    begun = False
    try:
        with source.open("rb") as file, target.open("w", encoding="utf-8", newline="") as out:
            # A program put it there, whatever the text behind it is written in; of the names it is none.
            if encoding.startswith(("cp", "iso8859", "latin")) and file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                file.seek(0)
            more = True
            while more:
                block = file.read(BLOCK)
                progress.at(file.tell() / size)
                more = bool(block)
                text = decoder.decode(block, final=not more)
                replaced += text.count(REPLACEMENT)
                # Two programs may each have put a mark before the text.
                text = text if begun else text.lstrip(BYTE_ORDER_MARK)
                begun = begun or bool(text)
                out.write(text)
    except UnicodeError as error:
        raise UserError(
            f"{shown} cannot be read as {encoding} ({error}).", shown, "Choose another encoding, or leave it empty."
        ) from error
    return replaced


def transcode_lines(source: Path, target: Path, progress: Progress) -> LineCounts:
    """Write `source` in UTF-8, each line read as UTF-8 or, where it is none, as Windows-1252."""
    counts = LineCounts()
    size = max(source.stat().st_size, 1)
    with source.open("rb") as file, target.open("w", encoding="utf-8", newline="") as out:
        begin = 0
        while file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            begin += len(codecs.BOM_UTF8)
        file.seek(begin)
        rest = b""
        more = True
        while more:
            block = file.read(BLOCK)
            progress.at(file.tell() / size)
            more = bool(block)
            block = rest + block
            end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
            if not more or len(block) > LONGEST_LINE:
                end = len(block)
            out.writelines(_decoded(line, counts) for line in block[:end].splitlines(keepends=True))
            rest = block[end:]
    return counts


def _decoded(line: bytes, counts: LineCounts) -> str:
    if is_utf8(line):
        counts.utf8 += not line.isascii()
        return line.decode("utf-8")
    text = line.decode("utf-8", errors="replace")
    wrong, right = wrong_and_right(line, text)
    if right > wrong:
        # UTF-8 that was damaged: in Windows-1252 letters beyond ASCII are not UTF-8 by chance.
        counts.replaced += wrong
        return text
    counts.western += 1
    text = line.decode("cp1252", errors="replace")
    counts.replaced += text.count(REPLACEMENT)
    return text


def is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def wrong_and_right(content: bytes, text: str) -> tuple[int, int]:
    """Of bytes read as UTF-8: the places that became the replacement character, and the characters beyond ASCII."""
    wrong = text.count(REPLACEMENT) - content.count(REPLACEMENT.encode())
    return wrong, sum(not character.isascii() for character in text) - wrong


def text_end(path: Path) -> int | None:
    """Bytes before the Ctrl-Z that ends a text, as DOS and CP/M had it; None where none does."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - END))
        tail = file.read()
    text = tail.rstrip(b"\x1a\r\n")
    return size - len(tail) + len(text) if b"\x1a" in tail[len(text) :] else None
