"""The work of each process of a run: a day, or a story that is crashed. It has a module of its own, because the main
module of a package is unknown to the processes that it starts."""

import tempfile
from pathlib import Path
from typing import Any

from tests.simulation.crash_stories import STORIES
from tests.simulation.crashes import StoryRun, Theatre
from tests.simulation.day import Days, Result

#: Kept by each process: its database, with all its statements compiled.
_mine: dict[str, Any] = {}


def play(directory: str, seed: int) -> Result:
    """Play one day."""
    if "days" not in _mine:
        _mine["days"] = Days(Path(tempfile.mkdtemp(dir=directory)))
    result: Result = _mine["days"].play(seed)
    return result


def run_story(directory: str, wanted: tuple[int, int | None]) -> StoryRun:
    """Play one story, by its number, with a crash at a point or to its end."""
    if "theatre" not in _mine:
        _mine["theatre"] = Theatre(Path(tempfile.mkdtemp(dir=directory)))
    story_run: StoryRun = _mine["theatre"].run_story(STORIES[wanted[0]], wanted[1])
    return story_run
