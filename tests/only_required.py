"""A process of Python that has the packages which some requirements ask for, what those need, and nothing else.

As a fresh environment would, without installing anything: a folder of links in place of site-packages.
"""

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

FIRST = "import sys\nsys.path.insert(0, {site!r})\n"


def only_required(requirements: Iterable[str], site: Path) -> list[str]:
    """Fill the folder `site` and return the command that begins such a process; `-c` and code come behind it."""
    site.mkdir()
    for name in _closure([Requirement(line) for line in requirements]):
        for entry in {file.parts[0] for file in distribution(name).files or ()} - {"..", "__pycache__"}:
            source = Path(str(distribution(name).locate_file(entry)))
            if source.exists() and not (site / entry).exists():
                (site / entry).symlink_to(source)
    return [sys.executable, "-I", "-S"]


def first_lines(site: Path) -> str:
    """What the code of such a process begins with."""
    return FIRST.format(site=str(site))


def _closure(wanted: list[Requirement]) -> set[str]:
    found: set[str] = set()
    asked: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        if str(requirement) in asked:
            continue
        asked.add(str(requirement))
        try:
            needed = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            # Not needed on this machine, or the process will say that it is.
            continue
        found.add(requirement.name)
        for line in needed:
            more = Requirement(line)
            extras = requirement.extras or {""}
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in extras):
                wanted.append(more)
    return found
