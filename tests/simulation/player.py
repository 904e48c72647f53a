"""What each process of a run does: a day, or a story that is crashed. It has a module of its own, because the
main module of a package is unknown to the processes that it starts."""

import tempfile
from pathlib import Path
from typing import Any

from tests.simulation.crash_stories import STORIES
from tests.simulation.crashes import Telling, Theatre
from tests.simulation.day import Days, Result

#: What each process keeps: its database, with all its statements compiled.
_mine: dict[str, Any] = {}


def play(directory: str, seed: int) -> Result:
    """One day."""
    if "days" not in _mine:
        _mine["days"] = Days(Path(tempfile.mkdtemp(dir=directory)))
    result: Result = _mine["days"].play(seed)
    return result


def tell(directory: str, wanted: tuple[int, int | None]) -> Telling:
    """One story, by its number, stopped at a point or told to its end."""
    if "theatre" not in _mine:
        _mine["theatre"] = Theatre(Path(tempfile.mkdtemp(dir=directory)))
    telling: Telling = _mine["theatre"].tell(STORIES[wanted[0]], wanted[1])
    return telling
