"""The start of a big file, from which it is shown before all of it is read."""

import codecs
from pathlib import Path

import pyarrow as pa

from core.data.reading.sources import CHUNK, damaged, format_of, packing_of

BIG = 48 * 2**20
"""Bytes from which on a file of separated cells is first shown from its start; reading it takes some seconds."""
START = 2**20
"""Bytes of that start, unpacked."""


def is_big(path: Path) -> bool:
    """Whether a file is so big that its start is worth showing first, and of a kind that may have one to show."""
    if path.stat().st_size < BIG:
        return False
    return packing_of(path) is not None or format_of(path, path) == "csv"


def start_of(path: Path, folder: Path) -> tuple[Path, float]:
    """A copy, in `folder`, of the first lines of a file, unpacked; and which share of the file they are, 0 to 1.

    Raises UserError for a damaged archive.
    """
    packing = packing_of(path)
    content = bytearray()
    try:
        with pa.OSFile(str(path)) as file:
            stream = file if packing is None else pa.CompressedInputStream(file, packing)
            while len(content) < START and (block := stream.read(CHUNK)):
                content += block
            read = file.tell()
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error
    lines = content[: _end_of_last_line(content)]
    target = folder / "start"
    target.write_bytes(lines)
    return target, min(read / path.stat().st_size * len(lines) / len(content), 1.0)


def _end_of_last_line(content: bytearray) -> int:
    """Bytes up to the last line end; all where there is none."""
    wide = content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))
    unit = 4 if wide else 2 if 0 in content[:CHUNK] else 1
    end = max(content.rfind(b"\n"), content.rfind(b"\r")) + 1
    return -(-end // unit) * unit or len(content)
