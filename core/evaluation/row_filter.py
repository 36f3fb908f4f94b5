"""Which rows of a run are looked at, and in what order: what the Mistakes tab, its links and the command line share."""

from dataclasses import dataclass
from typing import Literal

Shown = Literal["mistakes", "all", "suspicious"]
Order = Literal["confidence", "loss", "suspicion"]


@dataclass(frozen=True)
class RowFilter:
    """A filter as it stands lets every wrong row of the test part pass."""

    shown: Shown = "mistakes"
    """mistakes and all: of the test part. suspicious: held-out rows whose label confident learning takes for wrong."""
    true: str | None = None
    """The class that rows have; where a row may have several, of mistakes one that it has and was not given."""
    predicted: str | None = None
    """The class that rows were given; where there may be several, of mistakes one that it was given and lacks."""
    search: str = ""
    """What the text must contain, whatever the case."""
    least: float = 0.0
    most: float = 1.0
    """The confidence, 0 to 1, both ends among them."""
    order: Order = "confidence"
    """The highest first. Suspicious rows alone have a suspicion; without it they are ordered by confidence."""
    part: str = "test"
    """Of all and of mistakes; suspicious rows are of every held-out part."""

    @property
    def is_narrowed(self) -> bool:
        """Whether it lets fewer rows pass than its `shown` alone would."""
        return bool(self.true or self.predicted or self.search.strip() or self.least > 0 or self.most < 1)
