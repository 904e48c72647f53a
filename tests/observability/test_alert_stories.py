"""Each alert fires by its real cause, and no other alert with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.observability.stories import STORIES, MakeWatch, Story
from tests.observability.watching import Watch
from tests.world import SECOND, World

pytestmark = pytest.mark.slow


@pytest.fixture
def make_watch(sqlite_url: str) -> Iterator[MakeWatch]:
    """Return a factory of worlds that are watched. `step`: between scrapes; `kind`: of the world."""
    with _watches(sqlite_url) as make:
        yield make


@contextmanager
def _watches(url: str) -> Iterator[MakeWatch]:
    worlds: list[World] = []

    def make(*, step: Any = 30 * SECOND, **kind: Any) -> Watch:
        worlds.append(World(url, **kind).__enter__())
        return Watch(worlds[0], step=step)

    yield make
    for world in worlds:
        world.__exit__(None)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_an_alert_fires_by_its_cause_and_no_other_with_it(
    story: Story, make_watch: MakeWatch, tmp_path: Path
) -> None:
    assert story(make_watch).fault(STORIES[story], tmp_path) == ""
