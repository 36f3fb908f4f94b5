r"""Zip archives whose paths are written with \, as old programs on Windows do."""

import zipfile
from pathlib import Path

from core.data.reading.archives import CHUNK, limit_of, open_archive, too_large


def with_slashes(source: Path, folder: Path) -> Path:
    """A copy in `folder` with / in its paths, of such an archive; anything else itself. Raises UserError."""
    if source.is_dir():
        return source
    limit, done = limit_of(source), 0
    with open_archive(source, source.name) as archive:
        inside = archive.infolist()
        if not any("\\" in info.filename for info in inside) or any("/" in info.filename for info in inside):
            return source
        target = folder / "slashes.zip"
        files = {info.filename.replace("\\", "/"): info for info in inside if not info.filename.endswith("\\")}
        with zipfile.ZipFile(target, "w") as out:
            for name, info in files.items():
                with archive.open(info) as packed, out.open(name, "w", force_zip64=True) as written:
                    while block := packed.read(CHUNK):
                        done += len(block)
                        if done > limit:
                            raise too_large(source.name, limit)
                        written.write(block)
    return target
