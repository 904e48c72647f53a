"""A figure of the table: a ratio measured in one run, with the absolute numbers from which it was made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Basis(StrEnum):
    """What a ratio is made of. A ratio of wall-clock times is shown and never compared with an earlier run."""

    CPU = "cpu"
    STATEMENTS = "statements"
    ROWS = "rows"
    MEMORY = "memory"
    WALL = "wall"


class Better(StrEnum):
    """In which direction a figure improves."""

    MORE = "more"
    LESS = "less"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    """Stable: the committed run is compared by it."""
    title: str
    value: float
    unit: str = "x"
    basis: Basis = Basis.CPU
    better: Better = Better.MORE
    peer: str = ""
    """What it is compared with, in words."""
    must: float | None = None
    goal: float | None = None
    absolute: Mapping[str, float] = field(default_factory=dict)
    """What was measured, by the name of the quantity and its unit."""

    @property
    def reached(self) -> bool:
        """Whether the figure reaches its goal: then more or less of it is noise."""
        if self.goal is None:
            return False
        return self.value >= self.goal if self.better is Better.MORE else self.value <= self.goal

    @property
    def met(self) -> bool | None:
        """Return whether the limit is kept; None if there is none."""
        if self.must is None:
            return None
        return self.value >= self.must if self.better is Better.MORE else self.value <= self.must
