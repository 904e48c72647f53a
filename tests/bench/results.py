"""The results of a run, as they are kept in a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.figures import Basis, Better, Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """Figures, and what they were measured on."""

    machine: Mapping[str, Any]
    scale: float
    rounds: int
    seconds: Mapping[str, float]
    """What each line took."""
    yardstick: float
    """CPU-seconds of a fixed piece of work on that machine."""
    figures: Sequence[Figure]

    def figure(self, name: str) -> Figure | None:
        """Return the figure of this name."""
        return next((one for one in self.figures if one.name == name), None)

    def joined(self, other: "Results") -> "Results":
        """Return these with the figures of another run, which replace those of the same name."""
        names = {one.name for one in other.figures}
        kept = [one for one in self.figures if one.name not in names]
        return replace(other, figures=(*kept, *other.figures), seconds={**self.seconds, **other.seconds})


def write(results: Results, path: Path) -> None:
    """Write the file."""
    path.write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Results:
    """Read the file."""
    found = json.loads(path.read_text())
    figures = (
        Figure(**{**one, "basis": Basis(one["basis"]), "better": Better(one["better"])})
        for one in found.pop("figures")
    )
    return Results(**found, figures=tuple(figures))
